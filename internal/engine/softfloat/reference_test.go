package softfloat

import "math/big"

// The reference that everything is checked against. It shares nothing with the package: values are exact rationals, or square
// roots of them, in big integers, and rounding is its definition, a floor and a comparison with one half. Formats are
// described by precision and largest exponent, as IEEE 754 does.

type refFormat struct {
	name  string
	width int
	p     int // precision: bits of the significand, the implicit one included
	emax  int
}

var (
	ref16 = refFormat{"16", 16, 11, 15}
	ref32 = refFormat{"32", 32, 24, 127}
	ref64 = refFormat{"64", 64, 53, 1023}
)

func (f refFormat) emin() int        { return 1 - f.emax }
func (f refFormat) signBit() uint64  { return 1 << (f.width - 1) }
func (f refFormat) infinity() uint64 { return uint64(2*f.emax+1) << (f.p - 1) }
func (f refFormat) nan() uint64      { return f.infinity() | 1<<(f.p-2) }
func (f refFormat) mask() uint64     { return f.signBit()<<1 - 1 }

// refValue is a decoded operand: the number mant * 2^exp if it is finite.
type refValue struct {
	nan, signaling, inf, neg bool
	mant                     *big.Int // not negative
	exp                      int
}

func (f refFormat) decode(bits uint64) refValue {
	v := refValue{neg: bits&f.signBit() != 0}
	mag := bits & (f.signBit() - 1)
	field, frac := int(mag>>(f.p-1)), mag&(1<<(f.p-1)-1)
	switch {
	case mag > f.infinity():
		v.nan, v.signaling = true, frac>>(f.p-2) == 0
		return v
	case mag == f.infinity():
		v.inf = true
		return v
	case field == 0:
		field = 1
	default:
		frac |= 1 << (f.p - 1)
	}
	v.mant, v.exp = new(big.Int).SetUint64(frac), field-f.emax-(f.p-1)
	return v
}

func (v refValue) zero() bool   { return v.mant != nil && v.mant.Sign() == 0 }
func (v refValue) finite() bool { return v.mant != nil }

// fixed is the finite value with its sign as an integer multiple of 2^exp, for an exp that is not above its own.
func (v refValue) fixed(exp int) *big.Int {
	n := new(big.Int).Lsh(v.mant, uint(v.exp-exp))
	if v.neg {
		n.Neg(n)
	}
	return n
}

// refExact is an exact positive real: the root-th root of num/den * 2^exp.
type refExact struct {
	num, den *big.Int
	exp      int
	root     int // 1 or 2
}

func (x refExact) pow(t *big.Int) *big.Int {
	if x.root == 2 {
		return new(big.Int).Mul(t, t)
	}
	return t
}

// ratio is num and den with x / 2^q the root-th root of num/den.
func (x refExact) ratio(q int) (num, den *big.Int) {
	if s := x.exp - x.root*q; s >= 0 {
		return new(big.Int).Lsh(x.num, uint(s)), x.den
	}
	return x.num, new(big.Int).Lsh(x.den, uint(x.root*q-x.exp))
}

// floor is the integer part of x / 2^q, with the sign of the rest's comparison with one half and with zero.
func (x refExact) floor(q int) (t *big.Int, half, rest int) {
	num, den := x.ratio(q)
	t = new(big.Int).Quo(num, den)
	if x.root == 2 {
		t.Sqrt(t)
	}
	rest = num.Cmp(new(big.Int).Mul(x.pow(t), den))
	twice := new(big.Int).Lsh(t, 1)
	twice.Add(twice, big.NewInt(1))
	half = new(big.Int).Lsh(num, uint(x.root)).Cmp(new(big.Int).Mul(x.pow(twice), den))
	return t, half, rest
}

// log2 is the exponent of the leading bit.
func (x refExact) log2() int {
	e := (x.num.BitLen() - x.den.BitLen() + x.exp) / x.root
	for {
		switch t, _, _ := x.floor(e); {
		case t.Sign() == 0:
			e--
		case t.BitLen() > 1:
			e++
		default:
			return e
		}
	}
}

