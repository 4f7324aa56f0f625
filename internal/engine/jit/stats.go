package jit

// What the translator did.

import (
	"fmt"
	"time"

	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Stats counts what was done for all harts of a machine.
type Stats struct {
	Blocks, Plain uint64 // translations made; of those, the ones without groups
	Guest         uint64 // guest instructions in them
	Bytes         uint64 // host code
	Time          time.Duration
	Links         uint64 // jumps completed
	Stale         uint64 // pages dropped because they had been written
	Evictions     uint64 // regions of code memory freed

	perf *code.PerfMap
}

func (s *Stats) compiled(b *ir.Block, gpa uint64, at code.Addr, size int, took time.Duration) {
	s.Blocks++
	if b.Plain {
		s.Plain++
	}
	s.Guest += uint64(b.Guest)
	s.Bytes += uint64(size)
	s.Time += took
	if s.perf != nil {
		s.name(at, size, fmt.Sprintf("guest physical %#x", gpa))
	}
}

// name names code for Linux perf. That is a help for people and no more, so errors are not.
func (s *Stats) name(at code.Addr, size int, name string) {
	if s.perf != nil {
		_ = s.perf.Add(at, size, name)
	}
}

// Stats is what was done so far.
func (m *Machine) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}
