package jit_test

// Reads of satp in generated code (Privileged 1.13 §3.1.6.6, §12.1.11): from S-mode unless mstatus.TVM forbids it, and from M-mode.

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

func TestSatpIsReadByWhoMay(t *testing.T) {
	m := newMachine(t, 1, jit.Options{CodeSize: 4 << 20})
	h := m.harts[0]
	at := m.assemble(ramBase, func(a *asm.Assembler) {
		a.CSR(riscv.CSRRS, asm.A0, riscv.CSRSatp, asm.Zero)
		a.CSR(riscv.CSRRCI, asm.A1, riscv.CSRSatp, 0)
		a.Op(riscv.WFI)
		a.Label("trap")
		a.Op(riscv.WFI)
	})
	const satp, before = 0x123, 99 // bare, with bits that mean nothing
	h.OpenPMP()
	h.Medeleg = 1 << riscv.CauseIllegal
	h.Stvec = at["trap"]
	h.WriteCSR(riscv.CSRSatp, satp)
	for _, c := range []struct {
		priv, mstatus uint64
		allowed       bool
	}{
		{riscv.PrivM, 0, true},
		{riscv.PrivM, hart.MstatusTVM, true},
		{riscv.PrivS, 0, true},
		{riscv.PrivS, hart.MstatusTVM, false},
		{riscv.PrivS, 0, true}, // by the code that has trapped
		{riscv.PrivU, 0, false},
		{riscv.PrivU, hart.MstatusTVM, false},
	} {
		t.Run(fmt.Sprintf("privilege %d, TVM %t", c.priv, c.mstatus != 0), func(t *testing.T) {
			h.SetPriv(riscv.PrivM)
			h.WriteCSR(riscv.CSRMstatus, h.Mstatus&^hart.MstatusTVM|c.mstatus)
			h.SetPriv(c.priv)
			h.X[asm.A0], h.X[asm.A1], h.Scause = before, before, 0
			m.run(0, ramBase)
			switch {
			case c.allowed && (h.Scause != 0 || h.X[asm.A0] != satp || h.X[asm.A1] != satp):
				t.Errorf("cause %d, read %#x and %#x", h.Scause, h.X[asm.A0], h.X[asm.A1])
			case !c.allowed && (h.Scause != riscv.CauseIllegal || h.Sepc != ramBase || h.X[asm.A0] != before):
				t.Errorf("cause %d at %#x, read %#x", h.Scause, h.Sepc, h.X[asm.A0])
			}
		})
	}
}
