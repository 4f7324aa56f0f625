package riscv

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// reference finds the operation of an encoding by the rules of the table, without the decoder's index.
func reference(raw uint32) Op {
	if raw&3 != 3 {
		raw &= 0xffff
	}
	best := ILLEGAL
	for op := Op(1); int(op) < NumOps; op++ {
		s := op.Spec()
		if op.Compressed() != (raw&3 != 3) || raw&s.Mask != s.Match || s.Nonzero != 0 && raw&s.Nonzero == 0 {
			continue
		}
		if rm := raw >> 12 & 7; formats[s.Format].rm == rmFloat && (rm == 5 || rm == 6) {
			continue
		}
		if best == ILLEGAL || bits.OnesCount32(s.Mask) > bits.OnesCount32(best.Spec().Mask) {
			best = op
		}
	}
	return best
}

// check holds what is true of the decoding of any 32 bits.
func check(t *testing.T, raw uint32) {
	t.Helper()
	i := Decode(raw)
	length := uint8(4)
	if raw&3 != 3 {
		raw, length = raw&0xffff, 2
	}
	if i.Len != length {
		t.Fatalf("%#x: length %d", raw, i.Len)
	}
	if i.Rd > 31 || i.Rs1 > 31 || i.Rs2 > 31 || i.Rs3 > 31 || i.Rm > 7 {
		t.Fatalf("%#x: operands out of range: %+v", raw, i)
	}
	if i.Op == ILLEGAL {
		if uint32(i.Imm) != raw {
			t.Fatalf("%#x: illegal, with Imm %#x", raw, i.Imm)
		}
		if _, err := Encode(i); err == nil {
			t.Fatalf("%#x: illegal, but can be encoded", raw)
		}
		return
	}
	if got, err := Encode(i); err != nil || got != raw {
		t.Fatalf("%#x decodes as %+v, which encodes as %#x, %v", raw, i, got, err)
	}
	e := i.Expand()
	if e.Op.Compressed() || e.Len != i.Len {
		t.Fatalf("%#x expands to %+v", raw, e)
	}
	if i.String() == "" || Disassemble(i, 0x1000) == "" {
		t.Fatalf("%#x: no disassembly", raw)
	}
	// What a compressed instruction abbreviates must itself have an encoding, and mean the same.
	if length == 2 {
		wide, err := Encode(e)
		if err != nil {
			t.Fatalf("%#x (%s) expands to %+v: %v", raw, i, e, err)
		}
		if again := Decode(wide); again.Op != e.Op {
			t.Fatalf("%#x (%s) expands to %s", raw, i, again)
		}
	} else if e != i {
		t.Fatalf("%#x: Expand changed %s", raw, i)
	}
}

func TestRoundTripOfEvery16BitPattern(t *testing.T) {
	legal := 0
	for raw := range uint32(1 << 16) {
		if raw&3 == 3 {
			continue
		}
		check(t, raw)
		op := Decode(raw).Op
		if op != ILLEGAL {
			legal++
		}
		if want := reference(raw); op != want {
			t.Fatalf("%#04x decodes as %s, the table says %s", raw, op, want)
		}
		if Decode(raw|0xdead0000) != Decode(raw) {
			t.Fatalf("%#04x: the upper half changes the meaning", raw)
		}
	}
	t.Logf("%d legal encodings", legal)
}

func TestRoundTripOf32BitPatterns(t *testing.T) {
	each := 20_000
	if testing.Short() {
		each = 500
	}
	random := rand.New(rand.NewPCG(2, 32))
	for op := Op(1); int(op) < NumOps; op++ {
		if op.Compressed() {
			continue
		}
		s := op.Spec()
		for n := range each {
			raw := s.Match | random.Uint32()&^s.Mask
			if n%4 == 0 { // near misses: one bit off
				raw ^= 1 << (2 + random.UintN(30))
			}
			check(t, raw)
			if n%50 == 0 {
				if got, want := Decode(raw).Op, reference(raw); got != want {
					t.Fatalf("%#08x decodes as %s, the table says %s", raw, got, want)
				}
			}
		}
	}
	for range each * 10 {
		check(t, random.Uint32()|3)
	}
}

// Each row's encoding with all operand bits 0 and with all of them 1 is reached, unless a rule of the row forbids it.
func TestEveryRowIsReached(t *testing.T) {
	reached := map[Op]bool{}
	random := rand.New(rand.NewPCG(3, 4))
	for op := Op(1); int(op) < NumOps; op++ {
		s := op.Spec()
		for range 64 {
			reached[Decode(s.Match|random.Uint32()&^s.Mask).Op] = true
		}
		if !reached[op] {
			t.Errorf("%s is never decoded", op)
		}
	}
}

