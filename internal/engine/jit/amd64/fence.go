package amd64

// SFENCE.VMA of one address, which an operating system does for each page that it unmaps or makes writable: what mmu.TLB.Flush does, as long as
// nothing but entries for loads and stores has to go. All else is done in Go, the whole fence once more.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

const (
	// From TLB.Current, where State.Current points.
	currentToBanks = -int32(unsafe.Offsetof(mmu.TLB{}.Current))
	currentToKeys  = currentToBanks + int32(unsafe.Offsetof(mmu.TLB{}.Keys))

	bankSize  = int32(unsafe.Sizeof(mmu.Bank{}))
	keySize   = int32(unsafe.Sizeof(mmu.Key{}))
	keySatp   = int32(unsafe.Offsetof(mmu.Key{}.Satp))
	keyView   = int32(unsafe.Offsetof(mmu.Key{}.View))
	keyValid  = int32(unsafe.Offsetof(mmu.Key{}.Valid))
	keyShared = int32(unsafe.Offsetof(mmu.Key{}.Shared))

	bankLoad  = int32(unsafe.Offsetof(mmu.Bank{}.Load))
	bankStore = int32(unsafe.Offsetof(mmu.Bank{}.Store))
	leavesOne = int32(mmu.LeavesOf1G - mmu.LeavesOf2M) // from one size to the next

	anyASID = -1
)

// fence emits an SFENCE.VMA or SINVAL.VMA of the address in A, of the address space in B.
func (c *Compiler) fence(in *ir.Inst) {
	c.settle(int(in.N))
	c.load(tmp, in.A)
	if in.B == ir.None {
		c.MovImm(group, ^uint64(0)) // anyASID
	} else {
		c.load(group, in.B)
		c.RR(asm.MOVZX16, asm.S32, group, group)
	}
	c.CallTo(c.routines.Fence)
	c.RR(asm.TEST, asm.S32, tmp, tmp)
	i := *in
	done := c.NewLabel()
	c.Jcc(asm.CondNE, c.outOfLine(func() {
		doInGo(c, &i)
		c.Jmp(done)
	}))
	c.Bind(done)
}

