package softfloat

import (
	"math"
	"testing"
)

// Edges computed by hand, or stated by the specification, so that the reference is not the only witness.

const (
	one64    = 0x3ff0_0000_0000_0000
	two64    = 0x4000_0000_0000_0000
	min64    = 0x0010_0000_0000_0000 // smallest normal
	max64    = 0x7fef_ffff_ffff_ffff // largest finite
	inf64    = 0x7ff0_0000_0000_0000
	sub64    = 1 // smallest subnormal
	snan64   = 0x7ff0_0000_0000_0001
	qnan64   = 0xfff8_dead_beef_0000 // quiet, with sign and payload that must not show
	ulp64    = 0x3cb0_0000_0000_0000 // 2^-52
	halfUlp  = 0x3ca0_0000_0000_0000 // 2^-53
	belowUlp = 0x3c90_0000_0000_0000 // 2^-54
)

func TestEdges64(t *testing.T) {
	add, sub, mul, div, fma, sqrt := binary(Add64), binary(Sub64), binary(Mul64), binary(Div64), ternary(FMA64), unary(Sqrt64)
	for _, c := range []struct {
		name  string
		op    func(x operands, rm Rounding, fl *Flags) uint64
		x     operands
		rm    Rounding
		want  uint64
		flags Flags
	}{
		{"a tie goes to even, down", add, operands{one64, halfUlp}, RNE, one64, NX},
		{"a tie goes to even, up", add, operands{one64 + 1, halfUlp}, RNE, one64 + 2, NX},
		{"a tie goes to the larger magnitude", add, operands{one64, halfUlp}, RMM, one64 + 1, NX},
		{"and so with a sign", add, operands{Sign64 | one64, Sign64 | halfUlp}, RMM, Sign64 | one64 + 1, NX},
		{"below a tie stays in RMM", add, operands{one64, belowUlp}, RMM, one64, NX},
		{"up", add, operands{one64, sub64}, RUP, one64 + 1, NX},
		{"up, negative", sub, operands{Sign64 | one64, sub64}, RUP, Sign64 | one64, NX},
		{"down, negative", sub, operands{Sign64 | one64, sub64}, RDN, Sign64 | one64 + 1, NX},
		{"towards zero past a binade", sub, operands{one64, sub64}, RTZ, one64 - 1, NX},
		{"an exact sum raises nothing", add, operands{one64, ulp64}, RTZ, one64 + 1, 0},
		{"x - x", sub, operands{one64, one64}, RNE, 0, 0},
		{"x - x, down", sub, operands{one64, one64}, RDN, Sign64, 0},
		{"-0 + -0", add, operands{Sign64, Sign64}, RNE, Sign64, 0},
		{"0 + -0", add, operands{0, Sign64}, RUP, 0, 0},
		{"0 + -0, down", add, operands{0, Sign64}, RDN, Sign64, 0},
		{"inf - inf", sub, operands{inf64, inf64}, RNE, NaN64, NV},
		{"inf + inf", add, operands{inf64, inf64}, RNE, inf64, 0},
		{"a quiet NaN becomes canonical", add, operands{qnan64, one64}, RNE, NaN64, 0},
		{"a signaling NaN signals", add, operands{one64, snan64}, RNE, NaN64, NV},
		{"sums of subnormals are exact", add, operands{sub64, sub64}, RNE, 2, 0},

		{"overflow", add, operands{max64, max64}, RNE, inf64, OF | NX},
		{"overflow, truncated", add, operands{max64, max64}, RTZ, max64, OF | NX},
		{"overflow, down", mul, operands{max64, two64}, RDN, max64, OF | NX},
		{"overflow, down, negative", mul, operands{max64, Sign64 | two64}, RDN, Sign64 | inf64, OF | NX},
		{"overflow, up, negative", mul, operands{max64, Sign64 | two64}, RUP, Sign64 | max64, OF | NX},
		{"just no overflow", add, operands{max64, 0x7c90_0000_0000_0000 - 1}, RNE, max64, NX}, // below 2^970, half an ulp
		{"overflow by a tie", add, operands{max64, 0x7c90_0000_0000_0000}, RNE, inf64, OF | NX},

		{"underflow to zero", mul, operands{sub64, sub64}, RNE, 0, UF | NX},
		{"underflow, up", mul, operands{sub64, sub64}, RUP, 1, UF | NX},
		{"underflow, negative, down", mul, operands{sub64, Sign64 | sub64}, RDN, Sign64 | 1, UF | NX},
		{"an exact subnormal does not underflow", mul, operands{min64, 0x3fe0_0000_0000_0000}, RNE, min64 / 2, 0},
		// (1-2^-53) * 2^-1022 ties between the largest subnormal and the smallest normal number; with an unbounded
		// exponent it is exact, so it is tiny.
		{"rounded up to normal, tiny", mul, operands{one64 - 1, min64}, RNE, min64, UF | NX},
		// 2^-1022 - 2^-1084 needs 62 bits: to 53 it is 2^-1022, not tiny, unless it is truncated.
		{"rounded up to normal, not tiny", fma, operands{sub64, Sign64 | 0x3f50_0000_0000_0000, min64}, RNE, min64, NX},
		{"truncated to subnormal, tiny", fma, operands{sub64, Sign64 | 0x3f50_0000_0000_0000, min64}, RTZ, min64 - 1, UF | NX},

		{"1/0", div, operands{one64, 0}, RNE, inf64, DZ},
		{"-1/0", div, operands{Sign64 | one64, 0}, RNE, Sign64 | inf64, DZ},
		{"0/0", div, operands{0, Sign64}, RNE, NaN64, NV},
		{"inf/inf", div, operands{inf64, inf64}, RNE, NaN64, NV},
		{"inf/0 is exact", div, operands{inf64, Sign64}, RNE, Sign64 | inf64, 0},
		{"1/inf", div, operands{one64, Sign64 | inf64}, RNE, Sign64, 0},
		{"1/3", div, operands{one64, 0x4008_0000_0000_0000}, RNE, 0x3fd5_5555_5555_5555, NX},
		{"1/3, up", div, operands{one64, 0x4008_0000_0000_0000}, RUP, 0x3fd5_5555_5555_5556, NX},
		{"0*inf", mul, operands{0, inf64}, RNE, NaN64, NV},

		{"sqrt 4", sqrt, operands{0x4010_0000_0000_0000}, RUP, two64, 0},
		{"sqrt 2", sqrt, operands{two64}, RNE, 0x3ff6_a09e_667f_3bcd, NX},
		{"sqrt 2, down", sqrt, operands{two64}, RDN, 0x3ff6_a09e_667f_3bcc, NX},
		{"sqrt of the smallest subnormal", sqrt, operands{sub64}, RNE, 0x1e60_0000_0000_0000, 0}, // 2^-537
		{"sqrt -0", sqrt, operands{Sign64}, RNE, Sign64, 0},
		{"sqrt -1", sqrt, operands{Sign64 | one64}, RNE, NaN64, NV},
		{"sqrt -inf", sqrt, operands{Sign64 | inf64}, RNE, NaN64, NV},
		{"sqrt inf", sqrt, operands{inf64}, RNE, inf64, 0},

		{"inf*0 + quiet NaN signals", fma, operands{inf64, 0, qnan64}, RNE, NaN64, NV},
		{"1*1 + quiet NaN does not", fma, operands{one64, one64, qnan64}, RNE, NaN64, 0},
		{"inf - inf in a sum of products", fma, operands{inf64, one64, Sign64 | inf64}, RNE, NaN64, NV},
		{"the product is not rounded", fma, operands{one64 + 1, one64 + 1, Sign64 | (one64 + 2)}, RNE, 0x3970_0000_0000_0000, 0}, // 2^-104
		{"a product that overflows and comes back", fma, operands{max64, two64, Sign64 | max64}, RNE, max64, 0},
		{"an exact zero", fma, operands{two64, two64, 0xc010_0000_0000_0000}, RNE, 0, 0},
		{"an exact zero, down", fma, operands{two64, two64, 0xc010_0000_0000_0000}, RDN, Sign64, 0},
		{"-0*1 + 0", fma, operands{Sign64, one64, 0}, RNE, 0, 0},
		{"-0*1 + -0", fma, operands{Sign64, one64, Sign64}, RNE, Sign64, 0},
		// (2^26+1)(2^52-2^26+1) = 2^78+1: with 2^131, whose ulp is 2^79, that is a tie but for the very last bit.
		{"the last bit of a product breaks a tie", fma, operands{0x4190_0000_0400_0000, 0x432f_ffff_f800_0002, 0x4820_0000_0000_0000}, RNE, 0x4820_0000_0000_0001, NX},
	} {
		var fl Flags
		if got := c.op(c.x, c.rm, &fl); got != c.want || fl != c.flags {
			t.Errorf("%s: got %#x, flags %05b; want %#x, flags %05b", c.name, got, fl, c.want, c.flags)
		}
	}
}

