package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// Bit patterns, and the flags.
const (
	one64, two64, half64       = 0x3ff0_0000_0000_0000, 0x4000_0000_0000_0000, 0x3fe0_0000_0000_0000
	inf64, nan64, snan64       = 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001
	max64, tiny64, neg64       = 0x7fef_ffff_ffff_ffff, 0x0000_0000_0000_0001, 1 << 63
	third64                    = 0x3fd5_5555_5555_5555
	boxed                      = 0xffff_ffff_0000_0000
	one32, two32, half32       = boxed | 0x3f80_0000, boxed | 0x4000_0000, boxed | 0x3f00_0000
	inf32, nan32, snan32       = boxed | 0x7f80_0000, boxed | 0x7fc0_0000, boxed | 0x7f80_0001
	neg32, tiny32, max32       = boxed | 0x8000_0000, boxed | 1, boxed | 0x7f7f_ffff
	boxed16                    = 0xffff_ffff_ffff_0000
	one16, nan16               = boxed16 | 0x3c00, boxed16 | 0x7e00
	nx, uf, of, dz, nv         = 1, 2, 4, 8, 16
	rne, rtz, rdn, rup         = 0, 1, 2, 3
	rmm, dyn             uint8 = 4, 7
)

// Results, flags and boxes that follow from the text. Arithmetic in depth is softfloat's to test, and difftest's.
func TestFloat(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op      riscv.Op
		rm      uint8
		a, b, c uint64
		want    uint64 // in f10, or in x10 where that is the destination
		flags   uint64
	}{
		{riscv.FADD_D, dyn, one64, one64, 0, two64, 0}, {riscv.FADD_D, rne, one64, 0x3ca0_0000_0000_0000, 0, one64, nx},
		{riscv.FADD_D, rup, one64, tiny64, 0, one64 + 1, nx}, {riscv.FADD_D, rmm, one64, 0x3ca0_0000_0000_0000, 0, one64 + 1, nx},
		{riscv.FADD_D, rne, inf64, inf64 | neg64, 0, nan64, nv}, {riscv.FADD_D, rdn, one64, one64 | neg64, 0, neg64, 0},
		{riscv.FADD_D, rne, nan64 | 0xbeef, one64, 0, nan64, 0}, {riscv.FADD_D, rne, snan64, one64, 0, nan64, nv},
		{riscv.FSUB_D, rne, one64, two64, 0, one64 | neg64, 0}, {riscv.FMUL_D, rne, max64, two64, 0, inf64, of | nx},
		{riscv.FMUL_D, rtz, max64, two64, 0, max64, of | nx}, {riscv.FMUL_D, rne, tiny64, half64, 0, 0, uf | nx},
		{riscv.FDIV_D, rne, one64, 0, 0, inf64, dz}, {riscv.FDIV_D, rne, 0, 0, 0, nan64, nv},
		{riscv.FDIV_D, rne, one64, 0x4008_0000_0000_0000, 0, third64, nx}, {riscv.FDIV_D, rup, one64, 0x4008_0000_0000_0000, 0, third64 + 1, nx},
		{riscv.FSQRT_D, rne, 0x4010_0000_0000_0000, 0, 0, two64, 0}, {riscv.FSQRT_D, rne, one64 | neg64, 0, 0, nan64, nv},
		{riscv.FSQRT_D, rne, neg64, 0, 0, neg64, 0},
		{riscv.FMADD_D, rne, two64, two64, one64, 0x4014_0000_0000_0000, 0}, {riscv.FMSUB_D, rne, two64, two64, one64, 0x4008_0000_0000_0000, 0},
		{riscv.FNMSUB_D, rne, two64, two64, one64, 0xc008_0000_0000_0000, 0}, {riscv.FNMADD_D, rne, two64, two64, one64, 0xc014_0000_0000_0000, 0},
		{riscv.FMADD_D, rne, inf64, 0, nan64, nan64, nv}, {riscv.FNMADD_D, rne, one64, one64, one64 | neg64, 0, 0},
		{riscv.FNMADD_D, rdn, one64, one64, one64 | neg64, neg64, 0},
		{riscv.FSGNJ_D, 0, one64, neg64, 0, one64 | neg64, 0}, {riscv.FSGNJN_D, 0, snan64, 0, 0, snan64 | neg64, 0}, {riscv.FSGNJX_D, 0, one64 | neg64, neg64, 0, one64, 0},
		{riscv.FMIN_D, 0, neg64, 0, 0, neg64, 0}, {riscv.FMAX_D, 0, neg64, 0, 0, 0, 0}, {riscv.FMIN_D, 0, nan64, one64, 0, one64, 0},
		{riscv.FMAX_D, 0, snan64, one64, 0, one64, nv}, {riscv.FMIN_D, 0, nan64 | 5, nan64 | 6, 0, nan64, 0},
		{riscv.FEQ_D, 0, nan64, one64, 0, 0, 0}, {riscv.FEQ_D, 0, snan64, one64, 0, 0, nv}, {riscv.FEQ_D, 0, neg64, 0, 0, 1, 0},
		{riscv.FLT_D, 0, nan64, one64, 0, 0, nv}, {riscv.FLT_D, 0, one64, two64, 0, 1, 0}, {riscv.FLE_D, 0, neg64, 0, 0, 1, 0}, {riscv.FLE_D, 0, one64, nan64, 0, 0, nv},
		{riscv.FCLASS_D, 0, inf64 | neg64, 0, 0, 1 << 0, 0}, {riscv.FCLASS_D, 0, one64 | neg64, 0, 0, 1 << 1, 0}, {riscv.FCLASS_D, 0, tiny64 | neg64, 0, 0, 1 << 2, 0},
		{riscv.FCLASS_D, 0, neg64, 0, 0, 1 << 3, 0}, {riscv.FCLASS_D, 0, 0, 0, 0, 1 << 4, 0}, {riscv.FCLASS_D, 0, tiny64, 0, 0, 1 << 5, 0},
		{riscv.FCLASS_D, 0, one64, 0, 0, 1 << 6, 0}, {riscv.FCLASS_D, 0, inf64, 0, 0, 1 << 7, 0}, {riscv.FCLASS_D, 0, snan64, 0, 0, 1 << 8, 0}, {riscv.FCLASS_D, 0, nan64, 0, 0, 1 << 9, 0},
		{riscv.FCVT_W_D, rtz, 0xc1e0_0000_0020_0000, 0, 0, minI32, nv}, {riscv.FCVT_W_D, rne, nan64, 0, 0, maxI32, nv}, {riscv.FCVT_W_D, rne, 0x3ff8_0000_0000_0000, 0, 0, 2, nx},
		{riscv.FCVT_WU_D, rtz, 0xbff0_0000_0000_0000, 0, 0, 0, nv}, {riscv.FCVT_WU_D, rtz, 0x41ef_ffff_ffe0_0000, 0, 0, ones, 0}, {riscv.FCVT_WU_D, rtz, nan64, 0, 0, ones, nv},
		{riscv.FCVT_L_D, rtz, inf64 | neg64, 0, 0, minI64, nv}, {riscv.FCVT_L_D, rtz, nan64 | neg64, 0, 0, maxI64, nv}, {riscv.FCVT_LU_D, rtz, inf64, 0, 0, ones, nv},
		{riscv.FCVT_LU_D, rup, 0xbfe0_0000_0000_0000, 0, 0, 0, nx}, {riscv.FCVT_LU_D, rdn, 0xbfe0_0000_0000_0000, 0, 0, 0, nv},
		{riscv.FCVT_S_D, rne, nan64 | 0x1234, 0, 0, nan32, 0}, {riscv.FCVT_S_D, rne, max64, 0, 0, inf32, of | nx}, {riscv.FCVT_D_S, rne, snan32, 0, 0, nan64, nv},
		{riscv.FCVT_D_S, rne, 0x3f80_0000, 0, 0, nan64, 0}, // not boxed, so a NaN

		{riscv.FADD_S, rne, one32, one32, 0, two32, 0}, {riscv.FADD_S, rne, 0x3f80_0000, one32, 0, nan32, 0}, {riscv.FSUB_S, rne, one32, half32, 0, half32, 0},
		{riscv.FMUL_S, rup, max32, two32, 0, inf32, of | nx}, {riscv.FDIV_S, rne, one32, neg32, 0, inf32 | neg32, dz}, {riscv.FSQRT_S, rne, boxed | 0x4080_0000, 0, 0, two32, 0},
		{riscv.FMADD_S, rne, two32, two32, one32, boxed | 0x40a0_0000, 0}, {riscv.FMSUB_S, rne, two32, two32, one32, boxed | 0x4040_0000, 0},
		{riscv.FNMSUB_S, rne, two32, two32, one32, boxed | 0xc040_0000, 0}, {riscv.FNMADD_S, rne, two32, two32, one32, boxed | 0xc0a0_0000, 0},
		{riscv.FSGNJ_S, 0, one32, neg32, 0, one32 | neg32, 0}, {riscv.FSGNJN_S, 0, one64, one32, 0, nan32 | neg32, 0}, {riscv.FSGNJX_S, 0, neg32, neg32, 0, boxed, 0},
		{riscv.FMIN_S, 0, tiny32, neg32, 0, neg32, 0}, {riscv.FMAX_S, 0, snan32, snan32, 0, nan32, nv},
		{riscv.FEQ_S, 0, one32, one32, 0, 1, 0}, {riscv.FLT_S, 0, one32, 0, 0, 0, nv}, {riscv.FLE_S, 0, one32, one32, 0, 1, 0},
		{riscv.FCLASS_S, 0, one64, 0, 0, 1 << 9, 0}, {riscv.FCLASS_S, 0, tiny32, 0, 0, 1 << 5, 0},
		{riscv.FCVT_W_S, rne, half32, 0, 0, 0, nx}, {riscv.FCVT_W_S, rmm, half32, 0, 0, 1, nx}, {riscv.FCVT_WU_S, rne, inf32, 0, 0, ones, nv},
		{riscv.FCVT_L_S, rtz, boxed | 0xdf00_0000, 0, 0, minI64, 0}, {riscv.FCVT_LU_S, rtz, boxed | 0x5f80_0000, 0, 0, ones, nv},
		{riscv.FMV_X_W, 0, 0x1234_5678_8000_0001, 0, 0, 0xffff_ffff_8000_0001, 0}, {riscv.FMV_X_D, 0, snan64, 0, 0, snan64, 0},

		{riscv.FMV_X_H, 0, 0x8001, 0, 0, minus(0x7fff), 0}, {riscv.FCVT_S_H, rne, one16, 0, 0, one32, 0}, {riscv.FCVT_S_H, rne, one32, 0, 0, nan32, 0},
		{riscv.FCVT_H_S, rne, one32, 0, 0, one16, 0}, {riscv.FCVT_H_S, rne, max32, 0, 0, boxed16 | 0x7c00, of | nx}, {riscv.FCVT_D_H, rne, boxed16 | 1, 0, 0, 0x3e70_0000_0000_0000, 0},
		{riscv.FCVT_H_D, rtz, third64, 0, 0, boxed16 | 0x3555, nx}, {riscv.FCVT_H_D, rne, snan64, 0, 0, nan16, nv},

		{riscv.FMINM_D, 0, nan64, one64, 0, nan64, 0}, {riscv.FMAXM_D, 0, one64, snan64, 0, nan64, nv}, {riscv.FMINM_S, 0, one32, two32, 0, one32, 0}, {riscv.FMAXM_S, 0, neg32, boxed, 0, boxed, 0},
		{riscv.FROUND_D, rne, 0x3ff8_0000_0000_0000, 0, 0, two64, 0}, {riscv.FROUNDNX_D, rdn, 0x3ff8_0000_0000_0000, 0, 0, one64, nx}, {riscv.FROUND_D, rtz, half64 | neg64, 0, 0, neg64, 0},
		{riscv.FROUND_S, rmm, half32, 0, 0, one32, 0}, {riscv.FROUNDNX_S, rne, half32, 0, 0, boxed, nx}, {riscv.FROUND_S, rne, snan32, 0, 0, nan32, nv},
		{riscv.FLEQ_D, 0, nan64, one64, 0, 0, 0}, {riscv.FLTQ_D, 0, snan64, one64, 0, 0, nv}, {riscv.FLEQ_S, 0, one32, one32, 0, 1, 0}, {riscv.FLTQ_S, 0, one32, nan32, 0, 0, 0},
		{riscv.FCVTMOD_W_D, rtz, 0x41f0_0000_0010_0000, 0, 0, 1, nv}, {riscv.FCVTMOD_W_D, rtz, 0xbff8_0000_0000_0000, 0, 0, ones, nx}, {riscv.FCVTMOD_W_D, rtz, inf64, 0, 0, 0, nv},
		{riscv.FCVTMOD_W_D, rtz, 0x41e0_0000_0000_0000, 0, 0, minI32, nv},
	} {
		rd, _, rs2, rs3 := c.op.Operands()
		i := riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Rm: c.rm}
		if c.op == riscv.FCVTMOD_W_D {
			i.Rm = 0
		}
		if rs2 != riscv.NoReg {
			i.Rs2 = 12
		}
		if rs3 != riscv.NoReg {
			i.Rs3 = 13
		}
		m.F[11], m.F[12], m.F[13], m.Fflags, m.Frm = c.a, c.b, c.c, 0, 0
		ok := m.exec(i)
		got := m.F[10]
		if rd == riscv.IntReg {
			got = m.X[10]
		}
		if !ok || got != c.want || m.Fflags != c.flags {
			t.Errorf("%v rm %d %#x, %#x, %#x = %#x flags %#x, want %#x flags %#x", c.op, c.rm, c.a, c.b, c.c, got, m.Fflags, c.want, c.flags)
		}
	}
}

