package softfloat

// roundInt is FROUND and, with exact, FROUNDNX ("Zfa"): the nearest integral value in the same format. Only FROUNDNX
// reports that this changed the value.
func roundInt[T raw](a T, rm Rounding, exact bool, fl *Flags) T {
	f := formatOf[T]()
	mag := uint64(a) &^ f.sign()
	neg := uint64(a) != mag
	exp := int32(mag>>f.frac) - f.bias()
	switch {
	case exp >= int32(f.frac): // no fraction bits, or an infinity, or a NaN
		if isNaN(a) {
			if isSignaling(a) {
				*fl |= NV
			}
			return T(f.nan())
		}
		return a
	case mag == 0:
		return a
	}
	var rounded uint64
	if exp < 0 {
		// Below one: any fraction below, at or above one half stands for all of its kind.
		half := uint64(f.bias()-1) << f.frac
		frac := uint64(1)
		if mag >= half {
			frac = 1<<63 | b2u(mag > half)
		}
		one := uint64(f.bias()) << f.frac
		rounded = one * roundIntegral(neg, 0, frac, rm)
	} else {
		// The units bit is in the fraction or, for exponent zero, the implicit bit, which reads as the lowest bit of
		// the exponent field: set, for the bias is odd. A carry runs into the exponent field as it should.
		unit := uint64(1) << (f.frac - uint(exp))
		inc := increment(rm, neg, mag&unit != 0, unit)
		rounded = (mag + inc) &^ (unit - 1)
	}
	if exact && rounded != mag {
		*fl |= NX
	}
	return signed[T](neg, rounded)
}
