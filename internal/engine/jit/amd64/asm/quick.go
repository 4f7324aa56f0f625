package asm

// The way by which most instructions are encoded: operations of 32 and 64 bits. What comes before the operands is put together when the program
// starts; the encoder adds the registers, in two thirds of the time that it takes from the table's bits (encode.go), which is the only
// other place that knows how. A listing takes the long way, so the tests compare the two.

import "encoding/binary"

// quick is what the encoder has to know of a form. Of one that cannot be encoded so, sizes is empty.
type quick struct {
	head   uint32 // REX, with W if that is always set, and the opcode with its map's escape; or a VEX prefix of three bytes and the opcode
	length uint8  // of head in bits
	modRM  uint8  // what is fixed of it
	w      uint8  // W, if the size S64 sets it
	prefix uint8  // the mandatory prefix, which stands before REX, or 0
	sizes  sizes  // of those that the form has, the ones that are encoded so
	rmByte uint8  // 4 if a register in ModRM.rm is a byte register, of which REX makes 4 to 7 others; else 0
	plusR  bool   // the register is in the opcode, and there is no ModRM
	vex    bool

	// Bytes of the immediate, by the lowest bit of the size. If it is one of count values from low on, the opcode is another and it has short bytes.
	tail   [2]uint8
	short  uint8
	change uint8 // of the opcode
	count  uint16
	low    int16
}

// quickForm prepares a form.
func quickForm(f *form) (q quick) {
	e := f.enc
	if e&(lock|rm1) != 0 || !f.modRM() && e&plusR == 0 || e&vex != 0 && (e&m0F3A == m0F || e&hasDigit != 0) {
		return quick{} // in the map 0F, VEX may have two bytes
	}
	switch e & immMask {
	case ib:
		q.tail = [2]uint8{1, 1}
	case is:
		q.tail = [2]uint8{4, 4}
		q.short, q.change, q.low, q.count = 1, 2, -128, 256
	case iz:
		q.tail = [2]uint8{4, 4}
	case ish:
		q.tail = [2]uint8{1, 1}
		q.short, q.change, q.low, q.count = 0, 0x10, 1, 1
	case iq:
		q.tail = [2]uint8{4, 8}
	}
	q.plusR, q.vex = e&plusR != 0, e&vex != 0
	q.sizes = f.sizes & (s32 | s64 | sx)
	if q.vex {
		q.head = 0x78_E0_C4 | uint32(e>>mapShift&3)<<8 | uint32(e>>ppShift&3)<<16 | uint32(uint8(e))<<24
		if e&w1 != 0 {
			q.head |= vexW
		}
		return q
	}
	esc := escapes[e>>mapShift&3]
	q.head = 0x40 | uint32(esc.bytes)<<8 | uint32(uint8(e))<<(8+esc.bits)
	q.length = uint8(16 + esc.bits)
	if e&w1 != 0 {
		q.head |= 8
	} else if e&d64 == 0 {
		q.w = 8
	}
	if e&hasDigit != 0 {
		q.modRM = uint8(e>>digitShift&7) << 3
	}
	q.prefix = uint8(ppBytes[e>>ppShift&3])
	if e&rm8 != 0 {
		q.rmByte = 4
	}
	return q
}

// quickly tells whether f is encoded so.
func (a *Assembler) quickly(f *form, size Size) bool {
	return f.quick.sizes>>(size&7)&1 != 0 && a.pos <= a.limit && a.Trace == nil
}

// start is the REX prefix without what registers say, and the opcode; their number of bits; and how many bytes of an immediate follow.
func (q *quick) start(size Size, imm int64) (acc uint64, n uint, tail int) {
	acc, n, tail = uint64(q.head)+uint64(q.w)*uint64(size&1), uint(q.length), int(q.tail[size&1])
	if uint64(imm-int64(q.low)) < uint64(q.count) {
		acc += uint64(q.change) << ((n - 8) & 63)
		tail = int(q.short)
	}
	return acc, n, tail
}

// prefixes drops a REX prefix that says nothing and is not kept for a register, and adds the one before it.
func (q *quick) prefixes(acc uint64, n uint, keep uint8) (uint64, uint) {
	if acc&0xff == 0x40 && keep == 0 {
		acc, n = acc>>8, n-8
	}
	if q.prefix != 0 {
		acc, n = acc<<8|uint64(q.prefix), n+8
	}
	return acc, n
}

// reg emits f with registers only: the ones in ModRM.reg, ModRM.rm and VEX.vvvv, 0 where f has none.
func (a *Assembler) reg(f *form, size Size, reg, rm, v uint8, imm int64) {
	if !a.quickly(f, size) {
		a.anyReg(f, size, reg, rm, v, imm)
		return
	}
	q := &f.quick
	if q.vex {
		a.vexReg(q, size, reg, rm, v, imm)
		return
	}
	acc, n, tail := q.start(size, imm)
	acc |= uint64(reg>>3)<<2 | uint64(rm>>3)
	if q.plusR {
		acc += uint64(rm&7) << ((n - 8) & 63)
	} else {
		acc |= uint64(0xC0|q.modRM|reg&7<<3|rm&7) << (n & 63)
		n += 8
	}
	acc, n = q.prefixes(acc, n, rm&q.rmByte)
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n>>3) & 7
	binary.LittleEndian.PutUint64(b[k:], uint64(imm))
	a.pos += k + tail
}

// vexW is W in a VEX prefix of three bytes.
const vexW = 1 << 23

// vexReg is reg with such a prefix.
func (a *Assembler) vexReg(q *quick, size Size, reg, rm, v uint8, imm int64) {
	acc := uint64(q.head) ^ uint64(reg>>3)<<15 ^ uint64(rm>>3)<<13 ^ uint64(v)<<19 // the registers' bits are inverted
	if size == S64 {
		acc |= vexW
	}
	acc |= uint64(0xC0|reg&7<<3|rm&7) << 32
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	b[5] = byte(imm)
	a.pos += 5 + int(q.tail[0])
}

// mem emits f with memory in ModRM.rm.
func (a *Assembler) mem(f *form, size Size, reg, v uint8, m Mem, imm int64) {
	base, index, disp := m.base(), m.index(), m.disp()
	if base >= noBase || !a.quickly(f, size) || f.quick.vex {
		a.anyMem(f, size, reg, v, m, imm)
		return
	}
	if m.bits&inGS != 0 {
		a.buf[a.pos] = gsPrefix
		a.pos++
	}
	q := &f.quick
	acc, n, tail := q.start(size, imm)
	acc |= uint64(reg>>3)<<2 | uint64(index>>3)<<1 | uint64(base>>3)
	modRM := uint64(q.modRM | reg&7<<3)
	width := 0
	if disp != 0 || base&7 == 5 {
		if int32(int8(disp)) == disp {
			modRM |= 0x40
			width = 1
		} else {
			modRM |= 0x80
			width = 4
		}
	}
	if index != noIndex || base&7 == 4 {
		acc |= (modRM | 4 | uint64(m.scale()<<6|index&7<<3|base&7)<<8) << (n & 63)
		n += 16
	} else {
		acc |= (modRM | uint64(base&7)) << (n & 63)
		n += 8
	}
	acc, n = q.prefixes(acc, n, 0)
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n>>3) & 7
	binary.LittleEndian.PutUint32(b[k:], uint32(disp))
	k += width
	binary.LittleEndian.PutUint32(b[k:], uint32(imm))
	a.pos += k + tail
}
