// Package litmus runs litmus tests of the memory model (Unprivileged, "RVWMO") on harts in parallel: small programs of which
// some outcomes are impossible, many times over, with a count of what came out.
//
// All iterations of a round are in memory at once, each in a cell of its own, and every hart goes through the cells in order:
// with a meeting of all harts now and then, and a delay of random length before each cell, so that the harts meet in the same cell
// at all distances in time. One run of the engines executes a round.
package litmus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// MaxHarts is how many harts a test can have.
const MaxHarts = 4

// Locations are the words of a cell that a test's harts share, each in a cache line of its own; X is at the cell's start, and zero
// at first like Y and Z. Code is where a test may have instructions.
const (
	X    = 0
	Y    = 64
	Z    = 128
	Code = 192

	cellSize = 256
)

// Cell is the register that points to the cell; what a hart observes it leaves in A0 and A1, which are zero at its start. The
// registers T0 to T6 and RA are a body's to use.
const Cell = asm.S0

// Outcome is what one iteration comes to: A0 and A1 of each hart, and X, Y and Z at the end.
type Outcome struct {
	Regs  [MaxHarts][2]uint64
	Final [3]uint64
}

// Test is one litmus test.
type Test struct {
	Name string
	// Bodies are the programs of the harts. label makes a name that is unique in the program.
	Bodies []func(a *asm.Assembler, label func(string) string)
	// Init are the words of code at Code, if any.
	Init []uint32
	// Forbidden says that RVWMO does not allow an outcome; nil when all are allowed.
	Forbidden func(o *Outcome) bool
}

// Histogram counts outcomes.
type Histogram map[Outcome]int

