// Package lockstep runs two engines side by side on the same program, each on a hart and a RAM of its own, and compares the
// whole architectural state each time the engine under test stops. The other engine, the reference, is the interpreter.
//
// # How the sides keep step
//
// The engine under test goes first, as far as it likes up to a bound, and stops where it can: a translator at the end of a block.
// Its Instret says how many instructions it retired; the reference then executes exactly as many. Instructions that trap do not
// retire, so one count stands for a few states: before the trap, and in its handler. The reference stands at the first of them,
// and goes through the others until one is equal.
//
// Time stands still (timebase.NewManual) and nothing is asynchronous while an engine runs. Between two steps the driver moves the
// clock, drives interrupt wires and asks for stops, on both sides alike: both harts see the same at the same instruction. For
// that an engine has to look at Attention where package hart says so: on entry, and at once after what may have enabled an interrupt.
//
// # Programs
//
// [Generate] makes the bare-metal programs: three privileges, trap handlers, page tables of three address spaces, and
// everything that a translator may get wrong (generate.go). A [Runner] executes them, and programs of package difftest:
//
//	r := &lockstep.Runner{New: func(h *hart.Hart) lockstep.Engine { return jit.New(h) }}
//	err := r.RunSeeds(seed, 10000)
//
// When the sides differ, the program runs again with the smallest steps, and the [Divergence] shows the first difference, what
// was executed before it, and how to have it again.
//
// What the architecture leaves open, programs avoid: translations are used only after the SFENCE.VMA that a change of the
// page table wants, and instructions only after the FENCE.I, unless old and new mean the same.
//
// # A board
//
// A [Pair] asks nothing of where its harts come from, so a hart of a whole board can be the one under test. The board's owner makes a
// second hart and RAM as the reference, connects the interrupt lines to [Pair.SetPending] instead of the hart, runs the clock by
// hand, answers firmware exits for both, and gives the reference a bus that repeats what the devices answered; MemoryEvery
// spares the comparison of all of a large RAM at each step. Devices that write to memory by themselves have to be made to do so
// between steps, in both RAMs. test/lockstepboot does all that: it boots the default guest.
package lockstep

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
)

// Engine is what lock step asks of an engine.
type Engine interface {
	engine.Engine
	// RunFor is Run with an end: when it has started n instructions it returns false at the next place where it can stop with
	// the hart's state precise, Instret included. It may stop earlier, but not without having started one, and later by
	// at most [Slack]. An instruction that traps counts; taking an interrupt does not. The reference stops after exactly n.
	RunFor(n uint64) (exit engine.Exit, exited bool)
}

// Resetter is an engine that has to be told when all of RAM has been written by the host and the hart has been reset, because it
// relies on more than Hart.FenceIGen to know that what it translated is stale.
type Resetter interface{ Reset() }

// Slack is how many instructions more than it is asked for an engine under test may execute.
const Slack = 1 << 16

// Side is one of the two machines.
type Side struct {
	Hart   *hart.Hart
	Engine Engine
	// Outside is a digest of what the hart did to its devices; nil when there are none.
	Outside func() uint64
}

// Pair is two machines in lock step.
type Pair struct {
	Tested, Reference Side
	// MemoryEvery is after how many steps all of RAM is compared; the rest is compared at every step. 0 means every step, too.
	MemoryEvery uint64

	steps   uint64
	agreed  State // of both sides, when they last agreed
	tested  State
	ref     State
	history history

	dirty      []*dirtyLog // nil: nothing is logged
	dirtyPages uint64      // found in logs
}

// Step runs the engine under test for about n instructions, makes the reference follow, and compares. exit and exited are what
// both engines said. An error is a *[Divergence], after which the pair is of no more use.
func (p *Pair) Step(n uint64) (exit engine.Exit, exited bool, err error) {
	p.agreed.capture(&p.Tested)
	p.history.begin()
	exit, exited = p.Tested.Engine.RunFor(n)
	p.tested.capture(&p.Tested)
	if why := p.follow(n, exit, exited); why != "" {
		return exit, exited, p.diverge(n, why)
	}
	p.steps++
	if p.MemoryEvery <= 1 || p.steps%p.MemoryEvery == 0 {
		if err = p.CompareMemory(); err == nil {
			err = p.checkDirty()
		}
	}
	return exit, exited, err
}

// CompareMemory compares all of RAM.
func (p *Pair) CompareMemory() error {
	a, b := p.ram(&p.Tested), p.ram(&p.Reference)
	if bytes.Equal(a, b) {
		return nil
	}
	return p.diverge(0, "memory differs")
}

