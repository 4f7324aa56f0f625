package riscv

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math/bits"
	"strings"
	"testing"
)

// opConstants reads the names of the operation constants out of ops.go, in order.
func opConstants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "ops.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, decl := range file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func TestEveryOpHasItsRow(t *testing.T) {
	names := opConstants(t)
	if last := names[len(names)-1]; last != "NumOps" || len(names) != NumOps+1 {
		t.Fatalf("ops.go has %d constants up to %s, want %d operations and NumOps", len(names), last, NumOps)
	}
	for op := Op(0); int(op) < NumOps; op++ {
		want := strings.ToUpper(strings.ReplaceAll(op.String(), ".", "_"))
		if names[op] != want {
			t.Errorf("constant %s has the row of %s", names[op], op)
		}
		if got, ok := Lookup(op.String()); op != ILLEGAL && (!ok || got != op) {
			t.Errorf("Lookup(%s) = %v, %v", op, got, ok)
		}
	}
	if _, ok := Lookup("vadd.vv"); ok {
		t.Error("Lookup finds an operation that is not there")
	}
}

func TestRowsAreWellFormed(t *testing.T) {
	// Rows that fix operand bits of their format, and which.
	fixes := map[Op]uint32{
		AMOCAS_Q: 1<<7 | 1<<20, // odd registers are reserved
	}
	used := map[Format]bool{}
	for op := Op(1); int(op) < NumOps; op++ {
		s := op.Spec()
		used[s.Format] = true
		operands := formats[s.Format].bits()
		width := uint32(0xffffffff)
		if op.Compressed() {
			width = 0xffff
		}
		if want := width&^operands | fixes[op]; s.Mask != want {
			t.Errorf("%s: mask %#x, but its format leaves %#x", op, s.Mask, want)
		}
		if s.Match&^s.Mask != 0 {
			t.Errorf("%s: match %#x has bits outside mask %#x", op, s.Match, s.Mask)
		}
		if s.Nonzero&^operands != 0 {
			t.Errorf("%s: nonzero %#x has bits outside the operands %#x", op, s.Nonzero, operands)
		}
		if op.Compressed() == (s.Match&3 == 3) {
			t.Errorf("%s: match %#x is of the wrong length", op, s.Match)
		}
		if op.Compressed() != (s.Base != ILLEGAL) || s.Base.Compressed() {
			t.Errorf("%s: base %s", op, s.Base)
		}
		if op.Compressed() != strings.HasPrefix(s.Name, "c.") {
			t.Errorf("%s: name does not agree with its place", op)
		}
	}
	for f := FormatNone; int(f) < numFormats; f++ {
		if !used[f] {
			t.Errorf("format %d is not used", f)
		}
	}
}

// An encoding that two rows cover must be a specialisation that is meant, and the special row must be inside the general.
func TestRowsAreDisjoint(t *testing.T) {
	inside := map[[2]Op]bool{
		{PREFETCH_I, ORI}: true, {PREFETCH_R, ORI}: true, {PREFETCH_W, ORI}: true,
		{C_NOP, C_ADDI}: true, {C_ADDI16SP, C_LUI}: true, {C_MOP_N, C_LUI}: true,
		{C_JR, C_MV}: true, {C_JALR, C_ADD}: true, {C_EBREAK, C_ADD}: true, {C_EBREAK, C_JALR}: true,
	}
	for a := Op(1); int(a) < NumOps; a++ {
		for b := a + 1; int(b) < NumOps; b++ {
			s, g := a, b
			if bits.OnesCount32(g.Spec().Mask) > bits.OnesCount32(s.Spec().Mask) {
				s, g = g, s
			}
			ss, gs := s.Spec(), g.Spec()
			if a.Compressed() != b.Compressed() || (ss.Match^gs.Match)&ss.Mask&gs.Mask != 0 {
				continue
			}
			if !inside[[2]Op{s, g}] {
				t.Errorf("%s and %s share encodings", s, g)
			}
			delete(inside, [2]Op{s, g})
			if gs.Mask&^ss.Mask != 0 {
				t.Errorf("%s is not wholly inside %s", s, g)
			}
		}
	}
	for pair := range inside {
		t.Errorf("%s is not inside %s", pair[0], pair[1])
	}
}

