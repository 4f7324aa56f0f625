package opt

import (
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// target is a host with so many registers of each class, none of which is anybody's outside of regions.
func target(n int) *Target {
	t := &Target{Pin: func(ir.Var) int { return -1 }, Clobbers: func(*Value) int { return -1 }, Spare: -1, Slots: 40}
	for i := range n {
		t.Int, t.Float = append(t.Int, i), append(t.Float, i)
	}
	return t
}

// page is the page that begins with a program.
func page(t *testing.T, program func(a *asm.Assembler)) []byte {
	t.Helper()
	a := asm.New(0)
	program(a)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, memory.PageSize)
	copy(p, code)
	return p
}

// region is the region around the start of a program.
func region(t *testing.T, registers int, program func(a *asm.Assembler)) *Region {
	t.Helper()
	r := Find(&Source{Bytes: page(t, program), Max: 100, Loops: true})
	if r == nil {
		t.Fatal("no region")
	}
	if !r.Optimize(target(registers)) {
		t.Fatal("no places for its values")
	}
	return r
}

// ops counts the operations that are left.
func ops(r *Region) map[ir.Op]int {
	n := map[ir.Op]int{}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind == Computed {
				n[v.Op]++
			}
		}
	}
	return n
}

func rotating(a *asm.Assembler) {
	a.Label("turn")
	a.I(riscv.SLLIW, asm.A1, asm.A0, 7)
	a.I(riscv.SRLIW, asm.A2, asm.A0, 25)
	a.R(riscv.OR, asm.A1, asm.A1, asm.A2)
	a.R(riscv.ADDW, asm.A0, asm.A1, asm.T0)
	a.I(riscv.ADDI, asm.T0, asm.T0, -1)
	a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
	a.Op(riscv.EBREAK)
}

func TestRotation(t *testing.T) {
	r := region(t, 10, rotating)
	n := ops(r)
	if n[ir.RotR] != 1 || n[ir.Shl] != 0 || n[ir.Or] != 0 {
		t.Errorf("operations: %v", n)
	}
	for _, v := range r.Head.Values {
		if v.Op == ir.RotR && !v.Narrow {
			t.Error("the rotation is sign-extended, which nothing asks for")
		}
	}
}

// Whatever the number of registers, no two values are in one at the same time.
func TestAllocationIsDisjoint(t *testing.T) {
	for registers := range 8 {
		r := region(t, registers, rotating)
		for class := range r.busy {
			for reg, spans := range r.busy[class] {
				for i := range spans {
					if overlap(spans[i:i+1], spans[i+1:]) {
						t.Errorf("%d registers: two values in register %d of class %d", registers, reg, class)
					}
				}
			}
		}
	}
}

func TestAccessesShareLookUps(t *testing.T) {
	r := region(t, 10, func(a *asm.Assembler) {
		a.Label("turn")
		a.Load(riscv.LD, asm.A2, 0, asm.A0)
		a.Load(riscv.LD, asm.A3, 8, asm.A0)
		a.R(riscv.ADD, asm.A4, asm.A2, asm.A3)
		a.Store(riscv.SD, asm.A4, 16, asm.A0)
		a.I(riscv.ADDI, asm.A0, asm.A0, 8)
		a.B(riscv.BNE, asm.A0, asm.A1, "turn")
		a.Op(riscv.EBREAK)
	})
	if n := ops(r); n[ir.Group] != 1 || len(r.Cells) != 1 || !r.Cells[0].Store {
		t.Errorf("operations: %v; %d cells", n, len(r.Cells))
	}
}

// What a block has checked serves those that are reached by way of it, unless they go further or store what it only loads.
func TestLookUpsServeLaterBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		behind func(a *asm.Assembler) // the branch
		groups int
	}{
		"near":      {func(a *asm.Assembler) { a.Load(riscv.LD, asm.A2, 56, asm.A0) }, 1},
		"far":       {func(a *asm.Assembler) { a.Load(riscv.LD, asm.A2, 64, asm.A0) }, 2},
		"store":     {func(a *asm.Assembler) { a.Store(riscv.SD, asm.A1, 8, asm.A0) }, 2},
		"elsewhere": {func(a *asm.Assembler) { a.Load(riscv.LD, asm.A2, 8, asm.A3) }, 2},
	} {
		r := region(t, 12, func(a *asm.Assembler) {
			a.Label("turn")
			a.Load(riscv.LD, asm.A1, 0, asm.A0)
			a.B(riscv.BEQ, asm.A1, asm.Zero, "out")
			c.behind(a)
			a.I(riscv.ADDI, asm.A0, asm.A0, 16)
			a.B(riscv.BNE, asm.A0, asm.T0, "turn")
			a.Label("out")
			a.Op(riscv.EBREAK)
		})
		if n := ops(r); n[ir.Group] != c.groups {
			t.Errorf("%s: %d look-ups, want %d", name, n[ir.Group], c.groups)
		}
	}
}

