package softfloat

import "math"

// The operations of binary32, RISC-V's .S instructions ("F", "Zfa"). For the rules that all of them share, see the package.

// Add32 is a + b.
func Add32(a, b uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		if r := math.Float32bits(f32(a) + f32(b)); ordinary32(r) {
			return r
		}
	}
	return add(a, b, rm, fl)
}

// Sub32 is a - b.
func Sub32(a, b uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		if r := math.Float32bits(f32(a) - f32(b)); ordinary32(r) {
			return r
		}
	}
	return sub(a, b, rm, fl)
}

// Mul32 is a * b.
func Mul32(a, b uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		if r := math.Float32bits(f32(a) * f32(b)); ordinary32(r) {
			return r
		}
	}
	return mul(a, b, rm, fl)
}

// Div32 is a / b.
func Div32(a, b uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		if r := math.Float32bits(f32(a) / f32(b)); ordinary32(r) {
			return r
		}
	}
	return div(a, b, rm, fl)
}

// Sqrt32 is the square root of a.
func Sqrt32(a uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		if r := math.Float32bits(float32(math.Sqrt(float64(f32(a))))); ordinary32(r) {
			return r
		}
	}
	return sqrt(a, rm, fl)
}

// FMA32 is a*b + c, rounded once.
func FMA32(a, b, c uint32, rm Rounding, fl *Flags) uint32 {
	if hostable(rm, fl) {
		// The product is exact in float64, so this sum is a*b + c rounded to 53 bits. Rounding that again to 24 gives what
		// rounding once would, unless the first rounding made a tie.
		sum := float64(f32(a))*float64(f32(b)) + float64(f32(c))
		const below, tie = 1<<29 - 1, 1 << 28
		if r := math.Float32bits(float32(sum)); ordinary32(r) && math.Float64bits(sum)&below != tie {
			return r
		}
	}
	return fma(a, b, c, rm, fl)
}

// Min32 is FMIN.S: the smaller operand, -0 below +0; the other one if one is a NaN.
func Min32(a, b uint32, fl *Flags) uint32 { return least(a, b, false, fl) }

// Max32 is FMAX.S: the larger operand, -0 below +0; the other one if one is a NaN.
func Max32(a, b uint32, fl *Flags) uint32 { return least(a, b, true, fl) }

// MinM32 is FMINM.S: the smaller operand, -0 below +0; a NaN if either is one.
func MinM32(a, b uint32, fl *Flags) uint32 { return leastNaN(a, b, false, fl) }

// MaxM32 is FMAXM.S: the larger operand, -0 below +0; a NaN if either is one.
func MaxM32(a, b uint32, fl *Flags) uint32 { return leastNaN(a, b, true, fl) }

// Eq32 is FEQ.S: whether a = b. Only signaling NaNs are invalid.
func Eq32(a, b uint32, fl *Flags) bool { return eq(a, b, fl) }

// Lt32 is FLT.S: whether a < b. Any NaN is invalid.
func Lt32(a, b uint32, fl *Flags) bool { return lt(a, b, true, fl) }

// Le32 is FLE.S: whether a <= b. Any NaN is invalid.
func Le32(a, b uint32, fl *Flags) bool { return le(a, b, true, fl) }

// LtQ32 is FLTQ.S: whether a < b. Only signaling NaNs are invalid.
func LtQ32(a, b uint32, fl *Flags) bool { return lt(a, b, false, fl) }

// LeQ32 is FLEQ.S: whether a <= b. Only signaling NaNs are invalid.
func LeQ32(a, b uint32, fl *Flags) bool { return le(a, b, false, fl) }

// Class32 is FCLASS.S: one bit of ten set.
func Class32(a uint32) uint64 { return class(a) }

// RoundInt32 is FROUND.S, or FROUNDNX.S if exact: a rounded to an integral value. Only the latter raises NX.
func RoundInt32(a uint32, rm Rounding, exact bool, fl *Flags) uint32 {
	return roundInt(a, rm, exact, fl)
}

// F32ToI32 is FCVT.W.S.
func F32ToI32(a uint32, rm Rounding, fl *Flags) int32 { return int32(toSigned(a, 1<<31-1, rm, fl)) }

// F32ToU32 is FCVT.WU.S.
func F32ToU32(a uint32, rm Rounding, fl *Flags) uint32 { return uint32(toUnsigned(a, 1<<32-1, rm, fl)) }

// F32ToI64 is FCVT.L.S.
func F32ToI64(a uint32, rm Rounding, fl *Flags) int64 { return toSigned(a, 1<<63-1, rm, fl) }

// F32ToU64 is FCVT.LU.S.
func F32ToU64(a uint32, rm Rounding, fl *Flags) uint64 { return toUnsigned(a, 1<<64-1, rm, fl) }

// I32ToF32 is FCVT.S.W.
func I32ToF32(v int32, rm Rounding, fl *Flags) uint32 { return fromSigned[uint32](int64(v), rm, fl) }

// U32ToF32 is FCVT.S.WU.
func U32ToF32(v uint32, rm Rounding, fl *Flags) uint32 {
	return fromUnsigned[uint32](uint64(v), rm, fl)
}

// I64ToF32 is FCVT.S.L.
func I64ToF32(v int64, rm Rounding, fl *Flags) uint32 { return fromSigned[uint32](v, rm, fl) }

// U64ToF32 is FCVT.S.LU.
func U64ToF32(v uint64, rm Rounding, fl *Flags) uint32 { return fromUnsigned[uint32](v, rm, fl) }

// F32ToF16 is FCVT.H.S.
func F32ToF16(a uint32, rm Rounding, fl *Flags) uint16 { return convert[uint16](a, rm, fl) }

// F32ToF64 is FCVT.D.S. It is always exact.
func F32ToF64(a uint32, rm Rounding, fl *Flags) uint64 { return convert[uint64](a, rm, fl) }
