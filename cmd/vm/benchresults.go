package main

// vm bench compare, baseline and report: what results are good for.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/compare"
	"github.com/vmproject/vm/internal/bench/promise"
	"github.com/vmproject/vm/internal/bench/report"
	"github.com/vmproject/vm/internal/bench/store"
)

func newBenchCompare(std stdio) *cobra.Command {
	var all, markdown bool
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two baselines or files; status 1 when something is slower beyond doubt",
		Long: `Compare two results: names of baselines, or files. Status 1 when something in B is slower beyond doubt: significantly so, with
all the benchmarks taken into account, and by more than the noise that the host has shown.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("vm bench compare needs two results, A and B: see vm bench baseline ls")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			keep, err := store.Open("")
			if err != nil {
				return err
			}
			var results [2]*bench.Result
			for i, name := range args {
				if results[i], err = keep.Load(name); err != nil {
					return err
				}
			}
			c := compare.Compare(results[0], results[1], compare.Options{})
			if markdown {
				c.Markdown(std.out)
			} else {
				c.Write(std.out, all)
			}
			return slowerThan(c)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "v", false, "show what did not change, too")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "a table for a pull request")
	return cmd
}

// compared prints what has changed since a baseline.
func compared(std stdio, before, r *bench.Result) error {
	c := compare.Compare(before, r, compare.Options{})
	c.Write(std.out, false)
	return slowerThan(c)
}

func slowerThan(c *compare.Comparison) error {
	if c.Slower() > 0 {
		return errSlower
	}
	return nil
}

func newBenchBaseline(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "Results that are kept by a name",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	with := func(use, short string, do func(s *store.Store, args []string) error, args cobra.PositionalArgs) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: args, RunE: func(_ *cobra.Command, args []string) error {
			s, err := store.Open("")
			if err != nil {
				return err
			}
			return do(s, args)
		}})
	}
	with("ls", "List baselines", func(s *store.Store, _ []string) error {
		list, err := s.List()
		if err != nil {
			return err
		}
		t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tMEASURED\tBENCHMARKS\t")
		for _, e := range list {
			note, measured := "", e.Started.Local().Format(time.DateTime)
			switch {
			case e.Err != nil:
				note, measured = e.Err.Error(), "-"
			case !e.Complete:
				note = "not complete"
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", e.Name, measured, e.Rows, note)
		}
		return t.Flush()
	}, noArgs)
	with("rm NAME", "Forget a baseline", func(s *store.Store, args []string) error { return s.Remove(args[0]) }, wantArgs(1, "NAME"))
	with("export NAME [FILE]", "Write a baseline to a file, or to stdout", func(s *store.Store, args []string) error {
		if len(args) == 1 {
			return s.Export(args[0], std.out)
		}
		r, err := s.Load(args[0])
		if err != nil {
			return err
		}
		return store.Write(args[1], r)
	}, wantArgs(1, "NAME", "FILE"))
	with("import NAME FILE", "Take a result from a file as a baseline", func(s *store.Store, args []string) error {
		r, err := store.ReadFile(args[1])
		if err != nil {
			return err
		}
		return s.Save(args[0], r)
	}, wantArgs(2, "NAME", "FILE"))
	return cmd
}

// historyShown is how many results the plots of a report go back.
const historyShown = 50

func newBenchReport(std stdio) *cobra.Command {
	var open, markdown bool
	var baseline, to string
	cmd := &cobra.Command{
		Use:   "report [RESULT]",
		Short: "Draw a result, the last one unless named, as a page for a browser",
		Args:  wantArgs(0, "RESULT"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := store.Open("")
			if err != nil {
				return err
			}
			var r *bench.Result
			if len(args) > 0 {
				r, err = s.Load(args[0])
			} else {
				r, err = s.Last()
			}
			if err != nil {
				return err
			}
			if markdown {
				checks, err := promise.CheckResult(r)
				if err != nil {
					return err
				}
				targets := map[string]string{}
				for _, c := range checks {
					targets[c.Benchmark] = c.Bounds()
				}
				if to == "" {
					to = "-"
				}
				return writeTo(std, to, func(w io.Writer) error { return compare.Markdown(w, r, targets) })
			}
			page, err := newPage(s, r, baseline)
			if err != nil {
				return err
			}
			if to == "" {
				to = filepath.Join(s.Dir(), "report.html")
				if err := os.MkdirAll(s.Dir(), 0o777); err != nil {
					return err
				}
			}
			f, err := os.Create(to)
			if err != nil {
				return err
			}
			if err := errors.Join(report.Write(f, page), f.Close()); err != nil {
				return fmt.Errorf("%s: %w", to, err)
			}
			fmt.Fprintln(std.out, to)
			if open {
				return browse(to)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "open it in the desktop's browser")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "figures and targets as text, on stdout unless --output names a file")
	cmd.Flags().StringVar(&baseline, "baseline", "", "compare with a baseline")
	cmd.Flags().StringVarP(&to, "output", "o", "", "file to write (default report.html in the folder of results)")
	return cmd
}

// newPage gathers what a report shows of a result.
func newPage(s *store.Store, r *bench.Result, baseline string) (*report.Page, error) {
	p := &report.Page{Result: r}
	if baseline != "" {
		before, err := s.Load(baseline)
		if err != nil {
			return nil, err
		}
		p.Baseline = before
		p.Verdicts = verdicts(compare.Compare(before, r, compare.Options{}))
	}
	history, err := s.History(historyShown)
	if err != nil {
		return nil, err
	}
	for _, h := range history {
		if h.Started.Before(r.Started) {
			p.History = append(p.History, h)
		}
	}
	checks, err := promise.CheckResult(r)
	if err != nil {
		return nil, err
	}
	p.Promises = promises(checks)
	return p, nil
}

// browse opens a file with the desktop's program for it.
func browse(file string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if err := exec.Command(program, file).Run(); err != nil {
		return fmt.Errorf("opening %s with %s: %w: open it in a browser yourself", file, program, err)
	}
	return nil
}

// verdicts are those of a comparison, for the page.
func verdicts(c *compare.Comparison) map[string]report.Verdict {
	kinds := map[compare.Verdict]report.Kind{compare.Slower: report.Bad, compare.Faster: report.Good, compare.Unsure: report.Doubt, compare.TooNoisy: report.Doubt}
	out := map[string]report.Verdict{}
	for _, r := range c.Rows {
		v := report.Verdict{Kind: kinds[r.Verdict], Text: r.Verdict.String()}
		if v.Kind == "" {
			v.Kind = report.Neutral
		}
		if r.Verdict == compare.Slower || r.Verdict == compare.Faster || r.Verdict == compare.Unsure {
			v.Text += fmt.Sprintf(", %+.1f %% (%+.1f to %+.1f)", 100*r.Change, 100*r.Low, 100*r.High)
		}
		if r.Why != "" {
			v.Text += ": " + r.Why
		}
		out[r.Name] = v
	}
	return out
}

// promises are those of the specification, for the page.
func promises(checks []promise.Check) (list []report.Promise) {
	kinds := map[promise.State]report.Kind{promise.Kept: report.Good, promise.Broken: report.Bad, promise.Unknown: report.Neutral}
	for _, c := range checks {
		p := report.Promise{Text: c.Text + " (" + c.Benchmark + ")", Bound: c.Bounds(), Value: "-", Kind: kinds[c.State], State: c.State.String()}
		if c.State != promise.Unknown {
			p.Value = fmt.Sprintf("%.3g", c.Value)
		}
		list = append(list, p)
	}
	return list
}