// With as many registers as values are needed anywhere at a time, each value that instructions need has one.
func TestEnoughRegistersAreEnough(t *testing.T) {
	mixing := func(a *asm.Assembler) { // short values among long ones
		a.Label("turn")
		for _, long := range []uint8{asm.S0, asm.S1, asm.S2, asm.S3, asm.S4, asm.S5} {
			a.R(riscv.XOR, asm.T1, asm.A0, long)
			a.I(riscv.SRLI, asm.T2, asm.T1, 7)
			a.I(riscv.SLLI, asm.T3, asm.A0, 3)
			a.R(riscv.SUB, asm.T2, asm.T3, asm.T2)
			a.R(riscv.AND, asm.T1, asm.T2, asm.T1)
			a.R(riscv.SUB, asm.A0, asm.T1, asm.T3)
		}
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
		a.Op(riscv.EBREAK)
	}
	for name, program := range map[string]func(*asm.Assembler){"rotating": rotating, "mixing": mixing} {
		needed := map[int]int{}
		all := func(r *Region, f func(v *Value)) {
			for _, b := range r.Blocks {
				for _, v := range append(slices.Clone(b.Phis), b.Values...) {
					if v.Var < ir.NumInt && len(v.NeedsSpans()) > 0 {
						f(v)
					}
				}
			}
		}
		all(region(t, 20, program), func(v *Value) {
			for _, s := range v.NeedsSpans() {
				for i := s.from; i < s.to; i++ {
					needed[i]++
				}
			}
		})
		most := 0
		for _, n := range needed {
			most = max(most, n)
		}
		all(region(t, most, program), func(v *Value) {
			if v.Reg < 0 {
				t.Errorf("%s: %v of x%d is in no register of %d", name, v.Op, v.Var, most)
			}
		})
	}
}

func TestNoRegion(t *testing.T) {
	page := make([]byte, memory.PageSize) // no instruction is all zeros
	if r := Find(&Source{Bytes: page, Max: 100}); r != nil {
		t.Error("a region of illegal instructions")
	}
	a := asm.New(0)
	a.I(riscv.ADDI, asm.A0, asm.A0, 1)
	a.Ret()
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	copy(page, code)
	if r := Find(&Source{Bytes: page, Max: 100, Loops: true}); r != nil {
		t.Error("a region where there is no loop")
	}
}

func TestShortBranchesBecomeChoices(t *testing.T) {
	r := region(t, 12, func(a *asm.Assembler) { // a CRC by bits
		a.Label("turn")
		a.R(riscv.XOR, asm.A1, asm.A0, asm.A2)
		a.I(riscv.ANDI, asm.A1, asm.A1, 1)
		a.I(riscv.SRLI, asm.A0, asm.A0, 1)
		a.B(riscv.BEQ, asm.A1, asm.Zero, "even")
		a.R(riscv.XOR, asm.A0, asm.A0, asm.A3)
		a.Label("even")
		a.I(riscv.ADDI, asm.A4, asm.A4, -1)
		a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
	})
	if n := ops(r); n[ir.Select] != 1 || n[ir.Test] != 1 {
		t.Errorf("%d choices by %d tests", n[ir.Select], n[ir.Test])
	}
	r = region(t, 12, func(a *asm.Assembler) { // the way through an array, which a host had best guess
		a.Label("turn")
		a.Load(riscv.LD, asm.A1, 0, asm.A0)
		a.Load(riscv.LD, asm.A2, 8, asm.A0)
		a.B(riscv.BLT, asm.A1, asm.A2, "right")
		a.I(riscv.ADDI, asm.A0, asm.A0, 8)
		a.Label("right")
		a.I(riscv.ADDI, asm.A4, asm.A4, -1)
		a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
	})
	if n := ops(r); n[ir.Select] != 0 {
		t.Errorf("%d choices of an address", n[ir.Select])
	}
}

