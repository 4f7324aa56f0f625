package softfloat

import "math"

// The operations of binary64, RISC-V's .D instructions ("D", "Zfa"). For the rules that all of them share, see the package.

// Add64 is a + b.
func Add64(a, b uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(f64(a) + f64(b)); ordinary64(r) {
			return r
		}
	}
	return add(a, b, rm, fl)
}

// Sub64 is a - b.
func Sub64(a, b uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(f64(a) - f64(b)); ordinary64(r) {
			return r
		}
	}
	return sub(a, b, rm, fl)
}

// Mul64 is a * b.
func Mul64(a, b uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(f64(a) * f64(b)); ordinary64(r) {
			return r
		}
	}
	return mul(a, b, rm, fl)
}

// Div64 is a / b.
func Div64(a, b uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(f64(a) / f64(b)); ordinary64(r) {
			return r
		}
	}
	return div(a, b, rm, fl)
}

// Sqrt64 is the square root of a.
func Sqrt64(a uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(math.Sqrt(f64(a))); ordinary64(r) {
			return r
		}
	}
	return sqrt(a, rm, fl)
}

// FMA64 is a*b + c, rounded once.
func FMA64(a, b, c uint64, rm Rounding, fl *Flags) uint64 {
	if hostable(rm, fl) {
		if r := math.Float64bits(math.FMA(f64(a), f64(b), f64(c))); ordinary64(r) {
			return r
		}
	}
	return fma(a, b, c, rm, fl)
}

// Min64 is FMIN.D: the smaller operand, -0 below +0; the other one if one is a NaN.
func Min64(a, b uint64, fl *Flags) uint64 { return least(a, b, false, fl) }

// Max64 is FMAX.D: the larger operand, -0 below +0; the other one if one is a NaN.
func Max64(a, b uint64, fl *Flags) uint64 { return least(a, b, true, fl) }

// MinM64 is FMINM.D: the smaller operand, -0 below +0; a NaN if either is one.
func MinM64(a, b uint64, fl *Flags) uint64 { return leastNaN(a, b, false, fl) }

// MaxM64 is FMAXM.D: the larger operand, -0 below +0; a NaN if either is one.
func MaxM64(a, b uint64, fl *Flags) uint64 { return leastNaN(a, b, true, fl) }

// Eq64 is FEQ.D: whether a = b. Only signaling NaNs are invalid.
func Eq64(a, b uint64, fl *Flags) bool { return eq(a, b, fl) }

// Lt64 is FLT.D: whether a < b. Any NaN is invalid.
func Lt64(a, b uint64, fl *Flags) bool { return lt(a, b, true, fl) }

// Le64 is FLE.D: whether a <= b. Any NaN is invalid.
func Le64(a, b uint64, fl *Flags) bool { return le(a, b, true, fl) }

// LtQ64 is FLTQ.D: whether a < b. Only signaling NaNs are invalid.
func LtQ64(a, b uint64, fl *Flags) bool { return lt(a, b, false, fl) }

// LeQ64 is FLEQ.D: whether a <= b. Only signaling NaNs are invalid.
func LeQ64(a, b uint64, fl *Flags) bool { return le(a, b, false, fl) }

// Class64 is FCLASS.D: one bit of ten set.
func Class64(a uint64) uint64 { return class(a) }

// RoundInt64 is FROUND.D, or FROUNDNX.D if exact: a rounded to an integral value. Only the latter raises NX.
func RoundInt64(a uint64, rm Rounding, exact bool, fl *Flags) uint64 {
	return roundInt(a, rm, exact, fl)
}

// F64ToI32 is FCVT.W.D.
func F64ToI32(a uint64, rm Rounding, fl *Flags) int32 { return int32(toSigned(a, 1<<31-1, rm, fl)) }

// F64ToU32 is FCVT.WU.D.
func F64ToU32(a uint64, rm Rounding, fl *Flags) uint32 { return uint32(toUnsigned(a, 1<<32-1, rm, fl)) }

// F64ToI64 is FCVT.L.D.
func F64ToI64(a uint64, rm Rounding, fl *Flags) int64 { return toSigned(a, 1<<63-1, rm, fl) }

// F64ToU64 is FCVT.LU.D.
func F64ToU64(a uint64, rm Rounding, fl *Flags) uint64 { return toUnsigned(a, 1<<64-1, rm, fl) }

// I32ToF64 is FCVT.D.W. It is always exact.
func I32ToF64(v int32, rm Rounding, fl *Flags) uint64 { return fromSigned[uint64](int64(v), rm, fl) }

// U32ToF64 is FCVT.D.WU. It is always exact.
func U32ToF64(v uint32, rm Rounding, fl *Flags) uint64 {
	return fromUnsigned[uint64](uint64(v), rm, fl)
}

// I64ToF64 is FCVT.D.L.
func I64ToF64(v int64, rm Rounding, fl *Flags) uint64 { return fromSigned[uint64](v, rm, fl) }

// U64ToF64 is FCVT.D.LU.
func U64ToF64(v uint64, rm Rounding, fl *Flags) uint64 { return fromUnsigned[uint64](v, rm, fl) }

// F64ToF16 is FCVT.H.D.
func F64ToF16(a uint64, rm Rounding, fl *Flags) uint16 { return convert[uint16](a, rm, fl) }

// F64ToF32 is FCVT.S.D.
func F64ToF32(a uint64, rm Rounding, fl *Flags) uint32 { return convert[uint32](a, rm, fl) }

// CvtModW64 is FCVTMOD.W.D: a truncated to an integer, modulo 2^32. NaNs and infinities give zero.
func CvtModW64(a uint64, fl *Flags) int32 { return modular(a, fl) }
