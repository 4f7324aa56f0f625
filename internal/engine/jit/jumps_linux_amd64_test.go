package jit_test

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// An auipc and the jalr behind it are one jump, but not for who comes to the jalr alone, with another register.
func TestSecondHalfOfAFarCall(t *testing.T) {
	for _, tier := range []jit.Tier{jit.TierBaseline, jit.TierOptimized} {
		m := newMachine(t, 1, jit.Options{CodeSize: 4 << 20, Tier: tier})
		const one, two = ramBase + 64, ramBase + 128
		m.assemble(ramBase, func(a *asm.Assembler) {
			at := a.PC()
			a.U(riscv.AUIPC, asm.RA, 0)
			a.Label("second")
			a.I(riscv.JALR, asm.RA, asm.RA, int32(one-at))
			a.B(riscv.BEQ, asm.S0, asm.Zero, "end")
			a.R(riscv.ADD, asm.RA, asm.S0, asm.Zero)
			a.I(riscv.ADDI, asm.S0, asm.Zero, 0)
			a.B(riscv.BNE, asm.RA, asm.Zero, "second")
			a.Label("end")
			a.Op(riscv.WFI)
			for i, f := range []uint64{one, two} {
				a.Space(int(f - a.PC()))
				a.I(riscv.ADDI, uint8(asm.A1)+uint8(i), uint8(asm.A1)+uint8(i), 1)
				a.I(riscv.JALR, asm.Zero, asm.RA, 0)
			}
		})
		h := m.harts[0]
		for range 3 {
			h.X[asm.S0], h.X[asm.A1], h.X[asm.A2] = ramBase+two-one, 0, 0
			m.run(0, ramBase)
			if h.X[asm.A1] != 1 || h.X[asm.A2] != 1 {
				t.Errorf("tier %v: %d and %d calls, want 1 of each", tier, h.X[asm.A1], h.X[asm.A2])
			}
		}
	}
}
