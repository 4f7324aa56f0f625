package amd64

// fflags: MXCSR holds them while generated code runs, in other places. Compilers save and restore them around comparisons that must not
// signal, so the way between the two is short.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

const mxcsrFlagBits = 63

// flagPlaces are the flags of MXCSR by bits of fflags: inexact, underflow, overflow, division by zero, invalid. MXCSR has one
// more, for subnormal operands, which means nothing here.
var flagPlaces = [5]uint8{1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 0}

// accessFlags is a read of fflags, or a write with or without one.
func accessFlags(c *Compiler, in *ir.Inst) {
	c.floating(in)
	if in.Op == ir.WriteCSR {
		c.source(in)
		c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
		if in.Dst != ir.None {
			c.MR(asm.MOV, asm.S64, scratch(8), tmp)
		}
	}
	if in.Dst != ir.None {
		c.CallTo(c.routines.ReadFlags)
		c.put(in.Dst, asm.RDX)
	}
	if in.Op == ir.WriteCSR {
		if in.Dst != ir.None {
			c.RM(asm.MOV, asm.S64, asm.RDX, scratch(8))
		}
		c.CallTo(c.routines.WriteFlags)
	}
}

// flagRoutines are ReadFlags, which answers in RDX, and WriteFlags, which takes them there.
func (c *Compiler) flagRoutines(here func() uintptr) {
	toGuest, toHost := c.NewLabel(), c.NewLabel()
	r := &c.routines
	r.ReadFlags = here()
	c.M(asm.STMXCSR, asm.S32, scratch(9))
	c.RM(asm.MOV, asm.S32, tmp, scratch(9))
	c.RI(asm.AND, asm.S32, tmp, mxcsrFlagBits)
	c.RM(asm.LEA, asm.S64, asm.RDX, asm.Rel(toGuest))
	c.RM(asm.MOVZX8, asm.S32, asm.RDX, asm.Indexed(asm.RDX, tmp, 1, 0))
	c.Plain(asm.RET)

	r.WriteFlags = here()
	c.M(asm.STMXCSR, asm.S32, scratch(9))
	c.RM(asm.MOV, asm.S32, tmp, scratch(9))
	c.RI(asm.AND, asm.S32, tmp, ^mxcsrFlagBits)
	c.RI(asm.AND, asm.S32, asm.RDX, 31)
	c.RM(asm.LEA, asm.S64, tmp2, asm.Rel(toHost))
	c.RM(asm.MOVZX8, asm.S32, asm.RDX, asm.Indexed(tmp2, asm.RDX, 1, 0))
	c.RR(asm.OR, asm.S32, tmp, asm.RDX)
	c.MR(asm.MOV, asm.S32, scratch(9), tmp)
	c.M(asm.LDMXCSR, asm.S32, scratch(9))
	c.Plain(asm.RET)

	c.Align(8)
	table := func(l asm.Label, n int, f func(i int) uint8) {
		c.Bind(l)
		for i := 0; i < n; i += 8 {
			var v uint64
			for k := range 8 {
				v |= uint64(f(i+k)) << (8 * k)
			}
			c.Quad(v)
		}
	}
	table(toGuest, 64, func(i int) (v uint8) {
		for bit, place := range flagPlaces {
			if uint8(i)&place != 0 {
				v |= 1 << bit
			}
		}
		return v
	})
	table(toHost, 32, func(i int) (v uint8) {
		for bit, place := range flagPlaces {
			if i>>bit&1 != 0 {
				v |= place
			}
		}
		return v
	})
}
