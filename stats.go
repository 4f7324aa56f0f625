package vm

import (
	"fmt"
	"time"

	"github.com/vmproject/vm/internal/board"
)

// Stats says what a machine did.
type Stats struct {
	Elapsed time.Duration // wall time of Run
	board.Stats
}

// Stats is what the machine did. Call it when Run has returned.
func (m *Machine) Stats() Stats { return Stats{m.ran, m.board.Stats()} }

// String is a table for people.
func (s Stats) String() string {
	mips := 0.0
	if s.Elapsed > 0 {
		mips = float64(s.Instructions) / s.Elapsed.Seconds() / 1e6
	}
	return fmt.Sprintf("engine %s\n  %-28s %15d\n  %-28s %15.1f\n  %-28s %15.3f\n%s", s.Engine,
		"instructions", s.Instructions, "million instructions/s", mips, "seconds", s.Elapsed.Seconds(), s.Stats)
}
