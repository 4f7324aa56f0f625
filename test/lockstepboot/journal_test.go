package lockstepboot

// What passes between a hart and its devices: the accesses of the board's hart are noted down with their answers, and the reference has the
// same answers to the same accesses; wires are driven so that both harts see them change at the same instruction.

import (
	"fmt"
	"sync"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
)

// access is one, as a digest and a reader need it.
type access struct {
	store  bool
	at     memory.GPA
	size   int
	value  uint64 // stored, or the answer
	fallen []uint // bits of mip that it made fall
}

func (a *access) String() string {
	what := "load"
	if a.store {
		what = "store"
	}
	return fmt.Sprintf("%s of %d bytes at %#x, %#x", what, a.size, uint64(a.at), a.value)
}

// same says whether the other hart does the same access. What a load answers is not asked: only one of them knows.
func (a *access) same(b *access) bool {
	return a.store == b.store && a.at == b.at && a.size == b.size && (!a.store || a.value == b.value)
}

// digest of all accesses of one hart; it is part of the state that is compared.
type digest struct {
	sum   uint64
	count uint64
}

func (d *digest) mix(a *access) {
	d.count++
	kind := uint64(a.size)
	if a.store {
		kind |= 0x80
	}
	for _, v := range [...]uint64{uint64(a.at)<<8 | kind, a.value} {
		d.sum = (d.sum ^ v) * 0x9e37_79b9_7f4a_7c15
		d.sum ^= d.sum >> 29
	}
}

// journal is between both harts and the devices.
type journal struct {
	tested, reference digest
	log               []access // of the board's hart, in the present step
	next              int      // of log: the reference's
	strange           string   // the first access of the reference that the board's hart did not do

	mu      sync.Mutex   // a leaf but for Hart.mu; guards what follows against the goroutines of devices
	harts   []*hart.Hart // the board's, then the reference, when there is one
	running bool         // a round is on
	current *access      // of the board's hart, while a device handles it
	level   map[uint]bool
	changed []uint // bits of mip whose level is to be told at the end of the round
}

// join makes a hart see the wires.
func (j *journal) join(h *hart.Hart) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.harts = append(j.harts, h)
	for bit, level := range j.level {
		h.SetPending(bit, level)
	}
}

// line is the wire to a bit of mip.
func (j *journal) line(bit uint) device.Line {
	return device.LineFunc(func(level bool) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.level[bit] = level
		switch {
		case !j.running:
			for _, h := range j.harts {
				h.SetPending(bit, level)
			}
		case !level && j.current != nil:
			// At once: a handler must not be entered again for what it has just acknowledged.
			j.harts[0].SetPending(bit, false)
			j.current.fallen = append(j.current.fallen, bit)
		default:
			j.changed = append(j.changed, bit)
		}
	})
}

// begin begins a round.
func (j *journal) begin() {
	j.mu.Lock()
	j.running = true
	j.mu.Unlock()
}

// turn is called after each step.
func (j *journal) turn() {
	j.log, j.next = j.log[:0], 0
}

// end ends a round: both harts see what has changed.
func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running = false
	for _, bit := range j.changed {
		for _, h := range j.harts {
			h.SetPending(bit, j.level[bit])
		}
	}
	j.changed = j.changed[:0]
}

// do has a device handle an access of the board's hart, and everything that follows from it come to rest.
func (j *journal) do(a access, handle func() uint64) uint64 {
	j.mu.Lock()
	j.current = &a
	j.mu.Unlock()
	v := handle()
	synctest.Wait()
	j.mu.Lock()
	j.current = nil
	j.mu.Unlock()
	if !a.store {
		a.value = v
	}
	j.tested.mix(&a)
	j.log = append(j.log, a)
	return v
}

// repeat answers an access of the reference.
func (j *journal) repeat(a access) uint64 {
	if j.next < len(j.log) && j.log[j.next].same(&a) {
		noted := &j.log[j.next]
		j.next++
		a.value = noted.value
		for _, bit := range noted.fallen {
			j.harts[1].SetPending(bit, false)
		}
	} else if j.strange == "" {
		j.strange = fmt.Sprintf("the reference does an access that the engine under test does not: %v; it does: %v", &a, j.log[min(j.next, len(j.log)):])
	}
	j.reference.mix(&a)
	return a.value
}

// recorder is a device for the board's hart.
type recorder struct {
	*journal
	base memory.GPA
	dev  device.Device
}

func (r *recorder) Load(off uint64, size int) uint64 {
	return r.do(access{at: r.base + memory.GPA(off), size: size}, func() uint64 { return r.dev.Load(off, size) })
}

func (r *recorder) Store(off uint64, size int, v uint64) {
	r.do(stored(r.base, off, size, v), func() uint64 { r.dev.Store(off, size, v); return 0 })
}

// stored is a store; of v, an engine may leave anything above size.
func stored(base memory.GPA, off uint64, size int, v uint64) access {
	return access{store: true, at: base + memory.GPA(off), size: size, value: v & (^uint64(0) >> (64 - 8*size))}
}

// repeater is the same device for the reference.
type repeater struct {
	*journal
	base memory.GPA
}

func (r *repeater) Load(off uint64, size int) uint64 {
	return r.repeat(access{at: r.base + memory.GPA(off), size: size})
}

func (r *repeater) Store(off uint64, size int, v uint64) { r.repeat(stored(r.base, off, size, v)) }

// buses makes the buses of both harts of a board's.
func (j *journal) buses(b *device.Bus) (recorded, repeated *device.Bus, err error) {
	recorded, repeated = new(device.Bus), new(device.Bus)
	b.Each(func(base memory.GPA, size uint64, name string, dev device.Device) {
		if err == nil {
			err = recorded.Map(base, size, name, &recorder{j, base, dev})
		}
		if err == nil {
			err = repeated.Map(base, size, name, &repeater{j, base})
		}
	})
	return recorded, repeated, err
}
