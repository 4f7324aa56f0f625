package jit_test

// Loops that look for something, beside the interpreter: of 32-bit numbers mostly, with every condition and in both directions, over runs of equal elements and over noise, from one page
// to the next, which may not be there. They are in another loop mostly, which writes to what is looked at.

import (
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	host "github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// A loop that is entered in its middle, from where the region is not left: what the guest has there, and nothing wants, is shown all the same.
func TestLockStepSearchFromTheMiddle(t *testing.T) {
	a := asm.New(0)
	a.I(riscv.ADDI, asm.T1, asm.Zero, 40)
	a.Li(asm.A1, -1)
	a.Li(asm.A3, 1000)
	a.Label("outer")
	a.I(riscv.ADDI, asm.A3, asm.A3, 7)
	a.Li(asm.A0, 0x4000_0000+464*memory.PageSize-24)
	a.J("middle")
	a.Label("turn")
	a.I(riscv.ADDI, asm.A0, asm.A0, 4)
	a.Label("middle")
	a.I(riscv.ADDI, asm.A5, asm.A5, 1)
	a.I(riscv.ADDI, asm.A2, asm.A3, 1)
	a.Load(riscv.LW, asm.A4, 0, asm.A0)
	a.B(riscv.BLTU, asm.A4, asm.A1, "turn")
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "outer")
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range regionSettings()[3:6] {
		lockStepCode(t, newEngine(t, o), code, 20)
	}
}

