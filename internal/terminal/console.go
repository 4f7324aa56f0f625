package terminal

// Console ties the pieces together for one machine: keys in through the escape filter, raw mode while the machine runs, messages
// of vm itself readable in either mode.

import (
	"context"
	"io"
	"os"
	"sync"
)

// Console is the terminal, or what stands in for one, that a machine's console is on. When in is no terminal there is no raw mode
// and there are no keys: its bytes go to the guest, and what its end means is for the machine to say.
type Console struct {
	in, out, err *os.File
	mu           sync.Mutex // guards raw
	raw          *Raw       // nil when not in raw mode
}

// NewConsole changes nothing yet.
func NewConsole(in, out, err *os.File) *Console { return &Console{in: in, out: out, err: err} }

// Keys is what the guest reads. quit is called at Ctrl-A x.
func (c *Console) Keys(quit func()) io.Reader {
	if !IsTerminal(c.in) {
		return c.in
	}
	return NewEscape(c.in, quit, func() { io.WriteString(c.Messages(), "\n"+Help()) })
}

// Raw puts the terminal into raw mode, if there is one.
func (c *Console) Raw() error {
	if !IsTerminal(c.in) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raw != nil {
		return nil
	}
	raw, err := MakeRaw(c.in)
	c.raw = raw
	return err
}

// Restore undoes Raw. It may be called at any time, from any goroutine.
func (c *Console) Restore() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.raw.Restore()
	c.raw = nil
	return err
}

// Watch calls resize with the window's size, now and when it changes, until ctx ends. Without a window it does nothing.
func (c *Console) Watch(ctx context.Context, resize func(cols, rows int)) (wait func()) {
	for _, f := range []*os.File{c.out, c.in} {
		if IsTerminal(f) {
			return WatchSize(ctx, f, resize)
		}
	}
	return func() {}
}

// Messages is where vm itself speaks. Lines come out straight whether the terminal is raw or not.
func (c *Console) Messages() io.Writer { return messages{c} }

type messages struct{ c *Console }

func (m messages) Write(p []byte) (int, error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.c.raw != nil && IsTerminal(m.c.err) {
		return CRLF(m.c.err).Write(p)
	}
	return m.c.err.Write(p)
}
