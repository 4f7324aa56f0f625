package interp

// Floating point (F, D, Zfhmin and Zfa), all of it in softfloat: the registers, the rounding mode and fflags are the
// business of this file, the numbers are not.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/engine/riscv"
	sf "github.com/vmproject/vm/internal/engine/softfloat"
)

// float is a bit pattern of one of the formats; binary16 has loads, stores, moves and conversions only.
type float interface{ uint16 | uint32 | uint64 }

// unbox is the value of type T in an f register: one that is not properly NaN-boxed reads as the canonical NaN.
func unbox[T float](v uint64) T {
	switch unsafe.Sizeof(T(0)) {
	case 2:
		return T(sf.Unbox16(v))
	case 4:
		return T(sf.Unbox32(v))
	}
	return T(v)
}

// box is what an f register holds for a value of type T.
func box[T float](v T) uint64 {
	switch unsafe.Sizeof(v) {
	case 2:
		return sf.Box16(uint16(v))
	case 4:
		return sf.Box32(uint32(v))
	}
	return uint64(v)
}

const box32 = uint64(0xffff_ffff_0000_0000)

// rounding begins an instruction that rounds: the mode that s asks for, and in.flags as they are now. It is false for an
// instruction that is illegal because the unit is off or the dynamic mode is none.
func (in *Interp) rounding(s *slot) (sf.Rounding, bool) {
	rm := sf.Rounding(s.rm)
	if rm == sf.DYN {
		rm = sf.Rounding(in.h.Frm)
	}
	in.flags = sf.Flags(in.h.Fflags)
	return rm, rm.Valid() && in.h.FPEnabled()
}

// begin is rounding for instructions that do not round.
func (in *Interp) begin() bool {
	in.flags = sf.Flags(in.h.Fflags)
	return in.h.FPEnabled()
}

// setF ends an instruction with an f register as its destination.
func (in *Interp) setF(rd uint8, v uint64) flow {
	in.h.F[rd&31] = v
	in.h.Fflags = uint64(in.flags)
	in.h.DirtyFP()
	return flowNext
}

// setX ends an instruction with an x register as its destination.
func (in *Interp) setX(rd uint8, v uint64) flow {
	in.h.X[rd] = v
	if in.h.Fflags != uint64(in.flags) {
		in.h.Fflags = uint64(in.flags)
		in.h.DirtyFP()
	}
	return flowNext
}

func (in *Interp) f(r uint8) uint64 { return in.h.F[r&31] }

// The shapes of instructions. Each makes a handler of the function that computes the result.

// rounded2 is fadd, fsub, fmul, fdiv.
func rounded2[T float](f func(a, b T, rm sf.Rounding, fl *sf.Flags) T) handler {
	return func(in *Interp, s *slot) flow {
		rm, ok := in.rounding(s)
		if !ok {
			return in.illegal(s)
		}
		return in.setF(s.rd, box(f(unbox[T](in.f(s.rs1)), unbox[T](in.f(s.rs2)), rm, &in.flags)))
	}
}

// fused is a*b + c with the sign of the product, the addend, or both turned by the masks.
func fused[T float](f func(a, b, c T, rm sf.Rounding, fl *sf.Flags) T, product, addend T) handler {
	return func(in *Interp, s *slot) flow {
		rm, ok := in.rounding(s)
		if !ok {
			return in.illegal(s)
		}
		a, b, c := unbox[T](in.f(s.rs1)), unbox[T](in.f(s.rs2)), unbox[T](in.f(s.rs3))
		return in.setF(s.rd, box(f(a^product, b, c^addend, rm, &in.flags)))
	}
}

// converted is fsqrt, fround and the conversions between formats.
func converted[T, U float](f func(a T, rm sf.Rounding, fl *sf.Flags) U) handler {
	return func(in *Interp, s *slot) flow {
		rm, ok := in.rounding(s)
		if !ok {
			return in.illegal(s)
		}
		return in.setF(s.rd, box(f(unbox[T](in.f(s.rs1)), rm, &in.flags)))
	}
}

// exact2 is fmin, fmax, fsgnj and their like.
func exact2[T float](f func(a, b T, fl *sf.Flags) T) handler {
	return func(in *Interp, s *slot) flow {
		if !in.begin() {
			return in.illegal(s)
		}
		return in.setF(s.rd, box(f(unbox[T](in.f(s.rs1)), unbox[T](in.f(s.rs2)), &in.flags)))
	}
}

// compared is feq, flt, fle and their like.
func compared[T float](f func(a, b T, fl *sf.Flags) bool) handler {
	return func(in *Interp, s *slot) flow {
		if !in.begin() {
			return in.illegal(s)
		}
		return in.setX(s.rd, flag(f(unbox[T](in.f(s.rs1)), unbox[T](in.f(s.rs2)), &in.flags)))
	}
}