// fenceRoutine is called with the address in tmp and the ASID, or anyASID, in group. It answers in tmp 0, or 1 for what is to be done in Go.
func (c *Compiler) fenceRoutine() {
	key, bank, slot, count := asm.RSI, asm.RDI, asm.R8, asm.R9
	no, out := c.NewLabel(), c.NewLabel()
	c.borrow()
	c.MR(asm.MOV, asm.S64, scratch(savedBig1), slot)
	c.MR(asm.MOV, asm.S64, scratch(savedBig2), count)
	c.barrier()
	c.MI(asm.CMP, asm.S64, state(offPriv), riscv.PrivS)
	c.Jcc(asm.CondNE, no)
	c.MI(asm.TEST, asm.S32, state(offMstatus), hart.MstatusTVM)
	c.Jcc(asm.CondNE, no)
	c.RI(asm.AND, asm.S64, tmp, ^memory.PageMask)
	c.RM(asm.MOV, asm.S64, bank, state(offCurrent))
	c.RM(asm.LEA, asm.S64, key, asm.At(bank, currentToKeys))
	c.RI(asm.ADD, asm.S64, bank, currentToBanks)
	c.MovImm(count, mmu.NumBanks)

	loop, next, this, plain, noExec := c.Here(), c.NewLabel(), c.NewLabel(), c.NewLabel(), c.NewLabel()
	c.MI(asm.CMP, asm.S64, asm.At(key, keyValid), 0)
	c.Jcc(asm.CondE, next)
	c.MI(asm.CMP, asm.S64, asm.At(bank, bankFilled), 0)
	c.Jcc(asm.CondE, next)
	c.RM(asm.MOV, asm.S64, tmp2, asm.At(key, keyView))
	c.RI(asm.CMP, asm.S64, tmp2, int32(mmu.ViewM))
	c.Jcc(asm.CondE, next)
	c.RI(asm.CMP, asm.S64, tmp2, int32(mmu.ViewBare))
	c.Jcc(asm.CondE, next)
	c.RI(asm.CMP, asm.S64, group, anyASID)
	c.Jcc(asm.CondE, this)
	c.MI(asm.CMP, asm.S64, asm.At(key, keyShared), 0)
	c.Jcc(asm.CondNE, next)
	c.RM(asm.MOV, asm.S64, tmp2, asm.At(key, keySatp))
	c.RI(asm.SHR, asm.S64, tmp2, 44)
	c.RR(asm.MOVZX16, asm.S32, tmp2, tmp2)
	c.RR(asm.CMP, asm.S64, tmp2, group)
	c.Jcc(asm.CondNE, next)

	// What is mirrored is unmapped in Go.
	notMirrored := c.NewLabel()
	c.Bind(this)
	c.MI(asm.CMP, asm.S64, asm.At(bank, bankMirror), 0)
	c.Jcc(asm.CondE, notMirrored)
	c.RR(asm.TEST, asm.S64, tmp, tmp)
	c.Jcc(asm.CondNS, no)
	c.Bind(notMirrored)

	// A larger leaf that the address may be in: more than its page has to go.
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RI(asm.SHR, asm.S64, tmp2, 63)
	c.RR(asm.MOV, asm.S64, slot, tmp2)
	c.MI(asm.CMP, asm.S64, asm.Indexed(bank, tmp2, 8, bankAnyBig), 0)
	c.Jcc(asm.CondE, plain)
	c.R(asm.NEG, asm.S64, slot)
	c.RI(asm.AND, asm.S32, slot, int32(mmu.LeavesOfHalf))
	c.RR(asm.ADD, asm.S64, slot, bank)
	for i := range int32(mmu.LeavesOfHalf) / leavesOne {
		clear := c.NewLabel()
		c.RM(asm.CMP, asm.S64, tmp, asm.At(slot, bankBig+i*leavesOne+int32(mmu.LeavesHigh)))
		c.Jcc(asm.CondA, clear)
		c.RM(asm.CMP, asm.S64, tmp, asm.At(slot, bankBig+i*leavesOne+int32(mmu.LeavesLow)))
		c.Jcc(asm.CondAE, no)
		c.Bind(clear)
	}
	c.Bind(plain)

	// Jump targets, and a fetch entry.
	c.RM(asm.CMP, asm.S64, tmp, asm.At(bank, bankHigh))
	c.Jcc(asm.CondA, noExec)
	c.RM(asm.LEA, asm.S64, tmp2, asm.At(tmp, memory.PageMask))
	c.RM(asm.CMP, asm.S64, tmp2, asm.At(bank, bankLow))
	c.Jcc(asm.CondB, noExec)
	c.RI(asm.SHR, asm.S64, tmp2, memory.PageShift)
	c.RI(asm.AND, asm.S32, tmp2, mmu.ExecEntries-1)
	c.MI(asm.CMP, asm.S8, asm.Indexed(bank, tmp2, 1, bankExec), 0)
	c.Jcc(asm.CondNE, no)
	c.Bind(noExec)
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RI(asm.SHR, asm.S64, tmp2, memory.PageShift-fetchShift)
	c.RI(asm.AND, asm.S32, tmp2, fetchMask)
	c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(bank, tmp2, 1, bankFetch+fetchTag))
	c.Jcc(asm.CondE, no)

	// The entries: an empty one has the tag of the slot next to it.
	c.RR(asm.MOV, asm.S32, slot, tmp)
	c.RI(asm.AND, asm.S32, slot, (mmu.DataEntries-1)<<memory.PageShift)
	c.RI(asm.XOR, asm.S32, slot, memory.PageSize)
	c.entry(tmp2, tmp)
	for _, table := range []int32{bankLoad, bankStore} {
		other := c.NewLabel()
		c.RM(asm.CMP, asm.S64, tmp, asm.Indexed(bank, tmp2, 1, table))
		c.Jcc(asm.CondNE, other)
		c.MR(asm.MOV, asm.S64, asm.Indexed(bank, tmp2, 1, table), slot)
		c.Bind(other)
	}

	c.Bind(next)
	c.RI(asm.ADD, asm.S64, key, keySize)
	c.RI(asm.ADD, asm.S64, bank, bankSize)
	c.RI(asm.SUB, asm.S32, count, 1)
	c.Jcc(asm.CondNE, loop)
	c.MovImm(tmp, 0)
	c.Jmp(out)
	c.Bind(no)
	c.MovImm(tmp, 1)
	c.Bind(out)
	c.RM(asm.MOV, asm.S64, slot, scratch(savedBig1))
	c.RM(asm.MOV, asm.S64, count, scratch(savedBig2))
	c.giveBack()
	c.Plain(asm.RET)
}
