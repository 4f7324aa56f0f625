package jit_test

// Recursion far deeper than a shadow stack, whose calls do not look whether there is room.

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

func TestRecursionDeeperThanTheShadowStack(t *testing.T) {
	const depth = 8 * amd64.ShadowBytes / 16
	for _, tier := range []jit.Tier{jit.TierBaseline, jit.TierOptimized} {
		for _, computed := range []bool{false, true} {
			t.Run(fmt.Sprintf("tier %v, computed %t", tier, computed), func(t *testing.T) {
				m := newMachine(t, 1, jit.Options{CodeSize: 4 << 20, Tier: tier})
				at := m.assemble(ramBase, func(a *asm.Assembler) {
					call := func() {
						if computed {
							a.I(riscv.JALR, asm.RA, asm.S0, 0)
						} else {
							a.Jal(asm.RA, "f")
						}
					}
					call()
					a.Op(riscv.WFI)
					a.Align(8)
					a.Label("f")
					a.B(riscv.BEQ, asm.A0, asm.Zero, "out")
					a.I(riscv.ADDI, asm.SP, asm.SP, -8)
					a.Store(riscv.SD, asm.RA, 0, asm.SP)
					a.I(riscv.ADDI, asm.A0, asm.A0, -1)
					call()
					a.Load(riscv.LD, asm.RA, 0, asm.SP)
					a.I(riscv.ADDI, asm.SP, asm.SP, 8)
					a.I(riscv.ADDI, asm.A1, asm.A1, 1)
					a.Label("out")
					a.I(riscv.JALR, asm.Zero, asm.RA, 0)
				})
				h := m.harts[0]
				for range 3 {
					h.X[asm.SP], h.X[asm.S0], h.X[asm.A0], h.X[asm.A1] = ramBase+ramSize, at["f"], depth, 0
					m.run(0, ramBase)
					if h.X[asm.A1] != depth || h.X[asm.SP] != ramBase+ramSize {
						t.Fatalf("%d returns of %d, sp %#x", h.X[asm.A1], depth, h.X[asm.SP])
					}
				}
			})
		}
	}
}
