// Package irqchip is the interrupt controllers of the machine: the ACLINT that raises software and timer interrupts for
// each hart, and the PLIC that distributes the interrupts of devices.
//
// Both know harts only as [device.Line]s. Lines are driven with the controller's mutex held and only when they change, so
// a line must not call back into the controller.
package irqchip

import (
	"sync"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/timebase"
)

// ACLINTSize is the size in bytes of the ACLINT's register block.
const ACLINTSize = 0x10000

// The SiFive CLINT layout, which the ACLINT specification keeps as MSWI at 0 and MTIMER at 0x4000 (RISC-V ACLINT 1.0 §2, §3).
const (
	msipBase     = 0x0000 // + 4*hart
	mtimecmpBase = 0x4000 // + 8*hart
	mtimeOffset  = 0xbff8

	maxACLINTHarts = (mtimeOffset - mtimecmpBase) / 8
)

// ACLINT is the machine-level software interrupt device (MSWI) and the machine-level timer (MTIMER) in one register block.
//
// mtime is read-only here: it is the machine's one clock, which the time CSR and the Sstc compare registers follow too, and
// a write is ignored as it is on a platform whose time base is set by somebody else (Privileged 1.13 §3.2.1 leaves how it
// is written to the platform). Registers may be read and written as 4 bytes, the 64-bit ones also as 8.
type ACLINT struct {
	clock *timebase.Clock
	harts []aclintHart
}

// aclintHart is one hart's registers. Harts do not share a mutex: a timer write of one never waits for another.
type aclintHart struct {
	clock      *timebase.Clock
	alarm      *timebase.Alarm
	msip, mtip device.Line

	mu       sync.Mutex // taken before the alarm's own
	pending  bool       // msip bit 0
	mtimecmp uint64
	expired  bool // the level of mtip
}

// NewACLINT makes the device for len(msip) harts, whose machine software and timer interrupts are msip[i] and mtip[i].
// Preconditions: len(msip) == len(mtip), between 1 and 4095.
func NewACLINT(clock *timebase.Clock, msip, mtip []device.Line) *ACLINT {
	if len(msip) != len(mtip) || len(msip) == 0 || len(msip) > maxACLINTHarts {
		panic("irqchip: ACLINT needs one msip and one mtip line a hart")
	}
	a := &ACLINT{clock: clock, harts: make([]aclintHart, len(msip))}
	for i := range a.harts {
		h := &a.harts[i]
		h.clock, h.msip, h.mtip, h.mtimecmp = clock, msip[i], mtip[i], ^uint64(0)
		h.alarm = clock.NewAlarm(h.ring)
	}
	return a
}

// Load implements [device.Device].
func (a *ACLINT) Load(off uint64, size int) uint64 {
	if size != 4 && size != 8 || off%uint64(size) != 0 {
		return 0
	}
	switch {
	case off < mtimecmpBase:
		if i := off / 4; size == 4 && i < uint64(len(a.harts)) {
			h := &a.harts[i]
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.pending {
				return 1
			}
		}
	case off < mtimeOffset:
		if i := (off - mtimecmpBase) / 8; i < uint64(len(a.harts)) {
			h := &a.harts[i]
			h.mu.Lock()
			defer h.mu.Unlock()
			return part(h.mtimecmp, off, size)
		}
	case off < mtimeOffset+8:
		return part(a.clock.Now(), off, size)
	}
	return 0
}

// Store implements [device.Device].
func (a *ACLINT) Store(off uint64, size int, v uint64) {
	if size != 4 && size != 8 || off%uint64(size) != 0 {
		return
	}
	switch {
	case off < mtimecmpBase:
		if i := off / 4; size == 4 && i < uint64(len(a.harts)) {
			a.harts[i].setSoftware(v&1 != 0)
		}
	case off < mtimeOffset:
		if i := (off - mtimecmpBase) / 8; i < uint64(len(a.harts)) {
			a.harts[i].storeCompare(off, size, v)
		}
	}
}

// Reset implements [device.Resetter].
func (a *ACLINT) Reset() {
	for i := range a.harts {
		a.harts[i].setSoftware(false)
		a.harts[i].storeCompare(0, 8, ^uint64(0))
	}
}

// part is the 4 or 8 bytes of the 64-bit register v that an aligned access at off names.
func part(v, off uint64, size int) uint64 {
	if size == 8 {
		return v
	}
	return v >> (off & 4 * 8) & 0xffff_ffff
}

func (h *aclintHart) setSoftware(level bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pending != level {
		h.pending = level
		h.msip.Set(level)
	}
}

// storeCompare writes all or half of mtimecmp: mtip is high exactly while mtime >= mtimecmp.
func (h *aclintHart) storeCompare(off uint64, size int, v uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if size == 4 {
		shift := off & 4 * 8
		v = h.mtimecmp&^(0xffff_ffff<<shift) | v&0xffff_ffff<<shift
	}
	h.mtimecmp = v
	if h.clock.Now() >= v {
		h.alarm.Stop()
		h.setTimer(true)
		return
	}
	h.setTimer(false)
	h.alarm.Set(v)
}

// ring runs on the alarm's goroutine. The compare register may have moved since the alarm was set.
func (h *aclintHart) ring() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clock.Now() >= h.mtimecmp {
		h.setTimer(true)
	}
}

func (h *aclintHart) setTimer(level bool) {
	if h.expired != level {
		h.expired = level
		h.mtip.Set(level)
	}
}
