package softfloat

import "testing"

// Operands for benchmarks: results that are inexact and in range, of both signs, unpredictable to the branch predictor.
const benchOperands = 1024

func benchValues(f refFormat) (v [benchOperands]uint64) {
	s := newSampler(10)
	for i := range v {
		exp := f.emax + s.IntN(8) - 4
		v[i] = s.Uint64()&(f.signBit()|1<<(f.p-1)-1) | uint64(exp)<<(f.p-1)
	}
	return v
}

// The flag set before says whether the host may answer; see host.go.
func benchmarkBinary[T raw](b *testing.B, f refFormat, op func(a, b T, rm Rounding, fl *Flags) T, before Flags) {
	v := benchValues(f)
	b.ReportAllocs()
	var fl Flags // escapes through the function value, once
	var sum T
	for i := 0; b.Loop(); i++ {
		fl = before
		sum ^= op(T(v[i%benchOperands]), T(v[(i+1)%benchOperands]), RNE, &fl)
	}
	_ = sum
}

func benchmarkUnary[T raw, R integer](b *testing.B, f refFormat, op func(a T, rm Rounding, fl *Flags) R, rm Rounding, before Flags) {
	v := benchValues(f)
	b.ReportAllocs()
	var fl Flags
	var sum R
	for i := 0; b.Loop(); i++ {
		fl = before
		sum ^= op(T(v[i%benchOperands]&^f.signBit()), rm, &fl)
	}
	_ = sum
}

func benchmarkFMA[T raw](b *testing.B, f refFormat, op func(a, b, c T, rm Rounding, fl *Flags) T, before Flags) {
	v := benchValues(f)
	b.ReportAllocs()
	var fl Flags // escapes through the function value, once
	var sum T
	for i := 0; b.Loop(); i++ {
		fl = before
		sum ^= op(T(v[i%benchOperands]), T(v[(i+1)%benchOperands]), T(v[(i+2)%benchOperands]), RNE, &fl)
	}
	_ = sum
}

func BenchmarkArithmetic(b *testing.B) {
	for _, c := range []struct {
		name   string
		before Flags
	}{{"exact", 0}, {"host", NX}} {
		b.Run("Add64/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref64, Add64, c.before) })
		b.Run("Mul64/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref64, Mul64, c.before) })
		b.Run("Div64/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref64, Div64, c.before) })
		b.Run("Sqrt64/"+c.name, func(b *testing.B) { benchmarkUnary(b, ref64, Sqrt64, RNE, c.before) })
		b.Run("FMA64/"+c.name, func(b *testing.B) { benchmarkFMA(b, ref64, FMA64, c.before) })
		b.Run("Add32/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref32, Add32, c.before) })
		b.Run("Mul32/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref32, Mul32, c.before) })
		b.Run("Div32/"+c.name, func(b *testing.B) { benchmarkBinary(b, ref32, Div32, c.before) })
		b.Run("Sqrt32/"+c.name, func(b *testing.B) { benchmarkUnary(b, ref32, Sqrt32, RNE, c.before) })
		b.Run("FMA32/"+c.name, func(b *testing.B) { benchmarkFMA(b, ref32, FMA32, c.before) })
	}
	b.Run("Add16", func(b *testing.B) { benchmarkBinary(b, ref16, Add16, 0) })
	b.Run("Mul16", func(b *testing.B) { benchmarkBinary(b, ref16, Mul16, 0) })
}

func BenchmarkConversion(b *testing.B) {
	b.Run("F32ToF64", func(b *testing.B) { benchmarkUnary(b, ref32, F32ToF64, RNE, NX) })
	b.Run("F64ToF32", func(b *testing.B) { benchmarkUnary(b, ref64, F64ToF32, RNE, NX) })
	b.Run("F64ToI32", func(b *testing.B) { benchmarkUnary(b, ref64, F64ToI32, RTZ, NX) })
	b.Run("F64ToI64", func(b *testing.B) { benchmarkUnary(b, ref64, F64ToI64, RTZ, NX) })
	b.Run("U64ToF64", func(b *testing.B) { benchmarkUnary(b, ref64, U64ToF64, RNE, NX) })
	b.Run("RoundInt64", func(b *testing.B) {
		round := func(a uint64, rm Rounding, fl *Flags) uint64 { return RoundInt64(a, rm, false, fl) }
		benchmarkUnary(b, ref64, round, RNE, NX)
	})
}

func BenchmarkComparison(b *testing.B) {
	b.Run("Lt64", func(b *testing.B) {
		op := func(x, y uint64, _ Rounding, fl *Flags) uint64 { return b2u(Lt64(x, y, fl)) }
		benchmarkBinary(b, ref64, op, 0)
	})
	b.Run("Min64", func(b *testing.B) {
		op := func(x, y uint64, _ Rounding, fl *Flags) uint64 { return Min64(x, y, fl) }
		benchmarkBinary(b, ref64, op, 0)
	})
}
