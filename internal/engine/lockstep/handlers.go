package lockstep

// The fixed part of a generated program: the dispatcher in M-mode, which starts one episode after another, and the trap
// handlers of M and S. All of it runs at physical addresses, which S-mode has mapped one to one.
//
// A handler counts the trap and mixes its values into a digest in memory, then goes on behind the instruction that trapped. When that
// cannot be fetched it goes on at ra instead: what jumps to where nothing is does so by a call. An interrupt is disabled
// when it is taken, since nothing here could make its source go away. ECALL with a7 = endCall ends the episode.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Registers that pieces of code keep for the program around them.
const (
	regStack = asm.S9
	regCount = asm.S10
	regLink  = asm.S11
	kept     = 1<<asm.RA | 1<<regStack | 1<<regCount | 1<<regLink
)

const endCall = 0x5e1

// The page of saved things: one area for each of the two handlers, then the descriptors.
const (
	saveDigest     = 32
	saveFixed      = 40 // sepc of the last page fault that the handler repaired
	saveExceptions = 64
	saveInterrupts = saveExceptions + 32*8
	saveSize       = 512

	dispatchNext   = 2 * saveSize     // the address of the next descriptor
	dispatchLeaves = dispatchNext + 8 // the table of leaves of the episode's space
	descriptors    = 2048
	descriptorSize = 160
)

func saveM() uint64 { return pageAt(savePage) }
func saveS() uint64 { return pageAt(savePage) + saveSize }

// episodeCSRs are set by the dispatcher, in this order.
var episodeCSRs = [...]uint16{
	riscv.CSRMepc, riscv.CSRMstatus, riscv.CSRMedeleg, riscv.CSRMideleg, riscv.CSRMie, riscv.CSRMtvec, riscv.CSRStvec,
	riscv.CSRMenvcfg, riscv.CSRSenvcfg, riscv.CSRMcounteren, riscv.CSRScounteren, riscv.CSRSatp, riscv.CSRMscratch,
	riscv.CSRSscratch,
}

// episodeRegs are loaded by it.
var episodeRegs = [...]uint8{asm.SP, asm.GP, asm.FP, regStack}

// descriptor is what an episode starts from; a zero mepc ends the program.
type descriptor struct {
	csr    [len(episodeCSRs)]uint64
	regs   [len(episodeRegs)]uint64
	leaves uint64
}

func (d *descriptor) words() []uint64 {
	return append(append(d.csr[:len(d.csr):len(d.csr)], d.regs[:]...), d.leaves)
}

// handlers writes the fixed part. fix says that the S-mode handler repairs page faults of the window, as a kernel would, and
// goes back to the instruction.
func handlers(a *asm.Assembler, pmp func(*asm.Assembler), fix bool) {
	a.Label("boot")
	pmp(a)
	a.Label("dispatch")
	a.Li(asm.T0, int64(pageAt(savePage)))
	a.Load(riscv.LD, asm.T1, dispatchNext, asm.T0)
	a.I(riscv.ADDI, asm.T2, asm.T1, descriptorSize)
	a.Store(riscv.SD, asm.T2, dispatchNext, asm.T0)
	off := int32(0)
	for i, csr := range episodeCSRs {
		a.Load(riscv.LD, asm.T2, off, asm.T1)
		if i == 0 {
			a.B(riscv.BEQ, asm.T2, asm.Zero, "done")
		}
		a.CSR(riscv.CSRRW, asm.Zero, csr, asm.T2)
		off += 8
	}
	for _, r := range episodeRegs {
		a.Load(riscv.LD, r, off, asm.T1)
		off += 8
	}
	a.Load(riscv.LD, asm.T2, off, asm.T1)
	a.Store(riscv.SD, asm.T2, dispatchLeaves, asm.T0)
	a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA})
	a.Op(riscv.MRET)

	a.Label("done")
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRMie, asm.Zero)
	a.Op(riscv.WFI)
	a.Label("ended")
	a.J("done")

	machineHandler.write(a)
	supervisor := supervisorHandler
	if fix {
		supervisor.repair = repair
	}
	supervisor.write(a)
}

