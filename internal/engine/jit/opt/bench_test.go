package opt

// What it costs to make a region, in time and in garbage.

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// digest is a loop of many instructions, as unrolled digests and compilers' inner loops are: each turn loads, mixes and stores a dozen words.
func digest(a *asm.Assembler) {
	a.Label("turn")
	for i := range int32(12) {
		a.Load(riscv.LW, asm.A1, 8*i, asm.S0)
		a.I(riscv.SLLIW, asm.A2, asm.A1, 7)
		a.I(riscv.SRLIW, asm.A3, asm.A1, 25)
		a.R(riscv.OR, asm.A2, asm.A2, asm.A3)
		a.R(riscv.ADDW, asm.A0, asm.A0, asm.A2)
		a.Store(riscv.SW, asm.A0, 8*i+4, asm.S0)
	}
	a.I(riscv.ADDI, asm.T0, asm.T0, -1)
	a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
	a.Op(riscv.EBREAK)
}

func BenchmarkRegion(b *testing.B) {
	a := asm.New(0)
	digest(a)
	code, err := a.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	page := make([]byte, memory.PageSize)
	copy(page, code)
	host := target(12)
	guest := 0
	var mem Memory
	b.ReportAllocs()
	for b.Loop() {
		r := Find(&Source{Bytes: page, Max: 400, Turns: 4, Loops: true, Memory: &mem})
		if r == nil || !r.Optimize(host) {
			b.Fatal("no region")
		}
		guest += r.Guest
		mem.Reset()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(guest), "ns/instruction")
}
