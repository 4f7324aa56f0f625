package asm

// How the table describes an instruction: which operands it takes and how they and the operation are encoded; and the index by which
// the encoder finds the description. A row is one line "opcode, operands, encoding" of the manual, in bits that the encoder
// reads, OR-ed together in the manual's order.

import (
	"slices"
	"strings"
)

// An instruction is an entry of the table.
type instruction struct {
	op    Op
	name  string
	needs Feature
	rows  []row
}

// A row is one way to encode an instruction. Its operands are written as in the manual, in the listing's order; the letter says where in the
// encoding each one goes:
//
//	r, x      a register, general or SSE, in ModRM.reg; in ModRM.rm or the opcode where no other operand is there
//	r/m, x/m  a register or memory in ModRM.rm; m, r, x where only one of them is allowed
//	v, w      a register, general or SSE, in VEX.vvvv
//	i, q      an immediate, of up to 4 or of 8 bytes
//	cl        that register
//	rel       a distance
type row struct {
	operands string
	sizes    sizes
	enc      enc
}

// sizes is the set of the operand sizes that a form has.
type sizes uint8

const (
	s8  sizes = 1 << S8
	s16 sizes = 1 << S16
	s32 sizes = 1 << S32
	s64 sizes = 1 << S64
	sx  sizes = 1 << sX // of an SSE instruction

	wide = s16 | s32 | s64
	any4 = s8 | wide
	long = s32 | s64
)

// enc is an encoding: the opcode in the lowest byte, and what stands around it.
type enc uint32

const (
	// The opcode map.
	m0F enc = 1 << (8 + iota)
	m0F38
	m0F3A = m0F | m0F38

	mapShift = 8
)

const (
	// The mandatory prefix, in the numbering of VEX.pp.
	p66 enc = 1 << (10 + iota)
	pF3
	pF2 = p66 | pF3

	ppShift = 10
)

const (
	// ModRM.reg is not a register but one more part of the opcode: /0 to /7 in the manual.
	d0 enc = hasDigit | iota<<digitShift
	d1
	d2
	d3
	d4
	d5
	d6
	d7

	digitShift     = 12
	hasDigit   enc = 1 << 15
)

const (
	// The immediate, if there is one.
	ib  enc = (1 + iota) << immShift // a byte
	is                               // a byte, sign-extended, when the value fits (opcode + 2), else as iz
	iz                               // of the operand's size, but at most 4 bytes, sign-extended to 8
	iq                               // of the operand's size, up to 8 bytes
	ish                              // a byte; a shift by 1 has a form of its own (opcode + 0x10) without it

	immShift = 16
	immMask  = 7 << immShift
)

const (
	vex    enc = 1 << (19 + iota) // VEX instead of legacy prefixes
	w1                            // REX.W or VEX.W set whatever the size; the size sets it otherwise
	d64                           // 64-bit without REX.W
	lock                          // prefix F0
	byteOp                        // the opcode below is the same on bytes
	rm8                           // the r/m operand is a byte whatever the size
	plusR                         // the register is in the opcode, no ModRM
	rm1                           // ModRM.rm is 1, of an opcode that ModRM completes
)

const (
	// Memory of a size that is not the operand's, for the listing.
	mem8 enc = (1 + iota) << memShift
	mem16
	mem32
	mem64
	mem128
	memAny // an address only

	memShift = 27
	memMask  = 7 << memShift
)

// A kind is a method of the Assembler, called after its operands.
type kind uint8

const (
	kPlain kind = iota
	kR
	kM
	kRR
	kRM
	kMR
	kRI
	kRQ
	kMI
	kRRI
	kRMI
	kRRR
	kRRM
	kRMR
	kXX
	kXM
	kMX
	kXR
	kRX
	kXI
	kXXI
	kXMI
	kXXX
	kXXM
	kXXR
	kXXXI
	kXXMI
	kMXI
	kRXI
	kRel
	numKinds
)

var kindNames = [numKinds]string{
	"", "R", "M", "RR", "RM", "MR", "RI", "RQ", "MI", "RRI", "RMI", "RRR", "RRM", "RMR", "XX", "XM", "MX", "XR", "RX",
	"XI", "XXI", "XMI", "XXX", "XXM", "XXR", "XXXI", "XXMI", "MXI", "RXI", "Rel",
}

