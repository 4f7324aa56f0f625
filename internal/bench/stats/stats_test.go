package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// draw makes n samples of a distribution.
func draw(seed uint64, n int, f func(r *rand.Rand) float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float64, n)
	for i := range out {
		out[i] = f(r)
	}
	return out
}

func normal(mean, sd float64) func(r *rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return mean + sd*r.NormFloat64() }
}

func lognormal(median, sd float64) func(r *rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return median * math.Exp(sd*r.NormFloat64()) }
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.Abs(got-want) > by {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestSummarize(t *testing.T) {
	s := Summarize([]float64{1, 2, 3, 4, 100})
	near(t, "median", s.Median, 3, 0)
	near(t, "mean", s.Mean, 22, 1e-9)
	near(t, "share of outliers", s.Outliers, 0.2, 1e-9)
	if s.Min != 1 || s.Max != 100 || s.N != 5 || s.Low > 3 || s.High < 3 {
		t.Errorf("%+v", s)
	}
	if s := Summarize(nil); s.N != 0 || s.Median != 0 {
		t.Errorf("of nothing: %+v", s)
	}
	if s := Summarize([]float64{7}); s.Median != 7 || s.Low != 7 || s.High != 7 {
		t.Errorf("of one: %+v", s)
	}
}

// The interval has the true median in it about as often as it says.
func TestIntervalCovers(t *testing.T) {
	const tries = 300
	hit := 0
	for i := range uint64(tries) {
		low, high := MedianInterval(draw(i, 25, lognormal(10, 0.3)))
		if low <= 10 && 10 <= high {
			hit++
		}
	}
	if share := float64(hit) / tries; share < 0.90 {
		t.Errorf("%.0f %% of the intervals have the median in them", 100*share)
	}
}

func TestModes(t *testing.T) {
	two := func(a, b, sd float64) func(r *rand.Rand) float64 {
		return func(r *rand.Rand) float64 {
			if r.IntN(2) == 0 {
				return normal(a, sd)(r)
			}
			return normal(b, sd)(r)
		}
	}
	for _, c := range []struct {
		name string
		n    int
		f    func(r *rand.Rand) float64
		most int // of 100 sets that have two modes
		many bool
	}{
		{"normal", 30, normal(100, 5), 3, false},
		{"uniform", 40, func(r *rand.Rand) float64 { return 100 + 50*r.Float64() }, 3, false},
		{"lognormal", 50, lognormal(100, 0.3), 3, false},
		{"few", 8, two(100, 150, 1), 0, false},
		{"two speeds", 30, two(100, 150, 4), 95, true},
		{"two speeds, close", 60, two(100, 125, 3), 90, true},
	} {
		found := 0
		for i := range uint64(100) {
			if len(Modes(draw(i, c.n, c.f))) > 1 {
				found++
			}
		}
		if c.many && found < c.most || !c.many && found > c.most {
			t.Errorf("%s: %d of 100 have more than one mode", c.name, found)
		}
	}
}

func TestWarmup(t *testing.T) {
	warming := draw(1, 40, normal(100, 1))
	for i := range 6 {
		warming[i] += float64(60 - 9*i)
	}
	if w := Warmup(warming); w < 4 || w > 8 {
		t.Errorf("%d of 6 samples are warm-up", w)
	}
	outlier := draw(2, 40, normal(100, 1))
	outlier[3] = 500
	for name, samples := range map[string][]float64{"flat": draw(3, 40, normal(100, 1)), "few": {9, 1, 1, 1, 1}, "outlier": outlier, "equal": make([]float64, 20)} {
		if w := Warmup(samples); w > 1 {
			t.Errorf("%s: %d samples are warm-up", name, w)
		}
	}
}

func TestEnough(t *testing.T) {
	if Enough(draw(1, 10, normal(100, 10)), 0.01) {
		t.Error("ten wide samples are enough for 1 %")
	}
	if !Enough(draw(1, 60, normal(100, 1)), 0.01) {
		t.Error("sixty narrow ones are not")
	}
}

// Values by hand, and from R's wilcox.test and t.test.
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		{[]float64{1, 3, 5}, []float64{2, 4, 6}, 0.7},
		{[]float64{1, 1, 1}, []float64{1, 1, 1}, 1},
		{nil, []float64{1}, 1},
	} {
		near(t, "p", MannWhitney(c.a, c.b), c.want, 1e-9)
	}
	near(t, "p with ties", MannWhitney([]float64{1, 2, 2, 3}, []float64{2, 3, 4, 5}), 0.13667, 1e-4)
	if p := MannWhitney(draw(1, 60, normal(10, 1)), draw(2, 60, normal(12, 1))); p > 1e-9 {
		t.Errorf("p of many samples that are apart is %v", p)
	}
}

func TestStudent(t *testing.T) {
	near(t, "t = 2.228 at 10", student(2.228139, 10), 0.05, 1e-6)
	near(t, "t = 12.706 at 1", student(12.7062, 1), 0.05, 1e-6)
	near(t, "t = 0", student(0, 7), 1, 1e-9)
	near(t, "t = 6 at 8", student(6, 8), 0.000323, 1e-6)
	near(t, "p of sets that are the same", Welch([]float64{1, 2, 3}, []float64{1, 2, 3}), 1, 1e-9)
	if p := Welch([]float64{1, 1.1, 0.9, 1.05}, []float64{2, 2.1, 1.9, 2.05}); p > 1e-4 {
		t.Errorf("p of sets that are apart is %v", p)
	}
	outlier := draw(9, 10, normal(0.08, 0.01))
	outlier[4] = -0.5
	if p := Paired(outlier); p > 1e-4 {
		t.Errorf("p of differences with one that is far off is %v", p)
	}
	if Welch([]float64{1}, []float64{2, 3}) != 1 || Paired([]float64{1}) != 1 {
		t.Error("one number is enough to be significant")
	}
}

func TestSign(t *testing.T) {
	near(t, "p of ten heads", Sign(10, 10), 2.0/1024, 1e-12)
	near(t, "p of one of ten", Sign(1, 10), 22.0/1024, 1e-12)
	near(t, "p of five of ten", Sign(5, 10), 1, 1e-12)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "corrected p", got[i], want, 1e-12)
	}
}

func TestRatioInterval(t *testing.T) {
	passes := func(seed uint64, by float64) (out [][]float64) {
		for i := range uint64(8) {
			out = append(out, draw(seed+i, 10, normal(100*by, 2)))
		}
		return out
	}
	ratio, low, high := RatioInterval(passes(1, 1.1), passes(100, 1))
	if low > 1.1 || high < 1.1 || math.Abs(ratio-1.1) > 0.02 || high-low > 0.05 {
		t.Errorf("%v, %v to %v", ratio, low, high)
	}
	if r, _, _ := RatioInterval(nil, passes(1, 1)); r != 0 {
		t.Errorf("a ratio of nothing: %v", r)
	}
}