// toInt is the conversions to integers: 32-bit results are sign-extended, unsigned ones too ("F" §21.7).
func toInt[T float, I int32 | uint32 | int64 | uint64](f func(a T, rm sf.Rounding, fl *sf.Flags) I) handler {
	return func(in *Interp, s *slot) flow {
		rm, ok := in.rounding(s)
		if !ok {
			return in.illegal(s)
		}
		v := f(unbox[T](in.f(s.rs1)), rm, &in.flags)
		if unsafe.Sizeof(v) == 4 {
			return in.setX(s.rd, uint64(int64(int32(v))))
		}
		return in.setX(s.rd, uint64(v))
	}
}

// fromInt is the conversions from integers, of which the narrow ones look at the low half of the register.
func fromInt[I int32 | uint32 | int64 | uint64, T float](f func(v I, rm sf.Rounding, fl *sf.Flags) T) handler {
	return func(in *Interp, s *slot) flow {
		rm, ok := in.rounding(s)
		if !ok {
			return in.illegal(s)
		}
		return in.setF(s.rd, box(f(I(in.h.X[s.rs1]), rm, &in.flags)))
	}
}

// moveToX copies bits: fmv.x.*, which ignores boxing.
func moveToX(f func(v uint64) uint64) handler {
	return func(in *Interp, s *slot) flow {
		if !in.h.FPEnabled() {
			return in.illegal(s)
		}
		in.h.X[s.rd] = f(in.f(s.rs1))
		return flowNext
	}
}

// moveToF copies bits: fmv.*.x.
func moveToF[T float](in *Interp, s *slot) flow {
	if !in.begin() {
		return in.illegal(s)
	}
	return in.setF(s.rd, box(T(in.h.X[s.rs1])))
}

// classified is fclass.
func classified[T float](f func(a T) uint64) handler {
	return func(in *Interp, s *slot) flow {
		if !in.h.FPEnabled() {
			return in.illegal(s)
		}
		in.h.X[s.rd] = f(unbox[T](in.f(s.rs1)))
		return flowNext
	}
}

// constant is fli; rs1 is the index.
func constant[T float](f func(i uint8) T) handler {
	return func(in *Interp, s *slot) flow {
		if !in.begin() {
			return in.illegal(s)
		}
		return in.setF(s.rd, box(f(s.rs1)))
	}
}

// floatLoad is flh, flw and fld.
func floatLoad[T float](in *Interp, s *slot) flow {
	if !in.begin() {
		return in.illegal(s)
	}
	v, ok := in.h.Load(in.h.X[s.rs1]+uint64(int64(s.imm)), int(unsafe.Sizeof(T(0))))
	if !ok {
		return flowTrap
	}
	return in.setF(s.rd, box(T(v)))
}

// floatStore is fsh, fsw and fsd, which store the low bits whatever the boxing.
func floatStore[T float](in *Interp, s *slot) flow {
	if !in.h.FPEnabled() {
		return in.illegal(s)
	}
	if !in.h.Store(in.h.X[s.rs1]+uint64(int64(s.imm)), int(unsafe.Sizeof(T(0))), uint64(T(in.f(s.rs2)))) {
		return flowTrap
	}
	return flowNext
}

// top is the sign bit of a format.
func top[T float]() T { return ^(^T(0) >> 1) }

func sgnj[T float](a, b T, _ *sf.Flags) T  { return a&^top[T]() | b&top[T]() }
func sgnjn[T float](a, b T, _ *sf.Flags) T { return a&^top[T]() | ^b&top[T]() }
func sgnjx[T float](a, b T, _ *sf.Flags) T { return a ^ b&top[T]() }

func round32(a uint32, rm sf.Rounding, fl *sf.Flags) uint32   { return sf.RoundInt32(a, rm, false, fl) }
func roundNX32(a uint32, rm sf.Rounding, fl *sf.Flags) uint32 { return sf.RoundInt32(a, rm, true, fl) }
func round64(a uint64, rm sf.Rounding, fl *sf.Flags) uint64   { return sf.RoundInt64(a, rm, false, fl) }
func roundNX64(a uint64, rm sf.Rounding, fl *sf.Flags) uint64 { return sf.RoundInt64(a, rm, true, fl) }

// modular is fcvtmod.w.d, whose rounding mode is fixed.
func modular(in *Interp, s *slot) flow {
	if !in.begin() {
		return in.illegal(s)
	}
	return in.setX(s.rd, uint64(int64(sf.CvtModW64(in.f(s.rs1), &in.flags))))
}

