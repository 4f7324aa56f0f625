package console

// The control queues of a MULTIPORT device (virtio 1.3 §5.3.6.2). What is due to the guest is a set of bits a port, not a list: a
// guest that asks without listening makes nothing grow, and a state that changes twice before it can be told is told once.

import (
	"encoding/binary"

	"github.com/vmproject/vm/internal/device/virtio"
)

// Control events.
const (
	eventDeviceReady = 0
	eventPortAdd     = 1
	eventPortReady   = 3
	eventConsolePort = 4
	eventResize      = 5
	eventPortOpen    = 6
	eventPortName    = 7

	controlHeader = 8 // port (4 bytes), event (2), value (2)
)

// Messages due, in the order they are sent. The name comes after the state: Linux reads end of file from a port that the host
// has not opened, and a program that finds a port by its name must not be so early.
const (
	sendAdd = 1 << iota
	sendConsole
	sendOpen
	sendName
	sendSize
)

// control answers the guest's control messages and sends what is due.
func (c *Console) control() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		if !c.receive() && !c.send() {
			c.ctl.Wait()
			continue
		}
		c.yield()
	}
}

// receive handles one message of the guest and says whether there was one. mu is held.
func (c *Console) receive() bool {
	q := c.controlQueue(controlOut)
	if q == nil {
		return false
	}
	chain, ok := q.Next()
	if !ok {
		return false
	}
	var m [controlHeader]byte
	n := 0
	for _, b := range chain.Readable {
		n += copy(m[n:], b)
	}
	q.Done(chain, 0)
	if n == len(m) {
		le := binary.LittleEndian
		c.handle(le.Uint32(m[0:]), le.Uint16(m[4:]), le.Uint16(m[6:]))
	}
	return true
}

func (c *Console) handle(id uint32, event, value uint16) {
	if event == eventDeviceReady {
		if value == 1 {
			for _, p := range c.ports {
				p.messages |= sendAdd
			}
		}
		return
	}
	if uint64(id) >= uint64(len(c.ports)) {
		return
	}
	p := c.ports[id]
	switch event {
	case eventPortReady:
		if value != 1 {
			return // the guest could not add the port
		}
		p.ready = true
		p.messages |= sendOpen
		if p.Name != "" {
			p.messages |= sendName
		}
		if p.Console {
			p.messages |= sendConsole
			if c.cols != 0 {
				p.messages |= sendSize
			}
		}
	case eventPortOpen:
		p.setOpen(value == 1)
	}
}

// send puts the first message that is due into a buffer of the guest's, and says whether it did. mu is held.
func (c *Console) send() bool {
	q := c.controlQueue(controlIn)
	if q == nil {
		return false
	}
	for _, p := range c.ports {
		if p.messages == 0 {
			continue
		}
		chain, ok := q.Next()
		if !ok {
			return false
		}
		due := p.messages & -p.messages // the lowest bit
		p.messages &^= due
		q.Done(chain, uint32(fill(chain, p.message(due))))
		return true
	}
	return false
}

// message is the bytes of one message.
func (p *port) message(due uint8) []byte {
	var event, value uint16
	var more []byte
	switch due {
	case sendAdd:
		event, value = eventPortAdd, 1
	case sendConsole:
		event, value = eventConsolePort, 1
	case sendName:
		event, value, more = eventPortName, 1, []byte(p.Name)
	case sendOpen:
		event = eventPortOpen
		if !p.hostClosed {
			value = 1
		}
	case sendSize:
		event = eventResize
		more = binary.LittleEndian.AppendUint16(more, p.c.cols)
		more = binary.LittleEndian.AppendUint16(more, p.c.rows)
	}
	le := binary.LittleEndian
	m := le.AppendUint32(make([]byte, 0, controlHeader+len(more)), uint32(p.id))
	m = le.AppendUint16(m, event)
	m = le.AppendUint16(m, value)
	return append(m, more...)
}

// controlQueue is one of the control queues, or nil.
func (c *Console) controlQueue(n int) *virtio.Queue {
	if !c.controlled {
		return nil
	}
	return c.queues[n]
}
