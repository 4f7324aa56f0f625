package jit_test

// Loops beside the interpreter, of kinds of which the generator of programs makes few.
//
// What the optimizing tier does about flags and NaNs it does to long runs of arithmetic on doubles: one kind is made of nothing else, with the
// comparisons around which compilers save fflags, and accesses that fault now and then. The numbers are any bits, so that one in eight is a
// NaN with a payload.
//
// What it does about registers shows where there are not enough of them: the other kind is 32-bit arithmetic that goes from register to register
// as in a hash function, with copies and sign extensions of the same value in several of them, and short branches.
//
// The third kind is calls: of functions with frames and without, of themselves once or twice or for ever, that return to where they should or a little
// behind it. Some have a few wrong bytes in them.
//
// The fourth is straight lines of up to a few hundred instructions, as in a cipher: look-ups in tables by a shift, a mask and a sum, of which some
// fault, so that every step of an address shows.

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/lockstep"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// floatLoop is the code of such a loop.
func floatLoop(r *rand.Rand) ([]byte, error) {
	const (
		gp      = 3
		dynamic = 7
	)
	a := asm.New(0)
	reg := func() uint8 { // few, of each kind that there is: in a host register or not, callee-saved or not
		return []uint8{0, 1, 8, 9, 10, 11, 12, 18, 28}[r.IntN(9)]
	}
	pointers := []uint8{asm.A0, asm.S0, asm.A3}
	pointer := func() uint8 { return pointers[r.IntN(len(pointers))] }
	temp := func() uint8 { return []uint8{asm.T0, asm.A4, asm.A5, asm.S2}[r.IntN(4)] }
	for _, p := range pointers {
		a.I(riscv.ADDI, p, gp, int32(8*r.IntN(256))-1024)
	}
	if r.IntN(2) == 0 {
		a.R1(riscv.FMV_D_X, 18, asm.Zero)
	}
	special := []int64{0x7ff4 << 48, -0xb << 48, 0x7ff0<<48 | 1, 0x7ffc << 48, 0x7ff0 << 48, -0x10 << 48, -1 << 63, 1, 0x7fef << 48, 0x0010 << 48}
	for range r.IntN(5) {
		a.Li(asm.T0, special[r.IntN(len(special))])
		if r.IntN(2) == 0 {
			a.Store(riscv.SD, asm.T0, int32(8*r.IntN(20)), pointer())
		} else {
			a.R1(riscv.FMV_D_X, reg(), asm.T0)
		}
	}
	a.I(riscv.ADDI, asm.T1, asm.Zero, int32(1+r.IntN(60)))
	a.I(riscv.ADDI, asm.T0, asm.Zero, int32([]int{0, 1, 16, 31}[r.IntN(4)]))
	a.CSR(riscv.CSRRW, 0, riscv.CSRFflags, asm.T0)
	labels := 0
	label := func() string { labels++; return fmt.Sprint("l", labels) }
	arithmetic := func() {
		rm := uint8(dynamic)
		if r.IntN(20) == 0 {
			rm = uint8(r.IntN(5))
		}
		switch n := r.IntN(12); {
		case n < 6:
			op := []riscv.Op{riscv.FADD_D, riscv.FSUB_D, riscv.FMUL_D, riscv.FMUL_D, riscv.FDIV_D}[r.IntN(5)]
			a.F(op, reg(), reg(), reg(), rm)
		case n < 7:
			a.F(riscv.FSQRT_D, reg(), reg(), 0, rm)
		case n < 11:
			op := []riscv.Op{riscv.FMADD_D, riscv.FMSUB_D, riscv.FNMADD_D, riscv.FNMSUB_D}[r.IntN(4)]
			a.FMA(op, reg(), reg(), reg(), reg(), rm)
		default:
			a.R([]riscv.Op{riscv.FMIN_D, riscv.FMAX_D, riscv.FSGNJ_D, riscv.FSGNJN_D, riscv.FSGNJX_D}[r.IntN(5)], reg(), reg(), reg())
		}
	}
	item := func() {
		switch n := r.IntN(20); {
		case n < 8:
			arithmetic()
		case n < 11:
			a.Load(riscv.FLD, reg(), int32(8*r.IntN(8)), pointer())
		case n < 13:
			a.Store(riscv.FSD, reg(), int32(8*r.IntN(8)), pointer())
		case n < 15:
			p := pointer()
			a.I(riscv.ADDI, p, p, int32([]int{8, 8, 8, 24, 256, -8, 1024}[r.IntN(7)]))
		case n < 16:
			a.R([]riscv.Op{riscv.FLT_D, riscv.FLE_D, riscv.FEQ_D}[r.IntN(3)], temp(), reg(), reg())
		case n < 17:
			switch d := temp(); r.IntN(4) {
			case 0:
				a.R1(riscv.FMV_X_D, d, reg())
			case 1:
				a.R1(riscv.FMV_D_X, reg(), []uint8{asm.Zero, d}[r.IntN(2)])
			case 2:
				a.R1(riscv.FCLASS_D, d, reg())
			default:
				a.F(riscv.FCVT_L_D, d, reg(), 0, dynamic)
			}
		case n < 18:
			l := label()
			a.B([]riscv.Op{riscv.BEQ, riscv.BNE, riscv.BLT}[r.IntN(3)], temp(), []uint8{asm.Zero, temp()}[r.IntN(2)], l)
			arithmetic()
			a.Label(l)
		case n < 19:
			a.CSR(riscv.CSRRS, temp(), riscv.CSRFflags, 0)
		default:
			flags, result, l := temp(), temp(), label()
			a.CSR(riscv.CSRRS, flags, riscv.CSRFflags, 0)
			a.R([]riscv.Op{riscv.FLT_D, riscv.FLE_D}[r.IntN(2)], result, reg(), []uint8{18, reg()}[r.IntN(2)])
			a.CSR(riscv.CSRRW, 0, riscv.CSRFflags, flags)
			for range r.IntN(3) {
				arithmetic()
			}
			if r.IntN(2) == 0 {
				a.B(riscv.BNE, result, asm.Zero, l)
			}
			for range r.IntN(4) {
				arithmetic()
			}
			for range r.IntN(3) {
				a.Load(riscv.FLD, reg(), int32(8*r.IntN(8)), pointer())
			}
			if r.IntN(2) == 0 {
				a.Mv(flags, asm.T1)
			}
			a.Label(l)
		}
	}
	a.Label("turn")
	for range 2 + r.IntN(8) {
		item()
	}
	inner := r.IntN(2) == 0
	if inner {
		a.I(riscv.ADDI, asm.T2, asm.Zero, int32(1+r.IntN(4)))
		a.Label("inner")
		for range 2 + r.IntN(8) {
			item()
		}
		a.I(riscv.ADDI, asm.T2, asm.T2, -1)
		a.B(riscv.BNE, asm.T2, asm.Zero, "inner")
		for range r.IntN(4) {
			item()
		}
	}
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	return a.Bytes()
}

