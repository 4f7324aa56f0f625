package asm

// The encoder: two functions, for a register and for memory in ModRM.rm, which do what the table says. The bytes up to the displacement, eight at
// most, are put together in a word and stored at once. Most instructions go another way (quick.go).

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// lookup finds the form of op that a method emits.
func lookup(op Op, k kind) *form {
	i := formOf[op][k]
	if i == 0 {
		noForm(op, k)
	}
	return &forms[i]
}

var ppBytes = [4]uint64{0, 0x66, 0xF3, 0xF2}

// escapes are the bytes before the opcode that choose its map, and their number of bits.
var escapes = [4]struct {
	bytes uint64
	bits  uint
}{{0, 0}, {0x0F, 8}, {0x380F, 16}, {0x3A0F, 16}}

// anyReg is reg for every form.
func (a *Assembler) anyReg(f *form, size Size, reg, rm, v uint8, imm int64) {
	if f.sizes>>size&1 == 0 {
		noSize(f, size)
	}
	if !a.room() {
		return
	}
	e := f.enc
	if a.Trace != nil {
		a.Trace(a.pos, Inst{form: f, size: size, reg: reg, rm: rm, v: v, imm: imm})
	}
	opcode, tail := immediate(e, size, imm)
	var rexBits uint64 // W, R, X, B as in REX
	if (size == S64 && e&d64 == 0) || e&w1 != 0 {
		rexBits = 8
	}
	rexBits |= uint64(reg>>3)<<2 | uint64(rm>>3)
	var (
		acc uint64
		n   uint
	)
	if e&vex != 0 {
		acc, n = vexPrefix(e, rexBits, v)
	} else {
		// Without a REX prefix, byte registers 4 to 7 are ah, ch, dh and bh.
		if (size == S8 && (reg|rm)&^3 != 0) || (e&rm8 != 0 && rm&^3 != 0) {
			rexBits |= 0x40
		}
		acc, n = legacyPrefix(e, size, rexBits)
	}
	if e&plusR != 0 {
		opcode += rm & 7
	}
	acc |= uint64(opcode) << (n & 63)
	n += 8
	if e&hasDigit != 0 {
		reg = uint8(e >> digitShift & 7)
		if e&rm1 != 0 {
			rm = 1
		}
	}
	if f.modRM() {
		acc |= uint64(0xC0|reg&7<<3|rm&7) << (n & 63)
		n += 8
	}
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n >> 3)
	if tail != 0 {
		putImmediate(b, k, tail, imm)
	}
	a.pos += k + tail
}

// anyMem is mem for every form.
func (a *Assembler) anyMem(f *form, size Size, reg, v uint8, m Mem, imm int64) {
	if f.sizes>>size&1 == 0 {
		noSize(f, size)
	}
	if !a.room() {
		return
	}
	e := f.enc
	if a.Trace != nil {
		a.Trace(a.pos, Inst{form: f, size: size, reg: reg, v: v, mem: m, inMemory: true, imm: imm})
	}
	opcode, tail := immediate(e, size, imm)
	base, index := m.base(), m.index()
	if m.bits&inGS != 0 {
		a.buf[a.pos] = gsPrefix
		a.pos++
	}
	var rexBits uint64
	if (size == S64 && e&d64 == 0) || e&w1 != 0 {
		rexBits = 8
	}
	rexBits |= uint64(reg>>3)<<2 | uint64(index>>3)<<1 | uint64(base>>3&1)
	var (
		acc uint64
		n   uint
	)
	if e&vex != 0 {
		acc, n = vexPrefix(e, rexBits, v)
	} else {
		if size == S8 && reg&^3 != 0 {
			rexBits |= 0x40
		}
		acc, n = legacyPrefix(e, size, rexBits)
	}
	acc |= uint64(opcode) << (n & 63)
	n += 8
	if e&hasDigit != 0 {
		reg = uint8(e >> digitShift & 7)
	}

	// ModRM, SIB, and how many bytes of displacement follow. In ModRM.rm 4 (rsp, r12) means that a SIB follows, in SIB.index 4 (rsp) no index;
	// base 5 (rbp, r13) without a displacement means none but 32 bits, which without SIB count from the next instruction.
	disp := m.disp()
	width := 0
	var mod uint8
	switch {
	case base >= noBase:
		width = 4
	case disp == 0 && base&7 != 5:
	case int32(int8(disp)) == disp:
		mod, width = 0x40, 1
	default:
		mod, width = 0x80, 4
	}
	modRM := mod | reg&7<<3
	switch {
	case base == ripBase:
		acc |= uint64(modRM|5) << (n & 63)
		n += 8
	case base == noBase:
		acc |= (uint64(modRM|4) | uint64(m.scale()<<6|index&7<<3|5)<<8) << (n & 63)
		n += 16
	case index != noIndex || base&7 == 4:
		acc |= (uint64(modRM|4) | uint64(m.scale()<<6|index&7<<3|base&7)<<8) << (n & 63)
		n += 16
	default:
		acc |= uint64(modRM|base&7) << (n & 63)
		n += 8
	}

	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n >> 3)
	if width != 0 {
		binary.LittleEndian.PutUint32(b[k:], uint32(disp))
	}
	if tail != 0 {
		putImmediate(b, k+width, tail, imm)
	}
	if base == ripBase {
		a.refer(Label(disp), a.pos+k, tail, false)
	}
	a.pos += k + width + tail
}

