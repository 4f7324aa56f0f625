package board

// The last part of the serial console, kept so that a machine that ends badly can say what its kernel said last.

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const tailSize = 16 << 10

// haltMark is what Linux prints when it has panicked and does not restart: it was not told to, or it is too early for that.
var haltMark = []byte("---[ end Kernel panic")

// Tail passes what is written on to a writer and remembers the last 16 KiB. Safe for concurrent use.
type Tail struct {
	w io.Writer // may be nil
	// halted, where set, is called when the guest's kernel says that it has stopped for good after a panic.
	halted func()

	mu  sync.Mutex
	buf []byte // at most twice tailSize, so that trimming is rare
}

// NewTail makes a Tail in front of w; nil keeps the tail only.
func NewTail(w io.Writer) *Tail { return &Tail{w: w} }

// Write implements io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	from := max(0, len(t.buf)-len(haltMark))
	t.buf = append(t.buf, p[max(0, len(p)-tailSize):]...)
	halted := bytes.Contains(t.buf[from:], haltMark)
	if len(t.buf) > 2*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	t.mu.Unlock()
	if halted && t.halted != nil {
		t.halted()
	}
	if t.w == nil {
		return len(p), nil
	}
	return t.w.Write(p)
}

// Panic is what the guest kernel said when it panicked, one line, or "".
func (t *Tail) Panic() string {
	const mark = "Kernel panic - not syncing: "
	t.mu.Lock()
	defer t.mu.Unlock()
	i := bytes.Index(t.buf, []byte(mark))
	if i < 0 {
		return ""
	}
	line, _, _ := bytes.Cut(t.buf[i+len(mark):], []byte("\n"))
	return printable(line)
}

// Last is the last non-empty line, or "".
func (t *Tail) Last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.TrimSpace(t.buf)
	return printable(b[bytes.LastIndexByte(b, '\n')+1:])
}

// Forget empties the tail: a new boot begins.
func (t *Tail) Forget() {
	t.mu.Lock()
	t.buf = t.buf[:0]
	t.mu.Unlock()
}

// printable keeps a guest's line from steering the user's terminal.
func printable(b []byte) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, string(b))
	return strings.TrimSpace(s[:min(len(s), 200)])
}