// integerLoop is the code of the other kind.
func integerLoop(r *rand.Rand) ([]byte, error) {
	const gp = 3
	a := asm.New(0)
	all := []uint8{asm.A0, asm.A1, asm.A2, asm.A3, asm.A4, asm.A5, asm.A6, asm.A7, asm.S1, asm.S2, asm.S3, asm.S4, asm.S5, asm.T3, asm.T4, asm.T5, asm.T6, asm.RA}
	set := all[:6+r.IntN(len(all)-6)]
	reg := func() uint8 { return set[r.IntN(len(set))] }
	source := func() uint8 {
		if r.IntN(12) == 0 {
			return asm.Zero
		}
		return reg()
	}
	for _, p := range []uint8{asm.S0, asm.T2} {
		a.I(riscv.ADDI, p, gp, int32(8*r.IntN(256))-1024)
	}
	a.I(riscv.ADDI, asm.T1, asm.Zero, int32(1+r.IntN(60)))
	for range r.IntN(6) {
		a.I(riscv.ADDIW, reg(), reg(), 0)
	}
	labels := 0
	short := func() { // what is worth doing in vain
		for range r.IntN(4) {
			op := []riscv.Op{riscv.ADDW, riscv.SUB, riscv.XOR, riscv.SLTU, riscv.SRLW, riscv.ADD}[r.IntN(6)]
			switch d := reg(); r.IntN(4) {
			case 0:
				a.Mv(d, reg())
			case 1:
				a.I([]riscv.Op{riscv.ADDI, riscv.ADDIW, riscv.ANDI, riscv.SLLIW, riscv.SRLI}[r.IntN(5)], d, source(), int32(r.IntN(32)))
			default:
				a.R(op, d, source(), source())
			}
		}
	}
	item := func() {
		switch n := r.IntN(24); {
		case n < 6:
			op := []riscv.Op{riscv.ADDW, riscv.SUBW, riscv.ADD, riscv.AND, riscv.OR, riscv.XOR, riscv.MULW, riscv.SUB, riscv.SLT, riscv.SLTU, riscv.SRLW, riscv.MULH, riscv.DIVUW}[r.IntN(13)]
			a.R(op, reg(), source(), source())
		case n < 9:
			x, d, e := source(), reg(), reg()
			k := int32(1 + r.IntN(31))
			a.I(riscv.SLLIW, d, x, k)
			a.I(riscv.SRLIW, e, x, 32-k)
			a.R([]riscv.Op{riscv.OR, riscv.XOR, riscv.ADDW}[r.IntN(3)], reg(), d, e)
		case n < 11:
			a.I([]riscv.Op{riscv.SLLIW, riscv.SRLIW, riscv.SRAIW, riscv.SLLI, riscv.SRLI, riscv.SRAI}[r.IntN(6)], reg(), reg(), int32(r.IntN(32)))
		case n < 13:
			x := reg()
			a.I(riscv.XORI, x, source(), -1)
			a.R(riscv.AND, reg(), x, source())
		case n < 15:
			a.I([]riscv.Op{riscv.ADDI, riscv.ADDIW, riscv.ANDI, riscv.XORI, riscv.SLTI}[r.IntN(5)], reg(), source(), int32(r.IntN(4096)-2048))
		case n < 18: // a rotation of some registers
			for range 1 + r.IntN(6) {
				if r.IntN(2) == 0 {
					a.Mv(reg(), reg())
				} else {
					a.I(riscv.ADDIW, reg(), reg(), 0)
				}
			}
		case n < 20:
			a.Load([]riscv.Op{riscv.LW, riscv.LWU, riscv.LD, riscv.LBU}[r.IntN(4)], reg(), int32(8*r.IntN(8)), []uint8{asm.S0, asm.T2}[r.IntN(2)])
		case n < 21:
			a.Store([]riscv.Op{riscv.SW, riscv.SD, riscv.SH}[r.IntN(3)], reg(), int32(8*r.IntN(8)), []uint8{asm.S0, asm.T2}[r.IntN(2)])
		case n < 22:
			p := []uint8{asm.S0, asm.T2}[r.IntN(2)]
			a.I(riscv.ADDI, p, p, int32([]int{4, 8, 64, -4, 1024}[r.IntN(5)]))
		default:
			labels++
			l := fmt.Sprint("l", labels)
			a.B([]riscv.Op{riscv.BEQ, riscv.BNE, riscv.BLT, riscv.BGEU}[r.IntN(4)], reg(), source(), l)
			short()
			switch r.IntN(4) {
			case 0: // either way
				labels++
				other := fmt.Sprint("l", labels)
				a.J(other)
				a.Label(l)
				short()
				a.Label(other)
			case 1: // in one place for two branches
				labels++
				other := fmt.Sprint("l", labels)
				a.B(riscv.BLTU, reg(), reg(), other)
				a.Label(l)
				short()
				a.Label(other)
			default:
				a.Label(l)
			}
		}
	}
	a.Label("turn")
	for range 3 + r.IntN(20) {
		item()
	}
	if r.IntN(3) == 0 {
		a.I(riscv.ADDI, asm.T0, asm.Zero, int32(1+r.IntN(4)))
		a.Label("inner")
		for range 2 + r.IntN(10) {
			item()
		}
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "inner")
		for range r.IntN(4) {
			item()
		}
	}
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	return a.Bytes()
}

