package jit

// What the translator did.
//
// What a machine shares is counted under its lock, when it translates; the rest by each hart, on its way out of generated code. Inside of
// generated code nothing is counted but exceptions and walks, and with Options.Count loads and stores. Hits of the jump caches are not known.

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Stats counts what was done for all harts of a machine.
type Stats struct {
	Blocks, Plain uint64 // translations made; of those, the ones without groups
	Guest         uint64 // guest instructions in them
	Bytes         uint64 // host code
	Time          time.Duration
	Links         uint64 // jumps completed
	Stale         uint64 // pages dropped because they had been written
	Evictions     uint64 // regions of code memory freed

	Kept, KeptRegions, KeptBytes uint64 // blocks and regions that earlier runs had made, and bytes of their code
	KeptTime                     time.Duration

	// Of the optimizing tier.
	Regions, RegionsRefused  uint64 // regions made, and places that were no good for one
	RegionGuest, RegionBytes uint64 // guest instructions and bytes of host code in them
	RegionTime               time.Duration
}

func (s *Stats) compiled(b *ir.Block, size int, took time.Duration) {
	s.Blocks++
	if b.Plain {
		s.Plain++
	}
	s.Guest += uint64(b.Guest)
	s.Bytes += uint64(size)
	s.Time += took
}

// Stats is what was done so far.
func (m *Machine) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// counts is what a hart counts. It belongs to the goroutine that runs the hart.
type counts struct {
	exits   [amd64.NumKinds]uint64
	stepped uint64               // instructions that the interpreter executed one by one
	steps   [riscv.NumOps]uint64 // of those, by operation, by samples
	traps   uint64               // exceptions taken in generated code
	access  [amd64.NumCounts]uint64
	mirrors mirrorCounts
}

// mirrorCounts is what was done for mirrors.
type mirrorCounts struct {
	begun, ended uint64 // of the ended, those that did not pay
	mapped       uint64 // pages
	unmapped     uint64 // pages, by fences
	checked      uint64 // pages, after fences of everything
	steps        uint64 // accesses that could not be mapped
}

func (c *mirrorCounts) add(d *mirrorCounts) {
	c.begun += d.begun
	c.ended += d.ended
	c.mapped += d.mapped
	c.unmapped += d.unmapped
	c.checked += d.checked
	c.steps += d.steps
}

func (c *counts) add(d *counts) {
	for i, n := range d.exits {
		c.exits[i] += n
	}
	for i, n := range d.steps {
		c.steps[i] += n
	}
	for i, n := range d.access {
		c.access[i] += n
	}
	c.stepped += d.stepped
	c.traps += d.traps
	c.mirrors.add(&d.mirrors)
}

// sampleEvery is how many steps a sample stands for: a prime, so that no loop of the guest keeps time with it. To fetch and decode each of
// them once more would be a tenth of what a step takes.
const sampleEvery = 31

// countStep counts the instruction that is executed next.
func (e *Engine) countStep() {
	if e.stepped++; e.stepped%sampleEvery == 0 {
		e.sampleStep()
	}
}

// sampleStep looks at the instruction that is executed next. What cannot be fetched without a walk is not worth one, and counts as illegal.
func (e *Engine) sampleStep() {
	h := e.h
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(h.PC)]
	op := riscv.ILLEGAL
	if f.Tag == h.PC&^memory.PageMask {
		at := memory.GPA(f.GPA + h.PC&(memory.PageMask-1))
		low, _ := h.RAM.Load16(at)
		raw := uint32(low)
		if raw&3 == 3 && h.PC&memory.PageMask != memory.PageSize-2 {
			high, _ := h.RAM.Load16(at + 2)
			raw |= uint32(high) << 16
		}
		op = riscv.Decode(raw).Op
	}
	e.steps[op] += sampleEvery
}

// takeCounts adds the exceptions that generated code took, and its walks, to those that the hart counts, and takes what else it counted.
func (e *Engine) takeCounts() {
	e.h.Stats.Walks += e.h.Walks
	e.h.Stats.Fills += e.h.Walks
	e.h.Walks = 0
	for cause := range e.h.Counters {
		if n := e.h.Counters[cause]; n != 0 {
			e.h.Counters[cause] = 0
			e.h.Stats.Exceptions[cause] += n
			e.traps += n
		}
	}
	for i := range e.access {
		e.access[i] += e.h.Counted[i]
		e.h.Counted[i] = 0
	}
}

// topSteps is how many of the most frequent interpreted instructions a report names.
const topSteps = 10

// Report is what --stats prints of the translator.
func (e *Engine) Report() []engine.Section { return e.m.report() }

