package opt

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// One comparison with the mirror's size serves all that its address leads to in small steps, whichever way is taken: and no more than that.
func TestComparisonsServeWhatIsNear(t *testing.T) {
	for name, c := range map[string]struct {
		program func(a *asm.Assembler)
		entries int // that are compared on the way in
		made    int // comparisons behind it
		spared  int // accesses without one
	}{
		"a pointer in steps": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.I(riscv.ADDI, asm.A0, asm.A0, 8)
			a.B(riscv.BNE, asm.A0, asm.A1, "turn")
		}, 1, 0, 1},
		"a pointer in large steps": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.U(riscv.LUI, asm.A3, 0x10000)
			a.R(riscv.ADD, asm.A0, asm.A0, asm.A3)
			a.B(riscv.BNE, asm.A0, asm.A1, "turn")
		}, 0, 1, 0},
		"a list": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 8, asm.A0)
			a.Load(riscv.LD, asm.A0, 0, asm.A0)
			a.B(riscv.BNE, asm.A0, asm.Zero, "turn")
		}, 0, 1, 1},
		"the end of a list, which is what was compared the turn before": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.Store(riscv.SD, asm.A2, 0, asm.A1)
			a.Mv(asm.A1, asm.A0)
			a.Mv(asm.A0, asm.A2)
			a.B(riscv.BNE, asm.A0, asm.Zero, "turn")
		}, 1, 1, 1},
		"two ways, of which both have compared it": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.B(riscv.BEQ, asm.A2, asm.Zero, "other")
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
			a.J("both")
			a.Label("other")
			a.Load(riscv.LD, asm.A3, 8, asm.A2)
			a.Label("both")
			a.Load(riscv.LD, asm.A4, 16, asm.A2)
			a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
		}, 1, 2, 2},
		"two ways, of which one has": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.B(riscv.BEQ, asm.A2, asm.Zero, "both")
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
			a.Label("both")
			a.Load(riscv.LD, asm.A4, 16, asm.A2)
			a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
		}, 1, 2, 1},
		"what was compared the turn before, and is computed anew": {func(a *asm.Assembler) {
			a.Load(riscv.LD, asm.A2, 0, asm.A0)
			a.R(riscv.ADD, asm.A3, asm.A2, asm.A1)
			a.Load(riscv.LD, asm.A4, 0, asm.A3)
			a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
		}, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := Find(&Source{Bytes: page(t, func(a *asm.Assembler) {
				a.Label("turn")
				c.program(a)
				a.Op(riscv.EBREAK)
			}), Max: 100, Loops: true, Mirrored: true})
			if r == nil || !r.Optimize(target(12)) {
				t.Fatal("no region")
			}
			made, spared := 0, 0
			for _, b := range r.Blocks {
				for _, v := range b.Values {
					switch {
					case !v.compares():
					case v.Compared:
						spared++
					default:
						made++
					}
				}
			}
			if len(r.Reached) != c.entries || made != c.made || spared != c.spared {
				t.Errorf("%d entries, %d comparisons, %d accesses without: want %d, %d, %d", len(r.Reached), made, spared, c.entries, c.made, c.spared)
			}
		})
	}
}

// A region begins where the innermost loop does that a sample was in.
func TestRegionsBeginWithTheirLoops(t *testing.T) {
	nested := page(t, func(a *asm.Assembler) {
		a.I(riscv.ADDI, asm.A0, asm.Zero, 1) // 0
		a.Label("outer")
		a.I(riscv.ADDI, asm.A1, asm.Zero, 9) // 4
		a.Label("inner")
		a.I(riscv.ADDI, asm.A1, asm.A1, -1) // 8
		a.R(riscv.MUL, asm.A2, asm.A1, asm.A1)
		a.B(riscv.BNE, asm.A1, asm.Zero, "inner") // 16
		a.I(riscv.ADDI, asm.A0, asm.A0, -1)
		a.B(riscv.BNE, asm.A0, asm.Zero, "outer") // 24
		a.Op(riscv.EBREAK)
	})
	// The inner loop begins in its middle: it may make no turn at all, and what is in the outer one is not in it.
	tested := page(t, func(a *asm.Assembler) {
		a.I(riscv.ADDI, asm.A0, asm.Zero, 1) // 0
		a.Label("outer")
		a.I(riscv.ADDI, asm.A1, asm.A0, -9) // 4
		a.J("test")                         // 8
		a.Label("inner")
		a.I(riscv.ADDI, asm.A1, asm.A1, -1) // 12
		a.Label("test")
		a.R(riscv.MUL, asm.A2, asm.A1, asm.A1)    // 16
		a.B(riscv.BLT, asm.Zero, asm.A1, "inner") // 20
		a.I(riscv.ADDI, asm.A0, asm.A0, -1)       // 24
		a.B(riscv.BNE, asm.A0, asm.Zero, "outer") // 28
		a.Op(riscv.EBREAK)
	})
	// Behind a call that the region does not make it is entered in each turn.
	calling := page(t, func(a *asm.Assembler) {
		a.Label("turn")
		a.I(riscv.ADDI, asm.A1, asm.A0, -9)      // 0
		a.B(riscv.BEQ, asm.A1, asm.Zero, "none") // 4
		a.I(riscv.JALR, asm.RA, asm.T0, 0)       // 8
		a.Label("none")
		a.I(riscv.ADDI, asm.A0, asm.A0, -1)      // 12
		a.B(riscv.BNE, asm.A0, asm.Zero, "turn") // 16
		a.Op(riscv.EBREAK)
	})
	for name, c := range map[string]struct {
		page  []byte
		heads map[uint16]uint16 // by sample
	}{
		"calling": {calling, map[uint16]uint16{0: 0, 4: 0, 12: 12, 16: 0}},
		"nested":  {nested, map[uint16]uint16{0: 0, 4: 4, 8: 8, 12: 8, 16: 8, 20: 4, 24: 4, 28: 28}},
		"tested":  {tested, map[uint16]uint16{0: 0, 4: 4, 8: 4, 12: 12, 16: 12, 20: 12, 24: 4, 28: 4, 32: 32}},
	} {
		for at, want := range c.heads {
			if head := Head(&Source{Bytes: c.page, Head: at, Max: 100}); head != want {
				t.Errorf("%s: a sample at %d: the region begins at %d, not at %d", name, at, head, want)
			}
		}
	}
	known := func(off uint16) bool { return off != 8 } // where the inner loop begins was never jumped to
	if head := Head(&Source{Bytes: nested, Head: 12, Max: 100, Known: known}); head != 4 {
		t.Errorf("a sample in a loop that nothing is known to begin: the region begins at %d, not where the outer loop does", head)
	}
	r := Find(&Source{Bytes: nested, Head: 8, Max: 100, Loops: true})
	if x := r.Extent(); !x.Has(4) || !x.Has(8) || !x.Has(26) || x.Has(0) || x.Has(28) {
		t.Errorf("the code of both loops: %b", x[0])
	}
}
