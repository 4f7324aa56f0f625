package amd64

// The page-table walk of generated code: what mmu.Walk and hart.locate do in Go, for the walks that an operating system is made of. It
// only ever makes a TLB entry. All that has an effect or is rare is left to Go, before anything has changed: faults, accessed and
// dirty bits to be set, stores to watched code, M-mode and bare address spaces, MXR, leaves of 64 KiB and more than 1 GiB, PMP, devices
// over RAM.
//
// What a leaf has to be is a rule that the bank holds (mmu.Rule), so that the walk does not ask for privilege or SUM.

import (
	"math/bits"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Registers of a walk, beside tmp, which holds the address and stays, and tmp2 and group.
const (
	walkTmp  = asm.RSI
	walkBank = asm.RDI // host address of the bank
)

// Where a routine that walks puts what it borrows.
const (
	savedGroup = 6 // Routines.Resume restores it
	savedTmp   = 8
	savedBank  = 9
	savedBig1  = 10
	savedBig2  = 11
)

func (c *Compiler) borrow() {
	c.MR(asm.MOV, asm.S64, scratch(savedTmp), walkTmp)
	c.MR(asm.MOV, asm.S64, scratch(savedBank), walkBank)
}

func (c *Compiler) giveBack() {
	c.RM(asm.MOV, asm.S64, walkTmp, scratch(savedTmp))
	c.RM(asm.MOV, asm.S64, walkBank, scratch(savedBank))
}

// walk leaves in group the distance from the start of RAM of the page that the address in tmp is mapped to, if the rule of the
// bank for an access lets it through; else it goes to leave. tmp2, walkTmp and the flags are lost.
func (c *Compiler) walk(acc mmu.Access, leave asm.Label) {
	// Shifts by tmp2, of 64 bits.
	shift := func(op asm.Op, r asm.Reg) { c.R(op, asm.S64, r) }
	pte := group

	c.MI(asm.CMP, asm.S64, state(offWalkOpen), 0)
	c.Jcc(asm.CondE, leave)
	c.RM(asm.MOV, asm.S64, pte, state(offSatp))
	c.RR(asm.MOV, asm.S64, tmp2, pte)
	c.RI(asm.SHR, asm.S64, tmp2, 60)
	c.RM(asm.LEA, asm.S32, tmp2, asm.Indexed(tmp2, tmp2, 8, 9*-mmu.ModeSv39+30)) // the shift of the top level: 30, 39, 48
	c.RI(asm.CMP, asm.S32, tmp2, 30)
	c.Jcc(asm.CondL, leave)
	c.RR(asm.MOV, asm.S64, walkTmp, tmp)
	shift(asm.SARCL, walkTmp) // the index, and above it nothing but its sign
	c.RI(asm.ADD, asm.S64, walkTmp, 256)
	c.RI(asm.CMP, asm.S64, walkTmp, 511)
	c.Jcc(asm.CondA, leave)
	c.RI(asm.SHL, asm.S64, pte, 20) // 44 bits of page number
	c.RI(asm.SHR, asm.S64, pte, 20-memory.PageShift)

	// Each turn reads the entry in the table at the address in pte.
	leaf := c.NewLabel()
	next := c.Here()
	c.inRAM(pte, leave)
	c.RM(asm.ADD, asm.S64, pte, state(offRAMHost))
	c.RR(asm.MOV, asm.S64, walkTmp, tmp)
	shift(asm.SHRCL, walkTmp)
	c.RI(asm.AND, asm.S32, walkTmp, 511)
	c.RM(asm.MOV, asm.S64, pte, asm.Indexed(pte, walkTmp, 8, 0))
	c.RI(asm.TEST, asm.S32, pte, mmu.PTER|mmu.PTEW|mmu.PTEX)
	c.Jcc(asm.CondNE, leaf)
	c.RR(asm.MOV, asm.S64, walkTmp, pte)
	c.RI(asm.SHR, asm.S64, walkTmp, 54) // reserved, as are four of the low bits
	c.Jcc(asm.CondNE, leave)
	c.RR(asm.MOV, asm.S32, walkTmp, pte)
	c.RI(asm.AND, asm.S32, walkTmp, mmu.PTEV|mmu.PTEU|mmu.PTEA|mmu.PTED)
	c.RI(asm.CMP, asm.S32, walkTmp, mmu.PTEV)
	c.Jcc(asm.CondNE, leave)
	c.RI(asm.SUB, asm.S32, tmp2, 9)
	c.RI(asm.CMP, asm.S32, tmp2, memory.PageShift)
	c.Jcc(asm.CondL, leave)
	c.pageNumber(pte)
	c.Jmp(next)

	c.Bind(leaf)
	small := c.NewLabel()
	rule := bankRules + int32(acc)*int32(unsafe.Sizeof(mmu.Rule{}))
	c.RR(asm.MOV, asm.S64, walkTmp, pte)
	c.RM(asm.AND, asm.S64, walkTmp, asm.At(walkBank, rule+ruleMask))
	c.RM(asm.CMP, asm.S64, walkTmp, asm.At(walkBank, rule+ruleWant))
	c.Jcc(asm.CondNE, leave)
	c.pageNumber(pte)
	c.RI(asm.CMP, asm.S32, tmp2, memory.PageShift)
	c.Jcc(asm.CondE, small)
	c.RI(asm.CMP, asm.S32, tmp2, 30)
	c.Jcc(asm.CondA, leave)
	c.MovImm(walkTmp, 1)
	shift(asm.SHLCL, walkTmp)
	c.RI(asm.SUB, asm.S64, walkTmp, 1)
	c.RR(asm.TEST, asm.S64, pte, walkTmp)
	c.Jcc(asm.CondNE, leave) // misaligned
	c.noteBig()
	c.RR(asm.AND, asm.S64, walkTmp, tmp)
	c.RI(asm.AND, asm.S64, walkTmp, ^memory.PageMask)
	c.RR(asm.OR, asm.S64, pte, walkTmp)
	c.Bind(small)
	c.inRAM(pte, leave)
	if acc == mmu.Store {
		c.RR(asm.MOV, asm.S64, walkTmp, pte)
		c.RI(asm.SHR, asm.S64, walkTmp, memory.PageShift)
		c.RM(asm.ADD, asm.S64, walkTmp, state(offCodeMap))
		c.MI(asm.TEST, asm.S8, asm.At(walkTmp, 0), int32(memory.PageAsked))
		c.Jcc(asm.CondNE, leave)
	}
	c.M(asm.INC, asm.S64, state(offWalks))
}

// inRAM makes the address of a page in r a distance from the start of RAM.
func (c *Compiler) inRAM(r asm.Reg, otherwise asm.Label) {
	c.RM(asm.SUB, asm.S64, r, state(offRAMBase))
	c.RM(asm.CMP, asm.S64, r, state(offRAMSize))
	c.Jcc(asm.CondAE, otherwise)
}

// pageNumber makes an entry whose ten highest bits are clear the address that it holds.
func (c *Compiler) pageNumber(pte asm.Reg) {
	c.RI(asm.SHR, asm.S64, pte, mmu.PTEPPNShift)
	c.RI(asm.SHL, asm.S64, pte, memory.PageShift)
}

// noteBig is Bank.NoteBig, for leaves of 2 MiB and 1 GiB. walkTmp is the size minus 1, and stays.
func (c *Compiler) noteBig() {
	set, n := asm.R8, asm.R9
	c.MR(asm.MOV, asm.S64, scratch(savedBig1), set)
	c.MR(asm.MOV, asm.S64, scratch(savedBig2), n)
	big, hi, lo := c.NewLabel(), c.NewLabel(), c.NewLabel()
	c.RR(asm.MOV, asm.S64, set, tmp)
	c.RI(asm.SAR, asm.S64, set, 63)
	c.RR(asm.MOV, asm.S64, n, set)
	c.R(asm.NEG, asm.S64, n)
	c.MI(asm.MOV, asm.S64, asm.Indexed(walkBank, n, 8, bankAnyBig), 1)
	c.RI(asm.AND, asm.S32, set, int32(mmu.LeavesOfHalf))
	c.RR(asm.ADD, asm.S64, set, walkBank)
	c.RI(asm.ADD, asm.S64, set, bankBig+int32(mmu.LeavesOf2M))
	c.RI(asm.CMP, asm.S32, tmp2, 21)
	c.Jcc(asm.CondE, big)
	c.RI(asm.ADD, asm.S64, set, int32(mmu.LeavesOf1G-mmu.LeavesOf2M))
	c.Bind(big)
	c.RR(asm.MOV, asm.S64, n, walkTmp)
	c.RR(asm.OR, asm.S64, n, tmp)
	c.RM(asm.CMP, asm.S64, n, asm.At(set, int32(mmu.LeavesHigh)))
	c.Jcc(asm.CondBE, hi)
	c.MR(asm.MOV, asm.S64, asm.At(set, int32(mmu.LeavesHigh)), n)
	c.Bind(hi)
	c.RR(asm.SUB, asm.S64, n, walkTmp)
	c.RM(asm.CMP, asm.S64, n, asm.At(set, int32(mmu.LeavesLow)))
	c.Jcc(asm.CondAE, lo)
	c.MR(asm.MOV, asm.S64, asm.At(set, int32(mmu.LeavesLow)), n)
	c.Bind(lo)
	c.RR(asm.MOV, asm.S64, n, tmp)
	c.R(asm.SHRCL, asm.S64, n)
	c.RI(asm.AND, asm.S32, n, mmu.LeafBits-1)
	c.MR(asm.BTS, asm.S64, asm.At(set, int32(mmu.LeavesSeen)), n)
	c.RM(asm.MOV, asm.S64, set, scratch(savedBig1))
	c.RM(asm.MOV, asm.S64, n, scratch(savedBig2))
}

// miss is the routine that a load or a store without a TLB entry calls: it makes the entry and returns, or lets Go do it.
func (c *Compiler) miss(acc mmu.Access, table int32, leaveAs func()) {
	leave, there := c.NewLabel(), c.NewLabel()
	c.MR(asm.MOV, asm.S64, scratch(0), tmp2)
	c.MR(asm.MOV, asm.S64, scratch(savedGroup), group) // in the middle of a block: it may be in use
	c.entry(tmp2, tmp)
	c.RM(asm.MOV, asm.S64, group, asm.Indexed(base, tmp2, 1, table))
	c.RR(asm.XOR, asm.S64, group, tmp)
	c.RI(asm.CMP, asm.S64, group, memory.PageMask)
	c.Jcc(asm.CondBE, there) // it ends in another page
	c.borrow()
	c.RM(asm.LEA, asm.S64, walkBank, state(offTLB))
	c.walk(acc, leave)
	c.RM(asm.ADD, asm.S64, group, state(offRAMHost))
	c.entry(tmp2, tmp)
	c.RR(asm.MOV, asm.S64, walkTmp, tmp)
	c.RI(asm.AND, asm.S64, walkTmp, ^memory.PageMask)
	c.MR(asm.MOV, asm.S64, asm.Indexed(base, tmp2, 1, table), walkTmp)
	c.MR(asm.MOV, asm.S64, asm.Indexed(base, tmp2, 1, table+8), group)
	c.MI(asm.MOV, asm.S64, asm.At(walkBank, bankFilled), 1)
	c.RI(asm.SHR, asm.S32, tmp2, int32(bits.TrailingZeros(groupBytes)))
	c.MI(asm.MOV, asm.S8, asm.Indexed(walkBank, tmp2, 1, bankUsed), 1)
	c.giveBack()
	c.RM(asm.MOV, asm.S64, group, scratch(savedGroup))
	c.Plain(asm.RET)
	c.Bind(leave)
	c.giveBack()
	c.Bind(there)
	c.MR(asm.MOV, asm.S64, state(offExitArg), tmp)
	leaveAs()
}

// tableOf makes the distance of a page from the start of RAM the address of its table, or 0.
func (c *Compiler) tableOf(r asm.Reg) {
	c.RI(asm.SHR, asm.S64, r, memory.PageShift-3)
	c.RM(asm.ADD, asm.S64, r, state(offTables))
	c.RM(asm.MOV, asm.S64, r, asm.At(r, 0))
}

// fillFetch makes the fetch entry of the address in tmp, in group its Table, or goes to leave.
func (c *Compiler) fillFetch(leave asm.Label) {
	failed, done := c.NewLabel(), c.NewLabel()
	c.borrow()
	c.RM(asm.MOV, asm.S64, walkBank, state(offFetchBank))
	c.walk(mmu.Fetch, failed)
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RI(asm.SHR, asm.S64, tmp2, memory.PageShift-fetchShift)
	c.RI(asm.AND, asm.S32, tmp2, fetchMask)
	c.RR(asm.ADD, asm.S64, tmp2, walkBank)
	c.RR(asm.MOV, asm.S64, walkTmp, tmp)
	c.RI(asm.AND, asm.S64, walkTmp, ^memory.PageMask)
	c.MR(asm.MOV, asm.S64, asm.At(tmp2, bankFetch+fetchTag), walkTmp)
	c.RR(asm.MOV, asm.S64, walkTmp, group)
	c.RM(asm.ADD, asm.S64, walkTmp, state(offRAMBase))
	c.MR(asm.MOV, asm.S64, asm.At(tmp2, bankFetch+fetchGPA), walkTmp)
	c.tableOf(group)
	c.MR(asm.MOV, asm.S64, asm.At(tmp2, bankFetch+fetchTable), group)
	c.MI(asm.MOV, asm.S64, asm.At(walkBank, bankFilled), 1)
	c.giveBack()
	c.Jmp(done)
	c.Bind(failed)
	c.giveBack()
	c.Jmp(leave)
	c.Bind(done)
}