// callLoop is the code of the third kind.
func callLoop(r *rand.Rand) ([]byte, error) {
	const (
		gp    = 3
		frame = 32
		deep  = asm.S11 // how much deeper calls may go
	)
	a := asm.New(0)
	set := []uint8{asm.A0, asm.A1, asm.A2, asm.A6, asm.S1, asm.S2, asm.S3, asm.T3, asm.T4}
	reg := func() uint8 { return set[r.IntN(len(set))] }
	floats := r.IntN(4) == 0
	labels := 0
	label := func() string { labels++; return fmt.Sprint("l", labels) }
	item := func() {
		switch n := r.IntN(12); {
		case n < 2 && floats:
			freg := func() uint8 { return []uint8{0, 8, 10, 18, 28}[r.IntN(5)] }
			switch r.IntN(6) {
			case 0:
				a.Load(riscv.FLD, freg(), int32(8*r.IntN(3)), asm.S0)
			case 1:
				a.CSR(riscv.CSRRS, reg(), riscv.CSRFflags, 0)
			case 2:
				a.R1(riscv.FMV_D_X, freg(), reg())
			default:
				a.F([]riscv.Op{riscv.FADD_D, riscv.FMUL_D, riscv.FSUB_D}[r.IntN(3)], freg(), freg(), freg(), 7)
			}
		case n < 5:
			a.R([]riscv.Op{riscv.ADDW, riscv.SUB, riscv.XOR, riscv.ADD, riscv.AND, riscv.MUL}[r.IntN(6)], reg(), reg(), reg())
		case n < 8:
			a.I([]riscv.Op{riscv.ADDI, riscv.ADDIW, riscv.ANDI, riscv.XORI}[r.IntN(4)], reg(), reg(), int32(r.IntN(4096)-2048))
		case n < 9:
			a.Mv(reg(), reg())
		case n < 10: // perhaps to what a frame has
			a.Store([]riscv.Op{riscv.SD, riscv.SD, riscv.SW, riscv.SB}[r.IntN(4)], reg(), int32([]int{0, 4, 8}[r.IntN(3)]), asm.S0)
		case n < 11:
			a.Load([]riscv.Op{riscv.LD, riscv.LD, riscv.LW}[r.IntN(3)], reg(), int32(8*r.IntN(3)), asm.S0)
		default:
			l := label()
			a.B([]riscv.Op{riscv.BEQ, riscv.BLT, riscv.BGEU}[r.IntN(3)], reg(), reg(), l)
			a.R(riscv.XOR, reg(), reg(), reg())
			a.Label(l)
		}
	}
	items := func(n int) {
		for range r.IntN(n) {
			item()
		}
	}
	// What is called may return one instruction late.
	call := func(f int) {
		a.Jal(asm.RA, fmt.Sprint("f", f))
		a.I(riscv.ADDI, reg(), reg(), int32(r.IntN(100)))
	}
	a.I(riscv.ADDI, asm.SP, gp, int32(8*r.IntN(64)))
	a.I(riscv.ADDI, asm.S0, asm.SP, -int32(frame*(1+r.IntN(5))))
	a.I(riscv.ADDI, asm.T1, asm.Zero, int32(1+r.IntN(30)))
	a.J("main")
	functions := 1 + r.IntN(4)
	endless := r.IntN(30) == 0 // they call one another for ever
	for f := range functions {
		a.Label(fmt.Sprint("f", f))
		if endless {
			items(6)
			call(r.IntN(functions))
		} else if r.IntN(3) == 0 || f == functions-1 && r.IntN(2) == 0 { // a leaf
			items(6)
		} else {
			out := label()
			a.I(riscv.ADDI, asm.SP, asm.SP, -frame)
			if r.IntN(2) == 0 {
				a.I(riscv.ADDI, deep, deep, -1)
				a.Store(riscv.SD, asm.RA, 24, asm.SP)
			} else {
				a.Store(riscv.SD, asm.RA, 24, asm.SP)
				a.I(riscv.ADDI, deep, deep, -1)
			}
			a.Store(riscv.SD, asm.S1, 8, asm.SP)
			a.Store(riscv.SW, asm.S2, 0, asm.SP)
			a.B(riscv.BLT, deep, asm.Zero, out)
			items(4)
			for range 1 + r.IntN(2) {
				call(f + r.IntN(functions-f))
				items(5)
			}
			a.Label(out)
			a.Load(riscv.LD, asm.S1, 8, asm.SP)
			a.Load(riscv.LW, asm.S2, 0, asm.SP)
			a.Load(riscv.LD, asm.RA, 24, asm.SP)
			a.I(riscv.ADDI, deep, deep, 1)
			a.I(riscv.ADDI, asm.SP, asm.SP, frame)
		}
		if r.IntN(4) == 0 {
			l := label()
			a.B(riscv.BLT, reg(), reg(), l)
			a.I(riscv.ADDI, asm.RA, asm.RA, 4)
			a.Label(l)
		}
		a.I(riscv.JALR, asm.Zero, asm.RA, 0)
	}
	a.Label("main")
	a.Label("turn")
	items(4)
	a.I(riscv.ADDI, deep, asm.Zero, int32(r.IntN(6)))
	for range 1 + r.IntN(2) {
		call(r.IntN(functions))
		items(4)
	}
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	code, err := a.Bytes()
	if err == nil && r.IntN(4) == 0 { // and what nobody would write: into the middle of instructions, say
		for range 1 + r.IntN(4) {
			binary.LittleEndian.PutUint16(code[2*r.IntN(len(code)/2):], uint16(r.Uint32()))
		}
	}
	return code, err
}