func (p *Pair) ram(s *Side) []byte {
	ram := s.Hart.RAM
	b, err := ram.Slice(ram.Base(), ram.Size())
	if err != nil {
		panic(err) // all of RAM is RAM
	}
	return b
}

// follow brings the reference to where the engine under test is. It returns why it cannot be, or nothing.
func (p *Pair) follow(n uint64, exit engine.Exit, exited bool) (why string) {
	r := &p.Reference
	target := p.tested.Instret
	switch ahead := target - r.Hart.Instret; {
	case target < r.Hart.Instret:
		p.ref.capture(r)
		return "the engine under test has unretired instructions"
	case ahead > n+Slack:
		p.ref.capture(r)
		return "the engine under test retired many more instructions than it was asked for"
	}
	var refExit engine.Exit
	refExited := false
	silent := uint64(0) // steps in which nothing retires
	step := func() {
		before := r.Hart.Instret
		p.history.note(r.Hart)
		refExit, refExited = r.Engine.RunFor(1)
		if r.Hart.Instret == before {
			silent++
		}
	}
	// What the history would forget need not go one by one.
	if most := uint64(len(p.history.ring)); target-r.Hart.Instret > 2*most {
		p.history.skip()
		for r.Hart.Instret < target-most && !refExited && silent <= n+Slack {
			before := r.Hart.Instret
			ahead := target - most - before
			if refExit, refExited = r.Engine.RunFor(ahead); r.Hart.Instret == before {
				silent += ahead
			}
		}
		if refExited || silent > n+Slack {
			return p.lost(refExit, refExited)
		}
	}
	for r.Hart.Instret < target {
		if step(); refExited && r.Hart.Instret < target || silent > n+Slack {
			return p.lost(refExit, refExited)
		}
	}
	p.ref.capture(r)
	first := p.ref
	for silent = 0; ; {
		if p.ref == p.tested && refExited == exited && (!exited || refExit == exit) {
			return ""
		}
		switch {
		case refExited || silent > n+Slack:
			p.ref = first
			return "state or exit differs"
		case atomic.LoadUint32(&r.Hart.Attention) != 0:
			switch r.Hart.Poll() {
			case hart.PollStop:
				refExit, refExited = engine.ExitStop, true
			case hart.PollFirmware:
				refExit, refExited = engine.ExitFirmware, true
			}
		default:
			if step(); r.Hart.Instret != target {
				p.ref = first
				return "state or exit differs"
			}
		}
		p.ref.capture(r)
	}
}

// lost says why the reference does not get to where the engine under test is.
func (p *Pair) lost(exit engine.Exit, exited bool) (why string) {
	p.ref.capture(&p.Reference)
	if exited {
		return "the reference exits (" + exit.String() + ")"
	}
	return "the reference traps without end"
}

// Steps is how many steps have been made.
func (p *Pair) Steps() uint64 { return p.steps }

// CompareState compares the harts where they are: after what somebody else has done to both of them.
func (p *Pair) CompareState() error {
	p.tested.capture(&p.Tested)
	p.ref.capture(&p.Reference)
	p.agreed = p.tested
	if p.tested == p.ref {
		return nil
	}
	p.history.begin()
	return p.diverge(0, "state differs before a step")
}

// SetPending drives a bit of mip of both harts.
func (p *Pair) SetPending(bit uint, level bool) {
	p.Tested.Hart.SetPending(bit, level)
	p.Reference.Hart.SetPending(bit, level)
}

// SetTime moves both clocks, which are moved by hand.
func (p *Pair) SetTime(now uint64) {
	p.Tested.Hart.Clock.Set(now)
	if p.Reference.Hart.Clock != p.Tested.Hart.Clock {
		p.Reference.Hart.Clock.Set(now)
	}
}

// RequestStop makes both engines exit at once.
func (p *Pair) RequestStop() {
	p.Tested.Hart.RequestStop()
	p.Reference.Hart.RequestStop()
}

// Fence does to both harts what a fence of another hart would.
func (p *Pair) Fence(f hart.FenceRequest) {
	for _, h := range []*hart.Hart{p.Tested.Hart, p.Reference.Hart} {
		hart.RemoteFence(h, []*hart.Hart{h}, f)
	}
}

// DMA stores a word into both RAMs as a device would, and makes both harts fetch it.
func (p *Pair) DMA(a memory.GPA, v uint32) error {
	err := errors.Join(p.Tested.Hart.RAM.Store32(a, v), p.Reference.Hart.RAM.Store32(a, v))
	p.Fence(hart.FenceRequest{Instruction: true})
	return err
}
