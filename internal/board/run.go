package board

// Starting, restarting and ending a machine.
//
// One goroutine runs each hart. What ends a boot (a request of the guest, a hart that is stuck, the caller's context) calls
// End from whatever goroutine it happens on: the first outcome counts, every hart is asked to stop, and Run, which waits for
// the harts, decides what follows.

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/vmproject/vm/internal/device/syscon"
	"github.com/vmproject/vm/internal/engine"
)

// drainTime bounds the wait for a slow reader of the serial console when the machine ends.
const drainTime = 2 * time.Second

// Run boots the machine, again after each reboot the guest asks for, and returns how it ended. It returns early with
// Stopped when ctx ends. The error is for what the host could not do, such as loading the kernel.
func (b *Board) Run(ctx context.Context) (Outcome, error) {
	for bad := 0; ; {
		out, err := b.boot(ctx)
		if err != nil {
			return Outcome{}, err
		}
		b.log.Info("boot ended", "how", out.Kind, "code", out.Code, "reason", out.Reason)
		switch {
		case out.Kind == Rebooted && b.tail.Panic() != "":
			out.Kind, out.Reason = Stuck, "the guest's kernel panicked: "+b.tail.Panic()
			fallthrough
		case out.Kind == Stuck:
			if bad++; bad >= b.cfg.BadBoots || b.cfg.NoReboot {
				return out, nil
			}
		case out.Kind == Rebooted && !b.cfg.NoReboot:
			bad = 0
		default:
			return out, nil
		}
		b.log.Info("restarting", "bad boots", bad)
	}
}

// boot is one boot, from reset to outcome.
func (b *Board) boot(ctx context.Context) (Outcome, error) {
	b.begin()
	b.tail.Forget()
	b.resetDevices()
	entry, err := b.cfg.Load(b)
	if err != nil {
		return Outcome{}, err
	}
	b.entry = entry
	// Unpacking a kernel leaves garbage of its size, which would stay resident for minutes. Beside the guest's first steps nobody waits for it.
	go debug.FreeOSMemory()
	b.reset()
	b.powerUp.Do(func() { close(b.up) })
	out := b.runHarts(ctx)
	if out.Kind == handedOff {
		b.begin()
		b.takeOver(out.dtb)
		out = b.runHarts(ctx)
	}
	b.drain()
	return out, nil
}

// drain waits until what the guest printed has been written, and is in the tail: whether it ended in a panic is asked next.
func (b *Board) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := b.uart.Drain(ctx); err != nil {
		b.log.Warn("the last console output is lost", "error", err)
	}
}

// begin makes End possible, again.
func (b *Board) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcome, b.ended = nil, make(chan struct{})
}

// runHarts runs every hart until there is an outcome.
func (b *Board) runHarts(ctx context.Context) Outcome {
	var harts sync.WaitGroup
	for _, c := range b.cpus {
		harts.Go(func() { b.runHart(c) })
	}
	select {
	case <-ctx.Done():
		b.End(Outcome{Kind: Stopped})
	case <-b.ended:
	}
	harts.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.outcome
}

// End ends the present boot. The first call counts. Safe from any goroutine; it does not wait.
func (b *Board) End(out Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil || b.outcome != nil {
		return
	}
	b.outcome = &out
	close(b.ended)
	for _, c := range b.cpus {
		c.RequestStop()
	}
}

// over says whether the present boot has an outcome.
func (b *Board) over() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// finish is the test finisher's request.
func (b *Board) finish(r syscon.Request) {
	switch r.Kind {
	case syscon.PowerOff:
		b.End(Outcome{Kind: PoweredOff})
	case syscon.Reboot:
		b.End(Outcome{Kind: Rebooted})
	case syscon.Exit:
		b.End(Outcome{Kind: Exited, Code: r.Code})
	}
}

// runHart runs one hart until the boot is over.
func (b *Board) runHart(c *cpu) {
	defer c.Leave()
	b.pin(c)
	for !b.over() {
		if !b.started(c) {
			continue
		}
		before := c.Instret
		exit := c.engine.Run()
		c.retired += c.Instret - before
		c.exits[exit]++
		switch exit {
		case engine.ExitWFI:
			c.Park()
		case engine.ExitFirmware:
			b.sbi.Trap(c.Hart)
		case engine.ExitStop:
			if c.Stuck() {
				b.End(Outcome{Kind: Stuck, Reason: b.whyStuck(c)})
			}
		}
	}
}

// whyStuck is called by the hart's own goroutine.
func (b *Board) whyStuck(c *cpu) string {
	cause, tval, epc := c.Mcause, c.Mtval, c.Mepc
	if c.Firmware || c.Priv == 1 {
		cause, tval, epc = c.Scause, c.Stval, c.Sepc
	}
	return fmt.Sprintf("hart %d faults in a loop: %s at pc %#x (address or instruction %#x), and so does its trap handler at %#x",
		c.ID, causeName(cause), epc, tval, c.PC)
}