func TestFloatFromInteger(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op    riscv.Op
		a     uint64
		want  uint64
		flags uint64
	}{
		{riscv.FCVT_D_W, 0x1_ffff_ffff, one64 | neg64, 0}, {riscv.FCVT_D_WU, ones, 0x41ef_ffff_ffe0_0000, 0},
		{riscv.FCVT_D_L, minI64, 0xc3e0_0000_0000_0000, 0}, {riscv.FCVT_D_L, maxI64, 0x43e0_0000_0000_0000, nx},
		{riscv.FCVT_D_LU, ones, 0x43f0_0000_0000_0000, nx}, {riscv.FCVT_D_LU, 1, one64, 0},
		{riscv.FCVT_S_W, minI32, boxed | 0xcf00_0000, 0}, {riscv.FCVT_S_WU, 1 << 32, boxed, 0}, {riscv.FCVT_S_W, maxI32, boxed | 0x4f00_0000, nx},
		{riscv.FCVT_S_L, ones, one32 | neg32, 0}, {riscv.FCVT_S_LU, ones, boxed | 0x5f80_0000, nx},
		{riscv.FMV_W_X, 0x1_3f80_0000, one32, 0}, {riscv.FMV_D_X, snan64, snan64, 0}, {riscv.FMV_H_X, 0xf_3c00, one16, 0},
	} {
		m.X[11], m.Fflags = c.a, 0
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11}) || m.F[10] != c.want || m.Fflags != c.flags {
			t.Errorf("%v %#x = %#x flags %#x, want %#x flags %#x", c.op, c.a, m.F[10], m.Fflags, c.want, c.flags)
		}
	}
	for _, c := range []struct {
		op    riscv.Op
		index uint8
		want  uint64
	}{
		{riscv.FLI_D, 0, one64 | neg64}, {riscv.FLI_D, 1, 0x0010_0000_0000_0000}, {riscv.FLI_D, 16, one64}, {riscv.FLI_D, 30, inf64}, {riscv.FLI_D, 31, nan64},
		{riscv.FLI_S, 0, one32 | neg32}, {riscv.FLI_S, 1, boxed | 0x0080_0000}, {riscv.FLI_S, 29, boxed | 0x4780_0000}, {riscv.FLI_S, 31, nan32},
	} {
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: c.index}) || m.F[10] != c.want {
			t.Errorf("%v %d = %#x, want %#x", c.op, c.index, m.F[10], c.want)
		}
	}
}

