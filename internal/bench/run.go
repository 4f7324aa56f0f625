package bench

// Sampling. A run goes over its benchmarks several times, so that what the host does for minutes at a time, to one benchmark or to one side of a
// comparison, shows as a difference between passes and not as one between results. Each pass sets a benchmark up anew: where its memory
// lies is one of the things that differ by chance.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/vmproject/vm/internal/bench/stats"
)

// Options say how long to sample. 0 stands for the default of each.
type Options struct {
	Passes int           // over all benchmarks
	Sample time.Duration // least length of a sample
	Each   time.Duration // most time for the samples of a benchmark in a pass, warm-up included
	Budget time.Duration // most time for all passes: no pass is begun that would not fit
	Width  float64       // an interval of the median that is so narrow, as a share of it, is enough
	// Progress is told before each benchmark of a pass.
	Progress func(Progress)
}

// Progress is where a run is.
type Progress struct {
	Name        string
	Pass        int // from 1
	Passes      int
	Done, Total int // benchmarks, counted in each pass
	Left        time.Duration
}

const (
	defaultPasses = 5
	defaultSample = 4 * time.Millisecond
	defaultEach   = 250 * time.Millisecond
	defaultWidth  = 0.01

	minSamples = 6
	maxSamples = 200
	maxTimes   = 1 << 30
	guess      = 2 * time.Second // for a benchmark that has not run yet
)

func (o *Options) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.Sample, defaultSample)
	set(&o.Each, defaultEach)
	if o.Passes <= 0 {
		o.Passes = defaultPasses
	}
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
}

// runner is a run.
type runner struct {
	Options
	env    *Env
	list   []Benchmark
	rows   []Row
	took   []time.Duration // by the last pass
	result *Result
}

// Run measures benchmarks. Where ctx ends it, the result has what there is until then and is not Complete; the error is nil as long as there is a
// result at all.
func Run(ctx context.Context, env *Env, list []Benchmark, o Options) (*Result, error) {
	if len(list) == 0 {
		return nil, errors.New("there is nothing to measure")
	}
	o.fill()
	r := &runner{Options: o, env: env, list: list, rows: make([]Row, len(list)), took: make([]time.Duration, len(list))}
	r.result = &Result{Format: Format, Peer: env.Peer, Started: time.Now().Truncate(time.Millisecond)}
	for i, b := range list {
		r.rows[i] = Row{Name: b.Name, Doc: b.Doc, Unit: b.Unit.Name, Higher: b.Unit.Higher, Limit: b.Limit}
	}
	watch := watchHost()
	began := time.Now()
	complete := true
	for pass := 1; pass <= o.Passes; pass++ {
		if o.Budget > 0 && pass > 1 && time.Since(began)+r.expected(pass) > o.Budget {
			r.result.Note = fmt.Sprintf("%d of %d passes: no more fit in %v", pass-1, o.Passes, o.Budget)
			break
		}
		if !r.pass(ctx, pass) {
			complete = false
			break
		}
	}
	r.result.Took = time.Since(began)
	r.result.Complete = complete
	r.result.Host = watch.end()
	r.result.Rows = r.rows
	return r.result, nil
}

// expected is how long a pass will take.
func (r *runner) expected(pass int) (d time.Duration) {
	for i := range r.list {
		d += r.expect(i, pass)
	}
	return d
}

func (r *runner) expect(i, pass int) time.Duration {
	switch {
	case r.rows[i].Failed != "" || r.rows[i].Unavailable != "":
		return 0
	case r.took[i] > 0 || pass > 1:
		return r.took[i]
	}
	return guess
}

// pass goes over the benchmarks. It is false if ctx has ended.
func (r *runner) pass(ctx context.Context, pass int) bool {
	for i, b := range r.list {
		if ctx.Err() != nil {
			return false
		}
		row := &r.rows[i]
		if row.Failed != "" || row.Unavailable != "" {
			continue
		}
		left := time.Duration(0)
		for p := pass; p <= r.Passes; p++ {
			for k := range r.list {
				if p > pass || k >= i {
					left += r.expect(k, p)
				}
			}
		}
		r.Progress(Progress{Name: b.Name, Pass: pass, Passes: r.Passes, Done: (pass-1)*len(r.list) + i, Total: r.Passes * len(r.list), Left: left})
		began := time.Now()
		err := r.measure(ctx, &b, row)
		r.took[i] = max(time.Since(began), 1)
		var none *UnavailableError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return false
		case errors.As(err, &none):
			row.Unavailable = none.Why
		default:
			row.Failed = err.Error()
		}
	}
	return true
}

