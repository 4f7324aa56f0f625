package interp

// Extensions that qemu-riscv64 7.2 cannot check, against each other and against older instructions that it has checked: laws
// that hold for any operands, on many of them.

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// outcome is what a floating-point instruction leaves: its result and its flags.
type outcome struct{ v, flags uint64 }

// float executes op on f11 and f12, or on x11, with a static rounding mode.
func (m *machine) float(op riscv.Op, rm uint8, a, b uint64) outcome {
	m.tb.Helper()
	rd, rs1, rs2, _ := op.Operands()
	i := riscv.Inst{Op: op, Rd: 10, Rs1: 11, Rm: rm}
	if rs2 != riscv.NoReg {
		i.Rs2 = 12
	}
	m.F[11], m.F[12], m.Fflags = a, b, 0
	if rs1 == riscv.IntReg {
		m.X[11] = a
	}
	if !m.exec(i) {
		m.tb.Fatalf("%v traps: %d", i, m.Mcause)
	}
	if rd == riscv.IntReg {
		return outcome{m.X[10], m.Fflags}
	}
	return outcome{m.F[10], m.Fflags}
}

// format names the operations of one of the two formats.
type format struct {
	name                                string
	frac, exp                           uint
	box, nan                            uint64
	fle, flt, feq, fleq, fltq           riscv.Op
	fmin, fmax, fminm, fmaxm            riscv.Op
	fround, froundnx, toL, fromL, fsgnj riscv.Op
	isNaN                               func(uint64) bool
	large                               func(uint64) bool // no fraction bits, or no number
}

var formats = []format{
	{
		"single", 23, 8, boxed, nan32, riscv.FLE_S, riscv.FLT_S, riscv.FEQ_S, riscv.FLEQ_S, riscv.FLTQ_S,
		riscv.FMIN_S, riscv.FMAX_S, riscv.FMINM_S, riscv.FMAXM_S,
		riscv.FROUND_S, riscv.FROUNDNX_S, riscv.FCVT_L_S, riscv.FCVT_S_L, riscv.FSGNJ_S,
		func(v uint64) bool { return v < boxed || v&0x7fff_ffff > 0x7f80_0000 },
		func(v uint64) bool { return v>>23&0xff >= 127+23 },
	},
	{
		"double", 52, 11, 0, nan64, riscv.FLE_D, riscv.FLT_D, riscv.FEQ_D, riscv.FLEQ_D, riscv.FLTQ_D,
		riscv.FMIN_D, riscv.FMAX_D, riscv.FMINM_D, riscv.FMAXM_D,
		riscv.FROUND_D, riscv.FROUNDNX_D, riscv.FCVT_L_D, riscv.FCVT_D_L, riscv.FSGNJ_D,
		func(v uint64) bool { return v&^neg64 > inf64 },
		func(v uint64) bool { return v>>52&0x7ff >= 1023+52 },
	},
}

// value is a random pattern of the format; exponents gather about one, where there is something to round, and at the ends.
func (f *format) value(r *rand.Rand) uint64 {
	e, frac := r.Uint64(), r.Uint64()
	switch r.IntN(4) {
	case 0, 1:
		e = 1<<(f.exp-1) - 3 + r.Uint64N(uint64(f.frac)+6)
	case 2:
		e = uint64(r.IntN(3)) - 1
	}
	if r.IntN(2) == 0 {
		frac = -(1 << r.UintN(f.frac)) // few bits, so that there are ties
	}
	v := e&(1<<f.exp-1)<<f.frac | frac&(1<<f.frac-1) | uint64(r.IntN(2))<<(f.exp+f.frac)
	if f.box != 0 && r.IntN(32) == 0 {
		return v // not boxed
	}
	return v | f.box
}

