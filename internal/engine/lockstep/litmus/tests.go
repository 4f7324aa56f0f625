package litmus

// The tests, with the names that the literature on memory models gives them.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

type body = func(a *asm.Assembler, label func(string) string)

// Sets of FENCE.
const (
	r  = 2
	w  = 1
	rw = 3
)

// A step is a part of a body.
type step func(a *asm.Assembler, label func(string) string)

func steps(s ...step) body {
	return func(a *asm.Assembler, label func(string) string) {
		for _, f := range s {
			f(a, label)
		}
	}
}

// store stores a constant.
func store(at int32, v int64) step {
	return func(a *asm.Assembler, _ func(string) string) {
		a.Li(asm.T0, v)
		a.Store(riscv.SD, asm.T0, at, Cell)
	}
}

func load(rd uint8, at int32) step {
	return func(a *asm.Assembler, _ func(string) string) { a.Load(riscv.LD, rd, at, Cell) }
}

func fence(pred, succ uint8) step {
	return func(a *asm.Assembler, _ func(string) string) { a.Fence(pred, succ) }
}

func fenceI(a *asm.Assembler, _ func(string) string) { a.Emit(riscv.Inst{Op: riscv.FENCE_I}) }

// loadAfter loads from an address that depends on register dep.
func loadAfter(rd uint8, at int32, dep uint8) step {
	return func(a *asm.Assembler, _ func(string) string) {
		a.R(riscv.XOR, asm.T0, dep, dep)
		a.R(riscv.ADD, asm.T0, asm.T0, Cell)
		a.Load(riscv.LD, rd, at, asm.T0)
	}
}

// storeAfter stores a value that depends on register dep.
func storeAfter(at int32, v int32, dep uint8) step {
	return func(a *asm.Assembler, _ func(string) string) {
		a.R(riscv.XOR, asm.T0, dep, dep)
		a.I(riscv.ADDI, asm.T0, asm.T0, v)
		a.Store(riscv.SD, asm.T0, at, Cell)
	}
}

// amo is an AMO, LR or SC at a location with a constant as its source.
func amo(op riscv.Op, rd uint8, at int32, v int64, order uint8) step {
	return func(a *asm.Assembler, _ func(string) string) {
		a.I(riscv.ADDI, asm.T1, Cell, at)
		src := uint8(0)
		if op != riscv.LR_D && op != riscv.LR_W {
			a.Li(asm.T0, v)
			src = asm.T0
		}
		a.AMO(op, rd, src, asm.T1, order)
	}
}

// Adding one to X atomically, three ways; A0 is what was there.

func addLRSC(a *asm.Assembler, label func(string) string) {
	a.Label(label("retry"))
	a.AMO(riscv.LR_D, asm.A0, 0, Cell, asm.Relaxed)
	a.I(riscv.ADDI, asm.T0, asm.A0, 1)
	a.AMO(riscv.SC_D, asm.T1, asm.T0, Cell, asm.Relaxed)
	a.B(riscv.BNE, asm.T1, asm.Zero, label("retry"))
}

func addLRSCWord(a *asm.Assembler, label func(string) string) {
	a.Label(label("retry"))
	a.AMO(riscv.LR_W, asm.A0, 0, Cell, asm.AQ)
	a.I(riscv.ADDI, asm.T0, asm.A0, 1)
	a.AMO(riscv.SC_W, asm.T1, asm.T0, Cell, asm.RL)
	a.B(riscv.BNE, asm.T1, asm.Zero, label("retry"))
}

func addCAS(a *asm.Assembler, label func(string) string) {
	a.Load(riscv.LD, asm.A0, 0, Cell)
	a.Label(label("retry"))
	a.Mv(asm.T0, asm.A0)
	a.I(riscv.ADDI, asm.T1, asm.A0, 1)
	a.AMO(riscv.AMOCAS_D, asm.A0, asm.T1, Cell, asm.Relaxed)
	a.B(riscv.BNE, asm.A0, asm.T0, label("retry"))
}

