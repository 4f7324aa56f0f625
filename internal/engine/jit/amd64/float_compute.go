package amd64

// Floating point: arithmetic, signs, minima and maxima, comparisons.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// arithmetic is Dst = A op B. Of a single the upper halves are those of A.
func (c *Compiler) arithmetic(in *ir.Inst, o scalar, commutes bool) {
	if !c.rounding(in) {
		return
	}
	c.sources(in, in.A, in.B)
	single := in.Has(ir.Single)
	a, b := in.A, in.B
	if commutes {
		_, okA := pinnedFloat(a)
		_, okB := pinnedFloat(b)
		if okB && (!okA || b == in.Dst) {
			a, b = b, a
		}
	}
	x, y := c.useFloat(a, ftmp), floatOperand(b)
	w := defFloat(in.Dst, ftmp)
	if !c.vex() && y.is(w) && w != x {
		w = ftmp
	}
	c.three(c.scalar(o, single), w, x, y)
	c.mendNaN(w, single, nil)
	c.putFloat(in.Dst, w, single)
}

func squareRoot(c *Compiler, in *ir.Inst) {
	if !c.rounding(in) {
		return
	}
	c.sources(in, in.A)
	single := in.Has(ir.Single)
	x := c.useFloat(in.A, ftmp)
	w := defFloat(in.Dst, ftmp)
	if c.vex() {
		c.XXX(c.scalar(sqrtOp, single), w, x, x)
	} else {
		c.copyFloat(w, x) // for its upper half, and lest the root waits for what w was
		c.XX(c.scalar(sqrtOp, single), w, w)
	}
	c.mendNaN(w, single, nil)
	c.putFloat(in.Dst, w, single)
}

// fusedOp is a fused multiplication and addition in its two orders: w*x + y, and x*y + w.
type fusedOp struct{ sd213, ss213, sd231, ss231 asm.Op }

var (
	mulAdd    = fusedOp{asm.VFMADD213SD, asm.VFMADD213SS, asm.VFMADD231SD, asm.VFMADD231SS}
	mulSub    = fusedOp{asm.VFMSUB213SD, asm.VFMSUB213SS, asm.VFMSUB231SD, asm.VFMSUB231SS}
	negMulAdd = fusedOp{asm.VFNMADD213SD, asm.VFNMADD213SS, asm.VFNMADD231SD, asm.VFNMADD231SS}
	negMulSub = fusedOp{asm.VFNMSUB213SD, asm.VFNMSUB213SS, asm.VFNMSUB231SD, asm.VFNMSUB231SS}
)

func (o *fusedOp) of(single bool) (op213, op231 asm.Op) {
	if single {
		return o.ss213, o.ss231
	}
	return o.sd213, o.sd231
}

// fused leaves both factors in some register: see mendFused. A host without it steps.
func (c *Compiler) fused(in *ir.Inst, o *fusedOp) {
	if !c.vex() || !c.has.Has(asm.HasFMA) {
		c.step(in)
		return
	}
	if !c.rounding(in) {
		return
	}
	c.sources(in, in.A, in.B, in.C)
	single := in.Has(ir.Single)
	op213, op231 := o.of(single)
	a, b := in.A, in.B
	if d, ok := pinnedFloat(in.Dst); ok && (in.Dst == a || in.Dst == b) {
		if in.Dst == b {
			a, b = b, a
		}
		c.copyFloat(ftmp, d)
		y, kept := d, ftmp
		if b != a {
			y = c.useFloat(b, ftmp2)
			kept = y
		}
		c.three(op213, d, y, floatOperand(in.C))
		c.mendFused(d, ftmp, kept, single)
		c.putFloat(in.Dst, d, single)
		return
	}
	x := c.useFloat(a, ftmp)
	y := x
	if b != a {
		y = c.useFloat(b, ftmp2)
	}
	w := defFloat(in.Dst, ftmp3)
	c.loadFloatVar(w, in.C)
	c.XXX(op231, w, x, y)
	c.mendFused(w, x, y, single)
	c.putFloat(in.Dst, w, single)
}

// mendFused is mendNaN behind a multiplication of x and y and an addition. Infinity times zero is invalid even when a quiet NaN is
// added ("F" §21.6), of which the host says nothing then. So where the result is a NaN, the product is computed again, plus an
// infinity of its sign: that is exact, and invalid in just that case.
func (c *Compiler) mendFused(w, x, y asm.XMM, single bool) {
	c.mendNaN(w, single, func() {
		inf := uint64(infinity)
		if single {
			inf = infinity1
		}
		c.bits(xorBits, w, x, register(y))
		c.bits(andBits, w, w, c.mask(signBit(single)))
		c.bits(orBits, w, w, c.mask(inf))
		_, op231 := mulAdd.of(single)
		c.XXX(op231, w, x, y)
	})
}