// searchLoop is the code of such a loop.
func searchLoop(r *rand.Rand) ([]byte, error) {
	const window = 0x4000_0000 // of package lockstep
	a := asm.New(0)
	one := func(list ...uint8) uint8 { return list[r.IntN(len(list))] }
	p, q, element, other := one(asm.S0, asm.A0, asm.T2), uint8(asm.S3), one(asm.A4, asm.A5, asm.T3, asm.Zero), one(asm.A6, asm.A2, asm.S2, asm.Zero)
	far := uint8(asm.S10)
	counter, turns, copied := one(asm.A1, asm.S4), uint8(asm.T1), one(asm.A3, asm.S5)
	width, load := 2, riscv.LW
	if r.IntN(5) == 0 {
		width = r.IntN(4)
		load = []riscv.Op{riscv.LBU, riscv.LH, riscv.LWU, riscv.LD}[width]
	}
	size := int32(1) << width
	step := size
	if r.IntN(2) == 0 {
		step = -size
	}
	if r.IntN(12) == 0 {
		step *= int32(1 + r.IntN(3))
	}
	// Where it begins: in the data, near the end of a page or of what is mapped.
	start := func() {
		switch r.IntN(4) {
		case 0:
			a.I(riscv.ADDI, p, asm.GP, int32(r.IntN(2000))-1000)
		case 1:
			a.Li(p, window+(448+int64(r.IntN(16)))*memory.PageSize+int64(r.IntN(64))-32)
		case 2:
			a.Li(p, window+(320+4*int64(r.IntN(12)))*memory.PageSize+int64(r.IntN(2*memory.PageSize)))
		default:
			a.Li(p, window+448*memory.PageSize+int64(r.IntN(16*memory.PageSize)))
		}
		if r.IntN(2) == 0 {
			a.I(riscv.ANDI, p, p, -size)
		}
	}
	value := int64(r.Uint64())
	switch r.IntN(4) {
	case 0:
		value = 0
	case 1:
		value = int64(int8(value))
	}
	spread := value
	for n := 8 * size; n < 64; n *= 2 {
		spread = spread&(1<<n-1) | spread<<n
	}
	if other != asm.Zero {
		switch r.IntN(4) {
		case 0:
			a.Li(other, value)
		case 1:
			a.Li(other, []int64{int64(int32(value)), int64(uint32(value)), value&0xffff_ffff | 1<<35}[r.IntN(3)])
		case 2:
			a.I(riscv.ADDI, other, asm.Zero, int32(r.IntN(300))-20)
		default:
			a.Load([]riscv.Op{riscv.LB, riscv.LHU, riscv.LW}[r.IntN(3)], other, 0, asm.GP)
		}
	}
	a.I(riscv.ADDI, turns, asm.Zero, int32(1+r.IntN(20)))
	a.Mv(q, asm.GP)
	a.Li(far, window+464*memory.PageSize+int64(r.IntN(800))-400)
	start()
	a.Label("outer")
	if r.IntN(2) == 0 {
		start()
	}
	if r.IntN(3) > 0 { // a run of elements, and one or none that is different
		a.Li(asm.A7, spread)
		n := r.IntN(24)
		for i := range n {
			a.Store(riscv.SD, asm.A7, int32(8*i)-int32(8*r.IntN(2)*n), p)
		}
		if r.IntN(2) == 0 {
			a.Li(asm.A7, int64(r.Uint64()))
			a.Store([]riscv.Op{riscv.SB, riscv.SH, riscv.SW, riscv.SD}[r.IntN(4)], asm.A7, int32(r.IntN(200))-100, p)
		}
	}
	off := int32(0)
	if r.IntN(3) == 0 {
		off = int32(r.IntN(64)) - 32
	}
	made := false
	body := func() {
		if r.IntN(4) == 0 { // what was there before is of no use to anybody, but shown
			a.I(riscv.ADDI, asm.T4, turns, 1)
		}
		if r.IntN(4) == 0 { // another one, which stays where it is
			a.R(riscv.ADD, asm.S6, q, asm.Zero)
			a.Load(riscv.LW, asm.S7, int32(4*r.IntN(8)), asm.S6)
		}
		if made {
			a.I(riscv.ADDI, other, asm.A2, 1)
		}
		a.Load(load, element, off, p)
		if r.IntN(4) == 0 {
			a.Mv(copied, []uint8{p, element, other}[r.IntN(3)])
		}
		if r.IntN(6) == 0 { // which is no search
			a.R(riscv.ADD, copied, copied, element)
		}
		if r.IntN(6) == 0 { // nor is this: it may fail in any turn
			a.Load(riscv.LBU, asm.S9, 8, far)
			a.I(riscv.ADDI, far, far, []int32{64, -64}[r.IntN(2)])
		}
	}
	on := func() {
		a.I(riscv.ADDI, p, p, step)
		for range r.IntN(3) {
			a.I(riscv.ADDI, counter, counter, []int32{1, -1, 8, 3, -40, 2000}[r.IntN(6)])
		}
	}
	compare := []riscv.Op{riscv.BLT, riscv.BGE, riscv.BLTU, riscv.BGEU, riscv.BLT, riscv.BGE, riscv.BLTU, riscv.BGEU, riscv.BEQ, riscv.BNE}[r.IntN(10)]
	if r.IntN(8) == 0 { // with what the turn makes, which is no search
		a.Mv(asm.T5, other)
		other, made = asm.T5, true
	}
	x, y := element, other
	if r.IntN(2) == 0 {
		x, y = y, x
	}
	a.Label("inner")
	switch r.IntN(4) {
	case 3: // entered in the middle
		a.J("middle")
		a.Label("turn")
		on()
		a.Label("middle")
		body()
		a.B(compare, x, y, "turn")
	case 0: // tested at the end
		body()
		on()
		a.B(compare, x, y, "inner")
	case 1: // at the start
		body()
		a.B(compare, x, y, "found")
		on()
		if r.IntN(4) == 0 {
			a.Mv(copied, counter)
		}
		a.J("inner")
	default: // with another way back to the start
		body()
		a.B(compare, x, y, "next")
		a.I(riscv.ADDI, turns, turns, -1)
		a.B(riscv.BEQ, turns, asm.Zero, "end")
		if r.IntN(2) == 0 {
			a.Store(riscv.SW, copied, off, p)
		}
		a.Label("next")
		on()
		a.J("inner")
	}
	a.Label("found")
	if r.IntN(2) == 0 {
		a.I(riscv.XORI, asm.A7, element, 1)
		a.Store([]riscv.Op{riscv.SB, riscv.SH, riscv.SW, riscv.SD}[width], asm.A7, off, p)
	}
	if r.IntN(2) == 0 {
		a.I(riscv.ADDI, p, p, step)
	}
	a.I(riscv.ADDI, turns, turns, -1)
	a.B(riscv.BNE, turns, asm.Zero, "outer")
	a.Label("end")
	a.Mv(asm.S8, counter)
	return a.Bytes()
}

func TestLockStepSearches(t *testing.T) {
	// They are what they are meant to be.
	found := 0
	for seed := range uint64(200) {
		code, err := searchLoop(rand.New(rand.NewPCG(seed, 0xf10a7)))
		if err != nil {
			t.Fatal(err)
		}
		page := make([]byte, memory.PageSize)
		copy(page, code)
		for off := 0; off < len(code); off += 2 {
			r := opt.Find(&opt.Source{Bytes: page, Head: uint16(off), Max: 100, Loops: true, Turns: 4, Mirrored: true})
			if r != nil && r.Optimize(amd64.RegionTarget()) && r.Searches > 0 {
				found++
				break
			}
		}
	}
	if found < 25 {
		t.Errorf("%d of 200 loops search", found)
	}
	lockStepLoops(t, searchLoop)
	// What they compare with comes from outside, on hosts that have everything and that have nothing.
	for _, without := range []host.Feature{0, ^host.Feature(0)} {
		o := jit.Options{CodeSize: 16 << 20, Tier: jit.TierOptimized, Mirror: jit.MirrorAlways, Region: jit.RegionOptions{Loops: true}, Without: without}
		lockStepSome(t, newEngine(t, o), searchLoop)
	}
}
