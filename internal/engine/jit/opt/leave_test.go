package opt

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// A loop that fills memory, in another one: its pointer moves on once in four turns, and once on each way out.
func TestPointersMoveOnOnTheWayOut(t *testing.T) {
	a := asm.New(0)
	a.Label("outer")
	a.R(riscv.ADD, asm.A3, asm.A0, asm.A6)
	a.I(riscv.ADDI, asm.A4, asm.A1, 0)
	a.Label("turn")
	a.Store(riscv.SD, asm.A0, 0, asm.A4)
	a.I(riscv.ADDI, asm.A0, asm.A0, 1)
	a.I(riscv.ADDI, asm.A4, asm.A4, 8)
	a.B(riscv.BNE, asm.A3, asm.A0, "turn")
	a.Store(riscv.SD, asm.A4, 0, asm.A1)
	a.I(riscv.ADDI, asm.A2, asm.A2, -1)
	a.B(riscv.BNE, asm.A2, asm.Zero, "outer")
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, memory.PageSize)
	copy(page, code)
	r := Find(&Source{Bytes: page, Head: 8, Max: 100, Loops: true, Turns: 4, Mirrored: true})
	if r == nil || !r.Optimize(target(12)) {
		t.Fatal("no region")
	}
	inside, outside := 0, 0
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind != Computed || v.Op != ir.Add || v.Var != ir.Var(asm.A4) || v.Sunk() {
				continue
			}
			if b.Depth > 1 {
				inside++
			} else {
				outside++
			}
		}
	}
	if inside != 1 || outside != 3 {
		t.Errorf("the pointer moves on %d times in the loop, want 1, and %d times outside, want 3", inside, outside)
	}
}
