package asm

// The way by which most instructions are encoded: operations of 32 and 64 bits without VEX and lock. What comes before the
// operands is put together when the program starts; the encoder adds the registers, in a third of the time that it takes from the table's
// bits (encode.go), which is the only other place that knows how. A listing takes the long way, so the tests compare the two.

import "encoding/binary"

// quick is what the encoder has to know of a form. Of one that cannot be encoded so, sizes is empty.
type quick struct {
	head   uint32 // REX, with W if that is always set, and the opcode with its map's escape
	length uint8  // of head in bits
	modRM  uint8  // what is fixed of it
	w      uint8  // W, if the size S64 sets it
	prefix uint8  // the mandatory prefix, which stands before REX, or 0
	imm    uint8  // kind of the immediate: one of those below
	sizes  sizes  // of those that the form has, the ones that are encoded so
	rmByte bool   // a register in ModRM.rm is a byte register, which REX may say more about
}

// The kinds of immediates in quick.
const (
	noImm    = iota
	byteImm  // ib
	shortImm // is
	longImm  // iz
	shiftImm // ish
)

// quickForm prepares a form.
func quickForm(f *form) (q quick) {
	e := f.enc
	if e&(vex|lock|plusR|rm1) != 0 || !f.modRM() {
		return quick{}
	}
	switch e & immMask {
	case 0:
	case ib:
		q.imm = byteImm
	case is:
		q.imm = shortImm
	case iz:
		q.imm = longImm
	case ish:
		q.imm = shiftImm
	default:
		return quick{}
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
	q.rmByte = e&rm8 != 0
	q.sizes = f.sizes & (s32 | s64 | sx)
	return q
}

// quickly tells whether f is encoded so.
func (a *Assembler) quickly(f *form, size Size) bool {
	return f.quick.sizes>>(size&7)&1 != 0 && a.pos <= a.limit && a.Trace == nil
}

// start is the REX prefix without what registers say, and the opcode; and their number of bits.
func (q *quick) start(size Size) (acc uint64, n uint) {
	acc = uint64(q.head)
	if size == S64 {
		acc |= uint64(q.w)
	}
	return acc, uint(q.length)
}

// immediate completes the opcode for an immediate, and returns how many bytes of that follow.
func (q *quick) immediate(acc uint64, n uint, imm int64) (uint64, int) {
	switch q.imm {
	case noImm:
		return acc, 0
	case byteImm:
		return acc, 1
	case shortImm:
		if int64(int8(imm)) == imm {
			return acc + 2<<((n-8)&63), 1
		}
	case shiftImm:
		if imm == 1 {
			return acc + 0x10<<((n-8)&63), 0
		}
		return acc, 1
	}
	return acc, 4
}

// prefixes drops a REX prefix that says nothing, and adds the one before it.
func (q *quick) prefixes(acc uint64, n uint, keep bool) (uint64, uint) {
	if acc&0xff == 0x40 && !keep {
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
	acc, n := q.start(size)
	acc |= uint64(reg>>3)<<2 | uint64(rm>>3)
	acc, tail := q.immediate(acc, n, imm)
	acc |= uint64(0xC0|q.modRM|reg&7<<3|rm&7) << (n & 63)
	acc, n = q.prefixes(acc, n+8, q.rmByte && rm&^3 != 0)
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n>>3) & 7
	binary.LittleEndian.PutUint32(b[k:], uint32(imm))
	a.pos += k + tail
}

// mem emits f with memory in ModRM.rm.
func (a *Assembler) mem(f *form, size Size, reg, v uint8, m Mem, imm int64) {
	base, index, disp := m.base(), m.index(), m.disp()
	if base >= noBase || !a.quickly(f, size) {
		a.anyMem(f, size, reg, v, m, imm)
		return
	}
	if m.bits&inGS != 0 {
		a.buf[a.pos] = gsPrefix
		a.pos++
	}
	q := &f.quick
	acc, n := q.start(size)
	acc |= uint64(reg>>3)<<2 | uint64(index>>3)<<1 | uint64(base>>3)
	acc, tail := q.immediate(acc, n, imm)
	modRM := q.modRM | reg&7<<3
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
		acc |= (uint64(modRM|4) | uint64(m.scale()<<6|index&7<<3|base&7)<<8) << (n & 63)
		n += 16
	} else {
		acc |= uint64(modRM|base&7) << (n & 63)
		n += 8
	}
	acc, n = q.prefixes(acc, n, false)
	b := a.buf[a.pos : a.pos+slack]
	binary.LittleEndian.PutUint64(b, acc)
	k := int(n>>3) & 15
	binary.LittleEndian.PutUint32(b[k:], uint32(disp))
	k += width
	if tail != 0 {
		binary.LittleEndian.PutUint32(b[k:], uint32(imm))
	}
	a.pos += k + tail
}