// handler is what the two handlers differ in.
type handler struct {
	name                          string
	scratch, cause, tval, epc, ie uint16
	status                        uint16
	reach                         int64 // bits of status with which the handler can load the instruction that trapped
	ret                           riscv.Op
	end                           func(a *asm.Assembler)
	repair                        func(a *asm.Assembler) // T0 is the cause
}

var machineHandler = handler{
	name: "machine", scratch: riscv.CSRMscratch, cause: riscv.CSRMcause, tval: riscv.CSRMtval, epc: riscv.CSRMepc,
	ie: riscv.CSRMie, status: riscv.CSRMstatus, ret: riscv.MRET,
	reach: hart.MstatusMPRV | hart.MstatusSUM | hart.MstatusMXR,
	end:   func(a *asm.Assembler) { a.J("dispatch") },
}

var supervisorHandler = handler{
	name: "supervisor", scratch: riscv.CSRSscratch, cause: riscv.CSRScause, tval: riscv.CSRStval, epc: riscv.CSRSepc,
	ie: riscv.CSRSie, status: riscv.CSRSstatus, ret: riscv.SRET,
	reach: hart.MstatusSUM | hart.MstatusMXR,
	end:   func(a *asm.Assembler) { a.Op(riscv.ECALL) },
}

var saved = [...]uint8{asm.T0, asm.T1, asm.T2, asm.T3}

func (h *handler) write(a *asm.Assembler) {
	label := func(s string) string { return h.name + " " + s }
	a.Align(64)
	a.Label(h.name) // the table of vectored mode
	for range 16 {
		a.J(label("trap"))
	}
	a.Label(label("trap"))
	a.CSR(riscv.CSRRW, asm.A0, h.scratch, asm.A0)
	for i, r := range saved {
		a.Store(riscv.SD, r, int32(8*i), asm.A0)
	}
	a.CSR(riscv.CSRRS, asm.T0, h.cause, asm.Zero)
	a.CSR(riscv.CSRRS, asm.T2, h.epc, asm.Zero)
	a.B(riscv.BLT, asm.T0, asm.Zero, label("interrupt"))

	count := func(at int32) {
		a.I(riscv.ANDI, asm.T1, asm.T0, 31)
		a.R(riscv.SH3ADD, asm.T1, asm.T1, asm.A0)
		a.Load(riscv.LD, asm.T3, at, asm.T1)
		a.I(riscv.ADDI, asm.T3, asm.T3, 1)
		a.Store(riscv.SD, asm.T3, at, asm.T1)
	}
	count(saveExceptions)
	a.Load(riscv.LD, asm.T3, saveDigest, asm.A0)
	a.CSR(riscv.CSRRS, asm.T1, h.tval, asm.Zero)
	a.I(riscv.RORI, asm.T3, asm.T3, 7)
	a.R(riscv.XOR, asm.T3, asm.T3, asm.T1)
	a.R(riscv.ADD, asm.T3, asm.T3, asm.T2)
	a.Store(riscv.SD, asm.T3, saveDigest, asm.A0)

	a.I(riscv.ADDI, asm.T1, asm.T0, -8)
	a.I(riscv.SLTIU, asm.T1, asm.T1, 4)
	a.B(riscv.BNE, asm.T1, asm.Zero, label("ecall"))
	for _, cause := range []int64{riscv.CauseFetchPageFault, riscv.CauseFetchAccess} {
		a.Li(asm.T1, cause)
		a.B(riscv.BEQ, asm.T0, asm.T1, label("lost"))
	}
	if h.repair != nil {
		h.repair(a)
	}

	a.Label(label("skip"))
	a.Li(asm.T1, h.reach)
	a.CSR(riscv.CSRRS, asm.T1, h.status, asm.T1)
	a.Load(riscv.LHU, asm.T0, 0, asm.T2)
	a.CSR(riscv.CSRRW, asm.Zero, h.status, asm.T1)
	a.I(riscv.ANDI, asm.T0, asm.T0, 3)
	a.I(riscv.SLTIU, asm.T0, asm.T0, 3) // 1 for a compressed one
	a.I(riscv.SLLI, asm.T0, asm.T0, 1)
	a.I(riscv.ADDI, asm.T2, asm.T2, 4)
	a.R(riscv.SUB, asm.T2, asm.T2, asm.T0)
	a.Label(label("at t2"))
	a.CSR(riscv.CSRRW, asm.Zero, h.epc, asm.T2)
	a.Label(label("return"))
	restore := func() {
		for i, r := range saved {
			a.Load(riscv.LD, r, int32(8*i), asm.A0)
		}
		a.CSR(riscv.CSRRW, asm.A0, h.scratch, asm.A0)
	}
	restore()
	a.Op(h.ret)
	// Under mstatus.TSR an SRET traps to M-mode, which goes on behind it.
	a.Label(label("end"))
	restore()
	a.Label(label("out"))
	a.Li(asm.A7, endCall)
	h.end(a)
	a.J(label("out"))

	a.Label(label("ecall"))
	a.Li(asm.T1, endCall)
	a.B(riscv.BEQ, asm.A7, asm.T1, label("end"))
	a.J(label("skip"))

	a.Label(label("lost"))
	a.CSR(riscv.CSRRW, asm.Zero, h.epc, asm.RA)
	a.CSR(riscv.CSRRS, asm.T1, h.epc, asm.Zero)
	a.B(riscv.BNE, asm.T1, asm.T2, label("return"))
	a.J(label("end")) // even ra leads nowhere

	a.Label(label("interrupt"))
	count(saveInterrupts)
	a.Li(asm.T1, 1)
	a.R(riscv.SLL, asm.T1, asm.T1, asm.T0)
	a.CSR(riscv.CSRRC, asm.Zero, h.ie, asm.T1)
	a.J(label("return"))
}

