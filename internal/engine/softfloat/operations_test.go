package softfloat

import (
	"fmt"
	"math/big"
)

// operands are the bit patterns of up to three operands, each at the bottom of its word.
type operands [3]uint64

// operation is one exported function with its reference, in a form that tests, the fuzzer and benchmarks share.
type operation struct {
	name  string
	in    refFormat // for integer operands, only its width counts
	arity int
	exact bool // what it delivers does not depend on the rounding mode
	ints  bool // operands are integers
	got   func(x operands, rm Rounding, fl *Flags) uint64
	want  func(x operands) outcome
}

func unary[T, R integer](f func(T, Rounding, *Flags) R) func(operands, Rounding, *Flags) uint64 {
	return func(x operands, rm Rounding, fl *Flags) uint64 { return uint64(f(T(x[0]), rm, fl)) }
}

func binary[T raw](f func(a, b T, rm Rounding, fl *Flags) T) func(operands, Rounding, *Flags) uint64 {
	return func(x operands, rm Rounding, fl *Flags) uint64 { return uint64(f(T(x[0]), T(x[1]), rm, fl)) }
}

func ternary[T raw](f func(a, b, c T, rm Rounding, fl *Flags) T) func(operands, Rounding, *Flags) uint64 {
	return func(x operands, rm Rounding, fl *Flags) uint64 {
		return uint64(f(T(x[0]), T(x[1]), T(x[2]), rm, fl))
	}
}

func modeless[T raw](f func(a, b T, fl *Flags) T) func(operands, Rounding, *Flags) uint64 {
	return func(x operands, _ Rounding, fl *Flags) uint64 { return uint64(f(T(x[0]), T(x[1]), fl)) }
}

func predicate[T raw](f func(a, b T, fl *Flags) bool) func(operands, Rounding, *Flags) uint64 {
	return func(x operands, _ Rounding, fl *Flags) uint64 { return b2u(f(T(x[0]), T(x[1]), fl)) }
}

type integer interface {
	raw | int32 | int64
}

// float is the exported set of one format.
type float[T raw] struct {
	ref                  refFormat
	add, sub, mul, div   func(a, b T, rm Rounding, fl *Flags) T
	fma                  func(a, b, c T, rm Rounding, fl *Flags) T
	sqrt                 func(a T, rm Rounding, fl *Flags) T
	roundInt             func(a T, rm Rounding, exact bool, fl *Flags) T
	min, max, minM, maxM func(a, b T, fl *Flags) T
	eq, lt, le, ltQ, leQ func(a, b T, fl *Flags) bool
	class                func(a T) uint64
	toI32                func(a T, rm Rounding, fl *Flags) int32
	toU32                func(a T, rm Rounding, fl *Flags) uint32
	toI64                func(a T, rm Rounding, fl *Flags) int64
	toU64                func(a T, rm Rounding, fl *Flags) uint64
	fromI32              func(v int32, rm Rounding, fl *Flags) T
	fromU32              func(v uint32, rm Rounding, fl *Flags) T
	fromI64              func(v int64, rm Rounding, fl *Flags) T
	fromU64              func(v uint64, rm Rounding, fl *Flags) T
}

