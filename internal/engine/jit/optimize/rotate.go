package optimize

// Rotations: two shifts and an OR become one instruction.
//
// A guest that is compiled without Zbb rotates like that, and digests and ciphers are made of it. What the shifts leave behind has to be there wherever the
// block may be left, so a shift goes only where nothing reads it, and it is written again, before that. Regions have their own (package opt).

import "github.com/vmproject/vm/internal/engine/jit/ir"

// pure are the operations that do nothing but write an integer, at which no block is ever left.
var pure = func() (p [ir.NumOps]bool) {
	for op := range ir.NumOps {
		p[op] = op <= ir.Mul || op >= ir.ShiftAdd && op <= ir.XorNot
	}
	return p
}()

// Rotate finds rotations by constants.
func Rotate(insts []ir.Inst) {
	var written [ir.NumInt]int // 1 more than the index of the instruction that wrote a variable last
	start := 0                 // what was written before may be read from outside
	for j := range insts {
		in := &insts[j]
		if !pure[in.Op] {
			start = j + 1
			continue
		}
		if in.Op == ir.Or && !in.Has(ir.UseImm) {
			if a, b := written[in.A]-1, written[in.B]-1; a >= start && b >= start {
				rotate(insts, min(a, b), max(a, b), j)
			}
		}
		if in.Dst < ir.NumInt {
			written[in.Dst] = j + 1
		}
	}
}

// rotate makes the OR at j a rotation, if its operands were written by shifts at i and k, i being the first.
func rotate(insts []ir.Inst, i, k, j int) {
	right, left := &insts[i], &insts[k]
	if right.Op == ir.Shl {
		right, left = left, right
	}
	of, bits := right.A, 8*right.Width.Bytes()
	if right.Op != ir.Shr || left.Op != ir.Shl || !right.Has(ir.UseImm) || !left.Has(ir.UseImm) || right.Width != left.Width || left.A != of || of == ir.Zero ||
		right.Imm <= 0 || right.Imm >= bits || right.Imm+left.Imm != bits {
		return
	}
	// What is rotated has to be there at j: only the second shift may write it, if that goes.
	second := dead(insts, k, j)
	for m := i; m < j; m++ {
		if insts[m].Dst == of && !(m == k && second) {
			return
		}
	}
	to := insts[j]
	to.Op, to.Width, to.Flags, to.A, to.B, to.Imm = ir.RotR, right.Width, ir.UseImm, of, ir.None, right.Imm
	if dead(insts, i, j) {
		insts[i] = nop(&insts[i])
	}
	if second {
		insts[k] = nop(&insts[k])
	}
	insts[j] = to
}

// nop is an instruction that does nothing in the place of another.
func nop(in *ir.Inst) ir.Inst {
	return ir.Inst{Op: ir.Nop, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None, Len: in.Len, Off: in.Off, N: in.N, Raw: in.Raw}
}

// dead says that nothing but the instruction at j reads what the one at i, before it and the last to write its variable, has written.
func dead(insts []ir.Inst, i, j int) bool {
	v := insts[i].Dst
	for m := i + 1; m < len(insts) && pure[insts[m].Op]; m++ {
		in := &insts[m]
		if m != j && (in.A == v || in.B == v || in.C == v) {
			return false
		}
		if m >= j && in.Dst == v {
			return true
		}
	}
	return false
}
