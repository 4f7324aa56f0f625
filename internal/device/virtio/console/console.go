// Package console is the virtio console device (virtio 1.3 §5.3): a terminal with a size, and any number of named byte streams
// ("ports") between host and guest.
//
// A device with one unnamed console port is a plain console: MULTIPORT is not offered and the size is in configuration space,
// which every driver since 2008 reads alike. Anything else is a MULTIPORT device with a control queue. (There the size is a
// control message whose two fields Linux read in the wrong order until 2025, so a terminal is better off on a plain device of
// its own, beside a MULTIPORT one.)
//
// Each port has two goroutines, one a direction, so that a reader or writer that blocks stops that direction of that port and
// nothing else, least of all a hart. They start at the first DRIVER_OK. Guest memory is only touched with Console.mu held and
// never during a Read or Write, so a reset or the end of the machine need not wait for the host.
package console

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/vmproject/vm/internal/device/virtio"
)

// Feature bits (§5.3.3).
const (
	featureSize      = 1 << 0
	featureMultiport = 1 << 1
)

const (
	// queueSize of every queue. Linux writes up to 32 KiB a buffer, and does not wait for a generic port's.
	queueSize = 64
	// maxPorts is what Linux has room for in its minor numbers many times over, and each costs two goroutines.
	maxPorts = 32
	maxName  = 64
)

// Queue numbers (§5.3.2): port 0, the control queues, then the other ports.
const (
	controlIn  = 2 // to the guest
	controlOut = 3 // from the guest
)

// Port is one stream.
type Port struct {
	// Name is how the guest finds it: /sys/class/virtio-ports/*/name in Linux, from which udev makes /dev/virtio-ports/NAME.
	// At most 64 bytes.
	Name string
	// Console makes the port a terminal (/dev/hvcN).
	Console bool
	// In is what the guest reads. It is read when the guest has the port open and has room, by one goroutine, which stays in
	// Read, if need be, for as long as the process lives. Its end closes the port towards the guest, which reads what is left
	// and then end of file; the guest cannot write to a port that is closed, so a stream with an end wants a port for itself.
	// A console is never closed. What was read and not yet taken when the guest closes the port waits for the next opening.
	// Nil is an input that stays silent.
	In io.Reader
	// Out receives what the guest writes. The guest has its buffer back when Write returns: a writer that blocks holds up the
	// guest, on this port. After an error the rest is discarded and Drain returns the error. Nil discards.
	Out io.Writer
	// OnOpen and OnClose, where set, are called when the guest has opened and closed the port; a reset closes it. They come from
	// the goroutine that calls Out.Write, in order with it: OnClose after all that was written before.
	OnOpen, OnClose func()
}

// Console is the device. It implements [virtio.Device].
type Console struct {
	ports     []*port
	multiport bool // offered

	mu         sync.Mutex // inside the transport's mutex, outside Queue.mu
	ctl        sync.Cond  // the control goroutine waits here
	idle       sync.Cond  // Drain waits here
	started    bool
	closed     bool
	transport  virtio.Transport
	queues     []*virtio.Queue // nil while the driver is not there
	controlled bool            // MULTIPORT was negotiated
	cols, rows uint16
}

// New makes a console device. Port 0 comes first.
func New(ports []Port) (*Console, error) {
	if len(ports) == 0 || len(ports) > maxPorts {
		return nil, fmt.Errorf("virtio console: %d ports; 1 to %d are possible", len(ports), maxPorts)
	}
	c := &Console{multiport: len(ports) > 1 || ports[0].Name != "" || !ports[0].Console}
	c.ctl.L, c.idle.L = &c.mu, &c.mu
	for i, p := range ports {
		if len(p.Name) > maxName {
			return nil, fmt.Errorf("virtio console: the name of port %d is longer than %d bytes", i, maxName)
		}
		c.ports = append(c.ports, newPort(c, i, p))
	}
	return c, nil
}

// Type implements [virtio.Device].
func (c *Console) Type() uint32 { return virtio.TypeConsole }

// Features implements [virtio.Device].
func (c *Console) Features() uint64 {
	if c.multiport {
		return featureSize | featureMultiport
	}
	return featureSize
}

