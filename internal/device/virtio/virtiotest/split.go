package virtiotest

import "github.com/vmproject/vm/internal/memory"

// split is the driver's side of a split ring (virtio 1.3 §2.7).
type split struct {
	q                  *Queue
	desc, avail, usedR shared
	event              bool
	free               []uint16 // unused descriptors
	next               []uint16 // of each descriptor in use; its own index ends a chain
	idx, kicked, seen  uint16   // avail.idx, as of the last kick; used entries taken
}

func newSplit(q *Queue, event bool) *split {
	n := uint64(q.Size)
	s := &split{
		q: q, event: event, next: make([]uint16, n),
		desc: share(q, q.Desc, n*16), avail: share(q, q.Driver, n*2+6), usedR: share(q, q.Device, n*8+6),
	}
	for i := range q.Size {
		s.free = append(s.free, q.Size-1-i)
	}
	return s
}

func (s *split) add(bufs []Buf, indirect memory.GPA) (uint16, bool) {
	if indirect != 0 {
		table := share(s.q, indirect, uint64(len(bufs))*16)
		for i, b := range bufs {
			w := writeFlag(b)
			if i < len(bufs)-1 {
				w |= flagNext | uint32(i+1)<<16
			}
			table.descriptor(i*16, b, w)
		}
		if len(s.free) == 0 {
			return 0, false
		}
		id := s.take()
		s.next[id] = id
		s.desc.descriptor(int(id)*16, Buf{Addr: indirect, Len: uint32(len(bufs) * 16)}, flagIndirect)
		s.publish(id)
		return id, true
	}
	if len(s.free) < len(bufs) {
		return 0, false
	}
	head := s.take()
	for i, id := 0, head; i < len(bufs); i++ {
		w := writeFlag(bufs[i])
		s.next[id] = id
		following := id
		if i < len(bufs)-1 {
			following = s.take()
			s.next[id] = following
			w |= flagNext | uint32(following)<<16
		}
		s.desc.descriptor(int(id)*16, bufs[i], w)
		id = following
	}
	s.publish(head)
	return head, true
}

func (s *split) take() uint16 {
	id := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return id
}

func (s *split) publish(head uint16) {
	s.avail.store16(4+2*int(s.idx%s.q.Size), head)
	s.idx++
	s.avail.store16(2, s.idx)
}

func (s *split) kick() bool {
	old := s.kicked
	s.kicked = s.idx
	if s.event {
		return s.idx-s.usedR.load16(4+8*int(s.q.Size))-1 < s.idx-old
	}
	return s.usedR.load16(0)&1 == 0
}

func (s *split) used() (uint16, uint32, bool) {
	if s.usedR.load16(2) == s.seen {
		return 0, 0, false
	}
	e := 4 + 8*int(s.seen%s.q.Size)
	id, n := uint16(s.usedR.load(e)), s.usedR.load(e+4)
	s.seen++
	for i := id; ; i = s.next[i] {
		s.free = append(s.free, i)
		if s.next[i] == i {
			return id, n, true
		}
	}
}

func (s *split) listen() {
	if s.event {
		s.avail.store16(4+2*int(s.q.Size), s.seen)
	}
}
