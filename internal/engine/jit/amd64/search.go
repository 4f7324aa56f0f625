package amd64

// Searches (package opt, search.go): 16 bytes of guest memory compared with one value at once. They lie in one page, that of the element that the program
// reads first: where they would not, and at the mirror's end, nothing is skipped.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
)

const searched = 16 // bytes

// lanes are the instructions that compare elements of a width.
var lanes = [...]struct{ equal, minU, maxU, minS, maxS asm.Op }{
	ir.W8:  {asm.PCMPEQB, asm.PMINUB, asm.PMAXUB, asm.PMINSB, asm.PMAXSB},
	ir.W16: {asm.PCMPEQW, asm.PMINUW, asm.PMAXUW, asm.PMINSW, asm.PMAXSW},
	ir.W32: {asm.PCMPEQD, asm.PMINUD, asm.PMAXUD, asm.PMINSD, asm.PMAXSD},
}

// search counts the elements that the loop passes over, up to as many as are 16 bytes.
func (e *regionEmitter) search(v *opt.Value, in *ir.Inst) {
	c, size := e.Compiler, in.Width.Bytes()
	first := *in
	if v.Scan.Down { // from the last element up to the one that comes first
		first.Imm -= searched - size
	}
	m := c.mirrored(&first)
	d, done := c.def(in.Dst, tmp2), c.NewLabel()
	none := c.outOfLine(func() {
		c.RR(asm.XOR, asm.S32, d, d)
		c.Jmp(done)
	})
	c.RM(asm.LEA, asm.S32, tmp2, m)
	c.RI(asm.AND, asm.S32, tmp2, memory.PageMask)
	c.RI(asm.CMP, asm.S32, tmp2, memory.PageSize-searched)
	c.Jcc(asm.CondA, none)
	if v.Scan.Checked {
		e.check(in, none)
	}
	c.XM(asm.MOVDQU, ftmp, m) // first: after a fault such registers have their low halves only
	e.spread(v, in)
	ends := e.ends(v, in)
	c.RX(asm.PMOVMSKB, tmp, ftmp2)
	if !ends {
		c.RI(asm.XOR, asm.S32, tmp, 1<<searched-1)
	}
	switch {
	case !v.Scan.Down:
		c.RI(asm.OR, asm.S32, tmp, 1<<searched)
		if c.has.Has(asm.HasBMI1) {
			c.RR(asm.TZCNT, asm.S32, d, tmp)
		} else {
			c.RR(asm.BSF, asm.S32, d, tmp)
		}
	default:
		c.RI(asm.SHL, asm.S32, tmp, searched)
		c.RI(asm.OR, asm.S32, tmp, 1<<(searched-1))
		if c.has.Has(asm.HasLZCNT) {
			c.RR(asm.LZCNT, asm.S32, d, tmp)
		} else {
			c.RR(asm.BSR, asm.S32, d, tmp)
			c.RI(asm.XOR, asm.S32, d, 31)
		}
	}
	if size > 1 {
		c.RI(asm.SHR, asm.S32, d, int32(in.Width))
	}
	c.Bind(done)
	c.put(in.Dst, d)
}

// spread makes ftmp2 as many times what elements are compared with.
func (e *regionEmitter) spread(v *opt.Value, in *ir.Inst) {
	c := e.Compiler
	if k := v.Scan.Const; k != nil {
		element := uint64(k.Imm) & (1<<(8*in.Width.Bytes()) - 1)
		for n := 8 * in.Width.Bytes(); n < 64; n *= 2 {
			element |= element << n
		}
		if element == 0 {
			c.XX(asm.PXOR, ftmp2, ftmp2)
		} else {
			c.XM(asm.MOVDDUP, ftmp2, c.Const(element))
		}
		return
	}
	if r, ok := pinned(in.B); ok {
		c.XR(asm.MOVD, ftmp2, r)
	} else {
		c.XM(asm.MOVD, ftmp2, slot(in.B))
	}
	if in.Width == ir.W8 {
		c.XX(asm.PUNPCKLBW, ftmp2, ftmp2)
	}
	if in.Width <= ir.W16 {
		c.XXI(asm.PSHUFLW, ftmp2, ftmp2, 0)
	}
	c.XXI(asm.PSHUFD, ftmp2, ftmp2, 0)
}

// check goes to where nothing is passed over if B is no number that an element could be.
func (e *regionEmitter) check(in *ir.Inst, none asm.Label) {
	c := e.Compiler
	b := c.use(in.B, tmp2)
	switch signed := in.Has(ir.Signed); {
	case signed && in.Width == ir.W32:
		c.RR(asm.MOVSXD, asm.S64, tmp2, b)
	case in.Width == ir.W32:
		c.RR(asm.MOV, asm.S32, tmp2, b)
	case signed && in.Width == ir.W16:
		c.RR(asm.MOVSX16, asm.S64, tmp2, b)
	case in.Width == ir.W16:
		c.RR(asm.MOVZX16, asm.S32, tmp2, b)
	case signed:
		c.RR(asm.MOVSX8, asm.S64, tmp2, b)
	default:
		c.RR(asm.MOVZX8, asm.S32, tmp2, b)
	}
	c.apply(asm.CMP, asm.S64, tmp2, in.B)
	c.Jcc(asm.CondNE, none)
}

// ends compares the elements in ftmp with ftmp2, and leaves there which of them end the loop, or else, if it is false, which do not.
func (e *regionEmitter) ends(v *opt.Value, in *ir.Inst) bool {
	c, l := e.Compiler, &lanes[in.Width]
	if in.Cond <= ir.NE {
		c.XX(l.equal, ftmp2, ftmp)
		return in.Cond == ir.NE
	}
	// An element is not below another number if it is the greater one of both, and not above it if it is the lesser one.
	op := l.maxU
	switch unsigned := in.Cond >= ir.LTU || !in.Has(ir.Signed); {
	case v.Scan.Swapped && unsigned:
		op = l.minU
	case v.Scan.Swapped:
		op = l.minS
	case !unsigned:
		op = l.maxS
	}
	c.XX(op, ftmp2, ftmp)
	c.XX(l.equal, ftmp2, ftmp)
	return in.Cond == ir.LT || in.Cond == ir.LTU
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
