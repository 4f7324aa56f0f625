package amd64

// Control flow.
//
// Direct jumps inside of the page are links: patched once, then a plain jump. All others look their target up by its virtual
// address in the jump cache of the present address space, in line: a link between pages would have to be checked for a change
// of mapping at each use, and costs no less.
//
// Calls use the host's call instruction, and returns its return, so that the host's processor predicts them. RSP points to the
// shadow stack of the present fetch bank; each frame is the host's return address and, above it, the guest's, which a return compares with the
// register that it goes by. At the stack's top lies a frame that no return matches. A call does not look whether there is room: there is for as many as the budget
// allows. What gives a new budget looks, and what changes to another stack; short of room, the stack starts again at its top, and what was in it is forgotten.
//
// The budget is checked where a program can go round: on jumps back, and on jumps and calls to computed or other pages' addresses. It is also
// checked where a block ends because it is long, so that samples find hot straight lines.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory"
)

var controls = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.Entry:     entry,
	ir.Branch:    branch,
	ir.Jump:      jump,
	ir.JumpReg:   jumpReg,
	ir.Step:      func(c *Compiler, in *ir.Inst) { c.step(in) },
	ir.GuardNext: guardNext,
}

// The shape of jump caches and shadow stacks; see the comment above and lookupJump.
const (
	JumpEntries = 1 << 15 // of 16 bytes: address, code; found by the low 16 bits of an address, of which one instruction of three bytes makes a distance

	// ShadowBytes is the size of a shadow stack, which is aligned to it.
	ShadowBytes = 1 << 20
	shadowMask  = ShadowBytes - 1
	// ShadowTop is where the pointer of an empty stack is, from its start.
	ShadowTop = ShadowBytes - frameBytes
	// ShadowRoom is what has to be left: a frame for each instruction, and what a region executes beyond the budget.
	ShadowRoom = (MaxBudget + 4096) * frameBytes
	frameBytes = 16

	// MaxBudget is the most instructions that generated code may be asked for.
	MaxBudget = 32 << 10
)

// It is an instruction's displacement, and there is as much to use as there is to spare, nearly.
var _ [ShadowTop - ShadowRoom - ShadowBytes*2/5]struct{}

func inside(off int64) bool { return uint64(off) < memory.PageSize }

var conditions = [...]asm.Cond{
	ir.EQ: asm.CondE, ir.NE: asm.CondNE, ir.LT: asm.CondL, ir.GE: asm.CondGE, ir.LTU: asm.CondB, ir.GEU: asm.CondAE,
}

// mirrored is the condition for operands that changed places.
func mirrored(c ir.Cond) asm.Cond {
	return [...]asm.Cond{ir.EQ: asm.CondE, ir.NE: asm.CondNE, ir.LT: asm.CondG, ir.GE: asm.CondLE, ir.LTU: asm.CondA, ir.GEU: asm.CondBE}[c]
}

// branch is a side exit, or with a jump back the end of a loop.
func branch(c *Compiler, in *ir.Inst) {
	target, retired := in.Imm, int(in.N)+1
	back := target <= int64(in.Off)
	if back && inside(target) {
		// Taken from the budget before the comparison, whichever way it goes. Something must have been left of it: a hart that is asked for
		// one instruction executes one.
		c.retire(retired)
		c.Jcc(asm.CondL, c.add(backPiece, in).label)
		c.linkIf(in, int32(target))
		return
	}
	if l, ok := c.own(int32(target)); ok && inside(target) && !c.block.Plain {
		c.settle(retired)
		c.Jcc(c.condition(in), l)
		return
	}
	cond := c.condition(in)
	c.Jcc(cond, c.add(takenPiece, in).label)
}

// takenPiece is a side exit.
func takenPiece(c *Compiler, p *piece) {
	c.retire(int(p.in.N) + 1)
	c.far(p.in.Imm)
}

