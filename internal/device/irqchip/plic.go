package irqchip

// The platform-level interrupt controller (RISC-V PLIC 1.0.0): devices' level-triggered wires in, one wire a context out.
//
// Each source has a gateway: a high level becomes one request, and the next request waits until the handler completes the
// first (chapter Interrupt Gateways). A request that was made stays pending even if the level falls before it is claimed.

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device"
)

// The PLIC as the board has it.
const (
	PLICSize    = 0x60_0000 // bytes of the register block
	PLICSources = 95        // sources are 1..95; 0 means none
	maxPriority = 7         // priorities are 3 bits; 0 never interrupts
)

// The register map (chapter Memory Map).
const (
	plicPriority  = 0x0000 // + 4*source
	plicPending   = 0x1000 // one bit a source
	plicEnable    = 0x2000 // + 0x80*context, one bit a source
	plicContext   = 0x20_0000
	enableStride  = 0x80
	contextStride = 0x1000
	maxContexts   = (PLICSize - plicContext) / contextStride

	threshold = 0 // within a context
	claim     = 4
)

// sources is a set of interrupt sources, source n being bit n.
type sources [2]uint64

func (s *sources) has(n uint) bool { return s[n/64]>>(n%64)&1 != 0 }

func (s *sources) put(n uint, in bool) {
	if in {
		s[n/64] |= 1 << (n % 64)
	} else {
		s[n/64] &^= 1 << (n % 64)
	}
}

// word is the 32-bit register i of the set.
func (s *sources) word(i uint64) uint64 {
	if i >= 4 {
		return 0
	}
	return s[i/2] >> (i % 2 * 32) & 0xffff_ffff
}

// every is all sources that exist.
var every = sources{^uint64(1), 1<<(PLICSources-63) - 1}

// PLIC has two contexts a hart: 2*hart for machine mode, 2*hart+1 for supervisor mode.
type PLIC struct {
	lines [PLICSources + 1]plicSource

	mu       sync.Mutex // taken after any device's, before a context's line
	priority [PLICSources + 1]uint8
	above    [maxPriority]sources // above[t] holds the sources with a priority greater than t
	level    sources              // wires
	pending  sources              // requests waiting for a claim
	busy     sources              // requests claimed and not completed: their gateways are shut
	contexts []plicContextState
}

type plicContextState struct {
	out       device.Line
	raised    bool // the level of out
	enable    sources
	threshold uint8
}

// plicSource is the wire of one device.
type plicSource struct {
	plic *PLIC
	n    uint
	high atomic.Bool // copy of the level, so that a wire that does not change costs no lock
}

// NewPLIC makes a controller whose context i drives out[i]: the external interrupt of hart i/2 in machine mode for even i,
// in supervisor mode for odd. Preconditions: between 1 and 1024 contexts.
func NewPLIC(out []device.Line) *PLIC {
	if len(out) == 0 || len(out) > maxContexts {
		panic("irqchip: PLIC needs 1 to 1024 contexts")
	}
	p := &PLIC{contexts: make([]plicContextState, len(out))}
	for i, l := range out {
		p.contexts[i].out = l
	}
	for n := range p.lines {
		p.lines[n].plic, p.lines[n].n = p, uint(n)
	}
	return p
}

// Source is the wire into source n, 1 to [PLICSources]. One device at a time drives it; devices that share a source
// combine their levels before.
func (p *PLIC) Source(n int) device.Line {
	if n < 1 || n > PLICSources {
		panic("irqchip: no such PLIC source")
	}
	return &p.lines[n]
}

// Set implements [device.Line].
func (s *plicSource) Set(level bool) {
	if s.high.Load() == level {
		return
	}
	p := s.plic
	p.mu.Lock()
	defer p.mu.Unlock()
	s.high.Store(level)
	p.level.put(s.n, level)
	if level && !p.busy.has(s.n) && !p.pending.has(s.n) {
		p.pending.put(s.n, true)
		p.notify()
	}
}

