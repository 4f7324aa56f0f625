package jit_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// What two harts do in the time of one, on a host with two processors to spare: SPECIFICATION.md promises 1.7 times as much. Half of the
// work is integer instructions, half loads and stores, each hart's in pages of its own.
func BenchmarkTwoHarts(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Skip("there is one processor")
	}
	const turns, words = 2000, 4096 / 8
	m := newMachine(b, 2, jit.Options{})
	var pcs []uint64
	for id := range uint64(2) {
		pcs = append(pcs, pageAt(16*id))
		m.assemble(pcs[id], func(a *asm.Assembler) {
			a.Li(asm.S1, turns)
			a.Label("turn")
			a.Li(asm.T0, 2000)
			a.Label("integer")
			a.R(riscv.XOR, asm.A0, asm.A0, asm.T0)
			a.I(riscv.SLLI, asm.A1, asm.A0, 13)
			a.R(riscv.ADD, asm.A0, asm.A0, asm.A1)
			a.R(riscv.MUL, asm.A2, asm.A0, asm.T0)
			a.R(riscv.SUB, asm.A0, asm.A2, asm.A0)
			a.I(riscv.ADDI, asm.T0, asm.T0, -1)
			a.B(riscv.BNE, asm.T0, asm.Zero, "integer")
			a.Li(asm.T1, int64(pageAt(16*id+1)))
			a.Li(asm.T0, 4*words)
			a.Label("memory")
			a.Load(riscv.LD, asm.A3, 0, asm.T1)
			a.R(riscv.ADD, asm.A3, asm.A3, asm.A0)
			a.Store(riscv.SD, asm.A3, 0, asm.T1)
			a.I(riscv.ADDI, asm.T1, asm.T1, 8)
			a.I(riscv.ADDI, asm.T0, asm.T0, -1)
			a.B(riscv.BNE, asm.T0, asm.Zero, "memory")
			a.I(riscv.ADDI, asm.S1, asm.S1, -1)
			a.B(riscv.BNE, asm.S1, asm.Zero, "turn")
			a.Op(riscv.WFI)
		})
	}
	m.runAll(nil, pcs...) // translates
	one, two := time.Duration(1<<62), time.Duration(1<<62)
	for b.Loop() {
		all, engines := m.harts, m.engines
		began := time.Now()
		m.harts, m.engines = all[:1], engines[:1]
		m.runAll(nil, pcs...)
		one = min(one, time.Since(began))
		m.harts, m.engines = all, engines
		began = time.Now()
		m.runAll(nil, pcs...)
		two = min(two, time.Since(began))
	}
	instructions := float64(turns) * (2000*7 + 4*words*6 + 9)
	b.ReportMetric(2*one.Seconds()/two.Seconds(), "times-one")
	b.ReportMetric(instructions/one.Seconds()/1e6, "MIPS/one")
	b.ReportMetric(2*instructions/two.Seconds()/1e6, "MIPS/two")
	b.ReportMetric(0, "ns/op")
}
