package litmus

import (
	"flag"
	"runtime"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

var iterations = flag.Int("iterations", 100000, "how often each litmus test runs; a million takes minutes")

// seldom is how many iterations it takes, as a rule, to see what does not happen often.
const seldom = 20000

func newInterp(h *hart.Hart) engine.Engine { return interp.New(h) }

// The harts of a machine share what its engine shares: there is a new one for each test.
func TestEngines(t *testing.T) {
	n := *iterations
	if testing.Short() {
		n = min(n, 1000)
	}
	for _, e := range engines.All() {
		for _, test := range Tests {
			t.Run(e.Name+"/"+test.Name, func(t *testing.T) {
				h, err := test.Run(e.Make(engines.Options{Harts: len(test.Bodies)}), n)
				if err != nil {
					t.Error(err)
				}
				total := 0
				for _, count := range h {
					total += count
				}
				if total < n {
					t.Errorf("%d outcomes, want %d at least", total, n)
				}
				t.Logf("%s\n%v", test.Name, h)
			})
		}
	}
}

// needTwo skips a test that waits for two harts to be in one cell at once.
func needTwo(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("harts take turns here")
	}
}

// The harts do meet: of message passing, each outcome but the impossible one is seen; and one that is forbidden is reported.
func TestHartsMeet(t *testing.T) {
	needTwo(t)
	reported := false
	for range 50 {
		test := Tests[0]
		test.Forbidden = func(o *Outcome) bool { return o.saw(1, 1, 1) }
		h, err := test.Run(newInterp, seldom)
		if len(h) >= 3 {
			reported = err != nil && strings.Contains(err.Error(), "forbidden outcome")
			break
		}
	}
	if !reported {
		t.Error("not seen, or not reported")
	}
}

// A broken increment, which loads and stores, loses counts.
func TestLostUpdatesAreFound(t *testing.T) {
	needTwo(t)
	broken := Test{Name: "broken", Forbidden: lostCount(2), Bodies: times(2, func(a *asm.Assembler, _ func(string) string) {
		a.Load(riscv.LD, asm.A0, 0, Cell)
		a.I(riscv.ADDI, asm.T0, asm.A0, 1)
		a.Store(riscv.SD, asm.T0, 0, Cell)
	})}
	for range 50 {
		if _, err := broken.Run(newInterp, seldom); err != nil {
			return
		}
	}
	t.Error("not found")
}

// A hart that traps is an error, not an outcome.
func TestTrapIsAnError(t *testing.T) {
	bad := Test{Name: "bad", Bodies: times(1, func(a *asm.Assembler, _ func(string) string) { a.Half(0) })}
	if _, err := bad.Run(newInterp, 1); err == nil {
		t.Error("no error")
	}
}
