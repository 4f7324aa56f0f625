package compare

// Comparisons and results as text.

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

// shown says that a row belongs into the short form.
func (r *Row) shown() bool { return r.Verdict != Same }

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
		fmt.Fprint(&b, "| benchmark | before | now | change | 95 % | noise | p | verdict |\n|---|---|---|---|---|---|---|---|\n")
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
	if c.Count(Same) < len(c.Rows) {
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
	head := "BENCHMARK\tMEDIAN\t95 %\tP99\tNOISE\tOF LIMIT\t"
	if peers != "" {
		head += "TIMES " + strings.ToUpper(peers) + "\t95 %\t"
	}
	fmt.Fprintln(t, head+"NOTE")
	for i := range r.Rows {
		fmt.Fprintln(t, strings.Join(summaryCells(r, &r.Rows[i], peers), "\t"))
	}
	t.Flush() // to memory
	if r.Note != "" {
		fmt.Fprintln(&b, r.Note)
	}
	if r.Host.Load > float64(r.Host.Cores)/4 {
		fmt.Fprintf(&b, "note: others kept %.1f of %d cores busy meanwhile; the figures are less sure for it\n", r.Host.Load, r.Host.Cores)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func summaryCells(r *bench.Result, row *bench.Row, peer string) []string {
	s := stats.Summarize(row.Samples())
	var notes []string
	for _, n := range []struct{ what, why string }{{"failed", row.Failed}, {"not here", row.Unavailable}, {peer, row.PeerFailed}} {
		if n.why != "" {
			notes = append(notes, n.what+": "+n.why)
		}
	}
	blank := 5
	if peer != "" {
		blank += 2
	}
	if s.N == 0 {
		return append(append([]string{row.Name}, strings.Split(strings.Repeat("-,", blank)[:2*blank-1], ",")...), strings.Join(notes, "; "))
	}
	if len(s.Modes) > 1 {
		notes = append(notes, fmt.Sprintf("two speeds: %s and %s", bench.FormatValue(s.Modes[0], row.Unit), bench.FormatValue(s.Modes[1], row.Unit)))
	}
	limit := "-"
	if l := r.Row(row.Limit); l != nil && len(l.Samples()) > 0 {
		share := stats.Median(l.Samples()) / s.Median
		if row.Higher {
			share = 1 / share
		}
		limit = fmt.Sprintf("%.0f %%", 100*share)
	}
	cells := []string{row.Name, bench.FormatValue(s.Median, row.Unit), bench.FormatValue(s.Low, row.Unit) + " to " + bench.FormatValue(s.High, row.Unit),
		bench.FormatValue(s.P99, row.Unit), fmt.Sprintf("%.1f %%", 100*noise(row.Passes)), limit}
	if peer != "" {
		ratio, interval := "-", "-"
		if p := row.PeerSamples(); len(p) > 0 {
			x, low, high := stats.RatioInterval(row.Peer, row.Passes)
			if row.Higher {
				x, low, high = 1/x, 1/high, 1/low
			}
			ratio, interval = fmt.Sprintf("%.2f", x), fmt.Sprintf("%.2f to %.2f", low, high)
		}
		cells = append(cells, ratio, interval)
	}
	return append(cells, strings.Join(notes, "; "))
}

// Markdown writes what a run found as a page, with what the specification promises of a row beside it (docs/BASELINE.md is one).
func Markdown(w io.Writer, r *bench.Result, targets map[string]string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Baseline\n\nMade by `vm bench report --markdown` of a run of `%s` on %s: vm %s on %s, %d cores, %s, kernel %s. ", strings.Join(r.Command, " "),
		r.Started.Format("2006-01-02"), r.Version, r.Host.CPU, r.Host.Cores, r.Host.OS, r.Host.Kernel)
	fmt.Fprintf(&b, "Others kept %.1f cores busy meanwhile. How each figure is taken: BENCHMARKING.md.\n", r.Host.Load)
	group := ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if g, _, _ := strings.Cut(row.Name, "/"); g != group {
			group = g
			fmt.Fprintf(&b, "\n## %s\n\n| benchmark | median | 95 %% | p99 | of its limit | times QEMU | target | note |\n|---|---|---|---|---|---|---|---|\n", group)
		}
		cells := summaryCells(r, row, "peer")
		target := targets[row.Name]
		if target == "" {
			target = "-"
		}
		c := []string{cells[0], cells[1], cells[2], cells[3], cells[5], cells[6], target, cells[8]}
		for k := range c {
			c[k] = escape(c[k])
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(c, " | "))
	}
	_, err := w.Write(b.Bytes())
	return err
}
