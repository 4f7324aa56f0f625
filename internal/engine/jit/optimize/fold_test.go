package optimize

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

func TestFold(t *testing.T) {
	constant := func(op ir.Op, dst ir.Var, imm int64) ir.Inst {
		return ir.Inst{Op: op, Width: ir.W64, Dst: dst, A: ir.None, B: ir.None, C: ir.None, Imm: imm}
	}
	plus := func(w ir.Width, dst, a ir.Var, imm int64) ir.Inst {
		return ir.Inst{Op: ir.Add, Width: w, Flags: ir.UseImm, Dst: dst, A: a, B: ir.None, C: ir.None, Imm: imm}
	}
	for _, c := range []struct {
		what       string
		upper, add ir.Inst
		op         ir.Op // what the second becomes
		imm        int64
		folded     bool
	}{
		{"lui and addi", constant(ir.Const, 5, 0x12345000), plus(ir.W64, 5, 5, -1), ir.Const, 0x12344fff, true},
		{"lui and addiw, over the end", constant(ir.Const, 5, 0x7ffff000), plus(ir.W32, 5, 5, 0x7ff+0x801), ir.Const, -0x80000000, true},
		{"auipc and addi", constant(ir.Page, 5, 0x5000), plus(ir.W64, 5, 5, 8), ir.Page, 0x5008, true},
		{"auipc and addiw", constant(ir.Page, 5, 0x5000), plus(ir.W32, 5, 5, 8), ir.Add, 8, false},
		{"to another register", constant(ir.Const, 5, 0x1000), plus(ir.W64, 6, 5, 8), ir.Add, 8, false},
		{"of another register", constant(ir.Const, 5, 0x1000), plus(ir.W64, 5, 6, 8), ir.Add, 8, false},
	} {
		insts := []ir.Inst{c.upper, c.add}
		Fold(insts)
		if in := insts[1]; in.Op != c.op || in.Imm != c.imm || (insts[0].Op == ir.Nop) != c.folded {
			t.Errorf("%s: %v", c.what, insts)
		}
	}
}
