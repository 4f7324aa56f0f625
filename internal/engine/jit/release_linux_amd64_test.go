package jit_test

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// The code of a page that goes back to the host is what the page is then, zeroes, after the next FENCE.I: no translation of it is left, of either tier. Stores to
// such a page are to memory as ever.
func TestReleasedCodeIsDropped(t *testing.T) {
	for name, o := range map[string]jit.Options{
		"blocks":  {CodeSize: 8 << 20, Tier: jit.TierBaseline},
		"regions": {CodeSize: 8 << 20, Tier: jit.TierOptimized, Region: jit.RegionOptions{Every: 1, Threshold: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 1, o)
			h := m.harts[0]
			h.OpenPMP()
			loop, caller, trap, data := pageAt(4), pageAt(1), pageAt(6), pageAt(8)
			m.assemble(trap, func(a *asm.Assembler) { a.Op(riscv.WFI) })
			m.assemble(loop, func(a *asm.Assembler) {
				a.Li(asm.T0, 100_000)
				a.Label("turn")
				a.I(riscv.ADDI, asm.A0, asm.A0, 1)
				a.I(riscv.ADDI, asm.T0, asm.T0, -1)
				a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
				a.Op(riscv.WFI)
			})
			m.assemble(caller, func(a *asm.Assembler) {
				a.Op(riscv.FENCE_I)
				a.Li(asm.T1, int64(data))
				a.Store(riscv.SD, asm.A0, 0, asm.T1)
				a.Li(asm.T1, int64(loop))
				a.I(riscv.JALR, asm.Zero, asm.T1, 0)
			})
			h.WriteCSR(riscv.CSRMtvec, trap)
			for range 3 {
				h.X[asm.A0] = 0
				m.run(0, caller)
				if h.X[asm.A0] != 100_000 {
					t.Fatalf("the loop made %d turns", h.X[asm.A0])
				}
			}
			f := memory.NewFrames(m.ram)
			f.Give(memory.GPA(loop))
			f.Give(memory.GPA(data))
			if err := f.Release(); err != nil {
				t.Fatal(err)
			}
			h.X[asm.A0] = 7
			h.PC = caller
			exit := m.engines[0].Run()
			h.Leave()
			if h.Mcause != riscv.CauseIllegal || h.Mepc != loop || h.X[asm.A0] != 7 {
				t.Errorf("exit %v at %#x, mcause %d, mepc %#x, %d turns: want an illegal instruction at %#x", exit, h.PC, h.Mcause, h.Mepc, h.X[asm.A0]-7, loop)
			}
			if v, _ := m.ram.Load64(memory.GPA(data)); v != 7 {
				t.Errorf("a store to a page that was released left %d", v)
			}
		})
	}
}
