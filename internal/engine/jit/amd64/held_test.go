package amd64

import (
	"bytes"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// A chain of operations on a variable in memory goes to memory where the block may be left, and never comes back from there.
func TestChainsStayInARegister(t *testing.T) {
	const a7 = ir.Var(17)
	imm := func(op ir.Op, dst, a ir.Var, imm int64) ir.Inst {
		return ir.Inst{Op: op, Width: ir.W64, Flags: ir.UseImm, Dst: dst, A: a, B: ir.None, C: ir.None, Imm: imm}
	}
	load := imm(ir.Load, a7, a7, 0)
	load.Flags = 0
	b := &ir.Block{Plain: true, Insts: []ir.Inst{
		imm(ir.Shl, a7, ir.Var(15), 2), // replaced before anybody sees it
		imm(ir.Add, a7, a7, 64),        // the load may leave
		load,                           // replaced
		imm(ir.And, a7, a7, -2),        // the block ends
		{Op: ir.Step, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None},
	}}
	c := New(asm.Host(), Routines{}, 0)
	c.Mirrored = true
	buf := make([]byte, 4096)
	out, err := c.Compile(b, buf, 0x1000, func(int32, bool) (uintptr, bool) { return 0, false })
	if err != nil {
		t.Fatal(err)
	}
	disp := byte(slot(a7).Disp())
	for _, access := range []struct {
		what string
		op   byte
		want int
	}{{"stores", 0x89, 2}, {"loads", 0x8b, 0}} {
		if n := bytes.Count(out.Bytes, []byte{0x48, access.op, 0x55, disp}); n != access.want { // mov [rbp+disp], rdx, and back
			t.Errorf("%d %s, want %d", n, access.what, access.want)
		}
	}
}