// cipherLoop is the code of the fourth kind.
func cipherLoop(r *rand.Rand) ([]byte, error) {
	const gp = 3
	a := asm.New(0)
	all := []uint8{asm.A0, asm.A1, asm.A2, asm.A3, asm.A4, asm.A5, asm.A6, asm.A7, asm.S1, asm.S2, asm.S3, asm.S4, asm.T3, asm.T4, asm.T5, asm.T6}
	set := all[:4+r.IntN(len(all)-4)]
	reg := func() uint8 { return set[r.IntN(len(set))] }
	a.Mv(asm.S0, gp)
	a.I(riscv.ADDI, asm.T1, asm.Zero, int32(1+r.IntN(12)))
	for range r.IntN(4) {
		a.I(riscv.ADDIW, reg(), reg(), 0)
	}
	mix := func() {
		switch n := r.IntN(8); {
		case n < 3:
			a.R([]riscv.Op{riscv.XOR, riscv.ADD, riscv.ADDW, riscv.AND, riscv.OR, riscv.SUB, riscv.SUBW}[r.IntN(7)], reg(), reg(), reg())
		case n < 5:
			a.I([]riscv.Op{riscv.SLLI, riscv.SRLI, riscv.SRAI, riscv.SLLIW, riscv.SRLIW, riscv.ANDI, riscv.ADDI, riscv.ADDIW, riscv.XORI}[r.IntN(9)], reg(), reg(), int32(r.IntN(32)))
		case n < 6:
			x, d, e := reg(), reg(), reg()
			a.I(riscv.SLLIW, d, x, 7)
			a.I(riscv.SRLIW, e, x, 25)
			a.R(riscv.OR, d, d, e)
		case n < 7:
			a.Mv(reg(), reg())
		default:
			a.Store([]riscv.Op{riscv.SW, riscv.SD, riscv.SB}[r.IntN(3)], reg(), int32(8*r.IntN(16)), asm.S0)
		}
	}
	look := func() {
		index, at := reg(), reg()
		if r.IntN(3) == 0 { // the low half, as an unsigned number
			a.I(riscv.SLLI, index, reg(), 32)
			a.I(riscv.SRLI, index, index, int32(52+r.IntN(12)))
		} else {
			a.I([]riscv.Op{riscv.SRLI, riscv.SLLI, riscv.SRLIW}[r.IntN(3)], index, reg(), int32(r.IntN(25)))
			a.I(riscv.ANDI, index, index, int32([]int{0x3f8, 0x7f8, 0x3fc, 0x7ff}[r.IntN(4)]))
		}
		if r.IntN(2) == 0 {
			mix()
		}
		if r.IntN(40) == 0 { // a wild one
			a.R(riscv.ADD, at, index, reg())
		} else if r.IntN(2) == 0 {
			a.R(riscv.ADD, at, asm.S0, index)
		} else {
			a.R(riscv.ADD, at, index, asm.S0)
		}
		a.Load([]riscv.Op{riscv.LWU, riscv.LW, riscv.LD, riscv.LBU}[r.IntN(4)], reg(), int32(4*r.IntN(8)), at)
	}
	sum := func() { // of some numbers, the parts of which are mostly of no further use
		d := reg()
		for range 2 + r.IntN(6) {
			if r.IntN(3) == 0 {
				mix()
			}
			a.R(riscv.ADDW, d, d, reg())
		}
	}
	a.Label("turn")
	for range 10 + r.IntN([]int{20, 60, 120}[r.IntN(3)]) {
		switch r.IntN(9) {
		case 0:
			sum()
		case 1, 2, 3, 4:
			look()
		default:
			mix()
		}
	}
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BEQ, asm.T1, asm.Zero, "end")
	a.J("turn")
	a.Label("end")
	return a.Bytes()
}