// sign is A with the sign of B, its opposite, or both signs combined: of B = A a move, fneg or fabs.
func sign(c *Compiler, in *ir.Inst) {
	c.floating(in)
	c.sources(in, in.A, in.B)
	single := in.Has(ir.Single)
	s := signBit(single)
	x := c.useFloat(in.A, ftmp)
	w := defFloat(in.Dst, ftmp)
	if in.A == in.B {
		switch in.Op {
		case ir.FSgnj:
			w = x
		case ir.FSgnjN:
			c.bits(xorBits, w, x, c.mask(s))
		default:
			c.bits(andBits, w, x, c.mask(^s))
		}
		c.putFloat(in.Dst, w, single)
		return
	}
	y, t := c.useFloat(in.B, ftmp2), ftmp2
	switch in.Op {
	case ir.FSgnjX:
		c.bits(andBits, t, y, c.mask(s))
		c.bits(xorBits, w, x, register(t))
	case ir.FSgnjN:
		c.bits(andNotBits, t, y, c.mask(s))
		c.bits(andBits, w, x, c.mask(^s))
		c.bits(orBits, w, w, register(t))
	default:
		c.bits(andBits, t, y, c.mask(s))
		c.bits(andBits, w, x, c.mask(^s))
		c.bits(orBits, w, w, register(t))
	}
	c.putFloat(in.Dst, w, single)
}

// minMax is the minimum or maximum. Equal operands are the same but for the signs of zeros, which equal combines: the minimum is
// negative if one is, the maximum if both are. The host's instruction raises invalid for a quiet NaN and is kept from seeing one.
func (c *Compiler) minMax(in *ir.Inst, o scalar, equal whole) {
	c.floating(in)
	c.sources(in, in.A, in.B)
	single := in.Has(ir.Single)
	x, y := c.useFloat(in.A, ftmp), c.useFloat(in.B, ftmp2)
	w := defFloat(in.Dst, ftmp3)
	if !c.vex() && w == y && w != x {
		w = ftmp3
	}
	compare := c.scalar(ucomis, single)
	done := c.NewLabel()
	special := c.outOfLine(func() { // equal, or unordered
		nan, other, both := c.NewLabel(), c.NewLabel(), c.NewLabel()
		c.JccShort(asm.CondP, nan)
		c.bits(equal, w, x, register(y))
		c.Jmp(done)
		c.Bind(nan) // the operand that is a number, if there is one
		c.XX(compare, x, x)
		c.JccShort(asm.CondP, other)
		c.copyFloat(w, x)
		c.Jmp(done)
		c.Bind(other)
		c.XX(compare, y, y)
		c.JccShort(asm.CondP, both)
		c.copyFloat(w, y)
		c.Jmp(done)
		c.Bind(both)
		c.fetchCanonical(w, single)
		c.Jmp(done)
	})
	c.XX(compare, x, y)
	c.Jcc(asm.CondE, special)
	c.three(c.scalar(o, single), w, x, register(y))
	c.Bind(done)
	c.putFloat(in.Dst, w, single)
}

// floatCompare compares by a predicate of the host's: equal, which is quiet; less, less or equal, which are not.
func (c *Compiler) floatCompare(in *ir.Inst, predicate uint8) {
	c.floating(in)
	c.sources(in, in.A, in.B)
	op := c.scalar(cmpOp, in.Has(ir.Single))
	b := floatOperand(in.B)
	if c.vex() {
		a := c.useFloat(in.A, ftmp)
		if b.memory {
			c.XXMI(op, ftmp, a, b.m, predicate)
		} else {
			c.XXXI(op, ftmp, a, b.x, predicate)
		}
	} else {
		c.loadFloatVar(ftmp, in.A)
		if b.memory {
			c.XMI(op, ftmp, b.m, predicate)
		} else {
			c.XXI(op, ftmp, b.x, predicate)
		}
	}
	d := c.def(in.Dst, tmp)
	c.RX(c.whole(moveD), d, ftmp)
	c.RI(asm.AND, asm.S32, d, 1)
	c.put(in.Dst, d)
}
