package suite

// tlb/*: what a load costs, by how its address is translated, with paging on: in S-mode, and, for tlb/user, in U-mode, where the host's page tables can do it.
//
// All pages lie on few pages of RAM, so that what is measured is translation, not the host's caches. A look-up leaves the host's own TLB in peace then, and a
// mirror does not. That a load hit, or that it was walked for, is known from the hart's count of walks, and anything else is an error.

import (
	"fmt"
	"math/bits"
	"strconv"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// dataVA is where the data is that programs load.
const dataVA = 4 << 30

var modes = []struct {
	name string
	mode uint64
}{{"sv39", mmu.ModeSv39}, {"sv48", mmu.ModeSv48}, {"sv57", mmu.ModeSv57}}

var pageSizes = []string{"4K", "2M", "1G", "512G"} // by level

func tlbGroup() []bench.Benchmark {
	list := []guest{{
		"tlb/hit", "Loads that hit, in five pages, which hold each other's addresses; where they end is known, and there is no walk",
		bench.NsPerOp, both, 4_000, ringLoads, hits(),
	}}
	for _, m := range modes {
		for level, size := range pageSizes[:min(len(pageSizes), 3+int(m.mode-mmu.ModeSv39))] {
			list = append(list, guest{
				"tlb/miss/" + m.name + "/" + size,
				"Loads that take each other's TLB entry, by leaves of this size, and hold each other's addresses; where they end is known, and each is walked for",
				bench.NsPerOp, both, 200, ringLoads, misses(m.mode, level),
			})
		}
	}
	for _, f := range []struct {
		name   string
		va, id uint8 // registers
	}{{"address", asm.S2, asm.Zero}, {"asid", asm.Zero, asm.S3}, {"all", asm.Zero, asm.Zero}} {
		list = append(list, guest{
			"tlb/flush/" + f.name, "A fence of this kind and a load of the page that it drops; the sum of the loads is known, and each is walked for",
			bench.NsPerOp, both, 1_000, 0, flushes(f.va, f.id),
		})
	}
	for _, order := range pageOrders {
		for pages := 1; pages <= 100_000; pages *= 10 {
			ways := reaches
			if order.apart > 1 && pages > mostMapped {
				ways = ways[:1]
			}
			list = append(list, guest{
				"tlb/pages/" + order.name + "/" + strconv.Itoa(pages), "A load of each of so many pages, " + order.doc + "; their sum is computed again in Go",
				bench.NsPerOp, both, uint64(max(4096, pages)), 0, order.load(pages, false),
			}, guest{
				"tlb/user/" + order.name + "/" + strconv.Itoa(pages), "In U-mode, a load of each of so many pages, " + order.doc + "; their sum is computed again in Go",
				bench.NsPerOp, ways, uint64(max(4096, pages)), 0, order.load(pages, true),
			})
		}
	}
	return guests(list)
}

// ringLoads is how many loads there are in a round of tlb/hit and tlb/miss.
const ringLoads = 16

// word is what the programs find at a place.
func word(i uint64) uint64 { return (i + 1) * step }

// store writes words to RAM.
func store(m *machine, at memory.GPA, stride memory.GPA, count uint64) error {
	for i := range count {
		if err := m.RAM.Store64(at+memory.GPA(i)*stride, word(i)); err != nil {
			return err
		}
	}
	return nil
}

// walked makes a verdict one on walks as well: at least so many a round, or, if none are wanted, less than one in a hundred.
func walked(m *machine, v verdict, each uint64) verdict {
	return func(rounds uint64) error {
		if err := v(rounds); err != nil {
			return err
		}
		if each == 0 && m.walks > 100+rounds/100 || each != 0 && m.walks < each*rounds {
			return fmt.Errorf("%d walks in %d rounds", m.walks, rounds)
		}
		return nil
	}
}

// apart is how far apart in their pages words are, so that they do not share a line, nor have the same place in the host's caches.
const apart = 64

// hits is a ring of pages that have TLB entries of their own.
func hits() func(m *machine) (verdict, error) {
	return ring(mmu.ModeSv39, 0, 5, memory.PageSize, false)
}

// misses is a ring of pages that have one TLB entry between them. It is not as long as a round, so that rounds end at different places.
func misses(mode uint64, level int) func(m *machine) (verdict, error) {
	stride := max(uint64(mmu.DataEntries<<memory.PageShift), 1<<levelShift(level))
	return ring(mode, level, ringLoads-1, stride, true)
}

// ring is a program of loads from words that hold the address of the next, so that no load begins before the last one has ended, and none can be saved. The
// words are in pages some bytes apart, which all are mapped by leaves of a level, to the same memory.
func ring(mode uint64, level int, pages, stride uint64, miss bool) func(m *machine) (verdict, error) {
	at, first := dataBase>>levelShift(level)<<levelShift(level), max(dataVA, uint64(1)<<levelShift(level))
	va := func(i uint64) uint64 { return first + uint64(dataBase-at) + i%pages*(stride+apart) }
	return func(m *machine) (verdict, error) {
		s, err := newSpace(m, mode, nil)
		if err != nil {
			return nil, err
		}
		for i := range pages {
			if _, err := s.put(first+i*stride, at, level, leafRW|mmu.PTEG); err != nil {
				return nil, err
			}
			if err := m.RAM.Store64(dataBase+memory.GPA(i)*apart, va(i+1)); err != nil {
				return nil, err
			}
		}
		s.enter()
		_, err = m.load(func(a *asm.Assembler) {
			a.Li(asm.A0, int64(va(0)))
			a.Label("loop")
			for range ringLoads {
				a.Load(riscv.LD, asm.A0, 0, asm.A0)
			}
			loop(a, "loop")
		})
		each := uint64(0)
		if miss {
			each = ringLoads
		}
		return walked(m, m.result(func(rounds uint64) uint64 { return va(rounds * ringLoads) }), each), err
	}
}

// flushes is a program of fences, each followed by a load. Its page is not global: a fence of an ASID leaves those.
func flushes(va, asid uint8) func(m *machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		s, err := newSpace(m, mmu.ModeSv39, nil)
		if err != nil {
			return nil, err
		}
		if _, err := s.put(dataVA, dataBase, 0, leafRW); err != nil {
			return nil, err
		}
		s.enter()
		if err := store(m, dataBase, 8, 1); err != nil {
			return nil, err
		}
		_, err = m.load(func(a *asm.Assembler) {
			a.Li(asm.A0, 0)
			a.Li(asm.S2, dataVA)
			a.Li(asm.S3, 1) // as enter has it
			a.Label("loop")
			a.R(riscv.SFENCE_VMA, asm.Zero, va, asid)
			a.Load(riscv.LD, asm.T0, 0, asm.S2)
			a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
			loop(a, "loop")
		})
		return walked(m, m.result(func(rounds uint64) uint64 { return rounds * word(0) }), 1), err
	}
}

