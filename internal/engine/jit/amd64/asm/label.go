package asm

// Labels, jumps and calls. A jump back takes the short form where it reaches. One forward takes the near form, as the distance is not
// known yet, unless the short one is asked for.

import "encoding/binary"

// A Label is a place in the code, perhaps not known yet. It is valid until the next Reset.
type Label int32

type label struct {
	at     int32 // offset, or -1 while it is not bound
	fixups int32 // the first of a list of fixups that wait for it, -1 for none
}

// A fixup is a displacement that waits for its label. It counts from the end of the instruction.
type fixup struct {
	next  int32
	at    int32
	tail  uint8 // bytes of the instruction behind the displacement
	short bool  // one byte, not four
}

// NewLabel makes a label that is not bound yet.
func (a *Assembler) NewLabel() Label {
	a.labels = append(a.labels, label{-1, -1})
	return Label(len(a.labels) - 1)
}

// Here makes a label that is bound to the next instruction.
func (a *Assembler) Here() Label {
	l := a.NewLabel()
	a.Bind(l)
	return l
}

// Within makes a label that is bound n bytes before the next instruction, in the one before it.
func (a *Assembler) Within(n int) Label {
	a.labels = append(a.labels, label{int32(a.pos - n), -1})
	return Label(len(a.labels) - 1)
}

// Bind puts l at the next instruction, and completes what refers to it. A label is bound once.
func (a *Assembler) Bind(l Label) {
	s := &a.labels[l]
	if s.at >= 0 {
		panic("asm: label bound twice")
	}
	s.at = int32(a.pos)
	for i := s.fixups; i >= 0; i = a.fixups[i].next {
		f := &a.fixups[i]
		a.displace(int(f.at), a.pos, int(f.tail), f.short)
		a.open--
	}
	s.fixups = -1
}

// Offset is where l is bound, and whether it is.
func (a *Assembler) Offset(l Label) (int, bool) {
	at := a.labels[l].at
	return int(at), at >= 0
}

// refer makes the displacement at offset at, which tail bytes of its instruction follow, lead to l, now or when l is bound.
func (a *Assembler) refer(l Label, at, tail int, short bool) {
	s := &a.labels[l]
	if s.at >= 0 {
		a.displace(at, int(s.at), tail, short)
		return
	}
	a.fixups = append(a.fixups, fixup{s.fixups, int32(at), uint8(tail), short})
	s.fixups = int32(len(a.fixups) - 1)
	a.open++
}

// displace stores the distance from the end of an instruction to target. Buffers are far smaller than what four bytes reach.
func (a *Assembler) displace(at, target, tail int, short bool) {
	if short {
		d := target - (at + 1 + tail)
		if int(int8(d)) != d {
			a.fail(ErrRange)
			return
		}
		a.buf[at] = byte(d)
		return
	}
	binary.LittleEndian.PutUint32(a.buf[at:], uint32(target-(at+4+tail)))
}

// Jmp jumps to l.
func (a *Assembler) Jmp(l Label) { a.jump(JMP, l, false) }

// JmpShort jumps to l, which will be bound at most 127 bytes further on.
func (a *Assembler) JmpShort(l Label) { a.jump(JMP, l, true) }

// Jcc jumps to l if c holds.
func (a *Assembler) Jcc(c Cond, l Label) { a.jump(JO+Op(c), l, false) }

// JccShort jumps to l, which will be bound at most 127 bytes further on, if c holds.
func (a *Assembler) JccShort(c Cond, l Label) { a.jump(JO+Op(c), l, true) }

// Call calls l.
func (a *Assembler) Call(l Label) { a.near(CALL, l) }

func (a *Assembler) jump(op Op, l Label, short bool) {
	if at := int(a.labels[l].at); at >= 0 {
		d := at - (a.pos + 2)
		short = int(int8(d)) == d
	}
	if !short {
		a.near(op, l)
		return
	}
	if !a.room() {
		return
	}
	if a.Trace != nil {
		a.traceJump(op, l, 0)
	}
	a.buf[a.pos] = shortJump(op)
	a.refer(l, a.pos+1, 0, true)
	a.pos += 2
}

// shortJump is the opcode of op with a displacement of one byte: that of jcc is 0F 80 + condition, then 70 + condition; jmp E9, then EB.
func shortJump(op Op) byte {
	if op == JMP {
		return 0xEB
	}
	return 0x70 + byte(op-JO)
}

// near emits a jump or call with a displacement of four bytes, and returns the offset of the displacement.
func (a *Assembler) near(op Op, l Label) int {
	if !a.room() {
		return 0
	}
	if a.Trace != nil {
		a.traceJump(op, l, 0)
	}
	at := a.opcode(op)
	a.refer(l, at, 0, false)
	a.pos = at + 4
	return at
}

// opcode writes the opcode of a near jump or call, and returns the offset behind it.
func (a *Assembler) opcode(op Op) int {
	at := a.pos
	b := a.buf[at : at+2]
	switch op {
	case JMP:
		b[0] = 0xE9
		return at + 1
	case CALL:
		b[0] = 0xE8
		return at + 1
	}
	b[0], b[1] = 0x0F, 0x80+byte(op-JO)
	return at + 2
}

// JmpTo, JccTo and CallTo go to an address, which must be within 2 GiB of the code's own (ErrRange if it is not).

// JmpTo jumps to an address.
func (a *Assembler) JmpTo(addr uintptr) { a.far(JMP, addr) }

// JccTo jumps to an address if c holds.
func (a *Assembler) JccTo(c Cond, addr uintptr) { a.far(JO+Op(c), addr) }

// CallTo calls an address.
func (a *Assembler) CallTo(addr uintptr) { a.far(CALL, addr) }

func (a *Assembler) far(op Op, addr uintptr) {
	if !a.room() {
		return
	}
	if a.Trace != nil {
		a.traceJump(op, noLabel, addr)
	}
	at := a.opcode(op)
	d := int64(addr) - int64(a.base) - int64(at+4)
	if int64(int32(d)) != d {
		a.fail(ErrRange)
		return
	}
	binary.LittleEndian.PutUint32(a.buf[at:], uint32(d))
	a.away = append(a.away, int32(at))
	a.pos = at + 4
}

// Away is where the displacements of JmpTo, JccTo and CallTo are: what changes, and nothing else, when the code goes to an address that is as aligned. It is valid until the next Reset.
func (a *Assembler) Away() []int32 { return a.away }

const noLabel Label = -1

func (a *Assembler) traceJump(op Op, l Label, addr uintptr) {
	a.Trace(a.pos, Inst{form: lookup(op, kRel), label: l, imm: int64(addr)})
}
