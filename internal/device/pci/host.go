// Package pci is a PCI Express host bridge as firmware-less machines have it: configuration space mapped by ECAM
// (device tree "pci-host-ecam-generic"), one bus of up to 32 single-function slots, memory windows in which the guest places
// BARs and may move them at any time, and the four legacy interrupts.
//
// Hot path: an access to a BAR reads one atomic pointer and takes no lock here. Everything else is under Host.mu.
package pci

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/memory"
)

// Slots is the number of slots of the bus; slot 0 is the host bridge.
const Slots = 32

// ECAMSize is the size in bytes of configuration space for all 256 buses (PCI Express 5.0 §7.2.2). Only bus 0 is populated.
const ECAMSize = 256 << 20

// Host is the host bridge. Add is for assembly time; the devices it hands out are safe for concurrent use.
type Host struct {
	wires wires

	mu    sync.Mutex // taken before a function's own mutexes
	slots [Slots]*config

	decoded atomic.Pointer[[]decoded] // replaced, never changed
}

// decoded is one enabled BAR.
type decoded struct {
	base, last uint64 // inclusive: a BAR may end at the top of the address space
	fn         Function
	bar        int
}

// NewHost makes a bus with nothing but the bridge at 00:00.0. The lines are INTA to INTD of slot 0, as rotated by [Wire].
func NewHost(lines [4]device.Line) *Host {
	h := &Host{wires: wires{lines: lines}}
	h.decoded.Store(new([]decoded))
	h.slots[0] = newConfig(bridge{}, bridge{}.Header())
	return h
}

// Add puts a function into a slot (1 to 31).
func (h *Host) Add(slot int, fn Function) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slot < 1 || slot >= Slots {
		return fmt.Errorf("pci: slot %d is not between 1 and %d", slot, Slots-1)
	}
	if h.slots[slot] != nil {
		return fmt.Errorf("pci: slot %d is taken", slot)
	}
	header := fn.Header()
	if err := header.check(); err != nil {
		return fmt.Errorf("pci: slot %d: %w", slot, err)
	}
	c := newConfig(fn, header)
	if header.Pin != 0 {
		c.pin = &pin{w: &h.wires, wire: Wire(slot, header.Pin)}
		fn.Connect(c.pin)
	}
	h.slots[slot] = c
	return nil
}

// ECAM is configuration space as a device of [ECAMSize] bytes. Resetting it resets the whole bus and every function on it.
func (h *Host) ECAM() device.Device { return ecam{h} }

// Window is memory space seen through the address range that starts at base: guest physical and bus addresses are equal.
// The size is what it is mapped with. A host may have several.
func (h *Host) Window(base memory.GPA) device.Device { return window{h, uint64(base)} }

// redecode rebuilds the table of enabled BARs. h.mu is held.
func (h *Host) redecode() {
	var t []decoded
	for _, c := range h.slots {
		if c == nil || c.command()&commandMemory == 0 {
			continue
		}
		for i, b := range c.header.BARs {
			if b.Size != 0 {
				base := c.barBase(i)
				t = append(t, decoded{base, base + b.Size - 1, c.fn, i})
			}
		}
	}
	h.decoded.Store(&t)
}

// find is the BAR that holds all of [a, a+size), or nil. Where a guest lets BARs overlap, the lowest slot answers.
func (h *Host) find(a uint64, size int) *decoded {
	t := *h.decoded.Load()
	for i := range t {
		if d := &t[i]; a >= d.base && a <= d.last && uint64(size)-1 <= d.last-a {
			return d
		}
	}
	return nil
}

// reset returns bus and functions to their state at power-on.
func (h *Host) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.slots {
		if c != nil {
			c.reset()
		}
	}
	h.redecode()
}

// ones is what a read that nobody answers gives: the bus floats high.
func ones(size int) uint64 { return ^uint64(0) >> (64 - 8*size) }

// IO is I/O space, in which no function has anything. There are drivers of host bridges that insist on a window to it.
func IO() device.Device { return emptySpace{} }

type emptySpace struct{}

func (emptySpace) Load(_ uint64, size int) uint64 { return ones(size) }
func (emptySpace) Store(uint64, int, uint64)      {}

type window struct {
	h    *Host
	base uint64
}

func (w window) Load(off uint64, size int) uint64 {
	a := w.base + off
	d := w.h.find(a, size)
	if d == nil {
		return ones(size)
	}
	return d.fn.Load(d.bar, a-d.base, size)
}

func (w window) Store(off uint64, size int, v uint64) {
	a := w.base + off
	if d := w.h.find(a, size); d != nil {
		d.fn.Store(d.bar, a-d.base, size, v)
	}
}

type ecam struct{ h *Host }

// slot is the function an ECAM offset addresses (bus 8 bits, device 5, function 3, register 12), or nil.
func (e ecam) slot(off uint64) *config {
	if off>>20 != 0 || off>>12&7 != 0 {
		return nil
	}
	return e.h.slots[off>>15&31]
}

func (e ecam) Load(off uint64, size int) uint64 {
	if size == 8 {
		return e.Load(off, 4) | e.Load(off+4, 4)<<32
	}
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	c := e.slot(off)
	if c == nil || off&uint64(size-1) != 0 {
		return ones(size)
	}
	return uint64(c.load(int(off&0xFFF), size))
}

func (e ecam) Store(off uint64, size int, v uint64) {
	if size == 8 {
		e.Store(off, 4, v)
		e.Store(off+4, 4, v>>32)
		return
	}
	e.h.mu.Lock()
	defer e.h.mu.Unlock()
	c := e.slot(off)
	if c == nil || off&uint64(size-1) != 0 {
		return
	}
	if c.store(int(off&0xFFF), size, uint32(v)) {
		e.h.redecode()
	}
}

// Reset implements [device.Resetter].
func (e ecam) Reset() { e.h.reset() }

// bridge is the function at 00:00.0: there to be found, with nothing to do. It has the identity of QEMU's generic bridge, which
// drivers know to leave alone.
type bridge struct{}

func (bridge) Header() Header                        { return Header{Vendor: 0x1B36, Device: 0x0008, Class: 0x060000} }
func (bridge) Connect(device.Line)                   {}
func (bridge) Load(_ int, _ uint64, size int) uint64 { return ones(size) }
func (bridge) Store(int, uint64, int, uint64)        {}
func (bridge) Reset()                                {}
