package amd64

// Loads and stores of code that executes in a mirrored address space (package mirror): the base of the segment GS is that of the mirror, and an
// access is one instruction. Where programs may not change the segment's base by one (old kernels, some hypervisors), a system call does, which takes 0.1 to 10
// microseconds, and only when it is another mirror's: State.Mirror says which one it is, for as long as the hart keeps its thread (Compiler.HoldsThread). Where there is no
// such call, the base is in the state, and an access two instructions. What is not mapped faults; code.Faults and the engine's fault have the rest.
//
// An access may not leave the mirror and its margins, or it would reach the process's own memory. So an address is compared with the mirror's size, once
// for each value of a register: what is a small distance from it is in the margin at worst. Where the comparison fails, and where the engine finds that
// nothing can be mapped, the access is a step.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory/mirror"
)

// Fault is a place in code where an access may fault: between it and the next one's. If it has to be a step, the code goes on at To, or as [Routines.StepFault]
// has it at Place where To is 0. At and To are offsets from the start of the code.
type Fault struct {
	At, To int
	Place  Place
}

// faultSite is a Fault that is not complete. In blocks all is known of a step that there is to do; a region has code for it.
type faultSite struct {
	at    int
	to    asm.Label
	place Place
}

// maxDrift bounds how far from a compared value an address may be, in bytes: with the immediate of an access, still in the margin.
const maxDrift = mirror.Reach / 2

// drifts is for each integer variable 1 more than how far at most it is from a value that was compared, or 0 if that is not known.
type drifts [ir.NumInt]int32

// mirrored is the operand of an access to the mirror.
func (c *Compiler) mirrored(in *ir.Inst) asm.Mem {
	c.count(CountMirrored)
	site := faultSite{at: c.Pos()}
	if c.region != nil {
		site.to = c.stepLabel(in)
		if !c.compared {
			c.Jcc(c.compareReach(in.A), site.to)
		}
	} else {
		site.place = Place(c.place(in))
		a := in.A
		if a == varHeld {
			a = c.held
		}
		if a != ir.Zero && c.drifts[a] == 0 {
			c.haltBeyond(in)
			c.drifts[a] = 1
		}
	}
	c.faults = append(c.faults, site)
	if c.segment() {
		return asm.At(c.use(in.A, tmp), int32(in.Imm)).GS()
	}
	if a, ok := pinned(in.A); ok {
		c.RM(asm.MOV, asm.S64, tmp, state(offMirror))
		return asm.Indexed(tmp, a, 1, int32(in.Imm))
	}
	c.load(tmp, in.A)
	c.RM(asm.ADD, asm.S64, tmp, state(offMirror))
	return asm.At(tmp, int32(in.Imm))
}

// segment says that GS is the mirror.
func (c *Compiler) segment() bool { return c.has&(asm.HasFSGSBASE|asm.HasArchPrctl) != 0 }

// HoldsThread says that generated code has to be entered from one thread for as long as State.Mirror is not cleared: it is what GS is there.
func (c *Compiler) HoldsThread() bool { return c.segment() && !c.has.Has(asm.HasFSGSBASE) }

// compareReach compares an address with the size of a mirror, and returns the condition of one beyond it.
func (c *Compiler) compareReach(a ir.Var) asm.Cond {
	if r, ok := pinned(a); ok {
		c.MR(asm.TEST, asm.S64, state(int32(reach)), r)
		return asm.CondNE
	}
	c.MI(asm.CMP, asm.S32, slotAt(a, 4), mirror.Size>>32-1)
	return asm.CondA
}

// haltBeyond makes the access of an instruction of a block, whose address is not compared yet, a step if that is beyond the mirror. That is the end of its process, most likely,
// so there is no code for it where the address is in a register: the jump that is taken then, which has one byte for its distance, leads to the last byte of the comparison before it, and that byte is a halt.
// A process may not halt; it is a fault like that of an access.
func (c *Compiler) haltBeyond(in *ir.Inst) {
	beyond := c.compareReach(in.A)
	if _, ok := pinned(in.A); ok {
		c.Jcc(beyond, c.Within(1))
		return
	}
	c.Jcc(beyond, c.stepLabel(in))
}

// follow keeps track of drifts behind an instruction of a block.
func (c *Compiler) follow(in *ir.Inst) {
	switch {
	case in.Op == ir.Branch, in.Op == ir.Nop:
	case in.Op > ir.Group || in.Op == ir.ZeroBlock:
		if in.Op < ir.FAdd {
			c.drifts = drifts{}
			return
		}
		fallthrough
	default:
		if in.Dst == ir.None || in.Dst >= ir.NumInt {
			return
		}
		d := int32(0)
		switch {
		case in.Op == ir.Move:
			d = c.drifts[in.A]
		case in.Op == ir.Add && in.Width == ir.W64 && in.Has(ir.UseImm):
			if d = c.drifts[in.A]; d != 0 {
				if d += int32(max(in.Imm, -in.Imm)); d > maxDrift {
					d = 0
				}
			}
		}
		c.drifts[in.Dst] = d
	}
}

