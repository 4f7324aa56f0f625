package jit

// The optimizing tier: when regions are made, and how they take over.
//
// A hart whose budget has been refilled some times says where it is: at a jump back, at the target of a call or of a computed jump, or at the end of a long block.
// Where it is often is hot. Another goroutine makes the region around that place (package opt) from a copy of the page, and only the emission
// of its code happens under the machine's lock. The page must not have been dropped since it was copied; if it has been written without, its next
// fence drops the region with it.
//
// Every entry of a block begins with a no-operation that is big enough for a jump. That becomes a jump to the region, by one aligned store,
// so that everything that leads to the block, in code, tables, and what harts remember, leads to the region. Where the region finds at its
// entry that an assumption does not hold, it goes on behind the no-operation.

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Tier says what is done with hot code.
type Tier uint8

const (
	TierAuto      Tier = iota // hot loops are optimized
	TierBaseline              // nothing
	TierOptimized             // every block becomes a region at once: for tests
)

// RegionOptions are the settings of regions; 0 stands for the default of each.
type RegionOptions struct {
	Guest     int // most guest instructions of a region
	Straight  int // most guest instructions of one that is a straight line
	Turns     int // turns of a loop that become one
	Every     int // refills of the budget between samples
	Threshold int // samples of a place that make it hot

	// Loops: with TierOptimized only what would be a region with TierAuto becomes one, loops and long straight lines.
	Loops bool
}

const (
	defaultRegion    = 400
	defaultStraight  = 1000
	defaultTurns     = 4
	defaultEvery     = 6
	defaultThreshold = 12
	maxRequests      = 16
	maxRegion        = 3 * maxBlock // bytes of code
)

// place is an offset in a page of translations.
type place struct {
	page pageKey
	off  uint16
}

// request is a place that is hot, and its address for the hart that was there: in listings.
type request struct {
	place
	va uint64
}

// tier is the optimizing tier of a machine.
type tier struct {
	mode   Tier
	set    RegionOptions
	mirror Mirroring
	queue  chan request
	memory opt.Memory // of the region that is being made: the optimizer's
	once   sync.Once
	done   chan struct{}
}

func (t *tier) init(o *Options) {
	t.mode, t.set, t.mirror = o.Tier, o.Region, o.Mirror
	if t.set.Guest == 0 {
		t.set.Guest = defaultRegion
	}
	if t.set.Straight == 0 {
		t.set.Straight = defaultStraight
	}
	if t.set.Turns == 0 {
		t.set.Turns = defaultTurns
	}
	if t.set.Every == 0 {
		t.set.Every = defaultEvery
	}
	if t.set.Threshold == 0 {
		t.set.Threshold = defaultThreshold
	}
	t.queue = make(chan request, maxRequests)
	t.done = make(chan struct{})
}

// every is how many refills come before the next sample.
func (t *tier) every() int64 {
	if t.mode != TierAuto && t.mirror != MirrorAuto {
		return 1 << 62
	}
	return int64(t.set.Every)
}

// stop ends the goroutine, once it has done what it was asked. No hart runs, and Machine.mu is not held.
func (t *tier) stop() {
	if t.queue == nil {
		return
	}
	started := true
	t.once.Do(func() { started = false })
	close(t.queue)
	if started {
		<-t.done
	}
	t.queue = nil
}

// samples is what a hart has seen of hot places. It belongs to the goroutine that runs the hart.
type samples struct {
	seen map[place]int
	of   uint64 // Machine.epoch when they were taken
	vary uint16
}

// jitter makes slices differ, lest they always end at the same places of a program.
func (s *samples) jitter() uint16 { return s.vary }

const maxSamples = 4096

// sample counts where the hart is.
func (e *Engine) sample() {
	h, t := e.h, &e.m.tier
	h.Samples = t.every()
	e.warm()
	e.vary = uint16(rand.Uint32() & 1023)
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(h.PC)]
	if t.mode != TierAuto || f.Tag != h.PC&^memory.PageMask {
		return
	}
	if e.seen == nil || len(e.seen) > maxSamples || e.of != e.epoch {
		e.seen, e.of = map[place]int{}, e.epoch // pages have been dropped, and regions with them
	}
	at := place{keyOf(f.GPA, e.mode()), uint16(h.PC & memory.PageMask)}
	e.seen[at]++
	if e.seen[at] != t.set.Threshold {
		return
	}
	t.once.Do(func() { go e.m.optimizer(t.queue) })
	select {
	case t.queue <- request{at, h.PC}:
	default:
		e.seen[at]-- // later
	}
}

// optimizer makes the regions that are asked for.
func (m *Machine) optimizer(queue <-chan request) {
	defer close(m.tier.done)
	for at := range queue {
		m.optimize(at)
	}
}

