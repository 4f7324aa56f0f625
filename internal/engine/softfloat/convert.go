package softfloat

import "math/bits"

// Conversions between formats, to integers and from integers. All take a rounding mode and flags, those that are always
// exact too, so that a caller can treat the whole family alike.

// convert is FCVT between two floating-point formats.
func convert[D, S raw](a S, rm Rounding, fl *Flags) D {
	x := unpack(a)
	switch {
	case x.kind == finite:
		return pack[D](x.neg, x.exp, x.sig, rm, fl)
	case x.kind == zero:
		return signed[D](x.neg, 0)
	case x.kind == infinite:
		return infinity[D](x.neg)
	}
	return propagate[D](x.kind, fl)
}

// fromUnsigned is FCVT from an unsigned integer of any width.
func fromUnsigned[D raw](v uint64, rm Rounding, fl *Flags) D {
	return fromMagnitude[D](false, v, rm, fl)
}

// fromSigned is FCVT from a signed integer of any width.
func fromSigned[D raw](v int64, rm Rounding, fl *Flags) D {
	if v < 0 {
		return fromMagnitude[D](true, -uint64(v), rm, fl)
	}
	return fromMagnitude[D](false, uint64(v), rm, fl)
}

func fromMagnitude[D raw](neg bool, v uint64, rm Rounding, fl *Flags) D {
	if v == 0 {
		return 0
	}
	lz := bits.LeadingZeros64(v)
	return pack[D](neg, 63-int32(lz), v<<lz, rm, fl)
}

// integral splits a finite magnitude below 2^64 into its integer part and its fraction, the latter in units of 2^-64 with a
// sticky bit at bit 0.
func (n number) integral() (whole, frac uint64) {
	if n.exp < 0 {
		return 0, shiftRightSticky(n.sig, uint(-1-n.exp))
	}
	return n.sig >> uint(63-n.exp), n.sig << uint(n.exp+1)
}

// roundIntegral rounds a magnitude, as integral returns it, to an integer. A fraction other than zero means that whole is
// far from the end of its range.
func roundIntegral(neg bool, whole, frac uint64, rm Rounding) uint64 {
	const half = 1 << 63
	switch rm {
	case RNE:
		return whole + b2u(frac > half) + b2u(frac == half)&whole
	case RMM:
		return whole + frac>>63
	case RDN:
		return whole + b2u(frac != 0 && neg)
	case RUP:
		return whole + b2u(frac != 0 && !neg)
	}
	return whole
}

// toUnsigned is FCVT to an unsigned integer whose largest value is max. What does not fit after rounding becomes the nearest
// end of the range, a NaN the upper one; that is invalid and not also inexact ("F", Conversion and Move Instructions).
func toUnsigned[S raw](a S, max uint64, rm Rounding, fl *Flags) uint64 {
	x := unpack(a)
	if x.kind == zero {
		return 0
	}
	if x.kind == finite && x.exp < 64 {
		whole, frac := x.integral()
		v := roundIntegral(x.neg, whole, frac, rm)
		if v <= max && (!x.neg || v == 0) {
			if frac != 0 {
				*fl |= NX
			}
			return v
		}
	}
	*fl |= NV
	if x.neg && x.kind&nan == 0 {
		return 0
	}
	return max
}

// toSigned is FCVT to a signed integer whose largest value is max, on the terms of toUnsigned.
func toSigned[S raw](a S, max int64, rm Rounding, fl *Flags) int64 {
	x := unpack(a)
	if x.kind == zero {
		return 0
	}
	if x.kind == finite && x.exp < 64 {
		whole, frac := x.integral()
		v := roundIntegral(x.neg, whole, frac, rm)
		if v <= uint64(max)+b2u(x.neg) {
			if frac != 0 {
				*fl |= NX
			}
			if x.neg {
				return -int64(v)
			}
			return int64(v)
		}
	}
	*fl |= NV
	if x.neg && x.kind&nan == 0 {
		return -max - 1
	}
	return max
}

// modular is FCVTMOD.W.D ("Zfa"): truncation to an integer, of which the lowest 32 bits are the result. NaNs and infinities
// give zero. The flags are those of FCVT.W.D with RTZ.
func modular(a uint64, fl *Flags) int32 {
	toSigned(a, 1<<31-1, RTZ, fl)
	x := unpack(a)
	if x.kind != finite {
		return 0
	}
	var whole uint64
	if x.exp < 64 {
		whole, _ = x.integral()
	} else {
		whole = x.sig << uint(x.exp-63)
	}
	if x.neg {
		whole = -whole
	}
	return int32(whole)
}
