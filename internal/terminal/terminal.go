// Package terminal is what a machine's console needs of the terminal that vm runs in: raw mode that is always undone, the window's
// size, and the keys that talk to vm and not to the guest (escape.go).
//
// Raw mode hands every key to the guest, Ctrl-C included, so signals reach vm only from outside. Restore must run on each way
// out: the caller defers it, which covers returns and panics of its own goroutine, and Notify (signals.go) covers signals. What
// nothing in the process can cover is SIGKILL and a fatal error of the Go runtime; `reset` in the shell repairs the terminal then.
package terminal

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// IsTerminal says whether v is a terminal. v may be anything that a command reads or writes.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Raw is a terminal in raw mode.
type Raw struct {
	fd   int
	mu   sync.Mutex  // guards old
	old  *term.State // nil once restored
	fail error
}

// MakeRaw puts the terminal that f is into raw mode until Restore.
func MakeRaw(f *os.File) (*Raw, error) {
	fd := int(f.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("put the terminal into raw mode: %w", err)
	}
	return &Raw{fd: fd, old: old}, nil
}

// Restore undoes MakeRaw. It may be called more than once, from any goroutine and on nil; later calls return what the first did.
func (r *Raw) Restore() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.old != nil {
		if err := term.Restore(r.fd, r.old); err != nil {
			r.fail = fmt.Errorf("restore the terminal: %w", err)
		}
		r.old = nil
	}
	return r.fail
}

// WatchSize calls resize with the size of the terminal that f is, in characters: once now and after each change, until ctx ends.
// Calls come one at a time from WatchSize's own goroutine. The returned function waits for its end.
func WatchSize(ctx context.Context, f *os.File, resize func(cols, rows int)) (wait func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer signal.Stop(changed)
		for {
			if cols, rows, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 && rows > 0 {
				resize(cols, rows)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { <-done }
}

// CRLF makes a writer for text that goes to a terminal in raw mode, which no longer returns the carriage at a line's end.
func CRLF(w io.Writer) io.Writer { return &crlf{w: w} }

type crlf struct {
	w   io.Writer
	buf []byte
}

func (c *crlf) Write(p []byte) (int, error) {
	c.buf = c.buf[:0]
	for i, b := range p {
		if b == '\n' && (i == 0 || p[i-1] != '\r') {
			c.buf = append(c.buf, '\r')
		}
		c.buf = append(c.buf, b)
	}
	if _, err := c.w.Write(c.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}
