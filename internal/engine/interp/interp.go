// Package interp is the reference interpreter: obvious, complete, and what every other engine is compared with.
//
// How it reads. Guest code is predecoded, a page at a time and only where it is executed, into slots (page.go, lower.go). The
// hot loop (exec.go) is one switch over the slots' ops; instructions that are rare, or slow by nature, have handlers in one
// table instead (integer.go, float.go, atomic.go, system.go). Whatever needs the rules of the architecture rather than
// arithmetic, such as translation, traps or CSRs, is asked of package hart.
//
// An instruction retires when its handler returns, or traps and leaves no trace but the trap. Instret and the program counter
// are exact wherever anything can observe them.
package interp

import (
	"sync/atomic"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/softfloat"
)

// Budget is the host memory in bytes that the predecoded pages of one machine may take, however many harts it has.
const Budget = 40 << 20

// pageCost is what a predecoded page takes once the guest has executed something in it, as the allocator rounds it.
const pageCost = 40 << 10

// Pages is how many predecoded pages each hart of a machine may have.
func Pages(harts int) int { return Budget / pageCost / max(harts, 1) }

// Interp executes one hart. Its methods belong to the goroutine that runs the hart.
type Interp struct {
	h     *hart.Hart
	pages pages
	frame
	why   flow            // why the hot loop has to end, where a function that answers false says so
	flags softfloat.Flags // fflags of the floating-point instruction being executed

	single   *page  // see alone
	singleAt uint64 // the one slot of it that is an instruction
}

var _ engine.Engine = (*Interp)(nil)

// New makes an interpreter for h, the only hart of its machine.
func New(h *hart.Hart) *Interp { return NewSize(h, Pages(1)) }

// NewSize is New with a bound on the number of predecoded pages, at least 1.
func NewSize(h *hart.Hart, maxPages int) *Interp {
	in := &Interp{h: h, pages: newPages(h.RAM, maxPages), single: new(page)}
	for i := range in.single.slots {
		in.single.slots[i].op = opPageEnd
	}
	return in
}

// Name is "interp".
func (in *Interp) Name() string { return "interp" }

// Run executes until there is something for the board to do.
func (in *Interp) Run() engine.Exit {
	for {
		if exit, done, _ := in.run(1 << 62); done {
			return exit
		}
	}
}

// RunFor is Run with an end: it starts at most n instructions, and returns false when it has. An instruction that traps
// counts, and so does one that cannot be fetched; taking an interrupt does not.
func (in *Interp) RunFor(n uint64) (exit engine.Exit, exited bool) {
	for left := int64(min(n, 1<<62)); left > 0; {
		exit, exited, left = in.run(left)
		if exited {
			return exit, true
		}
	}
	return 0, false
}

// run polls, and executes until it has to poll again.
func (in *Interp) run(budget int64) (exit engine.Exit, exited bool, left int64) {
	if atomic.LoadUint32(&in.h.Attention) != 0 {
		switch in.h.Poll() {
		case hart.PollStop:
			return engine.ExitStop, true, budget
		case hart.PollFirmware:
			return engine.ExitFirmware, true, budget
		}
	}
	why, left := in.exec(budget)
	return engine.ExitWFI, why == flowWait, left
}
