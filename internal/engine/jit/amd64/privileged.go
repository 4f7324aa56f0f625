package amd64

// Routines for traps, returns from them and sstatus: what package hart does in Go (trap.go, translation.go, csr.go), for the cases that
// an operating system is made of. All others leave, before anything has changed, for the interpreter to execute the instruction:
// M-mode, bare address spaces, MPRV and MXR, banks that have to be looked for.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// What a routine of status answers beside 0.
const (
	statusStep  = 1
	statusCheck = 2
)

const (
	sstatusWritable = hart.MstatusSIE | hart.MstatusSPIE | hart.MstatusSPP | hart.MstatusFS | hart.MstatusSUM | hart.MstatusMXR
	sstatusReadable = sstatusWritable | hart.MstatusVS | hart.MstatusUXL
	// What changes of sstatus generated code does by itself.
	sstatusFast = hart.MstatusSIE | hart.MstatusSPIE | hart.MstatusSPP | hart.MstatusSUM | hart.MstatusFS

	sppShift = 8
	sumShift = 18
)

// scratch is the i-th word for routines to put things aside.
func scratch(i int32) asm.Mem { return state(offScratch + 8*i) }

func (c *Compiler) privileged(here func() uintptr, stepPC, checkAt, dispatch uintptr) {
	r := &c.routines

	// guard leaves for the interpreter, with the program counter in scratch(2), if a condition holds.
	stepSaved := here()
	c.RM(asm.MOV, asm.S64, tmp2, scratch(2))
	c.JmpTo(stepPC)

	// Ecall, from U or S into S. Nothing retires, but the budget shrinks: a trap that only traps again must not go unnoticed.
	r.Ecall = here()
	c.RR(asm.MOVSXD, asm.S64, tmp2, tmp2)
	c.RM(asm.ADD, asm.S64, tmp2, state(offPageBase))
	c.MR(asm.MOV, asm.S64, scratch(2), tmp2)
	c.RM(asm.MOV, asm.S64, tmp, state(offPriv))
	c.RI(asm.CMP, asm.S64, tmp, riscv.PrivS)
	c.JccTo(asm.CondA, stepSaved)
	c.RI(asm.ADD, asm.S64, tmp, riscv.CauseEcallU)
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMedeleg))
	c.RR(asm.BT, asm.S64, asm.RDX, tmp)
	c.JccTo(asm.CondAE, stepSaved)
	c.MR(asm.MOV, asm.S64, scratch(3), tmp)
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	c.ordinary(hart.MstatusMPRV|hart.MstatusMXR, stepSaved)
	c.findBanks(stepSaved, func() {
		c.MovImm(tmp2, uint64(mmu.ViewS))
	}, func() {
		c.dataView()
	})
	// Committed from here on.
	c.RM(asm.MOV, asm.S64, tmp, scratch(2))
	c.MR(asm.MOV, asm.S64, state(offSepc), tmp)
	c.RM(asm.MOV, asm.S64, tmp, scratch(3))
	c.MR(asm.MOV, asm.S64, state(offScause), tmp)
	c.M(asm.INC, asm.S64, asm.Indexed(base, tmp, 8, offCounters))
	c.MI(asm.MOV, asm.S64, state(offStval), 0)
	c.RR(asm.MOV, asm.S64, tmp, asm.RDX)
	c.RI(asm.AND, asm.S32, tmp, hart.MstatusSIE)
	c.RI(asm.SHL, asm.S32, tmp, 4) // SIE to SPIE
	c.RI(asm.AND, asm.S64, asm.RDX, ^int32(hart.MstatusSPP|hart.MstatusSPIE|hart.MstatusSIE))
	c.RR(asm.OR, asm.S64, asm.RDX, tmp)
	c.RM(asm.MOV, asm.S64, tmp, state(offPriv))
	c.RI(asm.SHL, asm.S32, tmp, sppShift)
	c.RR(asm.OR, asm.S64, asm.RDX, tmp)
	c.MR(asm.MOV, asm.S64, state(offMstatus), asm.RDX)
	c.MI(asm.MOV, asm.S64, state(offPriv), riscv.PrivS)
	c.switchBanks()
	c.RI(asm.SUB, asm.S64, budget, 1)
	c.MI(asm.SUB, asm.S64, state(offInstretEnd), 1)
	c.RM(asm.MOV, asm.S64, tmp, state(offStvec))
	c.RI(asm.AND, asm.S64, tmp, -4)
	c.goTo(dispatch)

	// sret, from S to U or S.
	r.TrapReturn = here()
	c.RR(asm.MOVSXD, asm.S64, tmp2, tmp2)
	c.RM(asm.ADD, asm.S64, tmp2, state(offPageBase))
	c.MR(asm.MOV, asm.S64, scratch(2), tmp2)
	c.MI(asm.CMP, asm.S64, state(offPriv), riscv.PrivS)
	c.JccTo(asm.CondNE, stepSaved)
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	c.ordinary(hart.MstatusMPRV|hart.MstatusMXR|hart.MstatusTSR, stepSaved)
	c.findBanks(stepSaved, func() {
		c.RR(asm.MOV, asm.S32, tmp2, asm.RDX)
		c.RI(asm.SHR, asm.S32, tmp2, sppShift)
		c.RI(asm.AND, asm.S32, tmp2, 1) // ViewU or ViewS
	}, func() {
		toS, done := c.NewLabel(), c.NewLabel()
		c.RI(asm.TEST, asm.S32, asm.RDX, hart.MstatusSPP)
		c.Jcc(asm.CondNE, toS)
		c.MovImm(tmp2, uint64(mmu.ViewU))
		c.Jmp(done)
		c.Bind(toS)
		c.dataView()
		c.Bind(done)
	})
	c.RR(asm.MOV, asm.S32, tmp, asm.RDX)
	c.RI(asm.SHR, asm.S32, tmp, sppShift)
	c.RI(asm.AND, asm.S32, tmp, 1)
	c.MR(asm.MOV, asm.S64, state(offPriv), tmp)
	c.RR(asm.MOV, asm.S32, tmp, asm.RDX)
	c.RI(asm.AND, asm.S32, tmp, hart.MstatusSPIE)
	c.RI(asm.SHR, asm.S32, tmp, 4) // SPIE to SIE
	c.RI(asm.AND, asm.S64, asm.RDX, ^int32(hart.MstatusSPP|hart.MstatusSIE))
	c.RI(asm.OR, asm.S64, asm.RDX, hart.MstatusSPIE)
	c.RR(asm.OR, asm.S64, asm.RDX, tmp)
	c.MR(asm.MOV, asm.S64, state(offMstatus), asm.RDX)
	c.MI(asm.MOV, asm.S64, state(offResValid), 0)
	c.switchBanks()
	c.RI(asm.SUB, asm.S64, budget, 1)
	c.RM(asm.MOV, asm.S64, tmp, state(offSepc))
	c.MI(asm.CMP, asm.S64, state(offWaiting), 0)
	c.JccTo(asm.CondNE, checkAt)
	c.goTo(dispatch)

	c.statusRoutines(here)
}

