package amd64

// Regions: moving values between places, as if at once, where a region is entered or left and along its edges.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
)

// regionPlace is a place that values are moved between: a register, memory, or, as a source, a constant.
type regionPlace struct {
	kind placeKind
	n    int
}

type placeKind uint8

const (
	inReg placeKind = iota
	inXMM
	inState // n is the offset from RBP
	isConst // the constant is kept beside
)

type regionMove struct {
	dst, src regionPlace
	imm      int64
	extend   bool // from 32 bits
}

// memoryOf is the place in memory with a number of the allocator's.
func memoryOf(home int) regionPlace {
	if home < int(ir.NumVars) {
		return regionPlace{inState, int(slot(ir.Var(home)).Disp())}
	}
	return regionPlace{inState, int(offSpill) + 8*(home-int(ir.NumVars))}
}

func registerOf(v *opt.Value) regionPlace {
	if v.Float() {
		return regionPlace{inXMM, v.Reg}
	}
	return regionPlace{inReg, v.Reg}
}

// canonicalPlace is where a variable is outside of regions.
func canonicalPlace(v ir.Var) regionPlace {
	if v.IsFloat() {
		if x, ok := pinnedFloat(v); ok {
			return regionPlace{inXMM, int(x)}
		}
	} else if r, ok := pinned(v); ok {
		return regionPlace{inReg, int(r)}
	}
	return memoryOf(int(v))
}

// source is where a value is found: for an instruction or an edge, or else for a state.
func source(m *regionMove, v *opt.Value, forState bool) {
	switch {
	case v.IsConst() && (forState || v.Reg < 0):
		m.src, m.imm = regionPlace{kind: isConst}, v.Imm
	case v.Reg >= 0 && (!forState || v.Whole):
		m.src, m.extend = registerOf(v), v.Narrow
	default:
		m.src, m.extend = memoryOf(v.Home), v.Narrow && v.Private()
	}
}

// takeOver moves what the region wants elsewhere, where it begins or goes on behind a call.
func (c *Compiler) takeOver(b *opt.Block) {
	var moves []regionMove
	for _, v := range b.Values {
		at := canonicalPlace(v.Var)
		if v.Home >= 0 {
			if m := (regionMove{dst: memoryOf(v.Home), src: at}); m.dst != m.src {
				moves = append(moves, m)
			}
		}
		if v.Reg >= 0 {
			if m := (regionMove{dst: registerOf(v), src: at}); m.dst != m.src {
				moves = append(moves, m)
			}
		}
	}
	c.parallel(moves)
}

// flush makes the guest's state canonical.
func (c *Compiler) flush(at exitPoint) {
	var moves []regionMove
	for i, v := range at.state {
		if v == nil || i == 0 {
			continue
		}
		m := regionMove{dst: canonicalPlace(ir.Var(i))}
		if v.Sunk() {
			c.evaluate(v)
			if m.dst.kind == inState {
				c.MR(asm.MOV, asm.S64, asm.At(base, int32(m.dst.n)), tmp2)
				continue
			}
			m.src = regionPlace{inState, int(offSunk) + 8*i}
			c.MR(asm.MOV, asm.S64, asm.At(base, int32(m.src.n)), tmp2)
			moves = append(moves, m)
			continue
		}
		source(&m, v, true)
		if m.dst != m.src || m.extend {
			moves = append(moves, m)
		}
	}
	c.parallel(moves)
}

// evaluate leaves in tmp2 a value that is computed for states only. No other register changes.
func (c *Compiler) evaluate(v *opt.Value) {
	switch v.Op {
	case ir.ReadCSR:
		c.sinkFlags()
		return
	case ir.Page:
		c.address(tmp2, v.Imm)
		return
	}
	var a, b regionMove
	if v.Arg[0].Sunk() {
		c.evaluate(v.Arg[0])
		a.src = regionPlace{inReg, int(tmp2)}
	} else {
		source(&a, v.Arg[0], true)
	}
	if v.Arg[1] != nil {
		source(&b, v.Arg[1], true)
	}
	in := v.Inst
	c.sink(&in, a, b)
}

