package interp

import (
	"math"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

const (
	minI64 = 1 << 63
	maxI64 = math.MaxInt64
	ones   = math.MaxUint64
	minI32 = 0xffff_ffff_8000_0000 // -2^31 as a register holds it
	maxI32 = math.MaxInt32
)

func minus(v uint64) uint64 { return -v }

// Register-register instructions: values computed by hand from the text of the specification.
func TestRegisterRegister(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op         riscv.Op
		a, b, want uint64
	}{
		{riscv.ADD, ones, 1, 0}, {riscv.ADD, maxI64, 1, minI64},
		{riscv.SUB, 0, 1, ones}, {riscv.SUB, minI64, 1, maxI64},
		{riscv.SLL, 1, 63, minI64}, {riscv.SLL, 1, 64, 1}, {riscv.SLL, 3, ones, minI64},
		{riscv.SRL, minI64, 63, 1}, {riscv.SRL, ones, 65, maxI64},
		{riscv.SRA, minI64, 63, ones}, {riscv.SRA, minI64, 64, minI64}, {riscv.SRA, maxI64, 62, 1},
		{riscv.SLT, minI64, 0, 1}, {riscv.SLT, 0, minI64, 0}, {riscv.SLT, 5, 5, 0},
		{riscv.SLTU, minI64, 0, 0}, {riscv.SLTU, 0, minI64, 1}, {riscv.SLTU, 0, 0, 0},
		{riscv.XOR, 0xff00, 0x0ff0, 0xf0f0}, {riscv.OR, 0xff00, 0x0ff0, 0xfff0}, {riscv.AND, 0xff00, 0x0ff0, 0x0f00},
		{riscv.ADDW, maxI32, 1, minI32}, {riscv.ADDW, 0xdead_0000_0000_0001, 1, 2},
		{riscv.SUBW, minI32, 1, maxI32}, {riscv.SUBW, 0, 1, ones}, {riscv.SUBW, 1 << 32, 0, 0},
		{riscv.SLLW, 1, 31, minI32}, {riscv.SLLW, 1, 32, 1},
		{riscv.SRLW, ones, 4, 0x0fff_ffff}, {riscv.SRLW, ones, 32, ones}, {riscv.SRLW, 0xf_8000_0000, 31, 1},
		{riscv.SRAW, 0x8000_0000, 31, ones}, {riscv.SRAW, 0xffff_ffff_7fff_ffff, 30, 1},

		{riscv.MUL, ones, ones, 1}, {riscv.MUL, 1 << 32, 1 << 32, 0}, {riscv.MUL, minI64, ones, minI64},
		{riscv.MULH, ones, ones, 0}, {riscv.MULH, minI64, minI64, 1 << 62}, {riscv.MULH, minI64, 1, ones},
		{riscv.MULH, maxI64, maxI64, maxI64 >> 1}, {riscv.MULH, ones, 1, ones},
		{riscv.MULHSU, ones, ones, ones}, {riscv.MULHSU, minI64, ones, minI64}, {riscv.MULHSU, 1, ones, 0},
		{riscv.MULHSU, ones, 1, ones},
		{riscv.MULHU, ones, ones, ones - 1}, {riscv.MULHU, minI64, 2, 1}, {riscv.MULHU, minI64, 1, 0},
		{riscv.MULW, 0x1_0000_0003, 5, 15}, {riscv.MULW, maxI32, 2, minus(2)}, {riscv.MULW, minI32, ones, minI32},
		{riscv.DIV, 7, minus(2), minus(3)}, {riscv.DIV, minus(7), 2, minus(3)}, {riscv.DIV, 5, 0, ones}, {riscv.DIV, minI64, ones, minI64},
		{riscv.DIVU, ones, 2, maxI64}, {riscv.DIVU, 5, 0, ones}, {riscv.DIVU, minI64, ones, 0},
		{riscv.REM, 7, minus(2), 1}, {riscv.REM, minus(7), 2, ones}, {riscv.REM, 5, 0, 5}, {riscv.REM, minI64, ones, 0},
		{riscv.REMU, ones, 10, 5}, {riscv.REMU, ones, 0, ones}, {riscv.REMU, minI64, ones, minI64},
		{riscv.DIVW, minI32, ones, minI32}, {riscv.DIVW, 0xffff_ffff_0000_0007, 2, 3}, {riscv.DIVW, 7, 1 << 32, ones},
		{riscv.DIVW, 0x8000_0000, 2, 0xffff_ffff_c000_0000},
		{riscv.DIVUW, ones, 1, ones}, {riscv.DIVUW, 0x8000_0000, 1, minI32}, {riscv.DIVUW, 7, 1 << 32, ones}, {riscv.DIVUW, ones, 2, maxI32},
		{riscv.REMW, minI32, ones, 0}, {riscv.REMW, 0x8000_0000, 0, minI32}, {riscv.REMW, minus(7), 2, ones},
		{riscv.REMUW, 0x8000_0000, 0, minI32}, {riscv.REMUW, ones, 0x8000_0000, maxI32}, {riscv.REMUW, 1<<32 + 9, 5, 4},

		{riscv.ADD_UW, ones, 1, 1 << 32}, {riscv.ADD_UW, 1<<32 + 5, 7, 12},
		{riscv.SH1ADD, minI64 + 1, 5, 7}, {riscv.SH2ADD, 3, 1, 13}, {riscv.SH3ADD, ones, 8, 0},
		{riscv.SH1ADD_UW, ones, 0, 0x1_ffff_fffe}, {riscv.SH2ADD_UW, ones, 4, 0x4_0000_0000}, {riscv.SH3ADD_UW, 1<<32 + 1, 1, 9},

		{riscv.ANDN, 0xff, 0x0f, 0xf0}, {riscv.ORN, 0, 1, ones - 1}, {riscv.XNOR, 5, 5, ones}, {riscv.XNOR, 0xf0, 0xff, ones - 0x0f},
		{riscv.MIN, ones, 0, ones}, {riscv.MINU, ones, 0, 0}, {riscv.MAX, ones, 0, 0}, {riscv.MAXU, ones, 0, ones},
		{riscv.MIN, minI64, maxI64, minI64}, {riscv.MAX, minI64, maxI64, maxI64},
		{riscv.ROL, minI64 + 1, 1, 3}, {riscv.ROL, 1, 64, 1}, {riscv.ROR, 1, 1, minI64}, {riscv.ROR, 1, 65, minI64},
		{riscv.ROLW, 0x8000_0001, 1, 3}, {riscv.ROLW, 0x4000_0000, 1, minI32}, {riscv.ROLW, 0xf_0000_0001, 32, 1},
		{riscv.RORW, 1, 1, minI32}, {riscv.RORW, 0xf_0000_0002, 33, 1},
		{riscv.CLMUL, 3, 3, 5}, {riscv.CLMUL, ones, ones, 0x5555_5555_5555_5555}, {riscv.CLMUL, 0, ones, 0},
		{riscv.CLMULH, ones, ones, 0x5555_5555_5555_5555}, {riscv.CLMULH, minI64, 2, 1}, {riscv.CLMULH, minI64, 1, 0},
		{riscv.CLMULR, minI64, 1, 1}, {riscv.CLMULR, ones, ones, 0xaaaa_aaaa_aaaa_aaaa}, {riscv.CLMULR, minI64, minI64, minI64},
		{riscv.BSET, 0, 63, minI64}, {riscv.BSET, 0, 64, 1}, {riscv.BCLR, ones, 63, maxI64}, {riscv.BCLR, 1, 64, 0},
		{riscv.BINV, 1, 0, 0}, {riscv.BINV, 0, 127, minI64}, {riscv.BEXT, minI64, 63, 1}, {riscv.BEXT, minI64, 62, 0}, {riscv.BEXT, 2, 65, 1},

		{riscv.CZERO_EQZ, 5, 0, 0}, {riscv.CZERO_EQZ, 5, minI64, 5}, {riscv.CZERO_NEZ, 5, 0, 5}, {riscv.CZERO_NEZ, 5, 1 << 32, 0},
		{riscv.MOP_RR_N, 5, 6, 0},
	} {
		m.X[10], m.X[11], m.X[12] = 0xbad, c.a, c.b
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Rs2: 12}) || m.X[10] != c.want || m.PC != ramBase+4 {
			t.Errorf("%v %#x, %#x = %#x, want %#x; pc %#x", c.op, c.a, c.b, m.X[10], c.want, m.PC)
		}
		m.exec(riscv.Inst{Op: c.op, Rd: 0, Rs1: 11, Rs2: 12})
		if m.X[0] != 0 {
			t.Fatalf("%v writes x0", c.op)
		}
	}
}