func TestLockStepCiphers(t *testing.T) { lockStepLoops(t, cipherLoop) }

// The same in regions that are straight lines, each of a part of the loop.
func TestLockStepStraightLines(t *testing.T) {
	for _, o := range regionSettings()[3:] {
		o.Region = jit.RegionOptions{Guest: 40, Straight: 70, Loops: true}
		made := &translators{t: t, o: o}
		lockStepSome(t, made.engine, cipherLoop)
		regions := uint64(0)
		for _, m := range made.made {
			regions += m.Stats().Regions
		}
		if regions < uint64(programs()/20) {
			t.Errorf("%d regions of straight lines", regions)
		}
	}
}

func TestLockStepFloatLoops(t *testing.T) { lockStepLoops(t, floatLoop) }

func TestLockStepIntegerLoops(t *testing.T) { lockStepLoops(t, integerLoop) }

// Two streams of instructions share a call; the first of them is behind a call that finds no room in the region, and goes.
func TestCalleeOfACallThatIsShared(t *testing.T) {
	a := asm.New(0)
	a.I(riscv.ADDI, asm.T1, asm.Zero, 30)
	a.Label("turn")
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BEQ, asm.T1, asm.Zero, "end")
	a.B(riscv.BNE, asm.T1, asm.Zero, "middle")
	a.Call("big")
	a.Half(0x06b7) // lui a3, of which the second half is c.addi a2, 1
	a.Label("middle")
	a.Half(0x0605)
	a.Call("small")
	a.J("turn")
	a.Label("small")
	a.I(riscv.ADDI, asm.A4, asm.A4, 1)
	a.Ret()
	a.Label("big")
	for range 15 {
		a.I(riscv.ADDI, asm.A5, asm.A5, 1)
	}
	a.Ret()
	a.Label("end")
	a.I(riscv.ADDI, asm.A5, asm.A5, 1)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	lockStepCode(t, newEngine(t, regionSettings()[2]), code, 10)
}

