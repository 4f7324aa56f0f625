package jit_test

// Harts in parallel: code and mappings that change under harts which execute them, while translations are evicted. Generated code is
// invisible to the race detector; what harts do to each other in Go is not.

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Where things are, in pages of RAM, and registers that all programs have.
const (
	programPage = 0  // 16 pages, one a hart
	flagPage    = 16 // the number of the last publication
	rootPage    = 17 // page tables
	megaPage    = 18
	leafPage    = 19
	slotPage    = 32 // code that changes

	regFlag  = asm.S1
	regRound = asm.S2
	regLast  = asm.S3
)

// rounds is how many of n rounds are made: fewer in a short test, and with more harts than there are processors, where each waits for the host
// to run the others.
func rounds(t *testing.T, n int64, harts int) int64 {
	if testing.Short() {
		n /= 10
	}
	if harts > runtime.GOMAXPROCS(0) {
		n /= 4
	}
	return n
}

// publisher runs body, which publishes something with number regRound, for each of n rounds, and says so after each.
func publisher(a *asm.Assembler, n int64, body func()) {
	a.Li(regFlag, int64(pageAt(flagPage)))
	a.Li(regRound, 1)
	a.Li(regLast, n)
	a.Label("round")
	body()
	a.Fence(3, 3)
	a.Store(riscv.SD, regRound, 0, regFlag)
	a.I(riscv.ADDI, regRound, regRound, 1)
	a.B(riscv.BGE, regLast, regRound, "round")
	a.Op(riscv.WFI)
}

// subscriber runs body, which looks at what was published, with regRound the number of what it has to see at least, until there are no more rounds.
func subscriber(a *asm.Assembler, n int64, body func()) {
	a.Li(regFlag, int64(pageAt(flagPage)))
	a.Li(regLast, n)
	a.Label("round")
	a.Load(riscv.LD, regRound, 0, regFlag)
	a.B(riscv.BEQ, regRound, asm.Zero, "round")
	a.Fence(3, 3)
	body()
	a.B(riscv.BLT, regRound, regLast, "round")
	a.Op(riscv.WFI)
	a.Label("wrong")
	a.Op(riscv.EBREAK)
}

// A function is written over while others call it; who sees that a remote FENCE.I has been made calls the new one.
func TestPublicationByRemoteFence(t *testing.T) {
	const slots = 32
	kept := t.TempDir()
	for _, c := range []struct {
		name  string
		harts int
		o     jit.Options
	}{
		{"2 harts", 2, jit.Options{CodeSize: 8 << 20}},
		{"4 harts", 4, jit.Options{CodeSize: 8 << 20}},
		{"2 harts, evictions", 2, jit.Options{CodeSize: 8 << 20, Pages: 8}},
		{"4 harts, evictions", 4, jit.Options{CodeSize: 8 << 20, Pages: 8}},
		{"2 harts, which keep translations", 2, jit.Options{CodeSize: 8 << 20, Keep: kept}},
		{"2 harts, with kept translations", 2, jit.Options{CodeSize: 8 << 20, Keep: kept}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := rounds(t, 2000, c.harts) // which fits an immediate
			m := newMachine(t, c.harts, c.o)
			// a2 becomes the slot of a round.
			slot := func(a *asm.Assembler) {
				a.I(riscv.ANDI, asm.A2, regRound, slots-1)
				a.I(riscv.SLLI, asm.A2, asm.A2, memory.PageShift)
				a.Li(asm.T0, int64(pageAt(slotPage)))
				a.R(riscv.ADD, asm.A2, asm.A2, asm.T0)
			}
			pcs := []uint64{pageAt(programPage)}
			m.assemble(pcs[0], func(a *asm.Assembler) {
				publisher(a, n, func() {
					slot(a)
					a.Li(asm.T0, 0x593) // addi a1, zero, ...
					a.I(riscv.SLLI, asm.T1, regRound, 20)
					a.R(riscv.OR, asm.T0, asm.T0, asm.T1)
					a.Li(asm.T1, 0x8067) // ret
					a.Store(riscv.SW, asm.T1, 4, asm.A2)
					a.Store(riscv.SW, asm.T0, 0, asm.A2)
					a.Li(asm.A7, callFenceI)
					a.Op(riscv.ECALL)
					// The others may come late; the slots are executed all the same.
					a.Op(riscv.FENCE_I)
					a.I(riscv.JALR, asm.RA, asm.A2, 0)
				})
			})
			for id := 1; id < c.harts; id++ {
				pcs = append(pcs, pageAt(programPage+uint64(id)))
				m.assemble(pcs[id], func(a *asm.Assembler) {
					subscriber(a, n, func() {
						slot(a)
						a.I(riscv.JALR, asm.RA, asm.A2, 0)
						// What it returns is of that round, or of a later one for the slot.
						a.R(riscv.SUB, asm.A0, asm.A1, regRound)
						a.B(riscv.BLT, asm.A0, asm.Zero, "wrong")
						a.I(riscv.ANDI, asm.A0, asm.A0, slots-1)
						a.B(riscv.BNE, asm.A0, asm.Zero, "wrong")
					})
				})
			}
			m.bounded(func() { m.runAll(nil, pcs...) })
			if c.o.Pages != 0 && m.jit.Stats().Evictions == 0 {
				t.Error("no evictions")
			}
			if strings.Contains(c.name, "with kept") && m.jit.Stats().Kept == 0 {
				t.Error("no kept translations")
			}
		})
	}
}

