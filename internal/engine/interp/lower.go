package interp

// From an encoding to a slot: what predecoding does to an instruction so that the hot loop need not.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// lower predecodes one instruction: compressed forms become the instruction they stand for, and x0 as an integer
// destination becomes the sink.
func lower(raw uint32) slot {
	i := riscv.Decode(raw).Expand()
	if i.Len == 2 {
		raw &= 0xffff
	}
	s := slot{
		op: uint16(i.Op), rd: i.Rd, rs1: i.Rs1, rs2: i.Rs2, rs3: i.Rs3, rm: i.Rm,
		step: i.Len / 2 * uint8(slotSize), imm: i.Imm, raw: raw,
	}
	if i.Op == riscv.ILLEGAL {
		s.op = opIllegal
	}
	if s.rd == 0 && !floatDest[i.Op] {
		s.rd = hart.SinkX
	}
	return s
}

// near turns a direct jump at byte offset off whose target is in the same page into the form that knows the target's slot. It
// says whether it did.
func near(s *slot, off uint64) bool {
	var op uint16
	switch riscv.Op(s.op) {
	case riscv.JAL:
		op = opNearJAL
	case riscv.BEQ:
		op = opNearBEQ
	case riscv.BNE:
		op = opNearBNE
	case riscv.BLT:
		op = opNearBLT
	case riscv.BGE:
		op = opNearBGE
	case riscv.BLTU:
		op = opNearBLTU
	case riscv.BGEU:
		op = opNearBGEU
	default:
		return false
	}
	if off+uint64(int64(s.imm)) >= memory.PageSize {
		return false
	}
	s.op = op
	s.imm <<= slotShift
	return true
}

// endsBlock says that the instruction after s is unlikely to be executed next.
func endsBlock(op uint16) bool {
	switch riscv.Op(op) {
	case riscv.JAL, riscv.JALR, riscv.ECALL, riscv.EBREAK, riscv.MRET, riscv.SRET:
		return true
	}
	return op == opIllegal
}
