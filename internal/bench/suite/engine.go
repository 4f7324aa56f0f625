package suite

// engine/*: guest instructions in a second, of programs of one kind each, in every tier alone and in all together.

import (
	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/selftest"
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
			bare(selftest.Integer.Code, selftest.Integer.Want)},
		{"engine/float", "Double precision: divide, square root, fused multiply-add, multiply, add, convert" + same, bench.InstPerSec, tiers, 5_000, 0,
			bare(selftest.Float.Code, selftest.Float.Want)},
		{"engine/calls", "Fibonacci numbers by recursion, with a stack" + same, bench.InstPerSec, tiers, 8, 0, bare(callsCode, callsWant)},
		{"engine/indirect", "A bytecode interpreter with eight instructions at random, each jumping to the next through a table" + same, bench.InstPerSec, tiers,
			10_000, 0, bare(indirectCode, indirectWant)},
		{"engine/memory", "Loads and stores of every size over 64 KiB, one of six misaligned" + same, bench.InstPerSec, tiers, 10_000, 0,
			bare(selftest.Memory.Code, selftest.Memory.Want)},
	})
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
