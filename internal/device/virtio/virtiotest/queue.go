package virtiotest

// Virtqueues as the driver keeps them.

import (
	"sync/atomic"
	"unsafe"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// Queue is the driver's side of a virtqueue.
type Queue struct {
	Size                 uint16
	Desc, Driver, Device memory.GPA // as in virtio.QueueConfig

	d        *Driver
	n        int
	ring     ring
	indirect bool
}

// ring is one format. Neither implementation allocates.
type ring interface {
	// add makes a chain available; ok is false where the ring is full.
	add(bufs []Buf, indirect memory.GPA) (id uint16, ok bool)
	// kick says whether the device wants to hear of what was added since the last kick.
	kick() bool
	// used takes the next used chain.
	used() (id uint16, written uint32, ok bool)
	// listen asks for an interrupt for the next used chain.
	listen()
}

func newQueue(d *Driver, n int, size uint16) *Queue {
	q := &Queue{Size: size, d: d, n: n, indirect: d.features&virtio.FeatureIndirectDesc != 0}
	q.Desc = d.Alloc(uint64(size)*16, 16)
	event := d.features&virtio.FeatureEventIdx != 0
	if d.features&virtio.FeatureRingPacked != 0 {
		q.Driver, q.Device = d.Alloc(4, 4), d.Alloc(4, 4)
		q.ring = newPacked(q, event)
	} else {
		q.Driver = d.Alloc(uint64(size)*2+6, 4)
		q.Device = d.Alloc(uint64(size)*8+6, 4)
		q.ring = newSplit(q, event)
	}
	return q
}

// Add makes a request available and returns its id. The ring must have room.
func (q *Queue) Add(bufs ...Buf) uint16 {
	var table memory.GPA
	if q.indirect && len(bufs) > 1 {
		table = q.d.Alloc(uint64(len(bufs))*16, 16)
	}
	id, ok := q.ring.add(bufs, table)
	if !ok {
		q.d.t.Fatalf("virtiotest: queue %d is full", q.n)
	}
	return id
}

// Kick notifies the device if it wants that, and says whether it did.
func (q *Queue) Kick() bool {
	if q.ring.kick() {
		q.d.Notify(q.n)
		return true
	}
	return false
}

// Used takes the next request the device has finished, where there is one.
func (q *Queue) Used() (id uint16, written uint32, ok bool) { return q.ring.used() }

// Listen asks for an interrupt for the next request the device finishes. Without FeatureEventIdx there is one for each.
func (q *Queue) Listen() { q.ring.listen() }

// Wait takes the next request the device finishes, sleeping until an interrupt says so.
func (q *Queue) Wait() (id uint16, written uint32) {
	for {
		if id, written, ok := q.ring.used(); ok {
			return id, written
		}
		q.Listen()
		if id, written, ok := q.ring.used(); ok {
			return id, written
		}
		q.d.Line.Wait()
		q.d.acknowledge()
	}
}

// Do makes one request and waits for it. It returns the number of bytes the device wrote.
func (q *Queue) Do(bufs ...Buf) uint32 {
	q.d.t.Helper()
	want := q.Add(bufs...)
	q.Kick()
	id, n := q.Wait()
	if id != want {
		q.d.t.Fatalf("queue %d: request %d came back, not %d", q.n, id, want)
	}
	return n
}

// shared is guest memory that both sides use at once, by aligned words.
type shared struct{ base unsafe.Pointer }

func share(q *Queue, a memory.GPA, n uint64) shared {
	b, err := q.d.RAM.Slice(a, n)
	if err != nil {
		q.d.t.Fatal(err)
	}
	clear(b)
	return shared{unsafe.Pointer(unsafe.SliceData(b))}
}

func (s shared) word(off int) *uint32 { return (*uint32)(unsafe.Add(s.base, off)) }

func (s shared) load(off int) uint32 { return atomic.LoadUint32(s.word(off)) }

// A swap, because under the race detector a store does not keep later loads behind it.
func (s shared) store(off int, v uint32) { atomic.SwapUint32(s.word(off), v) }

// load16 and store16 reach a halfword through the word that holds it.
func (s shared) load16(off int) uint16 { return uint16(s.load(off&^3) >> (8 * (off & 2))) }

func (s shared) store16(off int, v uint16) {
	shift := 8 * (off & 2)
	for {
		old := s.load(off &^ 3)
		if atomic.CompareAndSwapUint32(s.word(off&^3), old, old&^(0xFFFF<<shift)|uint32(v)<<shift) {
			return
		}
	}
}

// descriptor writes one descriptor, whose last two fields differ between the formats.
func (s shared) descriptor(off int, b Buf, w uint32) {
	*(*uint64)(unsafe.Add(s.base, off)) = uint64(b.Addr)
	*(*uint32)(unsafe.Add(s.base, off+8)) = b.Len
	s.store(off+12, w)
}

const (
	flagNext     = 1
	flagWrite    = 2
	flagIndirect = 4
)

func writeFlag(b Buf) uint32 {
	if b.Write {
		return flagWrite
	}
	return 0
}