// Tininess is judged after rounding, in the few places where that differs from before ("F", fcsr).
func TestTininessAfterRounding(t *testing.T) {
	const min32, one32 = 0x0080_0000, 0x3f80_0000
	for _, c := range []struct {
		name  string
		a     uint64 // binary64, to be rounded to binary32
		rm    Rounding
		want  uint32
		flags Flags
	}{
		// 2^-126 * (1 - 2^-26): to 24 bits that is 2^-126.
		{"close enough to be normal", math.Float64bits(0x1p-126 * (1 - 0x1p-26)), RNE, min32, NX},
		// 2^-126 * (1 - 2^-25): to 24 bits a tie, and rounds to even, 2^-126.
		{"a tie that makes it normal", math.Float64bits(0x1p-126 * (1 - 0x1p-25)), RNE, min32, NX},
		// 2^-126 * (1 - 2^-24): 24 bits hold it, 23 do not: tiny, though it becomes normal.
		{"a tie that comes too late", math.Float64bits(0x1p-126 * (1 - 0x1p-24)), RNE, min32, UF | NX},
		{"a directed mode carries", math.Float64bits(0x1p-126 * (1 - 0x1p-26)), RUP, min32, NX},
		{"a directed mode carries too late", math.Float64bits(0x1p-126 * (1 - 0x1p-24)), RUP, min32, UF | NX},
		{"truncation never carries", math.Float64bits(0x1p-126 * (1 - 0x1p-26)), RTZ, min32 - 1, UF | NX},
		{"exact", math.Float64bits(0x1p-127), RNE, min32 / 2, 0},
	} {
		var fl Flags
		if got := F64ToF32(c.a, c.rm, &fl); got != c.want || fl != c.flags {
			t.Errorf("%s: got %#x, flags %05b; want %#x, flags %05b", c.name, got, fl, c.want, c.flags)
		}
	}
	// The host's answer may not hide an underflow that it rounded away: one ulp below one, times 2^-126, ties to 2^-126.
	fl := NX
	if got := Mul32(one32-1, min32, RNE, &fl); got != min32 || fl != NX|UF {
		t.Errorf("with NX set: got %#x, flags %05b", got, fl)
	}
}