// pageOrder is how pages are gone through.
type pageOrder struct {
	name, doc string
	apart     uint64 // pages from one to the next
	random    bool
}

var pageOrders = []pageOrder{
	{"sequential", "one after the other", 1, false},
	{"strided", "every sixteenth one", 16, false},
	{"random", "at random", 1, true},
}

// backing is how many pages of RAM all of them lie on: so few that their lines, which have the same place in a page, are not in each other's way.
const backing = 8

// mostMapped is how many pages that are not side by side a mirror can have: a process has 65,530 mappings on most hosts (vm.max_map_count).
const mostMapped = 50_000

func (o pageOrder) load(pages int, user bool) func(m *machine) (verdict, error) {
	leaf := uint64(leafRW | mmu.PTEG)
	if user {
		leaf = leafRW | mmu.PTEU
	}
	return func(m *machine) (verdict, error) {
		s, err := newSpace(m, mmu.ModeSv39, nil)
		if err != nil {
			return nil, err
		}
		for i := range uint64(pages) {
			if _, err := s.put(dataVA+i*o.apart<<memory.PageShift, dataBase+memory.GPA(i%backing)<<memory.PageShift, 0, leaf); err != nil {
				return nil, err
			}
		}
		s.enter()
		if err := store(m, dataBase, memory.PageSize, backing); err != nil {
			return nil, err
		}
		right := m.result(func(rounds uint64) uint64 { return o.want(rounds, uint64(pages)) })
		program := func(a *asm.Assembler) { o.code(a, pages) }
		if !user {
			_, err = m.load(program)
			return right, err
		}
		return mirrored(m, right), m.user(s, func(*asm.Assembler) {}, func(a *asm.Assembler) {
			program(a)
			a.Label("end")
			a.Op(riscv.ECALL)
		})
	}
}

// mirrored makes a verdict one on mirrors as well: there is one where one is measured.
func mirrored(m *machine, v verdict) verdict {
	return func(rounds uint64) error {
		if m.mirror && m.TLB.Mirrored == 0 {
			return bench.Unavailable("this host has no room for a mirror of guest memory")
		}
		return v(rounds)
	}
}

func (o pageOrder) code(a *asm.Assembler, pages int) {
	a.Li(asm.A0, 0)
	a.Li(asm.S2, dataVA)
	a.Li(asm.S3, int64(pages))
	if o.random {
		a.Li(asm.S4, seed)
		a.Li(asm.S5, randomMul)
		a.Li(asm.S6, randomAdd)
		a.Label("loop")
		a.R(riscv.MUL, asm.S4, asm.S4, asm.S5)
		a.R(riscv.ADD, asm.S4, asm.S4, asm.S6)
		a.R(riscv.MULHU, asm.T0, asm.S4, asm.S3)
		a.I(riscv.SLLI, asm.T0, asm.T0, memory.PageShift)
		a.R(riscv.ADD, asm.T0, asm.T0, asm.S2)
		a.Load(riscv.LD, asm.T1, 0, asm.T0)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.T1)
		loop(a, "loop")
		return
	}
	a.Li(asm.S4, int64(o.apart<<memory.PageShift))
	a.R(riscv.MUL, asm.S3, asm.S3, asm.S4)
	a.R(riscv.ADD, asm.S3, asm.S3, asm.S2) // the end
	a.Label("again")
	a.Mv(asm.T0, asm.S2)
	a.Label("loop")
	a.Load(riscv.LD, asm.T1, 0, asm.T0)
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T1)
	a.R(riscv.ADD, asm.T0, asm.T0, asm.S4)
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BEQ, asm.S0, asm.Zero, "end")
	a.B(riscv.BNE, asm.T0, asm.S3, "loop")
	a.J("again")
}

func (o pageOrder) want(rounds, pages uint64) (sum uint64) {
	if !o.random {
		for i := range pages {
			times := rounds / pages
			if i < rounds%pages {
				times++
			}
			sum += times * word(i%backing)
		}
		return sum
	}
	r := uint64(seed)
	for range rounds {
		r = r*randomMul + randomAdd
		page, _ := bits.Mul64(r, pages)
		sum += word(page % backing)
	}
	return sum
}