var floatHandlers = map[riscv.Op]handler{
	riscv.FLH: floatLoad[uint16], riscv.FLW: floatLoad[uint32], riscv.FLD: floatLoad[uint64],
	riscv.FSH: floatStore[uint16], riscv.FSW: floatStore[uint32], riscv.FSD: floatStore[uint64],

	riscv.FMADD_S:  fused(sf.FMA32, 0, 0),
	riscv.FMSUB_S:  fused(sf.FMA32, 0, sf.Sign32),
	riscv.FNMSUB_S: fused(sf.FMA32, sf.Sign32, 0),
	riscv.FNMADD_S: fused(sf.FMA32, sf.Sign32, sf.Sign32),
	riscv.FADD_S:   rounded2(sf.Add32), riscv.FSUB_S: rounded2(sf.Sub32),
	riscv.FMUL_S: rounded2(sf.Mul32), riscv.FDIV_S: rounded2(sf.Div32),
	riscv.FSQRT_S: converted(sf.Sqrt32),
	riscv.FSGNJ_S: exact2(sgnj[uint32]), riscv.FSGNJN_S: exact2(sgnjn[uint32]), riscv.FSGNJX_S: exact2(sgnjx[uint32]),
	riscv.FMIN_S: exact2(sf.Min32), riscv.FMAX_S: exact2(sf.Max32),
	riscv.FMINM_S: exact2(sf.MinM32), riscv.FMAXM_S: exact2(sf.MaxM32),
	riscv.FEQ_S: compared(sf.Eq32), riscv.FLT_S: compared(sf.Lt32), riscv.FLE_S: compared(sf.Le32),
	riscv.FLTQ_S: compared(sf.LtQ32), riscv.FLEQ_S: compared(sf.LeQ32),
	riscv.FCVT_W_S: toInt(sf.F32ToI32), riscv.FCVT_WU_S: toInt(sf.F32ToU32),
	riscv.FCVT_L_S: toInt(sf.F32ToI64), riscv.FCVT_LU_S: toInt(sf.F32ToU64),
	riscv.FCVT_S_W: fromInt(sf.I32ToF32), riscv.FCVT_S_WU: fromInt(sf.U32ToF32),
	riscv.FCVT_S_L: fromInt(sf.I64ToF32), riscv.FCVT_S_LU: fromInt(sf.U64ToF32),
	riscv.FCLASS_S: classified(sf.Class32),
	riscv.FMV_X_W:  moveToX(func(v uint64) uint64 { return uint64(int64(int32(v))) }),
	riscv.FMV_W_X:  moveToF[uint32],
	riscv.FLI_S:    constant(sf.Fli32),
	riscv.FROUND_S: converted(round32), riscv.FROUNDNX_S: converted(roundNX32),

	riscv.FMADD_D:  fused(sf.FMA64, 0, 0),
	riscv.FMSUB_D:  fused(sf.FMA64, 0, sf.Sign64),
	riscv.FNMSUB_D: fused(sf.FMA64, sf.Sign64, 0),
	riscv.FNMADD_D: fused(sf.FMA64, sf.Sign64, sf.Sign64),
	riscv.FADD_D:   rounded2(sf.Add64), riscv.FSUB_D: rounded2(sf.Sub64),
	riscv.FMUL_D: rounded2(sf.Mul64), riscv.FDIV_D: rounded2(sf.Div64),
	riscv.FSQRT_D: converted(sf.Sqrt64),
	riscv.FSGNJ_D: exact2(sgnj[uint64]), riscv.FSGNJN_D: exact2(sgnjn[uint64]), riscv.FSGNJX_D: exact2(sgnjx[uint64]),
	riscv.FMIN_D: exact2(sf.Min64), riscv.FMAX_D: exact2(sf.Max64),
	riscv.FMINM_D: exact2(sf.MinM64), riscv.FMAXM_D: exact2(sf.MaxM64),
	riscv.FEQ_D: compared(sf.Eq64), riscv.FLT_D: compared(sf.Lt64), riscv.FLE_D: compared(sf.Le64),
	riscv.FLTQ_D: compared(sf.LtQ64), riscv.FLEQ_D: compared(sf.LeQ64),
	riscv.FCVT_W_D: toInt(sf.F64ToI32), riscv.FCVT_WU_D: toInt(sf.F64ToU32),
	riscv.FCVT_L_D: toInt(sf.F64ToI64), riscv.FCVT_LU_D: toInt(sf.F64ToU64),
	riscv.FCVT_D_W: fromInt(sf.I32ToF64), riscv.FCVT_D_WU: fromInt(sf.U32ToF64),
	riscv.FCVT_D_L: fromInt(sf.I64ToF64), riscv.FCVT_D_LU: fromInt(sf.U64ToF64),
	riscv.FCLASS_D: classified(sf.Class64),
	riscv.FMV_X_D:  moveToX(func(v uint64) uint64 { return v }),
	riscv.FMV_D_X:  moveToF[uint64],
	riscv.FLI_D:    constant(sf.Fli64),
	riscv.FROUND_D: converted(round64), riscv.FROUNDNX_D: converted(roundNX64),
	riscv.FCVTMOD_W_D: modular,

	riscv.FCVT_S_D: converted(sf.F64ToF32), riscv.FCVT_D_S: converted(sf.F32ToF64),
	riscv.FCVT_S_H: converted(sf.F16ToF32), riscv.FCVT_H_S: converted(sf.F32ToF16),
	riscv.FCVT_D_H: converted(sf.F16ToF64), riscv.FCVT_H_D: converted(sf.F64ToF16),
	riscv.FMV_X_H: moveToX(func(v uint64) uint64 { return uint64(int64(int16(v))) }),
	riscv.FMV_H_X: moveToF[uint16],
}