// A pointer that is one of two others is not assumed to be a number of 32 bits because nothing speaks against it.
func TestNothingIsAssumedOfPointers(t *testing.T) {
	r := region(t, 12, func(a *asm.Assembler) {
		a.Label("turn")
		a.Mv(asm.A5, asm.A2)
		a.B(riscv.BLTU, asm.A3, asm.A1, "one")
		a.Mv(asm.A5, asm.A6)
		a.Label("one")
		a.Store(riscv.SD, asm.A4, 0, asm.A5)
		a.R(riscv.ADDW, asm.A4, asm.A4, asm.A3)
		a.B(riscv.BNE, asm.A4, asm.Zero, "turn")
	})
	for _, g := range r.Guards {
		if g.Var == ir.X(asm.A2) || g.Var == ir.X(asm.A6) {
			t.Errorf("%v is assumed to have 32 bits", g.Var)
		}
	}
}

// What is assumed of a variable is still checked when it turns out to be the same as another one.
func TestAssumptionsOutliveMerging(t *testing.T) {
	r := region(t, minSink+4, func(a *asm.Assembler) {
		a.Label("turn")
		a.I(riscv.ADDIW, asm.S2, asm.S5, 0) // only good as a copy if S5 is sign-extended
		a.I(riscv.XORI, asm.A2, asm.S2, 1725)
		a.Mv(asm.A4, asm.T3)
		a.Mv(asm.S5, asm.A4)
		a.I(riscv.ADDIW, asm.T3, asm.A2, 0)
		for range minSink {
			a.R(riscv.XOR, asm.S3, asm.S3, asm.A2)
		}
		a.I(riscv.ADDI, asm.T1, asm.T1, -1)
		a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	})
	if !slices.ContainsFunc(r.Checks, func(k Check) bool { return k.Entry.Var == ir.X(asm.S5) }) {
		t.Fatal("S5 is not taken for A4")
	}
	for _, g := range r.Guards {
		if g.Var == ir.X(asm.A4) || g.Var == ir.X(asm.S5) {
			return
		}
	}
	t.Error("S5 is taken for sign-extended, and nothing checks it")
}

// ends counts the blocks that end with a call, and those that end with a comparison.
func ends(r *Region) (calls, conditions int) {
	for _, b := range r.Blocks {
		if b.Call != nil {
			calls++
		}
		if b.Cond != nil {
			conditions++
		}
	}
	return calls, conditions
}

func TestCallsInLoopsAreInlined(t *testing.T) {
	r := region(t, 12, func(a *asm.Assembler) {
		a.Label("turn")
		a.Call("f")
		a.I(riscv.ADDI, asm.T1, asm.T1, -1)
		a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
		a.Op(riscv.ECALL)
		a.Label("f")
		a.I(riscv.ADDI, asm.SP, asm.SP, -16)
		a.Store(riscv.SD, asm.RA, 8, asm.SP)
		a.Call("g")
		a.R(riscv.XOR, asm.A0, asm.A0, asm.A1)
		a.Load(riscv.LD, asm.RA, 8, asm.SP)
		a.I(riscv.ADDI, asm.SP, asm.SP, 16)
		a.Ret()
		a.Label("g")
		a.R(riscv.ADD, asm.A1, asm.A1, asm.A0)
		a.Ret()
	})
	calls, conditions := ends(r)
	if n := ops(r); calls != 0 || conditions != 1 || n[ir.Load] != 0 || n[ir.Store] != 1 {
		t.Errorf("%d calls, %d branches of which one is the loop's, %d loads of what was stored, %d stores", calls, conditions, n[ir.Load], n[ir.Store])
	}
}

func TestRecursionIsFollowedAndThenCalled(t *testing.T) {
	recursive := func(more func(a *asm.Assembler)) func(a *asm.Assembler) {
		return func(a *asm.Assembler) {
			a.Label("f")
			a.B(riscv.BEQ, asm.A0, asm.Zero, "out")
			a.I(riscv.ADDI, asm.SP, asm.SP, -16)
			a.Store(riscv.SD, asm.RA, 8, asm.SP)
			more(a)
			a.I(riscv.ADDI, asm.A0, asm.A0, -1)
			a.Call("f")
			a.Load(riscv.LD, asm.RA, 8, asm.SP)
			a.I(riscv.ADDI, asm.SP, asm.SP, 16)
			a.Label("out")
			a.Ret()
		}
	}
	r := region(t, 12, recursive(func(*asm.Assembler) {}))
	if calls, _ := ends(r); calls != 1 || r.Guest < 50 {
		t.Errorf("%d calls in %d instructions", calls, r.Guest)
	}
	// A loop in it has a region of its own instead: nothing of this one leads back to its head.
	a := asm.New(0)
	recursive(func(a *asm.Assembler) {
		a.Label("loop")
		a.I(riscv.ADDI, asm.A2, asm.A2, -1)
		a.B(riscv.BNE, asm.A2, asm.Zero, "loop")
	})(a)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, memory.PageSize)
	copy(page, code)
	if r := Find(&Source{Bytes: page, Max: 100, Loops: true}); r != nil {
		t.Errorf("a region of %d instructions", r.Guest)
	}
}

