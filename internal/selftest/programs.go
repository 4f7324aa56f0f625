package selftest

// The programs. Each leaves its result in a0; want computes the same in Go. A difference in one of them points at the part of an
// engine that it is named for.

import (
	"math"
	"math/bits"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

type program struct {
	name string
	Program
}

// Program is what a guest computes, and what that is.
type Program struct {
	// Code has the rounds in s0 (at least 1) and in s1 the address of 64 KiB of scratch memory. It leaves its result in a0.
	Code func(*asm.Assembler)
	Want func(rounds uint64) uint64
}

// Programs that are measured, too.
var (
	Integer = Program{integerCode, integerWant}
	Memory  = Program{memoryCode, memoryWant}
	Float   = Program{floatCode, floatWant}
)

// The numbers that programs mix with: digits of pi and of e, so that no bit stands still.
const (
	seed = 0x243f6a8885a308d3
	step = 0x2b7e151628aed2a7
)

var programs = []program{
	{"integer", Integer},
	{"memory", Memory},
	{"floating point", Float},
	{"bits and atomics", Program{bitsCode, bitsWant}},
	{"traps", Program{trapsCode, trapsWant}},
}

// integer: shifts, xor, multiply, add, a branch each way.
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
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BNE, asm.S0, asm.Zero, "loop")
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

// memory: stores and loads of every size over 64 KiB, one of the loads misaligned. Each word is written before it is read, so that nothing of an earlier run is
// seen.
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

// floating point: add, multiply, divide, square root, fused multiply-add and conversion in double precision. The numbers stay
// small, so that rounding happens each time and nothing ever leaves the range.
func floatCode(a *asm.Assembler) {
	const rne = 0
	a.Li(asm.T0, 3)
	a.F(riscv.FCVT_D_L, asm.FA0, asm.T0, 0, rne)
	a.Label("loop")
	a.F(riscv.FCVT_D_L, asm.FA1, asm.S0, 0, rne)
	a.F(riscv.FDIV_D, asm.FA2, asm.FA0, asm.FA1, rne)
	a.FMA(riscv.FMADD_D, asm.FA3, asm.FA2, asm.FA2, asm.FA0, rne)
	a.F(riscv.FSQRT_D, asm.FA3, asm.FA3, 0, rne)
	a.F(riscv.FMUL_D, asm.FA2, asm.FA3, asm.FA3, rne)
	a.F(riscv.FADD_D, asm.FA0, asm.FA2, asm.FA3, rne)
	a.F(riscv.FSQRT_D, asm.FA0, asm.FA0, 0, rne)
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BNE, asm.S0, asm.Zero, "loop")
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

// bits and atomics: Zbb, Zbs and Zicond, an atomic add, and a sum by load-reserved and store-conditional.
func bitsCode(a *asm.Assembler) {
	a.Li(asm.A0, seed)
	a.Store(riscv.SD, asm.Zero, 0, asm.S1)
	a.I(riscv.ADDI, asm.S2, asm.S1, 64)
	a.Store(riscv.SD, asm.Zero, 0, asm.S2)
	a.Label("loop")
	a.I(riscv.RORI, asm.A0, asm.A0, 11)
	a.R1(riscv.CLZ, asm.T0, asm.A0)
	a.R1(riscv.CPOP, asm.T1, asm.A0)
	a.R1(riscv.REV8, asm.T2, asm.A0)
	a.R(riscv.ANDN, asm.A0, asm.T2, asm.T0)
	a.R(riscv.BEXT, asm.T3, asm.A0, asm.T1)
	a.R(riscv.CZERO_EQZ, asm.T0, asm.T1, asm.T3)
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
	a.AMO(riscv.AMOADD_D, asm.T4, asm.A0, asm.S1, asm.Relaxed)
	a.R(riscv.XOR, asm.A0, asm.A0, asm.T4)
	a.Label("again")
	a.AMO(riscv.LR_D, asm.T4, 0, asm.S2, asm.Relaxed)
	a.R(riscv.ADD, asm.T4, asm.T4, asm.T1)
	a.AMO(riscv.SC_D, asm.T5, asm.T4, asm.S2, asm.Relaxed)
	a.B(riscv.BNE, asm.T5, asm.Zero, "again")
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BNE, asm.S0, asm.Zero, "loop")
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T4)
}

func bitsWant(rounds uint64) uint64 {
	x, sum, ones := uint64(seed), uint64(0), uint64(0)
	for range rounds {
		x = bits.RotateLeft64(x, -11)
		zeros, pop := uint64(bits.LeadingZeros64(x)), uint64(bits.OnesCount64(x))
		x = bits.ReverseBytes64(x) &^ zeros
		if x>>(pop&63)&1 == 1 {
			x += pop
		}
		old := sum
		sum += x
		x ^= old
		ones += pop
	}
	return x + ones
}

// traps: an ecall a round, from and to M-mode, by way of a handler that counts.
func trapsCode(a *asm.Assembler) {
	a.La(asm.T0, "handler")
	a.CSR(riscv.CSRRW, asm.Zero, csrMtvec, asm.T0)
	a.Label("loop")
	a.Op(riscv.ECALL)
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BNE, asm.S0, asm.Zero, "loop")
	a.J("done")
	a.Align(4)
	a.Label("handler")
	a.CSR(riscv.CSRRS, asm.T0, csrMcause, asm.Zero)
	a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
	a.CSR(riscv.CSRRS, asm.T0, csrMepc, asm.Zero)
	a.I(riscv.ADDI, asm.T0, asm.T0, 4)
	a.CSR(riscv.CSRRW, asm.Zero, csrMepc, asm.T0)
	a.Op(riscv.MRET)
}

func trapsWant(rounds uint64) uint64 {
	const ecallFromM = 11
	return ecallFromM * uint64(rounds)
}
