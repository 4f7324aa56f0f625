package virtio

// Signals: what flows from the device side to the driver (status changes, interrupts), behind one innermost mutex so that it can
// be raised from a queue, a device goroutine or a register access alike.

import (
	"log/slog"
	"sync"

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

	mu         sync.Mutex // innermost: only Line.Set is called with it held
	line       device.Line
	status     uint8
	isr        uint8
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
func (s *signals) queueInterrupt(int) {
	s.mu.Lock()
	s.raise(isrQueue)
	s.mu.Unlock()
}

// raise sets interrupt status bits. mu is held.
func (s *signals) raise(bits uint8) {
	if s.isr == 0 {
		s.line.Set(true)
	}
	s.isr |= bits
}

// pending is the interrupt status.
func (s *signals) pending() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isr
}

// acknowledge clears interrupt status bits and returns them as they were.
func (s *signals) acknowledge(bits uint8) uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.isr
	s.isr &^= bits
	if old != 0 && s.isr == 0 {
		s.line.Set(false)
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
	if s.isr != 0 {
		s.isr = 0
		s.line.Set(false)
	}
}
