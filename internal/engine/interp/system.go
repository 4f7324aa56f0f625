package interp

// System instructions: CSRs, traps and returns, fences, cache blocks, waiting. Package hart holds their rules.

import (
	"runtime"
	"sync/atomic"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// illegal is an instruction that may not execute, or is none.
func (in *Interp) illegal(s *slot) flow {
	in.h.IllegalInstruction(s.raw)
	return flowTrap
}

// leave ends an instruction after which the hot loop must look at everything anew.
func (in *Interp) leave(s *slot, why flow) flow {
	in.h.PC += uint64(s.step >> slotShift)
	return why
}

// csr makes the handler of a CSR instruction; immediate ones have their source in the rs1 field itself.
func csr(kind hart.CSRKind, immediate bool) handler {
	return func(in *Interp, s *slot) flow {
		src := uint64(s.rs1)
		if !immediate {
			src = in.h.X[s.rs1]
		}
		write := kind == hart.CSRWrite || s.rs1 != 0
		bank, data, satp := in.h.Bank, in.h.DataBank, in.h.Satp
		old, ok := in.h.CSR(kind, uint16(s.imm), src, write)
		if !ok {
			return flowTrap
		}
		in.h.X[s.rd] = old
		if !write || bank == in.h.Bank && data == in.h.DataBank && satp == in.h.Satp && !isPMP(s.imm) &&
			atomic.LoadUint32(&in.h.Attention) == 0 {
			return flowNext
		}
		return in.leave(s, flowLeave)
	}
}

// isPMP says that a CSR is pmpcfg or pmpaddr: writing it may forbid fetching from the page that executes now.
func isPMP(num int32) bool { return num >= 0x3a0 && num < 0x3f0 }

func ecall(in *Interp, _ *slot) flow {
	in.h.Ecall()
	return flowTrap
}

func ebreak(in *Interp, _ *slot) flow {
	in.h.Ebreak()
	return flowTrap
}

// trapReturn is mret and sret, which set the program counter themselves.
func trapReturn(f func(*hart.Hart) bool) handler {
	return func(in *Interp, _ *slot) flow {
		if !f(in.h) {
			return flowTrap
		}
		return flowLeave
	}
}

func wfi(in *Interp, s *slot) flow {
	if !in.h.WFI() {
		return flowTrap
	}
	return in.leave(s, flowWait)
}

// fence orders everything, whatever its operands say. Pause, which is a fence with an empty successor set, lets another hart
// have the host's processor.
func fence(in *Interp, s *slot) flow {
	const pause = 0x0100_000f
	if s.raw == pause {
		runtime.Gosched()
		return flowNext
	}
	hart.Barrier()
	return flowNext
}

// fenceI makes what this hart has seen of other harts' stores, by loads before it, come before the reads of memory that
// revalidate predecoded pages. The walks after an SFENCE.VMA need the same.
func fenceI(in *Interp, s *slot) flow {
	hart.Barrier()
	in.h.FenceI()
	return in.leave(s, flowLeave)
}

// waitReservation is wrs.nto and wrs.sto. Both may stop stalling for any reason (Unprivileged, "Zawrs"), so one turn for
// the other goroutines is enough, and the time limit under mstatus.TW is never reached.
func waitReservation(in *Interp, s *slot) flow {
	if in.h.ResValid != 0 {
		runtime.Gosched()
	}
	return flowNext
}

// sfence is sfence.vma and sinval.vma.
func sfence(in *Interp, s *slot) flow {
	hart.Barrier()
	if !in.h.SFENCE(in.h.X[s.rs1], in.h.X[s.rs2], s.rs1 != 0, s.rs2 != 0) {
		return flowTrap
	}
	return in.leave(s, flowLeave)
}

// sfenceOrder is sfence.w.inval and sfence.inval.ir.
func sfenceOrder(in *Interp, s *slot) flow {
	if !in.h.SFenceOrder() {
		return flowTrap
	}
	return in.leave(s, flowLeave)
}

// block makes the handler of a cache-block instruction.
func block(f func(h *hart.Hart, va uint64) bool) handler {
	return func(in *Interp, s *slot) flow {
		if !f(in.h, in.h.X[s.rs1]) {
			return flowTrap
		}
		return flowNext
	}
}

var systemHandlers = map[riscv.Op]handler{
	riscv.CSRRW: csr(hart.CSRWrite, false), riscv.CSRRWI: csr(hart.CSRWrite, true),
	riscv.CSRRS: csr(hart.CSRSet, false), riscv.CSRRSI: csr(hart.CSRSet, true),
	riscv.CSRRC: csr(hart.CSRClear, false), riscv.CSRRCI: csr(hart.CSRClear, true),

	riscv.ECALL: ecall, riscv.EBREAK: ebreak, riscv.WFI: wfi,
	riscv.MRET: trapReturn((*hart.Hart).MRET), riscv.SRET: trapReturn((*hart.Hart).SRET),

	riscv.FENCE: fence, riscv.FENCE_I: fenceI,
	riscv.SFENCE_VMA: sfence, riscv.SINVAL_VMA: sfence,
	riscv.SFENCE_W_INVAL: sfenceOrder, riscv.SFENCE_INVAL_IR: sfenceOrder,
	riscv.WRS_NTO: waitReservation, riscv.WRS_STO: waitReservation,

	riscv.CBO_ZERO: block((*hart.Hart).CBOZero), riscv.CBO_CLEAN: block((*hart.Hart).CBOClean),
	riscv.CBO_FLUSH: block((*hart.Hart).CBOFlush), riscv.CBO_INVAL: block((*hart.Hart).CBOInval),
}