// A number of which only the low half is kept, in a slot of its own, is a variable at the end of a turn that only states have, of which more is
// known nowhere: the way back has to extend it where it is.
func TestLockStepHalvesInSlots(t *testing.T) {
	a := asm.New(0)
	a.I(riscv.ADDI, asm.S0, asm.GP, 648)
	a.I(riscv.ADDI, asm.T1, asm.Zero, 37)
	a.Mv(asm.A1, asm.T0) // a pointer: bit 31 is set, and none above
	a.Mv(asm.A2, asm.T0)
	a.Label("turn")
	a.Load(riscv.LBU, asm.S2, 48, asm.S0)
	a.R(riscv.SUBW, asm.A1, asm.A6, asm.S1)
	a.R(riscv.ADDW, asm.S5, asm.S2, asm.A4)
	a.I(riscv.XORI, asm.S3, asm.S5, -1)
	a.R(riscv.AND, asm.A0, asm.S3, asm.A3)
	a.I(riscv.ADDIW, asm.A3, asm.A0, 0)
	a.Mv(asm.A0, asm.A4)
	a.R(riscv.OR, asm.S5, asm.S1, asm.S2)
	a.Load(riscv.LBU, asm.A3, 40, asm.S0)
	a.I(riscv.SLTI, asm.A4, asm.A6, 938)
	a.Store(riscv.SW, asm.S4, 40, asm.S0)
	a.Store(riscv.SW, asm.A7, 8, asm.S0)
	a.R(riscv.ADDW, asm.S2, asm.A0, asm.S3)
	a.I(riscv.XORI, asm.A4, asm.S3, -1)
	a.R(riscv.AND, asm.A2, asm.A4, asm.S2)
	a.I(riscv.SLLIW, asm.A4, asm.A0, 26)
	a.I(riscv.SRLIW, asm.A7, asm.A0, 6)
	a.R(riscv.OR, asm.A4, asm.A4, asm.A7)
	a.R(riscv.SLT, asm.S1, asm.A2, asm.A3)
	a.B(riscv.BEQ, asm.S2, asm.Zero, "one")
	a.I(riscv.SLLIW, asm.A6, asm.S3, 24)
	a.R(riscv.SUB, asm.A6, asm.Zero, asm.S3)
	a.Label("one")
	a.R(riscv.SLTU, asm.A1, asm.A2, asm.A2)
	a.B(riscv.BNE, asm.S3, asm.A1, "two")
	a.I(riscv.ANDI, asm.A7, asm.A5, 17)
	a.R(riscv.SRLW, asm.S1, asm.A5, asm.A7)
	a.Label("two")
	a.I(riscv.ADDIW, asm.A0, asm.S4, 0)
	a.Mv(asm.A3, asm.A7)
	a.I(riscv.ADDIW, asm.S2, asm.A5, 0)
	a.I(riscv.ADDIW, asm.S4, asm.A6, 0)
	a.I(riscv.ADDIW, asm.A1, asm.A2, 0)
	a.Mv(asm.A7, asm.S1)
	a.I(riscv.XORI, asm.A5, asm.S1, 562)
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "turn")
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range regionSettings()[3:5] {
		lockStepCode(t, newEngine(t, o), code, 100)
	}
}