func TestFloatIdentities(t *testing.T) {
	m := newMachine(t)
	r := rand.New(rand.NewPCG(11, 22))
	for _, f := range formats {
		for range 4000 {
			a, b := f.value(r), f.value(r)
			if r.IntN(8) == 0 {
				b = a
			}
			same := func(law string, got, want outcome) {
				if got != want {
					t.Errorf("%s, %s, %#x and %#x: %#x flags %#x, want %#x flags %#x", f.name, law, a, b, got.v, got.flags, want.v, want.flags)
				}
			}
			// Quiet comparisons: the result of the signaling ones, the flags of feq.
			quiet := m.float(f.feq, 0, a, b).flags
			same("fleq", m.float(f.fleq, 0, a, b), outcome{m.float(f.fle, 0, a, b).v, quiet})
			same("fltq", m.float(f.fltq, 0, a, b), outcome{m.float(f.flt, 0, a, b).v, quiet})

			// Fminm and fmaxm: fmin and fmax, but for NaNs.
			for _, pair := range [][2]riscv.Op{{f.fminm, f.fmin}, {f.fmaxm, f.fmax}} {
				want := m.float(pair[1], 0, a, b)
				if f.isNaN(a) || f.isNaN(b) {
					want = outcome{f.nan, quiet}
				}
				same(pair[0].String(), m.float(pair[0], 0, a, b), want)
			}

			// Rounding to an integral value: by way of an integer where there is one that near, with the sign kept.
			rm := uint8(r.IntN(5))
			want := outcome{v: a}
			switch {
			case f.isNaN(a):
				want = outcome{f.nan, m.float(f.feq, 0, a, a).flags}
			case !f.large(a):
				l := m.float(f.toL, rm, a, 0)
				want = outcome{m.float(f.fsgnj, 0, m.float(f.fromL, rm, l.v, 0).v, a).v, l.flags}
			}
			same("froundnx", m.float(f.froundnx, rm, a, 0), want)
			want.flags &^= nx
			same("fround", m.float(f.fround, rm, a, 0), want)
		}
	}
}

// Fcvtmod: the flags of fcvt.w.d towards zero, and the low word of the integer, however large that is.
func TestModularConversion(t *testing.T) {
	m := newMachine(t)
	r := rand.New(rand.NewPCG(33, 44))
	word := new(big.Int).Lsh(big.NewInt(1), 32)
	for range 20_000 {
		a := r.Uint64()
		if r.IntN(4) != 0 {
			a = a&^(0x7ff<<52) | (1020+r.Uint64N(100))<<52
		}
		want := outcome{flags: m.float(riscv.FCVT_W_D, rtz, a, 0).flags}
		if a&^neg64 < inf64 {
			// Exact: 64 bits hold the significand and 2100 bits every double's integer part.
			n := new(big.Int).SetUint64(a&(1<<52-1) | 1<<52)
			if e := int(a >> 52 & 0x7ff); e == 0 {
				n.SetUint64(0)
			} else if e -= 1023 + 52; e >= 0 {
				n.Lsh(n, uint(e))
			} else {
				n.Rsh(n, uint(-e))
			}
			if a&neg64 != 0 {
				n.Neg(n)
			}
			want.v = uint64(int64(int32(uint32(n.Mod(n, word).Uint64()))))
		}
		if got := m.float(riscv.FCVTMOD_W_D, 0, a, 0); got != want {
			t.Errorf("fcvtmod.w.d %#x: %#x flags %#x, want %#x flags %#x", a, got.v, got.flags, want.v, want.flags)
		}
	}
}

// The constants of fli are the same numbers in both formats, exactly.
func TestFloatConstants(t *testing.T) {
	m := newMachine(t)
	for i := range uint8(32) {
		m.Fflags = 0
		m.exec(riscv.Inst{Op: riscv.FLI_D, Rd: 10, Rs1: i})
		d := m.F[10]
		m.exec(riscv.Inst{Op: riscv.FLI_S, Rd: 10, Rs1: i})
		single := m.F[10]
		if m.Fflags != 0 {
			t.Errorf("constant %d sets flags %#x", i, m.Fflags)
		}
		if i == 1 {
			continue // the smallest normal number of each format
		}
		if narrow := m.float(riscv.FCVT_S_D, rne, d, 0); narrow != (outcome{single, 0}) {
			t.Errorf("constant %d: %#x as a double, %#x as a single", i, d, single)
		}
	}
}

