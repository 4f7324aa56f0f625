package jit

// Instructions that generated code has done in Go without an end of its block: CSRs that it does not know by itself, and fences.

import (
	"runtime"
	"sync/atomic"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// host executes the instruction that generated code left for, and returns where to go on: 0 if PC is not what follows, or has to be looked up.
func (e *Engine) host() uintptr {
	h := e.h
	raw := uint32(h.ExitArg)
	h.Instret = h.InstretEnd - uint64(h.Budget)
	h.PC = h.PageBase + h.Scratch[0]
	bank := h.Bank % mmu.NumBanks
	ok, alike := e.system(raw)
	if h.FenceIGen != e.gen {
		e.fence() // mostly nothing was written that has been executed
	}
	// A switch of address spaces that share the bank of fetches changes nothing for the code.
	if ok && alike && h.Bank == bank && h.TLB.Forget == 0 && h.TLB.ForgetCount == 0 &&
		h.TLB.Banks[bank].Fetch[mmu.FetchIndex(h.PC)].Tag == h.PC&^memory.PageMask && atomic.LoadUint32(&h.Attention) == 0 {
		return e.m.routines.Resume
	}
	// The routine was called: what it would have returned to goes.
	h.ShadowSP[bank] += 8
	if ok {
		h.PC += 4
		h.Instret++
	}
	return 0
}

// system executes an instruction of those that package rv64 makes an ir.Host of. ok is false when it has trapped; alike says that the code
// that follows may be fetched as before, as far as Bank and the fetch entry do not say.
func (e *Engine) system(raw uint32) (ok, alike bool) {
	const (
		opcodeSystem = 0x73
		pause        = 0x0100_000f
	)
	h := e.h
	rd, funct3, rs1, rs2 := raw>>7&31, raw>>12&7, raw>>15&31, raw>>20&31
	switch {
	case raw == pause:
		runtime.Gosched()
		return true, true
	case raw&0x7f != opcodeSystem:
		hart.Barrier()
		h.FenceI()
		return true, true
	case funct3 == 0:
		hart.Barrier()
		return h.SFENCE(h.X[rs1], h.X[rs2], rs1 != 0, rs2 != 0), true
	}
	src := uint64(rs1)
	if funct3&4 == 0 {
		src = h.X[rs1]
	}
	kind := [...]hart.CSRKind{1: hart.CSRWrite, 2: hart.CSRSet, 3: hart.CSRClear}[funct3&3]
	write := kind == hart.CSRWrite || rs1 != 0
	num := uint16(raw >> 20)
	old, ok := h.CSR(kind, num, src, write)
	if ok && rd != 0 {
		h.X[rd] = old
	}
	return ok, !write || num < riscv.CSRPmpcfg0 || num >= riscv.CSRPmpaddr0+64
}
