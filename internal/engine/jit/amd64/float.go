package amd64

// Floating point: what its operations share.
//
//	float.go           when the host may compute, where values are
//	float_compute.go   arithmetic, signs, minima, comparisons
//	float_convert.go   conversions, moves, loads and stores, classes
//
// The host computes as RISC-V does, rounding mode and flags included, as long as MXCSR holds the guest's ("F" §21.2, Intel SDM
// volume 1 §10.2.3). What differs is mended:
//
//   - A result that is a NaN is the canonical one, whatever the operands' payloads. A test behind each operation that can make one
//     finds it; a result is never signaling, so the test raises nothing.
//   - A single in a register has 32 ones above it, or is not a number. Compiler.boxed knows of which registers that is true.
//   - A rounding mode in the instruction is compared with the dynamic one, but where it makes no difference or the host has it.
//
// What is rare is a step. It repeats the instruction, so that the destination must not be written before, and no flag raised that
// the instruction does not raise.
//
// On a host with AVX all instructions are VEX forms, else none: mixing them costs dearly on some processors.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

var floats = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.FAdd:       func(c *Compiler, in *ir.Inst) { c.arithmetic(in, addOp, true) },
	ir.FSub:       func(c *Compiler, in *ir.Inst) { c.arithmetic(in, subOp, false) },
	ir.FMul:       func(c *Compiler, in *ir.Inst) { c.arithmetic(in, mulOp, true) },
	ir.FDiv:       func(c *Compiler, in *ir.Inst) { c.arithmetic(in, divOp, false) },
	ir.FSqrt:      squareRoot,
	ir.FMulAdd:    func(c *Compiler, in *ir.Inst) { c.fused(in, &mulAdd) },
	ir.FMulSub:    func(c *Compiler, in *ir.Inst) { c.fused(in, &mulSub) },
	ir.FNegMulAdd: func(c *Compiler, in *ir.Inst) { c.fused(in, &negMulSub) }, // Intel names them by the sign of the addend
	ir.FNegMulSub: func(c *Compiler, in *ir.Inst) { c.fused(in, &negMulAdd) },
	ir.FSgnj:      sign,
	ir.FSgnjN:     sign,
	ir.FSgnjX:     sign,
	ir.FMin:       func(c *Compiler, in *ir.Inst) { c.minMax(in, minOp, orBits) },
	ir.FMax:       func(c *Compiler, in *ir.Inst) { c.minMax(in, maxOp, andBits) },
	ir.FEq:        func(c *Compiler, in *ir.Inst) { c.floatCompare(in, 0) },
	ir.FLt:        func(c *Compiler, in *ir.Inst) { c.floatCompare(in, 1) },
	ir.FLe:        func(c *Compiler, in *ir.Inst) { c.floatCompare(in, 2) },
	ir.FToInt:     toInt,
	ir.FFromInt:   fromInt,
	ir.FWiden:     widen,
	ir.FNarrow:    narrow,
	ir.FToBits:    toBits,
	ir.FFromBits:  fromBits,
	ir.FClass:     classify,
}

// scalar is an instruction on numbers: of doubles and singles, legacy and VEX.
type scalar struct{ sd, ss, vsd, vss asm.Op }

// whole is an instruction on registers of bits.
type whole struct{ legacy, vex asm.Op }