// refUp reports whether a magnitude is rounded up from its floor.
func refUp(rm Rounding, neg bool, t *big.Int, half, rest int) bool {
	switch rm {
	case RNE:
		return half > 0 || half == 0 && t.Bit(0) == 1
	case RDN:
		return neg && rest > 0
	case RUP:
		return !neg && rest > 0
	case RMM:
		return half >= 0
	}
	return false
}

// outcome is what an operation must deliver, in each rounding mode.
type outcome [5]struct {
	bits  uint64
	flags Flags
}

// same is the outcome that is the same in all modes.
func same(bits uint64, flags Flags) (o outcome) {
	for rm := range o {
		o[rm].bits, o[rm].flags = bits, flags
	}
	return o
}

func (f refFormat) sign(neg bool, mag uint64) uint64 {
	if neg {
		return mag | f.signBit()
	}
	return mag
}

// round rounds an exact value.
func (f refFormat) round(neg bool, x refExact) (o outcome) {
	e := x.log2()
	q := max(e, f.emin()) - (f.p - 1)
	t, half, rest := x.floor(q)
	unboundedQ := e - (f.p - 1)
	ut, uhalf, urest := x.floor(unboundedQ)
	for rm := range o {
		r := new(big.Int).Set(t)
		if refUp(Rounding(rm), neg, t, half, rest) {
			r.Add(r, big.NewInt(1))
		}
		if r.BitLen()+q > f.emax+1 {
			o[rm].flags = OF | NX
			o[rm].bits = f.sign(neg, f.infinity()-1)
			if rm := Rounding(rm); rm == RNE || rm == RMM || rm == RUP && !neg || rm == RDN && neg {
				o[rm].bits = f.sign(neg, f.infinity())
			}
			continue
		}
		if rest > 0 {
			o[rm].flags = NX
			u := new(big.Int).Set(ut)
			if refUp(Rounding(rm), neg, ut, uhalf, urest) {
				u.Add(u, big.NewInt(1))
			}
			if u.BitLen()-1+unboundedQ < f.emin() {
				o[rm].flags |= UF
			}
		}
		o[rm].bits = f.sign(neg, f.encode(r, q))
	}
	return o
}

// encode is the pattern of t * 2^q, which must be representable.
func (f refFormat) encode(t *big.Int, q int) uint64 {
	if t.Sign() == 0 {
		return 0
	}
	e := t.BitLen() - 1 + q
	if e < f.emin() {
		return new(big.Int).Lsh(t, uint(q-(f.emin()-(f.p-1)))).Uint64()
	}
	m := new(big.Int).Set(t)
	if s := f.p - t.BitLen(); s >= 0 {
		m.Lsh(m, uint(s))
	} else {
		m.Rsh(m, uint(-s))
	}
	return uint64(e+f.emax)<<(f.p-1) + m.Uint64() - 1<<(f.p-1)
}

// roundDyadic rounds num * 2^exp, with a zero of the sign that sums have.
func (f refFormat) roundDyadic(num *big.Int, exp int) outcome {
	if num.Sign() == 0 {
		o := same(0, 0)
		o[RDN].bits = f.signBit()
		return o
	}
	return f.round(num.Sign() < 0, refExact{new(big.Int).Abs(num), big.NewInt(1), exp, 1})
}

// nans is the outcome if any operand is a NaN.
func (f refFormat) nans(vs ...refValue) (outcome, bool) {
	var flags Flags
	found := false
	for _, v := range vs {
		found = found || v.nan
		if v.signaling {
			flags = NV
		}
	}
	return same(f.nan(), flags), found
}