func TestRegisterImmediate(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op   riscv.Op
		a    uint64
		imm  int32
		want uint64
	}{
		{riscv.ADDI, maxI64, 1, minI64}, {riscv.ADDI, 0, -2048, minus(2048)},
		{riscv.SLTI, minI64, -1, 1}, {riscv.SLTI, 0, -1, 0}, {riscv.SLTIU, 0, -1, 1}, {riscv.SLTIU, ones, -1, 0}, {riscv.SLTIU, 0, 1, 1},
		{riscv.XORI, 5, -1, ones - 5}, {riscv.ORI, 0, -2048, minus(2048)}, {riscv.ANDI, ones, -2048, minus(2048)},
		{riscv.SLLI, 1, 63, minI64}, {riscv.SRLI, minI64, 63, 1}, {riscv.SRAI, minI64, 63, ones},
		{riscv.ADDIW, maxI32, 1, minI32}, {riscv.ADDIW, 0x1_ffff_ffff, 0, ones},
		{riscv.SLLIW, 1, 31, minI32}, {riscv.SRLIW, ones, 0, ones}, {riscv.SRLIW, ones, 31, 1}, {riscv.SRAIW, 0x8000_0000, 31, ones},
		{riscv.SLLI_UW, ones, 1, 0x1_ffff_fffe}, {riscv.SLLI_UW, ones, 63, minI64},
		{riscv.RORI, 1, 1, minI64}, {riscv.RORI, 1, 0, 1}, {riscv.RORIW, 1, 1, minI32}, {riscv.RORIW, 0xf_8000_0000, 31, 1},
		{riscv.BSETI, 0, 63, minI64}, {riscv.BCLRI, ones, 63, maxI64}, {riscv.BINVI, minI64, 63, 0}, {riscv.BEXTI, minI64, 63, 1},
	} {
		m.X[11] = c.a
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Imm: c.imm}) || m.X[10] != c.want {
			t.Errorf("%v %#x, %d = %#x, want %#x", c.op, c.a, c.imm, m.X[10], c.want)
		}
	}
}

