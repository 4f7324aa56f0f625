// Package stats is what can be said of samples of a noisy thing: where the middle is and how sure that is, whether they are of one kind, whether two
// sets of them differ. Nothing is assumed of their distribution. What draws at random does so from a fixed seed: the same samples give the
// same answer.
package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Summary describes samples.
type Summary struct {
	N              int
	Median         float64
	Low, High      float64 // of the median, an interval of 95 %
	Mean, Min, Max float64
	Outliers       float64   // share of the samples beyond 1.5 times the middle half's width from it
	Modes          []float64 // where they gather, if in more than one place
	Lower, Upper   float64   // quartiles
}

// Summarize describes samples, of which there is at least one; of none, everything is 0.
func Summarize(samples []float64) Summary {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	if n == 0 {
		return Summary{}
	}
	out := Summary{N: n, Median: Quantile(s, 0.5), Min: s[0], Max: s[n-1], Lower: Quantile(s, 0.25), Upper: Quantile(s, 0.75)}
	fence := 1.5 * (out.Upper - out.Lower)
	for _, v := range s {
		out.Mean += v / float64(n)
		if v < out.Lower-fence || v > out.Upper+fence {
			out.Outliers += 1 / float64(n)
		}
	}
	out.Low, out.High = MedianInterval(samples)
	out.Modes = Modes(samples)
	return out
}

// Quantile is the value below which a share q of sorted samples lies, between neighbours in proportion.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Median is the middle.
func Median(samples []float64) float64 { return Quantile(slices.Sorted(slices.Values(samples)), 0.5) }

const (
	resamples = 1000
	tail      = 0.025
)

func newRand(n int) *rand.Rand { return rand.New(rand.NewPCG(0x5eed, uint64(n))) }

// MedianInterval is an interval that has the median in it in 95 of 100 cases, by the bootstrap: how the median varies when as many samples are drawn of the
// samples again and again.
func MedianInterval(samples []float64) (low, high float64) {
	if len(samples) == 0 {
		return 0, 0
	}
	r, p := newRand(len(samples)), newPool([][]float64{samples})
	medians := make([]float64, resamples)
	for i := range medians {
		p.clear()
		p.draw(r, 0)
		medians[i] = p.median()
	}
	slices.Sort(medians)
	return Quantile(medians, tail), Quantile(medians, 1-tail)
}

// RatioInterval is the ratio of the median of a to that of b, with an interval of 95 % by the bootstrap over passes and the samples in each: samples of a
// pass are alike, and to draw them alone would make the interval too narrow. Where there are several passes on both sides, they are drawn in pairs: what
// the host did to one it did to the other.
func RatioInterval(a, b [][]float64) (ratio, low, high float64) {
	a, b = some(a), some(b)
	if len(a) == 0 || len(b) == 0 {
		return 0, 0, 0
	}
	ratio = Median(slices.Concat(a...)) / Median(slices.Concat(b...))
	paired := len(a) == len(b) && len(a) > 1
	r, pa, pb := newRand(len(a)*1000+len(b)), newPool(a), newPool(b)
	ratios := make([]float64, resamples)
	for i := range ratios {
		pa.clear()
		pb.clear()
		for range a {
			k := r.IntN(len(a))
			pa.draw(r, k)
			if paired {
				pb.draw(r, k)
			}
		}
		for range b {
			if !paired {
				pb.draw(r, r.IntN(len(b)))
			}
		}
		ratios[i] = pa.median() / pb.median()
	}
	slices.Sort(ratios)
	return ratio, Quantile(ratios, tail), Quantile(ratios, 1-tail)
}

// pool is samples to draw from, sorted once: of a draw it is enough to know how often each was drawn.
type pool struct {
	sorted []float64
	passes [][]int // of each, where its samples are in sorted
	count  []int
	drawn  int
}

