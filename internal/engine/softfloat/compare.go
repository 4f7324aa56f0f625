package softfloat

// Comparisons, minimum, maximum and FCLASS: no arithmetic. Apart from NaNs, and from the two zeros being equal,
// sign-magnitude numbers of one format order as integers do.

// order maps a pattern that is no NaN to an integer that orders as the number does, with -0 just below +0.
func order[T raw](a T) int64 {
	f := formatOf[T]()
	o := int64(uint64(a) << (63 - f.frac - f.exp))
	return o ^ int64(uint64(o>>63)>>1)
}

// bothZero reports whether a and b are zeros of any sign.
func bothZero[T raw](a, b T) bool { return (a|b)<<1 == 0 }

// unordered reports whether an operand is a NaN. A signaling one is invalid, and in a signaling comparison any is.
func unordered[T raw](a, b T, signals bool, fl *Flags) bool {
	if !isNaN(a) && !isNaN(b) {
		return false
	}
	if signals || isSignaling(a) || isSignaling(b) {
		*fl |= NV
	}
	return true
}

func eq[T raw](a, b T, fl *Flags) bool {
	return !unordered(a, b, false, fl) && (a == b || bothZero(a, b))
}

func lt[T raw](a, b T, signals bool, fl *Flags) bool {
	return !unordered(a, b, signals, fl) && order(a) < order(b) && !bothZero(a, b)
}

func le[T raw](a, b T, signals bool, fl *Flags) bool {
	return !unordered(a, b, signals, fl) && (order(a) <= order(b) || bothZero(a, b))
}

// least is FMIN and FMAX with max, minimumNumber and maximumNumber of IEEE 754-2019: a NaN loses to a number.
func least[T raw](a, b T, max bool, fl *Flags) T {
	if unordered(a, b, false, fl) {
		switch {
		case !isNaN(a):
			return a
		case !isNaN(b):
			return b
		}
		return T(formatOf[T]().nan())
	}
	if (order(a) < order(b)) != max {
		return a
	}
	return b
}

// leastNaN is FMINM and FMAXM with max, minimum and maximum of IEEE 754-2019: a NaN wins.
func leastNaN[T raw](a, b T, max bool, fl *Flags) T {
	if unordered(a, b, false, fl) {
		return T(formatOf[T]().nan())
	}
	return least(a, b, max, fl)
}

// The bits of FCLASS's result, by number ("F", Classify Instruction).
const (
	classNegInfinite = iota
	classNegNormal
	classNegSubnormal
	classNegZero
	classPosZero
	classPosSubnormal
	classPosNormal
	classPosInfinite
	classSignaling
	classQuiet
)

func class[T raw](a T) uint64 {
	f := formatOf[T]()
	mag := uint64(a) &^ f.sign()
	var neg, pos uint
	switch {
	case mag > f.inf():
		if mag&f.quiet() != 0 {
			return 1 << classQuiet
		}
		return 1 << classSignaling
	case mag == f.inf():
		neg, pos = classNegInfinite, classPosInfinite
	case mag == 0:
		neg, pos = classNegZero, classPosZero
	case mag < 1<<f.frac:
		neg, pos = classNegSubnormal, classPosSubnormal
	default:
		neg, pos = classNegNormal, classPosNormal
	}
	if uint64(a) != mag {
		return 1 << neg
	}
	return 1 << pos
}
