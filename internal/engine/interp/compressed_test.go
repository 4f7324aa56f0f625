package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Compressed instructions, given as raw encodings worked out by hand from "C" and "Zcb": the register file before and after.
func TestCompressed(t *testing.T) {
	type regs map[int]uint64
	m := newMachine(t)
	m.store64(scratch, 0x8182_8384_f5f6_f7f8)
	m.store64(scratch+8, 0x1122_3344_5566_7788)
	for _, c := range []struct {
		name    string
		raw     uint32
		in, out regs
		pc      uint64 // 0: the next instruction
	}{
		{"c.addi4spn x8, sp, 4", 0x0040, regs{2: 0x1000}, regs{8: 0x1004}, 0},
		{"c.lw x10, 4(x8)", 0x4048, regs{8: scratch}, regs{10: 0xffff_ffff_8182_8384}, 0},
		{"c.ld x10, 8(x8)", 0x6408, regs{8: scratch}, regs{10: 0x1122_3344_5566_7788}, 0},
		{"c.nop", 0x0001, regs{}, regs{}, 0},
		{"c.addi x10, -1", 0x157d, regs{10: 0}, regs{10: ones}, 0},
		{"c.addiw x10, 1", 0x2505, regs{10: maxI32}, regs{10: minI32}, 0},
		{"c.addiw x10, 0", 0x2501, regs{10: 0x1_ffff_fffe}, regs{10: minus(2)}, 0},
		{"c.li x10, -32", 0x5501, regs{}, regs{10: minus(32)}, 0},
		{"c.addi16sp -512", 0x7101, regs{2: 0x1000}, regs{2: 0xe00}, 0},
		{"c.lui x10, 0xfffe0", 0x7501, regs{}, regs{10: 0xffff_ffff_fffe_0000}, 0},
		{"c.srli x8, 63", 0x907d, regs{8: minI64}, regs{8: 1}, 0},
		{"c.srai x8, 63", 0x947d, regs{8: minI64}, regs{8: ones}, 0},
		{"c.andi x8, -32", 0x9801, regs{8: ones}, regs{8: minus(32)}, 0},
		{"c.sub x8, x9", 0x8c05, regs{8: 0, 9: 1}, regs{8: ones}, 0},
		{"c.xor x8, x9", 0x8c25, regs{8: 6, 9: 3}, regs{8: 5}, 0},
		{"c.or x8, x9", 0x8c45, regs{8: 6, 9: 3}, regs{8: 7}, 0},
		{"c.and x8, x9", 0x8c65, regs{8: 6, 9: 3}, regs{8: 2}, 0},
		{"c.subw x8, x9", 0x9c05, regs{8: minI32, 9: 1}, regs{8: maxI32}, 0},
		{"c.addw x8, x9", 0x9c25, regs{8: maxI32, 9: 1}, regs{8: minI32}, 0},
		{"c.j +2", 0xa009, regs{}, regs{}, ramBase + 2},
		{"c.j -2", 0xbffd, regs{}, regs{}, ramBase - 2},
		{"c.beqz x8, +6, taken", 0xc019, regs{8: 0}, regs{}, ramBase + 6},
		{"c.beqz x8, +6", 0xc019, regs{8: 1 << 32}, regs{}, 0},
		{"c.bnez x8, -256, taken", 0xf001, regs{8: 1 << 32}, regs{}, ramBase - 256},
		{"c.bnez x8, -256", 0xf001, regs{8: 0}, regs{}, 0},
		{"c.slli x10, 63", 0x157e, regs{10: 3}, regs{10: minI64}, 0},
		{"c.lwsp x10, 4(sp)", 0x4512, regs{2: scratch}, regs{10: 0xffff_ffff_8182_8384}, 0},
		{"c.ldsp x10, 8(sp)", 0x6522, regs{2: scratch}, regs{10: 0x1122_3344_5566_7788}, 0},
		{"c.jr x10", 0x8502, regs{10: ramBase + 0x101}, regs{}, ramBase + 0x100},
		{"c.jalr x10", 0x9502, regs{10: ramBase + 0x100}, regs{1: ramBase + 2}, ramBase + 0x100},
		{"c.jalr ra", 0x9082, regs{1: ramBase + 0x100}, regs{1: ramBase + 2}, ramBase + 0x100},
		{"c.mv x10, x11", 0x852e, regs{11: 9}, regs{10: 9}, 0},
		{"c.add x10, x11", 0x952e, regs{10: 1, 11: 2}, regs{10: 3}, 0},
		{"c.add x0, x11, a hint", 0x902e, regs{11: 2}, regs{0: 0}, 0},
		{"c.lbu x10, 3(x8)", 0x8068, regs{8: scratch}, regs{10: 0xf5}, 0},
		{"c.lhu x10, 2(x8)", 0x8428, regs{8: scratch}, regs{10: 0xf5f6}, 0},
		{"c.lh x10, 2(x8)", 0x8468, regs{8: scratch}, regs{10: minus(0x0a0a)}, 0},
		{"c.zext.b x8", 0x9c61, regs{8: ones}, regs{8: 0xff}, 0},
		{"c.sext.b x8", 0x9c65, regs{8: 0x80}, regs{8: minus(0x80)}, 0},
		{"c.zext.h x8", 0x9c69, regs{8: ones}, regs{8: 0xffff}, 0},
		{"c.sext.h x8", 0x9c6d, regs{8: 0x8000}, regs{8: minus(0x8000)}, 0},
		{"c.zext.w x8", 0x9c71, regs{8: ones}, regs{8: 0xffff_ffff}, 0},
		{"c.not x8", 0x9c75, regs{8: 5}, regs{8: ones - 5}, 0},
		{"c.mul x8, x9", 0x9c45, regs{8: 1 << 32, 9: 1<<32 + 1}, regs{8: 1 << 32}, 0},
		{"c.mop.1 writes nothing", 0x6081, regs{1: 7}, regs{1: 7}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for r := 1; r < 32; r++ {
				m.X[r] = 0x5a5a + uint64(r)
			}
			for r, v := range c.in {
				m.X[r] = v
			}
			want := m.X
			for r, v := range c.out {
				want[r] = v
			}
			if !m.execRaw(c.raw) {
				t.Fatalf("traps: cause %d, tval %#x", m.Mcause, m.Mtval)
			}
			for r := range 32 {
				if m.X[r] != want[r] {
					t.Errorf("x%d = %#x, want %#x", r, m.X[r], want[r])
				}
			}
			pc := c.pc
			if pc == 0 {
				pc = ramBase + 2
			}
			if m.PC != pc {
				t.Errorf("pc = %#x, want %#x", m.PC, pc)
			}
		})
	}
}

