package compare

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/bench"
)

// host is a model of a shared host: what it does to a sample, a pass, and for a while to all.
type host struct {
	sample, pass float64 // standard deviations, as shares
	drift        float64 // over all passes
	burst        float64 // a share of passes are that much slower
	speeds       float64 // by chance of a pass, everything is that much slower
}

// run makes the result of a program that is slower by a share, on rows benchmarks.
func (h host) run(r *rand.Rand, rows, passes, samples int, slower float64) *bench.Result {
	return h.runAt(r, h.levels(r, passes), rows, samples, slower)
}

// levels is what the host does to all benchmarks of a pass, which it does to the other side, too, where passes alternate.
func (h host) levels(r *rand.Rand, passes int) []float64 {
	levels := make([]float64, passes)
	for p := range levels {
		levels[p] = h.drift * float64(p) / float64(passes)
		if r.Float64() < 0.1 {
			levels[p] += h.burst
		}
	}
	return levels
}

func (h host) runAt(r *rand.Rand, levels []float64, rows, samples int, slower float64) *bench.Result {
	out := &bench.Result{Format: bench.Format, Complete: true}
	for i := range rows {
		row := bench.Row{Name: fmt.Sprintf("group/%02d", i), Unit: "ns/op", Times: 1}
		for p := range levels {
			level := levels[p] + h.pass*r.NormFloat64()
			if r.IntN(2) == 0 {
				level += h.speeds
			}
			var pass []float64
			for range samples {
				pass = append(pass, 100*(1+slower)*math.Exp(level+h.sample*r.NormFloat64()))
			}
			row.Passes = append(row.Passes, pass)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

var hosts = map[string]host{
	"quiet":      {sample: 0.01, pass: 0.003},
	"usual":      {sample: 0.03, pass: 0.02},
	"drifting":   {sample: 0.03, pass: 0.02, drift: 0.05},
	"bursts":     {sample: 0.03, pass: 0.02, burst: 0.3},
	"two speeds": {sample: 0.02, pass: 0.01, speeds: 0.3},
}

// The same program twice is the same, on any host.
func TestNoAlarmWithoutCause(t *testing.T) {
	runs := 20
	if testing.Short() {
		runs = 2
	}
	for name, h := range hosts {
		for _, passes := range []int{3, 10, 16} {
			for _, paired := range []bool{false, true} {
				r := rand.New(rand.NewPCG(7, uint64(passes)))
				for range runs {
					la, lb := h.levels(r, passes), h.levels(r, passes)
					if paired {
						lb = la
					}
					c := Compare(h.runAt(r, la, 20, 5, 0), h.runAt(r, lb, 20, 5, 0), Options{Least: 0.05, Paired: paired})
					if n := c.Slower() + c.Count(Faster); n > 0 {
						t.Errorf("%s, %d passes, paired %v: %d of 20 rows are said to differ", name, passes, paired, n)
					}
				}
			}
		}
	}
}

// A program that is slower by 8 % is found out, on a host that is as noisy as most; where passes alternate, on one that drifts, too.
func TestSlowerIsFound(t *testing.T) {
	tries := 100
	if testing.Short() {
		tries = 10
	}
	for _, c := range []struct {
		host   string
		paired bool
	}{{"quiet", false}, {"usual", false}, {"usual", true}, {"drifting", true}, {"bursts", true}} {
		h, r := hosts[c.host], rand.New(rand.NewPCG(8, 8))
		found, others := 0, 0
		for range tries {
			la, lb := h.levels(r, 10), h.levels(r, 10)
			if c.paired { // as the gate has it
				la = h.levels(r, 16)
				lb = la
			}
			a, b := h.runAt(r, la, 10, 5, 0), h.runAt(r, lb, 10, 5, 0)
			b.Rows[3] = h.runAt(r, lb, 10, 5, 0.08).Rows[3]
			result := Compare(a, b, Options{Least: 0.05, Paired: c.paired})
			if result.Rows[3].Verdict == Slower {
				found++
				others--
			}
			others += result.Slower()
		}
		if found < tries*9/10 || others > 0 {
			t.Errorf("%s, paired %v: a slow-down of 8 %% was found %d times in %d, and %d others", c.host, c.paired, found, tries, others)
		}
	}
}

func TestVerdicts(t *testing.T) {
	row := func(unit string, higher bool, passes ...[]float64) bench.Row {
		return bench.Row{Name: "a/b", Unit: unit, Higher: higher, Passes: passes}
	}
	flat := func(at float64) (out [][]float64) {
		for i := range 6 {
			out = append(out, []float64{at, at * (1 + 0.001*float64(i)), at * 0.999, at * 1.001})
		}
		return out
	}
	for _, c := range []struct {
		name string
		a, b bench.Row
		want Verdict
		why  string
	}{
		{"slower", row("ns/op", false, flat(100)...), row("ns/op", false, flat(110)...), Slower, ""},
		{"faster", row("ns/op", false, flat(100)...), row("ns/op", false, flat(90)...), Faster, ""},
		{"less of what should be more", row("B/s", true, flat(100)...), row("B/s", true, flat(90)...), Slower, ""},
		{"by 1 %", row("ns/op", false, flat(100)...), row("ns/op", false, flat(101)...), Same, ""},
		{"another unit", row("ns/op", false, flat(1)...), row("B/s", true, flat(1)...), Incomparable, "units differ"},
		{"failed", bench.Row{Name: "a/b", Unit: "ns/op", Failed: "wrong answer"}, row("ns/op", false, flat(1)...), Incomparable, "wrong answer"},
		{"a wild host", row("ns/op", false, []float64{100}, []float64{200}, []float64{100}, []float64{210}), row("ns/op", false, []float64{150}, []float64{90}, []float64{160}, []float64{80}), TooNoisy, "from itself"},
		{"too few to tell", row("ns/op", false, []float64{100}), row("ns/op", false, []float64{130}), Unsure, "more passes"},
	} {
		a, b := &bench.Result{Complete: true, Rows: []bench.Row{c.a}}, &bench.Result{Complete: true, Rows: []bench.Row{c.b}}
		got := Compare(a, b, Options{}).Rows[0]
		if got.Verdict != c.want || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %v (%s), want %v (%s)", c.name, got.Verdict, got.Why, c.want, c.why)
		}
	}
}

func TestText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, b := hosts["quiet"].run(r, 4, 6, 5, 0), hosts["quiet"].run(r, 4, 6, 5, 0.5)
	b.Complete, a.Host.CPU = false, "another | one"
	b.Rows = append(b.Rows[:3], bench.Row{Name: "group/<new>", Unit: "ns/op"})
	c := Compare(a, b, Options{})
	var text, mark, sum bytes.Buffer
	for _, err := range []error{c.Write(&text, false), c.Markdown(&mark), Summary(&sum, a)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"group/00", "slower", "note: the hosts' processors differ", "not complete", "3 slower, 2 not comparable"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "only the first result has it") {
		t.Errorf("what one result does not have is news:\n%s", text.String())
	}
	for _, want := range []string{"**3 slower", "| group/01 |", "&lt;new&gt;", `another \| one`, "<details>"} {
		if !strings.Contains(mark.String(), want) {
			t.Errorf("no %q in\n%s", want, mark.String())
		}
	}
	if !strings.Contains(sum.String(), "group/03") || strings.Count(sum.String(), "\n") != 5 {
		t.Errorf("summary:\n%s", sum.String())
	}
}

// What should be large has its p99 at the small end.
func TestTheBadSideIsShown(t *testing.T) {
	r := &bench.Result{Rows: []bench.Row{{Name: "a/rate", Unit: bench.BytesPerSec.Name, Higher: true, Passes: [][]float64{{1 << 20, 2 << 20, 3 << 20}}}}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"summary": func(b *bytes.Buffer) error { return Summary(b, r) },
		"page":    func(b *bytes.Buffer) error { return Markdown(b, r, nil) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), "1.02 MiB/s") {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
}

// What makes a comparison say less than it seems to is said.
func TestWarnings(t *testing.T) {
	quiet, busy := bench.Host{Cores: 2, Load: 0.2}, bench.Host{Cores: 2, Load: 1.5}
	for _, c := range []struct {
		name   string
		slower float64
		host   bench.Host
		paired bool
		want   string
	}{
		{"the same", 0, quiet, false, ""},
		{"everything is slower", 0.1, quiet, false, "slower: that may be the host"},
		{"everything is faster", -0.1, quiet, false, "faster: that may be the host"},
		{"everything is slower, turn and turn about", 0.1, quiet, true, ""},
		{"neighbours", 0, busy, false, "while the second was measured, others kept 1.5 of 2 cores busy"},
	} {
		r := rand.New(rand.NewPCG(3, 3))
		a, b := hosts["quiet"].run(r, 10, 6, 5, 0), hosts["quiet"].run(r, 10, 6, 5, c.slower)
		a.Host, b.Host = quiet, c.host
		got := strings.Join(Compare(a, b, Options{Paired: c.paired}).Warnings, "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
