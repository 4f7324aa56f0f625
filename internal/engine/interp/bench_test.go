package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// benchmark runs a program that loops for ever, b.N instructions of it.
func benchmark(b *testing.B, f func(a *asm.Assembler)) {
	m := newMachine(b)
	for r := 1; r < 32; r++ {
		m.X[r] = uint64(r)
		m.F[r] = 0x3ff0_0000_0000_0000 + uint64(r)<<40
	}
	m.X[asm.S0], m.X[asm.S1] = scratch, scratch
	m.assemble(ramBase, f)
	m.in.RunFor(1000)
	b.ReportAllocs()
	b.ResetTimer()
	m.in.RunFor(uint64(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "MIPS")
}

// The integer loop of the project's figures: arithmetic, an array, a branch that is predictable.
func BenchmarkIntegerLoop(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.Label("loop")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.R(riscv.XOR, asm.A1, asm.A1, asm.A0)
		a.I(riscv.SLLI, asm.A2, asm.A1, 3)
		a.I(riscv.ANDI, asm.A2, asm.A2, 0x7f8)
		a.R(riscv.ADD, asm.A3, asm.S0, asm.A2)
		a.Load(riscv.LD, asm.A4, 0, asm.A3)
		a.R(riscv.ADD, asm.A4, asm.A4, asm.A0)
		a.Store(riscv.SD, asm.A4, 0, asm.A3)
		a.R(riscv.SUB, asm.A5, asm.A5, asm.A4)
		a.I(riscv.ANDI, asm.T0, asm.A0, 7)
		a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
		a.R(riscv.MUL, asm.A6, asm.A6, asm.A1)
		a.J("loop")
	})
}

// Calls and returns, to another page and back.
func BenchmarkCalls(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.Label("loop")
		a.Call("near")
		a.Call("far")
		a.J("loop")
		a.Label("near")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Ret()
		a.Align(4096)
		a.Label("far")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Ret()
	})
}

// Instructions that go through the table of handlers.
func BenchmarkHandlers(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.Label("loop")
		a.R1(riscv.CPOP, asm.A0, asm.A1)
		a.R(riscv.DIVU, asm.A1, asm.A2, asm.A3)
		a.R(riscv.ROL, asm.A2, asm.A2, asm.A3)
		a.R(riscv.MULH, asm.A4, asm.A2, asm.A3)
		a.J("loop")
	})
}

func BenchmarkDouble(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.Label("loop")
		a.Load(riscv.FLD, 1, 0, asm.S0)
		a.F(riscv.FADD_D, 2, 2, 3, asm.DYN)
		a.F(riscv.FMUL_D, 4, 3, 1, asm.DYN)
		a.FMA(riscv.FMADD_D, 5, 3, 4, 6, asm.DYN)
		a.R(riscv.FLT_D, asm.A0, 5, 6)
		a.Store(riscv.FSD, 5, 8, asm.S0)
		a.J("loop")
	})
}

func BenchmarkAtomics(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.Label("loop")
		a.AMO(riscv.AMOADD_D, asm.A0, asm.A1, asm.S0, asm.AQRL)
		a.AMO(riscv.LR_D, asm.A0, 0, asm.S0, asm.AQ)
		a.AMO(riscv.SC_D, asm.A1, asm.A0, asm.S0, asm.RL)
		a.J("loop")
	})
}

func BenchmarkTrapAndReturn(b *testing.B) {
	benchmark(b, func(a *asm.Assembler) {
		a.La(asm.T0, "handler")
		a.CSR(riscv.CSRRW, 0, riscv.CSRMtvec, asm.T0)
		a.Label("loop")
		a.Op(riscv.ECALL)
		a.J("loop")
		a.Align(4)
		a.Label("handler")
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRMepc, 0)
		a.I(riscv.ADDI, asm.T0, asm.T0, 4)
		a.CSR(riscv.CSRRW, 0, riscv.CSRMepc, asm.T0)
		a.CSR(riscv.CSRRCI, 0, riscv.CSRMstatus, 0)
		a.Op(riscv.MRET)
	})
}

// Straight code that is executed once: what decoding costs.
func BenchmarkColdCode(b *testing.B) {
	m := newMachine(b)
	const words = 64 << 10
	m.assemble(ramBase, func(a *asm.Assembler) {
		for i := range words - 1 {
			a.I(riscv.ADDI, uint8(5+i%20), uint8(5+i%19), int32(i%1000))
		}
		a.Op(riscv.WFI)
	})
	b.ReportAllocs()
	b.ResetTimer()
	done := uint64(0)
	for n := uint64(b.N); done < n; {
		m.in = New(m.Hart)
		m.PC = ramBase
		before := m.Instret
		m.in.RunFor(n - done)
		done += m.Instret - before
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "MIPS")
}