func (f refFormat) add(a, b refValue) outcome {
	if o, ok := f.nans(a, b); ok {
		return o
	}
	switch {
	case a.inf && b.inf && a.neg != b.neg:
		return same(f.nan(), NV)
	case a.inf:
		return same(f.sign(a.neg, f.infinity()), 0)
	case b.inf:
		return same(f.sign(b.neg, f.infinity()), 0)
	case a.zero() && b.zero() && a.neg == b.neg:
		return same(f.sign(a.neg, 0), 0)
	}
	exp := min(a.exp, b.exp)
	return f.roundDyadic(new(big.Int).Add(a.fixed(exp), b.fixed(exp)), exp)
}

func (f refFormat) sub(a, b refValue) outcome {
	b.neg = !b.neg
	return f.add(a, b)
}

func (f refFormat) mul(a, b refValue) outcome {
	if o, ok := f.nans(a, b); ok {
		return o
	}
	neg := a.neg != b.neg
	switch {
	case a.inf && b.zero() || a.zero() && b.inf:
		return same(f.nan(), NV)
	case a.inf || b.inf:
		return same(f.sign(neg, f.infinity()), 0)
	case a.zero() || b.zero():
		return same(f.sign(neg, 0), 0)
	}
	return f.round(neg, refExact{new(big.Int).Mul(a.mant, b.mant), big.NewInt(1), a.exp + b.exp, 1})
}

func (f refFormat) div(a, b refValue) outcome {
	if o, ok := f.nans(a, b); ok {
		return o
	}
	neg := a.neg != b.neg
	switch {
	case a.inf && b.inf || a.zero() && b.zero():
		return same(f.nan(), NV)
	case a.inf:
		return same(f.sign(neg, f.infinity()), 0)
	case b.zero():
		return same(f.sign(neg, f.infinity()), DZ)
	case a.zero() || b.inf:
		return same(f.sign(neg, 0), 0)
	}
	return f.round(neg, refExact{a.mant, b.mant, a.exp - b.exp, 1})
}

func (f refFormat) sqrt(a refValue) outcome {
	if o, ok := f.nans(a); ok {
		return o
	}
	switch {
	case a.zero():
		return same(f.sign(a.neg, 0), 0)
	case a.neg:
		return same(f.nan(), NV)
	case a.inf:
		return same(f.infinity(), 0)
	}
	return f.round(false, refExact{a.mant, big.NewInt(1), a.exp, 2})
}

func (f refFormat) fma(a, b, c refValue) outcome {
	if a.inf && b.zero() || a.zero() && b.inf {
		return same(f.nan(), NV)
	}
	if o, ok := f.nans(a, b, c); ok {
		return o
	}
	product := refValue{neg: a.neg != b.neg, inf: a.inf || b.inf}
	if !product.inf {
		product.mant, product.exp = new(big.Int).Mul(a.mant, b.mant), a.exp+b.exp
	}
	return f.add(product, c)
}

// convert rounds a value of any format to this one.
func (f refFormat) convert(a refValue) outcome {
	if o, ok := f.nans(a); ok {
		return o
	}
	switch {
	case a.inf:
		return same(f.sign(a.neg, f.infinity()), 0)
	case a.zero():
		return same(f.sign(a.neg, 0), 0)
	}
	return f.round(a.neg, refExact{a.mant, big.NewInt(1), a.exp, 1})
}

// fromInteger rounds an integer to this format.
func (f refFormat) fromInteger(v *big.Int) outcome {
	if v.Sign() == 0 {
		return same(0, 0)
	}
	return f.roundDyadic(v, 0)
}

// refToInteger rounds a value to an integer between lo and hi and gives it as 64 bits, signed or not.
func refToInteger(a refValue, lo, hi *big.Int) (o outcome) {
	bits := func(v *big.Int) uint64 {
		return new(big.Int).And(v, new(big.Int).SetUint64(1<<64-1)).Uint64()
	}
	if !a.finite() {
		if a.inf && a.neg {
			return same(bits(lo), NV)
		}
		return same(bits(hi), NV)
	}
	t, half, rest := refExact{a.mant, big.NewInt(1), a.exp, 1}.floor(0)
	for rm := range o {
		r := new(big.Int).Set(t)
		if refUp(Rounding(rm), a.neg, t, half, rest) {
			r.Add(r, big.NewInt(1))
		}
		if a.neg {
			r.Neg(r)
		}
		switch {
		case r.Cmp(lo) < 0:
			o[rm].bits, o[rm].flags = bits(lo), NV
		case r.Cmp(hi) > 0:
			o[rm].bits, o[rm].flags = bits(hi), NV
		default:
			o[rm].bits = bits(r)
			if rest > 0 {
				o[rm].flags = NX
			}
		}
	}
	return o
}

