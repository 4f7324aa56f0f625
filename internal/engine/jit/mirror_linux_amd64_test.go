package jit_test

import (
	"errors"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mirror"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// A huge page of the guest's is mapped at once, unless there is code in it: a store to that is noticed, whichever came first.
func TestHugePageWithCode(t *testing.T) {
	for name, tier := range map[string]jit.Tier{"blocks": jit.TierBaseline, "regions": jit.TierOptimized} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 1, jit.Options{CodeSize: 8 << 20, Mirror: jit.MirrorAlways, Tier: tier})
			m.mapWindow()
			// The window is two huge pages: code and data in the first, only data in the second.
			const at, rights = ramBase + 2*mirror.Huge, mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEU | mmu.PTEA | mmu.PTED
			var err error
			for i := range uint64(2) {
				pte := (at+i*mirror.Huge)>>memory.PageShift<<mmu.PTEPPNShift | rights
				err = errors.Join(err, m.ram.Store64(memory.GPA(pageAt(megaPage)+8*i), pte))
			}
			changed, fail := riscv.Encode(riscv.Inst{Op: riscv.ADDI, Rd: uint8(asm.A3), Imm: 2})
			if err = errors.Join(err, fail); err != nil {
				t.Fatal(err)
			}
			m.assemble(at, func(a *asm.Assembler) {
				a.Label("changes")
				a.I(riscv.ADDI, asm.A3, asm.Zero, 1)
				a.R(riscv.ADD, asm.A4, asm.A4, asm.A3)
				a.B(riscv.BNE, asm.S0, asm.Zero, "end")
				a.I(riscv.ADDI, asm.S0, asm.Zero, 1)
				a.Li(asm.A1, windowVA+mirror.Huge-8)
				a.Store(riscv.SD, asm.S0, 0, asm.A1)
				a.Store(riscv.SD, asm.S0, 8, asm.A1)
				a.Load(riscv.LD, asm.A2, 8, asm.A1)
				a.Li(asm.T0, int64(changed))
				a.Li(asm.T1, windowVA)
				a.Store(riscv.SW, asm.T0, 0, asm.T1)
				a.Op(riscv.FENCE_I)
				a.J("changes")
				a.Label("end")
				a.Op(riscv.ECALL)
			})
			m.enterUser()
			x := &m.harts[0].X
			if x[asm.A2] != 1 || x[asm.A4] != 3 {
				t.Errorf("a2 is %d and a4 %d, not 1 and 3", x[asm.A2], x[asm.A4])
			}
			if v, _ := m.ram.Load64(at + mirror.Huge); v != 1 {
				t.Errorf("a store to the second page left %d", v)
			}
			if n := figures(m.engines[0].Report())["mirrored address spaces: pages mapped"]; len(n) < 3 {
				t.Errorf("%s pages were mapped", n)
			}
		})
	}
}
