package amd64

// Counting of loads and stores, for --stats. Code has it only where Compiler.Counting is set: each count is an instruction.
//
// A look-up is counted where it begins, once, whatever it takes, and counted as missed where it leaves the straight way, so that the difference is
// hits. A host's flags are lost, so that what is counted stands where nobody wants them.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
)

// Count is something that is counted, in State.Counted.
type Count uint8

const (
	CountLoads       Count = iota // look-ups in the TLB, for loads
	CountLoadsMissed              // of those, the ones that found nothing, or an access that goes over the end of its page
	CountStores                   // likewise for stores
	CountStoresMissed
	CountShared   // accesses by a look-up that was made for several
	CountMirrored // accesses to mirrors
	NumCounts
)

var _ [len(hart.State{}.Counted) - int(NumCounts)]struct{}

// count counts one.
func (c *Compiler) count(n Count) {
	if c.Counting {
		c.M(asm.INC, asm.S64, state(offCounted+8*int32(n)))
	}
}

// countLookup counts a look-up in a table.
func (c *Compiler) countLookup(table int32) {
	n := CountLoads
	if table == offStores {
		n = CountStores
	}
	c.count(n)
}

// countMissed counts one that has missed.
func (c *Compiler) countMissed(table int32) {
	n := CountLoadsMissed
	if table == offStores {
		n = CountStoresMissed
	}
	c.count(n)
}
