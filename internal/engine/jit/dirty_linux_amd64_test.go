package jit_test

// Written pages in a log, by what generated code does without Go: its walk makes entries for stores, and loops go on while a log is taken.

import (
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// logDirty begins a log of a machine.
func logDirty(m *machine) *memory.DirtyLog {
	m.Helper()
	d, err := m.ram.TrackDirty(func() { hart.RemoteFence(nil, m.harts, hart.FenceRequest{UnstoreAll: true}) })
	if err != nil {
		m.Fatal(err)
	}
	return d
}

// Stores in S-mode, whose entries of the TLB generated code makes by itself.
func TestWalksTellTheDirtyLog(t *testing.T) {
	const program, data, pages = 0x10_0000, 1 << 30, 24
	p := &tables{machine: newMachine(t, 1, jit.Options{CodeSize: 4 << 20}), levels: 3, next: 16, made: map[uint64]bool{}}
	h := p.harts[0]
	p.root = p.page()
	code := p.page()
	p.put(program, code>>12<<mmu.PTEPPNShift|mmu.PTEV|mmu.PTER|mmu.PTEX|mmu.PTEA, 0)
	for i := range uint64(pages) {
		const bits = mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEA | mmu.PTED
		p.put(data+i<<memory.PageShift, pageAt(2048+2*i)>>12<<mmu.PTEPPNShift|bits, 0)
	}
	p.assemble(code, func(a *asm.Assembler) {
		a.Li(asm.A0, data)
		a.Li(asm.A1, pages)
		a.Li(asm.A3, memory.PageSize)
		a.Label("next")
		a.Store(riscv.SD, asm.A1, 8, asm.A0)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.A3)
		a.I(riscv.ADDI, asm.A1, asm.A1, -1)
		a.B(riscv.BNE, asm.A1, asm.Zero, "next")
		a.Op(riscv.WFI)
	})
	h.OpenPMP()
	h.WriteCSR(riscv.CSRSatp, mmu.ModeSv39<<60|p.root>>12)
	h.SetPriv(riscv.PrivS)
	p.run(0, program) // translated, and every entry is there
	h.TLB.Flush(mmu.Flush{})
	walks := h.Stats.Walks
	p.run(0, program)
	if h.Stats.Walks < walks+pages {
		t.Fatalf("only %d walks: this is not what is to be tested", h.Stats.Walks-walks)
	}
	d := logDirty(p.machine)
	for round := range 3 {
		p.run(0, program)
		dirty := d.Take(nil)
		for i := range uint64(pages) {
			if !dirty.Has(2048 + 2*i) {
				t.Errorf("round %d: page %d was written and is not in the log", round, i)
			}
		}
		if dirty.Count() != pages {
			t.Errorf("round %d: %d pages are in the log, %d were written", round, dirty.Count(), pages)
		}
	}
}

// Harts store numbers in loops, which are regions soon, while the log is taken again and again, and what is in it copied: at the end the copy is what memory is.
func TestDirtyLogOfRunningHarts(t *testing.T) {
	for _, o := range []jit.Options{
		{CodeSize: 8 << 20, Tier: jit.TierBaseline},
		{CodeSize: 8 << 20, Tier: jit.TierAuto, Region: jit.RegionOptions{Every: 1, Threshold: 1}},
	} {
		const harts, pages = 2, 16
		m := newMachine(t, harts, o)
		turns := rounds(t, 2_000_000, harts)
		var pcs []uint64
		for id := range uint64(harts) {
			pcs = append(pcs, pageAt(programPage+id))
			m.assemble(pcs[id], func(a *asm.Assembler) {
				a.Li(asm.T0, turns)
				a.Li(asm.T2, int64(pageAt(2048)+16*id))
				a.Label("turn")
				a.I(riscv.ANDI, asm.T1, asm.T0, pages-1)
				a.I(riscv.SLLI, asm.T1, asm.T1, memory.PageShift)
				a.R(riscv.ADD, asm.T1, asm.T1, asm.T2)
				a.Store(riscv.SD, asm.T0, 0, asm.T1)
				a.Emit(riscv.Inst{Op: riscv.AMOADD_D, Rd: asm.Zero, Rs1: asm.T2, Rs2: asm.T0})
				a.I(riscv.ADDI, asm.T0, asm.T0, -1)
				a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
				a.Op(riscv.WFI)
			})
		}
		d := logDirty(m)
		was := make([]byte, m.ram.Size())
		if err := m.ram.Read(m.ram.Base(), was); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			m.runAll(nil, pcs...)
			close(over)
		})
		var dirty memory.Bitmap
		logs := 0
		for last := false; !last; logs++ {
			select {
			case <-over:
				last = true // and once more
			default:
			}
			dirty = d.Take(dirty)
			for i := range m.ram.Size() >> memory.PageShift {
				if at := i << memory.PageShift; dirty.Has(i) {
					if err := m.ram.Read(m.ram.Base()+memory.GPA(at), was[at:at+memory.PageSize]); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		all.Wait()
		now, err := m.ram.Slice(m.ram.Base(), m.ram.Size())
		if err != nil {
			t.Fatal(err)
		}
		for i := range was {
			if was[i] != now[i] {
				t.Fatalf("byte %d of page %d is %#x, and in the copy %#x, after %d logs", i%memory.PageSize, i>>memory.PageShift, now[i], was[i], logs)
			}
		}
		t.Logf("%d logs", logs)
	}
}
