package softfloat

import "math/bits"

// A format is what tells binary16, binary32 and binary64 apart; everything else follows from these widths. It is obtained
// from the type of the bit pattern, so that the compiler makes one copy of each generic function per format, with all of this
// folded into constants.
type format struct {
	frac uint // bits of the fraction field
	exp  uint // bits of the exponent field
}

// raw is a bit pattern of one of the three formats.
type raw interface{ uint16 | uint32 | uint64 }

func formatOf[T raw]() format {
	switch uint64(^T(0)) {
	case 1<<16 - 1:
		return format{frac: 10, exp: 5}
	case 1<<32 - 1:
		return format{frac: 23, exp: 8}
	}
	return format{frac: 52, exp: 11}
}

// sign is the sign bit.
func (f format) sign() uint64 { return 1 << (f.frac + f.exp) }

// inf is plus infinity; a magnitude above it is a NaN.
func (f format) inf() uint64 { return f.expMax() << f.frac }

// quiet is the bit that tells a quiet NaN from a signaling one.
func (f format) quiet() uint64 { return 1 << (f.frac - 1) }

// nan is the canonical NaN.
func (f format) nan() uint64 { return f.inf() | f.quiet() }

// expMax is the biased exponent of infinities and NaNs.
func (f format) expMax() uint64 { return 1<<f.exp - 1 }

// bias is what is added to an exponent to store it.
func (f format) bias() int32 { return 1<<(f.exp-1) - 1 }

// kind says what a number is besides finite and nonzero. They are bits, so that two operands are both ordinary when the or
// of their kinds is zero, and one look at that or finds any NaN.
type kind uint8

const (
	finite    kind = 0 // and not zero
	zero      kind = 1
	infinite  kind = 2
	quiet     kind = 4
	signaling kind = 8
	nan            = quiet | signaling
)

// A number is an unpacked operand. If it is finite its magnitude is sig * 2^(exp-63), with bit 63 of sig set: exp is the
// exponent of the leading bit, subnormals included, and no format needs more than the upper 53 bits.
type number struct {
	sig  uint64
	exp  int32
	kind kind
	neg  bool
}

func unpack[T raw](a T) number {
	f := formatOf[T]()
	// Shifting the fraction to just below bit 63 pushes out the sign and all of the exponent but one bit, which the
	// implicit bit then covers.
	sig := uint64(a)<<(63-f.frac) | 1<<63
	exp := uint64(a) >> f.frac & f.expMax()
	neg := uint64(a)&f.sign() != 0
	if exp-1 < f.expMax()-1 {
		return number{sig: sig, exp: int32(exp) - f.bias(), neg: neg}
	}
	return unpackSpecial(sig<<1, exp == 0, f.bias(), neg)
}

// unpackSpecial unpacks what has the lowest exponent, zeros and subnormals, or the highest, infinities and NaNs. The
// fraction comes at the top of its word.
func unpackSpecial(frac uint64, lowest bool, bias int32, neg bool) number {
	n := number{neg: neg}
	switch {
	case lowest && frac == 0:
		n.kind = zero
	case lowest:
		lz := bits.LeadingZeros64(frac)
		n.sig, n.exp = frac<<lz, -bias-int32(lz)
	case frac == 0:
		n.kind = infinite
	case frac>>63 != 0:
		n.kind = quiet
	default:
		n.kind = signaling
	}
	return n
}

func isNaN[T raw](a T) bool {
	f := formatOf[T]()
	return uint64(a)&^f.sign() > f.inf()
}

func isSignaling[T raw](a T) bool {
	f := formatOf[T]()
	return isNaN(a) && uint64(a)&f.quiet() == 0
}

// invalid is the result of an invalid operation.
func invalid[T raw](fl *Flags) T {
	*fl |= NV
	return T(formatOf[T]().nan())
}

// propagate is the result of an operation of which an operand is a NaN, given the or of the operands' kinds.
func propagate[T raw](k kind, fl *Flags) T {
	if k&signaling != 0 {
		*fl |= NV
	}
	return T(formatOf[T]().nan())
}

// signed is a magnitude with its sign.
func signed[T raw](neg bool, magnitude uint64) T {
	if neg {
		magnitude |= formatOf[T]().sign()
	}
	return T(magnitude)
}

// infinity is the infinity of a sign.
func infinity[T raw](neg bool) T { return signed[T](neg, formatOf[T]().inf()) }
