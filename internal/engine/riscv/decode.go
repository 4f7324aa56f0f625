package riscv

// The decoder. An index made from the table when the program starts leads from a few bits of an encoding (those that tell
// the instructions of a major opcode apart) to its candidates, most specific first; most lists have one entry. Neither
// Decode nor Expand allocates.

import (
	"math/bits"
	"slices"
)

// row is what the decoder needs of a Spec and its format. The candidates of a list lie side by side; a list ends with the
// row of ILLEGAL, which accepts everything.
type row struct {
	match, mask, nonzero  uint32
	op, base              Op // base: what Expand makes of it
	rd, rs1, rs2, rs3, rm bitfield
	imm                   *gather
}

// A bitfield is a field as the decoder reads it.
type bitfield struct{ shift, mask, bias uint8 }

func newBitfield(f field) bitfield { return bitfield{f.shift, 1<<f.bits - 1, f.bias} }

func (b bitfield) get(raw uint32) uint8 { return uint8(raw>>(b.shift&31))&b.mask + b.bias }

// A gather is an immediate as the decoder reads it. Bits that move by as much are taken together, so that no format has more than six moves; all
// six are always made, as that is faster than to count them.
type gather struct {
	moves [6]struct {
		left int // bits to rotate the encoding by
		mask uint32
	}
	up   uint8 // bits above the sign
	bias int32
}

func newGather(m *immediate) *gather {
	g := &gather{bias: m.bias}
	if m.sign != 0 {
		g.up = 31 - m.sign
	}
	used := 0
	for _, p := range m.pieces {
		left := int(p.to-p.from) & 31
		k := 0
		for k < used && g.moves[k].left != left {
			k++
		}
		used = max(used, k+1)
		g.moves[k].left = left
		g.moves[k].mask |= (1<<p.width - 1) << p.to
	}
	return g
}

func (g *gather) get(raw uint32) int32 {
	m := &g.moves
	v := bits.RotateLeft32(raw, m[0].left)&m[0].mask | bits.RotateLeft32(raw, m[1].left)&m[1].mask |
		bits.RotateLeft32(raw, m[2].left)&m[2].mask | bits.RotateLeft32(raw, m[3].left)&m[3].mask |
		bits.RotateLeft32(raw, m[4].left)&m[4].mask | bits.RotateLeft32(raw, m[5].left)&m[5].mask
	up := g.up & 31
	return int32(v<<up)>>up + g.bias
}

// A slot leads from the selecting bits of an encoding to its place in starts.
type slot struct {
	first  uint32 // in starts
	funct3 uint32 // which of bits 14:12 select
	funct7 uint32 // which of bits 31:25 select
}

// The selecting bits of compressed encodings, beside the quadrant: 15:10 and 6:5.
const selecting16 = 0xfc60

var (
	slots    [32]slot     // by major opcode, bits 6:2
	starts   []uint16     // of 32-bit encodings, by slot and selecting bits: the first candidate in rows
	starts16 [1024]uint16 // of 16-bit encodings, by quadrant and selecting bits: the first candidate in rows
	rows     []row
)

func init() { buildIndex() }

// buildIndex makes the index, in less than a millisecond.
func buildIndex() {
	var byOpcode [32][]Op
	var byQuadrant [4][]Op
	for op := Op(1); int(op) < NumOps; op++ {
		if m := table[op].Match; op.Compressed() {
			byQuadrant[m&3] = append(byQuadrant[m&3], op)
		} else {
			byOpcode[m>>2&31] = append(byOpcode[m>>2&31], op)
		}
	}
	place := placer()
	for opcode, ops := range byOpcode {
		sortSpecificFirst(ops)
		s := slot{first: uint32(len(starts))}
		for _, op := range ops {
			s.funct3 |= table[op].Mask >> 12 & 7
			s.funct7 |= table[op].Mask >> 25
			if hasRounding(op) {
				s.funct3 = 7
			}
		}
		slots[opcode] = s
		for key := uint32(0); key <= s.funct7<<3|s.funct3; key++ {
			rm := key & 7
			starts = append(starts, place(ops, key>>3<<25|rm<<12, s.funct7<<25|s.funct3<<12, rm == 5 || rm == 6))
		}
	}
	for quadrant, ops := range byQuadrant {
		sortSpecificFirst(ops)
		for key := uint32(0); key < 256; key++ {
			starts16[quadrant<<8|int(key)] = place(ops, key>>2<<10|key&3<<5, selecting16, false)
		}
	}
}

