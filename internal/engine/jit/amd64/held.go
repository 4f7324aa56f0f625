package amd64

// What a block of a mirrored address space holds in the register that groups have elsewhere: one of the variables that live in memory, the one that was made
// last or that an access went by last. It is in memory, too, wherever the block may be left, so that there is nothing to do there; but what follows need not
// wait for it to come back from there, which is most of the time of a chain of operations on such a variable. A value that the next instruction replaces never
// gets there.
//
// To the emitters it is a variable that stands for the register, as in regions.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/engine/jit/optimize"
)

const varHeld = varReg + ir.Var(group)

// isSpilled says that an integer variable has no register in blocks.
func isSpilled(v ir.Var) bool { return v != ir.Zero && v < ir.NumInt && pins[v] == unpinned }

// save puts what is held where it belongs.
func (c *Compiler) save() {
	if c.unsaved {
		c.MR(asm.MOV, asm.S64, slot(c.held), group)
		c.unsaved = false
	}
}

// holding emits an instruction of a mirrored block.
func (c *Compiler) holding(in *ir.Inst) {
	emit := emitters[in.Op]
	switch {
	case in.Op == ir.Nop:
		return
	case c.unsaved && in.Dst == c.held && in.Op < ir.Load && optimize.Keeps(in.Op):
		c.unsaved = false // it is replaced, and nobody saw it
	default:
		c.save()
	}
	if !optimize.Keeps(in.Op) {
		if in.Op == ir.JumpReg && in.A == c.held {
			c.now = *in
			in, c.now.A = &c.now, varHeld
		}
		emit(c, in)
		c.held = ir.None
		return
	}
	if in.Op >= ir.FAdd { // with closures that keep the instruction
		emit(c, in)
		if in.Dst == c.held {
			c.held = ir.None
		}
		return
	}
	c.now = *in
	now := &c.now
	if c.held != ir.None {
		if now.A == c.held {
			now.A = varHeld
		}
		if now.B == c.held && !now.Has(ir.UseImm) {
			now.B = varHeld
		}
	}
	if opt.Accesses(in.Op) && isSpilled(now.A) && now.B != varHeld {
		c.RM(asm.MOV, asm.S64, group, slot(now.A))
		c.held, now.A = now.A, varHeld
		if now.B == in.A && in.Op == ir.Store {
			now.B = varHeld
		}
	}
	if isSpilled(in.Dst) && makes(now) {
		now.Dst = varHeld
		emit(c, now)
		c.held, c.unsaved = in.Dst, true
		return
	}
	emit(c, now)
	if in.Dst == c.held {
		c.held = ir.None
	}
}

// makes says that the result of an instruction, whose place is in memory, is better made in a register: what one instruction does in memory is not.
func makes(in *ir.Inst) bool {
	switch in.Op {
	case ir.Const:
		return !fits(in.Imm)
	case ir.Move:
		_, ok := pinned(in.A)
		return !ok && in.A != in.Dst
	case ir.Add, ir.Sub, ir.And, ir.Or, ir.Xor:
		return in.Width == ir.W32 || in.A != in.Dst && (in.Op == ir.Sub || in.Has(ir.UseImm) || in.B != in.Dst)
	}
	return true
}
