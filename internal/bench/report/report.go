// Package report draws results as a page for a browser: one file that needs nothing else, no network and no script, though a few lines of script sort and
// filter its table where there is one.
//
//	report.go   what is on the page
//	chart.go    plots, as SVG
//	page.html   its shape and colours
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Kind is what a verdict says: a word for the page's colours, and never the only thing that tells them apart.
type Kind string

// The kinds.
const (
	Good    Kind = "good"
	Bad     Kind = "bad"
	Doubt   Kind = "doubt"
	Neutral Kind = "neutral"
)

// Verdict is what a comparison with the baseline says of a row.
type Verdict struct {
	Kind Kind
	Text string // "slower by 8.1 % (7.2 to 9.0)"
}

// Promise is a bound of the specification, and what the result says of it.
type Promise struct {
	Text, Bound, Value string
	Kind               Kind
	State              string // kept, broken, not measured
}

// Page is what is drawn.
type Page struct {
	Result   *bench.Result
	Baseline *bench.Result      // may be nil
	History  []*bench.Result    // older results, oldest first
	Verdicts map[string]Verdict // by row
	Promises []Promise
}

// view is the page as the template has it.
type view struct {
	Title, When, Took, Command, Version string
	Complete                            bool
	Note                                string
	Host                                [][2]string
	Attention                           []attention
	InDoubt, TwoSpeeds                  []attention // folded: chance makes many of them
	Promises                            []Promise
	Groups                              []group
	Peer                                string
	HasBaseline                         bool
}

type attention struct {
	Kind          Kind
	ID, Name, Why string // without an ID there is no row to go to
}

type group struct {
	Name string
	Rows []row
}

type row struct {
	Name, ID, Doc, Median, Interval, P99, P999, Times string
	Sort                                              float64
	Baseline, Peer, Limit, Speeds                     string
	Verdict                                           Verdict
	Notes                                             []string
	Kinds                                             string // that the page can be cut down to
	Strip                                             template.HTML
	Plots                                             []plot
	Reproduce                                         string
}

type plot struct {
	Title   string
	Plot    template.HTML
	Caption string
}

// twoSpeeds is a kind that is no verdict.
const twoSpeeds Kind = "speeds"

// Write writes the page.
func Write(w io.Writer, p *Page) error {
	r := p.Result
	v := &view{
		Title: "vm bench", When: r.Started.Format(time.RFC1123), Took: r.Took.Round(time.Second).String(), Command: strings.Join(r.Command, " "),
		Version: strings.TrimSpace(r.Version + " " + r.Revision), Complete: r.Complete, Note: r.Note, Host: host(r), Promises: p.Promises, HasBaseline: p.Baseline != nil,
	}
	for _, promise := range p.Promises {
		if promise.Kind == Bad {
			v.Attention = append(v.Attention, attention{Bad, "", promise.Text, "is promised to be " + promise.Bound + ", and is " + promise.Value})
		}
	}
	for i := range r.Rows {
		b := &r.Rows[i]
		one := p.row(b, i)
		name, _, _ := strings.Cut(b.Name, "/")
		if len(v.Groups) == 0 || v.Groups[len(v.Groups)-1].Name != name {
			v.Groups = append(v.Groups, group{Name: name})
		}
		if b.PeerName != "" {
			v.Peer = b.PeerName
		}
		v.attend(b, &one)
		g := &v.Groups[len(v.Groups)-1]
		g.Rows = append(g.Rows, one)
	}
	return page.Execute(w, v)
}

// attend says why a row needs attention, if it does, and of which kinds it is.
func (v *view) attend(b *bench.Row, r *row) {
	for _, a := range []struct {
		to   *[]attention
		is   bool
		kind Kind
		why  string
	}{
		{&v.Attention, b.Failed != "", Bad, "failed: " + b.Failed},
		{&v.Attention, b.PeerFailed != "", Doubt, "its peer failed: " + b.PeerFailed},
		{&v.Attention, r.Verdict.Kind == Bad, Bad, r.Verdict.Text},
		{&v.InDoubt, r.Verdict.Kind == Doubt, Doubt, r.Verdict.Text},
		{&v.TwoSpeeds, r.Speeds != "", twoSpeeds, r.Speeds},
	} {
		if a.is {
			*a.to = append(*a.to, attention{a.kind, r.ID, b.Name, a.why})
			r.Kinds += string(a.kind) + " "
		}
	}
	if r.Verdict.Kind == Good {
		r.Kinds += string(Good)
	}
}

