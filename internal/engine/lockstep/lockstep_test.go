package lockstep

import (
	"flag"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the first program; 0 draws one from the clock")
	countFlag = flag.Int("programs", 10000, "how many programs run in lock step")
)

// firstSeed is the seed of the first program of a test: any, since every run may look at new programs, but printed.
func firstSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d; again: go test ./internal/engine/lockstep -run '^%s$' -seed %d -programs N", seed, t.Name(), seed)
	return seed
}

// programs is how many programs a test runs: fewer under the race detector, which looks for other things.
func programs() int {
	if testing.Short() {
		return min(*countFlag, 500)
	}
	return *countFlag
}

// The harness itself: two interpreters, of which one stops all the time and remembers next to nothing, agree on everything.
func TestInterpreterAgreesWithItself(t *testing.T) {
	r := &Runner{New: func(h *hart.Hart) Engine { return interp.NewSize(h, 2) }}
	start := time.Now()
	if err := r.RunSeeds(firstSeed(t), programs()); err != nil {
		t.Fatal(err)
	}
	s := &r.Stats
	t.Logf("%d programs in %v: %d ended, %d stuck; %d instructions, %d steps", s.Programs, time.Since(start), s.Ended, s.Stuck,
		s.Instructions, s.Steps)
	t.Logf("exceptions by cause %v, interrupts by cause %v", s.Exceptions, s.Interrupts)
}

// So they do on user-level programs, with the host as the firmware.
func TestUserLevelPrograms(t *testing.T) {
	seed := firstSeed(t)
	r := &Runner{New: func(h *hart.Hart) Engine { return interp.NewSize(h, 2) }}
	start := time.Now()
	for done := 0; done < programs(); done += Batch {
		img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), Batch, difftest.All))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.RunImage(img); err != nil {
			t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
		}
	}
	t.Logf("%d images of %d programs in %v: %d instructions, %d steps", r.Stats.Programs, Batch, time.Since(start),
		r.Stats.Instructions, r.Stats.Steps)
}

// resettable notes what it is told.
type resettable struct {
	*interp.Interp
	resets *int
}

func (r resettable) Reset() { *r.resets++ }

// An engine is told of every program that begins.
func TestEngineIsReset(t *testing.T) {
	resets := 0
	r := &Runner{New: func(h *hart.Hart) Engine { return resettable{interp.New(h), &resets} }}
	if err := r.RunSeeds(0, 3); err != nil {
		t.Fatal(err)
	}
	if resets != 3 {
		t.Errorf("reset %d times", resets)
	}
}
