package asm

// The instructions, by the shape of their operands, in the order assembly writes them; and the few pseudo-instructions that
// make programs readable.

import (
	"math/bits"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Op writes an instruction without operands: ECALL, EBREAK, MRET, SRET, WFI, WRS_NTO, ...
func (a *Assembler) Op(op riscv.Op) { a.Emit(riscv.Inst{Op: op}) }

// R writes an instruction of two sources: ADD, MUL, SH1ADD, FSGNJ_D, FEQ_S, ...
func (a *Assembler) R(op riscv.Op, rd, rs1, rs2 uint8) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Rs2: rs2})
}

// R1 writes an instruction of one source: CLZ, SEXT_B, FMV_X_D, FCLASS_S, ...
func (a *Assembler) R1(op riscv.Op, rd, rs1 uint8) { a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1}) }

// I writes an instruction of a source and an immediate or shift amount: ADDI, SLLI, RORIW, JALR, ...
func (a *Assembler) I(op riscv.Op, rd, rs1 uint8, imm int32) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Imm: imm})
}

// U writes LUI or AUIPC; imm is the value, with its lower 12 bits 0.
func (a *Assembler) U(op riscv.Op, rd uint8, imm int32) { a.Emit(riscv.Inst{Op: op, Rd: rd, Imm: imm}) }

// Load writes a load into rd (integer or floating-point, as op wants) from imm(rs1).
func (a *Assembler) Load(op riscv.Op, rd uint8, imm int32, rs1 uint8) { a.I(op, rd, rs1, imm) }

// Store writes a store of rs2 to imm(rs1).
func (a *Assembler) Store(op riscv.Op, rs2 uint8, imm int32, rs1 uint8) {
	a.Emit(riscv.Inst{Op: op, Rs1: rs1, Rs2: rs2, Imm: imm})
}

// B writes a conditional branch to a label, at most 4 KiB away.
func (a *Assembler) B(op riscv.Op, rs1, rs2 uint8, label string) {
	a.EmitTo(riscv.Inst{Op: op, Rs1: rs1, Rs2: rs2}, label)
}

// Jal writes a jump-and-link to a label, at most 1 MiB away.
func (a *Assembler) Jal(rd uint8, label string) { a.EmitTo(riscv.Inst{Op: riscv.JAL, Rd: rd}, label) }

// J writes a jump to a label.
func (a *Assembler) J(label string) { a.Jal(Zero, label) }

// Call writes a call of a label, at most 1 MiB away.
func (a *Assembler) Call(label string) { a.Jal(RA, label) }

// Ret writes a return.
func (a *Assembler) Ret() { a.I(riscv.JALR, Zero, RA, 0) }

// CSR writes CSRRW, CSRRS or CSRRC with register rs1, or CSRRWI, CSRRSI or CSRRCI with rs1 as the 5-bit immediate.
func (a *Assembler) CSR(op riscv.Op, rd uint8, csr uint16, rs1 uint8) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Imm: int32(csr)})
}

// AMO writes an AMO, AMOCAS, LR (rs2 0) or SC on (rs1); order is Relaxed, AQ, RL or AQRL.
func (a *Assembler) AMO(op riscv.Op, rd, rs2, rs1, order uint8) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Rs2: rs2, Rm: order})
}

// F writes a floating-point instruction with a rounding mode: FADD_S, ...; FSQRT_D and conversions have rs2 0.
func (a *Assembler) F(op riscv.Op, rd, rs1, rs2, rm uint8) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Rs2: rs2, Rm: rm})
}

// FMA writes a fused multiply-add.
func (a *Assembler) FMA(op riscv.Op, rd, rs1, rs2, rs3, rm uint8) {
	a.Emit(riscv.Inst{Op: op, Rd: rd, Rs1: rs1, Rs2: rs2, Rs3: rs3, Rm: rm})
}

// Fence writes FENCE with the given sets, each some of I=8, O=4, R=2, W=1.
func (a *Assembler) Fence(pred, succ uint8) {
	a.Emit(riscv.Inst{Op: riscv.FENCE, Imm: int32(pred&15)<<4 | int32(succ&15)})
}

// Nop writes a 4-byte no-operation.
func (a *Assembler) Nop() { a.I(riscv.ADDI, Zero, Zero, 0) }

// Mv copies an integer register.
func (a *Assembler) Mv(rd, rs uint8) { a.I(riscv.ADDI, rd, rs, 0) }

// Li puts a 64-bit constant into rd, in one to eight instructions.
func (a *Assembler) Li(rd uint8, v int64) {
	low := v << 52 >> 52
	if v == low {
		a.I(riscv.ADDI, rd, Zero, int32(v))
		return
	}
	if v == int64(int32(v)) {
		// addiw, for the sum may leave 32 bits: 0x7fffffff is lui 0x80000 with -1.
		a.U(riscv.LUI, rd, int32(v-low))
		if low != 0 {
			a.I(riscv.ADDIW, rd, rd, int32(low))
		}
		return
	}
	upper := uint64(v - low)
	shift := bits.TrailingZeros64(upper) // at least 12, so every step consumes that much
	a.Li(rd, int64(upper)>>shift)
	a.I(riscv.SLLI, rd, rd, int32(shift))
	if low != 0 {
		a.I(riscv.ADDI, rd, rd, int32(low))
	}
}

// La puts the address of a label into rd, relative to the pc (auipc, addi): at most 2 GiB away.
func (a *Assembler) La(rd uint8, label string) {
	from := a.PC()
	a.emitFixup(upperOf, from, riscv.Inst{Op: riscv.AUIPC, Rd: rd}, label)
	a.emitFixup(lowerOf, from, riscv.Inst{Op: riscv.ADDI, Rd: rd, Rs1: rd}, label)
}