// notify brings every context's wire up to date: high while a pending, enabled source is above the threshold.
func (p *PLIC) notify() {
	for i := range p.contexts {
		c := &p.contexts[i]
		raise := false
		if c.threshold < maxPriority {
			above := &p.above[c.threshold]
			raise = p.pending[0]&c.enable[0]&above[0]|p.pending[1]&c.enable[1]&above[1] != 0
		}
		if raise != c.raised {
			c.raised = raise
			c.out.Set(raise)
		}
	}
}

// claim takes the pending, enabled source with the highest priority, the lowest number among equals; 0 when there is none.
// The threshold has no part in it (chapter Interrupt Claim Process).
func (p *PLIC) claim(c *plicContextState) uint64 {
	for t := maxPriority - 1; t >= 0; t-- {
		for w := range p.pending {
			if m := p.pending[w] & c.enable[w] & p.above[t][w]; m != 0 {
				n := uint(w*64 + bits.TrailingZeros64(m))
				p.pending.put(n, false)
				p.busy.put(n, true)
				p.notify()
				return uint64(n)
			}
		}
	}
	return 0
}

// complete opens the gateway of source n again: a level that is still high is a new request. A source that is not enabled
// for the context, or not claimed, is ignored (chapter Interrupt Completion).
func (p *PLIC) complete(c *plicContextState, n uint64) {
	if n > PLICSources || !c.enable.has(uint(n)) || !p.busy.has(uint(n)) {
		return
	}
	p.busy.put(uint(n), false)
	if p.level.has(uint(n)) {
		p.pending.put(uint(n), true)
		p.notify()
	}
}

// Load implements [device.Device]. Registers are 4 bytes wide.
func (p *PLIC) Load(off uint64, size int) uint64 {
	if size != 4 || off%4 != 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case off < plicPending:
		if n := off / 4; n <= PLICSources {
			return uint64(p.priority[n])
		}
	case off < plicEnable:
		return p.pending.word((off - plicPending) / 4)
	case off < plicContext:
		if c := (off - plicEnable) / enableStride; c < uint64(len(p.contexts)) {
			return p.contexts[c].enable.word((off - plicEnable) % enableStride / 4)
		}
	default:
		if i := (off - plicContext) / contextStride; i < uint64(len(p.contexts)) {
			switch c := &p.contexts[i]; off % contextStride {
			case threshold:
				return uint64(c.threshold)
			case claim:
				return p.claim(c)
			}
		}
	}
	return 0
}

// Store implements [device.Device]. Registers are 4 bytes wide; the pending bits are read-only.
func (p *PLIC) Store(off uint64, size int, v uint64) {
	if size != 4 || off%4 != 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case off < plicPending:
		if n := off / 4; n >= 1 && n <= PLICSources {
			p.setPriority(uint(n), uint8(v&maxPriority))
		}
	case off < plicEnable:
	case off < plicContext:
		c, w := (off-plicEnable)/enableStride, (off-plicEnable)%enableStride/4
		if c < uint64(len(p.contexts)) && w < 4 {
			e, shift := &p.contexts[c].enable, w%2*32
			e[w/2] = (e[w/2]&^(0xffff_ffff<<shift) | v&0xffff_ffff<<shift) & every[w/2]
			p.notify()
		}
	default:
		if i := (off - plicContext) / contextStride; i < uint64(len(p.contexts)) {
			switch c := &p.contexts[i]; off % contextStride {
			case threshold:
				c.threshold = uint8(v & maxPriority)
				p.notify()
			case claim:
				p.complete(c, v&0xffff_ffff)
			}
		}
	}
}

func (p *PLIC) setPriority(n uint, priority uint8) {
	if p.priority[n] == priority {
		return
	}
	p.priority[n] = priority
	for t := range p.above {
		p.above[t].put(n, int(priority) > t)
	}
	p.notify()
}

// Reset implements [device.Resetter]. Wires are taken to be low: every device lowers its own in its Reset.
func (p *PLIC) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.priority[:])
	clear(p.above[:])
	p.level, p.pending, p.busy = sources{}, sources{}, sources{}
	for n := range p.lines {
		p.lines[n].high.Store(false)
	}
	for i := range p.contexts {
		p.contexts[i].enable, p.contexts[i].threshold = sources{}, 0
	}
	p.notify()
}
