package opt

// Comparisons of some bits with zero: a mask that only a branch or a choice looks at is a part of its comparison, as hosts can test bits. Where the masked
// value shows, in states, it is computed there.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// Bits finds such comparisons.
func (r *Region) Bits() {
	r.reals()
	uses := map[*Value]int{} // by instructions, and phis for them
	var compare []*Value
	for _, b := range r.Blocks {
		for _, p := range b.Phis {
			for _, a := range p.Args {
				if p.real {
					uses[a]++
				}
			}
		}
		for _, v := range b.Values {
			for _, a := range v.Arg {
				uses[a]++
			}
			if v.Op == ir.Test && v.Kind == Computed {
				compare = append(compare, v)
			}
		}
		if b.Cond != nil {
			for _, a := range b.Cond.Arg {
				uses[a]++
			}
			compare = append(compare, b.Cond)
		}
	}
	for _, v := range compare {
		a, b := v.Arg[0], v.Arg[1]
		if v.Cond <= ir.NE && !v.Has(ir.UseImm) && b != nil && b.IsConst() && b.Var == ir.Zero && a.imm(ir.And, ir.W64) && fits(a.Imm) && uses[a] == 1 {
			v.Arg[0], v.Imm, v.Masked = a.Arg[0], a.Imm, true
		}
	}
}