var (
	addOp  = scalar{asm.ADDSD, asm.ADDSS, asm.VADDSD, asm.VADDSS}
	subOp  = scalar{asm.SUBSD, asm.SUBSS, asm.VSUBSD, asm.VSUBSS}
	mulOp  = scalar{asm.MULSD, asm.MULSS, asm.VMULSD, asm.VMULSS}
	divOp  = scalar{asm.DIVSD, asm.DIVSS, asm.VDIVSD, asm.VDIVSS}
	minOp  = scalar{asm.MINSD, asm.MINSS, asm.VMINSD, asm.VMINSS}
	maxOp  = scalar{asm.MAXSD, asm.MAXSS, asm.VMAXSD, asm.VMAXSS}
	sqrtOp = scalar{asm.SQRTSD, asm.SQRTSS, asm.VSQRTSD, asm.VSQRTSS}
	ucomis = scalar{asm.UCOMISD, asm.UCOMISS, asm.VUCOMISD, asm.VUCOMISS}
	cmpOp  = scalar{asm.CMPSD, asm.CMPSS, asm.VCMPSD, asm.VCMPSS}
	round  = scalar{asm.ROUNDSD, asm.ROUNDSS, asm.VROUNDSD, asm.VROUNDSS}

	cvtToL  = scalar{asm.CVTSD2SIL, asm.CVTSS2SIL, asm.VCVTSD2SIL, asm.VCVTSS2SIL}
	cvtToQ  = scalar{asm.CVTSD2SIQ, asm.CVTSS2SIQ, asm.VCVTSD2SIQ, asm.VCVTSS2SIQ}
	cvttToL = scalar{asm.CVTTSD2SIL, asm.CVTTSS2SIL, asm.VCVTTSD2SIL, asm.VCVTTSS2SIL}
	cvttToQ = scalar{asm.CVTTSD2SIQ, asm.CVTTSS2SIQ, asm.VCVTTSD2SIQ, asm.VCVTTSS2SIQ}
	cvtOfL  = scalar{asm.CVTSI2SDL, asm.CVTSI2SSL, asm.VCVTSI2SDL, asm.VCVTSI2SSL}
	cvtOfQ  = scalar{asm.CVTSI2SDQ, asm.CVTSI2SSQ, asm.VCVTSI2SDQ, asm.VCVTSI2SSQ}
	// between the two formats, named by that of the source
	cvtOther = scalar{asm.CVTSD2SS, asm.CVTSS2SD, asm.VCVTSD2SS, asm.VCVTSS2SD}

	andBits    = whole{asm.ANDPS, asm.VANDPS}
	andNotBits = whole{asm.ANDNPS, asm.VANDNPS}
	orBits     = whole{asm.ORPS, asm.VORPS}
	xorBits    = whole{asm.XORPS, asm.VXORPS}
	onesBits   = whole{asm.PCMPEQD, asm.VPCMPEQD}
	moveBits   = whole{asm.MOVAPS, asm.VMOVAPS}
	move64     = whole{asm.MOVSD, asm.VMOVSD}
	move32     = whole{asm.MOVSS, asm.VMOVSS}
	moveQ      = whole{asm.MOVQ, asm.VMOVQ}
	moveD      = whole{asm.MOVD, asm.VMOVD}
)

func (c *Compiler) vex() bool { return c.has.Has(asm.HasAVX) }

func (c *Compiler) scalar(o scalar, single bool) asm.Op {
	switch {
	case c.vex() && single:
		return o.vss
	case c.vex():
		return o.vsd
	case single:
		return o.ss
	}
	return o.sd
}

func (c *Compiler) whole(o whole) asm.Op {
	if c.vex() {
		return o.vex
	}
	return o.legacy
}

// Values of each format, as registers hold them.
const (
	boxBits    = 0xffff_ffff_0000_0000
	canonical  = 0x7ff8_0000_0000_0000
	canonical1 = boxBits | 0x7fc0_0000
	infinity   = 0x7ff0_0000_0000_0000
	infinity1  = 0x7f80_0000
)

func signBit(single bool) uint64 {
	if single {
		return 1 << 31
	}
	return 1 << 63
}

// floating begins every operation: the host may compute only while State.FPFast says so. It is looked at once in a straight line.
func (c *Compiler) floating(in *ir.Inst) {
	if c.fpChecked {
		return
	}
	c.MI(asm.CMP, asm.S64, state(offFPFast), 0)
	c.Jcc(asm.CondE, c.stepLabel(in))
	c.fpChecked = true
}

// Rounding modes of the guest's instructions ("F" Table 27).
const (
	roundEven    = 0
	roundZero    = 1
	roundDown    = 2
	roundUp      = 3
	roundAway    = 4
	roundDynamic = 7
)

// rounding is floating for operations that round. It is false when it made a step instead: MXCSR has no such mode.
func (c *Compiler) rounding(in *ir.Inst) bool {
	if in.Rm >= roundAway && in.Rm != roundDynamic {
		c.step(in)
		return false
	}
	c.floating(in)
	if in.Rm != roundDynamic {
		c.sameMode(in, c.stepLabel(in))
	}
	return true
}

// sameMode goes to other unless the dynamic rounding mode is the instruction's.
func (c *Compiler) sameMode(in *ir.Inst, other asm.Label) {
	c.MI(asm.CMP, asm.S64, state(offFrm), int32(in.Rm))
	c.Jcc(asm.CondNE, other)
}

// unrounded is floating for operations whose result needs no rounding: the mode must be one, and then does not matter.
func (c *Compiler) unrounded(in *ir.Inst) bool {
	if in.Rm == 5 || in.Rm == 6 {
		c.step(in)
		return false
	}
	c.floating(in)
	return true
}

// needBoxed steps if v does not hold a boxed single.
func (c *Compiler) needBoxed(in *ir.Inst, v ir.Var) {
	bit := uint64(1) << (v - ir.NumInt)
	if c.boxed&bit != 0 {
		return
	}
	if x, ok := pinnedFloat(v); ok {
		c.RX(c.whole(moveQ), tmp, x)
		c.RI(asm.SHR, asm.S64, tmp, 32)
		c.RI(asm.CMP, asm.S32, tmp, -1)
	} else {
		c.MI(asm.CMP, asm.S32, slotAt(v, 4), -1)
	}
	c.Jcc(asm.CondNE, c.stepLabel(in))
	c.boxed |= bit
}

