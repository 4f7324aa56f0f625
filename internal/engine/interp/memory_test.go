package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

func TestLoads(t *testing.T) {
	m := newMachine(t)
	m.store64(scratch, 0x8182_8384_f5f6_f7f8)
	m.store64(scratch+4096-8, 0x99ff_0000_0000_0000)
	m.store64(scratch+4096, 0x1122_3344_5566_7788)
	for _, c := range []struct {
		op   riscv.Op
		off  int32
		want uint64
	}{
		{riscv.LB, 0, minus(8)}, {riscv.LBU, 0, 0xf8}, {riscv.LB, 4, minus(0x7c)}, {riscv.LBU, 7, 0x81},
		{riscv.LH, 0, minus(0x808)}, {riscv.LHU, 0, 0xf7f8}, {riscv.LH, 1, minus(0x0909)}, {riscv.LHU, 3, 0x84f5},
		{riscv.LW, 0, 0xffff_ffff_f5f6_f7f8}, {riscv.LWU, 0, 0xf5f6_f7f8}, {riscv.LW, 2, 0xffff_ffff_8384_f5f6}, {riscv.LWU, 4, 0x8182_8384},
		{riscv.LD, 0, 0x8182_8384_f5f6_f7f8}, {riscv.LWU, 1, 0x84f5_f6f7},
		// Across a page boundary.
		{riscv.LH, -1 + 4096, minus(0x7767)}, {riscv.LHU, -1 + 4096, 0x8899}, {riscv.LW, -1 + 4096, 0x6677_8899},
		{riscv.LD, -2 + 4096, 0x3344_5566_7788_99ff}, {riscv.LWU, -2 + 4096, 0x7788_99ff},
	} {
		for range 2 { // the second time with the page in the TLB
			m.X[11] = scratch + uint64(c.off) - 5
			if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Imm: 5}) || m.X[10] != c.want {
				t.Errorf("%v at +%#x = %#x, want %#x; cause %d", c.op, c.off, m.X[10], c.want, m.Mcause)
			}
		}
		m.exec(riscv.Inst{Op: c.op, Rd: 0, Rs1: 11, Imm: 5})
		if m.X[0] != 0 {
			t.Fatalf("%v writes x0", c.op)
		}
	}
}

func TestStores(t *testing.T) {
	m := newMachine(t)
	const v = 0x1122_3344_5566_7788
	for _, c := range []struct {
		op    riscv.Op
		off   uint64
		first uint64 // the doubleword before the page boundary
		then  uint64 // and after
	}{
		{riscv.SB, 4092, 0xffff_ff88_ffff_ffff, ones}, {riscv.SH, 4092, 0xffff_7788_ffff_ffff, ones},
		{riscv.SW, 4092, 0x5566_7788_ffff_ffff, ones}, {riscv.SD, 4088, v, ones},
		{riscv.SH, 4089, 0xffff_ffff_ff77_88ff, ones}, {riscv.SW, 4090, 0xffff_5566_7788_ffff, ones},
		{riscv.SH, 4095, 0x88ff_ffff_ffff_ffff, 0xffff_ffff_ffff_ff77},
		{riscv.SW, 4093, 0x6677_88ff_ffff_ffff, 0xffff_ffff_ffff_ff55},
		{riscv.SD, 4095, 0x88ff_ffff_ffff_ffff, 0xff11_2233_4455_6677},
	} {
		for range 2 {
			m.store64(scratch+4088, ones)
			m.store64(scratch+4096, ones)
			m.X[11], m.X[12] = scratch+c.off+7, v
			ok := m.exec(riscv.Inst{Op: c.op, Rs1: 11, Rs2: 12, Imm: -7})
			if first, then := m.load64(scratch+4088), m.load64(scratch+4096); !ok || first != c.first || then != c.then {
				t.Errorf("%v at +%d: %#x %#x, want %#x %#x; cause %d", c.op, c.off, first, then, c.first, c.then, m.Mcause)
			}
		}
	}
}

