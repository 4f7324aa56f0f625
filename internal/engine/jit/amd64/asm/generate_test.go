package asm

// Random instances of every instruction that the table has, for the tests that decode them again.

import (
	"math/rand/v2"
	"testing"
)

// A variant is an instruction with the operands and the size of one method call.
type variant struct {
	op   Op
	kind kind
	size Size
}

// variants are all that the table has, but for jumps to labels.
func variants() []variant {
	var all []variant
	for op := Op(0); op < numOps; op++ {
		for k := range numKinds {
			f := formOf[op][k]
			if f == 0 || k == kRel {
				continue
			}
			for size := S8; size <= sX; size++ {
				if forms[f].sizes>>size&1 != 0 {
					all = append(all, variant{op, k, size})
				}
			}
		}
	}
	return all
}

// operands makes up operands, of the sort that go wrong first more often than chance would, and remembers them in the order of the making.
type operands struct {
	*rand.Rand
	made []any
}

func (o *operands) r() Reg {
	r := Reg(o.IntN(16))
	o.made = append(o.made, r)
	return r
}

func (o *operands) x() XMM {
	x := XMM(o.IntN(16))
	o.made = append(o.made, x)
	return x
}

// byte is an immediate of one byte. Of pclmulqdq only two bits count, and decoders differ in what they make of the others.
func (o *operands) byte(op Op) uint8 {
	b := uint8(o.Uint32())
	if op == PCLMULQDQ || op == VPCLMULQDQ {
		b &= 0x11
	}
	o.made = append(o.made, int64(b))
	return b
}

func (o *operands) i() int32 {
	i := o.number()
	o.made = append(o.made, int64(i))
	return i
}

func (o *operands) number() int32 {
	edges := []int32{0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65408, 1<<31 - 1, -1 << 31}
	switch o.IntN(3) {
	case 0:
		return edges[o.IntN(len(edges))]
	case 1:
		return int32(int8(o.Uint32()))
	}
	return int32(o.Uint32())
}

func (o *operands) m() Mem {
	m := o.address()
	if o.IntN(4) == 0 {
		m = m.GS()
	}
	o.made = append(o.made, m)
	return m
}

func (o *operands) address() Mem {
	base, scale := Reg(o.IntN(16)), 1<<o.IntN(4)
	index := RSP
	for index == RSP {
		index = Reg(o.IntN(16))
	}
	switch o.IntN(8) {
	case 0:
		return Abs(o.number())
	case 1:
		return Scaled(index, scale, o.number())
	case 2, 3, 4:
		return Indexed(base, index, scale, o.number())
	}
	return At(base, o.number())
}

// emit calls the method of v with random operands.
func (v variant) emit(a *Assembler, o *operands) {
	op, size := v.op, v.size
	switch v.kind {
	case kPlain:
		a.Plain(op)
	case kR:
		a.R(op, size, o.r())
	case kM:
		a.M(op, size, o.m())
	case kRR:
		a.RR(op, size, o.r(), o.r())
	case kRM:
		a.RM(op, size, o.r(), o.m())
	case kMR:
		a.MR(op, size, o.m(), o.r())
	case kRI:
		a.RI(op, size, o.r(), o.i())
	case kRQ:
		r, imm := o.r(), int64(o.Uint64())
		o.made = append(o.made, imm)
		a.reg(lookup(op, kRQ), size, 0, uint8(r), 0, imm) // MovImm chooses the size itself
	case kMI:
		a.MI(op, size, o.m(), o.i())
	case kRRI:
		a.RRI(op, size, o.r(), o.r(), o.i())
	case kRMI:
		a.RMI(op, size, o.r(), o.m(), o.i())
	case kRRR:
		a.RRR(op, size, o.r(), o.r(), o.r())
	case kRRM:
		a.RRM(op, size, o.r(), o.r(), o.m())
	case kRMR:
		a.RMR(op, size, o.r(), o.m(), o.r())
	case kXX:
		a.XX(op, o.x(), o.x())
	case kXM:
		a.XM(op, o.x(), o.m())
	case kMX:
		a.MX(op, o.m(), o.x())
	case kXR:
		a.XR(op, o.x(), o.r())
	case kRX:
		a.RX(op, o.r(), o.x())
	case kXI:
		a.XI(op, o.x(), o.byte(op))
	case kXXI:
		a.XXI(op, o.x(), o.x(), o.byte(op))
	case kXMI:
		a.XMI(op, o.x(), o.m(), o.byte(op))
	case kMXI:
		a.MXI(op, o.m(), o.x(), o.byte(op))
	case kRXI:
		a.RXI(op, o.r(), o.x(), o.byte(op))
	case kXXX:
		a.XXX(op, o.x(), o.x(), o.x())
	case kXXM:
		a.XXM(op, o.x(), o.x(), o.m())
	case kXXR:
		a.XXR(op, o.x(), o.x(), o.r())
	case kXXXI:
		a.XXXI(op, o.x(), o.x(), o.x(), o.byte(op))
	case kXXMI:
		a.XXMI(op, o.x(), o.x(), o.m(), o.byte(op))
	default:
		panic("a method that the tests do not know")
	}
}

func newOperands() *operands { return &operands{Rand: rand.New(rand.NewPCG(1, 2))} }

// A line is an instruction that was asked for, and its length.
type line struct {
	Inst
	at, end int
}

// generate emits n instances of each variant.
func generate(tb testing.TB, n int) (code []byte, listing []line) {
	tb.Helper()
	all := variants()
	a := new(Assembler)
	a.Reset(make([]byte, len(all)*n*15+slack), 0)
	listing = make([]line, 0, len(all)*n)
	a.Trace = func(at int, i Inst) { listing = append(listing, line{Inst: i, at: at}) }
	o := newOperands()
	for _, v := range all {
		for range n {
			o.made = o.made[:0]
			v.emit(a, o)
			listing[len(listing)-1].end = a.Pos()
		}
	}
	code, err := a.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return code, listing
}
