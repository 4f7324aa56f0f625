package optimize

// Constants in two parts, an upper one and what is added to it, become one: nothing is left between the two.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// Fold finds constants, and addresses in the page, that are added to at once, and those of calls, which replace them.
func Fold(insts []ir.Inst) {
	for i := 1; i < len(insts); i++ {
		upper, in := &insts[i-1], &insts[i]
		if in.Op == ir.Jump && in.Has(ir.Call) && upper.Op == ir.Page && upper.Dst == in.Dst {
			insts[i-1] = nop(upper) // what it was for is in the jump's target
			continue
		}
		if in.Op != ir.Add || !in.Has(ir.UseImm) || in.A != upper.Dst || in.Dst != upper.Dst {
			continue
		}
		switch {
		case upper.Op == ir.Const:
			sum := upper.Imm + in.Imm
			if in.Width == ir.W32 {
				sum = int64(int32(sum))
			}
			in.Op, in.Width, in.Imm = ir.Const, ir.W64, sum
		case upper.Op == ir.Page && in.Width == ir.W64:
			in.Op, in.Imm = ir.Page, upper.Imm+in.Imm
		default:
			continue
		}
		in.Flags, in.A = 0, ir.None
		insts[i-1] = nop(upper)
	}
}
