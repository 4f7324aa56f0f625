package jit_test

// What generated code does to the TLB by itself, page-table walks and fences, against package mmu.

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// tables are page tables of some depth in a machine's RAM: random leaves, and a page of code that is always there.
type tables struct {
	*machine
	random *rand.Rand
	levels int
	next   uint64 // free page
	root   uint64
	made   map[uint64]bool // entries that lead to a table
}

func (p *tables) store(at, v uint64) {
	p.Helper()
	if err := p.ram.Write(memory.GPA(at), binary.LittleEndian.AppendUint64(nil, v)); err != nil {
		p.Fatal(err)
	}
}

func (p *tables) page() uint64 {
	p.next++
	return pageAt(p.next - 1)
}

// put maps va by an entry at a level.
func (p *tables) put(va, pte uint64, level int) {
	table := p.root
	for l := p.levels - 1; ; l-- {
		at := table + va>>(12+9*l)&511*8
		if l == level {
			p.store(at, pte)
			return
		}
		old := p.word(at)
		if !p.made[old] {
			old = p.page()>>12<<mmu.PTEPPNShift | mmu.PTEV
			p.store(at, old)
			p.made[old] = true
		}
		table = old & mmu.PTEPPN >> mmu.PTEPPNShift << 12
	}
}

// leaf is an entry that an access may well be allowed by.
func (p *tables) leaf(level int) uint64 {
	g := p.random
	pte := uint64(mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEA | mmu.PTED)
	for range g.IntN(3) {
		pte ^= 1 << g.IntN(10)
	}
	if g.IntN(3) == 0 {
		pte |= mmu.PTEU
	}
	if g.IntN(2) == 0 {
		pte |= mmu.PTEG
	}
	if g.IntN(10) == 0 {
		pte |= 1 << (54 + g.IntN(10))
	}
	gpa := pageAt(2048 + g.Uint64N(1024))
	switch g.IntN(12) {
	case 0:
		gpa = ramBase - memory.PageSize
	case 1:
		gpa = ramBase + ramSize
	}
	if level > 0 && g.IntN(8) != 0 {
		gpa = gpa >> (12 + 9*level) << (12 + 9*level)
	}
	return pte | gpa>>12<<mmu.PTEPPNShift
}

func TestWalksInGeneratedCode(t *testing.T) {
	seed := firstSeed(t)
	filled := 0
	for round := range 60 {
		g := rand.New(rand.NewPCG(seed, uint64(round)))
		p := &tables{machine: newMachine(t, 1, jit.Options{CodeSize: 4 << 20}), random: g, levels: 3 + g.IntN(3), next: 16, made: map[uint64]bool{}}
		h := p.harts[0]
		p.root = p.page()
		const program = 0x10_0000
		code := p.page()
		p.put(program, code>>12<<mmu.PTEPPNShift|mmu.PTEV|mmu.PTER|mmu.PTEX|mmu.PTEA|mmu.PTEG, 0)
		at := p.assemble(code, func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A0, 0, asm.A1)
			a.Op(riscv.WFI)
			a.Label("store")
			a.Store(riscv.SB, asm.A2, 0, asm.A1)
			a.Op(riscv.WFI)
			a.Label("trap")
			a.Op(riscv.WFI)
		})
		h.OpenPMP()
		h.Medeleg = 1<<riscv.CauseLoadPageFault | 1<<riscv.CauseStorePageFault | 1<<riscv.CauseLoadAccess | 1<<riscv.CauseStoreAccess
		h.Stvec = program + at["trap"] - code
		satp := uint64(mmu.ModeSv39+p.levels-3)<<60 | g.Uint64N(3)<<44 | p.root>>12
		h.WriteCSR(riscv.CSRSatp, satp)
		h.SetPriv(riscv.PrivS)
		for range 60 {
			level := []int{0, 0, 0, 1, 1, 2}[g.IntN(6)]
			va := uint64(1+g.IntN(6)) << 30
			va |= g.Uint64N(4)<<21 | g.Uint64N(8)<<12 | g.Uint64N(512)*8
			if g.IntN(2) == 0 {
				va |= 0xffff_ffc0 << 32
			}
			if g.IntN(20) == 0 {
				va ^= 1 << 60
			}
			p.put(va, p.leaf(level), level)
			h.TLB.Flush(mmu.Flush{})
			sum := uint64(g.IntN(2)) * hart.MstatusSUM
			h.WriteCSR(riscv.CSRSstatus, h.Mstatus&^hart.MstatusSUM|sum)
			regime := mmu.Regime{Satp: satp, SUM: sum != 0}
			acc, entry := mmu.Load, uint64(0)
			if g.IntN(2) == 0 {
				acc, entry = mmu.Store, at["store"]-code
			}
			h.X[asm.A1], h.X[asm.A2] = va, 0xa5
			h.Scause = 0
			walks := h.Stats.Walks
			p.run(0, program+entry)

			leaf, fault := mmu.Walk(ramMemory{p.machine}, &regime, va, acc)
			inRAM := leaf.GPA >= ramBase && leaf.GPA < ramBase+ramSize
			if allowed := fault == mmu.NoFault && inRAM; allowed != (h.Scause == 0) {
				t.Fatalf("round %d: %d levels, access %d of %#x by leaf %#x, fault %d: cause %d", round, p.levels, acc, va, leaf.PTE, fault, h.Scause)
			} else if !allowed {
				continue
			}
			bank := &h.TLB.Banks[h.DataBank]
			e := bank.Load[mmu.DataIndex(va)]
			if acc == mmu.Store {
				e = bank.Store[mmu.DataIndex(va)]
			}
			if host := h.RAMHost + uint64(leaf.GPA-ramBase)&^memory.PageMask; e != (mmu.DataEntry{Tag: va &^ memory.PageMask, Host: host}) {
				t.Fatalf("round %d: access %d of %#x by leaf %#x: entry %#x, want host %#x", round, acc, va, leaf.PTE, e, host)
			}
			if h.Stats.Walks > walks {
				filled++
			}
			// What the leaf backs is known to a fence of any of its addresses, and that the slot is used to one of everything.
			f := mmu.Flush{HasVA: true, VA: va&^(1<<leaf.Shift-1) + g.Uint64N(1<<leaf.Shift)}
			if g.IntN(2) == 0 {
				f = mmu.Flush{}
			}
			h.TLB.Flush(f)
			if e := bank.Load[mmu.DataIndex(va)]; e.Tag == va&^memory.PageMask {
				t.Fatalf("round %d: a fence left the entry of %#x, whose leaf has %d bits", round, va, leaf.Shift)
			}
			if e := bank.Store[mmu.DataIndex(va)]; e.Tag == va&^memory.PageMask {
				t.Fatalf("round %d: a fence left the entry of %#x, whose leaf has %d bits", round, va, leaf.Shift)
			}
		}
		h.Leave()
	}
	if filled < 100 {
		t.Errorf("only %d accesses were allowed", filled)
	}
}

