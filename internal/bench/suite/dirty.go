package suite

// dirty/*: what a log of written pages costs: programs with one that is taken before each sample, which is a hundred times a second and more, beside the same without;
// and what it takes to take it.

import (
	"context"
	"fmt"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/selftest"
)

func dirtyGroup() []bench.Benchmark {
	var all []bench.Benchmark
	for _, g := range []guest{
		{name: "integer", unit: bench.InstPerSec, rounds: 10_000, load: bare(selftest.Integer.Code, selftest.Integer.Want)},
		{name: "calls", unit: bench.InstPerSec, rounds: 8, load: bare(callsCode, callsWant)},
		{name: "indirect", unit: bench.InstPerSec, rounds: 10_000, load: bare(indirectCode, indirectWant)},
		{name: "memory", unit: bench.InstPerSec, rounds: 10_000, load: bare(selftest.Memory.Code, selftest.Memory.Want)},
	} {
		for _, v := range both {
			name := "dirty/" + g.name + "/" + v.name
			all = append(all,
				bench.Benchmark{Name: name + "/on", Limit: name + "/off", Unit: g.unit, Doc: "The program of engine/" + g.name + ", with written pages in a log that was taken just before",
					Setup: func(*bench.Env) (bench.Instance, error) { return logged(&g, v) }},
				bench.Benchmark{Name: name + "/off", Unit: g.unit, Doc: "The program of engine/" + g.name + ", without a log",
					Setup: func(*bench.Env) (bench.Instance, error) { return g.setup(v) }})
		}
	}
	return append(all, bench.Benchmark{Name: "dirty/take/1G", Unit: bench.NsPerOp,
		Doc:   "The log of 1 GiB of guest RAM is taken when one page in 64 was written; each is in it",
		Setup: func(*bench.Env) (bench.Instance, error) { return takeLog() }})
}

// logged is a program on a machine whose pages are logged.
func logged(g *guest, v variant) (bench.Instance, error) {
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	verdict, err := g.load(m)
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	log, err := m.RAM.TrackDirty(func() { hart.RemoteFence(nil, []*hart.Hart{m.Hart}, hart.FenceRequest{UnstoreAll: true}) })
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	var pages memory.Bitmap
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		pages = log.Take(pages)
		rounds := g.rounds * uint64(n)
		took, err := m.run(ctx, rounds)
		if err == nil {
			err = verdict(rounds)
		}
		return float64(m.retired) / took.Seconds(), err
	}, m.close), nil
}

func takeLog() (bench.Instance, error) {
	const size, each = 1 << 30, 64
	ram, err := memory.NewRAM(ramBase, size)
	if err != nil {
		return nil, err
	}
	log, err := ram.TrackDirty(func() {})
	if err != nil {
		return nil, closeAll(err, ram.Close)
	}
	var pages memory.Bitmap
	return bench.Sampled(func(_ context.Context, n int) (float64, error) {
		var took time.Duration
		for range n {
			for at := ram.Base(); at < ram.End(); at += each * memory.PageSize {
				ram.Code().Note(at, 1) // as a device does; the memory itself is not touched
			}
			began := time.Now()
			pages = log.Take(pages)
			took += time.Since(began)
			if got := pages.Count(); got != size>>memory.PageShift/each {
				return 0, fmt.Errorf("%d pages are in the log", got)
			}
		}
		return nanoseconds(1)(n, took), nil
	}, ram.Close), nil
}