// Results of conversions to integers: the table "Domains of float-to-integer conversions and behavior for invalid inputs" ("F").
func TestConversionsToIntegers(t *testing.T) {
	f := math.Float64bits
	inf := math.Inf(1)
	for _, c := range []struct {
		a   float64
		rm  Rounding
		i32 int32
		u32 uint32
		i64 int64
		u64 uint64

		i32Flags, u32Flags, i64Flags, u64Flags Flags
	}{
		{inf, RNE, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, NV, NV, NV, NV},
		{-inf, RNE, math.MinInt32, 0, math.MinInt64, 0, NV, NV, NV, NV},
		{math.NaN(), RNE, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, NV, NV, NV, NV},
		{-0.75, RTZ, 0, 0, 0, 0, NX, NX, NX, NX},
		{-0.75, RNE, -1, 0, -1, 0, NX, NV, NX, NV},
		{-0.5, RNE, 0, 0, 0, 0, NX, NX, NX, NX},
		{-0.5, RMM, -1, 0, -1, 0, NX, NV, NX, NV},
		{2.5, RNE, 2, 2, 2, 2, NX, NX, NX, NX},
		{2.5, RMM, 3, 3, 3, 3, NX, NX, NX, NX},
		{-1, RNE, -1, 0, -1, 0, 0, NV, 0, NV},
		{math.Copysign(0, -1), RDN, 0, 0, 0, 0, 0, 0, 0, 0},
		{2147483647.5, RTZ, math.MaxInt32, 2147483647, 2147483647, 2147483647, NX, NX, NX, NX},
		{2147483647.5, RNE, math.MaxInt32, 2147483648, 2147483648, 2147483648, NV, NX, NX, NX},
		{-2147483648.5, RNE, math.MinInt32, 0, -2147483648, 0, NX, NV, NX, NV},
		{-2147483648.5, RDN, math.MinInt32, 0, -2147483649, 0, NV, NV, NX, NV},
		{4294967295.5, RTZ, math.MaxInt32, math.MaxUint32, 4294967295, 4294967295, NV, NX, NX, NX},
		{0x1p63, RNE, math.MaxInt32, math.MaxUint32, math.MaxInt64, 1 << 63, NV, NV, NV, 0},
		{-0x1p63, RNE, math.MinInt32, 0, math.MinInt64, 0, NV, NV, 0, NV},
		{0x1p64, RNE, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64, NV, NV, NV, NV},
	} {
		var fl Flags
		if got := F64ToI32(f(c.a), c.rm, &fl); got != c.i32 || fl != c.i32Flags {
			t.Errorf("W of %v, mode %d: %d, flags %05b", c.a, c.rm, got, fl)
		}
		fl = 0
		if got := F64ToU32(f(c.a), c.rm, &fl); got != c.u32 || fl != c.u32Flags {
			t.Errorf("WU of %v, mode %d: %d, flags %05b", c.a, c.rm, got, fl)
		}
		fl = 0
		if got := F64ToI64(f(c.a), c.rm, &fl); got != c.i64 || fl != c.i64Flags {
			t.Errorf("L of %v, mode %d: %d, flags %05b", c.a, c.rm, got, fl)
		}
		fl = 0
		if got := F64ToU64(f(c.a), c.rm, &fl); got != c.u64 || fl != c.u64Flags {
			t.Errorf("LU of %v, mode %d: %d, flags %05b", c.a, c.rm, got, fl)
		}
	}
}

