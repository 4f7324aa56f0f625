package terminal

// The keys that talk to vm: Ctrl-A and then a letter, as in QEMU and screen. Everything else passes to the guest unchanged, with
// no delay: a lone Ctrl-A is held back until the next key, and nothing ever is otherwise.

import (
	"fmt"
	"io"
	"strings"
)

// escapeKey is Ctrl-A.
const escapeKey = 0x01

// Key is one thing that can follow Ctrl-A.
type Key struct {
	Byte byte
	Name string
	Does string
}

// Keys lists them, in the order in which help prints them.
var Keys = []Key{
	{'h', "Ctrl-A h", "this list"},
	{'x', "Ctrl-A x", "end the machine"},
	{escapeKey, "Ctrl-A Ctrl-A", "send Ctrl-A to the guest"},
}

// Help is the list of keys, a line each.
func Help() string {
	var b strings.Builder
	for _, k := range Keys {
		fmt.Fprintf(&b, "%-14s %s\n", k.Name, k.Does)
	}
	return b.String()
}

// Escape is the reader between the terminal and the guest.
type Escape struct {
	src     io.Reader
	quit    func()
	help    func()
	in      []byte
	out     []byte // filtered, not yet read
	escaped bool   // the key before was Ctrl-A
	err     error  // of src or the end, told when out is empty
}

// NewEscape reads keys from src. quit is called at Ctrl-A x, after which Read returns io.EOF; help at Ctrl-A h. Both are called by
// the goroutine that reads.
func NewEscape(src io.Reader, quit, help func()) *Escape {
	return &Escape{src: src, quit: quit, help: help, in: make([]byte, 1024)}
}

// Read is for one goroutine.
func (e *Escape) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(e.out) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := e.src.Read(e.in)
		e.err = err
		e.filter(e.in[:n])
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}

// filter appends to out what of keys is the guest's.
func (e *Escape) filter(keys []byte) {
	e.out = e.out[:0]
	for _, b := range keys {
		switch {
		case !e.escaped && b == escapeKey:
			e.escaped = true
			continue
		case !e.escaped:
			e.out = append(e.out, b)
		case b == 'x':
			e.quit()
			e.err = io.EOF
			return
		case b == 'h':
			e.help()
		case b == escapeKey:
			e.out = append(e.out, escapeKey)
		default:
			// Not ours: in a shell Ctrl-A goes to the line's beginning, and the key after it is typed there.
			e.out = append(e.out, escapeKey, b)
		}
		e.escaped = false
	}
}