func (s float[T]) operations() []operation {
	f := s.ref
	var ops []operation
	def := func(name string, arity int, got func(operands, Rounding, *Flags) uint64, want func(x [3]refValue) outcome) *operation {
		ops = append(ops, operation{name: name + f.name, in: f, arity: arity, got: got, want: func(x operands) outcome {
			var v [3]refValue
			for i := range arity {
				v[i] = f.decode(x[i])
			}
			return want(v)
		}})
		return &ops[len(ops)-1]
	}
	def("Add", 2, binary(s.add), func(x [3]refValue) outcome { return f.add(x[0], x[1]) })
	def("Sub", 2, binary(s.sub), func(x [3]refValue) outcome { return f.sub(x[0], x[1]) })
	def("Mul", 2, binary(s.mul), func(x [3]refValue) outcome { return f.mul(x[0], x[1]) })
	def("Div", 2, binary(s.div), func(x [3]refValue) outcome { return f.div(x[0], x[1]) })
	def("FMA", 3, ternary(s.fma), func(x [3]refValue) outcome { return f.fma(x[0], x[1], x[2]) })
	def("Sqrt", 1, unary(s.sqrt), func(x [3]refValue) outcome { return f.sqrt(x[0]) })
	for _, exact := range []bool{false, true} {
		def(fmt.Sprintf("RoundInt(%t)", exact), 1,
			func(x operands, rm Rounding, fl *Flags) uint64 { return uint64(s.roundInt(T(x[0]), rm, exact, fl)) },
			func(x [3]refValue) outcome { return f.roundInt(x[0], exact) })
	}
	for _, e := range []struct {
		name   string
		f      func(a, b T, fl *Flags) T
		sign   int
		sticky bool
	}{{"Min", s.min, 1, false}, {"Max", s.max, -1, false}, {"MinM", s.minM, 1, true}, {"MaxM", s.maxM, -1, true}} {
		ops = append(ops, operation{name: e.name + f.name, in: f, arity: 2, exact: true, got: modeless(e.f),
			want: func(x operands) outcome { return f.extreme(x[0], x[1], e.sign, e.sticky) }})
	}
	equal := func(c int) bool { return c == 0 }
	less := func(c int) bool { return c < 0 }
	lessEqual := func(c int) bool { return c <= 0 }
	for _, c := range []struct {
		name    string
		f       func(a, b T, fl *Flags) bool
		signals bool
		holds   func(int) bool
	}{{"Eq", s.eq, false, equal}, {"Lt", s.lt, true, less}, {"Le", s.le, true, lessEqual}, {"LtQ", s.ltQ, false, less}, {"LeQ", s.leQ, false, lessEqual}} {
		def(c.name, 2, predicate(c.f), func(x [3]refValue) outcome {
			return refComparison(x[0], x[1], c.signals, c.holds)
		}).exact = true
	}
	def("Class", 1, func(x operands, _ Rounding, _ *Flags) uint64 { return s.class(T(x[0])) },
		func(x [3]refValue) outcome { return f.class(x[0]) }).exact = true

	for _, i := range []struct {
		name     string
		bits     uint
		signed   bool
		to, from func(operands, Rounding, *Flags) uint64
	}{
		{"I32", 32, true, unary(s.toI32), unary(s.fromI32)},
		{"U32", 32, false, unary(s.toU32), unary(s.fromU32)},
		{"I64", 64, true, unary(s.toI64), unary(s.fromI64)},
		{"U64", 64, false, unary(s.toU64), unary(s.fromU64)},
	} {
		lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), i.bits)
		if i.signed {
			hi.Rsh(hi, 1)
			lo.Neg(hi)
		}
		hi.Sub(hi, big.NewInt(1))
		def("To"+i.name+"/F", 1, i.to, func(x [3]refValue) outcome { return refToInteger(x[0], lo, hi) })
		ops = append(ops, operation{name: i.name + "ToF" + f.name, in: refFormat{width: int(i.bits)}, arity: 1, ints: true, got: i.from,
			want: func(x operands) outcome {
				v := new(big.Int).SetUint64(x[0])
				if v.Cmp(hi) > 0 {
					v.Sub(v, new(big.Int).Lsh(big.NewInt(1), i.bits))
				}
				return f.fromInteger(v)
			}})
	}
	return ops
}

func conversion(to, from refFormat, got func(operands, Rounding, *Flags) uint64) operation {
	return operation{name: "F" + from.name + "ToF" + to.name, in: from, arity: 1, got: got,
		want: func(x operands) outcome { return to.convert(from.decode(x[0])) }}
}

// operations is everything that is exported.
var operations = func() (ops []operation) {
	ops = append(ops, float[uint16]{ref16, Add16, Sub16, Mul16, Div16, FMA16, Sqrt16, RoundInt16, Min16, Max16, MinM16, MaxM16,
		Eq16, Lt16, Le16, LtQ16, LeQ16, Class16, F16ToI32, F16ToU32, F16ToI64, F16ToU64, I32ToF16, U32ToF16, I64ToF16, U64ToF16}.operations()...)
	ops = append(ops, float[uint32]{ref32, Add32, Sub32, Mul32, Div32, FMA32, Sqrt32, RoundInt32, Min32, Max32, MinM32, MaxM32,
		Eq32, Lt32, Le32, LtQ32, LeQ32, Class32, F32ToI32, F32ToU32, F32ToI64, F32ToU64, I32ToF32, U32ToF32, I64ToF32, U64ToF32}.operations()...)
	ops = append(ops, float[uint64]{ref64, Add64, Sub64, Mul64, Div64, FMA64, Sqrt64, RoundInt64, Min64, Max64, MinM64, MaxM64,
		Eq64, Lt64, Le64, LtQ64, LeQ64, Class64, F64ToI32, F64ToU32, F64ToI64, F64ToU64, I32ToF64, U32ToF64, I64ToF64, U64ToF64}.operations()...)
	ops = append(ops,
		conversion(ref32, ref16, unary(F16ToF32)), conversion(ref64, ref16, unary(F16ToF64)),
		conversion(ref16, ref32, unary(F32ToF16)), conversion(ref64, ref32, unary(F32ToF64)),
		conversion(ref16, ref64, unary(F64ToF16)), conversion(ref32, ref64, unary(F64ToF32)),
		operation{name: "CvtModW64", in: ref64, arity: 1, exact: true,
			got:  func(x operands, _ Rounding, fl *Flags) uint64 { return uint64(CvtModW64(x[0], fl)) },
			want: func(x operands) outcome { return refModular(ref64.decode(x[0])) }})
	return ops
}()

// verdict runs an operation in every mode, from each of several initial flags, and describes the first deviation.
func (op operation) verdict(x operands) string {
	want := op.want(x)
	for rm := RNE; rm <= RMM; rm++ {
		for _, before := range []Flags{0, NX, NV | DZ} {
			fl := before
			got := op.got(x, rm, &fl)
			if w := want[rm]; got != w.bits || fl != before|w.flags {
				return fmt.Sprintf("%s(%#x), mode %d, flags before %05b: got %#x, flags %05b; want %#x, flags %05b",
					op.name, x[:op.arity], rm, before, got, fl, w.bits, before|w.flags)
			}
		}
		if op.exact {
			break
		}
	}
	return ""
}
