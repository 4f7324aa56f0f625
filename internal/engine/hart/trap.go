package hart

// Traps and returns from them (Privileged 1.13 §3.1.6.1, §3.1.7, §3.3, §12.1), and the instructions that only ask for one.

import "github.com/vmproject/vm/internal/engine/riscv"

// Fields of mstatus (Privileged 1.13 §3.1.6).
const (
	MstatusSIE  = 1 << 1
	MstatusMIE  = 1 << 3
	MstatusSPIE = 1 << 5
	MstatusMPIE = 1 << 7
	MstatusSPP  = 1 << 8
	MstatusVS   = 3 << 9
	MstatusMPP  = 3 << 11
	MstatusFS   = 3 << 13
	MstatusMPRV = 1 << 17
	MstatusSUM  = 1 << 18
	MstatusMXR  = 1 << 19
	MstatusTVM  = 1 << 20
	MstatusTW   = 1 << 21
	MstatusTSR  = 1 << 22
	MstatusUXL  = 3 << 32
	MstatusSXL  = 3 << 34
	MstatusSD   = 1 << 63

	sppShift = 8
	mppShift = 11

	mstatusFixed = 2<<32 | 2<<34 // UXL and SXL: 64 bits, always
)

// vectored is the MODE of xtvec that gives each interrupt an entry of its own.
const vectored = 1

// Exception takes an exception of the instruction at PC. tval is the faulting virtual address, the instruction bits, or 0, by
// the cause.
func (h *Hart) Exception(cause, tval uint64) {
	h.Stats.Exceptions[cause&31]++
	h.trap(cause, tval, h.Medeleg>>cause&1 != 0)
}

// trap delivers a trap to S-mode if delegated says so and the hart is not above it, else to M-mode or to the host's firmware.
func (h *Hart) trap(cause, tval uint64, delegated bool) {
	if delegated && h.Priv <= riscv.PrivS {
		h.trapS(cause, tval)
	} else if h.Firmware {
		h.FirmwareTrap = Trap{cause, tval}
		h.attend(attnFirmware)
	} else {
		h.trapM(cause, tval)
	}
}

func (h *Hart) trapM(cause, tval uint64) {
	handler := vector(h.Mtvec, cause)
	ms := h.Mstatus
	if h.Priv == riscv.PrivM && ms&MstatusMIE == 0 {
		h.detectStuck(handler, cause)
	}
	h.Mepc, h.Mcause, h.Mtval = h.PC, cause, tval
	ms = ms&^(MstatusMPP|MstatusMPIE|MstatusMIE) | h.Priv<<mppShift
	if h.Mstatus&MstatusMIE != 0 {
		ms |= MstatusMPIE
	}
	h.Mstatus = ms
	h.Priv = riscv.PrivM
	h.PC = handler
	h.updateBanks()
}

func (h *Hart) trapS(cause, tval uint64) {
	handler := vector(h.Stvec, cause)
	ms := h.Mstatus
	if h.Firmware && h.Priv == riscv.PrivS && ms&MstatusSIE == 0 {
		h.detectStuck(handler, cause)
	}
	h.Sepc, h.Scause, h.Stval = h.PC, cause, tval
	ms = ms&^(MstatusSPP|MstatusSPIE|MstatusSIE) | h.Priv<<sppShift
	if h.Mstatus&MstatusSIE != 0 {
		ms |= MstatusSPIE
	}
	h.Mstatus = ms
	h.Priv = riscv.PrivS
	h.PC = handler
	h.updateBanks()
}

// vector is the address of the handler that xtvec names for a cause.
func vector(tvec, cause uint64) uint64 {
	base := tvec &^ 3
	if tvec&vectored != 0 && cause&riscv.CauseInterrupt != 0 {
		base += 4 * (cause &^ riscv.CauseInterrupt)
	}
	return base
}

// detectStuck stops the hart if the instruction that cannot be fetched or decoded is the first of the very handler the trap
// goes to, in the handler's own privilege with interrupts off: no state but xepc would ever change again.
func (h *Hart) detectStuck(handler, cause uint64) {
	if h.PC != handler {
		return
	}
	switch cause {
	case riscv.CauseFetchAccess, riscv.CauseFetchPageFault, riscv.CauseIllegal:
		h.stuck.Store(true)
		h.attend(attnStop)
	}
}

// IllegalInstruction takes the exception for the instruction at PC with the bits raw (16 of them if compressed).
func (h *Hart) IllegalInstruction(raw uint32) { h.Exception(riscv.CauseIllegal, uint64(raw)) }

// illegal does the same for a method that was not told the bits: it looks at memory.
func (h *Hart) illegal() { h.IllegalInstruction(h.rawAtPC()) }

// Ecall takes the exception of ECALL.
func (h *Hart) Ecall() { h.Exception(riscv.CauseEcallU+h.Priv, 0) }

// Ebreak takes the exception of EBREAK.
func (h *Hart) Ebreak() { h.Exception(riscv.CauseBreakpoint, h.PC) }

// MRET returns from an M-mode trap handler.
func (h *Hart) MRET() bool {
	if h.Priv != riscv.PrivM {
		h.illegal()
		return false
	}
	ms := h.Mstatus
	h.Priv = ms & MstatusMPP >> mppShift
	ms = ms&^(MstatusMPP|MstatusMIE) | MstatusMPIE
	if h.Mstatus&MstatusMPIE != 0 {
		ms |= MstatusMIE
	}
	if h.Priv != riscv.PrivM {
		ms &^= MstatusMPRV
	}
	h.returned(ms, h.Mepc)
	return true
}

// SRET returns from an S-mode trap handler.
func (h *Hart) SRET() bool {
	ms := h.Mstatus
	if h.Priv == riscv.PrivU || h.Priv == riscv.PrivS && ms&MstatusTSR != 0 {
		h.illegal()
		return false
	}
	h.Priv = ms & MstatusSPP >> sppShift
	ms = ms&^(MstatusSPP|MstatusSIE|MstatusMPRV) | MstatusSPIE
	if h.Mstatus&MstatusSPIE != 0 {
		ms |= MstatusSIE
	}
	h.returned(ms, h.Sepc)
	return true
}

// returned finishes MRET and SRET. The reservation goes, so that none reaches over a context switch.
func (h *Hart) returned(mstatus, pc uint64) {
	h.Mstatus = mstatus
	h.PC = pc
	h.ResValid = 0
	h.updateBanks()
	h.checkInterrupts()
}

// WFI says whether the hart may wait for an interrupt; if not, it has trapped. A U-mode WFI is always illegal, and one of
// S-mode is under mstatus.TW: the bounded time that the specification allows it to complete in is zero here.
func (h *Hart) WFI() bool {
	if h.Priv == riscv.PrivU || h.Priv == riscv.PrivS && h.Mstatus&MstatusTW != 0 {
		h.illegal()
		return false
	}
	return true
}
