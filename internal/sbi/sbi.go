// Package sbi is the RISC-V Supervisor Binary Interface 2.0, answered by the host: what OpenSBI does on real boards, without
// an M-mode in the guest. A hart under it runs in S- and U-mode only (see package hart, "Firmware"); an ECALL from S-mode
// leaves the engine, and [SBI.Trap] answers it.
//
// What is offered is one table, extension by extension, in the files named after them; whatever is not in the table is
// ERR_NOT_SUPPORTED, which is what the specification asks of it. The arguments come from the guest and are not trusted.
//
// # Goroutines
//
// Trap, AwaitStart and everything they call run on the goroutine of the hart they are given. They touch other harts only
// through what package hart allows from any goroutine (SetPending, RemoteFence) and through this package's own records.
package sbi

import (
	"errors"
	"fmt"
	"io"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// Console is what the debug console reads and writes. Its methods may be called by several harts at once. Write may take long
// without holding up other harts, but a hart in it cannot be stopped: one that waits must give up when the machine ends. It may
// write less than all, without an error.
type Console interface {
	io.Writer
	// TryRead takes what input there is, without waiting, and returns how many bytes that is.
	TryRead(p []byte) int
}

// ResetKind is how a guest wants the machine to end (SBI 2.0 §10.1).
type ResetKind uint32

const (
	Shutdown   ResetKind = 0
	ColdReboot ResetKind = 1
	WarmReboot ResetKind = 2
)

func (k ResetKind) String() string {
	switch k {
	case Shutdown:
		return "shutdown"
	case ColdReboot:
		return "cold reboot"
	case WarmReboot:
		return "warm reboot"
	}
	return fmt.Sprintf("reset %d", uint32(k))
}

// ResetReason is why.
type ResetReason uint32

const (
	NoReason      ResetReason = 0
	SystemFailure ResetReason = 1 // Linux gives it after a panic
)

// Config is what the interface serves, and with what.
type Config struct {
	Harts []*hart.Hart // by ID, from 0
	RAM   *memory.RAM
	// Console is behind the debug console and the legacy one. Nil: neither is there.
	Console Console
	// Reset ends the machine. It is called on a hart's goroutine and must make every hart stop soon, without waiting for it.
	Reset func(ResetKind, ResetReason)
}

// SBI is the firmware of one machine.
type SBI struct {
	cfg   Config
	harts []hartRecord
}

// New makes the firmware. Every hart is stopped.
func New(cfg Config) (*SBI, error) {
	if cfg.RAM == nil || cfg.Reset == nil || len(cfg.Harts) == 0 {
		return nil, errors.New("sbi: harts, RAM and Reset are needed")
	}
	s := &SBI{cfg: cfg, harts: make([]hartRecord, len(cfg.Harts))}
	for i, h := range cfg.Harts {
		if h.ID != uint64(i) {
			return nil, fmt.Errorf("sbi: hart %d is at place %d", h.ID, i)
		}
		s.harts[i].wake = make(chan struct{}, 1)
		s.harts[i].targets = make([]*hart.Hart, 0, len(cfg.Harts))
	}
	s.Reset()
	return s, nil
}

// Errors of the binary interface (SBI 2.0 §3.1).
const (
	success             = 0
	errFailed           = -1
	errNotSupported     = -2
	errInvalidParam     = -3
	errInvalidAddress   = -5
	errAlreadyAvailable = -6
)

// result is what a call leaves in a0 and a1.
type result struct {
	err   int64
	value uint64
	// flow is what else happens to the hart.
	flow flow
}

type flow uint8

const (
	flowReturn flow = iota // back to the caller with a0 and a1
	flowLegacy             // back to the caller with value in a0, and a1 as it was (SBI 2.0 §5)
	flowLeave              // PC is where the hart shall go on, if it does
)

func ok(value uint64) result { return result{value: value} }
func fail(err int64) result  { return result{err: err} }

// args are a0 to a5.
type args [6]uint64

// function is one row of an extension: what it is called in the specification, and what it does.
type function struct {
	name string
	call func(s *SBI, h *hart.Hart, a args) result
}

// extension is one EID and its functions, by FID.
type extension struct {
	eid       uint32
	name      string
	console   bool // there only if the machine has a console
	legacy    bool // the FID means nothing
	functions []function
}

// extensions is everything there is, by EID. It is filled by init, because BASE looks into it.
var extensions = make(map[uint32]*extension)

func init() {
	for _, list := range [][]extension{{baseExtension, timeExtension, ipiExtension, rfenceExtension, hsmExtension, srstExtension, dbcnExtension}, legacyExtensions} {
		for i := range list {
			extensions[list[i].eid] = &list[i]
		}
	}
}

// extension returns what eid names on this machine, or nil.
func (s *SBI) extension(eid uint32) *extension {
	if e := extensions[eid]; e != nil && (!e.console || s.cfg.Console != nil) {
		return e
	}
	return nil
}

// Registers of the calling convention.
const (
	regA0 = 10
	regA1 = 11
	regA6 = 16
	regA7 = 17
)

// Trap does what h.FirmwareTrap asks for: it answers a call, and sends everything else on to S-mode, as firmware does that
// has no better idea. Afterwards the board runs the hart again, by way of AwaitStart.
func (s *SBI) Trap(h *hart.Hart) {
	t := h.FirmwareTrap
	if t.Cause != riscv.CauseEcallS {
		s.redirect(h, t)
		return
	}
	r := s.dispatch(h)
	switch r.flow {
	case flowReturn:
		h.X[regA0], h.X[regA1] = uint64(r.err), r.value
		h.PC += ecallLen
	case flowLegacy:
		h.X[regA0] = r.value
		h.PC += ecallLen
	}
}

// ecallLen is the length of ECALL in bytes; it has no compressed form.
const ecallLen = 4

// dispatch finds the function that a7 and a6 name. EIDs and FIDs have 32 bits (SBI 2.0 §3).
func (s *SBI) dispatch(h *hart.Hart) result {
	e := s.extension(uint32(h.X[regA7]))
	if e == nil {
		return fail(errNotSupported)
	}
	fid := uint64(uint32(h.X[regA6]))
	if e.legacy {
		fid = 0
	}
	if fid >= uint64(len(e.functions)) || e.functions[fid].call == nil {
		return fail(errNotSupported)
	}
	return e.functions[fid].call(s, h, args(h.X[regA0:regA0+6]))
}

// redirect delivers to S-mode an exception that was not delegated to it.
func (s *SBI) redirect(h *hart.Hart, t hart.Trap) {
	if t.Cause >= 64 {
		return // a machine-level interrupt: none is enabled under this firmware, and there is nobody to tell
	}
	delegated := h.Medeleg
	h.Medeleg |= 1 << t.Cause
	h.Exception(t.Cause, t.Tval)
	h.Medeleg = delegated
}

// mask calls f for each hart that a hart mask names (SBI 2.0 §3.1): bit i of mask is hart base+i, and a base of all ones
// means every hart. When one of them does not exist, f is not called at all, and the result says so.
func (s *SBI) mask(mask, base uint64, f func(*hart.Hart)) result {
	n := uint64(len(s.cfg.Harts))
	switch {
	case base == ^uint64(0):
		mask, base = 1<<n-1, 0
		if n >= 64 {
			mask = ^uint64(0)
		}
	case mask == 0:
		return ok(0)
	case base >= n || n-base < 64 && mask>>(n-base) != 0:
		return fail(errInvalidParam)
	}
	for i := base; mask != 0; i, mask = i+1, mask>>1 {
		if mask&1 != 0 {
			f(s.cfg.Harts[i])
		}
	}
	return ok(0)
}