// Queues implements [virtio.Device].
func (c *Console) Queues() []uint16 {
	n := 2
	if c.multiport {
		n += 2 * len(c.ports)
	}
	sizes := make([]uint16, n)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// ConfigLoad implements [virtio.Device]: columns, rows, number of ports (§5.3.4).
func (c *Console) ConfigLoad(off uint64, p []byte) {
	var space [12]byte
	c.mu.Lock()
	binary.LittleEndian.PutUint16(space[0:], c.cols)
	binary.LittleEndian.PutUint16(space[2:], c.rows)
	c.mu.Unlock()
	binary.LittleEndian.PutUint32(space[4:], uint32(len(c.ports)))
	clear(p)
	if off < uint64(len(space)) {
		copy(p, space[off:])
	}
}

// ConfigStore implements [virtio.Device]: nothing is writable without EMERG_WRITE.
func (c *Console) ConfigStore(uint64, []byte) {}

// Activate implements [virtio.Device].
func (c *Console) Activate(features uint64, queues []*virtio.Queue, t virtio.Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.queues, c.transport = queues, t
	c.controlled = features&featureMultiport != 0
	for i, p := range c.ports {
		if i == 0 || c.controlled {
			p.rxq, p.txq = queues[p.queue], queues[p.queue+1]
		}
	}
	if !c.controlled {
		c.ports[0].setOpen(true)
		if c.cols != 0 {
			t.ConfigChanged() // Linux looks at the size only when told to
		}
	}
	if !c.started {
		c.started = true
		if c.multiport {
			go c.control()
		}
		for _, p := range c.ports {
			go p.output()
			if p.In != nil {
				go p.input()
			}
		}
	}
	c.wake()
}

// yield lets others have the mutex: a guest that keeps one queue busy must not keep it from everybody else. mu is held.
func (c *Console) yield() {
	c.mu.Unlock()
	c.mu.Lock()
}

// wake makes every goroutine look at its queue. mu is held.
func (c *Console) wake() {
	c.ctl.Broadcast()
	for _, p := range c.ports {
		p.busy = true
		p.in.Broadcast()
		p.out.Broadcast()
	}
}

// Notify implements [virtio.Device].
func (c *Console) Notify(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == controlIn || n == controlOut {
		c.ctl.Broadcast()
		return
	}
	i := n / 2
	if n > controlOut {
		i--
	}
	if i >= len(c.ports) {
		return
	}
	if p := c.ports[i]; n%2 == 0 {
		p.in.Broadcast()
	} else {
		p.busy = true
		p.out.Broadcast()
	}
}

// Reset implements [virtio.Device]. What the guest wrote before it still reaches the writers: kernels reset their devices on
// the way to power-off.
func (c *Console) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		p.reset()
	}
	c.queues, c.controlled = nil, false
	c.wake()
}

// Resize tells the guest the size of its terminals, in characters. It may be called at any time, also before the guest runs.
func (c *Console) Resize(cols, rows uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cols == cols && c.rows == rows {
		return
	}
	c.cols, c.rows = cols, rows
	switch {
	case c.queues == nil:
	case !c.controlled:
		c.transport.ConfigChanged()
	default:
		for _, p := range c.ports {
			if p.ready && p.Console {
				p.messages |= sendSize
			}
		}
		c.ctl.Broadcast()
	}
}

// Drain waits until the writers have taken all that the guest wrote so far, or ctx ends. Called when the guest has powered
// off, it loses no output. It returns what ended it, or the first error of each writer.
func (c *Console) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.idle.Broadcast()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return nil
	}
	c.wake() // a driver need not notify: have every port look once more
	for c.busy() && !c.closed {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("virtio console: output is left that nobody reads: %w", err)
		}
		c.idle.Wait()
	}
	var errs []error
	for _, p := range c.ports {
		errs = append(errs, p.err)
	}
	return errors.Join(errs...)
}

// busy says whether any port may have output left. mu is held.
func (c *Console) busy() bool {
	for _, p := range c.ports {
		if p.busy {
			return true
		}
	}
	return false
}

// Close ends the device: afterwards it touches neither guest memory nor rings. Output that was not drained is lost. A
// goroutine that is inside a Read or Write ends when that returns, which for a terminal may be never.
func (c *Console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.queues = nil
	for _, p := range c.ports {
		p.rx, p.tx, p.rxq, p.txq, p.saved = nil, nil, nil, nil, nil
	}
	c.wake()
	c.idle.Broadcast()
	return nil
}
