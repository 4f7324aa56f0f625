package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// mostUnread is how much of what a machine says is kept while nobody takes it.
	mostUnread = 1 << 20
	tailLines  = 4
	tailBytes  = 1024
)

// patience is how long a machine may take to end when it is told to.
var patience = 5 * time.Second

// Process is a machine that runs. Its methods are for one goroutine.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *os.File
	began  time.Time

	mu     sync.Mutex
	unread []byte
	last   time.Time // when the last of it came, or the end
	tail   []byte    // the end of all that was said
	flood  bool
	closed bool // everything it said is here
	err    error
	more   chan struct{} // has an element when something of the above has changed
	done   chan struct{} // closed after the process's end
}

// Start starts a machine with the terminal that it has as standard input and output.
func Start(args []string) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(args[0], args[1:]...), output: r, more: make(chan struct{}, 1), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		p.began = time.Now()
		err = p.cmd.Start()
	}
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	go p.read()
	return p, nil
}

// read takes what the machine says until its end.
func (p *Process) read() {
	defer close(p.done)
	defer p.output.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := p.output.Read(buffer)
		now := time.Now()
		p.mu.Lock()
		if p.unread = append(p.unread, buffer[:n]...); len(p.unread) > mostUnread {
			p.unread, p.flood = nil, true
		}
		p.tail = append(p.tail, buffer[:n]...)
		p.tail = p.tail[max(0, len(p.tail)-tailBytes):]
		p.last = now
		p.mu.Unlock()
		p.wake()
		if err != nil {
			break
		}
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	p.closed, p.err, p.last = true, err, time.Now()
	p.mu.Unlock()
	p.wake()
}

func (p *Process) wake() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// Began is when the process was started.
func (p *Process) Began() time.Time { return p.began }

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Send writes to the machine's terminal.
func (p *Process) Send(text string) error {
	if _, err := io.WriteString(p.stdin, text); err != nil {
		return fmt.Errorf("%w; %s", err, p.said())
	}
	return nil
}

// Await waits until find is content with what the machine has said, and returns that with the time at which the last of it arrived. find returns how
// many bytes of it are done with, or -1 to wait for more. The error is ctx's; or that the machine has ended, that limit has passed, or that it said too much, with
// the last that it said.
func (p *Process) Await(ctx context.Context, limit time.Duration, find func(text []byte) int) (text string, at time.Time, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p.mu.Lock()
		if n := find(p.unread); n >= 0 {
			text, at = string(p.unread[:n]), p.last
			p.unread = p.unread[n:]
			p.mu.Unlock()
			return text, at, nil
		}
		flood, closed, ended := p.flood, p.closed, p.err
		p.mu.Unlock()
		switch {
		case flood:
			return "", at, fmt.Errorf("it said more than %d bytes that nobody asked for; %s", mostUnread, p.said())
		case closed && ended != nil:
			return "", at, fmt.Errorf("%w: %w; %s", errEnded, ended, p.said())
		case closed:
			return "", at, fmt.Errorf("%w; %s", errEnded, p.said())
		}
		select {
		case <-ctx.Done():
			return "", at, context.Cause(ctx)
		case <-timer.C:
			return "", at, fmt.Errorf("%w: nothing came of it in %s; %s", errSilent, limit, p.said())
		case <-p.more:
		}
	}
}

// Line waits for a line with a mark in it, and returns what follows the mark, without the line's end.
func (p *Process) Line(ctx context.Context, limit time.Duration, mark string) (text string, at time.Time, err error) {
	text, at, err = p.Await(ctx, limit, func(text []byte) int {
		if i := bytes.Index(text, []byte(mark)); i >= 0 {
			if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
				return i + n + 1
			}
		}
		return -1
	})
	_, text, _ = strings.Cut(text, mark)
	return strings.TrimRight(text, "\r\n"), at, err
}

// End waits for the end of the process and returns when that was. The error is that of Await, or says that the exit status was not 0.
func (p *Process) End(ctx context.Context, limit time.Duration) (time.Time, error) {
	_, _, err := p.Await(ctx, limit, func([]byte) int { return -1 })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed && p.err == nil {
		return p.last, nil
	}
	return p.last, err
}

// Wait lets the machine be for a time. It is an error when it ends.
func (p *Process) Wait(ctx context.Context, d time.Duration) error {
	_, _, err := p.Await(ctx, d, func([]byte) int { return -1 })
	if errors.Is(err, errSilent) {
		return nil
	}
	return err
}

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// said is the end of what the machine said, for an error message.
func (p *Process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return said(p.tail)
}

// Close ends the process if it runs, and what it has started. Nothing of it is left when Close returns.
func (p *Process) Close() error {
	if !p.Ended() {
		p.signal(syscall.SIGTERM)
		defer time.AfterFunc(patience, func() { p.signal(syscall.SIGKILL) }).Stop()
		// Somebody may hold the pipe who has left the group. What he says is of no interest.
		defer time.AfterFunc(2*patience, func() { p.output.Close() }).Stop()
	}
	<-p.done
	_ = p.stdin.Close() // closed by Wait already, or broken
	return nil
}

// signal reaches the process and all that it has started: it leads a group. A group that has ended already is none of our concern.
func (p *Process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// said makes one line of the last lines of an output.
func said(out []byte) string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(Printable(line)); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "it said nothing"
	}
	return "it said: " + strings.Join(lines[max(0, len(lines)-tailLines):], " / ")
}

// Printable has blanks where s has what would move a terminal's cursor.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
}
