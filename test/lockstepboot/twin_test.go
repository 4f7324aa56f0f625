package lockstepboot

// The twin: an engine to the board, and two machines in lock step inside.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/lockstep"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/sbi"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	// perTick is how many instructions retire in a tick of the guest's clock: some of what the interpreter does.
	perTick = 32
	// nap is the most ticks that pass at once while the guest waits, and coarse those after which devices see time pass, too.
	nap    = timebase.Frequency / 100
	coarse = timebase.Frequency / 1000
	// memoryEvery is after how many steps memory is compared, unless -memory says otherwise.
	memoryEvery = 10000
	// patience is how many ticks a guest may wait without an interrupt.
	patience = 100 * timebase.Frequency
)

// options is what a boot is made of.
type options struct {
	name        string // of the engine under test
	newEngine   newEngine
	machine     vm.Config
	seed        uint64
	limit, fine uint64 // instructions
	memoryEvery uint64 // steps
	console     bool
}

// result is what a boot came to.
type result struct {
	instructions, steps, accesses, dma uint64
	digest                             uint64 // of the accesses to devices and of the registers at the end
	host, guest                        time.Duration
	ended                              string
	atFine                             *result // what it had come to when fine steps began; nil where they did not
}

func (r result) String() string {
	return fmt.Sprintf("%d instructions in %d steps agree (%.1f million instructions/s); %d accesses to devices, %d bytes of DMA; %.1f s of the guest's time; %s",
		r.instructions, r.steps, float64(r.instructions)/r.host.Seconds()/1e6, r.accesses, r.dma, r.guest.Seconds(), r.ended)
}

// twin implements engine.Engine. All of it belongs to the goroutine of the board's hart.
type twin struct {
	options
	ctx    context.Context
	cancel context.CancelFunc // ends the machine

	clock   *timebase.Clock
	journal journal
	devices []*held
	console console
	rand    *rand.Rand

	hart *hart.Hart    // the board's
	pair lockstep.Pair // when the reference has been made
	ram  *memory.RAM   // the reference's, as what follows
	ref  *hart.Hart
	sbi  *sbi.SBI // nil where the guest brings firmware

	owed     uint64 // instructions that have not made a tick yet
	slept    uint64 // ticks that devices have seen pass
	compared uint64 // instructions when memory was last found equal
	dma      uint64 // bytes
	progress progress
	atFine   *result

	err error // why the machine was ended
	cut bool  // it was by the limit
}

// boot runs a machine to its end.
func boot(t *testing.T, o options) (r result, err error) {
	cryptotest.SetGlobalRandom(t, o.seed)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tw := &twin{
			options: o, ctx: ctx, cancel: cancel, clock: timebase.NewManual(), rand: rand.New(rand.NewPCG(o.seed, 0xb007)),
			journal: journal{level: map[uint]bool{}}, progress: newProgress(),
		}
		if o.console {
			tw.console.out = os.Stderr
		}
		r, err = tw.boot()
		err = errors.Join(err, tw.close())
	})
	return r, err
}

func (tw *twin) boot() (r result, err error) {
	var out bytes.Buffer
	cfg := tw.machine
	cfg.Stdout, cfg.Stderr, cfg.KernelLog = &out, &out, &tw.console
	board.Adapt = tw.adapt
	defer func() { board.Adapt = nil }()
	m, err := vm.New(cfg)
	if err != nil {
		return r, err
	}
	status, err := m.Run(tw.ctx)
	if r = tw.result(); tw.cut {
		r.ended, err = "cut off at the limit", nil
	} else {
		r.ended = fmt.Sprintf("exit status %d, output %q", status.ExitCode, out.String())
	}
	if tw.err != nil {
		err = tw.err
	}
	return r, errors.Join(err, m.Close())
}

func (tw *twin) result() result {
	r := result{
		instructions: tw.hart.Instret, steps: tw.pair.Steps(), accesses: tw.journal.tested.count, dma: tw.dma,
		host:  hostTime() - tw.progress.began,
		guest: time.Duration(tw.clock.Now()) * time.Second / timebase.Frequency,
	}
	d := tw.journal.tested
	for _, v := range tw.hart.X {
		d.mix(&access{value: v})
	}
	r.digest, r.atFine = d.sum, tw.atFine
	return r
}

func (tw *twin) close() error {
	if tw.ref == nil {
		return nil
	}
	if c, ok := tw.pair.Tested.Engine.(interface{ Close() error }); ok {
		return errors.Join(c.Close(), tw.ref.Close(), tw.ram.Close())
	}
	return errors.Join(tw.ref.Close(), tw.ram.Close())
}

// adapt is board.Adapt: it puts the twin between the board and everything.
func (tw *twin) adapt(cfg *board.Config) {
	cfg.Clock = tw.clock
	cfg.Wire = func(_ *hart.Hart, irq uint) device.Line { return tw.journal.line(irq) }
	cfg.Engine = func(h *hart.Hart) engine.Engine {
		tw.hart = h
		tw.journal.join(h)
		return tw
	}
	cfg.NoReboot = true
	cfg.PanicResets = false // it stops the board's hart in the middle of a round
	var pci, mmio []*held
	pci, cfg.PCI = hold(cfg.PCI)
	mmio, cfg.MMIO = hold(cfg.MMIO)
	tw.devices = append(pci, mmio...)
}

