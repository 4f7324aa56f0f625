package amd64

// Searches (package opt, search.go): 16 bytes of guest memory compared with one number at once. They lie in one page, that of the element that the program
// reads first: where they would not, nothing is skipped.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
)

const searched = 16 // bytes

// search counts the elements that the loop passes over, up to as many as are 16 bytes.
func (e *regionEmitter) search(v *opt.Value, in *ir.Inst) {
	c := e.Compiler
	first := *in
	if v.Scan.Down { // from the last element up to the one that comes first
		first.Imm -= searched - in.Width.Bytes()
	}
	m := c.mirrored(&first)
	d, done := c.def(in.Dst, tmp2), c.NewLabel()
	none := c.outOfLine(func() {
		c.RR(asm.XOR, asm.S32, d, d)
		c.Jmp(done)
	})
	if v.Scan.Checked {
		b := c.use(in.B, tmp2)
		c.RR(asm.MOVSXD, asm.S64, tmp2, b)
		c.apply(asm.CMP, asm.S64, tmp2, in.B)
		c.Jcc(asm.CondNE, none)
	}
	// The next page would be a fault, or be mapped and marked as accessed for nothing.
	c.RM(asm.LEA, asm.S32, tmp2, m)
	c.RI(asm.AND, asm.S32, tmp2, memory.PageMask)
	c.RI(asm.CMP, asm.S32, tmp2, memory.PageSize-searched)
	c.Jcc(asm.CondA, none)
	c.XM(asm.MOVDQU, ftmp, m) // first: after a fault such registers have their low halves only
	if b, ok := pinned(in.B); ok {
		c.XR(asm.MOVD, ftmp2, b)
	} else if in.B == ir.Zero {
		c.XX(asm.PXOR, ftmp2, ftmp2)
	} else {
		c.XM(asm.MOVD, ftmp2, slot(in.B))
	}
	c.XXI(asm.PSHUFD, ftmp2, ftmp2, 0)
	// An element is not below another number if it is the greater one of both, and not above it if it is the lesser one.
	c.XX(limits[v.Scan.Swapped][in.Cond >= ir.LTU], ftmp2, ftmp)
	c.XX(asm.PCMPEQD, ftmp2, ftmp)
	c.RX(asm.PMOVMSKB, tmp, ftmp2)
	if in.Cond == ir.GE || in.Cond == ir.GEU {
		c.RI(asm.XOR, asm.S32, tmp, 1<<searched-1)
	}
	e.firstBit(d, v.Scan.Down)
	c.RI(asm.SHR, asm.S32, d, int32(in.Width))
	c.Bind(done)
	c.put(in.Dst, d)
}

// limits is the instruction that makes elements of another number where the loop ends, if it goes on below that (false) or above (true), as numbers with
// signs (false) or without (true).
var limits = map[bool]map[bool]asm.Op{
	false: {false: asm.PMAXSD, true: asm.PMAXUD},
	true:  {false: asm.PMINSD, true: asm.PMINUD},
}

// firstBit leaves in d the number of the first bit of tmp: from the lowest one on, or from bit 15 down. It is 16 where there is none.
func (e *regionEmitter) firstBit(d asm.Reg, down bool) {
	c := e.Compiler
	if !down {
		c.RI(asm.OR, asm.S32, tmp, 1<<searched)
		if c.has.Has(asm.HasBMI1) {
			c.RR(asm.TZCNT, asm.S32, d, tmp)
		} else {
			c.RR(asm.BSF, asm.S32, d, tmp)
		}
		return
	}
	c.RI(asm.SHL, asm.S32, tmp, searched)
	c.RI(asm.OR, asm.S32, tmp, 1<<(searched-1))
	if c.has.Has(asm.HasLZCNT) {
		c.RR(asm.LZCNT, asm.S32, d, tmp)
	} else {
		c.RR(asm.BSR, asm.S32, d, tmp)
		c.RI(asm.XOR, asm.S32, d, 31)
	}
}

// skip moves a pointer or a counter on by as many turns.
func (e *regionEmitter) skip(in *ir.Inst) {
	c := e.Compiler
	d, a, times := c.def(in.Dst, tmp), c.use(in.A, tmp), tmp2
	scale := max(in.Imm, -in.Imm)
	switch {
	case scale != 1 && scale != 2 && scale != 4 && scale != 8:
		if n, ok := pinned(in.B); ok {
			c.RRI(asm.IMUL, asm.S64, times, n, int32(in.Imm))
		} else {
			c.RMI(asm.IMUL, asm.S64, times, slot(in.B), int32(in.Imm))
		}
		scale = 1
	case in.Imm < 0:
		c.load(times, in.B)
		c.R(asm.NEG, asm.S64, times)
	default:
		times = c.use(in.B, tmp2)
	}
	c.RM(asm.LEA, asm.S64, d, asm.Indexed(a, times, int(scale), 0))
	c.put(in.Dst, d)
}

// retires takes what was skipped from the budget.
func (e *regionEmitter) retires(in *ir.Inst) {
	c := e.Compiler
	c.RRI(asm.IMUL, asm.S32, tmp, c.use(in.A, tmp), int32(in.Raw))
	c.RR(asm.SUB, asm.S64, budget, tmp)
}