func TestLockStepCalls(t *testing.T) { lockStepLoops(t, callLoop) }

// lockStepCode runs the same code from several states.
func lockStepCode(t *testing.T, engine func(*hart.Hart) lockstep.Engine, code []byte, seeds uint64) {
	r := &lockstep.Runner{New: engine, Steps: steps(), MemoryEvery: *stepFlag}
	defer r.Close()
	for seed := range seeds {
		p, err := lockstep.Bytes(seed, code)
		if err == nil {
			err = r.Run(p)
		}
		if err != nil {
			t.Fatalf("state of seed %d: %v", seed, err)
		}
	}
}

func lockStepLoops(t *testing.T, loop func(*rand.Rand) ([]byte, error)) {
	settings := regionSettings()
	for _, o := range settings[3:] { // whole loops
		t.Run(fmt.Sprintf("without %v", o.Without), func(t *testing.T) { lockStepSome(t, newEngine(t, o), loop) })
	}
}

// lockStepSome runs some loops of a kind.
func lockStepSome(t *testing.T, engine func(*hart.Hart) lockstep.Engine, loop func(*rand.Rand) ([]byte, error)) {
	seed := firstSeed(t)
	r := &lockstep.Runner{New: engine, Steps: steps(), MemoryEvery: *stepFlag}
	defer r.Close()
	for i := range uint64(programs() / 20) {
		code, err := loop(rand.New(rand.NewPCG(seed+i, 0xf10a7)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := lockstep.Bytes(seed+i, code)
		if err == nil {
			err = r.Run(p)
		}
		if err != nil {
			t.Fatalf("loop of seed %d: %v", seed+i, err)
		}
	}
	t.Logf("%d programs: %d ended, %d stuck; %d instructions", r.Stats.Programs, r.Stats.Ended, r.Stats.Stuck, r.Stats.Instructions)
}
