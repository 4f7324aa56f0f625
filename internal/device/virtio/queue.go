package virtio

// Queue: a live virtqueue as a device uses it. The two ring formats (split.go, packed.go) sit behind one small interface;
// this file holds what they share: the pool of chains, the locking, and what happens when a driver breaks the rules.

import (
	"fmt"
	"sync"

	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/alloc"
)

// ring is one ring format over guest memory. Calls are made with Queue.mu held.
type ring interface {
	// ready says whether there is an available chain; where there is none notifications are on. An error means the driver broke the rules.
	ready() (ok bool, err error)
	// next fills c from the available chain of which ready has told. After an error c may be half filled.
	next(c *Chain) error
	// put puts a chain on the used ring, where the driver may see it from then on, or from publish on.
	put(c *Chain, written uint32)
	// publish makes all that was put visible and says whether the driver wants an interrupt for it. The last thing that it or put has written was by an
	// atomic swap.
	publish() (interrupt bool)
}

// Queue is a virtqueue between DRIVER_OK and reset. Its methods may be called from any goroutine and never block for long.
type Queue struct {
	index  int
	size   uint16
	asks   bool // next may write where it wants to be notified: the event index
	signal *signals
	code   *memory.CodeMap
	rings  []memory.Span // what the device writes of the rings

	mu      sync.Mutex // taken inside the transport's and the device's mutexes; signals.mu is taken inside it, and what a device takes between Lock and Unlock
	ring    ring
	free    alloc.Pool[Chain] // chains the device has returned
	stopped bool              // reset or broken: the rings are not touched any more
}

// QueueConfig is where a driver put a virtqueue (virtio 1.3 §2.6).
type QueueConfig struct {
	Size   uint16
	Desc   memory.GPA // descriptor table; packed: descriptor ring
	Driver memory.GPA // available ring; packed: driver event suppression
	Device memory.GPA // used ring; packed: device event suppression
}

func newQueue(ram *memory.RAM, index int, cfg QueueConfig, features uint64, s *signals) (*Queue, error) {
	var r ring
	var err error
	if features&FeatureRingPacked != 0 {
		r, err = newPackedRing(ram, cfg, features)
	} else {
		r, err = newSplitRing(ram, cfg, features)
	}
	if err != nil {
		return nil, fmt.Errorf("virtio: queue %d: %w", index, err)
	}
	q := &Queue{index: index, size: cfg.Size, asks: features&FeatureEventIdx != 0, signal: s, code: ram.Code(), ring: r}
	q.free.Poison = func(c *Chain) { *c = Chain{id: 0xdead} } // no buffers
	if features&FeatureRingPacked != 0 {
		q.rings = []memory.Span{{At: cfg.Desc, N: uint64(cfg.Size) * descSize}, {At: cfg.Device, N: 4}}
	} else {
		q.rings = []memory.Span{{At: cfg.Device, N: usedRing + uint64(cfg.Size)*8 + 2}}
	}
	return q, nil
}

// ringArea is one part of a ring, checked for place and alignment.
func ringArea(ram *memory.RAM, what string, a memory.GPA, n, align uint64) (area, error) {
	if uint64(a)%align != 0 {
		return nil, fmt.Errorf("%s at %#x is not aligned to %d", what, uint64(a), align)
	}
	b, err := ram.Slice(a, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return b, nil
}

// Size is the number of ring entries.
func (q *Queue) Size() int { return int(q.size) }

// Next takes the next chain the driver made available. It returns nil, false when there is none, or when the queue is stopped;
// in the first case the driver will notify about the next one. Next does not allocate once the queue has been full.
func (q *Queue) Next() (*Chain, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.next()
}

// Lock gives the queue to its caller, for TakeLocked and DoneLocked: a device that answers at once need not lock it for either. Everybody else waits, so what
// is done meanwhile is to be short, and to call no other method of the queue. With Unlock it makes a Queue a [sync.Locker].
func (q *Queue) Lock() { q.mu.Lock() }

// Unlock ends what Lock began.
func (q *Queue) Unlock() { q.mu.Unlock() }

// TakeLocked is Next for as many chains as there are, up to len(into), and returns how many. Fewer than len(into) means that the driver will notify about
// the next one, as with Next. Precondition: the queue is locked.
func (q *Queue) TakeLocked(into []*Chain) int {
	for n := range into {
		c, ok := q.next()
		if !ok {
			return n
		}
		into[n] = c
	}
	return len(into)
}

// next is Next with mu held.
func (q *Queue) next() (*Chain, bool) {
	if q.stopped {
		return nil, false
	}
	ok, err := q.ring.ready()
	if ok {
		c := q.free.Get()
		c.reset()
		if err = q.ring.next(c); err == nil {
			return c, true
		}
		q.free.Put(c)
	}
	if q.asks {
		q.noteRings()
	}
	if err != nil {
		q.stopped = true
		q.signal.NeedsReset(fmt.Errorf("queue %d: %w", q.index, err))
	}
	return nil, false
}

// Done gives a chain back to the driver, with the number of bytes written to its Writable part from the start, and interrupts
// the driver if it asked for that. On a stopped queue the chain is only recycled. The chain must not be used afterwards.
//
// Every byte a device writes to guest memory is written before this call, which notes it for a translator, before the driver
// hears of it; all of the Writable part, because a request that failed may have written more than it says.
func (q *Queue) Done(c *Chain, written uint32) {
	used := [1]Used{{c, written}}
	q.DoneAll(used[:])
}

// Used is a chain on its way back to the driver.
type Used struct {
	Chain   *Chain
	Written uint32 // bytes of the Writable part, from the start
}

// DoneAll is Done for several chains, in their order, with one interrupt at most.
func (q *Queue) DoneAll(used []Used) {
	q.mu.Lock()
	q.DoneLocked(used)
	q.mu.Unlock()
}

// DoneLocked is DoneAll. Precondition: the queue is locked.
func (q *Queue) DoneLocked(used []Used) {
	if len(used) == 0 {
		return
	}
	if q.stopped {
		// What was written before it was stopped is to be known all the same.
		for i := range used {
			q.code.NoteAll(used[i].Chain.writes)
			q.free.Put(used[i].Chain)
		}
		return
	}
	for i := range used {
		c := used[i].Chain
		q.code.NoteAll(c.writes)
		q.ring.put(c, used[i].Written)
		q.free.Put(c)
	}
	interrupt := q.ring.publish()
	q.noteRings()
	if interrupt {
		q.signal.queueInterrupt(q.index) // before unlocking: a queue that is stopped does not interrupt
	}
}

// noteRings notes what the device writes of the rings.
func (q *Queue) noteRings() { q.code.NoteAll(q.rings) }

// stop cuts the queue off from guest memory.
func (q *Queue) stop() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
}
