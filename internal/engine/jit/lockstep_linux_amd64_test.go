package jit_test

// The translator beside the interpreter.

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/lockstep"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the first program; 0 draws one from the clock")
	stepFlag  = flag.Uint64("step", 0, "instructions a step in lock step; 0 draws them")
	blockFlag = flag.Int("block", 0, "most guest instructions of a block; 0 is the default")
	countFlag = flag.Int("programs", 10000, "how many programs run in lock step")
)

// firstSeed is the seed of the first program of a test: any, since every run may look at new programs, but printed.
func firstSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d; again: go test ./internal/engine/jit -run '^%s$' -seed %d -programs N", seed, t.Name(), seed)
	return seed
}

// steps is what a Runner.Steps is.
func steps() func(*rand.Rand) uint64 {
	if n := *stepFlag; n != 0 {
		return func(*rand.Rand) uint64 { return n }
	}
	return nil
}

func programs() int {
	if testing.Short() {
		return min(*countFlag, 500)
	}
	return *countFlag
}

func newEngine(t testing.TB, o jit.Options) func(h *hart.Hart) lockstep.Engine {
	return func(h *hart.Hart) lockstep.Engine {
		m, err := jit.NewMachine(h.RAM, o)
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.New(h, 64)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
}

func TestLockStep(t *testing.T) {
	r := &lockstep.Runner{New: newEngine(t, jit.Options{CodeSize: 4 << 20, MaxGuest: *blockFlag}), Steps: steps(), MemoryEvery: *stepFlag}
	start := time.Now()
	if err := r.RunSeeds(firstSeed(t), programs()); err != nil {
		t.Fatal(err)
	}
	s := &r.Stats
	t.Logf("%d programs in %v: %d ended, %d stuck; %d instructions, %d steps", s.Programs, time.Since(start), s.Ended, s.Stuck,
		s.Instructions, s.Steps)
}

func TestLockStepUserLevel(t *testing.T) {
	seed := firstSeed(t)
	r := &lockstep.Runner{New: newEngine(t, jit.Options{CodeSize: 4 << 20, MaxGuest: *blockFlag}), Steps: steps(), MemoryEvery: *stepFlag}
	start := time.Now()
	for done := 0; done < programs(); done += lockstep.Batch {
		img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), lockstep.Batch, difftest.All))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.RunImage(img); err != nil {
			t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
		}
	}
	t.Logf("%d images of %d programs in %v: %d instructions, %d steps", r.Stats.Programs, lockstep.Batch, time.Since(start),
		r.Stats.Instructions, r.Stats.Steps)
}
