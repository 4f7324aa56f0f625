package suite

// alloc/*: what the machine allocates from while it runs (package alloc), with an object of 64 bytes. alloc/go is the same by Go's new, whose garbage
// is collected meanwhile.

import (
	"fmt"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/memory/alloc"
)

// allocated is what is allocated.
type allocated struct {
	_ *allocated
	n uint64
	_ [6]uint64
}

const (
	inFlight = 64   // objects that are out at once, as requests of a queue are
	together = 1024 // objects that end at once
)

func allocGroup() []bench.Benchmark {
	return []bench.Benchmark{
		{Name: "alloc/pool", Unit: bench.NsPerOp, Limit: "alloc/go",
			Doc: "One of 64 objects in flight is released, and one is allocated; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				var pool alloc.Pool[allocated]
				return flight(pool.Get, pool.Put), nil
			}},
		{Name: "alloc/arena", Unit: bench.NsPerOp, Limit: "alloc/go",
			Doc: "An object is allocated, and every 1024 of them end at once; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				var arena alloc.Arena[allocated]
				out := 0
				return flight(func() *allocated {
					if out++; out == together {
						arena.Reset()
						out = 0
					}
					return arena.New()
				}, func(*allocated) {}), nil
			}},
		{Name: "alloc/go", Unit: bench.NsPerOp,
			Doc: "An object is allocated by Go's new, and one of 64 is forgotten; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				return flight(func() *allocated { return new(allocated) }, func(*allocated) {}), nil
			}},
	}
}

// flight replaces one object after the other.
func flight(get func() *allocated, put func(*allocated)) bench.Instance {
	var out [inFlight]*allocated
	for i := range out {
		out[i] = get()
	}
	var sum uint64
	return checked(nanoseconds(1), func(n int) error {
		sum = 0
		for i := range uint64(n) {
			at := &out[i%inFlight]
			put(*at)
			x := get()
			x.n = i
			*at = x
			sum += x.n
		}
		return nil
	}, func(n int) error {
		if want := uint64(n) * uint64(n-1) / 2; sum != want {
			return fmt.Errorf("the sum is %d, not %d", sum, want)
		}
		return nil
	})
}