func TestCompressedStores(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		name string
		raw  uint32
		at   uint64
		want uint64
	}{
		{"c.sw x9, 4(x8)", 0xc044, scratch, 0x5566_7788_ffff_ffff},
		{"c.sd x9, 8(x8)", 0xe404, scratch + 8, 0x1122_3344_5566_7788},
		{"c.swsp x9, 4(sp)", 0xc226, scratch, 0x5566_7788_ffff_ffff},
		{"c.sdsp x9, 8(sp)", 0xe426, scratch + 8, 0x1122_3344_5566_7788},
		{"c.sb x9, 3(x8)", 0x8864, scratch, 0xffff_ffff_88ff_ffff},
		{"c.sh x9, 2(x8)", 0x8c24, scratch, 0xffff_ffff_7788_ffff},
		{"c.fsd f9, 8(x8)", 0xa404, scratch + 8, 0x4000_0000_0000_0009},
		{"c.fsdsp f9, 8(sp)", 0xa426, scratch + 8, 0x4000_0000_0000_0009},
	} {
		m.store64(scratch, ones)
		m.store64(scratch+8, ones)
		m.X[2], m.X[8], m.X[9], m.F[9] = scratch, scratch, 0x1122_3344_5566_7788, 0x4000_0000_0000_0009
		if !m.execRaw(c.raw) || m.load64(c.at) != c.want {
			t.Errorf("%s: memory %#x, want %#x; cause %d", c.name, m.load64(c.at), c.want, m.Mcause)
		}
	}
	m.store64(scratch+8, 0x3ff0_0000_0000_0000)
	for _, raw := range []uint32{0x2404, 0x24a2} { // c.fld f9, 8(x8); c.fldsp f9, 8(sp)
		m.F[9] = 0
		if !m.execRaw(raw) || m.F[9] != 0x3ff0_0000_0000_0000 {
			t.Errorf("%#x: f9 = %#x", raw, m.F[9])
		}
	}
}

// Reserved encodings, with what the trap must say of them.
func TestIllegal(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		name string
		raw  uint32
		tval uint64
	}{
		{"all zeros", 0, 0},
		{"c.addi4spn with 0, upper half ignored", 0xabcd_0004, 4},
		{"all ones", 0xffff_ffff, 0xffff_ffff},
		{"c.lwsp x0", 0x4002, 0x4002},
		{"c.addiw x0", 0x2001, 0x2001},
		{"c.jr x0", 0x8002, 0x8002},
		{"reserved rounding mode", 0x0020_d553, 0x0020_d553}, // fadd.s with rm 5
		{"amocas.q with an odd register", 0x28c5_45af, 0x28c5_45af},
		{"sret in a form with rd", 0x1020_00f3, 0x1020_00f3},
	} {
		if m.execRaw(c.raw) || m.Mcause != riscv.CauseIllegal || m.Mtval != c.tval || m.Mepc != ramBase {
			t.Errorf("%s: cause %d, tval %#x, epc %#x", c.name, m.Mcause, m.Mtval, m.Mepc)
		}
	}
}