func TestStoresForwardOnlyTheirOwnBytes(t *testing.T) {
	loads := func(between func(a *asm.Assembler)) int {
		r := region(t, 12, func(a *asm.Assembler) {
			a.Label("turn")
			a.Store(riscv.SD, asm.A1, 8, asm.SP)
			between(a)
			a.Load(riscv.LD, asm.A2, 8, asm.SP)
			a.R(riscv.ADD, asm.A3, asm.A3, asm.A2)
			a.I(riscv.ADDI, asm.T1, asm.T1, -1)
			a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
		})
		return ops(r)[ir.Load]
	}
	for _, c := range []struct {
		name    string
		between func(a *asm.Assembler)
		want    int
	}{
		{"nothing", func(*asm.Assembler) {}, 0},
		{"beside it", func(a *asm.Assembler) { a.Store(riscv.SD, asm.A4, 16, asm.SP) }, 0},
		{"a byte of it", func(a *asm.Assembler) { a.Store(riscv.SB, asm.A4, 15, asm.SP) }, 1},
		{"half beside it", func(a *asm.Assembler) { a.Store(riscv.SD, asm.A4, 4, asm.SP) }, 1},
		{"the same place in the next page", func(a *asm.Assembler) {
			a.I(riscv.ADDI, asm.A5, asm.SP, 2040)
			a.I(riscv.ADDI, asm.A5, asm.A5, 2040)
			a.Store(riscv.SD, asm.A4, 24, asm.A5)
		}, 1},
		{"nowhere, and a fence", func(a *asm.Assembler) { a.Fence(2, 3) }, 1},
		{"nowhere, and a load of a part", func(a *asm.Assembler) { a.Load(riscv.LW, asm.A4, 8, asm.SP) }, 2},
		{"nowhere, and a load from anywhere", func(a *asm.Assembler) { a.Load(riscv.LW, asm.A4, 0, asm.A5) }, 2},
		{"anywhere", func(a *asm.Assembler) { a.Store(riscv.SD, asm.A4, 0, asm.A5) }, 1},
	} {
		if n := loads(c.between); n != c.want {
			t.Errorf("a store to %s in between: %d loads, want %d", c.name, n, c.want)
		}
	}
}

func TestLoopsAreUnrolled(t *testing.T) {
	find := func(turns, most int) *Region {
		a := asm.New(0)
		a.Label("outer")
		a.I(riscv.ADDI, asm.A1, asm.A1, 1)
		a.Label("turn")
		a.R(riscv.XOR, asm.A0, asm.A0, asm.A1)
		a.B(riscv.BEQ, asm.A0, asm.A2, "outer")
		a.I(riscv.ADDI, asm.A3, asm.A3, -1)
		a.B(riscv.BNE, asm.A3, asm.Zero, "turn")
		code, err := a.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		page := make([]byte, memory.PageSize)
		copy(page, code)
		r := Find(&Source{Bytes: page, Head: 4, Max: most, Loops: true, Turns: turns})
		if r == nil || !r.Optimize(target(12)) {
			t.Fatal("no region")
		}
		return r
	}
	for _, c := range []struct{ turns, most, guest int }{
		{1, 100, 5}, {2, 100, 9}, {4, 100, 17}, {4, 14, 13},
	} {
		r := find(c.turns, c.most)
		back := 0
		for _, b := range r.Blocks {
			for _, e := range b.Out {
				if e.Back && e.To == r.Head {
					back++
				}
			}
		}
		if r.Guest != c.guest || back != 1 {
			t.Errorf("up to %d turns in %d instructions: %d instructions, %d ways back to the head", c.turns, c.most, r.Guest, back)
		}
	}
}

func TestLongStraightLinesAreRegions(t *testing.T) {
	find := func(line, most int) *Region {
		a := asm.New(0)
		for range line {
			a.R(riscv.ADD, asm.A0, asm.A0, asm.A1)
		}
		a.B(riscv.BEQ, asm.A0, asm.A1, "end")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Label("end")
		a.Op(riscv.ECALL)
		code, err := a.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		page := make([]byte, memory.PageSize)
		copy(page, code)
		return Find(&Source{Bytes: page, Max: 100, Loops: true, Straight: most})
	}
	for _, c := range []struct{ line, most, guest int }{
		{minStraight - 1, 1000, 0}, {minStraight, 1000, minStraight}, {200, 1000, 200}, {200, 80, 80}, {200, minStraight - 1, 0},
	} {
		switch r := find(c.line, c.most); {
		case r == nil && c.guest != 0, r != nil && (r.Guest != c.guest || !r.Straight):
			t.Errorf("%d instructions, at most %d: %v", c.line, c.most, r)
		case r != nil && (!r.Head.Out[0].Back || r.Head.Out[0].To != nil):
			t.Errorf("%d instructions, at most %d: no look at the budget on the way out", c.line, c.most)
		}
	}
}