func TestFloatMemory(t *testing.T) {
	m := newMachine(t)
	for range 2 { // with and without the page in the TLB
		m.store64(scratch, 0x1122_3344_5566_7788)
		m.X[11] = scratch
		for _, c := range []struct {
			op   riscv.Op
			imm  int32
			want uint64
		}{
			{riscv.FLD, 0, 0x1122_3344_5566_7788}, {riscv.FLW, 4, boxed | 0x1122_3344}, {riscv.FLH, 2, boxed16 | 0x5566}, {riscv.FLW, 1, boxed | 0x4455_6677},
		} {
			m.F[10] = 0
			if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: 11, Imm: c.imm}) || m.F[10] != c.want {
				t.Errorf("%v = %#x, want %#x", c.op, m.F[10], c.want)
			}
		}
		// f0 is an ordinary register, and stores do not look at boxes.
		m.F[0] = 0xdead_beef_1234_5678
		for _, c := range []struct {
			op   riscv.Op
			want uint64
		}{
			{riscv.FSH, 0xffff_ffff_ffff_5678}, {riscv.FSW, 0xffff_ffff_1234_5678}, {riscv.FSD, 0xdead_beef_1234_5678},
		} {
			m.store64(scratch, ones)
			if !m.exec(riscv.Inst{Op: c.op, Rs1: 11, Rs2: 0}) || m.load64(scratch) != c.want {
				t.Errorf("%v: memory %#x, want %#x", c.op, m.load64(scratch), c.want)
			}
		}
	}
	if !m.exec(riscv.Inst{Op: riscv.FLD, Rd: 0, Rs1: 11}) || m.F[0] != 0xdead_beef_1234_5678 {
		t.Errorf("fld f0 = %#x", m.F[0])
	}
}

