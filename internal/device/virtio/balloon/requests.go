package balloon

// Requests: lists of page frame numbers to put into the balloon or take out of it (§5.5.6.1), and ranges of free memory (§5.5.6.7). The guest waits for each
// of them, and whatever it holds takes the device a bounded time.

import (
	"encoding/binary"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// maxBytes is how much of a list is read; what is more is passed over. Linux has 256 numbers in one.
const maxBytes = 4096 * numberBytes

// numberBytes is the size of a page frame number.
const numberBytes = 4

// serve works off requests until there are none.
func (d *Device) serve() {
	for d.serveSome() {
	}
}

// serveSome works off one request of each queue. It returns false when serve shall end.
func (d *Device) serveSome() bool {
	d.work.Lock()
	any := false
	for n, q := range d.queues {
		if q == nil {
			continue
		}
		if c, ok := q.Next(); ok {
			any = true
			d.request(n, c)
			q.Done(c, 0)
		}
	}
	d.work.Unlock()
	if any {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running, d.again = d.again, false
	return d.running
}

// request does what a request of queue n asks for.
func (d *Device) request(n int, c *virtio.Chain) {
	switch {
	case n == queueInflate:
		d.given.Add(uint64(d.each(c, d.frames.Give)))
		d.check(d.frames.Release())
	case n == queueDeflate:
		d.given.Add(-uint64(d.each(c, d.frames.Take)))
	case d.reports:
		for _, free := range c.Places() {
			// Reports are of whole pages; of any other range, those that are wholly in it.
			first := (free.At + memory.PageMask) &^ memory.PageMask
			if end := (free.At + memory.GPA(free.N)) &^ memory.PageMask; first < end {
				d.check(d.ram.Release(first, uint64(end-first)))
			}
		}
	}
}

// each calls f for each frame of a list, and returns how often that was true.
func (d *Device) each(c *virtio.Chain, f func(memory.GPA) bool) (count int) {
	list := d.numbers[:0]
	for _, b := range c.Readable {
		list = append(list, b[:min(len(b), maxBytes-len(list))]...)
	}
	for ; len(list) >= numberBytes; list = list[numberBytes:] {
		if f(memory.GPA(binary.LittleEndian.Uint32(list)) * unit) {
			count++
		}
	}
	return count
}

// check says, once, that the host did not take memory. The guest has nothing to do about it.
func (d *Device) check(err error) {
	if err != nil && !d.warned {
		d.warned = true
		d.log.Warn("memory that the guest does not use stays with the machine; further errors are not shown", "error", err)
	}
}
