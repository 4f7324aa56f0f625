package jit

// The cache of translations of a machine: found by guest physical page and offset, shared by its harts.
//
// A page that has translations has a table, outside the Go heap, of where each begins; generated code looks there by itself. Pages
// are dropped when they have changed and a hart executes FENCE.I, and with the region of code memory that some of their code is in.
//
// Links between translations stay inside a page, so that a page is dropped by clearing its table. A hart that still executes its code, or
// remembers addresses of it, may go on until it fences itself, or until [Machine.evict] has had an answer from every hart.

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/engine/jit/optimize"
	"github.com/vmproject/vm/internal/engine/jit/rv64"
	"github.com/vmproject/vm/internal/memory"
)

// What a machine may spend, whatever the number of its harts.
const (
	CodeSize   = 64 << 20 // bytes of code memory
	regionSize = 1 << 20
	maxPages   = 8192 // pages with translations, unless Options say otherwise
	maxBlock   = 64 << 10
)

// offsets of a table: one for each halfword of a page.
type table [memory.PageSize / 2]uint32

// mode is what decides, beside the bytes, how code is translated.
type mode uint8

const (
	plainMode  mode = iota
	mirrorMode      // its loads and stores go to a mirror
	numModes
)

// pageKey names a page of translations: a physical address, and in its low bits the mode.
type pageKey uint64

func keyOf(gpa uint64, m mode) pageKey { return pageKey(gpa | uint64(m)) }

// page is a guest page with translations of one mode. Guarded by Machine.mu.
type page struct {
	gpa     uint64
	mode    mode
	table   *table // outer entries, as distances from the start of code memory; 0: none
	watched bool
	cleared uint64 // counts calls of clear: who watches the page with the lock released learns that it was in vain
	inner   entries
	plain   entries                // inner entries, and the only ones that are used
	regions map[uint16]*opt.Extent // by offset: where regions of the optimizing tier have taken over, and what code they are of
	// feeds are the pages that have bytes of this one in their translations.
	feeds   []*page
	changes int  // how often the guest has changed it
	taken   bool // what is kept of earlier runs is in its place: see kept.go
}

// Machine is the translations of one machine.
type Machine struct {
	ram      *memory.RAM
	arena    *code.Arena
	routines amd64.Routines
	maxGuest int
	began    time.Time     // what durations are counted from: that reads one clock, time.Now two
	perf     *code.PerfMap // nil: nobody wants names
	symbol   func(va uint64) (string, bool)

	background sync.WaitGroup // of prepareTables

	mu       sync.Mutex // guards all that follows; nobody waits for a hart with it held
	harts    []*Engine
	compiler *amd64.Compiler
	block    ir.Block
	builder  rv64.Builder
	scratch  []ir.Inst
	asks     *Engine // the hart that translates now
	of       *page   // what it translates
	guest    rv64.Code
	resolver func(target int32, plain bool) (uintptr, bool) // resolve
	region   *code.Region
	inRegion map[*code.Region]*residents
	pages    map[pageKey]*page
	tables   []byte           // mapping that tables are cut from
	byPage   [numModes]tables // those of watched pages
	spare    []*table
	fresh    int    // of the tables that were never used, how many are not ready either
	epoch    uint64 // counts drops: a hart that has seen another number remembers what is gone
	freed    uint64 // counts regions freed
	evicting bool
	stats    Stats
	left     counts  // of harts that are closed
	dump     *dumper // nil: nobody wants listings
	tier     tier
	kept     kept

	mirroring Mirroring
	warm      int
}

