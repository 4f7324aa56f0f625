package console

// The two directions of a port.

import (
	"fmt"
	"sync"

	"github.com/vmproject/vm/internal/device/virtio"
)

const (
	inputChunk  = 4 << 10
	outputChunk = 32 << 10
	// maxSaved bounds what is kept of a port's output over a reset: a queue full of the largest buffers that Linux writes.
	maxSaved = queueSize * outputChunk
)

// port is a Port at work. All but the fixed fields is guarded by Console.mu.
type port struct {
	Port
	c     *Console
	id    int
	queue int // number of its receive queue; the transmit queue is the next

	in, out sync.Cond // its goroutines wait here

	rxq, txq *virtio.Queue // nil while there is no driver
	ready    bool          // the guest answered PORT_ADD with PORT_READY
	messages uint8         // control messages due (control.go)

	guestOpen bool
	opened    bool // the guest opened the port since that was last told
	toldOpen  bool // what OnOpen and OnClose have been called for

	hostClosed bool // In has ended

	rx *virtio.Chain // room for input, taken before there is any

	tx    *virtio.Chain // output under way
	seg   int           // of tx, the next bytes to write: tx.Readable[seg][off:]
	off   int
	saved []byte // output taken off the queue by a reset
	busy  bool   // there may be output: cleared by the goroutine that has looked
	err   error  // of Out
}

func newPort(c *Console, id int, p Port) *port {
	q := &port{Port: p, c: c, id: id, queue: 2 * id}
	if id > 0 {
		q.queue += 2 // past the control queues
	}
	q.in.L, q.out.L = &c.mu, &c.mu
	return q
}

// setOpen follows the guest's end of the port. mu is held.
func (p *port) setOpen(open bool) {
	p.opened = p.opened || open && !p.guestOpen
	p.guestOpen = open
	p.in.Broadcast()
	p.busy = true
	p.out.Broadcast()
}

// input carries In to the guest until In ends.
func (p *port) input() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	buf := make([]byte, inputChunk)
	for p.waitRoom() {
		p.c.mu.Unlock()
		n, err := p.In.Read(buf)
		p.c.mu.Lock()
		for b := buf[:n]; len(b) > 0 && p.waitRoom(); p.c.yield() {
			b = b[p.give(b):]
		}
		if err != nil {
			break
		}
	}
	if p.Console || p.c.closed {
		return
	}
	// After the last byte, so that the guest finds it first and the end of file after it.
	p.hostClosed = true
	if p.ready {
		p.messages |= sendOpen
		p.c.ctl.Broadcast()
	}
}

// waitRoom waits until the guest has the port open and a buffer for input; Linux throws away what comes for a port that is
// not open. It returns false when the device is closed. mu is held, and released meanwhile.
func (p *port) waitRoom() bool {
	for !p.c.closed {
		if p.guestOpen && p.rxq != nil {
			if p.rx == nil {
				p.rx, _ = p.rxq.Next()
			}
			if p.rx != nil {
				return true
			}
		}
		p.in.Wait()
	}
	return false
}

// give fills the buffer that waitRoom found and returns the number of bytes of b that fit. mu is held.
func (p *port) give(b []byte) int {
	n := fill(p.rx, b)
	p.rxq.Done(p.rx, uint32(n))
	p.rx = nil
	return n
}

// fill copies b to a chain as far as it fits.
func fill(c *virtio.Chain, b []byte) int {
	n := 0
	for _, w := range c.Writable {
		n += copy(w, b[n:])
	}
	return n
}

// output carries what the guest writes to Out, and tells of opening and closing in order with it.
func (p *port) output() {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := make([]byte, outputChunk)
	for !c.closed {
		if !p.toldOpen && (p.guestOpen || p.opened) {
			p.toldOpen, p.opened = true, false
			p.call(p.OnOpen)
			continue
		}
		if n, ok := p.fetch(buf); ok {
			p.write(buf[:n])
			p.complete()
			c.yield()
			continue
		}
		// A port that was closed and opened again since is told as both.
		if p.toldOpen && (!p.guestOpen || p.opened) {
			p.toldOpen = false
			p.call(p.OnClose)
			continue
		}
		p.busy = false
		c.idle.Broadcast()
		p.out.Wait()
	}
}

// call calls f without the mutex.
func (p *port) call(f func()) {
	if f == nil {
		return
	}
	p.c.mu.Unlock()
	f()
	p.c.mu.Lock()
}

// write hands b to Out without the mutex.
func (p *port) write(b []byte) {
	if p.Out == nil || p.err != nil || len(b) == 0 {
		return
	}
	p.c.mu.Unlock()
	_, err := p.Out.Write(b)
	p.c.mu.Lock()
	if err != nil {
		p.err = fmt.Errorf("virtio console: output of port %d %s: %w", p.id, p.Name, err)
	}
}

// fetch copies the next output into buf: the host's copy is what is written, as the guest may change its own, and guest
// memory must not be needed while a writer blocks. ok is false when there is none. mu is held.
func (p *port) fetch(buf []byte) (n int, ok bool) {
	if len(p.saved) > 0 {
		n = copy(buf, p.saved)
		if p.saved = p.saved[n:]; len(p.saved) == 0 {
			p.saved = nil
		}
		return n, true
	}
	if p.tx == nil && !p.next() {
		return 0, false
	}
	for n < len(buf) && p.seg < len(p.tx.Readable) {
		from := p.tx.Readable[p.seg]
		k := copy(buf[n:], from[p.off:])
		n, p.off = n+k, p.off+k
		if p.off == len(from) {
			p.seg, p.off = p.seg+1, 0
		}
	}
	return n, true
}

// next takes the next output buffer, where there is one. mu is held.
func (p *port) next() bool {
	if p.txq == nil {
		return false
	}
	p.tx, _ = p.txq.Next()
	p.seg, p.off = 0, 0
	return p.tx != nil
}

// complete returns the output buffer to the guest if all of it has been written and no reset took it meanwhile. mu is held.
func (p *port) complete() {
	if p.tx != nil && p.seg == len(p.tx.Readable) {
		p.txq.Done(p.tx, 0)
		p.tx = nil
	}
}

// reset takes the port off its queues, and keeps the output that was waiting there. mu is held.
func (p *port) reset() {
	p.save()
	p.rx, p.tx, p.rxq, p.txq = nil, nil, nil, nil
	p.ready, p.messages = false, 0
	p.setOpen(false)
}

func (p *port) save() {
	for range queueSize { // no more can have been waiting; a guest could go on adding
		if p.tx == nil && !p.next() {
			return
		}
		for ; p.seg < len(p.tx.Readable); p.seg, p.off = p.seg+1, 0 {
			b := p.tx.Readable[p.seg][p.off:]
			p.saved = append(p.saved, b[:min(len(b), maxSaved-len(p.saved))]...)
		}
		p.tx = nil
	}
}