// Name implements engine.Engine.
func (tw *twin) Name() string { return tw.name }

// Run implements engine.Engine.
func (tw *twin) Run() engine.Exit {
	if tw.err == nil && !tw.cut {
		exit, err := tw.run()
		if err == nil && !tw.cut {
			return exit
		}
		tw.err = err
		tw.cancel()
	}
	<-tw.ctx.Done() // the board stops its harts when it has seen that, too
	return engine.ExitStop
}

func (tw *twin) run() (engine.Exit, error) {
	if tw.ref == nil {
		if err := tw.begin(); err != nil {
			return 0, err
		}
	}
	// What the board has done to its hart, as firmware, has been done to the reference as well.
	if err := tw.pair.CompareState(); err != nil {
		return 0, err
	}
	for {
		if err := tw.settle(); err != nil {
			return 0, err
		}
		if tw.stopped() {
			return engine.ExitStop, tw.compareMemory()
		}
		if tw.atFine == nil && tw.hart.Instret >= tw.fine {
			r := tw.result()
			tw.atFine = &r
		}
		if tw.hart.Instret >= tw.limit {
			tw.cut = true
			return 0, tw.compareMemory()
		}
		before := tw.hart.Instret
		exit, exited, err := tw.round()
		if err != nil {
			return 0, err
		}
		tw.pass(tw.hart.Instret - before)
		tw.progress.tick(func() string {
			return fmt.Sprintf("%d million instructions, %d steps  %s", tw.hart.Instret/1e6, tw.pair.Steps(), tw.console.lastLine())
		})
		switch {
		case exited && exit == engine.ExitWFI:
			if err := tw.wait(); err != nil {
				return 0, err
			}
		case exited && exit == engine.ExitFirmware:
			tw.sbi.Trap(tw.ref)
			return exit, nil
		case exited:
			return exit, nil
		}
	}
}

// begin makes the reference, at the start of the boot.
func (tw *twin) begin() (err error) {
	h := tw.hart
	recorded, repeated, err := tw.journal.buses(h.Bus)
	if err != nil {
		return err
	}
	if tw.ram, err = memory.NewRAM(h.RAM.Base(), h.RAM.Size()); err != nil {
		return err
	}
	if _, err = tw.copyRAM(); err != nil {
		return err
	}
	if tw.ref, err = hart.New(hart.Config{ID: h.ID, RAM: tw.ram, Bus: repeated, Clock: tw.clock, PMP: hart.MaxPMP}); err != nil {
		return errors.Join(err, tw.ram.Close())
	}
	h.Bus = recorded
	tw.journal.join(tw.ref)
	if h.Firmware {
		tw.sbi, err = sbi.New(sbi.Config{Harts: []*hart.Hart{tw.ref}, RAM: tw.ram, Console: silent{}, Reset: func(sbi.ResetKind, sbi.ResetReason) {}})
		if err != nil {
			return err
		}
		tw.sbi.Start(0, memory.GPA(h.PC), h.X[11])
		tw.sbi.AwaitStart(tw.ref, nil)
	} else {
		tw.ref.Reset(h.PC)
		tw.ref.X = h.X
	}
	e, err := tw.newEngine(h)
	if err != nil {
		return err
	}
	tw.pair = lockstep.Pair{
		Tested:    lockstep.Side{Hart: h, Engine: e, Outside: func() uint64 { return tw.journal.tested.sum }},
		Reference: lockstep.Side{Hart: tw.ref, Engine: interp.New(tw.ref), Outside: func() uint64 { return tw.journal.reference.sum }},
	}
	return nil
}

// round runs both harts for a random number of instructions, during which nothing comes from outside.
func (tw *twin) round() (exit engine.Exit, exited bool, err error) {
	begin, n := tw.hart.Instret, tw.length()
	end := begin + n
	tw.journal.begin()
	defer tw.journal.end()
	// A guest that only traps retires nothing: what was asked for bounds the round, too.
	for asked := uint64(0); tw.hart.Instret < end && asked < 4*n && !exited; {
		ask := end - tw.hart.Instret
		tw.pair.MemoryEvery = tw.memoryEvery
		switch now := tw.hart.Instret; {
		case now >= tw.fine:
			ask = 1
		case tw.fine != math.MaxUint64:
			ask = min(ask, tw.fine-now)
			tw.pair.MemoryEvery = memoryEvery
		}
		asked += ask
		if exit, exited, err = tw.pair.Step(ask); err != nil {
			return 0, false, tw.explain(err, begin)
		}
		tw.journal.turn()
		if tw.pair.Steps()%max(tw.pair.MemoryEvery, 1) == 0 {
			tw.compared = tw.hart.Instret
		}
	}
	return exit, exited, nil
}