// mapWindow makes an Sv39 address space for S-mode: RAM at its own address, and leaves for the 512 pages from windowVA on.
func (m *machine) mapWindow() {
	put := func(page, i, v uint64) {
		if err := m.ram.Store64(memory.GPA(pageAt(page)+8*i), v); err != nil {
			m.Fatal(err)
		}
	}
	ptr := func(page uint64) uint64 { return pageAt(page)>>memory.PageShift<<mmu.PTEPPNShift | mmu.PTEV }
	const all = mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEA | mmu.PTED
	put(rootPage, 2, ramBase>>memory.PageShift<<mmu.PTEPPNShift|mmu.PTEV|all)
	put(rootPage, 1, ptr(megaPage))
	put(megaPage, 0, ptr(leafPage))
}

const windowVA = 0x4000_0000

// enterSpace turns paging on.
func enterSpace(a *asm.Assembler) {
	a.Li(asm.T0, int64(mmu.ModeSv39<<60|pageAt(rootPage)>>memory.PageShift))
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSatp, asm.T0)
	a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA})
}

// A page of code and data is mapped somewhere else while others use it; who sees that a remote SFENCE.VMA has been made uses the new one.
func TestRemapByRemoteFence(t *testing.T) {
	const slots, pages = 8, 32 // virtual and physical
	for _, c := range []struct {
		harts int
		call  int64
		o     jit.Options
	}{
		{2, callFence, jit.Options{CodeSize: 8 << 20}},
		{2, callFenceVA, jit.Options{CodeSize: 8 << 20}},
		{4, callFenceVA, jit.Options{CodeSize: 8 << 20}},
		{2, callFenceVA, jit.Options{CodeSize: 8 << 20, Pages: 8}},
		{4, callFence, jit.Options{CodeSize: 8 << 20, Pages: 8}},
	} {
		t.Run(fmt.Sprintf("%d harts, fence %d, %d pages", c.harts, c.call, c.o.Pages), func(t *testing.T) {
			n := rounds(t, 4000, c.harts)
			m := newMachine(t, c.harts, c.o)
			m.mapWindow()
			for i := range uint64(pages) {
				m.assemble(pageAt(slotPage+i), func(a *asm.Assembler) {
					a.Li(asm.A1, int64(i))
					a.Ret()
					a.Align(8)
					for a.PC() < pageAt(slotPage+i)+16 {
						a.Half(0)
					}
					a.Dword(i)
				})
			}
			slot := func(a *asm.Assembler, shift int32, base uint64) {
				a.I(riscv.ANDI, asm.A2, regRound, slots-1)
				a.I(riscv.SLLI, asm.A2, asm.A2, shift)
				a.Li(asm.T0, int64(base))
				a.R(riscv.ADD, asm.A2, asm.A2, asm.T0)
			}
			pcs := []uint64{pageAt(programPage)}
			m.assemble(pcs[0], func(a *asm.Assembler) {
				enterSpace(a)
				publisher(a, n, func() {
					slot(a, 3, pageAt(leafPage))
					a.I(riscv.ANDI, asm.T1, regRound, pages-1)
					a.I(riscv.SLLI, asm.T1, asm.T1, mmu.PTEPPNShift)
					a.Li(asm.T0, int64(pageAt(slotPage)>>memory.PageShift<<mmu.PTEPPNShift|mmu.PTEV|mmu.PTER|mmu.PTEX|mmu.PTEA))
					a.R(riscv.ADD, asm.T1, asm.T1, asm.T0)
					a.Store(riscv.SD, asm.T1, 0, asm.A2)
					slot(a, memory.PageShift, windowVA)
					a.Mv(asm.A0, asm.A2)
					a.Li(asm.A7, c.call)
					a.Op(riscv.ECALL)
				})
			})
			for id := 1; id < c.harts; id++ {
				pcs = append(pcs, pageAt(programPage+uint64(id)))
				m.assemble(pcs[id], func(a *asm.Assembler) {
					enterSpace(a)
					subscriber(a, n, func() {
						slot(a, memory.PageShift, windowVA)
						a.I(riscv.JALR, asm.RA, asm.A2, 0)
						a.Load(riscv.LD, asm.A3, 16, asm.A2)
						a.Fence(3, 3)
						// Unless the slot has been published again, or may be just now, both are of that round.
						a.Load(riscv.LD, asm.A4, 0, regFlag)
						a.R(riscv.SUB, asm.A4, asm.A4, regRound)
						a.Li(asm.T0, slots-1)
						a.B(riscv.BGE, asm.A4, asm.T0, "late")
						a.I(riscv.ANDI, asm.A0, regRound, pages-1)
						a.B(riscv.BNE, asm.A1, asm.A0, "wrong")
						a.B(riscv.BNE, asm.A3, asm.A0, "wrong")
						a.Label("late")
					})
				})
			}
			m.bounded(func() { m.runAll(nil, pcs...) })
		})
	}
}

