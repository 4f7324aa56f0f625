package suite

// Instances of two halves: work, which is timed, and a look at what it computed, which is not.

import (
	"context"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

// value makes a sample of the time that n operations took.
type value func(n int, d time.Duration) float64

// nanoseconds is the time for each of the parts of an operation.
func nanoseconds(parts int) value {
	return func(n int, d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) / float64(parts) }
}

// perSecond is how much of something there was in a second, when an operation is so much of it.
func perSecond(each int) value {
	return func(n int, d time.Duration) float64 { return float64(each) * float64(n) / d.Seconds() }
}

// checked makes an instance of work that is done n times and timed, and of a check of its answer.
func checked(v value, work, check func(n int) error, closers ...func() error) bench.Instance {
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := work(n); err != nil {
			return 0, err
		}
		took := max(time.Since(began), 1)
		if err := check(n); err != nil {
			return 0, err
		}
		return v(n, took), nil
	}, closers...)
}

// closeAll closes what was made before an error, which it returns.
func closeAll(err error, closers ...func() error) error {
	for _, c := range closers {
		_ = c()
	}
	return err
}
