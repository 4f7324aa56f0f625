package lockstep

// Running programs in lock step: the events between steps, the length of steps, and what to do when the sides differ.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
	"github.com/vmproject/vm/internal/timebase"
)

// Program is a bare-metal program for one hart. It starts in M-mode.
type Program struct {
	Seed  uint64
	Image []byte // at the start of RAM
	Entry uint64
	X, F  [32]uint64 // the registers at its start
	// Done is the pc after the WFI that ends it.
	Done uint64
	// Limit is the number of instructions after which it ends at the latest.
	Limit  uint64
	Events []Event // by time
}

// Event is something that comes from outside.
type Event struct {
	At   uint64 // the number of instructions retired before it, at least
	Kind EventKind
	Arg  uint64
}

// EventKind says what an event is.
type EventKind uint8

const (
	EventRaise  EventKind = iota // bit Arg of mip is raised
	EventLower                   // bit Arg of mip is lowered
	EventTime                    // Arg ticks pass
	EventStop                    // the engine is asked to stop
	EventFenceI                  // another hart asks for a FENCE.I
	EventFence                   // another hart asks for an SFENCE.VMA: of all, or of the address Arg
	EventDMA                     // a device writes an instruction to the physical address Arg, and the hart does a FENCE.I
)

// Runner runs programs on two machines.
type Runner struct {
	// New makes the engine under test; Reference, which the interpreter is by default, the other one.
	New, Reference func(*hart.Hart) Engine
	// Steps chooses the length of the next step. By default most programs have steps of mixed lengths, and some are looked at after
	// each instruction or block.
	Steps func(r *rand.Rand) uint64
	// MemoryEvery is Pair.MemoryEvery, and memory is compared at the end of a program; 8 if zero, and hardly ever in user-level programs.
	MemoryEvery uint64

	// Dirty logs which pages are written (memory.DirtyLog), and compares the logs with what has changed whenever memory is compared.
	Dirty bool

	tested, reference *machine
	clock             [2]*timebase.Clock

	// Stats of all programs so far.
	Stats Stats
}

// Stats counts what a runner has done.
type Stats struct {
	Programs     uint64
	Ended        uint64 // programs that reached their end
	Stuck        uint64 // programs whose hart could do nothing any more
	Instructions uint64
	Steps        uint64
	DirtyPages   uint64     // that logs had, of Runner.Dirty
	Exceptions   [32]uint64 // by cause, as the reference took them
	Interrupts   [16]uint64
}

// Close releases the machines.
func (r *Runner) Close() error {
	var err error
	for _, m := range []*machine{r.tested, r.reference} {
		if m != nil {
			err = errors.Join(err, m.close())
		}
	}
	r.tested, r.reference = nil, nil
	return err
}

// open makes the machines, unless they are there.
func (r *Runner) open() (err error) {
	if r.tested != nil {
		return nil
	}
	reference := r.Reference
	if reference == nil {
		reference = func(h *hart.Hart) Engine { return interp.New(h) }
	}
	r.clock = [2]*timebase.Clock{timebase.NewManual(), timebase.NewManual()}
	if r.tested, err = newMachine(ramBase, ramSize, r.clock[0], r.New); err != nil {
		return err
	}
	if r.reference, err = newMachine(ramBase, ramSize, r.clock[1], reference); err != nil {
		return errors.Join(err, r.Close())
	}
	return nil
}

// Batch is how many programs of RunSeeds run on the same machines, one after another.
const Batch = 20

