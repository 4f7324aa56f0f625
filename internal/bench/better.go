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
func (r *Row) P99() float64 { return r.atLeast(0.99) }

// P999 is what 999 samples in 1000 are at least as good as. Of fewer than that it is close to the worst.
func (r *Row) P999() float64 { return r.atLeast(0.999) }

func (r *Row) atLeast(share float64) float64 {
	if r.Higher {
		share = 1 - share
	}
	return stats.Quantile(slices.Sorted(slices.Values(r.Samples())), share)
}

// Far is the share of samples that took more than twice as long as the median one, 0 to 1: beyond twice the median, or below half of it where more is better.
func (r *Row) Far() float64 {
	s := r.Samples()
	limit, far := stats.Median(s), 0
	for _, v := range s {
		if v > 2*limit && !r.Higher || 2*v < limit && r.Higher {
			far++
		}
	}
	return float64(far) / float64(max(len(s), 1))
}