// Options are the settings of a machine's translator.
type Options struct {
	CodeSize int           // bytes; a multiple of 1 MiB; 0 for the default
	Pages    int           // most guest pages with translations; 0 for the default
	PerfMap  *code.PerfMap // names translations for Linux perf
	// Symbol names a guest virtual address for PerfMap and Dump, as in memcpy+0x10; nil: none has a name. It may not wait for anything.
	Symbol   func(va uint64) (string, bool)
	Dump     *Dump       // what translations to list; nil: none
	Without  asm.Feature // features of the host that are not used
	MaxGuest int         // most guest instructions of a block; 0 for the default
	Tier     Tier        // what is done with hot code
	Region   RegionOptions
	Mirror   Mirroring // which address spaces the host's processor translates
	Count    bool      // loads and stores are counted, which costs speed: see Engine.Report
	Warm     int       // samples of where a hart is that give an address space a mirror; 0 for the default
	// Keep is the folder that translations are kept in from one run to the next; empty: they are not. With Dump they are not either, as what is not translated cannot be listed.
	Keep        string
	KeepNothing bool // in spite of Keep
}

// NewMachine makes the translations of a machine with some RAM, empty. The error wraps code.ErrForbidden where the host does not allow
// generated code.
func NewMachine(ram *memory.RAM, o Options) (*Machine, error) {
	if o.CodeSize == 0 {
		o.CodeSize = CodeSize
	}
	if o.MaxGuest == 0 {
		o.MaxGuest = rv64.MaxGuest
	}
	if o.Pages == 0 {
		o.Pages = maxPages
	}
	newArena := code.New
	if o.PerfMap != nil {
		newArena = code.NewForPerf
	}
	arena, err := newArena(o.CodeSize, regionSize)
	if err != nil {
		return nil, err
	}
	m := &Machine{ram: ram, maxGuest: o.MaxGuest, began: time.Now(), arena: arena, pages: map[pageKey]*page{}, inRegion: map[*code.Region]*residents{}}
	m.perf, m.symbol = o.PerfMap, o.Symbol
	// Made once, as they would be garbage of every block.
	m.guest.Next = func() (uint16, uint64, bool) { return m.asks.nextPage(m.of) }
	m.resolver = m.resolve
	m.tier.init(&o)
	if o.Dump != nil {
		m.dump = &dumper{Dump: *o.Dump, symbol: o.Symbol}
	}
	if err := m.start(asm.Host()&^o.Without, o.Pages); err != nil {
		return nil, errors.Join(err, m.release())
	}
	m.compiler.Counting = o.Count
	if o.Warm == 0 {
		o.Warm = defaultWarm
	}
	m.mirroring, m.warm = o.Mirror, o.Warm
	m.startMirroring()
	if o.Keep != "" && !o.KeepNothing && m.dump == nil {
		m.openKept(o.Keep)
	}
	return m, nil
}