// RunSeeds generates and runs the n programs with the seeds from first on, on new machines for each Batch of them.
func (r *Runner) RunSeeds(first uint64, n int) error {
	defer r.Close()
	for i := range uint64(n) {
		if i%Batch == 0 {
			if err := r.Close(); err != nil {
				return err
			}
		}
		p, err := Generate(first + i)
		if err != nil {
			return err
		}
		err = r.Run(p)
		if d, ok := AsDivergence(err); ok {
			d.Again = fmt.Sprintf("RunSeeds(%d, %d), of which the last fails: the program of seed %d", first+i-i%Batch, i%Batch+1, p.Seed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Run runs a program. When the engines differ, the error is a [Divergence]: that of a second run on new machines with the
// smallest steps if it happens there too.
//
// The machines are those of the programs run before, which may matter: Divergence.Again is left to the caller, who knows.
func (r *Runner) Run(p *Program) error {
	if err := r.open(); err != nil {
		return err
	}
	err := r.run(p, r.Steps, r.MemoryEvery)
	if err == nil {
		return nil
	}
	coarse, ok := AsDivergence(err)
	if !ok {
		return err
	}
	if err := r.Close(); err != nil {
		return errors.Join(coarse, err)
	}
	finest := &Runner{New: r.New, Reference: r.Reference, Dirty: r.Dirty}
	defer finest.Close()
	if err := finest.open(); err != nil {
		return errors.Join(coarse, err)
	}
	if fine, ok := AsDivergence(finest.run(p, func(*rand.Rand) uint64 { return 1 }, 1)); ok {
		return fine
	}
	finest.Close()
	if err := finest.open(); err != nil {
		return errors.Join(coarse, err)
	}
	if again, ok := AsDivergence(finest.run(p, r.Steps, 1)); ok {
		again.Why += " (not with steps of one instruction)"
		return again
	}
	coarse.Why += " (not on new machines: it needs the programs before it, or luck)"
	return coarse
}

// mixed is the default choice of steps.
func mixed(r *rand.Rand) func(*rand.Rand) uint64 {
	fine := r.IntN(8) == 0
	return func(r *rand.Rand) uint64 {
		switch n := r.IntN(8); {
		case fine || n == 0:
			return 1
		case n < 3:
			return 1 + r.Uint64N(8)
		case n < 6:
			return 1 + r.Uint64N(100)
		}
		return 1 + r.Uint64N(2000)
	}
}

// run runs a program once.
func (r *Runner) run(p *Program, steps func(*rand.Rand) uint64, memoryEvery uint64) (err error) {
	if err := errors.Join(r.tested.load(p), r.reference.load(p)); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(p.Seed, 0x57e9))
	if steps == nil {
		steps = mixed(random)
	}
	if memoryEvery == 0 {
		memoryEvery = 8
	}
	pair := &Pair{Tested: r.tested.side, Reference: r.reference.side, MemoryEvery: memoryEvery}
	pair.SetTime(0)
	if r.Dirty {
		if err := pair.logDirty(); err != nil {
			return err
		}
		defer pair.endDirty()
	}
	defer r.account(pair, pair.Reference.Hart.Stats)

	h := pair.Reference.Hart
	// A program that only traps retires nothing: what was asked for bounds it, too.
	events := p.Events
	for asked := uint64(0); h.Instret < p.Limit && asked < 8*p.Limit; {
		for len(events) > 0 && events[0].At <= h.Instret {
			if err := pair.happen(events[0]); err != nil {
				return err
			}
			events = events[1:]
		}
		n := min(steps(random), p.Limit-h.Instret)
		if len(events) > 0 {
			n = min(n, events[0].At-h.Instret)
		}
		asked += n
		exit, exited, err := pair.Step(n)
		if err != nil {
			return err
		}
		if exited && exit == engine.ExitWFI && h.PC == p.Done {
			r.Stats.Ended++
			break
		}
		if exited && exit == engine.ExitStop && h.Stuck() {
			r.Stats.Stuck++
			break
		}
	}
	return errors.Join(pair.CompareMemory(), pair.checkDirty())
}

// account adds up the statistics of a run that is over. The hart's own go on over resets: before is what they were.
func (r *Runner) account(p *Pair, before hart.Stats) {
	h := p.Reference.Hart
	s := &r.Stats
	s.Programs++
	s.Instructions += h.Instret
	s.Steps += p.steps
	s.DirtyPages += p.dirtyPages
	for i := range s.Exceptions {
		s.Exceptions[i] += h.Stats.Exceptions[i] - before.Exceptions[i]
	}
	for i := range s.Interrupts {
		s.Interrupts[i] += h.Stats.Interrupts[i] - before.Interrupts[i]
	}
}

// happen lets an event happen to both sides.
func (p *Pair) happen(e Event) error {
	switch e.Kind {
	case EventRaise, EventLower:
		p.SetPending(uint(e.Arg), e.Kind == EventRaise)
	case EventTime:
		p.SetTime(p.Reference.Hart.Clock.Now() + e.Arg)
	case EventStop:
		p.RequestStop()
	case EventFenceI:
		p.Fence(hart.FenceRequest{Instruction: true})
	case EventFence:
		p.Fence(hart.FenceRequest{Flush: mmu.Flush{VA: e.Arg, HasVA: e.Arg != 0}})
	case EventDMA:
		const addi = 0x000e_8e93 // addi t4, t4, 0
		return p.DMA(memory.GPA(e.Arg), addi|uint32(e.At&0x7ff)<<20)
	}
	return nil
}

// RunImage runs user-level programs of package difftest: in U-mode, with the host as the firmware below them.
func (r *Runner) RunImage(img *difftest.Image) (err error) {
	reference := r.Reference
	if reference == nil {
		reference = func(h *hart.Hart) Engine { return interp.New(h) }
	}
	var machines [2]*difftest.Machine
	var sides [2]Side
	for i, newEngine := range []func(*hart.Hart) Engine{r.New, reference} {
		m, err := difftest.NewMachine(img)
		if err != nil {
			return err
		}
		defer m.Close()
		machines[i], sides[i] = m, Side{Hart: m.Hart, Engine: newEngine(m.Hart)}
		if c, ok := sides[i].Engine.(io.Closer); ok {
			defer c.Close()
		}
	}
	steps := r.Steps
	random := rand.New(rand.NewPCG(img.Programs[0].Seed, 0x57e9))
	if steps == nil {
		steps = mixed(random)
	}
	pair := &Pair{Tested: sides[0], Reference: sides[1], MemoryEvery: cmp.Or(r.MemoryEvery, 1<<20)}
	defer r.account(pair, hart.Stats{})
	for {
		exit, exited, err := pair.Step(steps(random))
		if err != nil {
			return err
		}
		if !exited {
			continue
		}
		if exit != engine.ExitFirmware {
			return fmt.Errorf("exit %v at %#x", exit, pair.Reference.Hart.PC)
		}
		done, err := machines[0].SystemCall()
		if _, err2 := machines[1].SystemCall(); err != nil || err2 != nil {
			return errors.Join(err, err2)
		}
		if done {
			return pair.CompareMemory()
		}
	}
}
