package suite

// numa/*: guest RAM on the node of the processor that reads it, and on another. Hosts with one node have none of it.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/numa"
)

const (
	numaBytes  = 256 << 20 // more than caches hold
	numaLine   = 64        // bytes from one place of a chain to the next, at least
	numaChases = 1 << 16   // for one operation
)

func numaGroup() []bench.Benchmark {
	var all []bench.Benchmark
	for _, w := range []struct {
		what, doc string
		unit      bench.Unit
		setup     func(remote bool) (bench.Instance, error)
	}{
		{"chase", "Loads of guest RAM, each of where the one before said, in a cycle through 256 MiB in no order; the cycle is closed", bench.NsPerOp, numaChase},
		{"read", "256 MiB of guest RAM are copied out, a megabyte at a time; the last one is compared", bench.BytesPerSec, numaRead},
	} {
		all = append(all,
			bench.Benchmark{Name: "numa/" + w.what + "/local", Unit: w.unit, Doc: w.doc + ". They are on the processor's own node",
				Setup: func(*bench.Env) (bench.Instance, error) { return w.setup(false) }},
			bench.Benchmark{Name: "numa/" + w.what + "/remote", Unit: w.unit, Limit: "numa/" + w.what + "/local", Doc: w.doc + ". They are on the node that is farthest",
				Setup: func(*bench.Env) (bench.Instance, error) { return w.setup(true) }})
	}
	return all
}

// numaRAM is RAM on a node, and the processors that are to read it.
func numaRAM(remote bool) (*memory.RAM, []int, error) {
	host, err := numa.Host()
	if err != nil {
		return nil, nil, err
	}
	if len(host) < 2 {
		return nil, nil, bench.Unavailable("this host has one memory node")
	}
	near, far, distance := -1, -1, 0
	for _, a := range host {
		for i, b := range host {
			if len(a.CPUs) > 0 && a.Memory > 2*numaBytes && b.Memory > 2*numaBytes && a.Distance[i] > distance && a.ID != b.ID {
				near, far, distance = a.ID, b.ID, a.Distance[i]
			}
		}
	}
	if near < 0 {
		return nil, nil, bench.Unavailable("this host has no two memory nodes with %d MiB", 2*numaBytes>>20)
	}
	on := near
	if remote {
		on = far
	}
	policy, err := numa.NewPolicy("bind", []int{on}, host)
	if err != nil {
		return nil, nil, err
	}
	ram, err := memory.NewPlacedRAM(ramBase, numaBytes, memory.Placement{Parts: []memory.Part{{Size: numaBytes, Policy: policy}}})
	if err != nil {
		return nil, nil, err
	}
	if err := ram.Prefault(context.Background(), nil); err != nil {
		return nil, nil, closeAll(err, ram.Close)
	}
	return ram, host.CPUs([]int{near}), nil
}

// on does work on a thread that is kept on some processors, and ends.
func on(cpus []int, work func() error) (took time.Duration, err error) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: nobody else gets a thread that is kept somewhere
		if err := numa.Pin(cpus); err != nil {
			done <- err
			return
		}
		began := time.Now()
		err := work()
		took = time.Since(began)
		done <- err
	}()
	err = <-done
	return max(took, 1), err
}

func numaChase(remote bool) (bench.Instance, error) {
	ram, cpus, err := numaRAM(remote)
	if err != nil {
		return nil, err
	}
	const places = numaBytes / numaLine
	order := rand.New(rand.NewPCG(1, 2)).Perm(places)
	for i, at := range order {
		next := order[(i+1)%places]
		if err := ram.Store64(ramBase+memory.GPA(at)*numaLine, uint64(ramBase)+uint64(next)*numaLine); err != nil {
			return nil, closeAll(err, ram.Close)
		}
	}
	index := make([]int32, places)
	for i, at := range order {
		index[at] = int32(i)
	}
	at := memory.GPA(ramBase)
	return bench.Sampled(func(_ context.Context, n int) (float64, error) {
		from := at
		took, err := on(cpus, func() error {
			for range n * numaChases {
				v, err := ram.Load64(at)
				if err != nil {
					return err
				}
				at = memory.GPA(v)
			}
			return nil
		})
		place := func(a memory.GPA) int { return int(index[(a-ramBase)/numaLine]) }
		if want := (place(from) + n*numaChases) % places; err == nil && place(at) != want {
			err = fmt.Errorf("the cycle is at place %d, not %d", place(at), want)
		}
		return nanoseconds(numaChases)(n, took), err
	}, ram.Close), nil
}

func numaRead(remote bool) (bench.Instance, error) {
	ram, cpus, err := numaRAM(remote)
	if err != nil {
		return nil, err
	}
	p, want := make([]byte, 1<<20), make([]byte, 1<<20)
	pattern(want)
	if err := ram.Write(ram.End()-memory.GPA(len(want)), want); err != nil {
		return nil, closeAll(err, ram.Close)
	}
	return bench.Sampled(func(_ context.Context, n int) (float64, error) {
		took, err := on(cpus, func() error {
			for range n {
				for at := ram.Base(); at < ram.End(); at += memory.GPA(len(p)) {
					if err := ram.Read(at, p); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err == nil && string(p) != string(want) {
			err = fmt.Errorf("what was read is not what is there")
		}
		return perSecond(numaBytes)(n, took), err
	}, ram.Close), nil
}