// faultsOf completes the list of places that may fault, once the code is.
func (c *Compiler) faultsOf() []Fault {
	out := c.faultList[:0]
	for _, f := range c.faults {
		to := 0
		if c.region != nil {
			to, _ = c.Offset(f.to)
		}
		out = append(out, Fault{f.at, to, f.place})
	}
	c.faultList = out
	return out
}

// setMirror makes the mirror of the bank whose address is in tmp2 the one that is accessed, if it has one. tmp and tmp2 are lost.
func (c *Compiler) setMirror() {
	c.RM(asm.MOV, asm.S64, tmp, asm.At(tmp2, bankMirror))
	if !c.segment() {
		c.MR(asm.MOV, asm.S64, state(offMirror), tmp)
		return
	}
	done := c.NewLabel()
	c.RR(asm.TEST, asm.S64, tmp, tmp)
	c.Jcc(asm.CondE, done)
	if c.HoldsThread() {
		c.MR(asm.CMP, asm.S64, state(offMirror), tmp)
		c.Jcc(asm.CondE, done)
		c.MR(asm.MOV, asm.S64, state(offMirror), tmp)
		c.setGS()
	} else {
		c.R(asm.WRGSBASE, asm.S64, tmp)
	}
	c.Bind(done)
}

// setGS asks the kernel to make tmp the base of GS. tmp and tmp2 are lost. A kernel that did so when it was tried and now refuses, by a filter that came later, ends the process:
// an access would reach other memory than the mirror.
func (c *Compiler) setGS() {
	changed := [...]asm.Reg{asm.RDI, asm.RSI, asm.R11, tmp2} // RCX and R11 are the kernel's
	for _, r := range changed {
		c.MR(asm.MOV, asm.S64, raw(int(r)), r)
	}
	c.RR(asm.MOV, asm.S64, asm.RSI, tmp)
	c.MovImm(asm.RDI, asm.ArchSetGS)
	c.MovImm(asm.RAX, sysArchPrctl)
	c.Plain(asm.SYSCALL)
	ok := c.NewLabel()
	c.RR(asm.TEST, asm.S32, asm.RAX, asm.RAX)
	c.Jcc(asm.CondE, ok)
	c.Plain(asm.UD2)
	c.Bind(ok)
	for _, r := range changed {
		c.RM(asm.MOV, asm.S64, r, raw(int(r)))
	}
}

const sysArchPrctl = 158 // Linux's number of the system call on x86-64

// raw is where the i-th register of the host is kept: general ones, then SSE ones.
func raw(i int) asm.Mem { return asm.At(base, offRaw+8*int32(i)) }

// Faults is what the arena of the routines' code has to know.
func (r *Routines) Faults() code.Faults {
	return code.Faults{
		Routine: code.Addr(r.Fault), PC: offFaultPC,
		Address: offFault + int32(unsafe.Offsetof(hart.Fault{}.Address)), Code: offFault + int32(unsafe.Offsetof(hart.Fault{}.Code)),
	}
}

// StepFault makes the access that faulted a step, at a place of the code of a block.
func (r *Routines) StepFault(s *hart.State, p Place) {
	s.Raw[tmp2] = p.Off()
	s.Raw[budget] -= uint64(p.Retired())
	s.Fault.PC = uint64(r.Step)
}

// faultRoutines are the way to Go and back of an access that faulted, with every register as it was.
func (c *Compiler) faultRoutines(here func() uintptr) {
	each := func(integer func(asm.Reg, asm.Mem), float func(asm.XMM, asm.Mem)) {
		for r := range asm.Reg(16) {
			if r != asm.RSP && r != base {
				integer(r, raw(int(r)))
			}
		}
		for x := range asm.XMM(16) {
			float(x, raw(16+int(x)))
		}
	}
	c.routines.Fault = here()
	each(func(r asm.Reg, m asm.Mem) { c.MR(asm.MOV, asm.S64, m, r) }, func(x asm.XMM, m asm.Mem) { c.MX(asm.MOVSD, m, x) })
	c.MR(asm.MOV, asm.S64, state(offBudget), budget)
	c.RM(asm.MOV, asm.S64, tmp2, state(offBank))
	c.MR(asm.MOV, asm.S64, asm.Indexed(base, tmp2, 8, offShadowSP), asm.RSP)
	c.M(asm.STMXCSR, asm.S32, state(offGuestMXCSR))
	c.RM(asm.MOV, asm.S64, asm.RSP, state(offHostSP))
	c.MovImm(tmp, uint64(KindFault))
	c.Plain(asm.RET)

	c.routines.Retry = here()
	each(func(r asm.Reg, m asm.Mem) { c.RM(asm.MOV, asm.S64, r, m) }, func(x asm.XMM, m asm.Mem) { c.XM(asm.MOVSD, x, m) })
	c.M(asm.JMP, asm.S64, state(offFaultPC))
}