func TestReservedEncodings(t *testing.T) {
	for _, c := range []struct {
		why string
		raw uint32
	}{
		{"all zeroes", 0x0000},
		{"all ones", 0xffffffff},
		{"48-bit encoding", 0x0000001f},
		{"64-bit encoding", 0x0000003f},
		{"c.addi4spn, immediate 0, rd a1", 0x000c},
		{"quadrant 0, funct3 4, not of Zcb", 0x9000},
		{"c.addiw, rd 0", 0x2005},
		{"c.addi16sp, immediate 0", 0x6101},
		{"c.lui, immediate 0, rd even", 0x6401},
		{"c.lui, immediate 0, rd 17", 0x6881},
		{"c.lui, immediate 0, rd 0", 0x6001},
		{"quadrant 1, misc-alu, unary 6", 0x9c79},
		{"quadrant 1, misc-alu, unary 7", 0x9c7d},
		{"c.lwsp, rd 0", 0x4002},
		{"c.ldsp, rd 0", 0x6002},
		{"c.jr, rs1 0", 0x8002},
		{"c.sh with bit 6 set", 0x8c40},
		{"slli, shamt 64", 0x04051513},
		{"slliw, shamt 32", 0x0205151b},
		{"srai with a stray bit", 0x44055513},
		{"add with unknown funct7", 0x10b50533},
		{"load, funct3 7", 0x00057503},
		{"store, funct3 4", 0x00a54023},
		{"branch, funct3 2", 0x00b52063},
		{"jalr, funct3 1", 0x00051567},
		{"misc-mem, funct3 3", 0x0000300f},
		{"cbo with rd", 0x0005208f},
		{"cbo 3", 0x0035200f},
		{"system, funct3 0, unknown", 0x00200073}, // uret
		{"ecall with rd", 0x000000f3},
		{"mret with rs1", 0x30208073},
		{"sfence.vma with rd", 0x120000f3},
		{"sinval.vma with rd", 0x160000f3},
		{"hfence.vvma", 0x22000073},
		{"system, funct3 4, not of Zimop", 0x00004073},
		{"lr.w, rs2 1", 0x1015252f},
		{"amo of a byte", 0x00b5052f},
		{"amoadd.q", 0x00b5452f},
		{"amocas.q, odd rd", 0x28a545af},
		{"amocas.q, odd rs2", 0x28b5452f},
		{"fadd.s, rounding mode 5", 0x00c5d553},
		{"fadd.s, rounding mode 6", 0x00c5e553},
		{"fmadd.d, rounding mode 5", 0x6ac5d543},
		{"fcvt.d.w, rounding mode 6", 0xd2056553},
		{"fcvtmod.w.d, rounding mode dynamic", 0xc2857553},
		{"fcvt.w.s with rs2 4", 0xc0450553},
		{"fmv.x.w with rs2 1", 0xe0150553},
		{"fadd.h: Zfh", 0x04c5f553},
		{"fadd.q: Q", 0x06c5f553},
		{"fli.h: Zfh", 0xf4108553},
		{"flq", 0x00054507},
		{"vle8.v: V", 0x02050007},
		{"pack: Zbkb", 0x08b54533},
		{"amocas.b: Zabha", 0x28b5052f},
	} {
		if i := Decode(c.raw); i.Op != ILLEGAL {
			t.Errorf("%s: %#x decodes as %s", c.why, c.raw, i)
		}
	}
}