// length chooses the length of a round.
func (tw *twin) length() uint64 {
	switch n := tw.rand.IntN(8); {
	case n == 0:
		return 1 + tw.rand.Uint64N(8)
	case n < 3:
		return 1 + tw.rand.Uint64N(100)
	case n < 6:
		return 1 + tw.rand.Uint64N(1000)
	}
	return 1 + tw.rand.Uint64N(5000)
}

// explain adds what only this package knows to a divergence in the round that began after so many instructions.
func (tw *twin) explain(err error, begin uint64) error {
	d, ok := lockstep.AsDivergence(err)
	if !ok {
		return err
	}
	if tw.journal.strange != "" {
		d.Why += "; " + tw.journal.strange
	}
	args := fmt.Sprintf("-fine %d", begin)
	if len(d.Memory) > 0 {
		d.Why += fmt.Sprintf(" (memory was equal after %d instructions)", tw.compared)
	}
	if lockstep.Diff(&d.Got, &d.Want) == "" {
		// Only memory differs, and has for a while: there is a run in which that is less, and then one in which it is nothing.
		const comparisons = 2000 // as many take a minute
		if ago := tw.hart.Instret - tw.compared; ago < 100*comparisons {
			args = fmt.Sprintf("-fine %d -memory %d", tw.compared, max(1, ago/comparisons))
		} else {
			args = fmt.Sprintf("-memory %d", max(1, tw.memoryEvery/50))
		}
	}
	d.Again = fmt.Sprintf("make lockstep-boot ENGINE=%s ARGS='-test.run TestBoot -seed %d %s', and the other flags of this run", tw.name, tw.seed, args)
	return d
}

func (tw *twin) compareMemory() error {
	if err := tw.pair.CompareMemory(); err != nil {
		return tw.explain(err, tw.hart.Instret)
	}
	tw.compared = tw.hart.Instret
	return nil
}

// pass lets time pass that so many instructions take.
func (tw *twin) pass(instructions uint64) {
	tw.owed += instructions
	tw.move(tw.owed / perTick)
	tw.owed %= perTick
}

// move moves both clocks, which are one; and now and then that of the devices, whose timers are Go's.
func (tw *twin) move(ticks uint64) {
	now := tw.clock.Now() + ticks
	tw.clock.Set(now)
	if now-tw.slept >= coarse {
		time.Sleep(time.Duration(now-tw.slept) * time.Second / timebase.Frequency)
		synctest.Wait()
		tw.slept = now
	}
}

// wait is what follows WFI: time passes until an interrupt that mie enables is pending.
func (tw *twin) wait() error {
	for waited := uint64(0); waited < patience; {
		if err := tw.settle(); err != nil || tw.asked() {
			return err
		}
		if mip, _ := tw.ref.ReadCSR(riscv.CSRMip); mip&tw.ref.Mie != 0 {
			return nil
		}
		ticks := uint64(nap)
		if at, ok := tw.clock.NextAlarm(); ok {
			ticks = min(nap, max(at, tw.clock.Now()+1)-tw.clock.Now())
		}
		waited += ticks
		tw.move(ticks)
	}
	return fmt.Errorf("the guest waits for an interrupt at %#x, and there is none in %d s", tw.ref.PC, patience/timebase.Frequency)
}

// settle lets the devices do what they have been asked to, and gives the reference what they write to RAM.
func (tw *twin) settle() error {
	busy := false
	for _, d := range tw.devices {
		busy = busy || d.waiting()
	}
	if !busy {
		return nil
	}
	if err := tw.compareMemory(); err != nil {
		return err
	}
	for _, d := range tw.devices {
		d.release()
	}
	synctest.Wait()
	n, err := tw.copyRAM()
	tw.dma += n
	return err
}

// copyRAM makes the reference's RAM equal to the board's, and returns how many bytes were not.
func (tw *twin) copyRAM() (n uint64, err error) {
	from, err1 := tw.hart.RAM.Slice(tw.hart.RAM.Base(), tw.hart.RAM.Size())
	to, err2 := tw.ram.Slice(tw.ram.Base(), tw.ram.Size())
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	for ; len(from) > 0; from, to = from[memory.PageSize:], to[memory.PageSize:] {
		a, b := from[:memory.PageSize], to[:memory.PageSize]
		if bytes.Equal(a, b) {
			continue // a page that nobody has touched stays so
		}
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		copy(b, a)
	}
	return n, nil
}

// asked says whether the board's hart was asked to do something that the reference was not: to stop, since the machine has ended.
func (tw *twin) asked() bool {
	return atomic.LoadUint32(&tw.hart.Attention)&^atomic.LoadUint32(&tw.ref.Attention) != 0
}

// stopped says whether the machine has ended. Both harts look, so that they stay alike.
func (tw *twin) stopped() bool {
	if !tw.asked() {
		return false
	}
	r := tw.hart.Poll()
	tw.ref.Poll()
	return r == hart.PollStop
}
