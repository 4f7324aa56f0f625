package opt

// What is computed otherwise, or not at all: constants, copies, rotations and bit fields that the guest makes of shifts, comparisons that only
// a branch looks at.

import (
	"math/bits"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

func fits(v int64) bool { return int64(int32(v)) == v }

// Simplify rewrites values until nothing changes.
func (r *Region) Simplify() {
	for range 4 {
		r.signs()
		changed := false
		for _, b := range r.order() {
			for _, v := range b.Values {
				if v.Kind == Computed && v.forward == nil && r.simplify(v) {
					changed = true
				}
			}
			if b.Cond != nil && (r.simplifyBranch(b.Cond) || b.returns()) {
				changed = true
			}
		}
		r.trivialPhis()
		if !changed {
			break
		}
	}
	for _, b := range r.Blocks {
		quietComparisons(b)
	}
	r.removeDead()
}

// quietComparisons recognizes comparisons between a read of fflags and a write that puts them back, as compilers make those that must not signal.
// The flags need not be written then, but for operands that are not numbers.
func quietComparisons(b *Block) {
	for i := 0; i+2 < len(b.Values); i++ {
		read, compare, write := b.Values[i], b.Values[i+1], b.Values[i+2]
		if read.Op == ir.ReadCSR && (compare.Op == ir.FLt || compare.Op == ir.FLe) && write.Op == ir.WriteCSR && write.Var == ir.None &&
			!write.Has(ir.UseImm) && write.Arg[0] == read {
			compare.Arg[2] = read
			compare.Quiet = true
			b.Values = slices.Delete(b.Values, i+2, i+3)
		}
	}
}

func commutes(op ir.Op) bool {
	return op == ir.Add || op == ir.And || op == ir.Or || op == ir.Xor || op == ir.Mul
}

func (v *Value) imm(op ir.Op, w ir.Width) bool {
	return v.Kind == Computed && v.Op == op && v.Width == w && v.Has(ir.UseImm)
}

// become makes v another operation, on one value and an immediate.
func (v *Value) become(op ir.Op, w ir.Width, a *Value, imm int64) bool {
	v.Op, v.Width, v.Imm = op, w, imm
	v.Flags = ir.UseImm
	v.Arg = [3]*Value{a}
	return true
}

func (v *Value) constant(c int64) bool {
	v.Op, v.Width, v.Flags, v.Imm, v.Arg = ir.Const, ir.W64, 0, c, [3]*Value{}
	return true
}

func (v *Value) copyOf(a *Value) bool {
	if a == v {
		return false
	}
	v.forward = a
	return true
}

func (r *Region) simplify(v *Value) bool {
	for i, a := range v.Arg {
		if a != nil {
			v.Arg[i] = a.find()
		}
	}
	a, b := v.Arg[0], v.Arg[1]
	if b != nil && a != nil && a.IsConst() && !b.IsConst() && commutes(v.Op) {
		a, b = b, a
		v.Arg[0], v.Arg[1] = a, b
	}
	if b != nil && b.IsConst() {
		switch c := b.Imm; v.Op {
		case ir.Add, ir.And, ir.Or, ir.Xor, ir.SetLT, ir.SetLTU:
			if fits(c) {
				return v.become(v.Op, v.Width, a, c)
			}
		case ir.Sub:
			if fits(-c) {
				return v.become(ir.Add, v.Width, a, -c)
			}
		case ir.Shl, ir.Shr, ir.Sar, ir.RotL, ir.RotR:
			mask := int64(63)
			if v.Width == ir.W32 {
				mask = 31
			}
			return v.become(v.Op, v.Width, a, c&mask)
		}
	}
	if a != nil && a.IsConst() && v.Has(ir.UseImm) {
		if c, ok := fold(v.Op, v.Width, a.Imm, v.Imm); ok {
			return v.constant(c)
		}
	}
	switch v.Op {
	case ir.Test:
		return r.simplifyBranch(v)
	case ir.Select:
		if a == b {
			return v.copyOf(a)
		}
	case ir.Add:
		if !v.Has(ir.UseImm) {
			return rotation(v, a, b)
		}
		if v.Imm == 0 && (v.Width == ir.W64 || a.sext) {
			return v.copyOf(a)
		}
		if o := a.Arg[0]; a.imm(ir.Add, v.Width) && v.Width == ir.W64 && o.find().Kind == Phi && fits(a.Imm+v.Imm) {
			// Of what goes around the loop, so that no turn of it waits for another.
			return v.become(ir.Add, ir.W64, o.find(), a.Imm+v.Imm)
		}
		if v.Width == ir.W64 && a.Kind == Computed && a.Op == ir.Page {
			v.Op, v.Flags, v.Imm, v.Arg = ir.Page, 0, a.Imm+v.Imm, [3]*Value{}
			return true
		}
	case ir.Or, ir.Xor:
		if !v.Has(ir.UseImm) {
			return rotation(v, a, b)
		}
		if v.Imm == 0 {
			return v.copyOf(a)
		}
	case ir.And:
		if v.Has(ir.UseImm) && v.Imm == -1 {
			return v.copyOf(a)
		}
		if !v.Has(ir.UseImm) && v.Width == ir.W64 {
			return andNot(v, a, b) || andNot(v, b, a)
		}
	case ir.Shl, ir.Shr, ir.Sar:
		if !v.Has(ir.UseImm) {
			return false
		}
		if v.Imm == 0 && (v.Width == ir.W64 || a.sext) {
			return v.copyOf(a)
		}
		if v.Op != ir.Shl && v.Width == ir.W64 && a.imm(ir.Shl, ir.W64) {
			return bitField(v, a)
		}
	case ir.SignExtend:
		if a.Kind == Computed && a.Op == ir.Load && a.Has(ir.Signed) && a.Width <= v.Width {
			return v.copyOf(a)
		}
	case ir.ZeroExtend:
		if a.Kind == Computed && a.Op == ir.Load && !a.Has(ir.Signed) && a.Width <= v.Width {
			return v.copyOf(a)
		}
	}
	return false
}

// returns drops the comparison of an inlined return, if it is known where that goes.
func (b *Block) returns() bool {
	known := func(v *Value) bool { return v != nil && v.Kind == Computed && v.Op == ir.Page }
	x, y := b.Cond.Arg[0], b.Cond.Arg[1]
	if b.Cond.Cond != ir.NE || b.Out[0].To != nil || !known(x) || !known(y) || x.Imm != y.Imm {
		return false
	}
	b.Cond, b.Out = nil, b.Out[1:]
	return true
}

// rotation recognizes two shifts of a value in opposite directions.
func rotation(v, a, b *Value) bool {
	if a == nil || b == nil {
		return false
	}
	if a.Op == ir.Shr {
		a, b = b, a
	}
	w := a.Width
	if !a.imm(ir.Shl, w) || !b.imm(ir.Shr, w) || a.Arg[0].find() != b.Arg[0].find() || w != ir.W32 && w != ir.W64 {
		return false
	}
	n := int64(64)
	if w == ir.W32 {
		n = 32
	}
	if a.Imm == 0 || a.Imm+b.Imm != n || v.Width == ir.W32 && w == ir.W64 {
		return false
	}
	return v.become(ir.RotR, w, b.Arg[0], b.Imm)
}

// andNot recognizes a bitwise and with a complement.
func andNot(v, a, b *Value) bool {
	if !b.imm(ir.Xor, ir.W64) || b.Imm != -1 {
		return false
	}
	v.Op, v.Arg = ir.AndNot, [3]*Value{a, b.Arg[0].find()}
	return true
}

// bitField recognizes a shift left and then right.
func bitField(v, a *Value) bool {
	x := a.Arg[0].find()
	switch l, n := a.Imm, v.Imm; {
	case v.Op == ir.Shr && l == 32 && n <= 32 && n > 0:
		return v.become(ir.ShlU, ir.W64, x, 32-n)
	case v.Op == ir.Sar && l == 32 && n == 32:
		return v.become(ir.Add, ir.W32, x, 0)
	case v.Op == ir.Sar && l == 32 && n > 32:
		return v.become(ir.Sar, ir.W32, x, n-32)
	case l == 48 && n == 48 || l == 56 && n == 56:
		w := ir.W16
		if n == 56 {
			w = ir.W8
		}
		op := ir.SignExtend
		if v.Op == ir.Shr {
			if op = ir.ZeroExtend; w == ir.W8 {
				return v.become(ir.And, ir.W64, x, 255)
			}
		}
		v.become(op, w, x, 0)
		v.Flags = 0
		return true
	}
	return false
}

// fold computes.
func fold(op ir.Op, w ir.Width, a, b int64) (int64, bool) {
	var c int64
	if w == ir.W32 {
		x, n := uint32(a), uint(b&31)
		switch op {
		case ir.Add:
			c = int64(int32(x + uint32(b)))
		case ir.Shl:
			c = int64(int32(x << n))
		case ir.Shr:
			c = int64(int32(x >> n))
		case ir.Sar:
			c = int64(int32(x) >> n)
		case ir.RotR:
			c = int64(int32(bits.RotateLeft32(x, -int(n))))
		default:
			return 0, false
		}
		return c, true
	}
	if w != ir.W64 {
		return 0, false
	}
	n := uint(b & 63)
	switch op {
	case ir.Add:
		c = a + b
	case ir.And:
		c = a & b
	case ir.Or:
		c = a | b
	case ir.Xor:
		c = a ^ b
	case ir.Shl:
		c = a << n
	case ir.Shr:
		c = int64(uint64(a) >> n)
	case ir.Sar:
		c = a >> n
	default:
		return 0, false
	}
	return c, true
}

// simplifyBranch lets a branch compare what the guest compared before it.
func (r *Region) simplifyBranch(v *Value) bool {
	for i, a := range v.Arg {
		if a != nil {
			v.Arg[i] = a.find()
		}
	}
	a, b := v.Arg[0], v.Arg[1]
	if b == nil || a == nil {
		return false
	}
	if a.IsConst() && a.Var == ir.Zero && !(b.IsConst() && b.Var == ir.Zero) && v.Cond <= ir.NE {
		v.Arg[0], v.Arg[1] = b, a
		return true
	}
	if b.Var != ir.Zero || !b.IsConst() || v.Cond > ir.NE || a.Kind != Computed {
		return false
	}
	switch {
	case a.Op == ir.SetLT && !a.Has(ir.UseImm), a.Op == ir.SetLTU && !a.Has(ir.UseImm):
		cond := ir.LT
		if a.Op == ir.SetLTU {
			cond = ir.LTU
		}
		if v.Cond == ir.EQ {
			cond = cond.Not()
		}
		v.Cond, v.Arg[0], v.Arg[1] = cond, a.Arg[0].find(), a.Arg[1].find()
		return true
	case a.Op == ir.SetLTU && a.Imm == 1: // whether it is zero
		v.Cond, v.Arg[0] = v.Cond.Not(), a.Arg[0].find()
		return true
	case (a.Op == ir.Xor || a.Op == ir.Sub) && a.Width == ir.W64 && !a.Has(ir.UseImm):
		v.Arg[0], v.Arg[1] = a.Arg[0].find(), a.Arg[1].find()
		return true
	}
	return false
}
