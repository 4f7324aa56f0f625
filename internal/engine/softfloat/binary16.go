package softfloat

// The operations of binary16, RISC-V's .H instructions ("Zfh", "Zfa"). For the rules that all of them share, see the package.

// Add16 is a + b.
func Add16(a, b uint16, rm Rounding, fl *Flags) uint16 { return add(a, b, rm, fl) }

// Sub16 is a - b.
func Sub16(a, b uint16, rm Rounding, fl *Flags) uint16 { return sub(a, b, rm, fl) }

// Mul16 is a * b.
func Mul16(a, b uint16, rm Rounding, fl *Flags) uint16 { return mul(a, b, rm, fl) }

// Div16 is a / b.
func Div16(a, b uint16, rm Rounding, fl *Flags) uint16 { return div(a, b, rm, fl) }

// Sqrt16 is the square root of a.
func Sqrt16(a uint16, rm Rounding, fl *Flags) uint16 { return sqrt(a, rm, fl) }

// FMA16 is a*b + c, rounded once.
func FMA16(a, b, c uint16, rm Rounding, fl *Flags) uint16 { return fma(a, b, c, rm, fl) }

// Min16 is FMIN.H: the smaller operand, -0 below +0; the other one if one is a NaN.
func Min16(a, b uint16, fl *Flags) uint16 { return least(a, b, false, fl) }

// Max16 is FMAX.H: the larger operand, -0 below +0; the other one if one is a NaN.
func Max16(a, b uint16, fl *Flags) uint16 { return least(a, b, true, fl) }

// MinM16 is FMINM.H: the smaller operand, -0 below +0; a NaN if either is one.
func MinM16(a, b uint16, fl *Flags) uint16 { return leastNaN(a, b, false, fl) }

// MaxM16 is FMAXM.H: the larger operand, -0 below +0; a NaN if either is one.
func MaxM16(a, b uint16, fl *Flags) uint16 { return leastNaN(a, b, true, fl) }

// Eq16 is FEQ.H: whether a = b. Only signaling NaNs are invalid.
func Eq16(a, b uint16, fl *Flags) bool { return eq(a, b, fl) }

// Lt16 is FLT.H: whether a < b. Any NaN is invalid.
func Lt16(a, b uint16, fl *Flags) bool { return lt(a, b, true, fl) }

// Le16 is FLE.H: whether a <= b. Any NaN is invalid.
func Le16(a, b uint16, fl *Flags) bool { return le(a, b, true, fl) }

// LtQ16 is FLTQ.H: whether a < b. Only signaling NaNs are invalid.
func LtQ16(a, b uint16, fl *Flags) bool { return lt(a, b, false, fl) }

// LeQ16 is FLEQ.H: whether a <= b. Only signaling NaNs are invalid.
func LeQ16(a, b uint16, fl *Flags) bool { return le(a, b, false, fl) }

// Class16 is FCLASS.H: one bit of ten set.
func Class16(a uint16) uint64 { return class(a) }

// RoundInt16 is FROUND.H, or FROUNDNX.H if exact: a rounded to an integral value. Only the latter raises NX.
func RoundInt16(a uint16, rm Rounding, exact bool, fl *Flags) uint16 {
	return roundInt(a, rm, exact, fl)
}

// F16ToI32 is FCVT.W.H.
func F16ToI32(a uint16, rm Rounding, fl *Flags) int32 { return int32(toSigned(a, 1<<31-1, rm, fl)) }

// F16ToU32 is FCVT.WU.H.
func F16ToU32(a uint16, rm Rounding, fl *Flags) uint32 { return uint32(toUnsigned(a, 1<<32-1, rm, fl)) }

// F16ToI64 is FCVT.L.H.
func F16ToI64(a uint16, rm Rounding, fl *Flags) int64 { return toSigned(a, 1<<63-1, rm, fl) }

// F16ToU64 is FCVT.LU.H.
func F16ToU64(a uint16, rm Rounding, fl *Flags) uint64 { return toUnsigned(a, 1<<64-1, rm, fl) }

// I32ToF16 is FCVT.H.W.
func I32ToF16(v int32, rm Rounding, fl *Flags) uint16 { return fromSigned[uint16](int64(v), rm, fl) }

// U32ToF16 is FCVT.H.WU.
func U32ToF16(v uint32, rm Rounding, fl *Flags) uint16 {
	return fromUnsigned[uint16](uint64(v), rm, fl)
}

// I64ToF16 is FCVT.H.L.
func I64ToF16(v int64, rm Rounding, fl *Flags) uint16 { return fromSigned[uint16](v, rm, fl) }

// U64ToF16 is FCVT.H.LU.
func U64ToF16(v uint64, rm Rounding, fl *Flags) uint16 { return fromUnsigned[uint16](v, rm, fl) }

// F16ToF32 is FCVT.S.H. It is always exact.
func F16ToF32(a uint16, rm Rounding, fl *Flags) uint32 { return convert[uint32](a, rm, fl) }

// F16ToF64 is FCVT.D.H. It is always exact.
func F16ToF64(a uint16, rm Rounding, fl *Flags) uint64 { return convert[uint64](a, rm, fl) }
