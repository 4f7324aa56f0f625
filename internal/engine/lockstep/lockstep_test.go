package lockstep

import (
	"flag"
	"fmt"
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

// batch is how many programs run on the same machines, one after another.
const batch = 20

// firstSeed is the seed of the first program of a test: any, since every run may look at new programs, but printed.
func firstSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d; again: %s", seed, again(t, seed, *countFlag))
	return seed
}

func again(t *testing.T, seed uint64, n int) string {
	return fmt.Sprintf("go test ./internal/engine/lockstep -run '^%s$' -seed %d -programs %d", t.Name(), seed, n)
}

// programs is how many programs a test runs: fewer under the race detector, which looks for other things.
func programs() int {
	if testing.Short() {
		return min(*countFlag, 500)
	}
	return *countFlag
}

// run runs programs in batches.
func run(t *testing.T, r *Runner, n int) {
	t.Helper()
	seed := firstSeed(t)
	defer r.Close()
	for i := range uint64(n) {
		if i%batch == 0 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Generate(seed + i)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(p); err != nil {
			if d, ok := AsDivergence(err); ok {
				d.Again = again(t, seed+i/batch*batch, int(i%batch)+1)
			}
			t.Fatalf("program of seed %d: %v", p.Seed, err)
		}
	}
}

// The harness itself: two interpreters, of which one stops all the time and remembers next to nothing, agree on everything.
func TestInterpreterAgreesWithItself(t *testing.T) {
	r := &Runner{New: func(h *hart.Hart) Engine { return interp.NewSize(h, 2) }}
	start := time.Now()
	run(t, r, programs())
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
	for done := 0; done < programs(); done += batch {
		img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), batch, difftest.All))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.RunImage(img); err != nil {
			t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
		}
	}
	t.Logf("%d images of %d programs in %v: %d instructions, %d steps", r.Stats.Programs, batch, time.Since(start),
		r.Stats.Instructions, r.Stats.Steps)
}