func (m *Machine) report() []engine.Section {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.left
	for _, e := range m.harts {
		sum.add(&e.counts)
	}
	s := &m.stats
	exits := engine.Section{Name: "exits from generated code"}
	for k, n := range sum.exits {
		exits.Figures = append(exits.Figures, count(amd64.Kind(k).String(), n))
	}
	exits.Figures = append(exits.Figures, engine.Figure{Name: "look-up hits", Value: "not counted"})
	sections := []engine.Section{
		{Name: "translator", Figures: []engine.Figure{
			count("blocks compiled", s.Blocks),
			count("of those, without groups", s.Plain),
			count("guest instructions in them", s.Guest),
			ratio("guest instructions a block", float64(s.Guest), s.Blocks),
			count("bytes of host code", s.Bytes),
			ratio("bytes a guest instruction", float64(s.Bytes), s.Guest),
			{Name: "compile time, ms", Value: fmt.Sprintf("%.1f", s.Time.Seconds()*1e3)},
			ratio("ns a guest instruction", float64(s.Time.Nanoseconds()), s.Guest),
			count("blocks of earlier runs", s.Kept),
			count("regions of earlier runs", s.KeptRegions),
			count("bytes of their code", s.KeptBytes),
			{Name: "time to take them, ms", Value: fmt.Sprintf("%.1f", s.KeptTime.Seconds()*1e3)},
			count("jumps linked", s.Links),
			count("stale pages dropped", s.Stale),
			count("code regions evicted", s.Evictions),
			count("ecalls in generated code", sum.traps),
		}},
		{Name: "optimizing tier", Figures: []engine.Figure{
			count("regions compiled", s.Regions),
			count("places that were no good for one", s.RegionsRefused),
			count("guest instructions in them", s.RegionGuest),
			count("bytes of host code", s.RegionBytes),
			{Name: "compile time, ms", Value: fmt.Sprintf("%.1f", s.RegionTime.Seconds()*1e3)},
		}},
		{Name: "mirrored address spaces", Figures: []engine.Figure{
			count("mirrors begun", sum.mirrors.begun),
			count("of those, ended because they did not pay", sum.mirrors.ended),
			count("faults", sum.exits[amd64.KindFault]),
			count("pages mapped", sum.mirrors.mapped),
			count("pages unmapped by fences", sum.mirrors.unmapped),
			count("pages checked after fences of everything", sum.mirrors.checked),
			count("accesses that could not be mapped", sum.mirrors.steps),
		}},
		exits,
		interpreted(&sum),
		{Name: "translator's settings", Figures: []engine.Figure{
			count("code memory, KiB", uint64(m.arena.Size()>>10)),
			count("a region of it, KiB", regionSize>>10),
			count("guest pages, at most", uint64(len(m.tables))/uint64(unsafe.Sizeof(table{}))),
			count("instructions a block, at most", uint64(m.maxGuest)),
			count("instructions between looks", slice),
			{Name: "translations are kept", Value: m.kept.describe()},
			{Name: "host features", Value: m.compiler.Features().String()},
		}},
	}
	if m.compiler.Counting {
		sections = slices.Insert(sections, 2, accesses(&sum.access))
	}
	return sections
}

// accesses tells of loads and stores in generated code.
func accesses(n *[amd64.NumCounts]uint64) engine.Section {
	return engine.Section{Name: "loads and stores in generated code", Figures: []engine.Figure{
		count("TLB hits, loads", n[amd64.CountLoads]-n[amd64.CountLoadsMissed]),
		count("not in line, loads", n[amd64.CountLoadsMissed]),
		count("TLB hits, stores", n[amd64.CountStores]-n[amd64.CountStoresMissed]),
		count("not in line, stores", n[amd64.CountStoresMissed]),
		count("by a look-up made for several", n[amd64.CountShared]),
		count("in mirrors, without look-ups", n[amd64.CountMirrored]),
	}}
}

// interpreted tells what the interpreter executed one by one.
func interpreted(sum *counts) engine.Section {
	s := engine.Section{Name: "interpreted one by one"}
	ops := make([]riscv.Op, 0, riscv.NumOps)
	for op, n := range sum.steps {
		if n != 0 {
			ops = append(ops, riscv.Op(op))
		}
	}
	slices.SortFunc(ops, func(a, b riscv.Op) int { return cmp.Or(cmp.Compare(sum.steps[b], sum.steps[a]), cmp.Compare(a, b)) })
	s.Figures = append(s.Figures, count("all", sum.stepped))
	for _, op := range ops[:min(topSteps, len(ops))] {
		s.Figures = append(s.Figures, count("about, "+op.String(), sum.steps[op]))
	}
	return s
}

func count(name string, n uint64) engine.Figure {
	return engine.Figure{Name: name, Value: fmt.Sprint(n)}
}

func ratio(name string, n float64, of uint64) engine.Figure {
	v := 0.0
	if of != 0 {
		v = n / float64(of)
	}
	return engine.Figure{Name: name, Value: fmt.Sprintf("%.1f", v)}
}

// nameBlock names a translation for Linux perf, by where the hart that asked for it executes it: another address space may know it by
// another name. That is a help for people and no more, so errors are not.
func (m *Machine) nameBlock(va, gpa uint64, at code.Addr, size int) {
	if m.perf == nil {
		return
	}
	name := fmt.Sprintf("%x", va)
	if m.symbol != nil {
		if s, ok := m.symbol(va); ok {
			name = s
		}
	}
	m.name(at, size, fmt.Sprintf("guest %s (%x)", name, gpa))
}

func (m *Machine) name(at code.Addr, size int, name string) {
	if m.perf != nil {
		_ = m.perf.Add(at, size, name)
	}
}