// ordinary leaves unless the bits of mstatus, which is in RDX, are clear, and the address space is translated.
func (c *Compiler) ordinary(clear int32, otherwise uintptr) {
	c.RI(asm.TEST, asm.S32, asm.RDX, clear)
	c.JccTo(asm.CondNE, otherwise)
	c.MI(asm.CMP, asm.S32, state(offSatp+4), 1<<28) // the mode is in the highest four bits
	c.JccTo(asm.CondB, otherwise)
}

// dataView leaves in tmp2 the view of S-mode for loads and stores: SUM of mstatus, which is in RDX, decides.
func (c *Compiler) dataView() {
	c.RR(asm.MOV, asm.S32, tmp2, asm.RDX)
	c.RI(asm.SHR, asm.S32, tmp2, sumShift)
	c.RI(asm.AND, asm.S32, tmp2, 1)
	c.RI(asm.ADD, asm.S32, tmp2, int32(mmu.ViewS))
}

// findBanks puts the banks of two views, each of which a function leaves in tmp2 without changing RDX, into scratch(4) and scratch(5), or leaves.
func (c *Compiler) findBanks(otherwise uintptr, fetch, data func()) {
	for i, view := range []func(){fetch, data} {
		view()
		c.RM(asm.MOV, asm.S64, tmp, state(offCurrent))
		c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(tmp, tmp2, 8, 0))
		c.RI(asm.CMP, asm.S64, tmp2, -1) // mmu.NoBank
		c.JccTo(asm.CondE, otherwise)
		c.MR(asm.MOV, asm.S64, scratch(4+int32(i)), tmp2)
	}
}