// optimize makes the region around a place, unless it has one.
func (m *Machine) optimize(at request) {
	began := time.Now()
	m.mu.Lock()
	p := m.pages[at.page]
	if p == nil || !p.watched || p.inner.get(at.off) == 0 || p.regions[at.off] != nil {
		m.mu.Unlock()
		return
	}
	cleared := p.cleared
	s, err := m.source(p, at.off)
	known := map[uint16]bool{}
	for off := range p.inner.offsets {
		known[off] = true
	}
	regions := maps.Clone(p.regions)
	m.mu.Unlock()
	if err != nil {
		return
	}
	s.Known = func(off uint16) bool { return known[off] }
	s.Memory = &m.tier.memory
	defer s.Memory.Reset()
	s.Loops = true
	s.Head = opt.Head(s)
	if is := regions[s.Head]; is != nil && s.Head != at.off {
		if is.Has(at.off) { // what comes here soon comes to that region's head
			m.mu.Lock()
			m.stats.RegionsRefused++
			m.mu.Unlock()
			return
		}
		s.Head = at.off
	}
	r := plan(s)
	if r == nil && s.Head != at.off {
		s.Head = at.off
		r = plan(s)
	}
	took := time.Since(began)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r == nil {
		m.stats.RegionsRefused++
		return
	}
	if m.pages[at.page] != p || p.cleared != cleared || !p.watched || p.inner.get(s.Head) == 0 {
		return
	}
	began = time.Now()
	m.install(p, r, s, at.va)
	m.stats.RegionTime += took + time.Since(began)
}

// source is the code of a page, copied. The lock is held.
func (m *Machine) source(p *page, off uint16) (*opt.Source, error) {
	bytes, err := m.ram.Slice(memory.GPA(p.gpa), memory.PageSize)
	if err != nil {
		return nil, err
	}
	return &opt.Source{Bytes: append([]byte(nil), bytes...), Page: p.gpa, Head: off, Max: m.tier.set.Guest, Straight: m.tier.set.Straight, Turns: m.tier.set.Turns,
		Mirrored: p.mode == mirrorMode}, nil
}

// plan makes a region and finds places for its values. Nil: none that would be worth it. A straight line that is too long for all of its values to have one
// becomes shorter.
func plan(s *opt.Source) *opt.Region {
	t, now := amd64.RegionTarget(), *s
	for {
		r := opt.Find(&now)
		if r == nil {
			return nil
		}
		switch done := r.Optimize(t); {
		case done && r.Missed():
			now.Unrolls = true
		case done:
			return r
		case !r.Straight:
			return nil
		default:
			now.Straight /= 2
		}
	}
}

// optimizeNow is for tests. The lock is held; va is the address of the place.
func (m *Machine) optimizeNow(p *page, off uint16, va uint64) {
	if p.regions[off] != nil {
		return
	}
	s, err := m.source(p, off)
	if err != nil {
		return
	}
	s.Loops = m.tier.set.Loops
	if r := plan(s); r != nil {
		m.install(p, r, s, va)
	}
}

// install writes the code of a region, made of a source, and lets it take over. va is an address in the page, for listings. The lock is held.
func (m *Machine) install(p *page, r *opt.Region, s *opt.Source, va uint64) {
	if !m.openRegion(maxRegion) {
		return // the next block that is compiled makes room
	}
	off := uint16(r.Head.Off)
	mem, _ := m.region.Alloc(maxRegion)
	base := uintptr(m.arena.Base())
	from := p.inner.get(off)
	m.compiler.Mirrored, m.compiler.Apart = p.mode == mirrorMode, m.kept.store != nil
	listing := m.dump.beginRegion(m.compiler, r, s, va)
	out, err := m.compiler.CompileRegion(r, mem.Bytes, uintptr(mem.Addr), base+uintptr(from)+amd64.PatchSize, func(target int32, plain bool) (uintptr, bool) {
		at := p.entry(uint16(target), plain)
		return base + uintptr(at), at != 0
	})
	listing.end(out, &m.routines, uintptr(mem.Addr))
	if err != nil {
		m.region.Trim(0)
		m.stats.RegionsRefused++
		return
	}
	m.region.Trim(len(out.Bytes))
	start := uint32(mem.Addr - m.arena.Base())
	m.inRegion[m.region].add(p, start, out.Faults)
	extent := r.Extent()
	if m.kept.store != nil {
		m.keepCode(p, (*[memory.PageSize]byte)(s.Bytes), off, start, &out, from+amd64.PatchSize, extent)
		m.complete(p, start, out.Links)
	}
	m.takeOver(p, off, from, start+uint32(out.Outer), start+uint32(out.Inner), extent)
	m.stats.Regions++
	m.stats.RegionGuest += uint64(r.Guest)
	m.stats.RegionBytes += uint64(len(out.Bytes))
	m.name(mem.Addr, len(out.Bytes), fmt.Sprintf("guest region (%x)", p.gpa+uint64(off)))
}

// takeOver lets a region whose code is complete take over from what is at a distance from the start of code memory. The lock is held.
func (m *Machine) takeOver(p *page, off uint16, from, outer, inner uint32, extent *opt.Extent) {
	if p.regions == nil {
		p.regions = map[uint16]*opt.Extent{}
	}
	p.regions[off] = extent
	m.patchEntry(m.arena.Base()+code.Addr(from), m.arena.Base()+code.Addr(inner))
	p.inner.put(off, inner)
	atomic.StoreUint32(&p.table[off/2], outer)
}

// patchEntry makes the no-operation at an address a jump. It lies within one aligned word, which nobody else changes: the lock is held.
func (m *Machine) patchEntry(at, to code.Addr) {
	jump := [amd64.PatchSize]byte{0xE9}
	binary.LittleEndian.PutUint32(jump[1:], uint32(to-(at+amd64.PatchSize)))
	m.arena.PatchWord(at, jump[:])
}
