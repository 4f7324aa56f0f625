// Package promise holds results to what SPECIFICATION.md promises of speed. The promises are one file, promises.txt: a line each, with the benchmark, and a
// bound on its ratio to a peer, to the limit that was measured in the same run, or to another benchmark of it. There are no absolute times: on shared
// hardware they promise nothing.
package promise

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/stats"
)

//go:embed promises.txt
var file string

// Promise is a bound.
type Promise struct {
	Benchmark string
	// To is what the benchmark is compared with: "qemu", "limit", the name of another benchmark, or "itself" for those whose unit is a share or a
	// size, which depend on no host's speed.
	To    string
	Least bool    // the ratio is at least Bound, else at most
	Bound float64 // times better than To; for itself, in the unit
	Text  string
}

// All is the promises.
func All() ([]Promise, error) { return Parse(file) }

// Parse reads lines of "BENCHMARK TO >=|<= BOUND  TEXT". Empty lines, and what follows #, say nothing.
func Parse(text string) ([]Promise, error) {
	var list []Promise
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 5 {
			return nil, fmt.Errorf("line %d: %q is not BENCHMARK TO >=|<= BOUND TEXT", i+1, strings.TrimSpace(line))
		}
		bound, err := strconv.ParseFloat(f[3], 64)
		if err != nil || bound <= 0 || f[2] != ">=" && f[2] != "<=" {
			return nil, fmt.Errorf("line %d: %q is no bound", i+1, f[2]+" "+f[3])
		}
		list = append(list, Promise{f[0], f[1], f[2] == ">=", bound, strings.Join(f[4:], " ")})
	}
	return list, nil
}

// Bounds is the bound in words.
func (p *Promise) Bounds() string {
	sign := "at most"
	if p.Least {
		sign = "at least"
	}
	if p.To == "itself" {
		return fmt.Sprintf("%s %g", sign, p.Bound)
	}
	return fmt.Sprintf("%s %g times %s", sign, p.Bound, p.To)
}

// State is what a result says of a promise.
type State int

// The states.
const (
	Unknown State = iota // not measured
	Kept
	Broken
)

func (s State) String() string { return [...]string{"not measured", "kept", "broken"}[s] }

// Check is a promise and what a result says of it.
type Check struct {
	Promise
	State State
	Value float64 // what Bound bounds
	Why   string  // it is unknown
}

// CheckAll holds a result to all promises.
func CheckAll(r *bench.Result, promises []Promise) []Check {
	var out []Check
	for _, p := range promises {
		c := Check{Promise: p}
		value, err := p.value(r)
		if err != nil {
			c.Why = err.Error()
		} else {
			c.Value, c.State = value, Kept
			if p.Least && value < p.Bound || !p.Least && value > p.Bound {
				c.State = Broken
			}
		}
		out = append(out, c)
	}
	return out
}

// CheckResult is CheckAll with the promises of the specification.
func CheckResult(r *bench.Result) ([]Check, error) {
	all, err := All()
	if err != nil {
		return nil, fmt.Errorf("the promises: %w", err)
	}
	return CheckAll(r, all), nil
}

// value is what the bound is for.
func (p *Promise) value(r *bench.Result) (float64, error) {
	row := r.Row(p.Benchmark)
	if row == nil || len(row.Samples()) == 0 {
		return 0, fmt.Errorf("%s was not measured", p.Benchmark)
	}
	own, other := stats.Median(row.Samples()), 0.0
	switch p.To {
	case "itself":
		return own, nil
	case "qemu":
		other = stats.Median(row.PeerSamples())
	default:
		name := p.To
		if name == "limit" {
			name = row.Limit
		}
		if o := r.Row(name); o != nil {
			other = stats.Median(o.Samples())
		}
	}
	if other == 0 || own == 0 {
		return 0, fmt.Errorf("%s of it was not measured", p.To)
	}
	if row.Higher {
		return own / other, nil
	}
	return other / own, nil
}

// Write writes a table, and returns how many promises are broken.
func Write(w io.Writer, checks []Check) (broken int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROMISE\tBENCHMARK\tBOUND\tMEASURED\t")
	for _, c := range checks {
		value := "-"
		if c.State != Unknown {
			value = fmt.Sprintf("%.3g", c.Value)
		}
		if c.State == Broken {
			broken++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Text, c.Benchmark, c.Bounds(), value, c.State)
	}
	return broken, t.Flush()
}