// addCAS16 adds one to X and to the word after it, which it reads in two parts that need not belong together.
func addCAS16(a *asm.Assembler, label func(string) string) {
	a.Load(riscv.LD, asm.T3, 0, Cell)
	a.Load(riscv.LD, asm.T4, 8, Cell)
	a.Label(label("retry"))
	a.Mv(asm.T0, asm.T3)
	a.Mv(asm.T5, asm.T4)
	a.I(riscv.ADDI, asm.A0, asm.T3, 1)
	a.I(riscv.ADDI, asm.A1, asm.T4, 1)
	a.AMO(riscv.AMOCAS_Q, asm.T3, asm.A0, Cell, asm.Relaxed)
	a.B(riscv.BNE, asm.T3, asm.T0, label("retry"))
	a.B(riscv.BNE, asm.T4, asm.T5, label("retry"))
	a.Mv(asm.A0, asm.T3)
	a.R(riscv.SUB, asm.A1, asm.T3, asm.T4) // the two halves change together
}

var addAMO = steps(amo(riscv.AMOADD_D, asm.A0, X, 1, asm.Relaxed))

// lostCount says that n harts that each added one to X did not: X is not n, or two found the same value.
func lostCount(n int) func(o *Outcome) bool {
	return func(o *Outcome) bool {
		var seen []uint64
		for _, regs := range o.Regs[:n] {
			seen = append(seen, regs[0])
			if regs[1] != 0 {
				return true
			}
		}
		slices.Sort(seen)
		for i, v := range seen {
			if v != uint64(i) {
				return true
			}
		}
		return o.Final[0] != uint64(n)
	}
}

// times is n harts that do the same.
func times(n int, b body) []body { return slices.Repeat([]body{b}, n) }

// Code that is published: a function that returns 1, overwritten by one that returns 2.

const (
	returnsOne = 0x0010_0593 // addi a1, zero, 1
	returnsTwo = 0x0020_0593
	ret        = 0x0000_8067
)

var publisher = steps(
	func(a *asm.Assembler, _ func(string) string) {
		a.Li(asm.T0, returnsTwo)
		a.Store(riscv.SW, asm.T0, Code, Cell)
	},
	fence(w, w), store(X, 1))

func callCode(a *asm.Assembler, _ func(string) string) { a.I(riscv.JALR, asm.RA, Cell, Code) }

// subscriber sees the flag, then executes the code.
var subscriber = steps(load(asm.A0, X), fence(r, r), fenceI, callCode)

// staleCode says that a hart saw the flag and, after a FENCE.I, executed the old code; or executed something else altogether.
func staleCode(readers ...int) func(o *Outcome) bool {
	return func(o *Outcome) bool {
		for _, i := range readers {
			if flag, got := o.Regs[i][0], o.Regs[i][1]; got != 2 && (got != 1 || flag == 1) {
				return true
			}
		}
		return false
	}
}

// saw says that hart i observed these.
func (o *Outcome) saw(i int, a0, a1 uint64) bool { return o.Regs[i] == [2]uint64{a0, a1} }

