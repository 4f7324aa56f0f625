// Package riscv is the instruction set as one table (table.go), and what derives from it: Decode, Encode, the disassembler,
// and in package asm the assembler. Beside it stand the numbers that the privileged architecture gives to registers and
// trap causes. It knows nothing of execution.
package riscv

// Inst is one decoded instruction: what engines predecode into, 12 bytes.
type Inst struct {
	Op  Op
	Rd  uint8 // destination register 0..31 (x or f by the table's operand kinds)
	Rs1 uint8 // also the 5-bit zimm of CSRR*I and the constant index of FLI
	Rs2 uint8
	Rs3 uint8 // third source of fused multiply-add
	Rm  uint8 // rounding mode field; for AMO, LR and SC: aq<<1 | rl
	Len uint8 // bytes: 2 or 4
	_   uint8
	Imm int32 // sign-extended; LUI and AUIPC hold the value already shifted; shifts hold shamt; CSR* hold the CSR number
}