func TestOneRegister(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op      riscv.Op
		a, want uint64
	}{
		{riscv.CLZ, 0, 64}, {riscv.CLZ, 1, 63}, {riscv.CLZ, minI64, 0}, {riscv.CTZ, 0, 64}, {riscv.CTZ, minI64, 63},
		{riscv.CPOP, ones, 64}, {riscv.CPOP, 0, 0},
		{riscv.CLZW, 0xffff_ffff_0000_0000, 32}, {riscv.CLZW, 1, 31}, {riscv.CLZW, 0x8000_0000, 0},
		// The upper half does not count, which QEMU 7.2 does not know of CTZW.
		{riscv.CTZW, 1 << 63, 32}, {riscv.CTZW, 0, 32}, {riscv.CTZW, 0x8000_0000, 31}, {riscv.CPOPW, ones, 32}, {riscv.CPOPW, 1 << 32, 0},
		{riscv.SEXT_B, 0x180, minus(0x80)}, {riscv.SEXT_B, 0x17f, 0x7f}, {riscv.SEXT_H, 0x1_8000, minus(0x8000)}, {riscv.ZEXT_H, ones, 0xffff},
		{riscv.ORC_B, 0x0100_8000_0000_0010, 0xff00_ff00_0000_00ff}, {riscv.ORC_B, 0, 0}, {riscv.ORC_B, ones, ones},
		{riscv.ORC_B, 0x7f80_0001_0000_0000, 0xffff_00ff_0000_0000},
		{riscv.REV8, 0x0102_0304_0506_0708, 0x0807_0605_0403_0201},
		{riscv.MOP_R_N, 7, 0},
	} {
		m.X[11] = c.a
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11}) || m.X[10] != c.want {
			t.Errorf("%v %#x = %#x, want %#x", c.op, c.a, m.X[10], c.want)
		}
	}
}