// String lists the outcomes, the most frequent first.
func (h Histogram) String() string {
	keys := make([]Outcome, 0, len(h))
	for o := range h {
		keys = append(keys, o)
	}
	slices.SortFunc(keys, func(a, b Outcome) int {
		if d := h[b] - h[a]; d != 0 {
			return d
		}
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	var b strings.Builder
	for _, o := range keys {
		fmt.Fprintf(&b, "%9d  registers %v, memory %v\n", h[o], o.Regs, o.Final)
	}
	return b.String()
}

// Memory of the machine.
const (
	base      = 0x8000_0000
	codeAt    = base
	meetingAt = base + 1<<16
	cellsAt   = base + 1<<20
	cells     = 1024 // in a round
	resultsAt = cellsAt + cells*cellSize
	ramSize   = 2 << 20

	resultSize = 16
	hartCode   = 4096 // bytes of a hart's program
	batch      = 16   // cells between two meetings
)

// Registers of the program around the bodies.
const (
	regResult  = asm.S1
	regLeft    = asm.S2
	regMeeting = asm.S3 // where harts that have come are counted
	regMet     = asm.S4 // that count when all have come
	regRandom  = asm.S5
	regOne     = asm.S6
)

// Run runs at least n iterations on new harts. newEngine makes the engine of each; one that has a method Reset has it called when the host has
// written memory between two rounds. The error, when an outcome is forbidden, says so; the histogram counts all.
func (t *Test) Run(newEngine func(*hart.Hart) engine.Engine, n int) (h Histogram, err error) {
	m, err := newMachine(t, newEngine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	h = Histogram{}
	for done := 0; done < n; done += cells {
		if err := m.round(uint64(done)); err != nil {
			return h, fmt.Errorf("%s: %w", t.Name, err)
		}
		m.collect(h)
	}
	if t.Forbidden != nil {
		for o, count := range h {
			if t.Forbidden(&o) {
				err = errors.Join(err, fmt.Errorf("%s: forbidden outcome, %d times of %d: registers %v, memory %v",
					t.Name, count, n, o.Regs, o.Final))
			}
		}
	}
	return h, err
}

type machine struct {
	test    *Test
	ram     *memory.RAM
	harts   []*hart.Hart
	engines []engine.Engine
}

func newMachine(t *Test, newEngine func(*hart.Hart) engine.Engine) (*machine, error) {
	ram, err := memory.NewRAM(base, ramSize)
	if err != nil {
		return nil, err
	}
	m := &machine{test: t, ram: ram}
	clock, bus := timebase.New(), new(device.Bus)
	for id, body := range t.Bodies {
		code, err := assemble(id, len(t.Bodies), body)
		if err == nil {
			err = ram.Write(memory.GPA(codeAt+id*hartCode), code)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", t.Name, err), m.close())
		}
		h, err := hart.New(hart.Config{ID: uint64(id), RAM: ram, Bus: bus, Clock: clock})
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.harts = append(m.harts, h)
		m.engines = append(m.engines, newEngine(h))
	}
	return m, nil
}

func (m *machine) close() error {
	var err error
	for i, h := range m.harts {
		if c, ok := m.engines[i].(interface{ Close() error }); ok {
			err = errors.Join(err, c.Close())
		}
		err = errors.Join(err, h.Close())
	}
	return errors.Join(err, m.ram.Close())
}

// assemble writes the program of one of n harts: for each cell, now and then a meeting, a delay, and the body.
func assemble(id, n int, body func(*asm.Assembler, func(string) string)) ([]byte, error) {
	a := asm.New(uint64(codeAt + id*hartCode))
	names := 0
	a.Label("cell")
	a.I(riscv.ANDI, asm.T0, regLeft, batch-1)
	a.B(riscv.BNE, asm.T0, asm.Zero, "met")
	a.I(riscv.ADDI, regMet, regMet, int32(n))
	a.AMO(riscv.AMOADD_D, asm.Zero, regOne, regMeeting, asm.AQRL)
	a.Label("meet")
	a.Li(asm.T1, 300) // turns before a pause
	a.Label("wait")
	a.Load(riscv.LD, asm.T0, 0, regMeeting)
	a.B(riscv.BGEU, asm.T0, regMet, "met")
	a.I(riscv.ADDI, asm.T1, asm.T1, -1)
	a.B(riscv.BNE, asm.T1, asm.Zero, "wait")
	a.Word(0x0100_000f) // pause
	a.J("meet")

	a.Label("met")
	// xorshift
	for _, shift := range []struct {
		op riscv.Op
		n  int32
	}{{riscv.SLLI, 13}, {riscv.SRLI, 7}, {riscv.SLLI, 17}} {
		a.I(shift.op, asm.T0, regRandom, shift.n)
		a.R(riscv.XOR, regRandom, regRandom, asm.T0)
	}
	a.I(riscv.ANDI, asm.T0, regRandom, 15)
	a.Label("delay")
	a.I(riscv.ADDI, asm.T0, asm.T0, -1)
	a.B(riscv.BLT, asm.Zero, asm.T0, "delay")

	a.Li(asm.A0, 0)
	a.Li(asm.A1, 0)
	body(a, func(s string) string { return fmt.Sprintf("body %d %s", names, s) })
	a.Store(riscv.SD, asm.A0, 0, regResult)
	a.Store(riscv.SD, asm.A1, 8, regResult)
	a.I(riscv.ADDI, regResult, regResult, resultSize)
	a.I(riscv.ADDI, Cell, Cell, cellSize)
	a.I(riscv.ADDI, regLeft, regLeft, -1)
	a.B(riscv.BNE, regLeft, asm.Zero, "cell")
	a.Op(riscv.WFI)
	code, err := a.Bytes()
	if err == nil && len(code) > hartCode {
		err = fmt.Errorf("the program of hart %d is too long: %d bytes", id, len(code))
	}
	return code, err
}

// round prepares memory and runs every hart to its WFI.
func (m *machine) round(seed uint64) error {
	mem, err := m.ram.Slice(meetingAt, ramSize-(meetingAt-base))
	if err != nil {
		return err
	}
	clear(mem)
	for i := range memory.GPA(cells) {
		for j, w := range m.test.Init {
			if err := m.ram.Store32(cellsAt+i*cellSize+Code+4*memory.GPA(j), w); err != nil {
				return err
			}
		}
	}
	for id, h := range m.harts {
		if r, ok := m.engines[id].(interface{ Reset() }); ok {
			r.Reset()
		}
		h.Reset(uint64(codeAt + id*hartCode))
		h.X[Cell], h.X[regResult] = cellsAt, uint64(resultsAt+id*cells*resultSize)
		h.X[regLeft], h.X[regMeeting], h.X[regMet], h.X[regOne] = cells, meetingAt, 0, 1
		h.X[regRandom] = (seed+1)*0x9e37_79b9_7f4a_7c15 + uint64(id)
	}
	errs := make([]error, len(m.harts))
	var wg sync.WaitGroup
	for id, h := range m.harts {
		wg.Go(func() {
			defer h.Leave()
			if exit := m.engines[id].Run(); exit != engine.ExitWFI || h.Mcause != 0 {
				errs[id] = fmt.Errorf("hart %d: exit %v at %#x, mcause %d, mepc %#x", id, exit, h.PC, h.Mcause, h.Mepc)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// collect counts the outcomes of a round.
func (m *machine) collect(h Histogram) {
	word := func(a uint64) uint64 {
		v, err := m.ram.Load64(memory.GPA(a))
		if err != nil {
			panic(err) // every cell and result is in RAM
		}
		return v
	}
	for i := range uint64(cells) {
		var o Outcome
		for id := range m.harts {
			at := resultsAt + uint64(id)*cells*resultSize + i*resultSize
			o.Regs[id] = [2]uint64{word(at), word(at + 8)}
		}
		for j, off := range []uint64{X, Y, Z} {
			o.Final[j] = word(cellsAt + i*cellSize + off)
		}
		h[o]++
	}
}
