package compare

// Comparisons and results as text.

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

// shown says that a row belongs into the short form. A run of a few benchmarks is no news of all others.
func (r *Row) shown() bool { return r.Verdict != Same && !r.Lone }

// Write writes what has changed, or everything, and a line that sums up.
func (c *Comparison) Write(w io.Writer, all bool) error {
	var b bytes.Buffer
	for _, s := range c.Warnings {
		fmt.Fprintf(&b, "note: %s\n", s)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BENCHMARK\tBEFORE\tNOW\tCHANGE\t95 %\tNOISE\tP\tVERDICT\t")
	for i := range c.Rows {
		if r := &c.Rows[i]; all || r.shown() {
			fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
		}
	}
	t.Flush() // to memory
	fmt.Fprintln(&b, c.Line())
	_, err := w.Write(b.Bytes())
	return err
}

// cells are a row's; change is positive for worse.
func (r *Row) cells() []string {
	verdict := r.Verdict.String()
	if r.Why != "" {
		verdict += ": " + r.Why
	}
	if r.Verdict == Incomparable || r.A.N == 0 || r.B.N == 0 {
		return []string{r.Name, value(r.A, r.Unit), value(r.B, r.Unit), "-", "-", "-", "-", verdict}
	}
	return []string{r.Name, value(r.A, r.Unit), value(r.B, r.Unit), fmt.Sprintf("%+.1f %%", 100*r.Change),
		fmt.Sprintf("%+.1f to %+.1f", 100*r.Low, 100*r.High), fmt.Sprintf("%.1f %%", 100*r.Noise), fmt.Sprintf("%.3f", r.P), verdict}
}

func value(s stats.Summary, unit string) string {
	if s.N == 0 {
		return "-"
	}
	return bench.FormatValue(s.Median, unit)
}

// Line sums up.
func (c *Comparison) Line() string {
	var parts []string
	for _, v := range []Verdict{Slower, Faster, Unsure, TooNoisy, Incomparable, Same} {
		if n := c.Count(v); n > 0 || v == Slower {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	return strings.Join(parts, ", ")
}

// Markdown writes a table for a pull request: what changed in sight, the rest folded.
func (c *Comparison) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "**%s**\n\n", c.Line())
	for _, s := range c.Warnings {
		fmt.Fprintf(&b, "> %s\n\n", escape(s))
	}
	table := func(want func(*Row) bool) {
		fmt.Fprint(&b, "| benchmark | before | now | change | 95 % | noise | p | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n")
		for i := range c.Rows {
			if r := &c.Rows[i]; want(r) {
				cells := r.cells()
				for k := range cells {
					cells[k] = escape(cells[k])
				}
				fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
			}
		}
	}
	if slices.ContainsFunc(c.Rows, func(r Row) bool { return r.shown() }) {
		table((*Row).shown)
		b.WriteString("\n")
	}
	b.WriteString("<details><summary>all benchmarks</summary>\n\n")
	table(func(*Row) bool { return true })
	b.WriteString("\n</details>\n")
	_, err := w.Write(b.Bytes())
	return err
}

func escape(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(s)
}

// Summary writes what a run found, without comparing it with another.
func Summary(w io.Writer, r *bench.Result) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	peers := ""
	for i := range r.Rows {
		if r.Rows[i].PeerName != "" {
			peers = r.Rows[i].PeerName
		}
	}
	head := "BENCHMARK\tMEDIAN\t95 %\tP99\tP99.9\tFAR\tNOISE\tOF LIMIT\t"
	if peers != "" {
		head += "TIMES " + strings.ToUpper(peers) + "\t95 %\t"
	}
	fmt.Fprintln(t, head+"NOTE")
	for i := range r.Rows {
		c := figuresOf(r, &r.Rows[i])
		cells := []string{r.Rows[i].Name, c.median, c.interval, c.p99, c.p999, c.far, c.noise, c.limit}
		if peers != "" {
			cells = append(cells, c.ratio, c.ratioInterval)
		}
		fmt.Fprintln(t, strings.Join(append(cells, c.note), "\t"))
	}
	t.Flush() // to memory
	if r.Note != "" {
		fmt.Fprintln(&b, r.Note)
	}
	if r.Peer != "" {
		fmt.Fprintf(&b, "the peer is %s\n", r.Peer)
	}
	if busy(r) {
		fmt.Fprintf(&b, "note: others kept %.1f of %d cores busy meanwhile; the figures are less sure for it\n", r.Host.Load, r.Host.Cores)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// figures are what a run found of a row; "-" is what it did not. far is the share of samples that took more than twice as long as the median.
type figures struct{ median, interval, p99, p999, far, noise, limit, ratio, ratioInterval, note string }

func figuresOf(r *bench.Result, row *bench.Row) figures {
	f := figures{"-", "-", "-", "-", "-", "-", "-", "-", "-", ""}
	var notes []string
	for _, n := range []struct{ what, why string }{{"failed", row.Failed}, {"not here", row.Unavailable}, {"the peer", row.PeerFailed}} {
		if n.why != "" {
			notes = append(notes, n.what+": "+n.why)
		}
	}
	value := func(v float64) string { return bench.FormatValue(v, row.Unit) }
	if s := stats.Summarize(row.Samples()); s.N > 0 {
		f.median, f.interval, f.p99 = value(s.Median), value(s.Low)+" to "+value(s.High), value(row.P99())
		f.p999, f.far = value(row.P999()), fmt.Sprintf("%.1f %%", 100*row.Far())
		f.noise = fmt.Sprintf("%.1f %%", 100*noise(row.Passes))
		if len(s.Modes) > 1 {
			notes = append(notes, "two speeds: "+value(s.Modes[0])+" and "+value(s.Modes[1]))
		}
		if l := r.Row(row.Limit); l != nil && len(l.Samples()) > 0 {
			x, _, _ := row.Better(l.Passes)
			f.limit = fmt.Sprintf("%.0f %%", 100*x)
		}
		if len(row.PeerSamples()) > 0 {
			x, low, high := row.Better(row.Peer)
			f.ratio, f.ratioInterval = fmt.Sprintf("%.2f", x), fmt.Sprintf("%.2f to %.2f", low, high)
		}
	}
	f.note = strings.Join(notes, "; ")
	return f
}

// Markdown writes what a run found as a page, with what the specification promises of a row beside it (docs/BASELINE.md is one).
func Markdown(w io.Writer, r *bench.Result, targets map[string]string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Baseline\n\nMade by `vm bench report --markdown` of a run of `%s` on %s: vm %s on %s, %d cores, %s, kernel %s. ", strings.Join(r.Command, " "),
		r.Started.Format("2006-01-02"), r.Version, r.Host.CPU, r.Host.Cores, r.Host.OS, r.Host.Kernel)
	if r.Peer != "" {
		fmt.Fprintf(&b, "QEMU is %s. ", r.Peer)
	}
	fmt.Fprintf(&b, "Others kept %.1f cores busy meanwhile. How each figure is taken: BENCHMARKING.md.\n", r.Host.Load)
	group := ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if g, _, _ := strings.Cut(row.Name, "/"); g != group {
			group = g
			fmt.Fprintf(&b, "\n## %s\n\n| benchmark | median | 95 %% | p99 | p99.9 | far | of its limit | times QEMU | target | note |\n|---|---|---|---|---|---|---|---|---|---|\n", group)
		}
		c := figuresOf(r, row)
		cells := []string{row.Name, c.median, c.interval, c.p99, c.p999, c.far, c.limit, c.ratio, cmp.Or(targets[row.Name], "-"), c.note}
		for k := range cells {
			cells[k] = escape(cells[k])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	_, err := w.Write(b.Bytes())
	return err
}
