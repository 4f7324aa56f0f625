package amd64

// Atomic memory operations: the host's locked instructions, which are sequentially consistent. Aligned to their size and in RAM they are
// done here; all else is a step, which takes the exception. See package hart for the rules of reservations.

import (
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

var atomics = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.LoadReserved:     loadReserved,
	ir.StoreConditional: storeConditional,
	ir.AtomicSwap:       atomicSwap,
	ir.AtomicAdd:        atomicAdd,
	ir.AtomicXor:        func(c *Compiler, in *ir.Inst) { c.logic(in, asm.XOR, asm.LOCK_XOR) },
	ir.AtomicAnd:        func(c *Compiler, in *ir.Inst) { c.logic(in, asm.AND, asm.LOCK_AND) },
	ir.AtomicOr:         func(c *Compiler, in *ir.Inst) { c.logic(in, asm.OR, asm.LOCK_OR) },
	ir.AtomicMinS:       func(c *Compiler, in *ir.Inst) { c.extreme(in, asm.CondL) },
	ir.AtomicMaxS:       func(c *Compiler, in *ir.Inst) { c.extreme(in, asm.CondG) },
	ir.AtomicMinU:       func(c *Compiler, in *ir.Inst) { c.extreme(in, asm.CondB) },
	ir.AtomicMaxU:       func(c *Compiler, in *ir.Inst) { c.extreme(in, asm.CondA) },
	ir.CompareSwap:      compareSwap,
	ir.Fence:            func(c *Compiler, _ *ir.Inst) { c.barrier() },
}

// barrier orders loads after stores.
func (c *Compiler) barrier() { c.MI(asm.LOCK_OR, asm.S32, state(offScratch), 0) }

// exclusive leaves in tmp the host address of an atomic access. That it is misaligned comes before anything about its page.
func (c *Compiler) exclusive(in *ir.Inst, store bool) {
	table, routine := offLoads, c.routines.MissLoadAt
	if store {
		table, routine = offStores, c.routines.MissStoreAt
	}
	c.RI(asm.TEST, asm.S8, c.use(in.A, tmp), int32(in.Width.Bytes()-1))
	c.Jcc(asm.CondNE, c.stepLabel(in))
	c.lookup(in.A, 0, in.Width.Bytes(), table, c.slowPath(missPiece, in, routine))
}

// old completes Dst with a value read from memory.
func (c *Compiler) old(in *ir.Inst, r asm.Reg) {
	if in.Dst == ir.Zero {
		return
	}
	if in.Width == ir.W32 {
		c.RR(asm.MOVSXD, asm.S64, r, r)
	}
	c.put(in.Dst, r)
}

// guestPhysical is the address of what is at the host address in tmp.
func (c *Compiler) guestPhysical(dst asm.Reg) {
	c.RR(asm.MOV, asm.S64, dst, tmp)
	c.RM(asm.SUB, asm.S64, dst, state(offRAMHost))
	c.RM(asm.ADD, asm.S64, dst, state(offRAMBase))
}

func loadReserved(c *Compiler, in *ir.Inst) {
	if in.Has(ir.Release) {
		c.barrier()
	}
	c.exclusive(in, false)
	c.guestPhysical(tmp2)
	c.RM(asm.MOV, size(in.Width), tmp, asm.At(tmp, 0))
	c.MR(asm.MOV, asm.S64, state(offResAddr), tmp2)
	c.MR(asm.MOV, asm.S64, state(offResValue), tmp)
	c.MI(asm.MOV, asm.S64, state(offResSize), int32(in.Width.Bytes()))
	c.MI(asm.MOV, asm.S64, state(offResValid), 1)
	c.old(in, tmp)
}

func storeConditional(c *Compiler, in *ir.Inst) {
	c.exclusive(in, true)
	fail, done := c.NewLabel(), c.NewLabel()
	c.guestPhysical(tmp2)
	c.RM(asm.CMP, asm.S64, tmp2, state(offResAddr))
	c.Jcc(asm.CondNE, fail)
	c.MI(asm.CMP, asm.S64, state(offResSize), int32(in.Width.Bytes()))
	c.Jcc(asm.CondNE, fail)
	c.MI(asm.CMP, asm.S64, state(offResValid), 0)
	c.Jcc(asm.CondE, fail)
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
	c.RM(asm.MOV, asm.S64, tmp, state(offResValue))
	c.MR(asm.LOCK_CMPXCHG, size(in.Width), asm.At(asm.RDX, 0), c.use(in.B, tmp2))
	c.R(asm.Set(asm.CondNE), asm.S8, tmp)
	c.RR(asm.MOVZX8, asm.S32, tmp, tmp)
	c.Jmp(done)
	c.Bind(fail)
	c.MovImm(tmp, 1)
	c.Bind(done)
	c.MI(asm.MOV, asm.S64, state(offResValid), 0)
	c.put(in.Dst, tmp)
}

func atomicSwap(c *Compiler, in *ir.Inst) {
	c.exclusive(in, true)
	c.load(tmp2, in.B)
	c.MR(asm.XCHG, size(in.Width), asm.At(tmp, 0), tmp2)
	c.old(in, tmp2)
}

func atomicAdd(c *Compiler, in *ir.Inst) {
	c.exclusive(in, true)
	if in.Dst == ir.Zero {
		c.MR(asm.LOCK_ADD, size(in.Width), asm.At(tmp, 0), c.use(in.B, tmp2))
		return
	}
	c.load(tmp2, in.B)
	c.MR(asm.LOCK_XADD, size(in.Width), asm.At(tmp, 0), tmp2)
	c.old(in, tmp2)
}

// logic is the operations that the host has only without the old value.
func (c *Compiler) logic(in *ir.Inst, op, locked asm.Op) {
	c.exclusive(in, true)
	if in.Dst == ir.Zero {
		c.MR(locked, size(in.Width), asm.At(tmp, 0), c.use(in.B, tmp2))
		return
	}
	c.exchange(in, func(s asm.Size) {
		c.RR(asm.MOV, s, tmp2, tmp)
		c.apply(op, s, tmp2, in.B)
	})
}

// extreme is the minimum or the maximum: the old value where it compares with B by cond, else B.
func (c *Compiler) extreme(in *ir.Inst, cond asm.Cond) {
	c.exclusive(in, true)
	c.exchange(in, func(s asm.Size) {
		c.load(tmp2, in.B)
		c.RR(asm.CMP, s, tmp, tmp2)
		c.RR(asm.Cmov(cond), s, tmp2, tmp)
	})
}

// exchange repeats compute, from the old value in tmp to the new one in tmp2, until nobody wrote in between.
func (c *Compiler) exchange(in *ir.Inst, compute func(s asm.Size)) {
	s := size(in.Width)
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
	c.RM(asm.MOV, s, tmp, asm.At(asm.RDX, 0))
	again := c.Here()
	compute(s)
	c.MR(asm.LOCK_CMPXCHG, s, asm.At(asm.RDX, 0), tmp2)
	c.Jcc(asm.CondNE, again)
	c.old(in, tmp)
}

func compareSwap(c *Compiler, in *ir.Inst) {
	c.exclusive(in, true)
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
	c.load(tmp, in.Dst)
	c.MR(asm.LOCK_CMPXCHG, size(in.Width), asm.At(asm.RDX, 0), c.use(in.B, tmp2))
	c.old(in, tmp)
}