// Harts that evict each other's translations all the time still compute what they should, and none waits for another for ever.
func TestEvictionByAll(t *testing.T) {
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			const pages = 200
			m := newMachine(t, n, jit.Options{CodeSize: 3 << 20, Pages: 64})
			turns := max(rounds(t, 30, 0), 6) // harts that wait for one another see the same pages, and fewer are evicted
			// Pages that add their numbers, with enough around it to fill code memory.
			for i := range uint64(pages) {
				at := pageAt(64 + i)
				m.assemble(at, func(a *asm.Assembler) {
					for a.PC() < at+memory.PageSize/2 {
						a.Load(riscv.LD, asm.T0, 0, asm.GP)
						a.R(riscv.MULHSU, asm.T0, asm.T1, asm.T2)
					}
					a.I(riscv.ADDI, asm.A0, asm.A0, int32(i))
					a.Ret()
				})
			}
			var pcs []uint64
			for id := range n {
				pcs = append(pcs, pageAt(programPage+uint64(id)))
				m.assemble(pcs[id], func(a *asm.Assembler) {
					a.Li(asm.GP, int64(pageAt(flagPage)))
					a.Li(asm.S3, turns)
					a.Label("turn")
					a.Li(asm.S1, 0)
					a.Li(asm.S2, pages)
					a.Label("page")
					// Each hart goes its own way through them: 7 and 3 are prime to 200.
					a.Li(asm.T0, int64([]int{1, 7, 3, 13}[id]))
					a.R(riscv.MUL, asm.T0, asm.S1, asm.T0)
					a.R(riscv.REMU, asm.T0, asm.T0, asm.S2)
					a.I(riscv.SLLI, asm.T0, asm.T0, memory.PageShift)
					a.Li(asm.T1, int64(pageAt(64)))
					a.R(riscv.ADD, asm.T0, asm.T0, asm.T1)
					a.I(riscv.JALR, asm.RA, asm.T0, 0)
					a.I(riscv.ADDI, asm.S1, asm.S1, 1)
					a.B(riscv.BLT, asm.S1, asm.S2, "page")
					a.I(riscv.ADDI, asm.S3, asm.S3, -1)
					a.B(riscv.BNE, asm.S3, asm.Zero, "turn")
					a.Op(riscv.WFI)
				})
			}
			m.bounded(func() { m.runAll(nil, pcs...) })
			for id, h := range m.harts {
				if want := uint64(turns) * pages * (pages - 1) / 2; h.X[asm.A0] != want {
					t.Errorf("hart %d: the sum is %d, not %d", id, h.X[asm.A0], want)
				}
			}
			if m.jit.Stats().Evictions < 10 {
				t.Errorf("only %d evictions", m.jit.Stats().Evictions)
			}
		})
	}
}

// A hart waits for another to forget its way to a page that is translated for the first time. A fence that it serves meanwhile counts: what it
// executes then is what is mapped now.
func TestFenceServedWhileTranslating(t *testing.T) {
	m := newMachine(t, 2, jit.Options{CodeSize: 4 << 20})
	m.mapWindow()
	waits, busy := m.harts[0], m.harts[1]
	for i := range uint64(2) {
		m.assemble(pageAt(slotPage+i), func(a *asm.Assembler) {
			a.Li(asm.A0, int64(1+i))
			a.Op(riscv.WFI)
		})
	}
	remap := func(i uint64) {
		t.Helper()
		pte := pageAt(slotPage+i)>>memory.PageShift<<mmu.PTEPPNShift | mmu.PTEV | mmu.PTER | mmu.PTEX | mmu.PTEA
		if err := m.ram.Store64(memory.GPA(pageAt(leafPage)), pte); err != nil {
			t.Fatal(err)
		}
	}
	remap(0)
	waits.Satp = mmu.ModeSv39<<60 | pageAt(rootPage)>>memory.PageShift
	waits.OpenPMP()
	waits.SetPriv(riscv.PrivS)
	waits.PC = windowVA
	busy.Poll() // it runs from here on, but looks up only later
	done := make(chan engine.Exit)
	go func() {
		defer waits.Leave()
		done <- m.engines[0].Run()
	}()
	for atomic.LoadUint32(&busy.Attention) == 0 {
		runtime.Gosched()
	}
	remap(1)
	hart.RemoteFence(nil, []*hart.Hart{waits}, hart.FenceRequest{})
	busy.Leave()
	if exit := <-done; exit != engine.ExitWFI || waits.X[asm.A0] != 2 {
		t.Errorf("exit %v, a0 = %d", exit, waits.X[asm.A0])
	}
}
