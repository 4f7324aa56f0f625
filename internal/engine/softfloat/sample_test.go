package softfloat

import (
	"math/bits"
	"math/rand/v2"
)

// Operands that find bugs: uniformly random patterns hardly ever meet a tie, a subnormal, a cancellation or an edge of the
// range, so these are made to.

type sampler struct{ *rand.Rand }

func newSampler(seed uint64) sampler { return sampler{rand.New(rand.NewPCG(seed, 1))} }

// landmarks are the magnitudes at which something changes.
func (f refFormat) landmarks() []uint64 {
	one := uint64(f.emax) << (f.p - 1)
	unit := uint64(1) << (f.p - 1) // also the smallest normal number
	inf := f.infinity()
	marks := []uint64{0, 1, 2, 3, unit - 1, unit, unit + 1, unit * 2, one - 1, one, one + 1, one - unit, one - unit + 1,
		one + unit, one + unit/2, inf - 1, inf - unit, inf, f.nan(), f.nan() + 1, inf + 1, inf + unit/4}
	for _, width := range []uint64{31, 32, 63, 64} {
		if edge := one + width*unit; edge < inf {
			marks = append(marks, edge-1, edge, edge+1)
		}
	}
	return marks
}

// significand is a fraction field with structure: few bits, runs of ones, or anything.
func (s sampler) significand(f refFormat) uint64 {
	mask := uint64(1)<<(f.p-1) - 1
	switch s.IntN(6) {
	case 0:
		return 0
	case 1:
		return mask
	case 2:
		return 1 << s.IntN(f.p-1) & mask
	case 3:
		hi, lo := s.IntN(f.p), s.IntN(f.p)
		return (1<<hi - 1<<lo) & mask
	case 4:
		return mask << s.IntN(f.p) & mask &^ uint64(s.IntN(4))
	}
	return s.Uint64() & mask
}

// one is one operand.
func (s sampler) one(f refFormat) uint64 {
	marks := f.landmarks()
	sign := s.Uint64() & f.signBit()
	switch s.IntN(8) {
	case 0:
		return sign | marks[s.IntN(len(marks))]
	case 1: // subnormal
		return sign | s.significand(f)
	case 2: // near the top
		return sign | f.infinity() - uint64(1+s.IntN(3))<<(f.p-1) + s.significand(f)
	case 3, 4: // of modest size: integers and fractions meet here
		return sign | uint64(f.emax+s.IntN(min(140, f.emax))-min(70, f.emax)/2)<<(f.p-1) | s.significand(f)
	case 5:
		return s.Uint64() & f.mask()
	}
	return sign | uint64(s.IntN(2*f.emax+1))<<(f.p-1) | s.significand(f)
}

// related is an operand for a partner whose exponent, or the sum or difference of both, matters.
func (s sampler) related(f refFormat, a uint64) uint64 {
	field := int(a >> (f.p - 1) & uint64(2*f.emax+1))
	sign := s.Uint64() & f.signBit()
	switch s.IntN(6) {
	case 0: // neighbours, for cancellation
		return (a ^ sign) + uint64(s.IntN(7)) - 3&f.mask()
	case 1: // near in exponent, for alignment
		field += s.IntN(2*f.p+8) - f.p - 4
	case 2: // product near the bottom
		field = 2*f.emax - field - f.emax - s.IntN(f.p+6) + 3
	case 3: // product near the top
		field = 3*f.emax - field + s.IntN(5) - 2
	case 4: // quotient near either end
		field += (1 - 2*s.IntN(2)) * (f.emax + s.IntN(f.p+4) - 2)
	default:
		return s.one(f)
	}
	return sign | uint64(min(max(field, 0), 2*f.emax))<<(f.p-1) | s.significand(f)
}

// operands are those for one run of an operation.
func (s sampler) operands(op operation) (x operands) {
	if op.ints {
		return operands{s.integer(op.in.width)}
	}
	f := op.in
	x[0] = s.one(f)
	if op.arity > 1 {
		x[1] = s.related(f, x[0])
		if s.IntN(2) == 0 {
			x[0], x[1] = x[1], x[0]
		}
	}
	if op.arity > 2 {
		x[2] = s.one(f)
		if s.IntN(4) != 0 {
			// The addend follows the product, mostly with the sign that cancels.
			product := f.mul(f.decode(x[0]), f.decode(x[1]))[RTZ].bits
			x[2] = s.related(f, product)
			if s.IntN(2) == 0 {
				x[2] = x[2]&^f.signBit() | product&f.signBit() ^ f.signBit()
			}
		}
	}
	return x
}

// integer is an integer of a width: of any length, with a tail that rounding looks at.
func (s sampler) integer(width int) uint64 {
	v := s.Uint64() >> s.IntN(64)
	switch n := bits.Len64(v); s.IntN(4) {
	case 0:
		v &= ^uint64(0) << s.IntN(64)
	case 1:
		v |= 1<<s.IntN(n+1) - 1
	case 2:
		v = 1<<s.IntN(64) + uint64(s.IntN(3)) - 1
	}
	if s.IntN(2) == 0 {
		v = -v
	}
	return v & (^uint64(0) >> (64 - width))
}
