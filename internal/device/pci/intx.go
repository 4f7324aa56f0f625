package pci

// INTx: four wires shared by all functions (PCI Local Bus 3.0 §2.2.6), rotated by slot so that the first function of
// neighbouring slots do not share one.

import (
	"sync"

	"github.com/vmproject/vm/internal/device"
)

// wires is the four lines to the interrupt controller. A wire is high while any function on it asserts its pin.
type wires struct {
	mu       sync.Mutex // innermost: only Line.Set is called with it held
	lines    [4]device.Line
	asserted [4]int // functions that hold each wire high
}

// Wire is which of the four lines pin (1 to 4) of a slot is on: what the device tree's interrupt-map says, too.
func Wire(slot int, pin uint8) int { return (slot + int(pin) - 1) % 4 }

// pin is one function's interrupt output. It implements [device.Line].
type pin struct {
	w        *wires
	wire     int
	level    bool // as the function drives it
	disabled bool // command register, interrupt disable
	driving  bool // level && !disabled, as counted in w.asserted
}

// Set drives the pin.
func (p *pin) Set(level bool) {
	p.w.mu.Lock()
	p.level = level
	p.update()
	p.w.mu.Unlock()
}

// disable follows the interrupt disable bit. A nil pin is a function without interrupt.
func (p *pin) disable(on bool) {
	if p == nil {
		return
	}
	p.w.mu.Lock()
	p.disabled = on
	p.update()
	p.w.mu.Unlock()
}

// asserted is the status register's interrupt bit, which does not heed the disable bit.
func (p *pin) asserted() bool {
	if p == nil {
		return false
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.level
}

// update carries a change to the wire. w.mu is held.
func (p *pin) update() {
	on := p.level && !p.disabled
	if on == p.driving {
		return
	}
	p.driving = on
	n := &p.w.asserted[p.wire]
	if on {
		*n++
		if *n == 1 {
			p.w.lines[p.wire].Set(true)
		}
		return
	}
	*n--
	if *n == 0 {
		p.w.lines[p.wire].Set(false)
	}
}