// switchBanks makes the banks in scratch(4) and scratch(5) the current ones, with all that goes with them.
func (c *Compiler) switchBanks() {
	c.RM(asm.MOV, asm.S64, tmp, state(offBank))
	c.MR(asm.MOV, asm.S64, asm.Indexed(base, tmp, 8, offShadowSP), asm.RSP)
	c.RM(asm.MOV, asm.S64, tmp, scratch(4))
	c.MR(asm.MOV, asm.S64, state(offBank), tmp)
	c.RM(asm.MOV, asm.S64, asm.RSP, asm.Indexed(base, tmp, 8, offShadowSP))
	c.makeRoom()
	c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(base, tmp, 8, offJumpCaches))
	c.MR(asm.MOV, asm.S64, state(offJumpCache), tmp2)
	c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(base, tmp, 8, offWindows))
	c.RI(asm.ADD, asm.S64, tmp2, offTLB+bias)
	c.MR(asm.MOV, asm.S64, state(offFetchBank), tmp2)
	c.RM(asm.MOV, asm.S64, tmp, asm.At(tmp2, bankTables))
	c.MR(asm.MOV, asm.S64, state(offTables), tmp)
	c.setMirror()
	c.RM(asm.MOV, asm.S64, tmp2, scratch(5))
	c.MR(asm.MOV, asm.S64, state(offDataBank), tmp2)
	c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(base, tmp2, 8, offWindows))
	c.RM(asm.LEA, asm.S64, base, asm.At(tmp2, bias))
}

// updateFPFast follows a change of mstatus, which is in tmp, or of frm. tmp2 is lost.
func (c *Compiler) updateFPFast() {
	slow := c.NewLabel()
	c.MI(asm.MOV, asm.S64, state(offFPFast), 0)
	c.RR(asm.MOV, asm.S32, tmp2, tmp)
	c.R(asm.NOT, asm.S32, tmp2)
	c.RI(asm.TEST, asm.S32, tmp2, hart.MstatusFS) // Dirty: all ones
	c.Jcc(asm.CondNE, slow)
	c.MI(asm.CMP, asm.S64, state(offFrm), 4) // MXCSR has four rounding modes
	c.Jcc(asm.CondAE, slow)
	c.MI(asm.MOV, asm.S64, state(offFPFast), 1)
	c.Bind(slow)
}

