package opt

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// Which loops pass over many elements at once, and what each turn of them retires.
func TestSearch(t *testing.T) {
	for _, c := range []struct {
		name   string
		turn   int // instructions; 0: it is no search
		insert func(a *asm.Assembler)
	}{
		{"less than a number", 3, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
		}},
		{"less than a number, downward, with a counter and a jump", 5, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, -4, asm.A0)
			a.B(riscv.BGE, asm.A4, asm.A1, "end")
			a.I(riscv.ADDI, asm.A0, asm.A0, -4)
			a.I(riscv.ADDI, asm.A2, asm.A2, 1)
			a.J("turn")
		}},
		{"with a load that stays where it is", 5, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.R(riscv.ADD, asm.S2, asm.S0, asm.S1)
			a.Load(riscv.LW, asm.A5, 0, asm.S2)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.B(riscv.BGE, asm.A4, asm.Zero, "turn")
		}},
		{"with a load that goes elsewhere", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.Load(riscv.LW, asm.A5, 0, asm.A2)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.I(riscv.ADDI, asm.A2, asm.A2, 64)
			a.B(riscv.BGE, asm.A4, asm.Zero, "turn")
		}},
		{"equal", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.B(riscv.BEQ, asm.A4, asm.A1, "turn")
		}},
		{"no sign extension", 0, func(a *asm.Assembler) {
			a.Load(riscv.LWU, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
		}},
		{"every other number", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 8)
			a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
		}},
		{"a sum", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.R(riscv.ADD, asm.A2, asm.A2, asm.A4)
			a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
		}},
		{"a copy", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.Store(riscv.SW, asm.A4, 0, asm.A2)
			a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
		}},
		{"two arrays", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.Load(riscv.LW, asm.A5, 0, asm.A1)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.I(riscv.ADDI, asm.A1, asm.A1, 4)
			a.B(riscv.BLTU, asm.A4, asm.A5, "turn")
		}},
		{"compared with what the turn makes", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A5, asm.A1, 1)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.B(riscv.BLT, asm.A4, asm.A5, "turn")
		}},
		{"what the last turn read", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.B(riscv.BGE, asm.A4, asm.A1, "end")
			a.Mv(asm.A3, asm.A4)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.J("turn")
		}},
		{"sums of sums, as many as two to the power of their number", 0, func(a *asm.Assembler) {
			a.Load(riscv.LW, asm.A4, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 4)
			a.R(riscv.ADD, asm.A5, asm.S0, asm.S1)
			for range 60 {
				a.R(riscv.ADD, asm.A5, asm.A5, asm.A5)
			}
			a.B(riscv.BLT, asm.A4, asm.A5, "turn")
		}},
	} {
		for _, mirrored := range []bool{false, true} {
			r := Find(&Source{Bytes: page(t, func(a *asm.Assembler) {
				a.Label("turn")
				c.insert(a)
				a.Label("end")
				a.Op(riscv.EBREAK)
			}), Max: 100, Turns: 4, Loops: true, Mirrored: mirrored})
			if r == nil || !r.Optimize(target(10)) {
				t.Fatalf("%s: no region", c.name)
			}
			retired := 0
			for _, b := range r.Blocks {
				for _, v := range b.Values {
					if v.Op == ir.Retire {
						retired += int(v.Raw)
					}
				}
			}
			want := c.turn
			if !mirrored { // each access looks its address up
				want = 0
			}
			if n := ops(r)[ir.Search]; n != min(want, 1) || retired != want {
				t.Errorf("%s, mirrored: %v: %d searches of %d instructions, want %d", c.name, mirrored, n, retired, want)
			}
		}
	}
}
