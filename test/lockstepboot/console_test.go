package lockstepboot

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// console takes what the guest prints and remembers the last line.
type console struct {
	out io.Writer // may be nil

	mu   sync.Mutex
	line []byte
	last string
}

// Write implements io.Writer.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			c.line = append(c.line, b)
			continue
		}
		if line := bytes.TrimSpace(c.line); len(line) > 0 {
			c.last = string(line[:min(len(line), 100)])
		}
		c.line = c.line[:0]
	}
	if c.out != nil {
		_, _ = c.out.Write(p)
	}
	return len(p), nil
}

func (c *console) lastLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// silent is the console of the reference's firmware: the board's prints.
type silent struct{}

func (silent) Write(p []byte) (int, error) { return len(p), nil }
func (silent) TryRead([]byte) int          { return 0 }

// hostTime is the host's wall clock, which package time has a false one of in a synctest bubble.
func hostTime() time.Duration {
	var tv syscall.Timeval
	if syscall.Gettimeofday(&tv) != nil {
		return 0
	}
	return time.Duration(tv.Nano())
}

// progress prints a line every few seconds.
type progress struct {
	began, last time.Duration
	ticks       uint64
}

// tick is called often; line is asked for when it is time.
func (p *progress) tick(line func() string) {
	const every = 3 * time.Second
	if p.ticks++; p.ticks%1024 != 0 {
		return
	}
	if now := hostTime(); now-p.last >= every {
		p.last = now
		fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", (now - p.began).Seconds(), line())
	}
}

func newProgress() progress {
	now := hostTime()
	return progress{began: now, last: now}
}
