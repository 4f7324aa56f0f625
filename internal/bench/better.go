package bench

// What depends on whether more or less of a unit is better.

import (
	"slices"

	"github.com/vmproject/vm/internal/bench/stats"
)

// Better is how many times better a row's samples are than others of the same unit, with an interval of 95 %.
func (r *Row) Better(others [][]float64) (ratio, low, high float64) {
	if r.Higher {
		return stats.RatioInterval(r.Passes, others)
	}
	return stats.RatioInterval(others, r.Passes)
}

// P99 is what 99 samples in 100 are at least as good as: the first percentile where more is better. It is 0 without samples.
func (r *Row) P99() float64 {
	bad := 0.99
	if r.Higher {
		bad = 0.01
	}
	return stats.Quantile(slices.Sorted(slices.Values(r.Samples())), bad)
}