// sources checks the operands of an instruction on singles.
func (c *Compiler) sources(in *ir.Inst, vars ...ir.Var) {
	if in.Has(ir.Single) {
		for _, v := range vars {
			c.needBoxed(in, v)
		}
	}
}

// operand is a source as the last operand of an instruction: a register, or memory.
type operand struct {
	x      asm.XMM
	m      asm.Mem
	memory bool
}

func floatOperand(v ir.Var) operand {
	if x, ok := pinnedFloat(v); ok {
		return operand{x: x}
	}
	return operand{m: slot(v), memory: true}
}

func register(x asm.XMM) operand    { return operand{x: x} }
func inMemory(m asm.Mem) operand    { return operand{m: m, memory: true} }
func (o operand) is(x asm.XMM) bool { return !o.memory && o.x == x }

// two emits op w, o.
func (c *Compiler) two(op asm.Op, w asm.XMM, o operand) {
	if o.memory {
		c.XM(op, w, o.m)
	} else {
		c.XX(op, w, o.x)
	}
}

// three is w = a op b. A legacy form overwrites its first operand: w must not be b then, unless a is as well.
func (c *Compiler) three(op asm.Op, w, a asm.XMM, b operand) {
	switch {
	case !c.vex():
		c.copyFloat(w, a)
		c.two(op, w, b)
	case b.memory:
		c.XXM(op, w, a, b.m)
	default:
		c.XXX(op, w, a, b.x)
	}
}

// bits is three of an instruction on bits.
func (c *Compiler) bits(o whole, w, a asm.XMM, b operand) { c.three(c.whole(o), w, a, b) }

// mask is the operand that has m in its low half.
func (c *Compiler) mask(m uint64) operand { return inMemory(c.Const16(m, 0)) }

// clearFloat makes x zero, setFloat all ones. Neither waits for what x was.
func (c *Compiler) clearFloat(x asm.XMM) { c.bits(xorBits, x, x, register(x)) }
func (c *Compiler) setFloat(x asm.XMM)   { c.bits(onesBits, x, x, register(x)) }

func (c *Compiler) copyFloat(dst, src asm.XMM) {
	if dst != src {
		c.XX(c.whole(moveBits), dst, src)
	}
}

func (c *Compiler) fetchFloat(dst asm.XMM, m asm.Mem) { c.XM(c.whole(move64), dst, m) }

// loadFloatVar copies a variable into a register.
func (c *Compiler) loadFloatVar(dst asm.XMM, v ir.Var) {
	if x, ok := pinnedFloat(v); ok {
		c.copyFloat(dst, x)
	} else {
		c.fetchFloat(dst, slot(v))
	}
}

// useFloat is a register that holds a variable: its own, or scratch after a load.
func (c *Compiler) useFloat(v ir.Var, scratch asm.XMM) asm.XMM {
	if x, ok := pinnedFloat(v); ok {
		return x
	}
	c.fetchFloat(scratch, slot(v))
	return scratch
}

// defFloat is the register to compute a variable in.
func defFloat(v ir.Var, scratch asm.XMM) asm.XMM {
	if x, ok := pinnedFloat(v); ok {
		return x
	}
	return scratch
}

// putFloat completes a variable that was computed in x, and notes what it is.
func (c *Compiler) putFloat(v ir.Var, x asm.XMM, single bool) {
	if p, ok := pinnedFloat(v); ok {
		c.copyFloat(p, x)
	} else {
		c.MX(c.whole(move64), slot(v), x)
	}
	c.noteFloat(v, single)
}

// noteFloat notes that v has been written.
func (c *Compiler) noteFloat(v ir.Var, single bool) {
	bit := uint64(1) << (v - ir.NumInt)
	if single {
		c.boxed |= bit
	} else {
		c.boxed &^= bit
	}
}

// mendNaN makes a NaN in w the canonical one. before, if not nil, is emitted where that happens.
func (c *Compiler) mendNaN(w asm.XMM, single bool, before func()) {
	done := c.NewLabel()
	nan := c.outOfLine(func() {
		if before != nil {
			before()
		}
		c.fetchCanonical(w, single)
		c.Jmp(done)
	})
	c.XX(c.scalar(ucomis, single), w, w)
	c.Jcc(asm.CondP, nan)
	c.Bind(done)
}

func (c *Compiler) fetchCanonical(w asm.XMM, single bool) {
	v := uint64(canonical)
	if single {
		v = canonical1
	}
	c.fetchFloat(w, c.Const(v))
}
