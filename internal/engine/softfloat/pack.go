package softfloat

// Rounding, in the one place that does it: a value computed to 64 bits and a sticky bit becomes a value of a format.

// increment is what to add to a significand so that cutting off its lowest bits rounds it. unit is the lowest bit that
// stays, odd whether that bit is set. Doing it by addition spares a branch on the data, which nothing could predict.
func increment(rm Rounding, neg, odd bool, unit uint64) uint64 {
	switch rm {
	case RNE:
		return unit>>1 - 1 + b2u(odd)
	case RMM:
		return unit >> 1
	case RDN:
		return (unit - 1) * b2u(neg)
	case RUP:
		return (unit - 1) * b2u(!neg)
	}
	return 0
}

// pack rounds sig * 2^(exp-63) to a format. Bit 63 of sig is set. Bit 0 may be a sticky bit, one that stands for all bits
// below it: it is below every rounding position of every format, with room to spare.
func pack[T raw](neg bool, exp int32, sig uint64, rm Rounding, fl *Flags) T {
	f := formatOf[T]()
	drop := 63 - f.frac
	unit := uint64(1) << drop

	e := exp + f.bias()
	if e <= 0 {
		return packSubnormal[T](neg, e, sig, rm, fl)
	}
	rest := sig & (unit - 1)
	inc := increment(rm, neg, sig&unit != 0, unit)
	// The implicit bit adds one to the exponent field, and so does a carry out of the fraction.
	mag := uint64(e-1)<<f.frac + sig>>drop + (rest+inc)>>drop
	if mag >= f.inf() || uint64(e) >= f.expMax() {
		return overflow[T](neg, rm, fl)
	}
	if rest != 0 {
		*fl |= NX
	}
	return signed[T](neg, mag)
}

// packSubnormal is pack for a value below the smallest normal number. e is its biased exponent, zero or less.
func packSubnormal[T raw](neg bool, e int32, sig uint64, rm Rounding, fl *Flags) T {
	f := formatOf[T]()
	drop := 63 - f.frac
	unit := uint64(1) << drop

	// The result is tiny if it would be below the smallest normal number even when rounded as if the exponent had no
	// bound: always, unless it is within one binade of it and that rounding carries.
	inc := increment(rm, neg, sig&unit != 0, unit)
	tiny := e < 0 || sig+inc >= sig

	sig = shiftRightSticky(sig, uint(1-e))
	rest := sig & (unit - 1)
	inc = increment(rm, neg, sig&unit != 0, unit)
	if rest != 0 {
		*fl |= NX
		if tiny {
			*fl |= UF
		}
	}
	return signed[T](neg, sig>>drop+(rest+inc)>>drop)
}

// overflow is the result that is too large for its format: infinity, or the largest finite number if the mode rounds
// towards it.
func overflow[T raw](neg bool, rm Rounding, fl *Flags) T {
	*fl |= OF | NX
	inf := formatOf[T]().inf()
	if rm == RNE || rm == RMM || rm == RUP && !neg || rm == RDN && neg {
		return signed[T](neg, inf)
	}
	return signed[T](neg, inf-1)
}

// exactZero is the zero that a sum of opposite numbers makes: positive, except when rounding down.
func exactZero[T raw](rm Rounding) T { return signed[T](rm == RDN, 0) }

// shiftRightSticky is x >> n, with bit 0 set if any bit fell out.
func shiftRightSticky(x uint64, n uint) uint64 {
	if n > 63 {
		return b2u(x != 0)
	}
	return x>>n | b2u(x<<(64-n) != 0)
}

// b2u is 1 if b. The compiler knows this form and makes no branch of it.
func b2u(b bool) uint64 {
	var u uint64
	if b {
		u = 1
	}
	return u
}