// backPiece stops before a branch back, which has been taken from the budget.
func backPiece(c *Compiler, p *piece) {
	c.RI(asm.ADD, asm.S64, budget, 1)
	c.MovImm(tmp2, uint64(uint32(p.in.Off)))
	c.JmpTo(c.routines.Poll)
}

// condition compares, and returns the host's condition.
func (c *Compiler) condition(in *ir.Inst) asm.Cond {
	if in.A == ir.Zero && in.B != ir.Zero {
		c.compare(in.B, in.A, in)
		return mirrored(in.Cond)
	}
	c.compare(in.A, in.B, in)
	return conditions[in.Cond]
}

// far goes to an offset that may be in another page. The flags are those of retire.
func (c *Compiler) far(target int64) {
	if inside(target) {
		c.link(int32(target), false)
		return
	}
	c.Jcc(asm.CondLE, c.leaving(pollPiece, target).label)
	c.address(tmp, target)
	c.lookupJump()
}

func jump(c *Compiler, in *ir.Inst) {
	target := in.Imm
	retired := int(in.N) + 1
	if in.Len == 0 { // no guest instruction: here the block ends
		retired = int(in.N)
	}
	if !in.Has(ir.Call) {
		if inside(target) && in.Len != 0 && target > int64(in.Off) {
			c.settle(retired)
			c.link(int32(target), false)
			return
		}
		c.retire(retired)
		if !inside(target) {
			c.far(target)
			return
		}
		c.Jcc(asm.CondLE, c.add(pollPiece, in).label)
		c.link(int32(target), false)
		return
	}
	c.pushReturn(in)
	c.retire(retired)
	resume := c.NewLabel()
	poll := c.add(pollCallPiece, in)
	poll.again = resume
	c.Jcc(asm.CondLE, poll.label)
	if !inside(target) {
		if ahead := target - int64(in.Off) - int64(in.Len); fits(ahead) {
			c.RM(asm.LEA, asm.S64, tmp, asm.At(tmp, int32(ahead))) // from where the call returns to
		} else {
			c.address(tmp, target)
		}
		c.lookupCall(resume)
	} else if l, ok := c.own(int32(target)); ok && !c.block.Plain {
		c.Call(l)
	} else if at, ok := c.target(int32(target), false); ok {
		c.CallTo(at)
	} else {
		p := c.leaving(linkPiece, target)
		p.site = c.CallSite(p.label)
	}
	c.Bind(resume)
	c.landing(in)
}

// pushReturn sets the link register and pushes the guest's half of a frame. It keeps tmp2 and changes tmp.
func (c *Compiler) pushReturn(in *ir.Inst) {
	c.address(tmp, int64(in.Off)+int64(in.Len))
	c.put(in.Dst, tmp)
	c.R(asm.PUSH, asm.S64, tmp)
}

// pollPiece looks at the world and goes on at an offset; pollCallPiece does so for a call.
func pollPiece(c *Compiler, p *piece) {
	c.MovImm(tmp2, uint64(uint32(p.in.Imm)))
	c.JmpTo(c.routines.Poll)
}

func pollCallPiece(c *Compiler, p *piece) {
	c.MovImm(tmp2, uint64(uint32(p.in.Imm)))
	c.CallTo(c.routines.Poll)
	c.Jmp(p.again)
}

// makeRoom empties the shadow stack if there is little left of it. tmp2 is lost.
func (c *Compiler) makeRoom() {
	enough := c.NewLabel()
	c.RR(asm.MOV, asm.S32, tmp2, asm.RSP)
	c.RI(asm.AND, asm.S32, tmp2, shadowMask)
	c.RI(asm.CMP, asm.S32, tmp2, ShadowRoom)
	c.Jcc(asm.CondAE, enough)
	c.RI(asm.OR, asm.S64, asm.RSP, ShadowTop)
	c.Bind(enough)
}

