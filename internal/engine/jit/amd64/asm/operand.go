package asm

// The operands: registers, sizes, conditions, memory.

import "fmt"

// Reg is a general register.
type Reg uint8

// The general registers, by their numbers in the encoding.
const (
	RAX Reg = iota
	RCX
	RDX
	RBX
	RSP
	RBP
	RSI
	RDI
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
)

// XMM is an SSE register.
type XMM uint8

// The SSE registers.
const (
	XMM0 XMM = iota
	XMM1
	XMM2
	XMM3
	XMM4
	XMM5
	XMM6
	XMM7
	XMM8
	XMM9
	XMM10
	XMM11
	XMM12
	XMM13
	XMM14
	XMM15
)

// Size is the size of an operand.
type Size uint8

// The sizes of an operand. As everywhere in this architecture, an operation of 32 bits clears the upper half of its destination, one of 8 or 16 keeps
// the rest.
const (
	S8  Size = iota // 1 byte
	S16             // 2 bytes
	S32             // 4 bytes
	S64             // 8 bytes

	sX // an instruction on SSE registers, whose sizes its name tells
)

// Bytes is the size in bytes.
func (s Size) Bytes() int { return 1 << s }

// Cond is a condition of a jump, a set or a move, by its number in the encoding.
type Cond uint8

// The conditions. After a comparison of a with b, B, AE, BE and A (below, above) compare unsigned, L, GE, LE and G (less, greater) signed.
const (
	CondO  Cond = iota // overflow
	CondNO             // no overflow
	CondB              // a < b unsigned; carry
	CondAE             // a >= b unsigned; no carry
	CondE              // a == b; zero
	CondNE             // a != b; not zero
	CondBE             // a <= b unsigned
	CondA              // a > b unsigned
	CondS              // negative
	CondNS             // not negative
	CondP              // parity even; unordered after a comparison of floating-point numbers
	CondNP             // parity odd; ordered
	CondL              // a < b signed
	CondGE             // a >= b signed
	CondLE             // a <= b signed
	CondG              // a > b signed
)

// Not is the opposite condition.
func (c Cond) Not() Cond { return c ^ 1 }

// Set is the instruction that sets a byte to 1 if c holds, else to 0.
func Set(c Cond) Op { return SETO + Op(c) }

// Cmov is the instruction that moves if c holds.
func Cmov(c Cond) Op { return CMOVO + Op(c) }

// Mem is an operand in memory. Made by At, Indexed, Scaled, Abs and Rel; one word, so that it travels in a register.
type Mem struct {
	bits uint64 // base | index<<8 | log2 scale<<16 | displacement or label<<32
}

const (
	noBase  = 0x10
	ripBase = 0x20       // relative to the instruction; the upper half is a Label
	noIndex = uint8(RSP) // what the encoding says for none: rsp cannot be an index
	inGS    = 1 << 24    // of Mem.bits: relative to the base of the segment GS

	gsPrefix = 0x65
)

func mem(base, index, scale uint8, disp int32) Mem {
	return Mem{uint64(base) | uint64(index)<<8 | uint64(scale)<<16 | uint64(uint32(disp))<<32}
}

// At is the memory at base + disp.
func At(base Reg, disp int32) Mem { return mem(uint8(base), noIndex, 0, disp) }

// Indexed is the memory at base + index*scale + disp; scale is 1, 2, 4 or 8, and index any register but rsp.
func Indexed(base, index Reg, scale int, disp int32) Mem {
	return mem(uint8(base), indexable(index), logScale(scale), disp)
}

// Scaled is the memory at index*scale + disp, without a base.
func Scaled(index Reg, scale int, disp int32) Mem {
	return mem(noBase, indexable(index), logScale(scale), disp)
}

// Abs is the memory at an address in the lowest or the highest 2 GiB.
func Abs(disp int32) Mem { return mem(noBase, noIndex, 0, disp) }

// Rel is the memory at a label of the same code, addressed relative to the instruction.
func Rel(l Label) Mem { return mem(ripBase, noIndex, 0, int32(l)) }

func indexable(index Reg) uint8 {
	if index == RSP {
		panic("asm: rsp cannot be an index")
	}
	return uint8(index)
}

func logScale(scale int) uint8 {
	switch scale {
	case 1:
		return 0
	case 2:
		return 1
	case 4:
		return 2
	case 8:
		return 3
	}
	panic(fmt.Sprintf("asm: scale %d", scale))
}

func (m Mem) base() uint8  { return uint8(m.bits) }
func (m Mem) index() uint8 { return uint8(m.bits >> 8) }
func (m Mem) scale() uint8 { return uint8(m.bits >> 16) }
func (m Mem) disp() int32  { return int32(m.bits >> 32) }

// GS is the same memory counted from the base of the segment GS.
func (m Mem) GS() Mem { return Mem{m.bits | inGS} }

// Disp is the displacement.
func (m Mem) Disp() int32 { return m.disp() }