// statusRoutines are those of sstatus; see status.
func (c *Compiler) statusRoutines(here func() uintptr) {
	r := &c.routines
	value := func() { // RDX: mstatus, becomes sstatus; tmp2 is lost
		c.MovImm(tmp2, sstatusReadable)
		c.RR(asm.AND, asm.S64, asm.RDX, tmp2)
		c.RR(asm.MOV, asm.S32, tmp2, asm.RDX)
		c.RI(asm.AND, asm.S32, tmp2, hart.MstatusFS)
		c.RI(asm.ADD, asm.S32, tmp2, 1<<31-hart.MstatusFS) // bit 31 if FS is Dirty: all ones
		c.RI(asm.SHR, asm.S32, tmp2, 31)
		c.RI(asm.SHL, asm.S64, tmp2, 63)
		c.RR(asm.OR, asm.S64, asm.RDX, tmp2)
	}

	r.ReadStatus = here()
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	value()
	c.Plain(asm.RET)

	commit := here() // tmp: the new mstatus, RDX: the old one
	no, noBank, sameFS, quiet := c.NewLabel(), c.NewLabel(), c.NewLabel(), c.NewLabel()
	c.MI(asm.CMP, asm.S64, state(offPriv), riscv.PrivS)
	c.Jcc(asm.CondNE, no)
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RR(asm.XOR, asm.S64, tmp2, asm.RDX)
	c.RI(asm.TEST, asm.S32, tmp2, ^int32(sstatusFast))
	c.Jcc(asm.CondNE, no)
	c.RI(asm.TEST, asm.S32, asm.RDX, hart.MstatusMPRV|hart.MstatusMXR)
	c.Jcc(asm.CondNE, no)
	c.RI(asm.TEST, asm.S32, tmp2, hart.MstatusSUM)
	c.Jcc(asm.CondE, noBank)
	c.MI(asm.CMP, asm.S32, state(offSatp+4), 1<<28)
	c.Jcc(asm.CondB, no)
	c.MR(asm.MOV, asm.S64, scratch(4), tmp)
	c.RR(asm.MOV, asm.S32, tmp2, tmp)
	c.RI(asm.SHR, asm.S32, tmp2, sumShift)
	c.RI(asm.AND, asm.S32, tmp2, 1)
	c.RM(asm.MOV, asm.S64, tmp, state(offCurrent))
	c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(tmp, tmp2, 8, 8*int32(mmu.ViewS)))
	c.RI(asm.CMP, asm.S64, tmp2, -1)
	c.Jcc(asm.CondE, no)
	c.RM(asm.MOV, asm.S64, tmp, scratch(4))
	c.MR(asm.MOV, asm.S64, state(offDataBank), tmp2)
	c.RM(asm.MOV, asm.S64, tmp2, asm.Indexed(base, tmp2, 8, offWindows))
	c.RM(asm.LEA, asm.S64, base, asm.At(tmp2, bias))
	c.Bind(noBank)
	c.MR(asm.MOV, asm.S64, state(offMstatus), tmp)
	c.RR(asm.MOV, asm.S32, tmp2, tmp)
	c.RR(asm.XOR, asm.S32, tmp2, asm.RDX)
	c.RI(asm.TEST, asm.S32, tmp2, hart.MstatusFS)
	c.Jcc(asm.CondE, sameFS)
	c.updateFPFast()
	c.Bind(sameFS)
	c.RR(asm.MOV, asm.S32, tmp2, asm.RDX)
	c.R(asm.NOT, asm.S32, tmp2)
	c.RR(asm.AND, asm.S32, tmp2, tmp)
	c.MovImm(tmp, 0)
	c.RI(asm.TEST, asm.S32, tmp2, hart.MstatusSIE)
	c.Jcc(asm.CondE, quiet)
	c.MI(asm.CMP, asm.S64, state(offWaiting), 0)
	c.Jcc(asm.CondE, quiet)
	c.MovImm(tmp, statusCheck)
	c.Bind(quiet)
	value()
	c.Plain(asm.RET)
	c.Bind(no)
	c.MovImm(tmp, statusStep)
	c.Plain(asm.RET)

	r.WriteStatus = here()
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	c.RI(asm.AND, asm.S32, tmp, sstatusWritable)
	c.RR(asm.MOV, asm.S64, tmp2, asm.RDX)
	c.RI(asm.AND, asm.S64, tmp2, ^int32(sstatusWritable))
	c.RR(asm.OR, asm.S64, tmp, tmp2)
	c.JmpTo(commit)

	r.SetStatus = here()
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	c.RI(asm.AND, asm.S32, tmp, sstatusWritable)
	c.RR(asm.OR, asm.S64, tmp, asm.RDX)
	c.JmpTo(commit)

	r.ClearStatus = here()
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offMstatus))
	c.RI(asm.AND, asm.S32, tmp, sstatusWritable)
	c.R(asm.NOT, asm.S64, tmp)
	c.RR(asm.AND, asm.S64, tmp, asm.RDX)
	c.JmpTo(commit)
}
