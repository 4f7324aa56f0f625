package opt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// The lines of a region name its blocks, its values and where it is left, and each position that has code is that of one line.
func TestLines(t *testing.T) {
	r := region(t, 10, func(a *asm.Assembler) {
		a.Label("turn")
		a.Load(riscv.LD, asm.A2, 0, asm.A0)
		a.I(riscv.ADDI, asm.A0, asm.A0, 8)
		a.B(riscv.BEQ, asm.A2, asm.Zero, "out")
		a.R(riscv.ADDW, asm.A3, asm.A3, asm.A2)
		a.B(riscv.BNE, asm.A0, asm.A1, "turn")
		a.Label("out")
		a.Op(riscv.EBREAK)
	})
	var text strings.Builder
	seen := map[int]bool{}
	for i, lines := range r.Lines(func(v *Value) string { return fmt.Sprint("r", v.Reg) }) {
		for _, line := range lines {
			text.WriteString(line.Text + "\n")
			if line.Pos >= 0 {
				if seen[line.Pos] {
					t.Errorf("two lines for the code at %d", line.Pos)
				}
				seen[line.Pos] = true
			}
		}
		for _, v := range r.Blocks[i].Values {
			if v.Kind == Computed && !seen[v.Pos()] || !seen[r.Blocks[i].EndPos()] {
				t.Errorf("block %d has code that no line is about", i)
			}
		}
	}
	for _, want := range []string{"way in\n", ":x10 = entered -> r", "block 1 at +0x0, depth 1, from way in, block 2\n", ":x10 = phi v", ", may leave\n",
		" eq 0x0 to exit +0x14, else block 2\n", "block 2 at +0xc, depth 1, from block 1\n", " to block 1, else exit +0x14\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + text.String())
	}
}
