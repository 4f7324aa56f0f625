package ir

import "testing"

func TestEveryOperationHasAName(t *testing.T) {
	seen := map[string]Op{}
	for op := range NumOps {
		name := opNames[op]
		if name == "" {
			t.Errorf("operation %d has no name", op)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("operations %d and %d are both called %s", other, op, name)
		}
		seen[name] = op
	}
}

func TestInstString(t *testing.T) {
	for _, c := range []struct {
		inst Inst
		want string
	}{
		{Inst{Op: Add, Width: W64, Dst: 10, A: 11, B: 12, C: None}, "add x10 = x11 x12"},
		{Inst{Op: Add, Width: W32, Flags: UseImm, Dst: 10, A: 11, B: None, Imm: -8}, "add.32 x10 = x11 -0x8"},
		{Inst{Op: Const, Width: W64, Dst: 1, Imm: -1 << 63}, "const x1 = -0x8000000000000000"},
		{Inst{Op: Page, Dst: 3, Imm: -4096}, "page x3 = page-0x1000"},
		{Inst{Op: Load, Width: W16, Flags: Signed | Grouped, Dst: 5, A: 2, B: None, Imm: 16}, "load.16.signed.grouped x5 = [x2+0x10]"},
		{Inst{Op: FStore, Width: W64, Dst: None, A: 2, B: F(9), Imm: 0}, "fstore.64 [x2+0x0] = f9"},
		{Inst{Op: Group, Flags: Signed, Dst: None, A: 2, B: None, C: None, Imm: -16, Raw: 48}, "group [x2-0x10] 48 bytes, write"},
		{Inst{Op: Branch, Cond: LTU, Dst: None, A: 5, B: 0, Imm: 0x120}, "branch x5 ltu x0 to +0x120"},
		{Inst{Op: Jump, Flags: Call, Dst: 1, Imm: -4}, "jump.call x1 = to -0x4"},
		{Inst{Op: Jump, Dst: 0, Imm: 4}, "jump to +0x4"},
		{Inst{Op: JumpReg, Flags: Return, Dst: 0, A: 1, B: None}, "jumpreg.return to x1+0x0"},
		{Inst{Op: WriteCSR, Dst: None, A: 5, Imm: 0x140}, "writecsr csr 0x140 x5"},
		{Inst{Op: SetCSR, Flags: UseImm, Dst: 5, A: None, C: 2, Imm: 0x100}, "setcsr x5 = csr 0x100 2"},
		{Inst{Op: FMulAdd, Flags: Single, Dst: F(1), A: F(2), B: F(3), C: F(4)}, "fmuladd.single f1 = f2 f3 f4"},
		{Inst{Op: Step}, "step"},
		{Inst{Op: Entry}, "entry"},
		{Inst{Op: ZeroBlock, Width: W64, Dst: 0, A: 10, B: 0}, "zeroblock [x10]"},
		{Inst{Op: NumOps}, "op "},
	} {
		got := c.inst.String()
		if c.inst.Op == NumOps {
			got = got[:3]
		}
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
