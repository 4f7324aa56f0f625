package opt

import (
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// A sum of four numbers, of which the first has just been computed from what goes around the loop: it is added last, by whatever the sum is made of.
func TestSumsBeginWithWhatIsThere(t *testing.T) {
	sum := func(add riscv.Op, shared bool) []*Value {
		r := region(t, 12, func(a *asm.Assembler) {
			a.Label("turn")
			a.Load(riscv.LW, asm.A1, 0, asm.S0)
			a.R(riscv.XOR, asm.A2, asm.A0, asm.T0)
			a.R(riscv.AND, asm.A2, asm.A2, asm.T1)
			a.R(add, asm.A0, asm.A2, asm.A1)
			if shared {
				a.R(riscv.XOR, asm.A3, asm.A3, asm.A0)
			}
			a.R(add, asm.A0, asm.A0, asm.T2)
			a.R(add, asm.A0, asm.A0, asm.T3)
			a.I(riscv.ADDI, asm.S0, asm.S0, 4)
			a.B(riscv.BNE, asm.S0, asm.S1, "turn")
			a.Op(riscv.EBREAK)
		})
		return slices.DeleteFunc(slices.Clone(r.Head.Values), func(v *Value) bool { return v.Op != ir.Add || v.Has(ir.UseImm) })
	}
	isDeep := func(v *Value) bool {
		return slices.ContainsFunc(v.Arg[:2], func(a *Value) bool { return a.Op == ir.And })
	}
	for _, c := range []struct {
		name   string
		op     riscv.Op
		shared bool
		deep   int // which addition has the number that comes last
	}{
		{"of 32 bits", riscv.ADDW, false, 2},
		{"with a part that something else wants", riscv.ADDW, true, 0},
		{"of 64 bits", riscv.ADD, false, 0},
	} {
		if adds := sum(c.op, c.shared); len(adds) != 3 || !isDeep(adds[c.deep]) {
			t.Errorf("%s: %v", c.name, adds)
		}
	}
}