// ramMemory is RAM as a walk sees it that changes nothing.
type ramMemory struct{ *machine }

func (m ramMemory) LoadPTE(a memory.GPA) (uint64, bool) {
	if !m.ram.Contains(a, 8) {
		return 0, false
	}
	return m.word(uint64(a)), true
}

func (m ramMemory) CompareAndSwapPTE(memory.GPA, uint64, uint64) (swapped, ok bool) { panic("no ADUE") }

func TestFencesInGeneratedCode(t *testing.T) {
	seed := firstSeed(t)
	m := newMachine(t, 1, jit.Options{CodeSize: 4 << 20})
	h := m.harts[0]
	at := m.assemble(ramBase, func(a *asm.Assembler) {
		a.Li(asm.A0, 1)
		a.R(riscv.SFENCE_VMA, asm.Zero, asm.A1, asm.Zero)
		a.Op(riscv.WFI)
		a.Label("asid")
		a.Li(asm.A0, 1)
		a.R(riscv.SFENCE_VMA, asm.Zero, asm.A1, asm.A2)
		a.Op(riscv.WFI)
	})
	h.OpenPMP()
	h.SetPriv(riscv.PrivS)
	for round := range 1000 {
		g := rand.New(rand.NewPCG(seed, uint64(round)))
		address := func() uint64 {
			va := 0x40_0000 + g.Uint64N(64)<<12
			if g.IntN(2) == 0 {
				va |= 0xffff_ffc0 << 32
			}
			return va
		}
		h.TLB.Flush(mmu.Flush{})
		for range g.IntN(40) {
			bank := h.TLB.Select(mmu.ModeSv39<<60|g.Uint64N(4)<<44|1, mmu.View(g.IntN(3)), h.Bank)
			h.TLB.SwitchSatp(h.Satp)
			b, va := &h.TLB.Banks[bank], address()
			switch g.IntN(6) {
			case 0:
				b.FillFetch(va, ramBase)
				if g.IntN(2) == 0 {
					b.NoteExec(va)
				}
			case 1, 2:
				b.FillStore(va, h.RAMHost+(1<<20)) // not the page of code, which is watched

			default:
				b.FillLoad(va, h.RAMHost+(1<<20))
			}
			if g.IntN(20) == 0 {
				b.NoteBig(va, []uint{16, 21, 30}[g.IntN(3)])
			}
		}
		want := new(mmu.TLB)
		*want = h.TLB
		f := mmu.Flush{HasVA: true, VA: address() | g.Uint64N(memory.PageSize)}
		h.X[asm.A1], h.X[asm.A2] = f.VA, g.Uint64N(4)
		pc := uint64(ramBase)
		if g.IntN(2) == 0 {
			f.HasASID, f.ASID = true, h.X[asm.A2]
			pc = at["asid"]
		}
		want.Flush(f)
		m.run(0, pc)
		for i := range want.Banks {
			a, b := &h.TLB.Banks[i], &want.Banks[i]
			if uint64(i) == h.Bank {
				continue // it executes
			}
			if a.Load != b.Load || a.Store != b.Store {
				t.Fatalf("round %d: %+v: bank %d, %+v, differs", round, f, i, want.Keys[i])
			}
			for k := range a.Fetch {
				if a.Fetch[k].Tag != b.Fetch[k].Tag {
					t.Fatalf("round %d: %+v: a fetch entry of bank %d, %+v, differs", round, f, i, want.Keys[i])
				}
			}
		}
	}
}