// An access that faults leaves its destination alone, does not retire, and says where.
func TestAccessFaults(t *testing.T) {
	m := newMachine(t)
	const end = ramBase + ramSize
	for _, c := range []struct {
		op    riscv.Op
		va    uint64
		cause uint64
		tval  uint64
	}{
		{riscv.LD, 0, riscv.CauseLoadAccess, 0}, {riscv.SD, 0, riscv.CauseStoreAccess, 0},
		{riscv.LB, ones, riscv.CauseLoadAccess, ones}, {riscv.LD, end, riscv.CauseLoadAccess, end},
		{riscv.LD, end - 1, riscv.CauseLoadAccess, end}, {riscv.SW, end - 1, riscv.CauseStoreAccess, end},
		{riscv.FLD, 8, riscv.CauseLoadAccess, 8}, {riscv.FSW, 8, riscv.CauseStoreAccess, 8},
		{riscv.LR_D, 8, riscv.CauseLoadAccess, 8}, {riscv.AMOADD_W, 8, riscv.CauseStoreAccess, 8}, {riscv.AMOCAS_Q, 16, riscv.CauseStoreAccess, 16},
		{riscv.CBO_ZERO, 64, riscv.CauseStoreAccess, 64},
	} {
		m.X[10], m.X[11], m.F[10] = 77, c.va, 78
		i := riscv.Inst{Op: c.op, Rd: 10, Rs1: 11}
		switch c.op {
		case riscv.SD, riscv.SW, riscv.FSW, riscv.CBO_ZERO:
			i.Rd = 0
		}
		m.store64(end-8, 5)
		if m.exec(i) || m.Mcause != c.cause || m.Mtval != c.tval || m.Mepc != ramBase || m.X[10] != 77 || m.F[10] != 78 {
			t.Errorf("%v at %#x: cause %d, tval %#x, epc %#x, x10 %d", c.op, c.va, m.Mcause, m.Mtval, m.Mepc, m.X[10])
		}
		if m.load64(end-8) != 5 {
			t.Errorf("%v at %#x: half of the access was done", c.op, c.va)
		}
	}
}

// echo is a device that remembers what it was asked.
type echo struct {
	off, value uint64
	size       int
}

func (e *echo) Load(off uint64, size int) uint64 {
	e.off, e.size = off, size
	return 0x8899_aabb_ccdd_eeff >> (64 - 8*size)
}

func (e *echo) Store(off uint64, size int, v uint64) { e.off, e.size, e.value = off, size, v }

func TestDevices(t *testing.T) {
	m := newMachine(t)
	e := new(echo)
	if err := m.bus.Map(0x1000_0000, memory.PageSize, "echo", e); err != nil {
		t.Fatal(err)
	}
	m.X[11], m.X[12] = 0x1000_0010, 0x1122_3344_5566_7788
	for _, c := range []struct {
		op   riscv.Op
		size int
		want uint64
	}{
		{riscv.LB, 1, minus(0x78)}, {riscv.LHU, 2, 0x8899}, {riscv.LW, 4, 0xffff_ffff_8899_aabb}, {riscv.LD, 8, 0x8899_aabb_ccdd_eeff},
	} {
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Imm: 8}) || m.X[10] != c.want || e.off != 0x18 || e.size != c.size {
			t.Errorf("%v from a device: %#x, offset %#x, size %d", c.op, m.X[10], e.off, e.size)
		}
	}
	if !m.exec(riscv.Inst{Op: riscv.SW, Rs1: 11, Rs2: 12, Imm: -16}) || e.off != 0 || e.size != 4 || uint32(e.value) != 0x5566_7788 {
		t.Errorf("sw to a device: %+v", e)
	}
	// Devices do not execute.
	m.PC = 0x1000_0000
	m.step()
	if m.Mcause != riscv.CauseFetchAccess || m.Mtval != 0x1000_0000 || m.Mepc != 0x1000_0000 {
		t.Errorf("fetch from a device: cause %d, tval %#x", m.Mcause, m.Mtval)
	}
}

