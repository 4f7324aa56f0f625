// Package compare says what differs between two results, as far as that can be said.
//
// A difference counts when it is significant and larger than noise. Significant: by a rank test of the samples, and by a test of the passes' medians, since
// samples of one pass are more alike than samples of two (neighbours on the host come and go), so that a test of samples alone finds
// differences between two runs of the same program; both corrected for the number of benchmarks. Larger than noise: than the even passes
// of a result differ from its odd ones, which is a comparison of the program with itself, and than a least difference.
package compare

import (
	"fmt"
	"math"
	"slices"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

// Verdict is what can be said of a benchmark.
type Verdict int

// The verdicts.
const (
	Same         Verdict = iota
	Slower               // or larger: worse, beyond doubt
	Faster               // better, beyond doubt
	Unsure               // significant, but within the noise; or large, but not significant
	TooNoisy             // the host's noise hides what would matter
	Incomparable         // see Why
)

func (v Verdict) String() string {
	return [...]string{"the same", "slower", "faster", "unsure", "too noisy", "not comparable"}[v]
}

// Options say what counts; 0 stands for the default of each.
type Options struct {
	Least float64 // the least difference that counts, as a share: 0.02
	Level float64 // of significance, after correction: 0.05
	// Paired says that the passes of the two results alternate, first with first: what the host did to one it did to the other.
	Paired bool
}

const (
	defaultLeast = 0.02
	defaultLevel = 0.05
	leastNoise   = 0.01
	tooNoisy     = 0.20 // of the passes' medians, as a share of them
)

// Row compares a benchmark.
type Row struct {
	Name    string
	Unit    string
	A, B    stats.Summary
	Change  float64 // B against A, as a share, positive for worse
	Low     float64 // an interval of 95 % of it
	High    float64
	P       float64 // corrected
	Noise   float64 // of the host, as a share
	Verdict Verdict
	Why     string // a word about the verdict; may be empty
	Lone    bool   // only one of the results has it
}

// Comparison is of two results.
type Comparison struct {
	Rows     []Row // in the order of B, then what only A has
	Warnings []string
}

// Compare compares b with a.
func Compare(a, b *bench.Result, o Options) *Comparison {
	if o.Least <= 0 {
		o.Least = defaultLeast
	}
	if o.Level <= 0 {
		o.Level = defaultLevel
	}
	c := &Comparison{Warnings: warnings(a, b)}
	var tested []int
	var ps []float64
	for i := range b.Rows {
		row, p, ok := o.row(a.Row(b.Rows[i].Name), &b.Rows[i])
		if ok {
			tested, ps = append(tested, len(c.Rows)), append(ps, p)
		}
		c.Rows = append(c.Rows, row)
	}
	for i := range a.Rows {
		if r := &a.Rows[i]; b.Row(r.Name) == nil {
			c.Rows = append(c.Rows, Row{Name: r.Name, Unit: r.Unit, Verdict: Incomparable, Lone: true, Why: "only the first result has it"})
		}
	}
	for k, p := range stats.Holm(ps) {
		r := &c.Rows[tested[k]]
		r.P = p
		r.judge(o)
	}
	if !o.Paired {
		c.moved(o.Least)
	}
	return c
}

// warnings are what makes results hard to compare.
func warnings(a, b *bench.Result) (list []string) {
	for _, w := range []struct{ what, a, b string }{
		{"processors", a.Host.CPU, b.Host.CPU},
		{"numbers of cores", fmt.Sprint(a.Host.Cores), fmt.Sprint(b.Host.Cores)},
		{"systems", a.Host.OS, b.Host.OS},
		{"kernels", a.Host.Kernel, b.Host.Kernel},
	} {
		if w.a != w.b {
			list = append(list, fmt.Sprintf("the hosts' %s differ: %s and %s", w.what, w.a, w.b))
		}
	}
	for i, r := range []*bench.Result{a, b} {
		name := []string{"first", "second"}[i]
		if !r.Complete {
			list = append(list, "the "+name+" result is not complete")
		}
		if busy(r) {
			list = append(list, fmt.Sprintf("while the %s was measured, others kept %.1f of %d cores busy", name, r.Host.Load, r.Host.Cores))
		}
		if r.Host.Steal > 0.05 {
			list = append(list, fmt.Sprintf("while the %s was measured, the hypervisor took %.0f %% of the time", name, 100*r.Host.Steal))
		}
	}
	return list
}

// busy says that others had enough of the host to be seen in the figures.
func busy(r *bench.Result) bool { return r.Host.Load > float64(r.Host.Cores)/4 }

// moved warns when half of all rows moved the same way, which a host does sooner than a program. Passes that alternate show no such thing.
func (c *Comparison) moved(least float64) {
	const few = 8
	var changes []float64
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Verdict != Incomparable {
			changes = append(changes, r.Change)
		}
	}
	if m := stats.Median(changes); len(changes) >= few && math.Abs(m) > least {
		word := "slower"
		if m < 0 {
			word = "faster"
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("half of all rows are at least %.1f %% %s: that may be the host, which was measured at two times", 100*math.Abs(m), word))
	}
}