func TestModularConversion(t *testing.T) {
	for _, c := range []struct {
		a     float64
		want  int32
		flags Flags
	}{
		{1.5, 1, NX}, {-1.5, -1, NX}, {-0.5, 0, NX}, {0x1p31, math.MinInt32, NV}, {0x1p32 + 5, 5, NV}, {-0x1p32 - 5.5, -5, NV},
		{0x1p83 + 0x1p31, math.MinInt32, NV}, // the lowest bit that a number of this size has
		{0x1p84, 0, NV}, {math.Inf(-1), 0, NV}, {math.NaN(), 0, NV}, {-0x1p31, math.MinInt32, 0},
	} {
		var fl Flags
		if got := CvtModW64(math.Float64bits(c.a), &fl); got != c.want || fl != c.flags {
			t.Errorf("%v: %d, flags %05b; want %d, flags %05b", c.a, got, fl, c.want, c.flags)
		}
	}
}

// Minimum and maximum, by the rules of "F" and "Zfa".
func TestMinMaxEdges(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    func(a, b uint64, fl *Flags) uint64
		a, b  uint64
		want  uint64
		flags Flags
	}{
		{"min of zeros", Min64, 0, Sign64, Sign64, 0},
		{"min of zeros, swapped", Min64, Sign64, 0, Sign64, 0},
		{"max of zeros", Max64, Sign64, 0, 0, 0},
		{"min, NaN loses", Min64, qnan64, one64, one64, 0},
		{"max, NaN loses", Max64, one64, qnan64, one64, 0},
		{"min, signaling NaN loses and signals", Min64, snan64, one64, one64, NV},
		{"min of NaNs", Min64, qnan64, qnan64, NaN64, 0},
		{"minm, NaN wins", MinM64, qnan64, one64, NaN64, 0},
		{"maxm, signaling NaN wins and signals", MaxM64, one64, snan64, NaN64, NV},
		{"minm of zeros", MinM64, 0, Sign64, Sign64, 0},
		{"min of negatives", Min64, Sign64 | one64, Sign64 | two64, Sign64 | two64, 0},
		{"max with infinity", Max64, Sign64 | inf64, Sign64 | max64, Sign64 | max64, 0},
	} {
		var fl Flags
		if got := c.op(c.a, c.b, &fl); got != c.want || fl != c.flags {
			t.Errorf("%s: got %#x, flags %05b; want %#x, flags %05b", c.name, got, fl, c.want, c.flags)
		}
	}
}