// Tests are all there are.
var Tests = []Test{
	{Name: "MP", Bodies: []body{
		steps(store(X, 1), store(Y, 1)),
		steps(load(asm.A0, Y), load(asm.A1, X)),
	}},
	{Name: "MP+fence.w.w+fence.r.r", Bodies: []body{
		steps(store(X, 1), fence(w, w), store(Y, 1)),
		steps(load(asm.A0, Y), fence(r, r), load(asm.A1, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(1, 1, 0) }},
	{Name: "MP+fence.w.w+addr", Bodies: []body{
		steps(store(X, 1), fence(w, w), store(Y, 1)),
		steps(load(asm.A0, Y), loadAfter(asm.A1, X, asm.A0)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(1, 1, 0) }},
	{Name: "MP+amoswap.rl+lr.aq", Bodies: []body{
		steps(store(X, 1), amo(riscv.AMOSWAP_D, 0, Y, 1, asm.RL)),
		steps(amo(riscv.LR_D, asm.A0, Y, 0, asm.AQ), load(asm.A1, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(1, 1, 0) }},
	{Name: "SB", Bodies: []body{
		steps(store(X, 1), load(asm.A0, Y)),
		steps(store(Y, 1), load(asm.A0, X)),
	}},
	{Name: "SB+fence.rw.rws", Bodies: []body{
		steps(store(X, 1), fence(rw, rw), load(asm.A0, Y)),
		steps(store(Y, 1), fence(rw, rw), load(asm.A0, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(0, 0, 0) && o.saw(1, 0, 0) }},
	{Name: "SB+amoswap.aqs", Bodies: []body{
		steps(amo(riscv.AMOSWAP_D, 0, X, 1, asm.AQ), load(asm.A0, Y)),
		steps(amo(riscv.AMOSWAP_D, 0, Y, 1, asm.AQ), load(asm.A0, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(0, 0, 0) && o.saw(1, 0, 0) }},
	{Name: "LB+datas", Bodies: []body{
		steps(load(asm.A0, X), storeAfter(Y, 1, asm.A0)),
		steps(load(asm.A0, Y), storeAfter(X, 1, asm.A0)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(0, 1, 0) && o.saw(1, 1, 0) }},
	{Name: "CoRR", Bodies: []body{
		steps(store(X, 1)),
		steps(load(asm.A0, X), load(asm.A1, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(1, 1, 0) }},
	{Name: "S+fence.w.w+data", Bodies: []body{
		steps(store(X, 2), fence(w, w), store(Y, 1)),
		steps(load(asm.A0, Y), storeAfter(X, 1, asm.A0)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(1, 1, 0) && o.Final[0] == 2 }},
	{Name: "2+2W+fence.w.ws", Bodies: []body{
		steps(store(X, 1), fence(w, w), store(Y, 2)),
		steps(store(Y, 1), fence(w, w), store(X, 2)),
	}, Forbidden: func(o *Outcome) bool { return o.Final[0] == 1 && o.Final[1] == 1 }},
	{Name: "IRIW+fence.r.rs", Bodies: []body{
		steps(store(X, 1)),
		steps(store(Y, 1)),
		steps(load(asm.A0, X), fence(r, r), load(asm.A1, Y)),
		steps(load(asm.A0, Y), fence(r, r), load(asm.A1, X)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(2, 1, 0) && o.saw(3, 1, 0) }},
	{Name: "WRC+data+fence.r.r, twice", Bodies: []body{
		steps(store(X, 1)),
		steps(load(asm.A0, X), storeAfterNonzero(Y, asm.A0)),
		steps(load(asm.A0, Y), fence(r, r), load(asm.A1, X)),
		steps(load(asm.A0, Y), loadAfter(asm.A1, X, asm.A0)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(2, 1, 0) || o.saw(3, 1, 0) }},

	{Name: "LR/SC against a store", Bodies: []body{
		steps(amo(riscv.LR_D, asm.A0, X, 0, asm.Relaxed), amo(riscv.SC_D, asm.A1, X, 10, asm.Relaxed)),
		steps(store(X, 1)),
	}, Forbidden: func(o *Outcome) bool { return o.saw(0, 0, 0) && o.Final[0] == 10 }},
	{Name: "count by LR/SC, 2 harts", Bodies: times(2, addLRSC), Forbidden: lostCount(2)},
	{Name: "count by LR/SC, 4 harts", Bodies: times(4, addLRSC), Forbidden: lostCount(4)},
	{Name: "count by LR/SC of words, 2 harts", Bodies: times(2, addLRSCWord), Forbidden: lostCount(2)},
	{Name: "count by AMO, 4 harts", Bodies: times(4, addAMO), Forbidden: lostCount(4)},
	{Name: "count by AMOCAS, 4 harts", Bodies: times(4, addCAS), Forbidden: lostCount(4)},
	{Name: "count by AMOCAS.Q, 2 harts", Bodies: times(2, addCAS16), Forbidden: lostCount(2)},
	{Name: "count in every way, 4 harts", Bodies: []body{addLRSC, addAMO, addCAS, addLRSC}, Forbidden: lostCount(4)},

	{Name: "code published, 2 harts", Init: []uint32{returnsOne, ret}, Bodies: []body{publisher, subscriber},
		Forbidden: staleCode(1)},
	{Name: "code published, 4 harts", Init: []uint32{returnsOne, ret},
		Bodies: []body{publisher, subscriber, subscriber, subscriber}, Forbidden: staleCode(1, 2, 3)},
	// Without a FENCE.I either the old or the new instruction is executed, and nothing else.
	{Name: "code overwritten", Init: []uint32{returnsOne, ret}, Bodies: []body{publisher, callCode},
		Forbidden: staleCode(1)},
}

// storeAfterNonzero stores the value of register src, which is 0 or 1: nothing can be seen of it unless src was.
func storeAfterNonzero(at int32, src uint8) step {
	return func(a *asm.Assembler, _ func(string) string) { a.Store(riscv.SD, src, at, Cell) }
}