func TestCacheBlocks(t *testing.T) {
	m := newMachine(t)
	for a := uint64(scratch); a < scratch+256; a += 8 {
		m.store64(a, ones)
	}
	m.X[11] = scratch + 64 + 13
	if !m.exec(riscv.Inst{Op: riscv.CBO_ZERO, Rs1: 11}) {
		t.Fatalf("cbo.zero traps: %d", m.Mcause)
	}
	for a := uint64(scratch); a < scratch+256; a += 8 {
		want := uint64(ones)
		if a >= scratch+64 && a < scratch+128 {
			want = 0
		}
		if v := m.load64(a); v != want {
			t.Errorf("after cbo.zero: %#x at %#x", v, a)
		}
	}
	for _, op := range []riscv.Op{riscv.CBO_CLEAN, riscv.CBO_FLUSH, riscv.CBO_INVAL} {
		if !m.exec(riscv.Inst{Op: op, Rs1: 11}) || m.load64(scratch) != ones {
			t.Errorf("%v: cause %d", op, m.Mcause)
		}
	}
	for _, op := range []riscv.Op{riscv.PREFETCH_I, riscv.PREFETCH_R, riscv.PREFETCH_W} {
		m.X[11] = 1 // nothing is there
		if !m.exec(riscv.Inst{Op: op, Rs1: 11, Imm: 32}) {
			t.Errorf("%v traps", op)
		}
	}
}

func TestAtomics(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op             riscv.Op
		mem, src       uint64
		want, wantBack uint64 // memory, rd
	}{
		{riscv.AMOSWAP_D, 1, 2, 2, 1}, {riscv.AMOADD_D, ones, 2, 1, ones}, {riscv.AMOXOR_D, 6, 3, 5, 6},
		{riscv.AMOAND_D, 6, 3, 2, 6}, {riscv.AMOOR_D, 6, 3, 7, 6}, {riscv.AMOMIN_D, 1, ones, ones, 1}, {riscv.AMOMAX_D, 1, ones, 1, 1},
		{riscv.AMOMINU_D, 1, ones, 1, 1}, {riscv.AMOMAXU_D, 1, ones, ones, 1},
		{riscv.AMOSWAP_W, 0x5_8000_0000, 2, 0x5_0000_0002, minI32}, {riscv.AMOADD_W, 0x5_ffff_ffff, 2, 0x5_0000_0001, ones},
		{riscv.AMOXOR_W, 0x5_0000_0006, ones, 0x5_ffff_fff9, 6}, {riscv.AMOAND_W, 0x5_0000_0006, 0xff_0000_0003, 0x5_0000_0002, 6},
		{riscv.AMOOR_W, 0x5_0000_0006, 3, 0x5_0000_0007, 6}, {riscv.AMOMIN_W, 0x5_8000_0000, 0, 0x5_8000_0000, minI32},
		{riscv.AMOMAX_W, 0x5_8000_0000, 1<<32 + 7, 0x5_0000_0007, minI32}, {riscv.AMOMINU_W, 0x5_8000_0000, 7, 0x5_0000_0007, minI32},
		{riscv.AMOMAXU_W, 0x5_8000_0000, 7, 0x5_8000_0000, minI32},
	} {
		m.store64(scratch, c.mem)
		m.X[10], m.X[11], m.X[12] = 0xbad, scratch, c.src
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Rs2: 12, Rm: 3}) || m.load64(scratch) != c.want || m.X[10] != c.wantBack {
			t.Errorf("%v %#x, %#x: memory %#x, want %#x; rd %#x, want %#x", c.op, c.mem, c.src, m.load64(scratch), c.want, m.X[10], c.wantBack)
		}
		m.exec(riscv.Inst{Op: c.op, Rd: 0, Rs1: 11, Rs2: 12})
		if m.X[0] != 0 {
			t.Fatalf("%v writes x0", c.op)
		}
	}
	m.X[11] = scratch + 2
	if m.exec(riscv.Inst{Op: riscv.AMOADD_W, Rd: 10, Rs1: 11, Rs2: 12}) || m.Mtval != scratch+2 {
		t.Errorf("a misaligned AMO: cause %d, tval %#x", m.Mcause, m.Mtval)
	}
}