func newPool(passes [][]float64) *pool {
	type sample struct {
		v    float64
		pass int
	}
	var all []sample
	for k, p := range passes {
		for _, v := range p {
			all = append(all, sample{v, k})
		}
	}
	slices.SortFunc(all, func(a, b sample) int { return cmp.Compare(a.v, b.v) })
	p := &pool{passes: make([][]int, len(passes)), count: make([]int, len(all))}
	for i, s := range all {
		p.sorted = append(p.sorted, s.v)
		p.passes[s.pass] = append(p.passes[s.pass], i)
	}
	return p
}

func (p *pool) clear() {
	clear(p.count)
	p.drawn = 0
}

// draw draws as many samples of a pass as it has.
func (p *pool) draw(r *rand.Rand, pass int) {
	of := p.passes[pass]
	for range of {
		p.count[of[r.IntN(len(of))]]++
	}
	p.drawn += len(of)
}

func (p *pool) median() float64 {
	seen, lower := 0, 0.0
	for i, c := range p.count {
		if seen <= (p.drawn-1)/2 && seen+c > (p.drawn-1)/2 {
			lower = p.sorted[i]
		}
		if seen += c; seen > p.drawn/2 {
			return (lower + p.sorted[i]) / 2
		}
	}
	return lower
}

// some leaves out passes without samples.
func some(passes [][]float64) [][]float64 {
	return slices.DeleteFunc(slices.Clone(passes), func(p []float64) bool { return len(p) == 0 })
}

// Warmup is how many samples at the start are unlike the later half: from the first on, as long as they are farther from its middle than twice the width
// that nine of ten of it have. It is at most half of them, and 0 where there are fewer than eight.
func Warmup(samples []float64) int {
	n := len(samples)
	if n < 8 {
		return 0
	}
	rest := slices.Sorted(slices.Values(samples[n/2:]))
	middle := Quantile(rest, 0.5)
	spread := max(Quantile(rest, 0.9)-Quantile(rest, 0.1), 0.02*math.Abs(middle))
	warm := 0
	for warm < n/2 && math.Abs(samples[warm]-middle) > 2*spread {
		warm++
	}
	return warm
}

// Enough says that the interval of the median is narrower than a share of it.
func Enough(samples []float64, width float64) bool {
	if len(samples) < 5 {
		return false
	}
	low, high := orderInterval(samples)
	return high-low <= width*Median(samples)
}

// orderInterval is the interval by order statistics, which is quicker to come by than the bootstrap's: as many samples are below the median as heads in
// that many throws of a coin.
func orderInterval(samples []float64) (low, high float64) {
	s := slices.Sorted(slices.Values(samples))
	n := float64(len(s))
	half := 1.96 * math.Sqrt(n) / 2
	i := int(max(math.Floor(n/2-half), 0))
	j := int(min(math.Ceil(n/2+half), n-1))
	return s[i], s[j]
}

// Modes is the places where samples gather, if there is more than one: groups with a gap between them that is wide beside their own widths, each with an
// eighth of the samples at least. Of fewer than twelve samples nothing is said.
func Modes(samples []float64) []float64 {
	const least = 12
	n := len(samples)
	if n < least {
		return nil
	}
	s := slices.Sorted(slices.Values(samples))
	few := max(n/8, 3)
	best, score := 0, 0.0
	for i := few; i <= n-few; i++ {
		left, right := s[:i], s[i:]
		// Trimmed, so that an outlier makes no group wide.
		width := (Quantile(left, 0.95) - Quantile(left, 0.05)) + (Quantile(right, 0.95) - Quantile(right, 0.05))
		gap := Quantile(right, 0.05) - Quantile(left, 0.95)
		if gap <= 0 || gap < 0.05*Quantile(s, 0.5) {
			continue
		}
		if v := gap / (width + 1e-9*gap); v > score {
			best, score = i, v
		}
	}
	const clear = 0.6 // the gap beside the widths of both groups
	if score < clear {
		return nil
	}
	return []float64{Quantile(s[:best], 0.5), Quantile(s[best:], 0.5)}
}
