package bench

// Ratios, in the direction in which more is better.

import "github.com/vmproject/vm/internal/bench/stats"

// Better is how many times better a row's samples are than others of the same unit, with an interval of 95 %.
func (r *Row) Better(others [][]float64) (ratio, low, high float64) {
	if r.Higher {
		return stats.RatioInterval(r.Passes, others)
	}
	return stats.RatioInterval(others, r.Passes)
}
