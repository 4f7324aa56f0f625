package opt

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// A sum of four numbers, of which the first has just been computed from what goes around the loop: it is added last, by whatever the sum is made of.
func TestSumsBeginWithWhatIsThere(t *testing.T) {
	sum := func(add riscv.Op, shared bool) []*Value {
		r := region(t, 12, func(a *asm.Assembler) {
			a.Label("turn")
			a.Load(riscv.LW, asm.A1, 0, asm.S0)
			a.R(riscv.XOR, asm.A2, asm.A0, asm.T0)
			a.R(riscv.AND, asm.A2, asm.A2, asm.T1)
			a.R(add, asm.A0, asm.A2, asm.A1)
			if shared {
				a.R(riscv.XOR, asm.A3, asm.A3, asm.A0)
			}
			a.R(add, asm.A0, asm.A0, asm.T2)
			a.R(add, asm.A0, asm.A0, asm.T3)
			a.I(riscv.ADDI, asm.S0, asm.S0, 4)
			a.B(riscv.BNE, asm.S0, asm.S1, "turn")
			a.Op(riscv.EBREAK)
		})
		return slices.DeleteFunc(slices.Clone(r.Head.Values), func(v *Value) bool { return v.Op != ir.Add || v.Has(ir.UseImm) })
	}
	isDeep := func(v *Value) bool {
		return slices.ContainsFunc(v.Arg[:2], func(a *Value) bool { return a.Op == ir.And })
	}
	for _, c := range []struct {
		name   string
		op     riscv.Op
		shared bool
		deep   int // which addition has the number that comes last
	}{
		{"of 32 bits", riscv.ADDW, false, 2},
		{"with a part that something else wants", riscv.ADDW, true, 0},
		{"of 64 bits", riscv.ADD, false, 0},
	} {
		if adds := sum(c.op, c.shared); len(adds) != 3 || !isDeep(adds[c.deep]) {
			t.Errorf("%s: %v", c.name, adds)
		}
	}
}

// sumLoop is a loop that mostly adds, with all that sums may not pass or take along.
func sumLoop(rng *rand.Rand) func(a *asm.Assembler) {
	return func(a *asm.Assembler) {
		reg := func() uint8 { return uint8(5 + rng.IntN(3) + []int{0, 5, 23}[rng.IntN(3)]) }
		a.Label("turn")
		for range 10 + rng.IntN(60) {
			switch rng.IntN(12) {
			case 0:
				a.Load(riscv.LW, reg(), int32(rng.IntN(16)*4), asm.S0)
			case 1:
				a.Store(riscv.SW, reg(), int32(rng.IntN(16)*4), asm.S0)
			case 2:
				a.R([]riscv.Op{riscv.XOR, riscv.AND}[rng.IntN(2)], reg(), reg(), reg())
			case 3:
				a.R([]riscv.Op{riscv.ADD, riscv.SUBW, riscv.SLTU, riscv.MULW}[rng.IntN(4)], reg(), reg(), reg())
			case 4:
				a.B(riscv.BEQ, reg(), reg(), "end")
			default:
				d := reg()
				a.R(riscv.ADDW, d, d, reg())
			}
		}
		a.I(riscv.ADDI, asm.S0, asm.S0, 4)
		a.B(riscv.BNE, asm.S0, asm.S1, "turn")
		a.Label("end")
		a.Op(riscv.EBREAK)
	}
}

// evaluate computes each block's values from arbitrary ones of other blocks and of what is no sum, and fails where one is used before it is there.
func evaluate(t *testing.T, r *Region) map[*Value]uint64 {
	t.Helper()
	mix := func(x, y uint64) uint64 {
		x = (x ^ y ^ x>>31) * 0x9e3779b97f4a7c15
		return x ^ x>>29
	}
	is := map[*Value]uint64{}
	for _, b := range r.Blocks {
		there := map[*Value]bool{}
		for _, v := range b.Values {
			var args [3]uint64
			for i, a := range v.Arg {
				switch {
				case a == nil:
				case a.Kind == Computed && a.Block == b && !a.IsConst() && !there[a]:
					t.Fatalf("%v is used before it is there", a)
				case there[a]:
					args[i] = is[a]
				default:
					args[i] = mix(uint64(a.id), 1)
				}
			}
			if there[v] = true; v.sums() {
				is[v] = uint64(int64(int32(args[0] + args[1])))
			} else if is[v] = mix(uint64(v.Op), uint64(v.Imm)); v.Kind == Computed {
				for _, a := range args {
					is[v] = mix(is[v], a)
				}
			}
		}
	}
	return is
}

// What a state, a phi, another block or an instruction that is no sum wants is what it was, and all is there by the time it is used.
func TestSumsAreTheSame(t *testing.T) {
	changed := 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := Find(&Source{Bytes: page(t, sumLoop(rng)), Max: 100, Loops: true, Turns: 1 + rng.IntN(3), Mirrored: seed%2 == 0})
		if r == nil {
			continue
		}
		r.Build(func(v ir.Var) bool { return false })
		r.Simplify()
		r.MergePhis()
		if r.mirrored {
			r.Reach()
		} else {
			r.Share()
		}
		r.Sink()
		u, was := r.uses(), evaluate(t, r)
		args := map[*Value][3]*Value{}
		for _, b := range r.Blocks {
			for _, v := range b.Values {
				args[v] = v.Arg
			}
		}
		r.Associate()
		for v, is := range evaluate(t, r) {
			if is != was[v] && (!v.sums() || u.fixed[v] || u.times[v] != 1) {
				t.Fatalf("seed %d: %v is another", seed, v)
			}
			if v.Arg != args[v] {
				changed++
			}
		}
		r.Narrow()
		r.Order()
		evaluate(t, r)
	}
	if changed < 1000 {
		t.Errorf("%d instructions have other operands: too few to say anything", changed)
	}
}