func TestHintsAndIgnoredFieldsAreLegal(t *testing.T) {
	for _, c := range []struct {
		raw  uint32
		op   Op
		text string
	}{
		{0x0001, C_NOP, "c.nop"},
		{0x0005, C_NOP, "c.nop 1"},
		{0x0501, C_ADDI, "c.addi a0, 0"},
		{0x4005, C_LI, "c.li zero, 1"},
		{0x6005, C_LUI, "c.lui zero, 0x1"},
		{0x0006, C_SLLI, "c.slli zero, 0x1"},
		{0x0502, C_SLLI, "c.slli a0, 0x0"},
		{0x8101, C_SRLI, "c.srli a0, 0x0"},
		{0x8501, C_SRAI, "c.srai a0, 0x0"},
		{0x802a, C_MV, "c.mv zero, a0"},
		{0x902a, C_ADD, "c.add zero, a0"},
		{0x900a, C_ADD, "c.ntl.p1"},
		{0x9016, C_ADD, "c.ntl.all"},
		{0x00200033, ADD, "ntl.p1"},
		{0x00300033, ADD, "ntl.pall"},
		{0x00400033, ADD, "ntl.s1"},
		{0x00500033, ADD, "ntl.all"},
		{0x0100000f, FENCE, "pause"},
		{0x8330000f, FENCE, "fence.tso"},
		{0xf330000f, FENCE, "fence rw, rw"},
		{0x0ff50a8f, FENCE, "fence iorw, iorw"},
		{0x0000000f, FENCE, "fence unknown, unknown"},
		{0x0000100f, FENCE_I, "fence.i"},
		{0xfff5158f, FENCE_I, "fence.i"},
		{0x7e056013, PREFETCH_I, "prefetch.i 2016(a0)"},
		{0x80156013, PREFETCH_R, "prefetch.r -2048(a0)"},
		{0x00356013, PREFETCH_W, "prefetch.w 0(a0)"},
		{0x00256013, ORI, "ori zero, a0, 2"},
		{0x00001037, LUI, "lui zero, 0x1"},
		{0x6081, C_MOP_N, "c.mop.1"},
		{0x6781, C_MOP_N, "c.mop.15"},
	} {
		i := Decode(c.raw)
		if i.Op != c.op || i.String() != c.text {
			t.Errorf("%#x decodes as %s: %s, want %s: %s", c.raw, i.Op, i, c.op, c.text)
		}
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		raw  uint32
		want string
	}{
		{0x1141, "addi sp, sp, -16"},
		{0x6402, "ld s0, 0(sp)"},
		{0x0808, "addi a0, sp, 16"},
		{0x4501, "addi a0, zero, 0"},
		{0x717d, "addi sp, sp, -16"},
		{0x747d, "lui s0, 0xfffff"},
		{0x852e, "add a0, zero, a1"},
		{0x952e, "add a0, a0, a1"},
		{0x8082, "jalr zero, 0(ra)"},
		{0x9502, "jalr ra, 0(a0)"},
		{0xa001, "jal zero, .+0"},
		{0xdd7d, "beq a0, zero, .-2"},
		{0x9002, "ebreak"},
		{0x9d61, "andi a0, a0, 255"},
		{0x9d65, "sext.b a0, a0"},
		{0x9d69, "zext.h a0, a0"},
		{0x9d6d, "sext.h a0, a0"},
		{0x9d71, "add.uw a0, a0, zero"},
		{0x9d75, "xori a0, a0, -1"},
		{0x9d4d, "mul a0, a0, a1"},
		{0x0001, "addi zero, zero, 0"},
		{0x6281, "addi zero, zero, 5"},
	} {
		i := Decode(c.raw)
		e := i.Expand()
		if e.Op.Compressed() || e.Len != 2 || e.String() != c.want {
			t.Errorf("%#04x (%s) expands to %s, want %s", c.raw, i, e, c.want)
		}
	}
	if i := Decode(0x00b50533); i.Expand() != i {
		t.Error("Expand changed a 32-bit instruction")
	}
	if i := Decode(0); i.Expand() != i {
		t.Error("Expand changed an illegal instruction")
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	var got Inst
	for _, raw := range benchmarkCode {
		if n := testing.AllocsPerRun(10, func() { got = Decode(raw).Expand() }); n != 0 {
			t.Errorf("%s: %v allocations", got, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for op := Op(1); int(op) < NumOps; op++ {
		f.Add(op.Spec().Match)
	}
	f.Fuzz(func(t *testing.T, raw uint32) {
		check(t, raw)
		if got, want := Decode(raw).Op, reference(raw); got != want {
			t.Fatalf("%#08x decodes as %s, the table says %s", raw, got, want)
		}
	})
}

// benchmarkCode is a mix such as compilers produce: about half of it compressed, some floating point.
var benchmarkCode = [16]uint32{
	0x00b50533, 0x1141, 0xe406, 0x0000a783, 0x00f73023, 0xfe0718e3, 0x8082, 0x02c5f553,
	0x6442, 0x000017b7, 0xa001, 0x00853507, 0x852e, 0x0085151b, 0x00052783, 0xb7e9,
}

func BenchmarkDecode(b *testing.B) {
	var ops int
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		ops += int(Decode(benchmarkCode[n&15]).Op)
	}
	if ops == 0 {
		b.Fatal("nothing decoded")
	}
}

func BenchmarkDecodeExpand(b *testing.B) {
	var (
		ops int
		i   Inst
	)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		DecodeExpand(&i, benchmarkCode[n&15])
		ops += int(i.Op)
	}
	if ops == 0 {
		b.Fatal("nothing decoded")
	}
}

func BenchmarkDisassemble(b *testing.B) {
	b.ReportAllocs()
	length := 0
	for n := 0; b.Loop(); n++ {
		length += len(Disassemble(Decode(benchmarkCode[n&15]), 0x80000000))
	}
	if length == 0 {
		b.Fatal("nothing written")
	}
}