// modRM tells whether f has a ModRM byte.
func (f *form) modRM() bool { return f.order != bare }

// immediate is the opcode of e, adjusted for the size and the immediate, and the number of bytes of the immediate.
func immediate(e enc, size Size, imm int64) (opcode uint8, tail int) {
	opcode = uint8(e)
	if size == S8 && e&byteOp != 0 {
		opcode--
	}
	switch e & immMask {
	case 0:
		return opcode, 0
	case ib:
		return opcode, 1
	case ish:
		if imm == 1 {
			return opcode + 0x10, 0
		}
		return opcode, 1
	case iq:
		return opcode, size.Bytes()
	case is:
		if size == S16 {
			imm = int64(int16(imm))
		}
		if size != S8 && int64(int8(imm)) == imm {
			return opcode + 2, 1
		}
	}
	return opcode, min(size.Bytes(), 4)
}

// putImmediate stores the lowest n bytes of imm at b[k], and may spoil the bytes behind them.
func putImmediate(b []byte, k, n int, imm int64) {
	switch n {
	case 1:
		b[k] = byte(imm)
	case 8:
		binary.LittleEndian.PutUint64(b[k:], uint64(imm))
	default:
		binary.LittleEndian.PutUint32(b[k:], uint32(imm))
	}
}

// legacyPrefix is what stands before the opcode: lock, operand size, mandatory prefix, REX, the opcode's map; and its number of
// bits. REX comes last of the prefixes, or it has no effect.
func legacyPrefix(e enc, size Size, rexBits uint64) (acc uint64, n uint) {
	if e&lock != 0 {
		acc, n = 0xF0, 8
	}
	if size == S16 {
		acc |= 0x66 << (n & 63)
		n += 8
	}
	if pp := e >> ppShift & 3; pp != 0 {
		acc |= ppBytes[pp] << (n & 63)
		n += 8
	}
	if rexBits != 0 {
		acc |= (0x40 | rexBits) << (n & 63)
		n += 8
	}
	esc := &escapes[e>>mapShift&3]
	return acc | esc.bytes<<(n&63), n + esc.bits
}

// vexPrefix is the VEX prefix, of two bytes where they can say it all, and its number of bits. L is 0: scalars and 128 bits.
func vexPrefix(e enc, rexBits uint64, v uint8) (acc uint64, n uint) {
	last := uint64(^v&15)<<3 | uint64(e>>ppShift&3)
	if opmap := uint64(e >> mapShift & 3); rexBits&^4 != 0 || opmap != 1 {
		return 0xC4 | ((^rexBits&7)<<5|opmap)<<8 | (rexBits&8<<4|last)<<16, 24
	}
	return 0xC5 | ((^rexBits&4)<<5|last)<<8, 16
}

// noForm and noSize report an instruction that does not exist: a mistake in the program that uses the assembler.

//go:noinline
func noForm(op Op, k kind) { panic(fmt.Sprintf("asm: %v does not take operands %s", op, kindNames[k])) }

//go:noinline
func noSize(f *form, size Size) {
	panic(fmt.Sprintf("asm: %v %s does not come in a size of %d bytes", f.op, strings.Join(shapes[f.shape].operands, ", "), size.Bytes()))
}