// Every floating-point instruction is illegal while mstatus.FS is Off, and marks the state dirty when it writes it.
func TestFloatStatus(t *testing.T) {
	m := newMachine(t)
	for op := riscv.Op(1); !op.Compressed(); op++ {
		switch op.Spec().Ext {
		case riscv.ExtF, riscv.ExtD, riscv.ExtZfa, riscv.ExtZfhmin:
		default:
			continue
		}
		rd, _, _, _ := op.Operands()
		m.X[1], m.X[2] = scratch, scratch
		raw := op.Spec().Match | 1<<15 // rs1 is x1 or f1
		m.Mstatus &^= hart.MstatusFS
		if m.execRaw(raw) || m.Mcause != riscv.CauseIllegal || m.Mtval != uint64(raw) {
			t.Errorf("%v executes with FS off; cause %d", op, m.Mcause)
		}
		const initial = 1 << 13
		m.Mstatus |= initial
		m.Fflags = 31 // so that they do not change
		if !m.execRaw(raw) {
			t.Errorf("%v traps with FS on: cause %d", op, m.Mcause)
		}
		if dirty := m.Mstatus&hart.MstatusFS == hart.MstatusFS; dirty != (rd == riscv.FloatReg) {
			t.Errorf("%v: dirty %v", op, dirty)
		}
	}
	// So are the compressed ones, which say so with their own bits, and the CSRs.
	for _, raw := range []uint32{
		0x2404, 0x24a2, 0xa404, 0xa426, // c.fld, c.fldsp, c.fsd, c.fsdsp
		0x0010_2573, 0x0020_2573, 0x0030_2573, 0x0010_1073, // csrr of fflags, frm, fcsr; csrw fflags
	} {
		m.X[2], m.X[8] = scratch, scratch
		for range 2 { // the second time with the page in the TLB
			m.Mstatus &^= hart.MstatusFS
			if m.execRaw(raw) || m.Mcause != riscv.CauseIllegal || m.Mtval != uint64(raw) {
				t.Errorf("%#x executes with FS off; cause %d, tval %#x", raw, m.Mcause, m.Mtval)
			}
			m.Mstatus |= 1 << 13
			if !m.execRaw(raw) {
				t.Errorf("%#x traps with FS on: cause %d", raw, m.Mcause)
			}
		}
	}
	// New flags make the state dirty even if no f register is written.
	m.Mstatus = m.Mstatus&^hart.MstatusFS | 1<<13
	m.F[11], m.Fflags = snan64, 0
	m.exec(riscv.Inst{Op: riscv.FEQ_D, Rd: 10, Rs1: 11, Rs2: 11})
	if m.Mstatus&hart.MstatusFS != hart.MstatusFS || m.Fflags != nv {
		t.Error("new flags do not make the state dirty")
	}
}

