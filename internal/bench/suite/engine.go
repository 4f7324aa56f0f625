package suite

// engine/*: guest instructions in a second, of programs of one kind each, in every tier alone and in all together.

import (
	"math"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// The numbers that programs mix with: digits of pi and of e, so that no bit stands still.
const (
	seed = 0x243f6a8885a308d3
	step = 0x2b7e151628aed2a7
)

// A generator of random numbers modulo 2^64, with the full period. Its upper bits are the good ones.
const (
	randomMul = step&^7 | 5
	randomAdd = seed | 1
)

func engineGroup() []bench.Benchmark {
	const same = "; the result is computed again in Go"
	return guests([]guest{
		{"engine/integer", "Shifts, xor, multiplication, addition and a branch that goes either way" + same, bench.InstPerSec, tiers, 10_000, 0,
			bare(integerCode, integerWant)},
		{"engine/float", "Double precision: divide, square root, fused multiply-add, multiply, add, convert" + same, bench.InstPerSec, tiers, 5_000, 0,
			bare(floatCode, floatWant)},
		{"engine/calls", "Fibonacci numbers by recursion, with a stack" + same, bench.InstPerSec, tiers, 8, 0, bare(callsCode, callsWant)},
		{"engine/indirect", "A bytecode interpreter with eight instructions at random, each jumping to the next through a table" + same, bench.InstPerSec, tiers,
			10_000, 0, bare(indirectCode, indirectWant)},
		{"engine/memory", "Loads and stores of every size over 64 KiB, one of six misaligned" + same, bench.InstPerSec, tiers, 10_000, 0,
			bare(memoryCode, memoryWant)},
	})
}

func integerCode(a *asm.Assembler) {
	a.Li(asm.A0, seed)
	a.Li(asm.T1, step)
	a.Li(asm.T2, 0)
	a.Label("loop")
	a.I(riscv.SLLI, asm.T0, asm.A0, 13)
	a.R(riscv.XOR, asm.A0, asm.A0, asm.T0)
	a.I(riscv.SRLI, asm.T0, asm.A0, 7)
	a.R(riscv.XOR, asm.A0, asm.A0, asm.T0)
	a.I(riscv.ANDI, asm.T0, asm.A0, 1)
	a.B(riscv.BEQ, asm.T0, asm.Zero, "even")
	a.R(riscv.ADD, asm.T2, asm.T2, asm.A0)
	a.Label("even")
	a.R(riscv.MUL, asm.T2, asm.T2, asm.T1)
	a.I(riscv.ADDIW, asm.T3, asm.T2, 5)
	a.R(riscv.XOR, asm.T2, asm.T2, asm.T3)
	loop(a, "loop")
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T2)
}

func integerWant(rounds uint64) uint64 {
	x, sum := uint64(seed), uint64(0)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		if x&1 == 1 {
			sum += x
		}
		sum *= step
		sum ^= uint64(int64(int32(sum + 5)))
	}
	return x + sum
}

// The numbers stay small, so that rounding happens each time and nothing ever leaves the range.
func floatCode(a *asm.Assembler) {
	a.Li(asm.T0, 3)
	a.F(riscv.FCVT_D_L, asm.FA0, asm.T0, 0, asm.RNE)
	a.Label("loop")
	a.F(riscv.FCVT_D_L, asm.FA1, asm.S0, 0, asm.RNE)
	a.F(riscv.FDIV_D, asm.FA2, asm.FA0, asm.FA1, asm.RNE)
	a.FMA(riscv.FMADD_D, asm.FA3, asm.FA2, asm.FA2, asm.FA0, asm.RNE)
	a.F(riscv.FSQRT_D, asm.FA3, asm.FA3, 0, asm.RNE)
	a.F(riscv.FMUL_D, asm.FA2, asm.FA3, asm.FA3, asm.RNE)
	a.F(riscv.FADD_D, asm.FA0, asm.FA2, asm.FA3, asm.RNE)
	a.F(riscv.FSQRT_D, asm.FA0, asm.FA0, 0, asm.RNE)
	loop(a, "loop")
	a.R1(riscv.FMV_X_D, asm.A0, asm.FA0)
}

