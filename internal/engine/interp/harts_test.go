package interp

import (
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// harts runs n harts of one machine over the program that f writes, each to its WFI. a0 is the hart's number.
func harts(t *testing.T, m *machine, n int, f func(a *asm.Assembler)) {
	t.Helper()
	m.assemble(ramBase, f)
	var wg sync.WaitGroup
	for id := range n {
		h := m.Hart
		if id > 0 {
			var err error
			if h, err = hart.New(hart.Config{ID: uint64(id), RAM: m.ram, Bus: m.bus, Clock: m.Clock}); err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			h.Reset(ramBase)
		}
		h.X[asm.A0], h.X[asm.S0] = uint64(id), scratch
		wg.Go(func() {
			if exit := New(h).Run(); exit != engine.ExitWFI || h.Mcause != 0 {
				t.Errorf("hart %d: exit %v at %#x, mcause %d", id, exit, h.PC, h.Mcause)
			}
			h.Leave()
		})
	}
	wg.Wait()
}

// Every increment of every hart counts, by whichever way it is atomic.
func TestHartsCountTogether(t *testing.T) {
	const n, turns = 3, 5000
	m := newMachine(t)
	harts(t, m, n, func(a *asm.Assembler) {
		a.Li(asm.T0, turns)
		a.Li(asm.T1, 1)
		a.Label("loop")
		a.AMO(riscv.AMOADD_W, 0, asm.T1, asm.S0, asm.Relaxed)
		a.I(riscv.ADDI, asm.T2, asm.S0, 8)
		a.Label("retry")
		a.AMO(riscv.LR_D, asm.T3, 0, asm.T2, asm.AQ)
		a.I(riscv.ADDI, asm.T3, asm.T3, 1)
		a.AMO(riscv.SC_D, asm.T4, asm.T3, asm.T2, asm.RL)
		a.B(riscv.BNE, asm.T4, asm.Zero, "retry")
		a.I(riscv.ADDI, asm.T2, asm.S0, 16)
		a.Load(riscv.LD, asm.T3, 0, asm.T2)
		a.Label("again")
		a.Mv(asm.T5, asm.T3)
		a.I(riscv.ADDI, asm.T4, asm.T3, 1)
		a.AMO(riscv.AMOCAS_D, asm.T3, asm.T4, asm.T2, asm.AQRL)
		a.B(riscv.BNE, asm.T3, asm.T5, "again")
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
		a.Op(riscv.WFI)
	})
	for i, way := range []string{"amoadd", "lr and sc", "amocas"} {
		if got := m.load64(scratch + 8*uint64(i)); got != n*turns {
			t.Errorf("%s: %d, want %d", way, got, n*turns)
		}
	}
}

// Store buffering: where the hart's store comes before its load in the memory order, at least one hart sees the other's store,
// in every round. Instructions with aq or rl order as a fence does.
func TestHartsFence(t *testing.T) {
	// Each writes t1 = 1 to (a1) and reads (a2) into a3.
	for _, c := range []struct {
		name string
		f    func(a *asm.Assembler)
	}{
		{"fence", func(a *asm.Assembler) {
			a.Store(riscv.SD, asm.T1, 0, asm.A1)
			a.Fence(3, 3)
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
		}},
		{"lr.aqrl", func(a *asm.Assembler) {
			a.Store(riscv.SD, asm.T1, 0, asm.A1)
			a.AMO(riscv.LR_D, asm.A3, 0, asm.A2, asm.AQRL)
		}},
		{"amoswap.aq", func(a *asm.Assembler) {
			a.AMO(riscv.AMOSWAP_D, 0, asm.T1, asm.A1, asm.AQ)
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
		}},
		{"amocas.aq", func(a *asm.Assembler) {
			a.AMO(riscv.AMOCAS_D, 0, asm.T1, asm.A1, asm.AQ)
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
		}},
		{"sc.aqrl", func(a *asm.Assembler) {
			a.Label("again")
			a.AMO(riscv.LR_D, asm.A3, 0, asm.A1, asm.Relaxed)
			a.AMO(riscv.SC_D, asm.A3, asm.T1, asm.A1, asm.AQRL)
			a.B(riscv.BNE, asm.A3, asm.Zero, "again")
			a.Load(riscv.LD, asm.A3, 0, asm.A2)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { storeBuffering(t, c.f) })
	}
}

func storeBuffering(t *testing.T, storeAndLoad func(a *asm.Assembler)) {
	const rounds = 20_000
	m := newMachine(t)
	// A round: wait for the other hart, store 1 to one's own cell, load the other's.
	harts(t, m, 2, func(a *asm.Assembler) {
		a.Li(asm.T0, rounds)
		a.Li(asm.T1, 1)
		a.Li(asm.S1, 0) // the meetings so far, of both harts together
		a.I(riscv.SLLI, asm.A1, asm.A0, 7)
		a.R(riscv.ADD, asm.A1, asm.A1, asm.S0)
		a.I(riscv.ADDI, asm.A1, asm.A1, 128) // own cell
		a.I(riscv.XORI, asm.A2, asm.A0, 1)
		a.I(riscv.SLLI, asm.A2, asm.A2, 7)
		a.R(riscv.ADD, asm.A2, asm.A2, asm.S0)
		a.I(riscv.ADDI, asm.A2, asm.A2, 128) // the other's
		meet := func(label string) {
			a.I(riscv.ADDI, asm.S1, asm.S1, 2)
			a.AMO(riscv.AMOADD_D, 0, asm.T1, asm.S0, asm.AQRL)
			a.Label(label)
			a.Li(asm.T3, 500) // turns before a pause, lest the harts drift apart
			a.Label(label + ", at once")
			a.Load(riscv.LD, asm.T2, 0, asm.S0)
			a.B(riscv.BGEU, asm.T2, asm.S1, label+", done")
			a.I(riscv.ADDI, asm.T3, asm.T3, -1)
			a.B(riscv.BNE, asm.T3, asm.Zero, label+", at once")
			a.Word(0x0100_000f) // pause
			a.J(label)
			a.Label(label + ", done")
		}
		a.Label("round")
		a.Store(riscv.SD, asm.Zero, 0, asm.A1)
		meet("start")
		storeAndLoad(a)
		a.Store(riscv.SD, asm.A3, 8, asm.A1)
		meet("stored")
		a.Load(riscv.LD, asm.A4, 8, asm.A2)
		a.R(riscv.OR, asm.A4, asm.A4, asm.A3)
		a.B(riscv.BNE, asm.A4, asm.Zero, "fine")
		a.Store(riscv.SD, asm.T1, 64, asm.S0)
		a.Label("fine")
		meet("seen")
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "round")
		a.Op(riscv.WFI)
	})
	if m.load64(scratch+64) != 0 {
		t.Error("neither hart saw the other's store")
	}
}
