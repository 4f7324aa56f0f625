package virtiotest

import "github.com/vmproject/vm/internal/memory"

// packed is the driver's side of a packed ring (virtio 1.3 §2.8).
type packed struct {
	q                    *Queue
	desc, driver, device shared
	event                bool
	free                 []uint16 // unused buffer ids
	count                []uint16 // slots each buffer id takes
	room                 int      // unused slots
	pos, usedPos         uint16
	wrap, usedWrap       bool
	added                uint16 // slots since the last kick
}

func newPacked(q *Queue, event bool) *packed {
	p := &packed{
		q: q, event: event, count: make([]uint16, q.Size), room: int(q.Size), wrap: true, usedWrap: true,
		desc: share(q, q.Desc, uint64(q.Size)*16), driver: share(q, q.Driver, 4), device: share(q, q.Device, 4),
	}
	for i := range q.Size {
		p.free = append(p.free, q.Size-1-i)
	}
	return p
}

const (
	packedAvail = 1 << 7
	packedUsed  = 1 << 15
)

// turn is the two flag bits that make a descriptor available now.
func (p *packed) turn() uint32 {
	if p.wrap {
		return packedAvail
	}
	return packedUsed
}

func (p *packed) add(bufs []Buf, indirect memory.GPA) (uint16, bool) {
	n := len(bufs)
	if indirect != 0 {
		table := share(p.q, indirect, uint64(n)*16)
		for i, b := range bufs {
			table.descriptor(i*16, b, writeFlag(b)<<16)
		}
		n = 1
	}
	if p.room < n {
		return 0, false
	}
	id := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.count[id] = uint16(n)
	p.room -= n
	p.added += uint16(n)
	head := int(p.pos) * 16
	var first uint32 // the head's id and flags, written last
	for i := range n {
		flags := p.turn()
		b := bufs[i]
		if indirect != 0 {
			b = Buf{Addr: indirect, Len: uint32(len(bufs) * 16)}
			flags |= flagIndirect
		} else {
			flags |= writeFlag(b)
		}
		if i < n-1 {
			flags |= flagNext
		}
		w := uint32(id) | flags<<16
		at := int(p.pos) * 16
		if i == 0 {
			first = w
			w = p.desc.load(at + 12)
		}
		p.desc.descriptor(at, b, w)
		p.pos++
		if p.pos == p.q.Size {
			p.pos, p.wrap = 0, !p.wrap
		}
	}
	p.desc.store(head+12, first)
	return id, true
}

func (p *packed) kick() bool {
	n := p.added
	p.added = 0
	e := p.device.load(0)
	switch e >> 16 & 3 {
	case 0:
		return true
	case 1:
		return false
	}
	event := uint16(e) &^ (1 << 15)
	if (e&(1<<15) != 0) != p.wrap {
		event -= p.q.Size
	}
	return p.pos-event-1 < n
}

func (p *packed) used() (uint16, uint32, bool) {
	at := int(p.usedPos) * 16
	w := p.desc.load(at + 12)
	if avail, used := w>>16&packedAvail != 0, w>>16&packedUsed != 0; avail != used || used != p.usedWrap {
		return 0, 0, false
	}
	id, n := uint16(w), p.desc.load(at+8)
	p.usedPos += p.count[id]
	if p.usedPos >= p.q.Size {
		p.usedPos -= p.q.Size
		p.usedWrap = !p.usedWrap
	}
	p.room += int(p.count[id])
	p.free = append(p.free, id)
	return id, n, true
}

func (p *packed) listen() {
	if !p.event {
		return
	}
	e := uint32(p.usedPos) | 2<<16
	if p.usedWrap {
		e |= 1 << 15
	}
	p.driver.store(0, e)
}