func floatWant(rounds uint64) uint64 {
	x := 3.0
	for i := rounds; i > 0; i-- {
		q := x / float64(i)
		r := math.Sqrt(math.FMA(q, q, x))
		square := float64(r * r) // converted, so that Go does not fuse it with the sum
		x = math.Sqrt(square + r)
	}
	return math.Float64bits(x)
}

// Numbers 13 and 14 in turn, each by more than 700 calls.
func callsCode(a *asm.Assembler) {
	a.I(riscv.ADDI, asm.SP, asm.S1, 2047)
	a.I(riscv.ANDI, asm.SP, asm.SP, -16)
	a.Li(asm.S2, 0)
	a.Label("loop")
	a.I(riscv.ANDI, asm.A0, asm.S0, 1)
	a.I(riscv.ADDI, asm.A0, asm.A0, 13)
	a.Call("fibonacci")
	a.R(riscv.ADD, asm.S2, asm.S2, asm.A0)
	loop(a, "loop")
	a.Mv(asm.A0, asm.S2)
	a.J("end")
	a.Label("fibonacci")
	a.I(riscv.SLTIU, asm.T0, asm.A0, 2)
	a.B(riscv.BNE, asm.T0, asm.Zero, "small")
	a.I(riscv.ADDI, asm.SP, asm.SP, -32)
	a.Store(riscv.SD, asm.RA, 0, asm.SP)
	a.Store(riscv.SD, asm.S3, 8, asm.SP)
	a.Store(riscv.SD, asm.S4, 16, asm.SP)
	a.I(riscv.ADDI, asm.S3, asm.A0, -2)
	a.I(riscv.ADDI, asm.A0, asm.A0, -1)
	a.Call("fibonacci")
	a.Mv(asm.S4, asm.A0)
	a.Mv(asm.A0, asm.S3)
	a.Call("fibonacci")
	a.R(riscv.ADD, asm.A0, asm.A0, asm.S4)
	a.Load(riscv.LD, asm.RA, 0, asm.SP)
	a.Load(riscv.LD, asm.S3, 8, asm.SP)
	a.Load(riscv.LD, asm.S4, 16, asm.SP)
	a.I(riscv.ADDI, asm.SP, asm.SP, 32)
	a.Label("small")
	a.Ret()
	a.Label("end")
	a.Op(riscv.WFI)
}

func callsWant(rounds uint64) uint64 {
	const of13, of14 = 233, 377
	return rounds/2*of13 + (rounds+1)/2*of14
}

// bytecode is the instructions of the interpreter in indirect: a0 is its accumulator, s3 a random number whose upper bits are what comes next.
var bytecode = []struct {
	code func(a *asm.Assembler)
	do   func(acc, random uint64) uint64
}{
	{func(a *asm.Assembler) { a.R(riscv.ADD, asm.A0, asm.A0, asm.S3) }, func(acc, r uint64) uint64 { return acc + r }},
	{func(a *asm.Assembler) { a.R(riscv.XOR, asm.A0, asm.A0, asm.S3) }, func(acc, r uint64) uint64 { return acc ^ r }},
	{func(a *asm.Assembler) { a.R(riscv.SUB, asm.A0, asm.A0, asm.S3) }, func(acc, r uint64) uint64 { return acc - r }},
	{func(a *asm.Assembler) { a.I(riscv.ADDIW, asm.A0, asm.A0, 9) }, func(acc, _ uint64) uint64 { return uint64(int64(int32(acc + 9))) }},
	{func(a *asm.Assembler) { a.R(riscv.MUL, asm.A0, asm.A0, asm.T1) }, func(acc, _ uint64) uint64 { return acc * randomMul }},
	{func(a *asm.Assembler) { a.I(riscv.RORI, asm.A0, asm.A0, 5) }, func(acc, _ uint64) uint64 { return acc>>5 | acc<<59 }},
	{func(a *asm.Assembler) { a.R(riscv.SH1ADD, asm.A0, asm.A0, asm.S3) }, func(acc, r uint64) uint64 { return acc<<1 + r }},
	{func(a *asm.Assembler) {
		a.R(riscv.SLTU, asm.T0, asm.A0, asm.S3)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
	}, func(acc, r uint64) uint64 {
		if acc < r {
			acc++
		}
		return acc
	}},
}

