package softfloat

import (
	"math"
	"testing"
)

// The exact routines against the host's arithmetic, which is round-to-nearest-even: values only, for its flags are out of
// reach. The routines are called below the exported functions, which might ask the host themselves.
func TestExactRoutinesEqualHost(t *testing.T) {
	n := 5 * rounds(t)
	s := newSampler(11)
	equal := func(name string, got, want, nan uint64, isNaN bool, x ...uint64) {
		t.Helper()
		if isNaN {
			want = nan
		}
		if got != want {
			t.Fatalf("%s(%#x) = %#x, host %#x", name, x, got, want)
		}
	}
	three := operation{in: ref64, arity: 3}
	for range n {
		x := s.operands(three)
		a, b, c := f64(x[0]), f64(x[1]), f64(x[2])
		for _, r := range []struct {
			name string
			got  func(fl *Flags) uint64
			want float64
		}{
			{"add", func(fl *Flags) uint64 { return add(x[0], x[1], RNE, fl) }, a + b},
			{"sub", func(fl *Flags) uint64 { return sub(x[0], x[1], RNE, fl) }, a - b},
			{"mul", func(fl *Flags) uint64 { return mul(x[0], x[1], RNE, fl) }, a * b},
			{"div", func(fl *Flags) uint64 { return div(x[0], x[1], RNE, fl) }, a / b},
			{"sqrt", func(fl *Flags) uint64 { return sqrt(x[0], RNE, fl) }, math.Sqrt(a)},
			{"fma", func(fl *Flags) uint64 { return fma(x[0], x[1], x[2], RNE, fl) }, math.FMA(a, b, c)},
			{"roundInt", func(fl *Flags) uint64 { return roundInt(x[0], RNE, false, fl) }, math.RoundToEven(a)},
			{"roundInt down", func(fl *Flags) uint64 { return roundInt(x[0], RDN, false, fl) }, math.Floor(a)},
		} {
			var fl Flags
			equal(r.name, r.got(&fl), math.Float64bits(r.want), NaN64, math.IsNaN(r.want), x[:]...)
		}
		var fl Flags
		narrow := float32(a)
		equal("convert", uint64(convert[uint32](x[0], RNE, &fl)), uint64(math.Float32bits(narrow)), uint64(NaN32), narrow != narrow, x[0])
		v := int64(s.integer(64))
		equal("fromSigned", fromSigned[uint64](v, RNE, &fl), math.Float64bits(float64(v)), NaN64, false, uint64(v))
	}
	three.in = ref32
	for range n {
		x := s.operands(three)
		p, q := uint32(x[0]), uint32(x[1])
		a, b := f32(p), f32(q)
		for _, r := range []struct {
			name string
			got  func(fl *Flags) uint32
			want float32
		}{
			{"add", func(fl *Flags) uint32 { return add(p, q, RNE, fl) }, a + b},
			{"sub", func(fl *Flags) uint32 { return sub(p, q, RNE, fl) }, a - b},
			{"mul", func(fl *Flags) uint32 { return mul(p, q, RNE, fl) }, a * b},
			{"div", func(fl *Flags) uint32 { return div(p, q, RNE, fl) }, a / b},
			{"sqrt", func(fl *Flags) uint32 { return sqrt(p, RNE, fl) }, float32(math.Sqrt(float64(a)))},
		} {
			var fl Flags
			equal(r.name, uint64(r.got(&fl)), uint64(math.Float32bits(r.want)), uint64(NaN32), r.want != r.want, x[0], x[1])
		}
	}
}

// What the host answers must be what the exact routine answers, flags included.
func TestHostPathEqualsExactRoutine(t *testing.T) {
	n := 5 * rounds(t)
	s := newSampler(12)
	for range n {
		x := s.operands(operation{in: ref32, arity: 3})
		a, b, c := uint32(x[0]), uint32(x[1]), uint32(x[2])
		got, want := NX, NX
		if g, w := FMA32(a, b, c, RNE, &got), fma(a, b, c, RNE, &want); g != w || got != want {
			t.Fatalf("FMA32(%#x, %#x, %#x) = %#x, flags %05b; exactly %#x, flags %05b", a, b, c, g, got, w, want)
		}
		x = s.operands(operation{in: ref64, arity: 3})
		got, want = NX, NX
		if g, w := FMA64(x[0], x[1], x[2], RNE, &got), fma(x[0], x[1], x[2], RNE, &want); g != w || got != want {
			t.Fatalf("FMA64(%#x) = %#x, flags %05b; exactly %#x, flags %05b", x, g, got, w, want)
		}
	}
}
