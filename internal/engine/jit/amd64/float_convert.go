package amd64

// Floating point: conversions, moves, loads and stores, classes.

import (
	"math"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// toInt converts to an integer. The host's conversions are to signed ones, and answer the least integer to what does not fit.
func toInt(c *Compiler, in *ir.Inst) {
	switch {
	case !in.Has(ir.Signed):
		if in.Rm == roundZero {
			c.floating(in)
		} else if !c.rounding(in) {
			return
		}
		c.sources(in, in.A)
		c.toUnsigned(in)
	case c.unrounded(in):
		c.sources(in, in.A)
		c.toSigned(in)
	}
}

// toSigned has all rounding modes: those that the host's conversions lack are roundings to an integral number before it. A 32-bit result may
// be out of range of a number that is not integral, which is invalid and not inexact: that rounding is silent therefore, and
// a conversion of the number itself, toward zero, raises inexact once the result is known to fit.
func (c *Compiler) toSigned(in *ir.Inst) {
	single := in.Has(ir.Single)
	x := c.useFloat(in.A, ftmp)
	d := c.def(in.Dst, tmp)
	s := size(in.Width)
	trunc, dynamic := c.scalar(cvttToQ, single), c.scalar(cvtToQ, single)
	if s == asm.S32 {
		trunc, dynamic = c.scalar(cvttToL, single), c.scalar(cvtToL, single)
	}
	twice := false
	switch in.Rm {
	case roundZero:
		c.RX(trunc, d, x)
	case roundDynamic:
		c.RX(dynamic, d, x)
	default:
		twice = s == asm.S32
		c.integral(in, ftmp2, x, twice)
		if twice {
			d = tmp
		}
		c.RX(trunc, d, ftmp2)
	}
	done := c.NewLabel()
	// The least integer is the only one that overflows when 1 is taken from it.
	c.RI(asm.CMP, s, d, 1)
	if twice {
		c.Jcc(asm.CondO, c.stepLabel(in))
		c.RX(trunc, tmp2, x)
	} else {
		c.Jcc(asm.CondO, c.outOfLine(func() { // out of range, or really the least: the greatest unless it is negative
			c.clearFloat(ftmp2)
			c.XX(c.scalar(ucomis, single), ftmp2, x)
			c.Jcc(asm.CondA, done)
			if s == asm.S32 {
				c.MovImm(d, math.MaxInt32)
			} else {
				c.MovImm(d, math.MaxInt64)
			}
			c.Jmp(done)
		}))
	}
	c.Bind(done)
	if s == asm.S32 {
		c.RR(asm.MOVSXD, asm.S64, d, d)
	}
	c.put(in.Dst, d)
}

// integral rounds x to an integral number in the mode of the instruction, raising inexact unless it is silent. w is ftmp2.
func (c *Compiler) integral(in *ir.Inst, w, x asm.XMM, silent bool) {
	const noInexact = 8
	single := in.Has(ir.Single)
	mode := [...]uint8{roundEven: 0, roundZero: 3, roundDown: 1, roundUp: 2, roundAway: 3}[in.Rm]
	if silent {
		mode |= noInexact
	}
	c.roundTo(single, w, x, mode)
	if in.Rm != roundAway {
		return
	}
	// Toward zero, then one further if what that took away is a half at least. All of it is exact.
	t := ftmp3
	c.three(c.scalar(subOp, single), t, x, register(w))
	c.three(c.scalar(addOp, single), t, t, register(t))
	c.roundTo(single, t, t, 3|noInexact)
	c.three(c.scalar(addOp, single), w, w, register(t))
}

func (c *Compiler) roundTo(single bool, w, x asm.XMM, mode uint8) {
	if c.vex() {
		c.XXXI(c.scalar(round, single), w, x, x, mode)
	} else {
		c.XXI(c.scalar(round, single), w, x, mode)
	}
}

// toUnsigned asks for the bits of the number: those of positive ones compare as integers do, and all others are above.
func (c *Compiler) toUnsigned(in *ir.Inst) {
	single := in.Has(ir.Single)
	x := c.useFloat(in.A, ftmp)
	convert := c.scalar(cvtToQ, single)
	if in.Rm == roundZero {
		convert = c.scalar(cvttToQ, single)
	}
	// The first number that is too large for the conversion. Of doubles some below 2^32 may be rounded to it.
	limit := math.Ldexp(1, 32)
	switch {
	case in.Width == ir.W64:
		limit = math.Ldexp(1, 63)
	case !single && in.Rm != roundZero:
		limit = math.Nextafter(math.MaxUint32, math.Inf(1))
	}
	again, done := c.NewLabel(), c.NewLabel()
	d := c.def(in.Dst, tmp)
	i := *in
	above := c.outOfLine(func() {
		other := c.NewLabel()
		if i.Width == ir.W64 { // half of the range is above: less 2^63, which is exact, and that added again
			c.belowBits(single, math.Ldexp(1, 64), other)
			c.three(c.scalar(subOp, single), ftmp2, x, inMemory(c.Const(pattern(math.Ldexp(1, 63), single))))
			c.RX(c.scalar(cvttToQ, single), d, ftmp2)
			c.RI(asm.BTC, asm.S64, d, 63)
			c.Jmp(done)
		}
		c.Bind(other)
		if i.Rm == roundZero { // above -1 there are those that become zero
			out := c.stepLabel(&i)
			c.clearFloat(ftmp2)
			c.XX(c.scalar(ucomis, single), ftmp2, x)
			c.Jcc(asm.CondB, out)
			c.XM(c.scalar(ucomis, single), x, c.Const(pattern(-1, single)))
			c.Jcc(asm.CondBE, out)
			c.Jmp(again)
		} else {
			c.step(&i)
		}
	})
	if single {
		c.RX(c.whole(moveD), tmp, x)
	} else {
		c.RX(c.whole(moveQ), tmp, x)
	}
	c.belowBits(single, limit, above)
	c.Bind(again)
	c.RX(convert, d, x)
	c.Bind(done)
	if in.Width == ir.W32 {
		c.RR(asm.MOVSXD, asm.S64, d, d)
	}
	c.put(in.Dst, d)
}

// pattern is v in either format.
func pattern(v float64, single bool) uint64 {
	if single {
		return uint64(math.Float32bits(float32(v)))
	}
	return math.Float64bits(v)
}

// belowBits goes to above unless the number whose bits are in tmp is from 0 to below limit.
func (c *Compiler) belowBits(single bool, limit float64, above asm.Label) {
	if single {
		c.RI(asm.CMP, asm.S32, tmp, int32(pattern(limit, true)))
	} else {
		c.RM(asm.CMP, asm.S64, tmp, c.Const(pattern(limit, false)))
	}
	c.Jcc(asm.CondAE, above)
}

// fromInt converts from an integer. Into a register of ones, a single comes out boxed.
func fromInt(c *Compiler, in *ir.Inst) {
	single, signed, wide := in.Has(ir.Single), in.Has(ir.Signed), in.Width == ir.W64
	if !c.unrounded(in) {
		return
	}
	if (single || wide) && in.Rm != roundDynamic {
		c.exactOrSameMode(in)
	}
	w := defFloat(in.Dst, ftmp)
	if single {
		c.setFloat(w)
	} else {
		c.clearFloat(w)
	}
	q := c.scalar(cvtOfQ, single)
	switch {
	case signed:
		op := q
		if !wide {
			op = c.scalar(cvtOfL, single)
		}
		c.convertInt(op, w, in.A)
	case !wide:
		c.load32(tmp, in.A)
		c.convertReg(q, w, tmp)
	default:
		r := c.use(in.A, tmp)
		done := c.NewLabel()
		// Half of it, with the last bit kept for the rounding, converted and doubled.
		large := c.outOfLine(func() {
			c.RR(asm.MOV, asm.S64, tmp2, r)
			c.RI(asm.SHR, asm.S64, tmp2, 1)
			if r != tmp {
				c.RR(asm.MOV, asm.S32, tmp, r)
			}
			c.RI(asm.AND, asm.S32, tmp, 1)
			c.RR(asm.OR, asm.S64, tmp2, tmp)
			c.convertReg(q, w, tmp2)
			c.three(c.scalar(addOp, single), w, w, register(w))
			c.Jmp(done)
		})
		c.RR(asm.TEST, asm.S64, r, r)
		c.Jcc(asm.CondS, large)
		c.convertReg(q, w, r)
		c.Bind(done)
	}
	c.putFloat(in.Dst, w, single)
}

// exactOrSameMode steps if the conversion of the integer in A would have to be rounded in another mode than the dynamic one.
func (c *Compiler) exactOrSameMode(in *ir.Inst) {
	i := *in
	check := func() {
		bits := int32(53)
		if i.Has(ir.Single) {
			bits = 24
		}
		if i.Width == ir.W64 {
			c.load(tmp2, i.A)
		} else if i.Has(ir.Signed) {
			c.apply(asm.MOVSXD, asm.S64, tmp2, i.A)
		} else {
			c.load32(tmp2, i.A)
		}
		if i.Has(ir.Signed) {
			c.RI(asm.SAR, asm.S64, tmp2, bits) // 0 or -1 if it fits
			c.RI(asm.ADD, asm.S64, tmp2, 1)
			c.RI(asm.CMP, asm.S64, tmp2, 1)
		} else {
			c.RI(asm.SHR, asm.S64, tmp2, bits)
			c.RI(asm.CMP, asm.S64, tmp2, 0)
		}
		c.Jcc(asm.CondA, c.stepLabel(&i))
	}
	if in.Rm == roundAway {
		check()
		return
	}
	done := c.NewLabel()
	c.sameMode(in, c.outOfLine(func() {
		check()
		c.Jmp(done)
	}))
	c.Bind(done)
}

// convertReg converts an integer in a register into w, whose upper part stays.
func (c *Compiler) convertReg(op asm.Op, w asm.XMM, r asm.Reg) {
	if c.vex() {
		c.XXR(op, w, w, r)
	} else {
		c.XR(op, w, r)
	}
}

// convertInt is convertReg of a variable.
func (c *Compiler) convertInt(op asm.Op, w asm.XMM, v ir.Var) {
	if r, ok := pinned(v); ok {
		c.convertReg(op, w, r)
	} else if c.vex() {
		c.XXM(op, w, w, slot(v))
	} else {
		c.XM(op, w, slot(v))
	}
}

// widen is exact.
func widen(c *Compiler, in *ir.Inst) {
	if !c.unrounded(in) {
		return
	}
	c.needBoxed(in, in.A)
	x := c.useFloat(in.A, ftmp)
	w := defFloat(in.Dst, ftmp)
	op := c.scalar(cvtOther, true)
	if c.vex() {
		c.XXX(op, w, x, x)
	} else {
		c.copyFloat(w, x)
		c.XX(op, w, w)
	}
	c.mendNaN(w, false, nil)
	c.putFloat(in.Dst, w, false)
}

// narrow converts into a register of ones, so that the result is boxed.
func narrow(c *Compiler, in *ir.Inst) {
	if !c.rounding(in) {
		return
	}
	w := defFloat(in.Dst, ftmp)
	op := c.scalar(cvtOther, false)
	c.setFloat(ftmp)
	if a := floatOperand(in.A); c.vex() {
		c.three(op, w, ftmp, a)
	} else {
		c.two(op, ftmp, a)
		w = ftmp
	}
	c.mendNaN(w, true, nil)
	c.putFloat(in.Dst, w, true)
}

// toBits ignores the boxing of a single.
func toBits(c *Compiler, in *ir.Inst) {
	c.floating(in)
	d := c.def(in.Dst, tmp)
	x, ok := pinnedFloat(in.A)
	single := in.Has(ir.Single)
	switch {
	case ok && single:
		c.RX(c.whole(moveD), d, x)
		c.RR(asm.MOVSXD, asm.S64, d, d)
	case ok:
		c.RX(c.whole(moveQ), d, x)
	case single:
		c.RM(asm.MOVSXD, asm.S64, d, slot(in.A))
	default:
		c.RM(asm.MOV, asm.S64, d, slot(in.A))
	}
	c.put(in.Dst, d)
}

func fromBits(c *Compiler, in *ir.Inst) {
	c.floating(in)
	single := in.Has(ir.Single)
	x, ok := pinnedFloat(in.Dst)
	switch {
	case ok && in.A == ir.Zero && !single:
		c.clearFloat(x)
	case ok && single:
		if r, ok := pinned(in.A); ok {
			c.XR(c.whole(moveD), x, r)
		} else {
			c.XM(c.whole(moveD), x, slot(in.A))
		}
		c.bits(orBits, x, x, c.mask(boxBits))
	case ok:
		if r, ok := pinned(in.A); ok {
			c.XR(c.whole(moveQ), x, r)
		} else {
			c.XM(c.whole(moveQ), x, slot(in.A))
		}
	case single:
		c.load32(tmp, in.A)
		c.MovImm(tmp2, boxBits)
		c.RR(asm.OR, asm.S64, tmp, tmp2)
		c.MR(asm.MOV, asm.S64, slot(in.Dst), tmp)
	default:
		c.MR(asm.MOV, asm.S64, slot(in.Dst), c.use(in.A, tmp))
	}
	c.noteFloat(in.Dst, single)
}

func loadFloat(c *Compiler, in *ir.Inst) {
	c.floating(in)
	m := c.hostAddress(in, false)
	x, ok := pinnedFloat(in.Dst)
	switch {
	case in.Has(ir.Single): // whole in one register first: the next to read the slot would wait for two stores
		w := defFloat(in.Dst, ftmp)
		c.XM(c.whole(move32), w, m)
		c.bits(orBits, w, w, c.mask(boxBits))
		c.putFloat(in.Dst, w, true)
		return
	case ok:
		c.fetchFloat(x, m)
	default:
		c.RM(asm.MOV, asm.S64, tmp2, m)
		c.MR(asm.MOV, asm.S64, slot(in.Dst), tmp2)
	}
	c.noteFloat(in.Dst, false)
}

// storeFloat needs no more than that FS is not Off: a program that only saves registers leaves them Clean.
func storeFloat(c *Compiler, in *ir.Inst) {
	if !c.fpChecked {
		c.MI(asm.TEST, asm.S32, state(offMstatus), hart.MstatusFS)
		c.Jcc(asm.CondE, c.stepLabel(in))
	}
	m := c.hostAddress(in, true)
	x, ok := pinnedFloat(in.B)
	s := size(in.Width)
	switch {
	case ok && s == asm.S32:
		c.MX(c.whole(move32), m, x)
	case ok:
		c.MX(c.whole(move64), m, x)
	default:
		c.RM(asm.MOV, s, tmp2, slot(in.B))
		c.MR(asm.MOV, s, m, tmp2)
	}
}

// classify answers for normal numbers in line ("F" §21.9).
func classify(c *Compiler, in *ir.Inst) {
	c.floating(in)
	c.sources(in, in.A)
	// The format: all is done on the bits.
	s, move, fraction, exponent := asm.S64, moveQ, int32(52), int32(11)
	if in.Has(ir.Single) {
		s, move, fraction, exponent = asm.S32, moveD, 23, 8
	}
	if x, ok := pinnedFloat(in.A); ok {
		c.RX(c.whole(move), tmp, x)
	} else {
		c.RM(asm.MOV, s, tmp, slot(in.A))
	}
	done := c.NewLabel()
	// answer is one of two by the top bit of tmp.
	answer := func(negative, positive int32) {
		c.RI(asm.SAR, s, tmp, fraction+exponent)
		c.RI(asm.AND, asm.S32, tmp, negative^positive)
		c.RI(asm.XOR, asm.S32, tmp, positive)
	}
	special := c.outOfLine(func() {
		zero, small, infinite := c.NewLabel(), c.NewLabel(), c.NewLabel()
		c.RR(asm.MOV, s, tmp2, tmp)
		c.RI(asm.SHL, s, tmp2, 1)
		c.JccShort(asm.CondE, zero)
		c.RI(asm.SHL, s, tmp2, exponent) // what is left is the fraction; carry is the last bit of the exponent
		c.JccShort(asm.CondAE, small)
		c.JccShort(asm.CondE, infinite)
		c.RI(asm.SHL, s, tmp, exponent+1)
		answer(1<<9, 1<<8)
		c.Jmp(done)
		c.Bind(zero)
		answer(1<<3, 1<<4)
		c.Jmp(done)
		c.Bind(small)
		answer(1<<2, 1<<5)
		c.Jmp(done)
		c.Bind(infinite)
		answer(1<<0, 1<<7)
		c.Jmp(done)
	})
	c.RR(asm.MOV, s, tmp2, tmp)
	c.RI(asm.SHL, s, tmp2, 1)
	c.RI(asm.SHR, s, tmp2, fraction+1)
	c.RI(asm.SUB, asm.S32, tmp2, 1)
	c.RI(asm.CMP, asm.S32, tmp2, 1<<exponent-2)
	c.Jcc(asm.CondAE, special)
	answer(1<<1, 1<<6)
	c.Bind(done)
	c.put(in.Dst, tmp)
}
