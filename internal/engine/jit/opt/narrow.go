package opt

// Sign extensions. RISC-V keeps 32-bit numbers sign-extended, so that nearly every operation on them is two for the host: itself and the
// extension. A value of which only the low half is used is kept without; where the guest's state is stored, it is extended.
//
// Whether a number is sign-extended is known of most, but not of what comes in from outside. Where knowing it of a variable that goes
// around a loop helps, it is assumed: the way in checks it (Region.Guards).

import (
	"cmp"
	"maps"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// signs finds out which values are sign-extended from 32 bits.
func (r *Region) signs() {
	all := func(f func(*Value)) {
		for _, b := range r.Blocks {
			for _, v := range b.Phis {
				f(v)
			}
			for _, v := range b.Values {
				f(v)
			}
		}
	}
	solve := func(entry func(*Value) bool) {
		all(func(v *Value) { v.sext = !v.Float() && v.Var != ir.None && (v.Kind != Entered || entry(v)) })
		for changed := true; changed; {
			changed = false
			all(func(v *Value) {
				if v.sext && !r.extended(v) {
					v.sext, changed = false, true
				}
			})
		}
	}
	r.reals()
	solve(func(*Value) bool { return true })
	if r.assumed == nil {
		r.assumed = map[*Value]bool{}
	}
	wanted := r.assumed // what was assumed once stays so: values have been rewritten by it
	all(func(v *Value) {
		switch {
		case v.Kind == Phi && v.sext && v.real && evident(v, map[*Value]bool{}):
			for _, a := range v.Args {
				if a = a.find(); a.Kind == Entered {
					wanted[a] = true
				}
			}
		case v.Kind == Computed && v.Op == ir.Add && v.Width == ir.W32 && v.Has(ir.UseImm) && v.Imm == 0:
			if a := v.Arg[0].find(); a.Kind == Entered {
				wanted[a] = true
			}
		}
	})
	solve(func(v *Value) bool { return wanted[v] })
	// Also of entries that nothing is made of any more: a state that shows a copy of one for its extension needs what was assumed.
	r.Guards = slices.SortedFunc(maps.Keys(wanted), func(a, b *Value) int { return cmp.Compare(a.Var, b.Var) })
}

// evident says that there is more to a value's being sign-extended than that nothing is known of what it is one of.
func evident(v *Value, seen map[*Value]bool) bool {
	v = v.find()
	if seen[v] || v.given() || v.IsConst() {
		return false
	}
	seen[v] = true
	switch {
	case v.Kind == Phi:
		for _, a := range v.Args {
			if evident(a, seen) {
				return true
			}
		}
		return false
	case v.Op == ir.And && !v.Has(ir.UseImm), v.Op == ir.Or, v.Op == ir.Xor, v.Op == ir.AndNot, v.Op == ir.Select,
		v.Op >= ir.MinS && v.Op <= ir.MaxU, v.Op == ir.ZeroIfZero, v.Op == ir.ZeroIfNonzero:
		for _, a := range v.Arg {
			if a != nil && evident(a, seen) {
				return true
			}
		}
		return false
	}
	return true
}

// reals finds out which phis instructions use, by way of others or not.
func (r *Region) reals() {
	var work []*Value
	use := func(v *Value) {
		if v != nil {
			if v = v.find(); !v.real {
				v.real = true
				work = append(work, v)
			}
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Phis {
			v.real = false
		}
		for _, v := range b.Values {
			v.real = false
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			for _, a := range v.Arg {
				use(a)
			}
		}
		if b.Cond != nil {
			for _, a := range b.Cond.Arg {
				use(a)
			}
		}
	}
	for len(work) > 0 {
		v := work[len(work)-1]
		work = work[:len(work)-1]
		for _, a := range v.Args {
			use(a)
		}
	}
}

func isExtended(v *Value) bool {
	if v == nil {
		return false
	}
	v = v.find()
	return v.sext || v.Kind == Computed && v.Op == ir.Const && fits(v.Imm)
}

// extended says whether a value is sign-extended, given what is believed of its operands.
func (r *Region) extended(v *Value) bool {
	switch v.Kind {
	case Entered:
		return true // as assumed
	case Returned:
		return false
	case Phi:
		for _, a := range v.Args {
			if !isExtended(a) {
				return false
			}
		}
		return true
	}
	a := v.Arg[0]
	both := isExtended(a) && (v.Has(ir.UseImm) || isExtended(v.Arg[1]))
	switch v.Op {
	case ir.Const:
		return fits(v.Imm)
	case ir.Add, ir.Sub, ir.Mul, ir.Shl, ir.RotL, ir.RotR, ir.DivS, ir.DivU, ir.RemS, ir.RemU:
		return v.Width == ir.W32
	case ir.Shr:
		return v.Width == ir.W32 || v.Has(ir.UseImm) && v.Imm > 32
	case ir.Sar:
		return v.Width == ir.W32 || v.Has(ir.UseImm) && v.Imm >= 32 || isExtended(a)
	case ir.SetLT, ir.SetLTU, ir.BitExtract, ir.Clz, ir.Ctz, ir.Popcnt, ir.SignExtend, ir.ZeroExtend, ir.FEq, ir.FLt, ir.FLe, ir.FClass:
		return true
	case ir.And:
		return v.Has(ir.UseImm) && v.Imm >= 0 || both
	case ir.Or, ir.Xor, ir.AndNot, ir.MinS, ir.MinU, ir.MaxS, ir.MaxU, ir.Select:
		return both
	case ir.ZeroIfZero, ir.ZeroIfNonzero:
		return isExtended(a)
	case ir.Load:
		return v.Width < ir.W32 || v.Width == ir.W32 && v.Has(ir.Signed)
	case ir.FToInt:
		return v.Width == ir.W32
	case ir.FToBits:
		return v.Has(ir.Single)
	}
	return false
}

// canNarrow says that the low half of a value can be computed from the low halves of its operands, or without an extension that it has now.
func canNarrow(v *Value) bool {
	if v.Kind == Phi {
		return true
	}
	if v.Kind != Computed {
		return false
	}
	switch v.Op {
	case ir.Add, ir.Sub, ir.Mul, ir.Shl, ir.Shr, ir.RotL, ir.RotR:
		return v.Width == ir.W32
	case ir.And:
		return !(v.Has(ir.UseImm) && v.Imm >= 0) // the result is whole whatever is above
	case ir.Or, ir.Xor, ir.AndNot, ir.Select:
		return true
	}
	return false
}

// Compares32 says that a comparison is one of sign-extended operands: their low halves compare in the same way.
func compares32(v *Value) bool {
	if v.Masked {
		return v.Imm >= 0
	}
	return isExtended(v.Arg[0]) && (v.Has(ir.UseImm) || isExtended(v.Arg[1]))
}

// low says that an instruction uses only the low half of its i-th operand.
func low(v *Value, i int) bool {
	w32 := v.Width == ir.W32
	switch v.Op {
	case ir.Add, ir.Sub, ir.Mul, ir.Clz, ir.Ctz, ir.Popcnt, ir.DivS, ir.DivU, ir.RemS, ir.RemU:
		return w32
	case ir.RotL, ir.RotR, ir.Shr, ir.Sar:
		return w32 || i == 1
	case ir.Shl:
		return w32 || i == 1 || v.Has(ir.UseImm) && v.Imm >= 32
	case ir.And:
		return v.Narrow || v.Has(ir.UseImm) && v.Imm >= 0
	case ir.Or, ir.Xor, ir.AndNot, ir.Select:
		return v.Narrow
	case ir.SetLT, ir.SetLTU, ir.Branch, ir.Test:
		return compares32(v)
	case ir.ShiftAddU, ir.ShlU:
		return i == 0
	case ir.SignExtend, ir.ZeroExtend:
		return true
	case ir.Store:
		return i == 1 && v.Width <= ir.W32
	case ir.Search:
		return i == 1 && !v.Scan.Checked
	case ir.FFromBits:
		return v.Has(ir.Single)
	case ir.FFromInt:
		return w32 && v.Rm == 7
	}
	return false
}

// Narrow decides which values are kept without their sign extension, and which comparisons are of 32 bits.
func (r *Region) Narrow() {
	r.signs()
	var all []*Value
	for _, b := range r.Blocks {
		all = append(all, b.Phis...)
		all = append(all, b.Values...)
		if b.Cond != nil {
			all = append(all, b.Cond)
		}
	}
	all = append(all, r.sunken()...)
	for _, v := range all {
		v.Narrow = !v.sunk && v.sext && canNarrow(v)
	}
	for changed := true; changed; {
		changed = false
		widen := func(a *Value) {
			if a != nil && a.Narrow {
				a.Narrow, changed = false, true
			}
		}
		for _, v := range all {
			if v.Kind == Phi {
				if !v.Narrow && v.real { // for states alone, the edge extends
					for _, a := range v.Args {
						widen(a)
					}
				}
				continue
			}
			for i, a := range v.Arg {
				if a != nil && a.Narrow && !low(v, i) && !v.sunk { // where a state is needed it is extended
					widen(a)
				}
			}
		}
	}
	// A phi of what is whole is whole.
	part := map[*Value]bool{}
	for changed := true; changed; {
		changed = false
		for _, v := range all {
			if v.Kind == Phi && v.Narrow && !part[v] && slices.ContainsFunc(v.Args, func(a *Value) bool { return a.Narrow && (a.Kind != Phi || part[a]) }) {
				part[v], changed = true, true
			}
		}
	}
	for _, v := range all {
		if v.Kind == Phi && !part[v] {
			v.Narrow = false
		}
		if v.Kind == Computed && (v.Op == ir.Branch || v.Op == ir.Test || v.Op == ir.SetLT || v.Op == ir.SetLTU) {
			v.Width = ir.W64
			if compares32(v) {
				v.Width = ir.W32
			}
		}
	}
}