func indirectCode(a *asm.Assembler) {
	dispatch := func() {
		a.R(riscv.MUL, asm.S3, asm.S3, asm.T1)
		a.R(riscv.ADD, asm.S3, asm.S3, asm.T2)
		a.I(riscv.SRLI, asm.T0, asm.S3, 61)
		a.R(riscv.SH3ADD, asm.T0, asm.T0, asm.S2)
		a.Load(riscv.LD, asm.T0, 0, asm.T0)
		a.I(riscv.JALR, asm.Zero, asm.T0, 0)
	}
	name := func(i int) string { return "op" + string(rune('0'+i)) }
	a.Li(asm.A0, 0)
	a.Li(asm.S3, seed)
	a.Li(asm.T1, randomMul)
	a.Li(asm.T2, randomAdd)
	a.La(asm.S2, "table")
	dispatch()
	for i, op := range bytecode {
		a.Label(name(i))
		op.code(a)
		a.I(riscv.ADDI, asm.S0, asm.S0, -1)
		a.B(riscv.BEQ, asm.S0, asm.Zero, "end")
		dispatch()
	}
	a.Label("end")
	a.Op(riscv.WFI)
	a.Align(8)
	a.Label("table")
	for i := range bytecode {
		a.DwordOf(name(i))
	}
}

func indirectWant(rounds uint64) uint64 {
	acc, r := uint64(0), uint64(seed)
	for range rounds {
		r = r*randomMul + randomAdd
		acc = bytecode[r>>61].do(acc, r)
	}
	return acc
}

// Each word is written before it is read, so that nothing of an earlier run is seen.
const memoryWords = 8192

func memoryCode(a *asm.Assembler) {
	a.Li(asm.A0, seed)
	a.Li(asm.T1, step)
	a.Li(asm.T2, 0) // the word
	a.Li(asm.T5, memoryWords-1)
	a.Label("loop")
	a.R(riscv.AND, asm.T3, asm.T2, asm.T5)
	a.R(riscv.SH3ADD, asm.T3, asm.T3, asm.S1)
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T1)
	a.Store(riscv.SD, asm.A0, 0, asm.T3)
	a.Store(riscv.SH, asm.T2, 2, asm.T3)
	a.Store(riscv.SB, asm.T1, 7, asm.T3)
	a.Load(riscv.LW, asm.T4, 4, asm.T3)
	a.R(riscv.XOR, asm.A0, asm.A0, asm.T4)
	a.Load(riscv.LHU, asm.T4, 3, asm.T3) // misaligned
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T4)
	a.Load(riscv.LB, asm.T4, 0, asm.T3)
	a.R(riscv.SUB, asm.A0, asm.A0, asm.T4)
	a.I(riscv.ADDI, asm.T2, asm.T2, 1)
	a.B(riscv.BNE, asm.T2, asm.S0, "loop")
}

func memoryWant(rounds uint64) uint64 {
	x := uint64(seed)
	for i := range rounds {
		x += step
		w := x&^(0xffff<<16)&^(0xff<<56) | i&0xffff<<16 | step&0xff<<56
		x ^= uint64(int64(int32(w >> 32)))
		x += w >> 24 & 0xffff
		x -= uint64(int64(int8(w)))
	}
	return x
}
