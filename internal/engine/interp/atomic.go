package interp

// Atomic memory operations (A, Zacas): package hart does the memory side, this file the registers, and what of aq and rl the
// host's own atomic operations leave undone.
//
// To RVWMO an AMO is one memory operation: with aq all of it, its write too, comes before what follows, and a load of the same
// hart that reads what it wrote comes after it (Unprivileged, "RVWMO", Preserved Program Order, rules 3 and 5). So it is on x86.
// On arm64 only the read of an acquiring operation is ordered with what follows, so a barrier comes after each. Neither host
// orders a load after earlier stores, as LR with rl must.

import (
	"runtime"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// widen is what a register gets for the old value of a word or doubleword.
func widen(v uint64, size int) uint64 {
	if size == 4 {
		return sext(uint32(v))
	}
	return v
}

// rl is that bit in slot.rm.
const rl = 1

// settle follows every operation that writes.
func settle() {
	if runtime.GOARCH != "amd64" {
		hart.Barrier()
	}
}

func loadReserved(size int) handler {
	return func(in *Interp, s *slot) flow {
		if s.rm&rl != 0 {
			hart.Barrier()
		}
		v, ok := in.h.LoadReserved(in.h.X[s.rs1], size)
		if !ok {
			return flowTrap
		}
		in.h.X[s.rd] = widen(v, size)
		return flowNext
	}
}

func storeConditional(size int) handler {
	return func(in *Interp, s *slot) flow {
		fail, ok := in.h.StoreConditional(in.h.X[s.rs1], size, in.h.X[s.rs2])
		if !ok {
			return flowTrap
		}
		settle()
		in.h.X[s.rd] = fail
		return flowNext
	}
}

func amo(op hart.AMOOp, size int) handler {
	return func(in *Interp, s *slot) flow {
		old, ok := in.h.AMO(op, in.h.X[s.rs1], size, in.h.X[s.rs2])
		if !ok {
			return flowTrap
		}
		settle()
		in.h.X[s.rd] = widen(old, size)
		return flowNext
	}
}

// source reads the destination register of s, which amocas also compares with: not the sink.
func (in *Interp) source(s *slot) uint64 {
	if s.rd == hart.SinkX {
		return 0
	}
	return in.h.X[s.rd]
}

func compareSwap(size int) handler {
	return func(in *Interp, s *slot) flow {
		old, ok := in.h.CompareSwap(in.h.X[s.rs1], size, in.source(s), in.h.X[s.rs2])
		if !ok {
			return flowTrap
		}
		settle()
		in.h.X[s.rd] = widen(old, size)
		return flowNext
	}
}

// compareSwapPair is amocas.q: pairs of registers, of which the one that begins with x0 is zero (Unprivileged, "Zacas"). Its
// host operation is a full barrier already.
func compareSwapPair(in *Interp, s *slot) flow {
	var cmp, swap hart.Pair
	if s.rd != hart.SinkX {
		cmp = hart.Pair{Lo: in.h.X[s.rd], Hi: in.h.X[s.rd+1]}
	}
	if s.rs2 != 0 {
		swap = hart.Pair{Lo: in.h.X[s.rs2], Hi: in.h.X[s.rs2+1]}
	}
	old, ok := in.h.CompareSwap16(in.h.X[s.rs1], cmp, swap)
	if !ok {
		return flowTrap
	}
	if s.rd != hart.SinkX {
		in.h.X[s.rd], in.h.X[s.rd+1] = old.Lo, old.Hi
	}
	return flowNext
}

var atomicHandlers = map[riscv.Op]handler{
	riscv.LR_W: loadReserved(4), riscv.LR_D: loadReserved(8),
	riscv.SC_W: storeConditional(4), riscv.SC_D: storeConditional(8),

	riscv.AMOSWAP_W: amo(hart.AMOSwap, 4), riscv.AMOSWAP_D: amo(hart.AMOSwap, 8),
	riscv.AMOADD_W: amo(hart.AMOAdd, 4), riscv.AMOADD_D: amo(hart.AMOAdd, 8),
	riscv.AMOXOR_W: amo(hart.AMOXor, 4), riscv.AMOXOR_D: amo(hart.AMOXor, 8),
	riscv.AMOAND_W: amo(hart.AMOAnd, 4), riscv.AMOAND_D: amo(hart.AMOAnd, 8),
	riscv.AMOOR_W: amo(hart.AMOOr, 4), riscv.AMOOR_D: amo(hart.AMOOr, 8),
	riscv.AMOMIN_W: amo(hart.AMOMin, 4), riscv.AMOMIN_D: amo(hart.AMOMin, 8),
	riscv.AMOMAX_W: amo(hart.AMOMax, 4), riscv.AMOMAX_D: amo(hart.AMOMax, 8),
	riscv.AMOMINU_W: amo(hart.AMOMinU, 4), riscv.AMOMINU_D: amo(hart.AMOMinU, 8),
	riscv.AMOMAXU_W: amo(hart.AMOMaxU, 4), riscv.AMOMAXU_D: amo(hart.AMOMaxU, 8),

	riscv.AMOCAS_W: compareSwap(4), riscv.AMOCAS_D: compareSwap(8), riscv.AMOCAS_Q: compareSwapPair,
}
