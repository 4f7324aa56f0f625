package asm

// The listing: what was asked of the assembler, in Intel syntax as GNU objdump writes it.

import (
	"fmt"
	"strings"
)

// An Inst is an instruction as it was asked for.
type Inst struct {
	form       *form
	size       Size
	reg, rm, v uint8
	inMemory   bool // ModRM.rm is mem, not the register rm
	mem        Mem
	label      Label // of a jump, or noLabel
	imm        int64 // the immediate; the address of a jump that has no label; the length of a nop
}

// String is the instruction in Intel syntax. Labels are called L and their number.
func (i Inst) String() string {
	sh := &shapes[i.form.shape]
	operands := make([]string, len(sh.operands))
	for n, o := range sh.operands {
		switch o {
		case "cl":
			operands[n] = "cl"
		case "i", "q":
			operands[n] = i.immediate()
		case "rel":
			operands[n] = i.target()
		case "v":
			operands[n] = regName(i.v, i.size)
		case "w":
			operands[n] = xmmName(i.v)
		default:
			operands[n] = i.operand(o, n == sh.inRM)
		}
	}
	name := names[i.form.op]
	if i.form.op == MOVABS && i.size != S64 {
		name = "mov"
	}
	if i.form.enc&lock != 0 {
		name = "lock " + name
	}
	if len(operands) == 0 {
		return name
	}
	return name + " " + strings.Join(operands, ",")
}

// operand is the one in ModRM.rm or in ModRM.reg.
func (i Inst) operand(o string, inRM bool) string {
	r := i.reg
	if inRM {
		if i.inMemory {
			return i.memory()
		}
		r = i.rm
	}
	if strings.HasPrefix(o, "x") {
		return xmmName(r)
	}
	size := i.size
	bits := i.form.enc & memMask
	switch {
	case size == sX && i.form.enc&w1 != 0:
		size = S64
	case size == sX:
		size = S32
	case inRM && bits != 0: // of the sizes of movzx and its kin, the second
		size = Size(bits>>memShift) - 1
	}
	return regName(r, size)
}

func (i Inst) immediate() string {
	bits := 8 * i.size.Bytes()
	if k := i.form.enc & immMask; k == ib || k == ish {
		bits = 8
	}
	return fmt.Sprintf("%#x", uint64(i.imm)<<(64-bits)>>(64-bits))
}

func (i Inst) target() string {
	if i.label == noLabel {
		return fmt.Sprintf("%#x", uint64(i.imm))
	}
	return fmt.Sprintf("L%d", i.label)
}

var memSizes = [...]string{"BYTE PTR ", "WORD PTR ", "DWORD PTR ", "QWORD PTR ", "XMMWORD PTR ", ""}

func (i Inst) memory() string {
	size := int(i.size)
	if bits := i.form.enc & memMask; bits != 0 {
		size = int(bits>>memShift) - 1
	}
	return memSizes[size] + i.mem.String()
}

// String is the address in Intel syntax.
func (m Mem) String() string {
	disp := m.disp()
	if m.bits&inGS != 0 {
		return "gs:" + strings.TrimPrefix(Mem{m.bits &^ inGS}.String(), "ds:")
	}
	if m.base() == noBase && m.index() == noIndex {
		return fmt.Sprintf("ds:%#x", uint64(disp))
	}
	var s strings.Builder
	s.WriteByte('[')
	switch base := m.base(); base {
	case noBase:
	case ripBase:
		return fmt.Sprintf("[rip+L%d]", disp)
	default:
		s.WriteString(regName(base, S64))
	}
	if m.index() != noIndex {
		if s.Len() > 1 {
			s.WriteByte('+')
		}
		fmt.Fprintf(&s, "%s*%d", regName(m.index(), S64), 1<<m.scale())
	}
	if disp != 0 {
		fmt.Fprintf(&s, "%+#x", disp)
	}
	s.WriteByte(']')
	return s.String()
}

var wideNames = [8]string{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"}

func regName(r uint8, size Size) string {
	if r >= 8 {
		return fmt.Sprintf("r%d%s", r, [...]string{"b", "w", "d", ""}[size])
	}
	switch name := wideNames[r]; {
	case size == S8 && r < 4:
		return name[:1] + "l"
	case size == S8:
		return name + "l"
	default:
		return [...]string{S16: "", S32: "e", S64: "r"}[size] + name
	}
}

func xmmName(r uint8) string { return fmt.Sprintf("xmm%d", r) }

// String is the name of the register, all 64 bits of it.
func (r Reg) String() string { return regName(uint8(r), S64) }

// String is the name of the register.
func (x XMM) String() string { return xmmName(uint8(x)) }