func TestDynamicRounding(t *testing.T) {
	m := newMachine(t)
	m.F[11], m.F[12] = one64, 0x3ca0_0000_0000_0000
	for frm, want := range []uint64{one64, one64, one64, one64 + 1, one64 + 1} {
		m.Frm = uint64(frm)
		if !m.exec(riscv.Inst{Op: riscv.FADD_D, Rd: 10, Rs1: 11, Rs2: 12, Rm: dyn}) || m.F[10] != want {
			t.Errorf("frm %d: %#x, want %#x", frm, m.F[10], want)
		}
	}
	for frm := uint64(5); frm < 8; frm++ {
		m.Frm = frm
		// A conversion that is exact has a rounding mode nevertheless ("F", Floating-Point Control and Status Register).
		for _, op := range []riscv.Op{riscv.FCVT_D_S, riscv.FCVT_D_W, riscv.FCVT_D_WU, riscv.FCVT_S_H, riscv.FCVT_D_H, riscv.FROUND_D} {
			if m.exec(riscv.Inst{Op: op, Rd: 10, Rs1: 11, Rm: dyn}) || m.Mcause != riscv.CauseIllegal {
				t.Errorf("frm %d: %v executes", frm, op)
			}
			if raw := encode(t, riscv.Inst{Op: op, Rd: 10, Rs1: 11}) | 5<<12; m.execRaw(raw) || m.Mtval != uint64(raw) {
				t.Errorf("%v with rounding mode 5 executes", op)
			}
		}
		if !m.exec(riscv.Inst{Op: riscv.FCVTMOD_W_D, Rd: 10, Rs1: 11}) {
			t.Errorf("frm %d disturbs fcvtmod", frm)
		}
		if m.exec(riscv.Inst{Op: riscv.FADD_D, Rd: 10, Rs1: 11, Rs2: 12, Rm: dyn}) || m.Mcause != riscv.CauseIllegal {
			t.Errorf("frm %d rounds", frm)
		}
		if !m.exec(riscv.Inst{Op: riscv.FADD_D, Rd: 10, Rs1: 11, Rs2: 12, Rm: rne}) {
			t.Errorf("frm %d disturbs a static mode", frm)
		}
		if !m.exec(riscv.Inst{Op: riscv.FMIN_D, Rd: 10, Rs1: 11, Rs2: 12}) {
			t.Errorf("frm %d disturbs fmin", frm)
		}
	}
}