func TestOperands(t *testing.T) {
	for _, c := range []struct {
		op                Op
		rd, rs1, rs2, rs3 RegClass
	}{
		{ADD, IntReg, IntReg, IntReg, NoReg},
		{LUI, IntReg, NoReg, NoReg, NoReg},
		{FMADD_D, FloatReg, FloatReg, FloatReg, FloatReg},
		{FSD, NoReg, IntReg, FloatReg, NoReg},
		{FCVT_W_D, IntReg, FloatReg, NoReg, NoReg},
		{FMV_H_X, FloatReg, IntReg, NoReg, NoReg},
		{FLI_S, FloatReg, ConstReg, NoReg, NoReg},
		{CSRRWI, IntReg, ConstReg, NoReg, NoReg},
		{C_FSDSP, NoReg, IntReg, FloatReg, NoReg},
		{FENCE_I, IntReg, IntReg, NoReg, NoReg},
		{ECALL, NoReg, NoReg, NoReg, NoReg},
	} {
		rd, rs1, rs2, rs3 := c.op.Operands()
		if rd != c.rd || rs1 != c.rs1 || rs2 != c.rs2 || rs3 != c.rs3 {
			t.Errorf("%s: operands %d %d %d %d", c.op, rd, rs1, rs2, rs3)
		}
	}
	// A compressed instruction has the operands of the one it abbreviates, where it has them at all.
	for op := C_ADDI4SPN; int(op) < NumOps; op++ {
		a, b, c, _ := op.Operands()
		x, y, z, _ := op.Spec().Base.Operands()
		for _, p := range [][2]RegClass{{a, x}, {b, y}, {c, z}} {
			if p[0] != p[1] && p[0] != NoReg {
				t.Errorf("%s and %s disagree about operands", op, op.Spec().Base)
			}
		}
	}
}

func TestNamesOfExtensions(t *testing.T) {
	if ExtI.String() != "I" || ExtZcmop.String() != "Zcmop" || Ext(200).String() != "unknown" {
		t.Error("extension names are out of step")
	}
	for op := Op(0); int(op) < NumOps; op++ {
		if op.Spec().Ext.String() == "" {
			t.Errorf("%s: extension without a name", op)
		}
	}
}

func TestCSRNames(t *testing.T) {
	for number, want := range map[uint16]string{
		CSRFcsr: "fcsr", CSRSatp: "satp", CSRStimecmp: "stimecmp", CSRMstatus: "mstatus", 0x7c0: "0x7c0",
		CSRHpmcounter3: "hpmcounter3", CSRHpmcounter31: "hpmcounter31", CSRMhpmevent31: "mhpmevent31",
		CSRMhpmcounter31: "mhpmcounter31", CSRPmpcfg14: "pmpcfg14", CSRPmpaddr0 + 5: "pmpaddr5", CSRPmpaddr63: "pmpaddr63",
	} {
		if got := CSRName(number); got != want {
			t.Errorf("CSRName(%#x) = %s, want %s", number, got, want)
		}
		if got, ok := CSRNumber(want); !ok || got != number {
			t.Errorf("CSRNumber(%s) = %#x, %v", want, got, ok)
		}
	}
	if _, ok := CSRNumber("nosuch"); ok {
		t.Error("CSRNumber finds a register that is not there")
	}
	seen := map[string]uint16{}
	for number := range uint16(1 << 12) {
		name := CSRName(number)
		if other, ok := seen[name]; ok {
			t.Errorf("%#x and %#x are both called %s", number, other, name)
		}
		seen[name] = number
	}
}