// repair is what a kernel does on a page fault of a load or store: it makes the leaf valid, writable and dirty, and tries again,
// unless it has just done so at the same instruction. It has T2 = sepc.
func repair(a *asm.Assembler) {
	const skip = "supervisor skip"
	a.I(riscv.ANDI, asm.T0, asm.T0, -3)
	a.Li(asm.T1, riscv.CauseLoadPageFault&^2)
	a.B(riscv.BNE, asm.T0, asm.T1, skip)
	a.Load(riscv.LD, asm.T1, saveFixed, asm.A0)
	a.B(riscv.BEQ, asm.T1, asm.T2, skip)
	a.Store(riscv.SD, asm.T2, saveFixed, asm.A0)
	a.CSR(riscv.CSRRS, asm.T0, riscv.CSRStval, asm.Zero)
	a.I(riscv.SRLI, asm.T1, asm.T0, 21)
	a.Li(asm.T3, windowVA>>21)
	a.B(riscv.BNE, asm.T1, asm.T3, skip)
	a.I(riscv.SLLI, asm.T1, asm.T0, 64-21)
	a.I(riscv.SRLI, asm.T1, asm.T1, 64-9)
	a.Load(riscv.LD, asm.T3, dispatchLeaves-saveSize, asm.A0)
	a.R(riscv.SH3ADD, asm.T1, asm.T1, asm.T3)
	a.Load(riscv.LD, asm.T3, 0, asm.T1)
	a.B(riscv.BGE, asm.Zero, asm.T3, skip) // nothing there, or NAPOT
	a.I(riscv.ORI, asm.T3, asm.T3, flagsRW|mmu.PTEV)
	a.Store(riscv.SD, asm.T3, 0, asm.T1)
	a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA, Rs1: asm.T0})
	a.J("supervisor at t2")
}