// Integer instructions of Zicond and Zcb, and the widths of Zacas, in terms of older ones.
func TestIntegerIdentities(t *testing.T) {
	m := newMachine(t)
	r := rand.New(rand.NewPCG(55, 66))
	run := func(a, b uint64, insts ...riscv.Inst) uint64 {
		m.X[8], m.X[9], m.X[10], m.X[11] = a, b, 0xbad, scratch
		for _, i := range insts {
			if !m.exec(i) {
				t.Fatalf("%v traps: %d", i, m.Mcause)
			}
		}
		return m.X[10]
	}
	mask := []riscv.Inst{ // x10 = x9 is zero ? 0 : all ones
		{Op: riscv.SLTU, Rd: 10, Rs2: 9}, {Op: riscv.SUB, Rd: 10, Rs2: 10},
	}
	toResult := riscv.Inst{Op: riscv.ADDI, Rd: 10, Rs1: 8}
	shifts := func(left, right riscv.Op, n int32) []riscv.Inst {
		return []riscv.Inst{{Op: left, Rd: 10, Rs1: 8, Imm: n}, {Op: right, Rd: 10, Rs1: 10, Imm: n}}
	}
	unary := func(op riscv.Op) []riscv.Inst {
		i := riscv.Decode(op.Spec().Match) // of x8
		return []riscv.Inst{i, toResult}
	}
	for _, c := range []struct {
		name      string
		got, want []riscv.Inst
	}{
		{"czero.eqz", []riscv.Inst{{Op: riscv.CZERO_EQZ, Rd: 10, Rs1: 8, Rs2: 9}}, append(mask[:2:2], riscv.Inst{Op: riscv.AND, Rd: 10, Rs1: 8, Rs2: 10})},
		{"czero.nez", []riscv.Inst{{Op: riscv.CZERO_NEZ, Rd: 10, Rs1: 8, Rs2: 9}},
			append(mask[:2:2], riscv.Inst{Op: riscv.XORI, Rd: 10, Rs1: 10, Imm: -1}, riscv.Inst{Op: riscv.AND, Rd: 10, Rs1: 8, Rs2: 10})},
		{"c.zext.b", unary(riscv.C_ZEXT_B), shifts(riscv.SLLI, riscv.SRLI, 56)},
		{"c.sext.b", unary(riscv.C_SEXT_B), shifts(riscv.SLLI, riscv.SRAI, 56)},
		{"c.zext.h", unary(riscv.C_ZEXT_H), shifts(riscv.SLLI, riscv.SRLI, 48)},
		{"c.sext.h", unary(riscv.C_SEXT_H), shifts(riscv.SLLI, riscv.SRAI, 48)},
		{"c.zext.w", unary(riscv.C_ZEXT_W), shifts(riscv.SLLI, riscv.SRLI, 32)},
		{"c.not", unary(riscv.C_NOT), []riscv.Inst{{Op: riscv.XORI, Rd: 10, Rs1: 8, Imm: -1}}},
		{"c.mul", []riscv.Inst{{Op: riscv.C_MUL, Rd: 8, Rs1: 8, Rs2: 9}, toResult}, []riscv.Inst{{Op: riscv.MUL, Rd: 10, Rs1: 8, Rs2: 9}}},
		{"amocas.w, equal", // the old value, from memory, is sign-extended; what is stored is the swap
			[]riscv.Inst{{Op: riscv.SD, Rs1: 11, Rs2: 8}, {Op: riscv.ADDI, Rd: 10, Rs1: 8}, {Op: riscv.AMOCAS_W, Rd: 10, Rs1: 11, Rs2: 9},
				{Op: riscv.LWU, Rd: 9, Rs1: 11}, {Op: riscv.XOR, Rd: 10, Rs1: 10, Rs2: 9}},
			[]riscv.Inst{{Op: riscv.ADDIW, Rd: 10, Rs1: 8}, {Op: riscv.ADD_UW, Rd: 9, Rs1: 9}, {Op: riscv.XOR, Rd: 10, Rs1: 10, Rs2: 9}}},
		{"amocas.w, different", // nothing is stored
			[]riscv.Inst{{Op: riscv.SD, Rs1: 11, Rs2: 8}, {Op: riscv.XORI, Rd: 10, Rs1: 8, Imm: 1}, {Op: riscv.AMOCAS_W, Rd: 10, Rs1: 11, Rs2: 9},
				{Op: riscv.LD, Rd: 9, Rs1: 11}, {Op: riscv.SUB, Rd: 10, Rs1: 10, Rs2: 9}},
			[]riscv.Inst{{Op: riscv.ADDIW, Rd: 10, Rs1: 8}, {Op: riscv.SUB, Rd: 10, Rs1: 10, Rs2: 8}}},
	} {
		for range 300 {
			a, b := r.Uint64(), r.Uint64()>>r.UintN(64)
			if r.IntN(3) == 0 {
				b = 0
			}
			if got, want := run(a, b, c.got...), run(a, b, c.want...); got != want {
				t.Errorf("%s, %#x and %#x: %#x, want %#x", c.name, a, b, got, want)
			}
		}
	}
}