// measure takes the samples of a pass.
func (r *runner) measure(ctx context.Context, b *Benchmark, row *Row) (err error) {
	instance, err := open(b.Setup, r.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, instance.Close()) }()
	own := &side{instance: instance}
	sides := []*side{own}
	if b.Peer != nil && r.env.NoPeer != "" {
		row.PeerFailed = r.env.NoPeer
	}
	if b.Peer != nil && r.env.QEMU != "" && row.PeerFailed == "" {
		peer, err := open(b.Peer, r.env)
		if err != nil {
			row.PeerFailed = err.Error()
		} else {
			defer peer.Close()
			row.PeerName = "qemu"
			sides = append(sides, &side{instance: peer})
		}
	}
	runtime.GC() // what others have left behind is not this one's
	for k, s := range sides {
		switch {
		case b.Whole:
		case k == 0:
			err = s.prepare(ctx, b.Peer != nil && b.Unit == NsPerOp, r.Sample)
		default: // the same work
			s.times = own.times
			_, err = s.instance.Sample(ctx, s.times)
		}
		if err != nil && k > 0 && ctx.Err() == nil {
			row.PeerFailed, err, sides = err.Error(), nil, sides[:1]
			break
		}
		if err != nil {
			return err
		}
	}
	deadline := time.Now().Add(r.Each * time.Duration(len(sides)))
	for n := 0; n < maxSamples && r.more(b, sides, n, deadline); n++ {
		for k := range sides { // turn and turn about, each first half of the time
			s := sides[(k+n)%len(sides)]
			v, err := s.instance.Sample(ctx, max(s.times, 1))
			if err != nil && s != sides[0] && ctx.Err() == nil {
				row.PeerFailed, sides = err.Error(), sides[:1]
				break
			}
			if err != nil {
				return err
			}
			s.samples = append(s.samples, v)
		}
	}
	row.Times = max(sides[0].times, 1)
	for k, s := range sides {
		warm := 0
		if !b.Whole {
			warm = stats.Warmup(s.samples)
		}
		if k == 0 {
			row.Warmup += warm
			row.Passes = append(row.Passes, s.samples[warm:])
		} else {
			row.Peer = append(row.Peer, s.samples[warm:])
		}
	}
	return nil
}

// more says whether another sample is worth its time, of a benchmark that has n.
func (r *runner) more(b *Benchmark, sides []*side, n int, deadline time.Time) bool {
	if b.Whole {
		return n == 0
	}
	if n < minSamples {
		return true
	}
	if !time.Now().Before(deadline) {
		return false
	}
	for _, s := range sides {
		if n%8 != 0 || !stats.Enough(s.samples[stats.Warmup(s.samples):], r.Width) {
			return true
		}
	}
	return false
}

// open sets a benchmark up. One that panics has failed.
func open(setup func(*Env) (Instance, error), env *Env) (i Instance, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be set up: %v", p)
		}
	}()
	return setup(env)
}

// side is one of the machines that a benchmark is measured on.
type side struct {
	instance Instance
	times    int // how often the work is done for a sample
	samples  []float64
}

// prepare does the work once, which boots what has to be, and finds out how often it has to be done for a sample to be long enough. asked says that a
// guest is asked for it, which takes time that is not measured.
func (s *side) prepare(ctx context.Context, asked bool, least time.Duration) error {
	if _, err := s.instance.Sample(ctx, 1); err != nil {
		return err
	}
	for s.times = 1; ; {
		began := time.Now()
		v, err := s.instance.Sample(ctx, s.times)
		if err != nil {
			return err
		}
		took := max(time.Since(began), 1)
		if asked && took < 10*least {
			took = max(time.Duration(v*float64(s.times)), 1)
		}
		if took >= least || s.times >= maxTimes {
			return nil
		}
		grow := min(100, max(1.3*float64(least)/float64(took), 2))
		s.times = int(min(float64(s.times)*grow, maxTimes))
	}
}