func TestReservation(t *testing.T) {
	m := newMachine(t)
	const lr, sc = riscv.LR_D, riscv.SC_D
	do := func(op riscv.Op, rs1 uint64) uint64 {
		m.X[11], m.X[12] = rs1, 99
		i := riscv.Inst{Op: op, Rd: 10, Rs1: 11}
		if op == riscv.SC_D || op == riscv.SC_W {
			i.Rs2 = 12
		}
		if !m.exec(i) {
			t.Fatalf("%v traps: %d", op, m.Mcause)
		}
		return m.X[10]
	}
	m.store64(scratch, 0xffff_ffff_8000_0001)
	if fail := do(sc, scratch); fail != 1 || m.load64(scratch) == 99 {
		t.Errorf("sc without lr: %d", fail)
	}
	if v := do(riscv.LR_W, scratch); v != 0xffff_ffff_8000_0001 {
		t.Errorf("lr.w: %#x", v)
	}
	do(lr, scratch)
	if fail := do(sc, scratch); fail != 0 || m.load64(scratch) != 99 {
		t.Errorf("sc after lr: %d", fail)
	}
	if fail := do(sc, scratch); fail != 1 {
		t.Errorf("a second sc: %d", fail)
	}
	do(lr, scratch)
	if fail := do(sc, scratch+8); fail != 1 {
		t.Errorf("sc elsewhere: %d", fail)
	}
	do(lr, scratch)
	m.store64(scratch, 98)
	if fail := do(sc, scratch); fail != 1 || m.load64(scratch) != 98 {
		t.Errorf("sc after a store of another: %d", fail)
	}
}

func TestCompareAndSwap(t *testing.T) {
	m := newMachine(t)
	cas := func(op riscv.Op, rd, rs2 uint8) {
		t.Helper()
		m.X[11] = scratch
		if !m.exec(riscv.Inst{Op: op, Rd: rd, Rs1: 11, Rs2: rs2}) {
			t.Fatalf("%v traps: %d", op, m.Mcause)
		}
	}
	check := func(what string, mem, rd uint64) {
		t.Helper()
		if m.load64(scratch) != mem || m.X[10] != rd {
			t.Errorf("%s: memory %#x, want %#x; rd %#x, want %#x", what, m.load64(scratch), mem, m.X[10], rd)
		}
	}
	m.store64(scratch, 0x5_8000_0000)
	m.X[10], m.X[12] = 0xff_8000_0000, 7
	cas(riscv.AMOCAS_W, 10, 12)
	check("amocas.w, equal", 0x5_0000_0007, minI32)
	m.X[10] = 6
	cas(riscv.AMOCAS_W, 10, 12)
	check("amocas.w, different", 0x5_0000_0007, 7)
	m.X[10], m.X[12] = 0x5_0000_0007, ones
	cas(riscv.AMOCAS_D, 10, 12)
	check("amocas.d, equal", ones, 0x5_0000_0007)
	cas(riscv.AMOCAS_D, 10, 0)
	check("amocas.d, different", ones, ones)
	// rd = x0 compares with zero, whatever the sink holds.
	m.X[32] = ones
	cas(riscv.AMOCAS_D, 0, 12)
	check("amocas.d with x0", ones, ones)
	m.store64(scratch, 0)
	cas(riscv.AMOCAS_D, 0, 12)
	check("amocas.d with x0, equal", ones, ones)

	pair := func(what string, lo, hi, rd, rd1 uint64) {
		t.Helper()
		check(what, lo, rd)
		if m.load64(scratch+8) != hi || m.X[31] != rd1 {
			t.Errorf("%s: upper memory %#x, want %#x; x31 %#x, want %#x", what, m.load64(scratch+8), hi, m.X[31], rd1)
		}
	}
	m.store64(scratch, 1)
	m.store64(scratch+8, 2)
	m.X[30], m.X[31], m.X[12], m.X[13] = 1, 3, 8, 9
	cas(riscv.AMOCAS_Q, 30, 12)
	m.X[10] = m.X[30]
	pair("amocas.q, different", 1, 2, 1, 2)
	cas(riscv.AMOCAS_Q, 30, 12)
	m.X[10] = m.X[30]
	pair("amocas.q, equal", 8, 9, 1, 2)
	m.X[30], m.X[31], m.X[1] = 8, 9, 5
	cas(riscv.AMOCAS_Q, 30, 0) // the pair of x0 is zero, whatever x1 holds
	m.X[10] = m.X[30]
	pair("amocas.q from x0", 0, 0, 8, 9)
	cas(riscv.AMOCAS_Q, 0, 12)
	if m.X[0] != 0 || m.X[1] != 5 || m.load64(scratch) != 8 || m.load64(scratch+8) != 9 {
		t.Errorf("amocas.q to x0: x1 %#x, memory %#x %#x", m.X[1], m.load64(scratch), m.load64(scratch+8))
	}
}