func TestFliConstants(t *testing.T) {
	// Sign and exponent fields and the two upper fraction bits, as the specification prints them for FLI.S.
	for i, want := range [32]uint32{
		0xbf800000, 0x00800000, 0x37800000, 0x38000000, 0x3b800000, 0x3c000000, 0x3d800000, 0x3e000000,
		0x3e800000, 0x3ea00000, 0x3ec00000, 0x3ee00000, 0x3f000000, 0x3f200000, 0x3f400000, 0x3f600000,
		0x3f800000, 0x3fa00000, 0x3fc00000, 0x3fe00000, 0x40000000, 0x40200000, 0x40400000, 0x40800000,
		0x41000000, 0x41800000, 0x43000000, 0x43800000, 0x47000000, 0x47800000, 0x7f800000, 0x7fc00000,
	} {
		if got := Fli32(uint8(i)); got != want {
			t.Errorf("FLI.S %d: %#x, want %#x", i, got, want)
		}
		// The others differ in entry 1, and FLI.H in what binary16 cannot hold.
		var fl Flags
		want16, want64 := F32ToF16(want, RNE, &fl), F32ToF64(want, RNE, &fl)
		if i == 1 {
			want16, want64 = 0x0400, min64
		}
		if got := Fli16(uint8(i)); got != want16 {
			t.Errorf("FLI.H %d: %#x, want %#x", i, got, want16)
		}
		if got := Fli64(uint8(i)); got != want64 {
			t.Errorf("FLI.D %d: %#x, want %#x", i, got, want64)
		}
	}
	for i, want := range map[uint8]uint16{2: 0x0100, 3: 0x0200, 28: 0x7800, 29: 0x7c00, 30: 0x7c00, 31: NaN16} {
		if got := Fli16(i); got != want {
			t.Errorf("FLI.H %d: %#x, want %#x", i, got, want)
		}
	}
}

func TestNaNBoxing(t *testing.T) {
	if got := Unbox32(Box32(0x3f80_0000)); got != 0x3f80_0000 {
		t.Errorf("binary32 comes back as %#x", got)
	}
	if got := Unbox16(Box16(0x3c00)); got != 0x3c00 {
		t.Errorf("binary16 comes back as %#x", got)
	}
	for _, f := range []uint64{0, one64, 0xffff_fffe_3f80_0000, 0x7fff_ffff_3f80_0000} {
		if got := Unbox32(f); got != NaN32 {
			t.Errorf("Unbox32(%#x) = %#x", f, got)
		}
		if got := Unbox16(f | 0x3c00); got != NaN16 {
			t.Errorf("Unbox16(%#x) = %#x", f|0x3c00, got)
		}
	}
}

func TestRoundingValid(t *testing.T) {
	for rm := Rounding(0); rm < 8; rm++ {
		if got := rm.Valid(); got != (rm < 5) {
			t.Errorf("mode %d: %t", rm, got)
		}
	}
}