// row is a benchmark's part of the page.
func (p *Page) row(b *bench.Row, i int) row {
	samples := b.Samples()
	s := stats.Summarize(samples)
	format := func(v float64) string { return bench.FormatValue(v, b.Unit) }
	out := row{
		Name: b.Name, ID: fmt.Sprintf("row%d", i), Doc: b.Doc, Median: "-", Interval: "-", P99: "-", P999: "-", Baseline: "-", Peer: "-", Limit: "-",
		Verdict: p.Verdicts[b.Name], Reproduce: "vm bench run " + b.Name, Sort: -1,
	}
	for _, n := range []struct{ what, why string }{{"failed", b.Failed}, {"not on this host", b.Unavailable}, {"the peer failed", b.PeerFailed}} {
		if n.why != "" {
			out.Notes = append(out.Notes, n.what+": "+n.why)
		}
	}
	if s.N == 0 {
		return out
	}
	out.Sort, out.Median, out.P99, out.P999 = s.Median, format(s.Median), format(b.P99()), format(b.P999())
	out.Interval = format(s.Low) + " to " + format(s.High)
	out.Times = fmt.Sprintf("%d samples in %d passes, each of %d times; %.0f %% are outliers, %.1f %% took more than twice as long as the median; %d were warm-up", s.N, len(b.Passes), max(b.Times, 1),
		100*s.Outliers, 100*b.Far(), b.Warmup)
	if len(s.Modes) > 1 {
		out.Speeds = format(s.Modes[0]) + " and " + format(s.Modes[1])
		out.Notes = append(out.Notes, "two speeds: "+out.Speeds)
	}
	out.Strip = strip(b)
	const caption = "every sample; the band is the median's interval of 95 %, and what is far out is at the edge"
	out.draw("vm", distribution(b.Name, "own", b.Unit, b.Passes), caption)
	var bars []bar
	if p.Baseline != nil {
		if old := p.Baseline.Row(b.Name); old != nil && len(old.Samples()) > 0 {
			out.Baseline = format(stats.Median(old.Samples()))
		}
	}
	if len(b.PeerSamples()) > 0 {
		out.draw(b.PeerName, distribution(b.PeerName+"'s "+b.Name, "peer", b.Unit, b.Peer), caption)
		x, low, high := b.Better(b.Peer)
		out.Peer = fmt.Sprintf("%.2f (%.2f to %.2f)", x, low, high)
		bars = append(bars, bar{fmt.Sprintf("times as fast as %s", b.PeerName), x, low, high, 1})
	}
	if l := p.Result.Row(b.Limit); l != nil && len(l.Samples()) > 0 {
		x, low, high := b.Better(l.Passes)
		out.Limit = fmt.Sprintf("%.0f %%", 100*x)
		bars = append(bars, bar{"of " + b.Limit, x, low, high, 1})
	}
	out.draw("ratios", ratios(bars), "with intervals of 95 %; the dashed line is where both are as fast")
	out.draw("history", p.history(b), "the median of each run by its date, with its interval of 95 %; the ring is the baseline")
	return out
}

// draw adds a plot, if it shows anything.
func (r *row) draw(title string, p template.HTML, caption string) {
	if p != "" {
		r.Plots = append(r.Plots, plot{title, p, caption})
	}
}

// history plots the row over the older results and this one.
func (p *Page) history(b *bench.Row) template.HTML {
	var points []point
	add := func(r *bench.Result) {
		if o := r.Row(b.Name); o != nil && o.Unit == b.Unit && len(o.Samples()) > 0 {
			low, high := stats.MedianInterval(o.Samples())
			points = append(points, point{r.Started, stats.Median(o.Samples()), low, high, p.Baseline != nil && r.Started.Equal(p.Baseline.Started)})
		}
	}
	for _, r := range p.History {
		add(r)
	}
	add(p.Result)
	if len(points) < 2 {
		return ""
	}
	return over(points, b.Unit)
}

// host describes it in pairs, and what else ran on it.
func host(r *bench.Result) [][2]string {
	h := &r.Host
	list := [][2]string{{"processor", h.CPU}, {"cores", fmt.Sprint(h.Cores)}, {"system", h.OS + ", kernel " + h.Kernel},
		{"memory", bench.FormatValue(float64(h.Memory), bench.Bytes.Name)}}
	for _, o := range [][2]string{{"governor", h.Governor}, {"virtualised by", h.Virtual}, {"features", strings.Join(h.Features, " ")}, {"peer", r.Peer}} {
		if o[1] != "" {
			list = append(list, o)
		}
	}
	return append(list, [2]string{"cores that others used meanwhile", fmt.Sprintf("%.1f", h.Load)},
		[2]string{"taken by the hypervisor", fmt.Sprintf("%.1f %%", 100*h.Steal)})
}

// finite keeps what cannot be drawn out of charts.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