// findCallPiece calls the code for an address that the jump cache does not have.
func findCallPiece(c *Compiler, p *piece) {
	c.CallTo(c.routines.Find)
	c.Jmp(p.again)
}

// landing is where a call returns to: the guest's half of the frame says what the page's address is.
func (c *Compiler) landing(in *ir.Inst) {
	c.R(asm.POP, asm.S64, tmp)
	c.RM(asm.LEA, asm.S64, tmp, asm.At(tmp, -(int32(in.Off)+int32(in.Len))))
	c.MR(asm.MOV, asm.S64, state(offPageBase), tmp)
	c.fpChecked, c.boxed = false, 0
}

// index leaves the distance of the jump-cache entry of the address in tmp in tmp2, in units of 8 bytes, and the cache in group.
func (c *Compiler) index() {
	c.RM(asm.MOV, asm.S64, group, state(offJumpCache))
	c.RR(asm.MOVZX16, asm.S32, tmp2, tmp)
}

// lookupJump jumps to the code for the address in tmp, which is even.
func (c *Compiler) lookupJump() {
	c.index()
	c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(group, tmp2, 8, 0))
	c.JccTo(asm.CondNE, c.routines.Find)
	c.M(asm.JMP, asm.S64, asm.Indexed(group, tmp2, 8, 8))
}

// lookupCall calls it. resume is what follows the call.
func (c *Compiler) lookupCall(resume asm.Label) {
	c.index()
	c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(group, tmp2, 8, 0))
	c.Jcc(asm.CondNE, c.cold(piece{emit: findCallPiece, again: resume}))
	c.M(asm.CALL, asm.S64, asm.Indexed(group, tmp2, 8, 8))
}

func jumpReg(c *Compiler, in *ir.Inst) {
	retired := int(in.N) + 1
	if in.Has(ir.Return) {
		c.settle(retired)
		c.load(tmp, in.A)
		c.RM(asm.CMP, asm.S64, tmp, asm.At(asm.RSP, 8))
		c.JccTo(asm.CondNE, c.routines.BadReturn)
		c.Plain(asm.RET)
		return
	}
	c.load(tmp, in.A)
	if in.Imm != 0 {
		c.RI(asm.ADD, asm.S64, tmp, int32(in.Imm))
	}
	c.RI(asm.AND, asm.S64, tmp, -2)
	if !in.Has(ir.Call) {
		c.retire(retired)
		c.JccTo(asm.CondLE, c.routines.PollAt)
		c.lookupJump()
		return
	}
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.pushReturn(in)
	c.RR(asm.MOV, asm.S64, tmp, tmp2)
	c.retire(retired)
	resume := c.NewLabel()
	l := c.outOfLine(func() {
		c.CallTo(c.routines.PollAt)
		c.Jmp(resume)
	})
	c.Jcc(asm.CondLE, l)
	c.lookupCall(resume)
	c.Bind(resume)
	c.landing(in)
}

// guardNext steps unless the next page of the address space is the one that the block was made with.
func guardNext(c *Compiler, in *ir.Inst) {
	miss := c.stepLabel(in)
	c.address(tmp, memory.PageSize)
	c.RM(asm.MOV, asm.S64, group, state(offFetchBank))
	c.RR(asm.MOV, asm.S32, tmp2, tmp)
	c.RI(asm.SHR, asm.S32, tmp2, memory.PageShift-fetchShift)
	c.RI(asm.AND, asm.S32, tmp2, fetchMask)
	c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(group, tmp2, 1, bankFetch+fetchTag))
	c.Jcc(asm.CondNE, miss)
	c.MovImm(tmp, uint64(in.Imm))
	c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(group, tmp2, 1, bankFetch+fetchGPA))
	c.Jcc(asm.CondNE, miss)
}

// JumpIndex is the entry of a jump cache that an address has.
func JumpIndex(va uint64) uint64 { return va >> 1 % JumpEntries }
