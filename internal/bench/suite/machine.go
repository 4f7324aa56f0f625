package suite

// A bare machine: RAM, one hart, an engine, and one program, which begins with the number of its rounds in s0 and ends at a WFI.
//
// Between two runs the machine stays as it is, so that what was translated is. A program that traps where it should not lands in a WFI of its
// own, and the run is an error.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// Where things are in guest RAM, which the host commits as it is touched.
const (
	ramBase = memory.GPA(0x8000_0000)
	ramSize = 64 << 20

	strayBase   = ramBase                 // where traps go that nobody expects
	codeBase    = ramBase + 0x1000        // the program
	userBase    = ramBase + 0xf_0000      // its part in U-mode
	scratchBase = ramBase + 0x10_0000     // 1 MiB for it; s1 points there
	dataBase    = ramBase + 0x40_0000     // 2 MiB that large leaves map
	tableBase   = ramBase + 0x100_0000    // page tables, to the end
	deviceBase  = memory.GPA(0x1000_0000) // a device, where a benchmark has one
)

// runLimit is how long a run may take: a machine that hangs is an error.
const runLimit = 2 * time.Minute

// variant is a way to execute.
type variant struct {
	name   string
	interp bool     // by the interpreter
	tier   jit.Tier // or else by the translator with this tier
	mirror jit.Mirroring
}

var (
	interpreted = variant{name: "interp", interp: true}
	baseline    = variant{name: "baseline", tier: jit.TierBaseline}
	optimized   = variant{name: "optimized", tier: jit.TierOptimized}
	// auto is what a machine gets that asks for nothing: where the translator cannot run, the interpreter.
	auto = variant{name: "auto", tier: jit.TierAuto}

	// How the translator reaches the memory of programs in U-mode: by looking into the TLB, or by the host's own page tables.
	lookup = variant{name: "lookup", mirror: jit.MirrorOff}
	mirror = variant{name: "mirror", mirror: jit.MirrorAlways}

	tiers   = []variant{interpreted, baseline, optimized, auto}
	both    = []variant{interpreted, auto}
	reaches = []variant{lookup, mirror}
)

// machine is a bare machine. It is for one goroutine at a time.
type machine struct {
	*hart.Hart
	engine engine.Engine
	jit    *jit.Machine // nil: the interpreter
	mirror bool         // U-mode's address spaces have one

	priv       uint64 // that the program begins in
	entry, end uint64 // its first instruction, and that behind its last one
	waits      func() // called before the hart sleeps in a WFI that is not the last; nil: there is none

	closers []func() error // of devices

	// Of the last run.
	retired, walks uint64
}

// newMachine makes a machine without a program. The error is a bench.UnavailableError where the host has no such engine.
func newMachine(v variant, o jit.Options) (m *machine, err error) {
	ram, err := memory.NewRAM(ramBase, ramSize)
	if err != nil {
		return nil, err
	}
	h, err := hart.New(hart.Config{RAM: ram, Bus: &device.Bus{}, Clock: timebase.NewTSC(), PMP: hart.MaxPMP})
	if err != nil {
		return nil, closeAll(err, ram.Close)
	}
	m = &machine{Hart: h, mirror: v.mirror == jit.MirrorAlways, priv: riscv.PrivM}
	if err := m.makeEngine(v, o); err != nil {
		return nil, closeAll(err, h.Close, ram.Close)
	}
	h.Reset(uint64(strayBase))
	h.OpenPMP()
	h.Mstatus |= hart.MstatusFS
	h.Mtvec, h.Stvec = uint64(strayBase), uint64(strayBase)
	_, err = m.write(strayBase, uint64(strayBase), func(a *asm.Assembler) {
		a.Op(riscv.WFI)
		a.J("again")
		a.Label("again")
		a.J("again")
	})
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	return m, nil
}

func (m *machine) makeEngine(v variant, o jit.Options) error {
	if !v.interp {
		_, err := engines.Lookup("jit")
		if err == nil {
			o.Tier, o.Mirror = v.tier, cmp.Or(o.Mirror, v.mirror)
			if m.jit, err = jit.NewMachine(m.RAM, o); err == nil {
				m.engine, err = m.jit.New(m.Hart, max(1, interp.Pages(1)/8)) // as package engines does
				if err != nil {
					err = errors.Join(err, m.jit.Close())
				}
			}
			if err == nil {
				return nil
			}
			if !errors.Is(err, code.ErrForbidden) {
				return err
			}
		}
		if v != auto {
			return bench.Unavailable("this host has no translator: %v", err)
		}
		m.jit = nil
	}
	m.engine = interp.New(m.Hart)
	return nil
}

func (m *machine) close() error {
	var err error
	if c, ok := m.engine.(io.Closer); ok {
		err = c.Close()
	}
	for _, c := range m.closers {
		err = errors.Join(err, c())
	}
	return errors.Join(err, m.Hart.Close(), m.RAM.Close())
}

