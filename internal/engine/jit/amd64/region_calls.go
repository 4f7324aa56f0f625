package amd64

// Regions: calls. One that a region makes comes back to it, and one that is inlined gets its frame where the region is left in the middle of it.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
)

// land begins behind a call: all variables are in their canonical places.
func (e *regionEmitter) land(b *opt.Block) {
	c := e.Compiler
	if e.r.UsesFP {
		c.MI(asm.CMP, asm.S64, state(offFPFast), 0)
		c.Jcc(asm.CondE, c.outOfLine(func() {
			e.frames(b.Inside)
			c.goOn(b.Off)
		}))
	}
	c.fpChecked = true
	c.takeOver(b)
}

// frames makes up for the frames that inlined calls did not push. They lead behind the calls in the translations of blocks. The state is canonical.
func (e *regionEmitter) frames(inside *opt.Inlined) {
	if inside == nil {
		return
	}
	e.frames(inside.Up)
	c := e.Compiler
	behind, next := ir.Inst{Dst: ir.None, Off: uint16(inside.Back)}, c.NewLabel()
	c.pushReturn(&behind)
	c.Call(next)
	c.landing(&behind)
	c.goOn(inside.Back)
	c.Bind(next)
	c.fpChecked = true
}

// goOn goes to where a call returns to, which may be the next page.
func (c *Compiler) goOn(off int) {
	if inside(int64(off)) {
		c.link(int32(off), false)
		return
	}
	c.address(tmp, int64(off))
	c.lookupJump()
}
