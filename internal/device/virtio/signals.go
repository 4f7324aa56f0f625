package virtio

// Signals: what flows from the device side to the driver (status changes, interrupts). They can be raised from a queue, a device goroutine or a register
// access alike: status is behind an innermost mutex, and interrupts, which every request has, take none.

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device"
)

// Interrupt status bits, the same in both transports (virtio 1.3 §4.1.4.5, §4.2.2).
const (
	isrQueue  = 1
	isrConfig = 2
)

// signals implements [Transport].
type signals struct {
	log *slog.Logger

	isr  atomic.Uint32
	line device.Line // is high while isr is not zero: see level

	mu         sync.Mutex // innermost: only Line.Set is called with it held
	status     uint8
	generation uint8 // of the configuration space
}

func newSignals(line device.Line, log *slog.Logger) *signals {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &signals{line: line, log: log}
}

// ConfigChanged implements [Transport].
func (s *signals) ConfigChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	if s.status&StatusDriverOK != 0 {
		s.raise(isrConfig)
	}
}

// NeedsReset implements [Transport].
func (s *signals) NeedsReset(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status&StatusNeedsReset != 0 || s.status&StatusFeaturesOK == 0 {
		return // said already, or a late word from before a reset
	}
	s.status |= StatusNeedsReset
	if s.status&StatusDriverOK != 0 {
		s.raise(isrConfig) // §2.1.2
	}
	// A guest can come here as often as it likes: not a warning.
	s.log.Debug("virtio device needs a reset", "error", why)
}

// queueInterrupt says that queue n has used buffers. With one wire for all, n does not matter; with MSI-X it picks the vector.
//
// Where the bit is set already the driver has yet to read and clear it, and looks at the rings after that: it finds what the caller has
// published before it looked here.
func (s *signals) queueInterrupt(int) {
	if s.isr.Load()&isrQueue != 0 {
		return
	}
	s.raise(isrQueue)
}

// raise sets interrupt status bits.
func (s *signals) raise(bits uint32) {
	if s.isr.Or(bits) == 0 {
		s.level()
	}
}

// level makes the wire what isr says. Who changes isr between zero and not comes here afterwards, and looks once more after it has set the wire: so the last one to set
// it, whoever else is about, has seen what isr is in the end.
func (s *signals) level() {
	for {
		high := s.isr.Load() != 0
		s.line.Set(high)
		if (s.isr.Load() != 0) == high {
			return
		}
	}
}

// pending is the interrupt status.
func (s *signals) pending() uint32 { return s.isr.Load() }

// acknowledge clears interrupt status bits and returns them as they were.
func (s *signals) acknowledge(bits uint32) uint32 {
	if s.isr.Load() == 0 { // another device on the wire, or another hart was first
		return 0
	}
	old := s.isr.And(^bits)
	if old != 0 && old&^bits == 0 {
		s.level()
	}
	return old
}

func (s *signals) loadStatus() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// addStatus sets status bits; none is ever cleared but by reset.
func (s *signals) addStatus(bits uint8) {
	s.mu.Lock()
	s.status |= bits
	s.mu.Unlock()
}

func (s *signals) loadGeneration() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// reset clears status and interrupts. The generation goes on counting: a driver may compare across a reset.
func (s *signals) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = 0
	if s.isr.Swap(0) != 0 {
		s.level()
	}
}
