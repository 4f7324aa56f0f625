package difftest

// The values programs start from: edges more often than not.

import "math"

// integer is a value of interest to integer instructions.
func (g *generator) integer() uint64 {
	edges := [...]uint64{
		0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 32,
		math.MaxInt64, 1 << 63, math.MaxUint64, math.MaxUint64 - 1, 0xffff_ffff_8000_0000, 0xffff_ffff_7fff_ffff,
		0x5555_5555_5555_5555, 0x0102_0304_0506_0708, 0x8000_0000_0000_0001, 0x00ff_0000_ff00_0100,
	}
	switch g.rand.IntN(4) {
	case 0:
		return edges[g.rand.IntN(len(edges))]
	case 1:
		return g.rand.Uint64()
	case 2:
		return g.rand.Uint64() >> g.rand.IntN(64)
	}
	return uint64(int64(g.rand.Uint64()) >> g.rand.IntN(64))
}

// float is what an f register may hold: a double, a boxed single or half, or a badly boxed one.
func (g *generator) float() uint64 {
	switch g.rand.IntN(8) {
	case 0, 1, 2:
		return g.pattern(52, 11)
	case 3, 4, 5:
		return 0xffff_ffff_0000_0000 | g.pattern(23, 8)
	case 6:
		return 0xffff_ffff_ffff_0000 | g.pattern(10, 5)
	}
	return g.rand.Uint64()
}

// pattern is a number in the format with these field widths. Exponents gather where two operands meet: about 1, and at the
// ends of the range.
func (g *generator) pattern(frac, exp int) uint64 {
	most := uint64(1)<<exp - 1
	var e uint64
	switch g.rand.IntN(8) {
	case 0:
		e = 0
	case 1:
		e = most
	case 2:
		e = uint64(g.rand.IntN(3))
	case 3:
		e = most - uint64(g.rand.IntN(3))
	case 4:
		e = g.rand.Uint64() & most
	default:
		e = most/2 - uint64(frac) - 4 + g.rand.Uint64N(2*uint64(frac)+8)&most
	}
	var f uint64
	switch g.rand.IntN(4) {
	case 0:
		f = 0
	case 1:
		f = 1 << g.rand.IntN(frac)
	case 2:
		f = 1<<frac - 1 - uint64(g.rand.IntN(3))
	default:
		f = g.rand.Uint64()
	}
	return uint64(g.rand.IntN(2))<<(frac+exp) | (e&most)<<frac | f&(1<<frac-1)
}
