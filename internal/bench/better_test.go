package bench

import (
	"math"
	"testing"
)

// p99 is on the bad side, whichever that is, and the ratio above 1 for what is better.
func TestTheBadSide(t *testing.T) {
	for _, c := range []struct {
		higher                 bool
		p99, p999, far, better float64
	}{{false, 96.16, 99.616, 0.2, 2}, {true, 1.04, 1.004, 0.2, 0.5}} {
		r := Row{Higher: c.higher, Passes: [][]float64{{3, 1, 100}, {4, 2}}}
		if got := r.P99(); math.Abs(got-c.p99) > 1e-9 {
			t.Errorf("higher is better %v: p99 is %v, want %v", c.higher, got, c.p99)
		}
		if got := r.P999(); math.Abs(got-c.p999) > 1e-9 {
			t.Errorf("higher is better %v: p99.9 is %v, want %v", c.higher, got, c.p999)
		}
		if got := r.Far(); got != c.far {
			t.Errorf("higher is better %v: the share far off is %v, want %v", c.higher, got, c.far)
		}
		if got, _, _ := r.Better([][]float64{{6}}); got != c.better {
			t.Errorf("higher is better %v: 3 is %v times better than 6, want %v", c.higher, got, c.better)
		}
	}
	if r := (&Row{}); r.P99() != 0 || r.P999() != 0 || r.Far() != 0 {
		t.Errorf("p99 of nothing is %v, p99.9 %v, the share far off %v", r.P99(), r.P999(), r.Far())
	}
}
