package suite

// alloc/*: what the machine allocates from while it runs (package alloc), with an object of 64 bytes. alloc/go is the same by Go's new, whose garbage
// is collected meanwhile. alloc/frames and alloc/release are page frames of a guest, of which the host is given some (memory.Frames).

import (
	"fmt"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/memory"
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
	reported = 512  // page frames that are given at once: what Linux reports as free at the least
	together = 1024 // objects that end at once
)

func allocGroup() []bench.Benchmark {
	return []bench.Benchmark{
		{Name: "alloc/pool", Unit: bench.NsPerOp, Limit: "alloc/go",
			Doc: "One of 64 objects in flight is released, and one is allocated; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				var pool alloc.Pool[allocated]
				return flight(pool.Get, func(out *flying, n uint64) (sum uint64) {
					for i := range n {
						at := &out[i%inFlight]
						pool.Put(*at)
						x := pool.Get()
						x.n = i
						*at = x
						sum += x.n
					}
					return sum
				}), nil
			}},
		{Name: "alloc/arena", Unit: bench.NsPerOp, Limit: "alloc/go",
			Doc: "An object is allocated, and every 1024 of them end at once; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				var arena alloc.Arena[allocated]
				left := together - inFlight
				return flight(arena.New, func(out *flying, n uint64) (sum uint64) {
					for i := range n {
						if left--; left == 0 {
							arena.Reset()
							left = together
						}
						x := arena.New()
						x.n = i
						out[i%inFlight] = x
						sum += x.n
					}
					return sum
				}), nil
			}},
		{Name: "alloc/frames", Unit: bench.NsPerOp,
			Doc:   "One of 64 page frames of the guest's that the host has been given is taken back, and another one given; those that are out are counted",
			Setup: func(*bench.Env) (bench.Instance, error) { return frames() }},
		{Name: "alloc/release", Unit: bench.NsPerOp,
			Doc:   "A page frame's part of giving 512 neighbours to the host, which takes them in one call, and of touching one of them again; it is zero",
			Setup: func(*bench.Env) (bench.Instance, error) { return release() }},
		{Name: "alloc/go", Unit: bench.NsPerOp,
			Doc: "An object is allocated by Go's new, and one of 64 is forgotten; their numbers add up",
			Setup: func(*bench.Env) (bench.Instance, error) {
				get := func() *allocated { return new(allocated) }
				return flight(get, func(out *flying, n uint64) (sum uint64) {
					for i := range n {
						x := get()
						x.n = i
						out[i%inFlight] = x
						sum += x.n
					}
					return sum
				}), nil
			}},
	}
}

// flying are the objects that are out at once.
type flying [inFlight]*allocated

// flight replaces one object after the other by what replace does, which adds up their numbers. Each loop is written out, so that nothing stands between it and the
// allocator.
func flight(get func() *allocated, replace func(out *flying, n uint64) (sum uint64)) bench.Instance {
	var out flying
	for i := range out {
		out[i] = get()
	}
	var sum uint64
	return checked(nanoseconds(1), func(n int) error {
		sum = replace(&out, uint64(n))
		return nil
	}, func(n int) error {
		if want := uint64(n) * uint64(n-1) / 2; sum != want {
			return fmt.Errorf("the sum is %d, not %d", sum, want)
		}
		return nil
	})
}

// frameBytes is how much RAM the page frames are of: what is known of them is 16 KiB.
const frameBytes = 256 << 20

// frames takes one page frame back after the other, and gives another.
func frames() (bench.Instance, error) {
	ram, err := memory.NewRAM(0, frameBytes)
	if err != nil {
		return nil, err
	}
	f := memory.NewFrames(ram)
	for i := range memory.GPA(inFlight) {
		f.Give(i * memory.PageSize)
	}
	at, done := memory.GPA(0), 0
	return checked(nanoseconds(1), func(n int) error {
		done = 0
		for range n {
			if f.Take(at) && f.Give((at+inFlight*memory.PageSize)%frameBytes) {
				done++
			}
			at = (at + memory.PageSize) % frameBytes
		}
		return nil
	}, func(n int) error {
		if out := f.Count(); done != n || out != inFlight {
			return fmt.Errorf("%d of %d frames changed hands, and %d are out, not %d", done, n, out, inFlight)
		}
		return nil
	}, ram.Close), nil
}

// release gives page frames to the host, and touches one.
func release() (bench.Instance, error) {
	ram, err := memory.NewRAM(0, 2*reported*memory.PageSize)
	if err != nil {
		return nil, err
	}
	f := memory.NewFrames(ram)
	var sum uint64
	return checked(nanoseconds(reported), func(n int) error {
		sum = 0
		for range n {
			if err := ram.Store64(0, 1); err != nil {
				return err
			}
			for i := range memory.GPA(reported) {
				f.Give(i * memory.PageSize)
			}
			if err := f.Release(); err != nil {
				return err
			}
			f.Reset()
			v, err := ram.Load64(0)
			if err != nil {
				return err
			}
			sum += v
		}
		return nil
	}, func(int) error {
		if sum != 0 {
			return fmt.Errorf("what was released still adds up to %d", sum)
		}
		return nil
	}, ram.Close), nil
}