// row compares what can be compared without the other rows. p is to be corrected.
func (o *Options) row(a, b *bench.Row) (r Row, p float64, ok bool) {
	r = Row{Name: b.Name, Unit: b.Unit, B: stats.Summarize(b.Samples()), Verdict: Incomparable}
	if a != nil {
		r.A = stats.Summarize(a.Samples())
	}
	switch {
	case a == nil:
		r.Lone, r.Why = true, "only the second result has it"
	case a.Unit != b.Unit || a.Higher != b.Higher:
		r.Why = fmt.Sprintf("the units differ: %s and %s", a.Unit, b.Unit)
	case r.A.N == 0 || r.B.N == 0:
		r.Why = "without samples"
		for _, why := range []string{b.Failed, a.Failed, b.Unavailable, a.Unavailable} {
			if why != "" {
				r.Why = why
				break
			}
		}
	case r.A.Median == 0 || r.B.Median == 0:
		if r.A.Median == r.B.Median {
			r.Verdict = Same
		}
		r.Why = "the median is 0"
	default:
		ratio, low, high := a.Better(b.Passes)
		r.Change, r.Low, r.High = ratio-1, low-1, high-1
		r.Noise = max(leastNoise, o.noise(a.Passes, b.Passes))
		return r, max(stats.MannWhitney(a.Samples(), b.Samples()), o.passes(a.Passes, b.Passes)), true
	}
	return r, 1, false
}

// The passes' medians must differ by rank, too, at these levels, which no correction makes stricter, and none may be where the other
// result's are: what has two speeds by chance of a pass can be fast in most of a few passes and slow in most of a few others. Five passes are the fewest that can tell.
const (
	rankLevel   = 0.01
	pairedLevel = 0.01
)

// passes tests the medians of passes.
func (o *Options) passes(a, b [][]float64) float64 {
	la, lb := logs(a), logs(b)
	if d := o.pairs(la, lb); d != nil {
		signs := 0
		for _, v := range d {
			if v > 0 {
				signs++
			}
		}
		if stats.Sign(signs, len(d)) > pairedLevel {
			return 1
		}
		return stats.Paired(d)
	}
	if stats.MannWhitney(la, lb) > rankLevel || mixed(la, lb) || mixed(lb, la) {
		return 1
	}
	return stats.Welch(la, lb)
}

// mixed says that a pass of a is where b's are, or beyond.
func mixed(a, b []float64) bool {
	ma, mb := stats.Median(a), stats.Median(b)
	return slices.ContainsFunc(a, func(v float64) bool { return (v-ma)*(mb-ma) > (mb-ma)*(mb-ma) })
}

// logs is the logarithm of each pass's median. What has one pass only is cut in two.
func logs(passes [][]float64) (out []float64) {
	if len(passes) == 1 && len(passes[0]) > 1 {
		half := len(passes[0]) / 2
		passes = [][]float64{passes[0][:half], passes[0][half:]}
	}
	for _, p := range passes {
		if m := stats.Median(p); m > 0 {
			out = append(out, math.Log(m))
		}
	}
	return out
}

// noise is by how much the results differ from themselves; where passes alternate, by how much what one pair says differs from what another does.
func (o *Options) noise(a, b [][]float64) float64 {
	if d := o.pairs(logs(a), logs(b)); d != nil {
		return split(d)
	}
	return max(noise(a), noise(b))
}

// noise is by how much a result differs from itself: its even passes from its odd ones.
func noise(passes [][]float64) float64 { return split(logs(passes)) }

// pairs is the differences of passes that alternate, or nil.
func (o *Options) pairs(a, b []float64) []float64 {
	if !o.Paired || len(a) != len(b) {
		return nil
	}
	d := make([]float64, len(a))
	for i := range d {
		d[i] = b[i] - a[i]
	}
	return d
}

func split(l []float64) float64 {
	var sides [2][]float64
	for i, v := range l {
		sides[i%2] = append(sides[i%2], v)
	}
	if len(sides[1]) == 0 {
		return 0
	}
	return math.Abs(math.Expm1(stats.Median(sides[0]) - stats.Median(sides[1])))
}

// judge decides, once P is corrected.
func (r *Row) judge(o Options) {
	difference := math.Abs(r.Change)
	significant := r.P < o.Level && (r.Low > 0 || r.High < 0)
	switch {
	case r.Noise > tooNoisy && difference < 2*r.Noise:
		r.Verdict, r.Why = TooNoisy, fmt.Sprintf("the same program differed by %.0f %% from itself", 100*r.Noise)
	case significant && difference > max(o.Least, r.Noise):
		r.Verdict = Faster
		if r.Change > 0 {
			r.Verdict = Slower
		}
	case significant && difference > o.Least:
		r.Verdict, r.Why = Unsure, "within the host's noise"
	case difference > 2*max(o.Least, r.Noise):
		r.Verdict, r.Why = Unsure, "not significant: more passes would tell"
	default:
		r.Verdict = Same
	}
}

// Count is the number of rows with a verdict.
func (c *Comparison) Count(v Verdict) (n int) {
	for i := range c.Rows {
		if c.Rows[i].Verdict == v {
			n++
		}
	}
	return n
}

// Slower is the number of benchmarks that are slower beyond doubt.
func (c *Comparison) Slower() int { return c.Count(Slower) }
