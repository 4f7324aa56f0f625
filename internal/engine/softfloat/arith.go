package softfloat

import (
	"math"
	"math/bits"
)

// The five operations and the square root, exact until pack rounds them. Each leaves at the top what is ordinary and
// handles zeros, infinities and NaNs at the end, where the kinds of the operands are looked at once.

func add[T raw](a, b T, rm Rounding, fl *Flags) T {
	x, y := unpack(a), unpack(b)
	if k := x.kind | y.kind; k != finite {
		return addSpecial(a, b, x, y, rm, fl)
	}
	if x.exp < y.exp || x.exp == y.exp && x.sig < y.sig {
		x, y = y, x
	}
	// x has the larger magnitude. One bit of headroom; nothing is lost by it, for operands use at most 53 bits.
	xs, ys := x.sig>>1, shiftRightSticky(y.sig>>1, uint(x.exp-y.exp))
	if x.neg == y.neg {
		xs += ys
	} else {
		// The sticky bit of ys survives: with operands two or more binades apart the difference loses at most one
		// leading bit, and closer than that no bit fell out.
		xs -= ys
		if xs == 0 {
			return exactZero[T](rm)
		}
	}
	lz := bits.LeadingZeros64(xs)
	return pack[T](x.neg, x.exp+1-int32(lz), xs<<lz, rm, fl)
}

func addSpecial[T raw](a, b T, x, y number, rm Rounding, fl *Flags) T {
	switch k := x.kind | y.kind; {
	case k&nan != 0:
		return propagate[T](k, fl)
	case x.kind == infinite && y.kind == infinite && x.neg != y.neg:
		return invalid[T](fl)
	case x.kind == infinite || y.kind == zero && x.kind != zero:
		return a
	case y.kind == infinite || x.kind == zero && y.kind != zero:
		return b
	case x.neg != y.neg:
		return exactZero[T](rm)
	}
	return a // both zeros, of one sign
}

func sub[T raw](a, b T, rm Rounding, fl *Flags) T {
	return add(a, b^T(formatOf[T]().sign()), rm, fl)
}

func mul[T raw](a, b T, rm Rounding, fl *Flags) T {
	x, y := unpack(a), unpack(b)
	neg := x.neg != y.neg
	if k := x.kind | y.kind; k != finite {
		switch {
		case k&nan != 0:
			return propagate[T](k, fl)
		case k == infinite|zero:
			return invalid[T](fl)
		case k&infinite != 0:
			return infinity[T](neg)
		}
		return signed[T](neg, 0)
	}
	hi, lo := bits.Mul64(x.sig, y.sig)
	hi |= b2u(lo != 0)
	carry := hi >> 63 // the product of two numbers in [1, 2) may reach [2, 4)
	return pack[T](neg, x.exp+y.exp+int32(carry), hi<<(1-carry), rm, fl)
}

func div[T raw](a, b T, rm Rounding, fl *Flags) T {
	x, y := unpack(a), unpack(b)
	neg := x.neg != y.neg
	if k := x.kind | y.kind; k != finite {
		switch {
		case k&nan != 0:
			return propagate[T](k, fl)
		case x.kind == y.kind: // 0/0 and inf/inf
			return invalid[T](fl)
		case y.kind == zero && x.kind == finite:
			*fl |= DZ
			return infinity[T](neg)
		case x.kind == infinite || y.kind == zero:
			return infinity[T](neg)
		}
		return signed[T](neg, 0)
	}
	// The dividend, 128 bits, is placed so that the quotient has exactly 64.
	exp, hi, lo := x.exp-y.exp-1, x.sig, uint64(0)
	if x.sig >= y.sig {
		exp, hi, lo = exp+1, x.sig>>1, x.sig<<63
	}
	q, r := bits.Div64(hi, lo, y.sig)
	return pack[T](neg, exp, q|b2u(r != 0), rm, fl)
}

