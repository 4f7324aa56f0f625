package vm

// Where the keyboard goes: to the serial port while firmware and boot loader run, and to the terminal of the guest's shell
// from when the guest has opened it.
//
// The host's input is read ahead of the guest, up to a bound: whoever reads it also finds the keys that end the machine, and
// has to even when the guest hangs and takes no input at all.
//
// A terminal's input has no end. Where the host's has, a shell that runs a file of commands would wait for ever, so that then the key is pressed that
// says so, at the start of a line; only where vm's own user space is what reads, since a login prompt would begin again and again. While the guest's
// terminal is between two modes the key is lost, and a program that the shell runs may want it too: it is pressed again and again.

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/vmproject/vm/internal/board"
)

// readAhead is how many bytes of input may wait for the guest; beyond that nothing more is read.
const readAhead = 64 << 10

// endKey is Ctrl-D, which is pressed each endEvery when the host's input has ended.
const (
	endKey   = 4
	endEvery = time.Second
)

// input is the terminal's io.Reader, and the two goroutines that feed it and the serial port.
type input struct {
	r io.Reader // nil: an input that stays silent

	mu       sync.Mutex
	moved    sync.Cond // broadcast when anything below changes
	waiting  []byte    // read and not yet taken by the guest
	ended    bool      // r has
	midline  bool      // what the terminal has got ends in a line without an end
	pressed  bool      // endKey, less than endEvery ago
	closed   bool
	hold     bool               // no input is the serial port's
	terminal bool               // input is the terminal's, which the guest has opened
	sending  context.CancelFunc // ends what is being handed to the serial port; nil while nothing feeds that
}

// newInput takes input for the serial port first, or with hold set for the terminal only.
func newInput(r io.Reader, hold bool) *input {
	in := &input{r: r, hold: hold}
	in.moved.L = &in.mu
	return in
}

// Read implements io.Reader for the guest's terminal.
func (in *input) Read(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.closed {
		if in.terminal && in.sending == nil {
			switch {
			case len(in.waiting) > 0:
				n := in.take(copy(p, in.waiting))
				in.midline = p[n-1] != '\n'
				return n, nil
			case in.ended && in.hold && in.midline:
				p[0], in.midline = '\n', false
				return 1, nil
			case in.ended && in.hold && !in.pressed:
				p[0], in.pressed = endKey, true
				time.AfterFunc(endEvery, in.press)
				return 1, nil
			}
		}
		in.moved.Wait()
	}
	return 0, io.EOF
}

// press lets the key be pressed again.
func (in *input) press() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pressed = false
	in.moved.Broadcast()
}

// take removes the first n bytes that wait. mu is held.
func (in *input) take(n int) int {
	in.waiting = in.waiting[:copy(in.waiting, in.waiting[n:])]
	in.moved.Broadcast()
	return n
}

// toTerminal directs the input to the terminal for good. Calls after the first, at reboots, change nothing.
func (in *input) toTerminal() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.terminal = true
	in.moved.Broadcast()
	if in.sending != nil {
		in.sending()
	}
}

// close ends both goroutines and every Read, but for a Read of the host's input that blocks.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.moved.Broadcast()
}

// start begins to read, and to feed the board's serial port until the terminal is opened or ctx ends. An error of the host's
// input goes to failed; its end is not the end of the machine, but see endKey.
func (in *input) start(ctx context.Context, b *board.Board, failed func(error)) {
	if in.r == nil {
		return
	}
	go func() {
		if err := in.fill(); err != nil {
			failed(err)
		}
	}()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.hold {
		return
	}
	ctx, in.sending = context.WithCancel(ctx)
	go in.serial(ctx, b)
}

// fill reads the host's input until its end.
func (in *input) fill() error {
	buf := make([]byte, 1024)
	for {
		n, err := in.r.Read(buf)
		in.mu.Lock()
		for len(in.waiting)+n > readAhead && !in.closed {
			in.moved.Wait()
		}
		in.waiting = append(in.waiting, buf[:n]...)
		in.ended = err != nil
		closed := in.closed
		in.moved.Broadcast()
		in.mu.Unlock()
		switch {
		case closed || errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// serial hands what waits to the serial port, at the guest's pace.
func (in *input) serial(ctx context.Context, b *board.Board) {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		in.mu.Lock()
		in.moved.Broadcast()
		in.mu.Unlock()
	})()
	for ctx.Err() == nil && !in.closed {
		if len(in.waiting) == 0 {
			in.moved.Wait()
			continue
		}
		p := in.waiting // only this goroutine takes from it now, and what is added goes behind
		in.mu.Unlock()
		n, _ := b.SendSerial(ctx, p) // the error is that of ctx, whose end means: the rest to the terminal
		in.mu.Lock()
		in.take(n)
	}
	in.sending()
	in.sending = nil
	in.moved.Broadcast()
}