func (m *Machine) start(has asm.Feature, pages int) error {
	// Routines come first and stay: their region is never sealed.
	r, err := m.arena.Open()
	if err != nil {
		return err
	}
	b, _ := r.Alloc(maxBlock)
	var n []byte
	if m.routines, n, err = amd64.MakeRoutines(has, b.Bytes, uintptr(b.Addr)); err != nil {
		return fmt.Errorf("making the translator's routines: %w", err)
	}
	r.Trim(len(n))
	m.arena.Prepare()
	m.name(b.Addr, len(n), "vm: routines")
	m.compiler = amd64.New(has, m.routines, uintptr(m.arena.Base()))
	m.compiler.Patchable = m.tier.mode != TierBaseline
	m.tables, err = unix.Mmap(-1, 0, pages*int(unsafe.Sizeof(table{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("mapping the tables of translations: %w", err)
	}
	for i := range m.byPage {
		if m.byPage[i], err = newTables(m.ram); err != nil {
			return err
		}
	}
	for i := range pages {
		// Safe: the mapping is page aligned and that many tables long, holds no pointers, and stays until Close.
		m.spare = append(m.spare, (*table)(unsafe.Pointer(&m.tables[i*int(unsafe.Sizeof(table{}))])))
	}
	m.fresh = pages
	m.prepareTables()
	return nil
}

// leave is called when an engine is closed.
func (m *Machine) leave(e *Engine) error {
	m.mu.Lock()
	i := slices.Index(m.harts, e)
	if i < 0 {
		m.mu.Unlock()
		return nil
	}
	m.left.add(&e.counts)
	m.harts = slices.Delete(m.harts, i, i+1)
	m.mu.Unlock()
	return m.Close()
}

// Close gives everything back, if no engine has been made; else the last of them does when it is closed.
func (m *Machine) Close() error {
	m.mu.Lock()
	used := len(m.harts) > 0
	m.mu.Unlock()
	if used {
		return nil
	}
	m.tier.stop() // without the lock, which it may be waiting for
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.release()
}

// Try makes a small machine, and returns what of the host's processor one would use. The error says why this host cannot have any.
func Try() (asm.Feature, error) {
	m, err := NewMachine(nil, Options{CodeSize: 2 * regionSize, Pages: 1})
	if err != nil {
		return 0, err
	}
	return m.compiler.Features(), m.Close()
}

// release gives everything back. No hart may run.
func (m *Machine) release() error {
	var err error
	m.closeKept()
	if m.tables != nil {
		m.background.Wait()
		err = unix.Munmap(m.tables)
		for i := range m.byPage {
			err = errors.Join(err, m.byPage[i].close())
		}
		m.tables, m.spare, m.pages = nil, nil, nil
	}
	return errors.Join(err, m.arena.Close())
}

// errBusy: another hart makes room for translations; look at the world and try again.
var errBusy = errors.New("the translations' memory is being freed")

// errNextPage: the instruction ends in a page that is not known yet. Once the interpreter has executed it, it is.
var errNextPage = errors.New("the next page is not known")

// page makes the page at a guest physical address one of the machine's, in the present mode, and watches it. It may wait for other harts.
func (e *Engine) page(gpa uint64) error {
	m, mode := e.m, e.mode()
	key := keyOf(gpa, mode)
	for {
		m.mu.Lock()
		p := m.pages[key]
		if p == nil {
			if len(m.spare) == 0 {
				m.mu.Unlock()
				if err := e.evict(); err != nil {
					return err
				}
				continue
			}
			t := m.spare[len(m.spare)-1]
			m.spare = m.spare[:len(m.spare)-1]
			m.prepareTables()
			*t = table{}
			p = &page{gpa: gpa, mode: mode, table: t}
			m.pages[key] = p
		}
		watched, cleared := p.watched, p.cleared
		m.mu.Unlock()
		if watched {
			return nil
		}
		m.watch(e, gpa)
		m.mu.Lock()
		if m.pages[key] == p && p.cleared == cleared {
			p.watched = true
			m.byPage[mode].put(gpa, p.table)
		}
		m.mu.Unlock()
	}
}

// tablesAhead is how many tables are made ready at once, before they are needed.
const tablesAhead = 64

// prepareTables makes the host provide the memory of the next tables, beside the hart, when those that are ready begin to be used. Tables that were
// never used are the first of spare, in order. The lock is held, or nobody else has the machine yet.
func (m *Machine) prepareTables() {
	for m.fresh > 0 && len(m.spare) < m.fresh+tablesAhead {
		const size = int(unsafe.Sizeof(table{}))
		next := max(0, m.fresh-tablesAhead)
		mem := m.tables[next*size : m.fresh*size]
		m.fresh = next
		m.background.Go(func() { code.Populate(mem) })
	}
}

// watch makes stores to a page be noted from now on.
func (m *Machine) watch(e *Engine, gpa uint64) {
	m.ram.Code().Watch(memory.GPA(gpa))
	hart.RemoteFence(e.h, m.all(), hart.FenceRequest{Unstore: memory.GPA(gpa), HasUnstore: true})
}

// all is every hart.
func (m *Machine) all() []*hart.Hart {
	m.mu.Lock()
	defer m.mu.Unlock()
	harts := make([]*hart.Hart, len(m.harts))
	for i, e := range m.harts {
		harts[i] = e.h
	}
	return harts
}

// translate makes the translation that starts at an offset of a page, or finds it. It returns its outer and inner entry. With errBusy the hart has
// to poll before it tries again; so it has when it waited for others, of which it learns by a change of freed.
func (e *Engine) translate(gpa uint64, off uint16, plain bool) (outer, inner uint32, err error) {
	m := e.m
	if off == memory.PageSize-2 {
		if err := e.watchNext(); err != nil {
			return 0, 0, err
		}
	}
	for {
		m.mu.Lock()
		p := m.pages[keyOf(gpa, e.mode())]
		if p == nil || !p.watched {
			m.mu.Unlock()
			if err := e.page(gpa); err != nil {
				return 0, 0, err
			}
			continue
		}
		outer, inner, full, err := m.compile(e, p, off, plain)
		m.mu.Unlock()
		if err != nil || !full {
			return outer, inner, err
		}
		if err := e.evict(); err != nil {
			return 0, 0, err
		}
	}
}

// compile is translate with the lock held. full says that code memory is.
func (m *Machine) compile(e *Engine, p *page, off uint16, plain bool) (outer, inner uint32, full bool, err error) {
	if plain {
		if in := p.plain.get(off); in != 0 {
			return 0, in, false, nil
		}
	} else if at := p.table[off/2]; at != 0 {
		return at, p.inner.get(off), false, nil
	}
	began := time.Since(m.began)
	bytes, err := m.ram.Slice(memory.GPA(p.gpa), memory.PageSize)
	if err != nil {
		return 0, 0, false, err
	}
	va := e.h.PC&^memory.PageMask + uint64(off) // as the hart executes it
	keeps := m.kept.store != nil && !plain && !(p.taken && m.kept.store.Full())
	if keeps {
		copy(m.kept.contents[:], bytes)
		bytes = m.kept.contents[:]
		if !p.taken {
			p.taken = true
			m.takeKept(p, e.h.PC&^memory.PageMask)
			m.stats.KeptTime += time.Since(m.began) - began
			if at := p.table[off/2]; at != 0 {
				if m.tier.mode == TierOptimized {
					m.optimizeNow(p, off, va)
				}
				return at, p.inner.get(off), false, nil
			}
			began = time.Since(m.began)
		}
	}
	if !m.openRegion(maxBlock) {
		return 0, 0, true, nil
	}
	m.asks, m.of = e, p
	source := &m.guest
	source.Bytes, source.Page, source.MaxGuest = bytes, p.gpa, m.maxGuest
	source.Known = (*[memory.PageSize / 2]uint32)(p.table)
	b := &m.block
	m.builder.Build(b, source, off, plain)
	if b.Unfinished {
		return 0, 0, false, errNextPage
	}
	optimize.Fold(b.Insts)
	optimize.Rotate(b.Insts)
	if !plain && p.mode != mirrorMode {
		m.scratch = optimize.Group(b.Insts, m.scratch)
		b.Insts, m.scratch = m.scratch, b.Insts
	}
	mem, _ := m.region.Alloc(maxBlock)
	m.compiler.Mirrored, m.compiler.Apart = p.mode == mirrorMode, keeps
	listing := m.dump.begin(m.compiler, b, va, bytes)
	out, err := m.compiler.Compile(b, mem.Bytes, uintptr(mem.Addr), m.resolver)
	listing.end(out, &m.routines, uintptr(mem.Addr))
	if err != nil {
		m.region.Trim(0)
		return 0, 0, false, fmt.Errorf("translating the code at physical address %#x: %w", p.gpa+uint64(off), err)
	}
	m.region.Trim(len(out.Bytes))
	start := uint32(mem.Addr - m.arena.Base())
	outer, inner = start+uint32(out.Outer), start+uint32(out.Inner)
	for _, w := range b.Watches {
		m.feed(w, p)
	}
	if keeps {
		if len(b.Watches) == 0 {
			m.keepCode(p, &m.kept.contents, off, start, &out, 0, nil)
		}
		m.complete(p, start, out.Links)
	}
	m.inRegion[m.region].add(p, start, out.Faults)
	if plain {
		p.plain.put(off, inner)
	} else {
		m.enterBlock(p, off, start, &out)
	}
	m.stats.compiled(b, len(out.Bytes), time.Since(m.began)-began)
	m.nameBlock(va, p.gpa+uint64(off), mem.Addr, len(out.Bytes))
	if m.tier.mode == TierOptimized && !plain {
		m.optimizeNow(p, off, va)
	}
	return outer, inner, false, nil
}

// enterBlock makes a block, whose code is complete, one that is found. The lock is held.
func (m *Machine) enterBlock(p *page, off uint16, start uint32, out *amd64.Code) {
	p.inner.put(off, start+uint32(out.Inner))
	p.table[off/2] = start + uint32(out.Outer)
	for _, e := range out.Entries {
		if p.table[e.Off/2] == 0 {
			p.inner.put(e.Off, start+uint32(e.Inner))
			p.table[e.Off/2] = start + uint32(e.Outer)
		}
	}
}

// complete makes the jumps of code that was made apart lead to what there is already. The lock is held.
func (m *Machine) complete(p *page, start uint32, links []amd64.Unlinked) {
	for _, l := range links {
		if in := p.entry(l.Target, l.Plain); in != 0 {
			site := start + uint32(l.Site)
			m.arena.Patch(m.arena.Base()+code.Addr(site), in-(site+4))
		}
	}
}

// openRegion makes room for so many bytes in a region of code memory; false: all of it is in use. The lock is held.
func (m *Machine) openRegion(room int) bool {
	if m.region != nil && m.region.Room() >= room {
		return true
	}
	if m.region != nil {
		m.region.Seal()
		m.region = nil
	}
	r, err := m.arena.Open()
	if err != nil {
		return false
	}
	m.arena.Prepare()
	m.region, m.inRegion[r] = r, &residents{}
	return true
}

// entry is the inner entry at an offset of a page, 0 if there is none. The lock is held.
func (p *page) entry(off uint16, plain bool) uint32 {
	if plain {
		return p.plain.get(off)
	}
	return p.inner.get(off)
}

// resolve is the address of the inner entry at an offset of the page that is translated now, if there is one.
func (m *Machine) resolve(target int32, plain bool) (at uintptr, ok bool) {
	in := m.of.entry(uint16(target), plain)
	return uintptr(m.arena.Base()) + uintptr(in), in != 0
}

// feed notes that bytes of the page at gpa are in translations of p.
func (m *Machine) feed(gpa uint64, p *page) {
	q := m.pages[keyOf(gpa, p.mode)]
	if q == nil || q == p {
		return
	}
	for _, f := range q.feeds {
		if f == p {
			return
		}
	}
	q.feeds = append(q.feeds, p)
}

// clear drops the translations of a page, and of those that have bytes of it. The lock is held.
func (m *Machine) clear(p *page) {
	if p.table == nil {
		return // evicted, and still among the feeds of another
	}
	p.cleared++
	p.taken = false
	*p.table = table{}
	p.inner.clear()
	p.plain.clear()
	clear(p.regions)
	if p.watched {
		p.watched = false
		m.byPage[p.mode].put(p.gpa, nil)
		if !m.watched(p.gpa) {
			m.ram.Code().Clear(memory.GPA(p.gpa))
		}
	}
	feeds := p.feeds
	p.feeds = nil
	for _, q := range feeds {
		m.clear(q)
	}
	m.epoch++
}

// watched says that translations of a page, in any mode, rely on its being watched. The lock is held.
func (m *Machine) watched(gpa uint64) bool {
	for i := range numModes {
		if p := m.pages[keyOf(gpa, i)]; p != nil && p.watched {
			return true
		}
	}
	return false
}

// takeChanged drops the pages that have been written, and returns the number of drops so far.
func (m *Machine) takeChanged() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ram.Code().Changed() != 0 {
		for _, gpa := range m.ram.Code().TakeChanged() {
			for i := range numModes {
				if p := m.pages[keyOf(uint64(gpa), i)]; p != nil {
					m.clear(p)
					p.changes++
					m.stats.Stale++
				}
			}
		}
	}
	return m.epoch
}

// dropAll drops every translation. No other hart may run.
func (m *Machine) dropAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ram.Code().TakeChanged()
	for _, p := range m.pages {
		m.clear(p)
		p.changes = 0
	}
}

// evict frees the region that was filled first, with everything that has code in it, and waits until no hart can be in it any more.
func (e *Engine) evict() error {
	m := e.m
	m.mu.Lock()
	if m.evicting {
		m.mu.Unlock()
		return errBusy
	}
	m.evicting = true
	r := m.arena.Oldest()
	if r == nil && m.region != nil { // short of tables, not of code memory
		m.region.Seal()
		r, m.region = m.region, nil
	}
	if r == nil {
		m.evicting = false
		m.mu.Unlock()
		return errors.New("the translations' memory is too small")
	}
	dropped := map[*page]struct{}{}
	if in := m.inRegion[r]; in != nil {
		for _, p := range in.owners {
			dropped[p] = struct{}{}
		}
	}
	for p := range m.pages {
		q := m.pages[p]
		if _, in := dropped[q]; in || q.inner.len() == 0 && q.plain.len() == 0 {
			dropped[q] = struct{}{}
			m.clear(q)
			delete(m.pages, p)
		}
	}
	m.stats.Evictions++
	m.mu.Unlock()

	hart.RemoteFence(e.h, m.all(), hart.FenceRequest{Forget: true})

	m.mu.Lock()
	delete(m.inRegion, r) // not before: a hart that is still in it may fault there
	r.Free()
	m.freed++
	for p := range dropped {
		if p.table != nil {
			m.spare = append(m.spare, p.table)
			p.table = nil
		}
	}
	m.evicting = false
	m.mu.Unlock()
	return nil
}

// residents are the translations in a region, and the page that each is of.
type residents struct {
	starts []uint32 // of translations, as distances from the start of code memory, in order
	owners []*page
	faults []fault // in order
}

// fault is an amd64.Fault. Distances are from the start of code memory; to is a place with the bit placed.
type fault struct{ at, to uint32 }

const placed = 1 << 31

func (r *residents) add(p *page, start uint32, faults []amd64.Fault) {
	for _, f := range faults {
		to := start + uint32(f.To)
		if f.To == 0 {
			to = uint32(f.Place) | placed
		}
		r.faults = append(r.faults, fault{start + uint32(f.At), to})
	}
	r.starts, r.owners = append(r.starts, start), append(r.owners, p)
}

// stepFault makes the access that has faulted a step. It returns false for an address that is none's.
func (m *Machine) stepFault(s *hart.State) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := uintptr(s.Fault.PC)
	r := m.inRegion[m.arena.Region(code.Addr(at))]
	if r == nil {
		return false
	}
	off := uint32(at - uintptr(m.arena.Base()))
	i, exact := slices.BinarySearchFunc(r.faults, off, func(f fault, off uint32) int { return cmp.Compare(f.at, off) })
	if !exact {
		i--
	}
	if i < 0 {
		return false
	}
	if to := r.faults[i].to; to&placed != 0 {
		m.routines.StepFault(s, amd64.Place(to&^placed))
	} else {
		s.Fault.PC = uint64(m.arena.Base()) + uint64(to)
	}
	return true
}

// pending is the jump that the link at an address is about: where its displacement is, what the link says, the page whose
// translation it is in, which is nil if that is gone, and the number of regions freed so far.
func (m *Machine) pending(at uint64) (site uint32, l amd64.Link, p *page, freed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.inRegion[m.arena.Region(code.Addr(at))]
	if r == nil {
		return 0, 0, nil, m.freed
	}
	l = amd64.Link(binary.LittleEndian.Uint32(m.arena.Writable(code.Addr(at), 4)))
	off := uint32(at - uint64(m.arena.Base()))
	i, exact := slices.BinarySearch(r.starts, off)
	if !exact {
		i--
	}
	if i < 0 {
		return 0, 0, nil, m.freed
	}
	return off - l.Distance(), l, r.owners[i], m.freed
}

// link makes the jump at a site in code of p lead to the translation at an offset.
func (m *Machine) link(site uint32, freed uint64, target uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.freed != freed {
		return
	}
	at := m.arena.Base() + code.Addr(site)
	m.arena.Patch(at, target-(site+4))
	m.stats.Links++
}