func sortSpecificFirst(ops []Op) {
	slices.SortStableFunc(ops, func(a, b Op) int {
		return bits.OnesCount32(table[b].Mask) - bits.OnesCount32(table[a].Mask)
	})
}

func hasRounding(op Op) bool { return formats[table[op].Format].rm == rmFloat }

// placer returns a function that appends to rows those ops that encodings with the given selecting bits can be, and says
// where. Lists repeat a lot (an I-type instruction has one for each funct7), so equal ones share their place.
func placer() func(ops []Op, raw, selecting uint32, reservedRounding bool) uint16 {
	known := map[string]uint16{}
	var list []Op
	var key []byte
	return func(ops []Op, raw, selecting uint32, reservedRounding bool) uint16 {
		list, key = list[:0], key[:0]
		for _, op := range ops {
			t := &table[op]
			if (raw^t.Match)&t.Mask&selecting != 0 || reservedRounding && hasRounding(op) {
				continue
			}
			list = append(list, op)
			key = append(key, byte(op), byte(op>>8))
		}
		at, ok := known[string(key)]
		if !ok {
			at = uint16(len(rows))
			known[string(key)] = at
			for _, op := range list {
				rows = append(rows, newRow(op))
			}
			rows = append(rows, newRow(ILLEGAL))
		}
		return at
	}
}

// gathers are those of the immediates so far.
var gathers = map[*immediate]*gather{}

func newRow(op Op) row {
	t := &table[op]
	f := &formats[t.Format]
	g := gathers[f.imm]
	if g == nil {
		g = newGather(f.imm)
		gathers[f.imm] = g
	}
	r := row{
		match: t.Match, mask: t.Mask, nonzero: t.Nonzero, op: op, base: op,
		rd: newBitfield(f.rd), rs1: newBitfield(f.rs1), rs2: newBitfield(f.rs2), rs3: newBitfield(f.rs3), rm: newBitfield(rmFields[f.rm]), imm: g,
	}
	if t.Base != ILLEGAL {
		r.base = t.Base
	}
	return r
}

// Decode decodes the instruction at the start of raw: all 32 bits, or the low 16 when their last two are not 11. A
// reserved or unknown encoding gives the Op ILLEGAL with its bits in Imm and the Len it would have; encodings longer than
// 32 bits are such, of Len 4. Hints and ignored fields are legal, and kept: Encode gives every legal encoding back.
func Decode(raw uint32) (i Inst) {
	r, raw, length := find(raw)
	i.Op, i.Len = r.op, length
	r.operands(&i, raw)
	return i
}

// DecodeExpand sets i to Decode(raw).Expand(), in less time.
func DecodeExpand(i *Inst, raw uint32) {
	r, raw, length := find(raw)
	i.Op, i.Len = r.base, length
	r.operands(i, raw)
}

// find is the row of an encoding, the encoding without what follows it, and its length in bytes. Programs mix lengths so that no
// processor predicts them, so both places are looked up and there is no branch.
func find(raw uint32) (r *row, bits uint32, length uint8) {
	short := uint32(int32(raw&3-3) >> 31) // all ones for 16 bits, else 0
	s := &slots[raw>>2&31]
	at := starts[s.first+(raw>>25&s.funct7)<<3+raw>>12&s.funct3]
	at ^= (at ^ starts16[raw&3<<8|raw>>10&63<<2|raw>>5&3]) & uint16(short)
	raw &^= short << 16
	r = &rows[at]
	for raw&r.mask != r.match || r.nonzero != 0 && raw&r.nonzero == 0 {
		at++
		r = &rows[at]
	}
	return r, raw, uint8(4 + 2*int32(short))
}

// operands takes the operands out of an encoding.
func (r *row) operands(i *Inst, raw uint32) {
	i.Rd = r.rd.get(raw)
	i.Rs1 = r.rs1.get(raw)
	i.Rs2 = r.rs2.get(raw)
	i.Rs3 = r.rs3.get(raw)
	i.Rm = r.rm.get(raw)
	i.Imm = r.imm.get(raw)
}

// Expand turns a compressed instruction into the 32-bit one that it abbreviates, with Len still 2 (C_LW into LW, C_NOT
// into XORI with -1, C_MOP_N into an ADDI of x0). Other instructions are returned as they are.
func (i Inst) Expand() Inst {
	if base := i.Op.Spec().Base; base != ILLEGAL {
		i.Op = base
	}
	return i
}