// write assembles code for a virtual address into RAM at a physical one, and returns its labels.
func (m *machine) write(at memory.GPA, va uint64, f func(a *asm.Assembler)) (map[string]uint64, error) {
	a := asm.New(va)
	f(a)
	b, err := a.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assembling: %w", err)
	}
	return a.Labels(), m.RAM.Write(at, b)
}

// load gives the machine a program. It ends where the code ends, or at the label "end", which is written behind it unless the code has one.
func (m *machine) load(f func(a *asm.Assembler)) (map[string]uint64, error) {
	labels, err := m.write(codeBase, uint64(codeBase), func(a *asm.Assembler) {
		a.Li(asm.S1, int64(scratchBase))
		f(a)
		if _, ok := a.Address("end"); !ok {
			a.Label("end")
			a.Op(riscv.WFI)
		}
	})
	if err != nil {
		return nil, err
	}
	m.entry, m.end = uint64(codeBase), labels["end"]+4
	return labels, nil
}

// run runs the program, and returns how long that took.
func (m *machine) run(ctx context.Context, rounds uint64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	defer context.AfterFunc(ctx, m.RequestStop)()
	m.SetPriv(m.priv)
	m.PC, m.X[asm.S0] = m.entry, rounds
	m.retired, m.walks = m.Instret, m.Stats.Walks
	defer func() {
		m.retired, m.walks = m.Instret-m.retired, m.Stats.Walks-m.walks
		m.Leave()
	}()
	began := time.Now()
	for {
		switch exit := m.engine.Run(); {
		case exit == engine.ExitWFI && m.PC == m.end:
			return max(time.Since(began), 1), nil
		case exit == engine.ExitWFI && m.waits != nil && m.PC != uint64(strayBase)+4:
			m.waits()
			m.Park()
		case exit == engine.ExitStop && ctx.Err() != nil:
			return 0, fmt.Errorf("the program did not end: %w; pc is %#x", ctx.Err(), m.PC)
		default:
			return 0, fmt.Errorf("the program ended by %v at %#x: mcause %#x, mepc %#x, mtval %#x, scause %#x, sepc %#x, stval %#x", exit, m.PC,
				m.Mcause, m.Mepc, m.Mtval, m.Scause, m.Sepc, m.Stval)
		}
	}
}

// verdict looks at what a program has computed in so many rounds.
type verdict func(rounds uint64) error

// guest is a benchmark that is a program on a bare machine.
type guest struct {
	name, doc string
	unit      bench.Unit // InstPerSec, or else NsPerOp
	variants  []variant
	rounds    uint64 // that are one operation for the harness
	parts     int    // of a round, which ns/op is about; 0: 1
	// load gives a new machine its program.
	load func(m *machine) (verdict, error)
}

// guests are the benchmarks of programs, in each of their variants.
func guests(list []guest) []bench.Benchmark {
	var all []bench.Benchmark
	for _, g := range list {
		for _, v := range g.variants {
			all = append(all, bench.Benchmark{
				Name: g.name + "/" + v.name, Doc: g.doc, Unit: g.unit,
				Setup: func(*bench.Env) (bench.Instance, error) { return g.setup(v) },
			})
		}
	}
	return all
}

func (g *guest) setup(v variant) (bench.Instance, error) {
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	verdict, err := g.load(m)
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		rounds := g.rounds * uint64(n)
		took, err := m.run(ctx, rounds)
		if err == nil {
			err = verdict(rounds)
		}
		if err != nil {
			return 0, err
		}
		if g.unit == bench.InstPerSec {
			return float64(m.retired) / took.Seconds(), nil
		}
		return float64(took.Nanoseconds()) / float64(rounds) / math.Max(float64(g.parts), 1), nil
	}, m.close), nil
}

// bare loads a program that needs nothing but RAM, in M-mode, and leaves its result in a0. want computes it again.
func bare(f func(a *asm.Assembler), want func(rounds uint64) uint64) func(*machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		_, err := m.load(f)
		return m.result(want), err
	}
}

// result compares a0 with what want computes. A harness asks for as many rounds many times, which it is computed for once.
func (m *machine) result(want func(rounds uint64) uint64) verdict {
	var known, of uint64
	return func(rounds uint64) error {
		if of != rounds {
			known, of = want(rounds), rounds
		}
		if got := m.X[asm.A0]; got != known {
			return fmt.Errorf("%d rounds computed %#x, not %#x", rounds, got, known)
		}
		return nil
	}
}

// loop closes a loop that begins at a label, over s0 rounds.
func loop(a *asm.Assembler, label string) {
	a.I(riscv.ADDI, asm.S0, asm.S0, -1)
	a.B(riscv.BNE, asm.S0, asm.Zero, label)
}