// refModular is FCVTMOD.W.D.
func refModular(a refValue) outcome {
	flags := refToInteger(a, big.NewInt(-1<<31), big.NewInt(1<<31-1))[RTZ].flags
	if !a.finite() {
		return same(0, flags)
	}
	t, _, _ := refExact{a.mant, big.NewInt(1), a.exp, 1}.floor(0)
	if a.neg {
		t.Neg(t)
	}
	t.And(t, big.NewInt(1<<32-1))
	return same(uint64(int64(int32(uint32(t.Uint64())))), flags)
}

// roundInt is FROUND and FROUNDNX.
func (f refFormat) roundInt(a refValue, exact bool) outcome {
	if o, ok := f.nans(a); ok {
		return o
	}
	if a.inf {
		return f.convert(a)
	}
	t, half, rest := refExact{a.mant, big.NewInt(1), a.exp, 1}.floor(0)
	var o outcome
	for rm := range o {
		r := new(big.Int).Set(t)
		if refUp(Rounding(rm), a.neg, t, half, rest) {
			r.Add(r, big.NewInt(1))
		}
		o[rm].bits = f.sign(a.neg, f.encode(r, 0))
		if exact && rest > 0 {
			o[rm].flags = NX
		}
	}
	return o
}

// refCompare is the sign of a - b for operands that are no NaNs.
func refCompare(a, b refValue) int {
	rank := func(v refValue) int {
		switch {
		case v.inf && v.neg:
			return -1
		case v.inf:
			return 1
		}
		return 0
	}
	if ra, rb := rank(a), rank(b); ra != 0 || rb != 0 {
		return ra - rb
	}
	exp := min(a.exp, b.exp)
	return a.fixed(exp).Cmp(b.fixed(exp))
}

// refComparison is FEQ, FLT or FLE, given as a predicate on the sign of a - b.
func refComparison(a, b refValue, signals bool, holds func(int) bool) outcome {
	switch {
	case a.nan || b.nan:
		if signals || a.signaling || b.signaling {
			return same(0, NV)
		}
		return same(0, 0)
	case holds(refCompare(a, b)):
		return same(1, 0)
	}
	return same(0, 0)
}

// extreme is the family of FMIN: sign is 1 for the minimum and -1 for the maximum; sticky says that a NaN wins.
func (f refFormat) extreme(abits, bbits uint64, sign int, sticky bool) outcome {
	a, b := f.decode(abits), f.decode(bbits)
	o, anyNaN := f.nans(a, b)
	flags := o[0].flags
	switch {
	case anyNaN && sticky || a.nan && b.nan:
		return o
	case a.nan:
		return same(bbits, flags)
	case b.nan:
		return same(abits, flags)
	}
	c := refCompare(a, b)
	if c == 0 && a.neg != b.neg { // zeros
		c = 1
		if a.neg {
			c = -1
		}
	}
	if c*sign <= 0 {
		return same(abits, flags)
	}
	return same(bbits, flags)
}

// class is FCLASS.
func (f refFormat) class(a refValue) outcome {
	bit := 0
	switch {
	case a.signaling:
		return same(1<<8, 0)
	case a.nan:
		return same(1<<9, 0)
	case a.inf:
		bit = 0
	case a.zero():
		bit = 3
	case a.mant.BitLen()+a.exp-1 < f.emin():
		bit = 2
	default:
		bit = 1
	}
	if !a.neg {
		bit = 7 - bit
	}
	return same(1<<bit, 0)
}
