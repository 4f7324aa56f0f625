package uart

// The receiving half: the FIFO the guest reads, and the ways to feed it.

import (
	"context"
	"io"
)

// depth of the receive FIFO: one byte until the guest turns the FIFOs on.
func (u *UART) depth() int {
	if u.fcr&fcrEnable == 0 {
		return 1
	}
	return fifoDepth
}

func (u *UART) push(b byte) {
	u.rx[(u.rxHead+u.rxLen)%fifoDepth] = b
	u.rxLen++
}

// pop takes the oldest byte; an empty FIFO reads as zero.
func (u *UART) pop() byte {
	if u.rxLen == 0 {
		return 0
	}
	b := u.rx[u.rxHead]
	u.rxHead = (u.rxHead + 1) % fifoDepth
	u.rxLen--
	u.wakeInput()
	return b
}

// wakeInput tells Feed that Receive may take bytes again.
func (u *UART) wakeInput() {
	select {
	case u.space <- struct{}{}:
	default:
	}
}

// Receive hands the guest bytes from the wire and returns how many fitted into its FIFO: 0 to len(p). It never blocks.
func (u *UART) Receive(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mcr&mcrLoop != 0 {
		return 0 // the receiver listens to the transmitter only; the wire waits
	}
	n := min(len(p), max(0, u.depth()-u.rxLen))
	for _, b := range p[:n] {
		u.push(b)
	}
	if n > 0 {
		u.interrupt()
	}
	return n
}

// TryRead takes bytes out of the receive FIFO, as the guest would: for firmware that serves the console in the guest's stead.
func (u *UART) TryRead(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for n < len(p) && u.rxLen > 0 {
		p[n] = u.pop()
		n++
	}
	u.interrupt()
	return n
}

// Send hands over p, at the pace at which the guest reads it, and returns how much of it was taken: less than all only with
// ctx's error. One Send or Feed at a time.
func (u *UART) Send(ctx context.Context, p []byte) (n int, err error) {
	for {
		n += u.Receive(p[n:])
		if n == len(p) {
			return n, nil
		}
		select {
		case <-u.space:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

// Feed sends what r delivers until its end (nil), its error, or the end of ctx. It reads no further ahead than one small
// buffer. A Read that blocks is not interrupted: ctx is looked at between reads.
func (u *UART) Feed(ctx context.Context, r io.Reader) error {
	buf := make([]byte, 1024)
	for {
		n, err := r.Read(buf)
		if _, serr := u.Send(ctx, buf[:n]); serr != nil {
			return serr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