// A form is a row as the encoder reads it.
type form struct {
	enc   enc
	op    Op
	sizes sizes
	order order
	shape uint8 // index of shapes
	quick quick
}

// order tells which places the register operands of a form go to.
type order uint8

const (
	straight order = iota // ModRM.reg, (VEX.vvvv,) ModRM.rm
	crossed               // ModRM.rm, ModRM.reg; or ModRM.reg, ModRM.rm, VEX.vvvv
	toVVVV                // VEX.vvvv, ModRM.rm
	bare                  // no ModRM
)

// A shape is what the operands of a row say.
type shape struct {
	operands []string
	inRM     int    // the one in ModRM.rm or the opcode, -1 if there is none
	kinds    []kind // one, or one with a register and one with memory
	order    order
}

// The index. formOf[op][k] is the place in forms of the form of op that method k emits, 0 if it has none. Where two rows
// would do, the first one is taken.
var (
	forms  = []form{{}}
	shapes []shape
	formOf [numOps][numKinds]uint16
	names  [numOps]string
	needs  [numOps]Feature
)

func init() {
	seen := make(map[string]uint8)
	for _, table := range [][]instruction{generalTable, conditionTable, sseTable, vexTable} {
		for _, in := range table {
			names[in.op], needs[in.op] = in.name, in.needs
			for _, r := range in.rows {
				id, ok := seen[r.operands]
				if !ok {
					id = uint8(len(shapes))
					seen[r.operands] = id
					shapes = append(shapes, parseShape(r.operands))
				}
				for _, k := range shapes[id].kinds {
					if formOf[in.op][k] == 0 {
						formOf[in.op][k] = uint16(len(forms))
					}
				}
				f := form{enc: r.enc, op: in.op, sizes: r.sizes, order: shapes[id].order, shape: id}
				if r.enc&hasDigit == 0 && (r.enc&plusR != 0 || r.operands == "" || r.operands == "rel") {
					f.order = bare
				}
				f.quick = quickForm(&f)
				forms = append(forms, f)
			}
		}
	}
}

// parseShape reads the operands of a row.
func parseShape(s string) shape {
	var (
		sh       shape
		reg, mem strings.Builder // names of the kinds
		places   string          // where the registers go, by letter: r for ModRM.reg, m for ModRM.rm, v for VEX.vvvv
	)
	sh.operands = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
	sh.inRM = -1 // that which may be memory, or else the last register that has no other place
	for i, o := range sh.operands {
		if strings.Contains(o, "m") {
			sh.inRM = i
			break
		}
		if o == "r" || o == "x" {
			sh.inRM = i
		}
	}
	for i, o := range sh.operands {
		var r, m string
		switch o {
		case "r/m":
			r, m = "R", "M"
		case "x/m":
			r, m = "X", "M"
		case "r", "v":
			r, m = "R", "R"
		case "x", "w":
			r, m = "X", "X"
		case "m":
			m = "M"
		case "cl":
		case "rel":
			r = "Rel"
		default:
			r, m = strings.ToUpper(o), strings.ToUpper(o)
		}
		reg.WriteString(r)
		mem.WriteString(m)
		switch {
		case i == sh.inRM:
			places += "m"
		case o == "v" || o == "w":
			places += "v"
		case o == "r" || o == "x":
			places += "r"
		}
	}
	switch places {
	case "mr", "rmv":
		sh.order = crossed
	case "vm":
		sh.order = toVVVV
	}
	if !strings.Contains(s, "m") || strings.Contains(s, "/m") {
		sh.kinds = append(sh.kinds, kindNamed(reg.String()))
	}
	if strings.Contains(s, "m") {
		sh.kinds = append(sh.kinds, kindNamed(mem.String()))
	}
	return sh
}

func kindNamed(name string) kind {
	k := slices.Index(kindNames[:], name)
	if k < 0 {
		panic("asm: no method for operands " + name)
	}
	return kind(k)
}

// String is the instruction's name in Intel syntax.
func (op Op) String() string { return names[op] }

// Needs is the set of the processor features without which op must not be emitted.
func (op Op) Needs() Feature { return needs[op] }