func TestUpperImmediates(t *testing.T) {
	m := newMachine(t)
	m.exec(riscv.Inst{Op: riscv.LUI, Rd: 10, Imm: math.MinInt32})
	if m.X[10] != minI32 {
		t.Errorf("lui of the sign bit = %#x", m.X[10])
	}
	m.exec(riscv.Inst{Op: riscv.AUIPC, Rd: 10, Imm: -4096})
	if m.X[10] != ramBase-4096 {
		t.Errorf("auipc -4096 = %#x", m.X[10])
	}
}

func TestBranches(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op    riscv.Op
		a, b  uint64
		taken bool
	}{
		{riscv.BEQ, 5, 5, true}, {riscv.BEQ, 5, 1<<32 + 5, false}, {riscv.BNE, 5, 5, false}, {riscv.BNE, 0, minI64, true},
		{riscv.BLT, minI64, 0, true}, {riscv.BLT, 0, minI64, false}, {riscv.BLT, 3, 3, false},
		{riscv.BGE, minI64, 0, false}, {riscv.BGE, 0, ones, true}, {riscv.BGE, 3, 3, true},
		{riscv.BLTU, minI64, 0, false}, {riscv.BLTU, 0, minI64, true}, {riscv.BLTU, 3, 3, false},
		{riscv.BGEU, minI64, 0, true}, {riscv.BGEU, 0, ones, false}, {riscv.BGEU, 3, 3, true},
	} {
		// Targets inside the page and outside, before and after.
		for _, to := range []int32{8, 2, 4094, -2, -4096, 0} {
			m.X[11], m.X[12] = c.a, c.b
			want := uint64(ramBase + 4)
			if c.taken {
				want = ramBase + uint64(int64(to))
			}
			if !m.exec(riscv.Inst{Op: c.op, Rs1: 11, Rs2: 12, Imm: to}) || m.PC != want {
				t.Errorf("%v %#x, %#x, %d: pc %#x, want %#x", c.op, c.a, c.b, to, m.PC, want)
			}
		}
	}
}

func TestJumps(t *testing.T) {
	m := newMachine(t)
	for _, to := range []int32{8, 4096, -4096, 0, 1<<20 - 2, -1 << 20} {
		if !m.exec(riscv.Inst{Op: riscv.JAL, Rd: 1, Imm: to}) || m.PC != ramBase+uint64(int64(to)) || m.X[1] != ramBase+4 {
			t.Errorf("jal %d: pc %#x, ra %#x", to, m.PC, m.X[1])
		}
	}
	for _, c := range []struct {
		rd   uint8
		a    uint64
		imm  int32
		want uint64
	}{
		{1, ramBase + 0x100, 1, ramBase + 0x100}, // bit 0 is cleared after the addition
		{1, ramBase + 0x101, 1, ramBase + 0x102},
		{1, ramBase + 0x5000, -2048, ramBase + 0x4800},
		{5, ramBase + 0x40, 0, ramBase + 0x40}, // source and destination are one register
		{0, ramBase + 0x40, 0, ramBase + 0x40},
		{1, ones, 1, 0},
	} {
		m.X[5] = c.a
		if !m.exec(riscv.Inst{Op: riscv.JALR, Rd: c.rd, Rs1: 5, Imm: c.imm}) || m.PC != c.want {
			t.Errorf("jalr x%d, %d(%#x): pc %#x, want %#x", c.rd, c.imm, c.a, m.PC, c.want)
		}
		if c.rd != 0 && m.X[c.rd] != ramBase+4 {
			t.Errorf("jalr x%d: link %#x", c.rd, m.X[c.rd])
		}
	}
	if m.X[0] != 0 {
		t.Error("a jump writes x0")
	}
}