// The steps of an address are computed where the region is left, from what the guest still has.
func TestChainsAreForStatesOnly(t *testing.T) {
	r := region(t, 12, func(a *asm.Assembler) {
		a.Label("turn")
		for i := range 4 {
			a.I(riscv.SRLI, asm.A1, asm.A0, int32(8*i))
			a.I(riscv.ANDI, asm.A1, asm.A1, 1020)
			a.R(riscv.ADD, asm.A2, asm.A1, asm.S0)
			a.Load(riscv.LWU, asm.A3+uint8(i), 0, asm.A2)
		}
		a.R(riscv.XOR, asm.A0, asm.A3, asm.A4)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.A5)
		a.I(riscv.ADDI, asm.T1, asm.T1, -1)
		a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	})
	chains := 0
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind == Computed && v.Stored && v.Op != ir.Load {
				t.Errorf("%v is stored", v.Inst)
			}
		}
	}
	for _, v := range r.sunken() {
		if a := v.Arg[0]; a != nil && a.sunk {
			chains++
		}
	}
	if chains == 0 {
		t.Error("there is no chain")
	}
}

// A mask that only a comparison looks at is a part of it.
func TestMasksArePartsOfComparisons(t *testing.T) {
	for name, c := range map[string]struct {
		body func(a *asm.Assembler)
		ands int
	}{
		"a branch alone": {func(a *asm.Assembler) {
			a.I(riscv.ANDI, asm.A1, asm.A0, 8)
			a.B(riscv.BEQ, asm.A1, asm.Zero, "out")
			a.I(riscv.ADDI, asm.A1, asm.A0, 1)
		}, 0},
		"a choice": {func(a *asm.Assembler) {
			a.I(riscv.ANDI, asm.A1, asm.A0, 1)
			a.B(riscv.BNE, asm.A1, asm.Zero, "over")
			a.R(riscv.XOR, asm.A0, asm.A0, asm.A2)
			a.Label("over")
			a.I(riscv.ADDI, asm.A1, asm.A0, 1)
		}, 0},
		"something else, too": {func(a *asm.Assembler) {
			a.I(riscv.ANDI, asm.A1, asm.A0, 8)
			a.B(riscv.BEQ, asm.A1, asm.Zero, "out")
			a.R(riscv.ADD, asm.A0, asm.A0, asm.A1)
		}, 1},
	} {
		r := region(t, 12, func(a *asm.Assembler) {
			a.Label("turn")
			a.I(riscv.SRLI, asm.A0, asm.A0, 1)
			c.body(a)
			a.I(riscv.ADDI, asm.T1, asm.T1, -1)
			a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
			a.Label("out")
			a.Op(riscv.ECALL)
		})
		masked := 0
		for _, b := range r.Blocks {
			for _, v := range append(b.Values, b.Cond) {
				if v != nil && v.Masked {
					masked++
				}
			}
		}
		if n := ops(r)[ir.And]; n != c.ands || masked != 1-c.ands {
			t.Errorf("%s: %d masks, %d in comparisons", name, n, masked)
		}
	}
}

// Two streams of instructions that meet at a call have one callee between them.
func TestOverlappingInstructionsShareACall(t *testing.T) {
	r := region(t, 12, func(a *asm.Assembler) {
		a.Label("turn")
		a.B(riscv.BEQ, asm.A1, asm.Zero, "middle")
		a.Half(0x0537) // lui a0, of which the second half is c.addi a0, 1
		a.Label("middle")
		a.Half(0x0505)
		a.Call("f")
		a.B(riscv.BNE, asm.A0, asm.Zero, "turn")
		a.Op(riscv.ECALL)
		a.Label("f")
		a.R(riscv.ADD, asm.A1, asm.A1, asm.A0)
		a.Ret()
	})
	seen := map[*Block]bool{}
	for _, b := range r.Blocks {
		if seen[b] {
			t.Errorf("the block at %#x is there twice", b.Off)
		}
		seen[b] = true
	}
	if calls, _ := ends(r); calls != 0 || len(r.Blocks) != 6 {
		t.Errorf("%d calls, %d blocks", calls, len(r.Blocks))
	}
}
