package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

// guestBenchmarks are guest/*: the guest program's work, by the guest's clock.
func guestBenchmarks() []bench.Benchmark {
	var all []bench.Benchmark
	for _, w := range works {
		b := bench.Benchmark{
			Name: "guest/" + w.name,
			Doc:  "In a guest of Linux: " + w.doc + ". The answer is computed again by the host, and each result of a system call is checked.",
			Unit: bench.NsPerOp,
		}
		if w.each > 0 {
			b.Unit = bench.BytesPerSec
		}
		all = append(all, onBoth(b, w.instance))
	}
	return all
}

// instance is the work in a guest of its own.
func (w work) instance(env *bench.Env, on side) (bench.Instance, error) {
	s, err := newSession(env, on, nil, "")
	if err != nil {
		return nil, err
	}
	answers := make(map[uint64]uint64) // by n: computing one can take as long as the guest does
	answer := func(n uint64) uint64 {
		if _, known := answers[n]; !known {
			answers[n] = w.answer(n)
		}
		return answers[n]
	}
	return bench.Sampled(func(ctx context.Context, times int) (float64, error) {
		n := uint64(max(times, 1))
		took, err := w.sample(ctx, s, n, answer)
		switch {
		case err != nil:
			return 0, err
		case w.each > 0:
			return w.each * float64(n) / took.Seconds(), nil
		}
		return float64(took.Nanoseconds()) / float64(n), nil
	}, s.Close), nil
}

// sample does the work n times and returns the guest's time, at least a nanosecond.
func (w work) sample(ctx context.Context, s *session, n uint64, answer func(uint64) uint64) (time.Duration, error) {
	reply, host, err := s.ask(ctx, fmt.Sprintf("work %s %d", w.name, n))
	if err != nil {
		return 0, err
	}
	took, err := parseLine(reply, w.name, n, answer(n))
	if err == nil {
		err = plausible(took, host)
	}
	if err != nil {
		s.stop()
		return 0, fmt.Errorf("%s: %w", s.machine.Name, err)
	}
	return max(took, 1), nil
}
