package sbi

// Hart State Management Extension (SBI 2.0 §9).
//
// A hart has a record here that any hart may look at. Other harts move it from Stopped to StartPending, under the record's
// mutex, and nowhere else; every other step is the hart's own. A stopped hart waits in AwaitStart, which the board calls
// before each time it lets the engine run: that is where a start takes effect, on the hart's own goroutine.

import (
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// State is a hart's state as sbi_hart_get_status numbers it.
type State uint32

const (
	Started        State = 0
	Stopped        State = 1
	StartPending   State = 2
	StopPending    State = 3
	Suspended      State = 4
	SuspendPending State = 5
	ResumePending  State = 6
)

// atomicState is a State that any goroutine may read.
type atomicState struct{ v atomic.Uint32 }

func (s *atomicState) get() State  { return State(s.v.Load()) }
func (s *atomicState) set(v State) { s.v.Store(uint32(v)) }

type hartRecord struct {
	wake    chan struct{} // has a token when a start waits; capacity 1
	targets []*hart.Hart  // of the fence this hart is asking for; its own goroutine's

	mu         sync.Mutex // held for the step from Stopped to StartPending, and for each of Reset
	state      atomicState
	entry, arg uint64 // of the start that is pending
}

var hsmExtension = extension{eid: 0x0048_534d, name: "HSM", functions: []function{
	{"sbi_hart_start", hartStart},
	{"sbi_hart_stop", hartStop},
	{"sbi_hart_get_status", hartStatus},
	{"sbi_hart_suspend", hartSuspend},
}}

// Reset makes every hart stopped, as at power-on. No hart runs meanwhile.
func (s *SBI) Reset() {
	for i := range s.harts {
		r := &s.harts[i]
		r.mu.Lock()
		r.state.set(Stopped)
		select {
		case <-r.wake:
		default:
		}
		r.mu.Unlock()
	}
}

// Start asks a stopped hart to start in S-mode at entry with arg in a1: how the board boots the first one. It returns false
// when the hart is not stopped. Safe for concurrent use.
func (s *SBI) Start(id int, entry memory.GPA, arg uint64) bool {
	r := &s.harts[id]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.get() != Stopped {
		return false
	}
	r.entry, r.arg = uint64(entry), arg
	r.state.set(StartPending)
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true
}

// State returns the state of a hart. Safe for concurrent use.
func (s *SBI) State(id int) State { return s.harts[id].state.get() }

// AwaitStart returns true when the hart is started, at once or after waiting for it, and false when cancel is closed first.
// The board calls it, on the hart's goroutine, before it lets the engine run; a start takes effect here.
func (s *SBI) AwaitStart(h *hart.Hart, cancel <-chan struct{}) bool {
	r := &s.harts[h.ID]
	if r.state.get() == Started {
		return true
	}
	h.Leave() // nobody's fence waits for a hart that is stopped
	for {
		r.mu.Lock()
		pending, entry, arg := r.state.get() == StartPending, r.entry, r.arg
		r.mu.Unlock()
		if pending {
			Setup(h, entry, arg)
			r.state.set(Started)
			return true
		}
		select {
		case <-r.wake:
		case <-cancel:
			return false
		}
	}
}

// validEntry says whether a hart can begin at a physical address: RAM, and aligned for an instruction.
func (s *SBI) validEntry(addr uint64) bool {
	return addr&1 == 0 && s.cfg.RAM.Contains(memory.GPA(addr), 2)
}

func hartStart(s *SBI, _ *hart.Hart, a args) result {
	switch {
	case a[0] >= uint64(len(s.harts)):
		return fail(errInvalidParam)
	case !s.validEntry(a[1]):
		return fail(errInvalidAddress)
	case !s.Start(int(a[0]), memory.GPA(a[1]), a[2]):
		return fail(errAlreadyAvailable)
	}
	return ok(0)
}

// hartStop does not return to the guest: the board finds the hart stopped.
func hartStop(s *SBI, h *hart.Hart, _ args) result {
	s.harts[h.ID].state.set(Stopped)
	return result{flow: flowLeave}
}

func hartStatus(s *SBI, _ *hart.Hart, a args) result {
	if a[0] >= uint64(len(s.harts)) {
		return fail(errInvalidParam)
	}
	return ok(uint64(s.State(int(a[0]))))
}

// Suspend types.
const (
	suspendRetentive    = 0x0000_0000
	suspendNonRetentive = 0x8000_0000
)

// hartSuspend waits until an interrupt that sie enables is pending. From a retentive suspend the call returns; from the other
// kind, of which everything but the wake-up is lost, the hart goes on at a[1] as if it had been started there.
func hartSuspend(s *SBI, h *hart.Hart, a args) result {
	kind := uint32(a[0])
	switch {
	case kind != suspendRetentive && kind != suspendNonRetentive:
		return fail(errInvalidParam)
	case kind == suspendNonRetentive && !s.validEntry(a[1]):
		return fail(errInvalidAddress)
	}
	r := &s.harts[h.ID]
	r.state.set(Suspended)
	h.Park()
	r.state.set(Started)
	if kind == suspendRetentive {
		return ok(0)
	}
	h.WriteCSR(riscv.CSRSatp, 0)
	h.Mstatus &^= hart.MstatusSIE
	h.X[regA0], h.X[regA1], h.PC = h.ID, a[2], a[1]
	h.SetPriv(riscv.PrivS) // satp has changed under the banks
	return result{flow: flowLeave}
}

// What S-mode may do without asking (Privileged 1.13 §3.1.8, §3.1.11, §3.1.18).
const (
	// Every exception but the call to the firmware itself; the hart keeps of it what can be delegated.
	delegatedExceptions = ^uint64(1<<riscv.CauseEcallS | 1<<riscv.CauseEcallM)
	delegatedInterrupts = 1<<riscv.IntSSoftware | 1<<riscv.IntSTimer | 1<<riscv.IntSExternal
	// All counters; CY, TM and IR for U-mode too, until the supervisor decides.
	supervisorCounters = 0xffff_ffff
	userCounters       = 7
	// The supervisor's timer, page-based memory types, cache-block instructions, and hardware updates of A and D bits, which
	// a device tree that has Svadu without Svade promises to be on.
	environment = hart.EnvcfgSTCE | hart.EnvcfgPBMTE | hart.EnvcfgADUE | hart.EnvcfgCBZE | hart.EnvcfgCBCFE | hart.EnvcfgCBIE
)

// Setup puts a hart into the state in which a supervisor starts (SBI 2.0 §9.1): S-mode at entry, a0 = its ID, a1 = arg, no
// translation, interrupts off; everything else as after a reset. The caller owns the hart.
func Setup(h *hart.Hart, entry, arg uint64) {
	h.Reset(entry)
	h.Firmware = true
	h.OpenPMP()
	for _, c := range []struct {
		num uint16
		v   uint64
	}{
		{riscv.CSRMedeleg, delegatedExceptions},
		{riscv.CSRMideleg, delegatedInterrupts},
		{riscv.CSRMcounteren, supervisorCounters},
		{riscv.CSRScounteren, userCounters},
		{riscv.CSRMenvcfg, environment},
	} {
		h.WriteCSR(c.num, c.v)
	}
	h.X[regA0], h.X[regA1] = h.ID, arg
	h.SetPriv(riscv.PrivS)
}
