package optimize

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// run executes instructions that Rotate may change or make, up to the first other one, and returns how many.
func run(t *testing.T, insts []ir.Inst, x *[ir.NumInt]uint64) int {
	t.Helper()
	for n := range insts {
		in := &insts[n]
		b := uint64(in.Imm)
		if !in.Has(ir.UseImm) && in.B != ir.None {
			b = x[in.B]
		}
		if in.Op == ir.Nop {
			continue
		}
		a, v := x[in.A], uint64(0)
		switch word := in.Width == ir.W32; {
		case in.Op == ir.Or:
			v = a | b
		case in.Op == ir.Xor:
			v = a ^ b
		case in.Op == ir.Shl && word:
			v = uint64(int64(int32(a << b)))
		case in.Op == ir.Shl:
			v = a << b
		case in.Op == ir.Shr && word:
			v = uint64(int64(int32(uint32(a) >> b)))
		case in.Op == ir.Shr:
			v = a >> b
		case in.Op == ir.RotR && word:
			v = uint64(int64(int32(bits.RotateLeft32(uint32(a), -int(b)))))
		case in.Op == ir.RotR:
			v = bits.RotateLeft64(a, -int(b))
		default:
			return n
		}
		x[in.Dst] = v
	}
	return len(insts)
}

// Whatever Rotate does, each place where a block may be left finds the registers as they were.
func TestRotateKeepsState(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	rotations, gone := 0, 0
	for range 20000 {
		const registers = 4 // few: they meet
		reg := func() ir.Var { return ir.X(uint8(1 + r.IntN(registers))) }
		var insts []ir.Inst
		n := int64(1 + r.IntN(31))
		width := []ir.Width{ir.W32, ir.W64}[r.IntN(2)]
		for range 4 + r.IntN(12) {
			in := ir.Inst{Op: []ir.Op{ir.Shl, ir.Shr, ir.Shl, ir.Shr, ir.Or, ir.Or, ir.Xor, ir.Load}[r.IntN(8)], Width: ir.W64, Dst: reg(), A: reg(), B: reg(), C: ir.None}
			if in.Op == ir.Load && r.IntN(2) == 0 {
				in.Op = ir.Or
			}
			if in.Op == ir.Shl || in.Op == ir.Shr {
				in.Width, in.Flags, in.B, in.Imm = width, ir.UseImm, ir.None, n
				if in.Op == ir.Shl {
					in.Imm = 8*width.Bytes() - n
				}
			}
			insts = append(insts, in)
			if m := len(insts); m >= 2 && r.IntN(2) == 0 && insts[m-1].Imm != insts[m-2].Imm { // an end of a rotation, perhaps
				insts[m-1].A = insts[m-2].A
				insts = append(insts, ir.Inst{Op: ir.Or, Width: ir.W64, Dst: insts[m-1-r.IntN(2)].Dst, A: insts[m-1].Dst, B: insts[m-2].Dst, C: ir.None})
			}
		}
		after := slices.Clone(insts)
		Rotate(after)
		var x, y [ir.NumInt]uint64
		for i := range uint8(registers) {
			x[ir.X(i+1)] = r.Uint64()
		}
		y = x
		for from := 0; ; {
			k, l := run(t, insts[from:], &x), run(t, after[from:], &y)
			if x != y || k != l {
				t.Fatalf("%v\nbecame\n%v\nafter %d and %d: %x, not %x", insts, after, from+k, from+l, y, x)
			}
			if from += k + 1; from >= len(insts) {
				break
			}
		}
		for i := range after {
			if after[i].Op == ir.RotR {
				rotations++
			}
			if after[i].Op == ir.Nop {
				gone++
			}
		}
	}
	if rotations < 500 || gone < 500 {
		t.Errorf("%d rotations were found, and %d instructions went: the programs miss something", rotations, gone)
	}
}

func TestRotate(t *testing.T) {
	const a, b, c = ir.Var(1), ir.Var(2), ir.Var(3)
	shift := func(op ir.Op, dst, of ir.Var, w ir.Width, n int64) ir.Inst {
		return ir.Inst{Op: op, Width: w, Flags: ir.UseImm, Dst: dst, A: of, B: ir.None, C: ir.None, Imm: n}
	}
	or := func(dst, x, y ir.Var) ir.Inst {
		return ir.Inst{Op: ir.Or, Width: ir.W64, Dst: dst, A: x, B: y, C: ir.None}
	}
	again := ir.Inst{Op: ir.Const, Dst: c, A: ir.None, B: ir.None, C: ir.None}
	load := ir.Inst{Op: ir.Load, Width: ir.W64, Dst: c, A: a, B: ir.None, C: ir.None}
	for name, test := range map[string]struct {
		insts []ir.Inst
		want  []ir.Op
	}{
		"of 32 bits":       {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), shift(ir.Shl, b, a, ir.W32, 25), or(b, b, c), again}, []ir.Op{ir.Nop, ir.Nop, ir.RotR, ir.Const}},
		"of 64 bits":       {[]ir.Inst{shift(ir.Shl, c, a, ir.W64, 1), shift(ir.Shr, b, a, ir.W64, 63), or(b, c, b), again}, []ir.Op{ir.Nop, ir.Nop, ir.RotR, ir.Const}},
		"in place":         {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), shift(ir.Shl, a, a, ir.W32, 25), or(a, a, c), again}, []ir.Op{ir.Nop, ir.Nop, ir.RotR, ir.Const}},
		"a shift is read":  {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), shift(ir.Shl, b, a, ir.W32, 25), or(b, b, c), load}, []ir.Op{ir.Shr, ir.Nop, ir.RotR, ir.Load}},
		"no rotation":      {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), shift(ir.Shl, b, a, ir.W32, 24), or(b, b, c), again}, []ir.Op{ir.Shr, ir.Shl, ir.Or, ir.Const}},
		"another register": {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), shift(ir.Shl, b, b, ir.W32, 25), or(b, b, c), again}, []ir.Op{ir.Shr, ir.Shl, ir.Or, ir.Const}},
		"a place to leave": {[]ir.Inst{shift(ir.Shr, c, a, ir.W32, 7), load, shift(ir.Shl, b, a, ir.W32, 25), or(b, b, c), again}, []ir.Op{ir.Shr, ir.Load, ir.Shl, ir.Or, ir.Const}},
	} {
		t.Run(name, func(t *testing.T) {
			Rotate(test.insts)
			for i, in := range test.insts {
				if in.Op != test.want[i] {
					t.Errorf("instruction %d is %v", i, in)
				}
			}
		})
	}
}