func sqrt[T raw](a T, rm Rounding, fl *Flags) T {
	x := unpack(a)
	if x.kind != finite || x.neg {
		switch {
		case x.kind&nan != 0:
			return propagate[T](x.kind, fl)
		case x.kind == zero:
			return a
		case x.neg:
			return invalid[T](fl)
		}
		return a // plus infinity
	}
	// The radicand as an integer of 53 or 54 bits, with the exponent made even. float64 holds it, for the 54th bit is zero.
	odd := uint(x.exp) & 1
	radicand := x.sig >> 11 << odd
	// The host's root, scaled by 2^52 here, is the nearest of 53 bits. Whether the true one is above or below it is all
	// that rounding to any format in any mode needs besides, and comparing its square with the radicand, scaled alike,
	// tells. One unit in the last of 64 places then stands for the difference, as a sticky bit would.
	root := uint64(math.Sqrt(float64(radicand)) * (1 << 26))
	hi, lo := bits.Mul64(root, root)
	lo, borrow := bits.Sub64(lo, radicand<<52, 0)
	hi, borrow = bits.Sub64(hi, radicand>>12, borrow)
	below, above := borrow, b2u(hi|lo != 0)&^borrow
	sig := root<<11 + below - above
	return pack[T](false, (x.exp-int32(odd))/2, sig, rm, fl)
}

// fma is a*b + c, rounded once.
func fma[T raw](a, b, c T, rm Rounding, fl *Flags) T {
	x, y, z := unpack(a), unpack(b), unpack(c)
	neg := x.neg != y.neg
	if x.kind|y.kind|z.kind != finite {
		return fmaSpecial(a, b, c, x, y, z, rm, fl)
	}
	// Product and addend as 128-bit significands with the leading bit at 126: one bit of headroom. The product has 106
	// bits at most, so neither this nor a shift of one place more loses any.
	hi, lo := bits.Mul64(x.sig, y.sig)
	exp := x.exp + y.exp
	if hi>>63 != 0 {
		lo = hi<<63 | lo>>1
		hi >>= 1
		exp++
	}
	zhi, zlo := z.sig>>1, z.sig<<63

	if exp < z.exp || exp == z.exp && (hi < zhi || hi == zhi && lo < zlo) {
		hi, lo, zhi, zlo = zhi, zlo, hi, lo
		exp, z.exp = z.exp, exp
		neg, z.neg = z.neg, neg
	}
	zhi, zlo = shiftRightSticky128(zhi, zlo, uint(exp-z.exp))
	var carry uint64
	if neg == z.neg {
		lo, carry = bits.Add64(lo, zlo, 0)
		hi, _ = bits.Add64(hi, zhi, carry)
	} else {
		lo, carry = bits.Sub64(lo, zlo, 0)
		hi, _ = bits.Sub64(hi, zhi, carry)
		if hi == 0 {
			if lo == 0 {
				return exactZero[T](rm)
			}
			hi, lo, exp = lo, 0, exp-64
		}
	}
	lz := uint(bits.LeadingZeros64(hi))
	hi, lo = hi<<lz|lo>>(64-lz), lo<<lz
	return pack[T](neg, exp+1-int32(lz), hi|b2u(lo != 0), rm, fl)
}

func fmaSpecial[T raw](a, b, c T, x, y, z number, rm Rounding, fl *Flags) T {
	neg := x.neg != y.neg
	switch product := x.kind | y.kind; {
	case product == infinite|zero:
		return invalid[T](fl) // even if c is a quiet NaN ("F", Computational Instructions)
	case (product|z.kind)&nan != 0:
		return propagate[T](product|z.kind, fl)
	case product&infinite != 0:
		if z.kind == infinite && z.neg != neg {
			return invalid[T](fl)
		}
		return infinity[T](neg)
	case z.kind == infinite:
		return c
	case product&zero == 0: // so c is the zero
		return mul(a, b, rm, fl)
	case z.kind == zero && z.neg != neg:
		return exactZero[T](rm)
	}
	return c
}

// shiftRightSticky128 is hi:lo >> n, with bit 0 set if any bit fell out.
func shiftRightSticky128(hi, lo uint64, n uint) (uint64, uint64) {
	switch {
	case n < 64:
		return hi >> n, hi<<(64-n) | lo>>n | b2u(lo<<(64-n) != 0)
	case n < 128:
		n -= 64
		return 0, hi>>n | b2u(hi<<(64-n)|lo != 0)
	}
	return 0, b2u(hi|lo != 0)
}