// sink leaves in tmp2 what an instruction computes of operands at two places, of which the first may be tmp2. No other register changes.
func (c *Compiler) sink(in *ir.Inst, a, b regionMove) {
	s := size(in.Width)
	if b.extend && s == asm.S64 {
		if a.src.kind == inReg && a.src.n == int(tmp2) {
			a.dst = regionPlace{inState, int(offScratch + 8*13)}
			c.move(a)
			a.src = a.dst
		}
		b.dst = regionPlace{inState, int(offScratch + 8*12)}
		c.move(b)
		b.src = b.dst
	}
	a.dst = regionPlace{inReg, int(tmp2)}
	if a.src != a.dst || a.extend {
		c.move(a)
	}
	if in.Op == ir.ShlU {
		c.RR(asm.MOV, asm.S32, tmp2, tmp2)
		c.RI(asm.SHL, asm.S64, tmp2, int32(in.Imm))
		return
	}
	op := map[ir.Op]asm.Op{ir.Add: asm.ADD, ir.Sub: asm.SUB, ir.And: asm.AND, ir.Or: asm.OR, ir.Xor: asm.XOR,
		ir.Shl: asm.SHL, ir.Shr: asm.SHR, ir.Sar: asm.SAR, ir.RotR: asm.ROR}[in.Op]
	switch {
	case in.Has(ir.UseImm):
		c.RI(op, s, tmp2, int32(in.Imm))
	case b.src.kind == isConst:
		if fits(b.imm) {
			c.RI(op, s, tmp2, int32(b.imm))
		} else {
			c.RM(op, s, tmp2, c.Const(uint64(b.imm)))
		}
	case b.src.kind == inReg:
		c.RR(op, s, tmp2, asm.Reg(b.src.n))
	default:
		c.RM(op, s, tmp2, asm.At(base, int32(b.src.n)))
	}
	if s == asm.S32 {
		c.RR(asm.MOVSXD, asm.S64, tmp2, tmp2)
	}
}

// sinkFlags leaves fflags in tmp2. No other register changes.
func (c *Compiler) sinkFlags() {
	c.MR(asm.MOV, asm.S64, scratch(10), asm.RDX)
	c.MR(asm.MOV, asm.S64, scratch(11), tmp)
	c.CallTo(c.routines.ReadFlags)
	c.RR(asm.MOV, asm.S64, tmp2, asm.RDX)
	c.RM(asm.MOV, asm.S64, asm.RDX, scratch(10))
	c.RM(asm.MOV, asm.S64, tmp, scratch(11))
}

// parallel does moves as if at once. The flags stay; tmp2 and ftmp do not.
func (c *Compiler) parallel(moves []regionMove) {
	for len(moves) > 0 {
		done := false
		for i := 0; i < len(moves); i++ {
			m := moves[i]
			blocked := false
			for j := range moves {
				if j != i && moves[j].src == m.dst && moves[j].src.kind != isConst {
					blocked = true
					break
				}
			}
			if blocked {
				continue
			}
			c.move(m)
			moves = append(moves[:i], moves[i+1:]...)
			i--
			done = true
		}
		if done || len(moves) == 0 {
			continue
		}
		// All wait for one another: what is in the first destination goes aside.
		from, aside := moves[0].dst, regionPlace{inXMM, int(ftmp)}
		c.move(regionMove{dst: aside, src: from})
		for j := range moves {
			if moves[j].src == from {
				moves[j].src = aside
			}
		}
	}
}

func (c *Compiler) move(m regionMove) {
	d, s := m.dst, m.src
	dr, dx := asm.Reg(d.n), asm.XMM(d.n)
	sr, sx := asm.Reg(s.n), asm.XMM(s.n)
	dm, sm := asm.At(base, int32(d.n)), asm.At(base, int32(s.n))
	switch {
	case m.extend && d.kind == inReg && s.kind == inReg:
		c.RR(asm.MOVSXD, asm.S64, dr, sr)
	case m.extend && d.kind == inReg:
		c.move(regionMove{dst: d, src: s})
		c.RR(asm.MOVSXD, asm.S64, dr, dr)
	case m.extend:
		c.move(regionMove{dst: regionPlace{inReg, int(tmp2)}, src: s, extend: true})
		c.MR(asm.MOV, asm.S64, dm, tmp2)
	case s.kind == isConst:
		switch {
		case d.kind == inReg:
			c.MovImm(dr, uint64(m.imm))
		case d.kind == inState && fits(m.imm):
			c.MI(asm.MOV, asm.S64, dm, int32(m.imm))
		default:
			c.MovImm(tmp2, uint64(m.imm))
			c.move(regionMove{dst: d, src: regionPlace{inReg, int(tmp2)}})
		}
	case d.kind == inReg && s.kind == inReg:
		c.RR(asm.MOV, asm.S64, dr, sr)
	case d.kind == inReg && s.kind == inXMM:
		c.RX(c.whole(moveQ), dr, sx)
	case d.kind == inReg:
		c.RM(asm.MOV, asm.S64, dr, sm)
	case d.kind == inXMM && s.kind == inReg:
		c.XR(c.whole(moveQ), dx, sr)
	case d.kind == inXMM && s.kind == inXMM:
		c.copyFloat(dx, sx)
	case d.kind == inXMM:
		c.fetchFloat(dx, sm)
	case s.kind == inReg:
		c.MR(asm.MOV, asm.S64, dm, sr)
	case s.kind == inXMM:
		c.MX(c.whole(move64), dm, sx)
	default:
		c.RM(asm.MOV, asm.S64, tmp2, sm)
		c.MR(asm.MOV, asm.S64, dm, tmp2)
	}
}
