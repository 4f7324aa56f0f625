// Package plan is what a guest does to its disk, as a function of a seed: the guest follows it, and whoever looks at the disk afterwards knows from the
// number of the last acknowledged step alone what has to be there. Guest and host compile the same package, so it must not depend on either.
//
// A batch is some operations, of which no two touch the same sector, and an fsync. So the operations of a batch may be under way at the same time, in any order, and
// a sector has one content for each batch. Batches are numbered from 1.
package plan

import (
	"flag"
	"fmt"
	"math/rand/v2"
)

// Plan names one: two that are equal do the same.
type Plan struct {
	Seed    uint64
	Sector  int   // bytes of what is written whole or not at all
	Sectors int64 // of the disk
	Unit    int64 // sectors; operations begin and end at multiples of it
	Files   bool  // files of a file system, instead of sectors of a disk
}

// AddFlags defines the flags by which a guest is told its plan; Args are those of a plan.
func (p *Plan) AddFlags(f *flag.FlagSet) {
	f.Uint64Var(&p.Seed, "seed", 0, "the plan's `seed`")
	f.IntVar(&p.Sector, "sector", 512, "size of a sector in `bytes`")
	f.Int64Var(&p.Sectors, "sectors", 0, "`sectors` of the disk")
	f.Int64Var(&p.Unit, "unit", 1, "`sectors` that an operation has a multiple of")
	f.BoolVar(&p.Files, "files", false, "write files of a file system, not sectors")
}

// Args are the flags of the plan.
func (p Plan) Args() []string {
	return []string{fmt.Sprint("-seed=", p.Seed), fmt.Sprint("-sector=", p.Sector), fmt.Sprint("-sectors=", p.Sectors), fmt.Sprint("-unit=", p.Unit),
		fmt.Sprint("-files=", p.Files)}
}

// Kind is what an operation does.
type Kind int

// The kinds of operations.
const (
	Write   Kind = iota // writes the sectors, or the file
	Zero                // makes the sectors zeros, and keeps their room
	Punch               // makes the sectors zeros, and gives back their room; removes the file
	Discard             // says that the sectors' contents do not matter any more
)

var kindNames = [...]string{Write: "write", Zero: "zero", Punch: "punch", Discard: "discard"}

func (k Kind) String() string { return kindNames[k] }

// Op is one operation.
type Op struct {
	Kind  Kind
	First int64 // sector, or number of the file
	Count int64 // sectors, or 1
	To    Content
}

// Slots is how many files there are at most.
const Slots = 24

const (
	mostOps     = 12
	mostWritten = 256 << 10 // bytes of a write
	mostCleared = 1 << 20   // bytes of what is no write
	near        = 2 << 20   // bytes around a place that half of a batch keeps to, so that operations meet in clusters and tables
)

// weights are how often each kind comes, of 100.
var weights = [...]int{Write: 76, Zero: 8, Punch: 10, Discard: 6}

// Batch is the operations of batch number b.
func (p Plan) Batch(b uint64) []Op {
	rng := rand.New(rand.NewPCG(p.Seed, b))
	if p.Files {
		return p.files(rng, b)
	}
	var ops []Op
	place := rng.Int64N(p.Sectors)
	for range 3 + rng.IntN(mostOps-3) {
		op := Op{Kind: pick(rng)}
		most := int64(mostWritten)
		if op.Kind != Write {
			most = mostCleared
		}
		unit := p.Unit * int64(p.Sector)
		op.Count = (1 + rng.Int64N(max(1, most>>rng.IntN(10)/unit))) * p.Unit // small ones are as many as large ones
		at := rng.Int64N(p.Sectors)
		if rng.IntN(2) == 0 {
			at = place + rng.Int64N(near/int64(p.Sector))
		}
		op.First = min(at, p.Sectors-op.Count) / p.Unit * p.Unit
		if !meets(ops, op) {
			op.To = op.makes(b, len(ops))
			ops = append(ops, op)
		}
	}
	return ops
}

// files is a batch of files, each written or removed as a whole.
func (p Plan) files(rng *rand.Rand, b uint64) (ops []Op) {
	for range 1 + rng.IntN(4) {
		op := Op{Kind: Write, First: rng.Int64N(Slots), Count: 1}
		if rng.IntN(5) == 0 {
			op.Kind = Punch
		}
		if !meets(ops, op) {
			op.To = op.makes(b, len(ops))
			ops = append(ops, op)
		}
	}
	return ops
}

func pick(rng *rand.Rand) Kind {
	n := rng.IntN(100)
	for k, w := range weights {
		if n -= w; n < 0 {
			return Kind(k)
		}
	}
	return Write
}

func meets(ops []Op, op Op) bool {
	for _, o := range ops {
		if o.First < op.First+op.Count && op.First < o.First+o.Count {
			return true
		}
	}
	return false
}

// makes is what the sectors hold after the operation number i of batch b.
func (o Op) makes(b uint64, i int) Content {
	switch o.Kind {
	case Write:
		return Version(b, i)
	case Discard:
		return Anything
	}
	return Nothing
}
