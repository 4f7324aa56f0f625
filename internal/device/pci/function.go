package pci

// What a device brings to the bus: its identity, its memory and its capabilities. All else in configuration space is the
// bus's business.

import (
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/device"
)

// Function is one PCI function. Load, Store and the hooks of its capabilities come from hart goroutines, several at once.
type Function interface {
	// Header describes the function. It is asked once, by [Host.Add].
	Header() Header
	// Connect hands over the function's INTx wire, before any access. Not called where Header has no pin.
	Connect(intx device.Line)
	// Load reads size bytes (1, 2, 4 or 8) at off of a BAR; off+size is within the BAR.
	Load(bar int, off uint64, size int) uint64
	// Store writes size bytes at off of a BAR.
	Store(bar int, off uint64, size int, v uint64)
	// Reset returns the function to its state at power-on.
	Reset()
}

// Header is what is fixed in a type 0 configuration header (PCI Local Bus 3.0 §6.1).
type Header struct {
	Vendor, Device                   uint16
	SubsystemVendor, SubsystemDevice uint16
	Class                            uint32 // base class, subclass, interface: 24 bits
	Revision                         uint8
	Pin                              uint8 // 1 to 4 for INTA to INTD, 0 for none
	BARs                             [6]BAR
	Capabilities                     []Capability
}

// BAR is one base address register: a window of memory space that the guest places. I/O space is not offered.
type BAR struct {
	Size         uint64 // in bytes, a power of two of at least 16; 0 where there is none
	Wide         bool   // 64-bit: takes the next register too
	Prefetchable bool
}

// Capability is one entry of the capability list (§6.7).
type Capability struct {
	ID       uint8
	Data     []byte // what follows the ID and the link, as the guest first sees it
	Writable []byte // bits of Data the guest may change; nil for none

	// Load, where set, is called before the guest reads bytes [off, off+n) of data, which it may update first.
	Load func(data []byte, off, n int)
	// Store, where set, is called after the guest wrote bytes [off, off+n) of data.
	Store func(data []byte, off, n int)
}

func (h *Header) check() error {
	if h.Pin > 4 {
		return fmt.Errorf("interrupt pin %d", h.Pin)
	}
	for i := 0; i < len(h.BARs); i++ {
		b := h.BARs[i]
		switch {
		case b.Size == 0:
			continue
		case b.Size < 16 || b.Size&(b.Size-1) != 0:
			return fmt.Errorf("BAR %d: size %#x is not a power of two of at least 16", i, b.Size)
		case !b.Wide && b.Size > 1<<31:
			return fmt.Errorf("BAR %d: size %#x needs 64 bits", i, b.Size)
		case b.Wide && (i == len(h.BARs)-1 || h.BARs[i+1].Size != 0):
			return fmt.Errorf("BAR %d: no room for its upper half", i)
		case b.Wide:
			i++
		}
	}
	end := capStart
	for _, c := range h.Capabilities {
		if c.Writable != nil && len(c.Writable) != len(c.Data) {
			return errors.New("a capability whose mask is not as long as its data")
		}
		end += (2 + len(c.Data) + 3) &^ 3
	}
	if end > spaceSize {
		return errors.New("the capabilities do not fit into configuration space")
	}
	return nil
}
