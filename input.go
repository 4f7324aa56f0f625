package vm

// Where the keyboard goes: to the serial port while firmware and boot loader run, and to the terminal of the guest's shell
// from when the guest opens it.

import (
	"context"
	"io"

	"github.com/vmproject/vm/internal/board"
)

// input is the terminal's io.Reader, and the pump that feeds it.
type input struct {
	r    io.Reader // nil: an input that stays silent
	pr   *io.PipeReader
	pw   *io.PipeWriter
	open chan struct{} // closed when the guest has opened its terminal
}

func newInput(r io.Reader) *input {
	pr, pw := io.Pipe()
	return &input{r: r, pr: pr, pw: pw, open: make(chan struct{})}
}

// Read implements io.Reader for the guest's terminal.
func (in *input) Read(p []byte) (int, error) { return in.pr.Read(p) }

// toTerminal redirects the input for good. Calls after the first, at reboots, change nothing.
func (in *input) toTerminal() {
	select {
	case <-in.open:
	default:
		close(in.open)
	}
}

// run pumps until the input or ctx ends. A Read that blocks is not interrupted.
func (in *input) run(ctx context.Context, b *board.Board) {
	if in.r == nil {
		return
	}
	serial, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-in.open:
			cancel()
		case <-serial.Done():
		}
	}()
	buf := make([]byte, 1024)
	for ctx.Err() == nil {
		n, err := in.r.Read(buf)
		p := buf[:n]
		if serial.Err() == nil {
			sent, _ := b.SendSerial(serial, p) // the error is that of serial, whose end means: the rest to the terminal
			p = p[sent:]
		}
		if len(p) > 0 {
			if _, err := in.pw.Write(p); err != nil {
				return
			}
		}
		if err != nil {
			return // the end of the input is not the end of the machine
		}
	}
}
