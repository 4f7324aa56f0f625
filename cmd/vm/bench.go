package main

// vm bench: measuring, and what results are good for. Its subcommands that read results only are in benchresults.go.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/compare"
	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/bench/promise"
	"github.com/vmproject/vm/internal/bench/store"
	"github.com/vmproject/vm/internal/bench/suite"
	"github.com/vmproject/vm/internal/terminal"
)

// benchRun is what vm bench and vm bench run are asked for.
type benchRun struct {
	save, baseline, against string
	json, text              string
	promises                bool
	memory                  sizeFlag
	options                 bench.Options
	seed                    uint64
}

func newBench(std stdio) *cobra.Command {
	f := benchRun{memory: 1 << 30}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this host's machines, and compare with what was measured before or with QEMU",
		Long: `Measure everything that this host can run, and compare with what was measured before or with QEMU.

Benchmarks are gone over several times, so that what else the host does shows as noise and not as a result. Every run is kept in the
history that vm bench report draws. Ctrl-C ends a run; what has been measured by then is kept.`,
		Example: `  vm bench                                     everything
  vm bench run 'engine/*' tlb                  some of it
  vm bench --save-baseline before              keep the result by a name
  vm bench --baseline before                   and compare with it
  vm bench run guest boot --against qemu       the same work under qemu-system-riscv64, turn and turn about`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), std, nil) },
	}
	run := &cobra.Command{
		Use:   "run [PATTERN...]",
		Short: "Measure what patterns name: engine/*, tlb, guest/pipe",
		RunE:  func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), std, args) },
	}
	for _, c := range []*cobra.Command{cmd, run} {
		flags := c.Flags()
		flags.StringVar(&f.save, "save-baseline", "", "keep the result as a baseline")
		flags.StringVar(&f.baseline, "baseline", "", "compare with a baseline, or with a result in a file; status 1 when something is slower beyond doubt")
		flags.StringVar(&f.against, "against", "", "qemu: do the same work under qemu-system-riscv64, too")
		flags.StringVar(&f.json, "json", "", "write the result to a file, - is stdout")
		flags.StringVar(&f.text, "text", "", "write the result to a file in Go's benchmark format, for benchstat; - is stdout")
		flags.BoolVar(&f.promises, "check-promises", false, "check what SPECIFICATION.md promises; status 1 when one is broken")
		flags.IntVar(&f.options.Passes, "passes", 0, "how often to go over the benchmarks (default 5)")
		flags.DurationVar(&f.options.Each, "each", 0, "most time for a benchmark in a pass (default 250ms)")
		flags.DurationVar(&f.options.Budget, "time", 0, "most time for all passes: the last ones are left out")
		flags.Var(&f.memory, "memory", "memory of whole guests")
		flags.Uint64Var(&f.seed, "seed", 0, "of what benchmarks draw at random; 0 is another each time")
	}
	cmd.AddCommand(run, newBenchList(std), newBenchBaseline(std), newBenchCompare(std), newBenchReport(std))
	return cmd
}

func newBenchList(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "list [PATTERN...]",
		Short: "List benchmarks, and what they measure",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := bench.Select(suite.All(), args)
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
			for _, b := range list {
				with := ""
				if b.Peer != nil {
					with = "qemu"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", b.Name, b.Unit.Name, with, b.Doc)
			}
			return t.Flush()
		},
	}
}

// run measures, keeps the result, and says what it is.
func (f *benchRun) run(ctx context.Context, std stdio, patterns []string) error {
	keep, before, list, err := f.prepare(patterns)
	if err != nil {
		return err
	}
	env, done, err := f.environment(ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := terminal.Notify(ctx, func() {})
	defer stop()
	p := newBenchProgress(std.err)
	f.options.Progress = p.show
	r, err := bench.Run(ctx, env, list, f.options)
	p.end()
	if err != nil {
		return err
	}
	r.Version, r.Revision = buildOf()
	r.Command = append([]string{"vm"}, os.Args[1:]...)
	return withFailure(interrupted(ctx, r), f.tell(std, r, before, keep))
}

// prepare finds out all that can be wrong before anything is measured.
func (f *benchRun) prepare(patterns []string) (keep *store.Store, before *bench.Result, list []bench.Benchmark, err error) {
	if list, err = bench.Select(suite.All(), patterns); err != nil {
		return nil, nil, nil, err
	}
	if keep, err = store.Open(""); err != nil {
		return nil, nil, nil, err
	}
	if f.save != "" {
		if err := store.CheckName(f.save); err != nil {
			return nil, nil, nil, err
		}
	}
	if f.baseline != "" {
		if before, err = keep.Load(f.baseline); err != nil {
			return nil, nil, nil, err
		}
	}
	if f.against != "" && f.against != "qemu" {
		return nil, nil, nil, fmt.Errorf("--against %q: qemu is the only peer", f.against)
	}
	if o := f.options; o.Passes < 0 || o.Each < 0 || o.Budget < 0 {
		return nil, nil, nil, errors.New("--passes, --each and --time cannot be below 0")
	}
	return keep, before, list, nil
}

// environment is what benchmarks are given.
func (f *benchRun) environment(ctx context.Context) (env *bench.Env, done func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("finding vm itself, for guests of their own: %w", err)
	}
	env = &bench.Env{VM: self, Memory: int(f.memory >> 20), Seed: f.seed}
	if env.Seed == 0 {
		env.Seed = rand.Uint64()
	}
	if f.against != "" {
		if found, err := peer.Find(ctx); err != nil {
			env.NoPeer = err.Error()
		} else {
			env.QEMU, env.Peer = found.Path, peer.Program+" "+found.Version
		}
	}
	if env.Scratch, err = os.MkdirTemp("", "vm-bench-"); err != nil {
		return nil, nil, err
	}
	return env, func() { os.RemoveAll(env.Scratch) }, nil
}

// interrupted is how a run that was ended early ends the process.
func interrupted(ctx context.Context, r *bench.Result) error {
	if r.Complete {
		return nil
	}
	return context.Cause(ctx)
}

// tell keeps a result and prints what there is to say of it.
func (f *benchRun) tell(std stdio, r, before *bench.Result, keep *store.Store) error {
	file, kept := keep.Record(r)
	if f.save != "" {
		kept = errors.Join(kept, keep.Save(f.save, r))
	}
	for _, o := range []struct {
		to    string
		write func(io.Writer) error
	}{{f.json, r.Write}, {f.text, r.WriteGo}} {
		if err := writeTo(std, o.to, o.write); err != nil {
			kept = errors.Join(kept, err)
		}
	}
	if f.json != "-" && f.text != "-" {
		if err := compare.Summary(std.out, r); err != nil {
			return errors.Join(kept, err)
		}
	}
	if file != "" {
		fmt.Fprintf(std.err, "kept in %s\n", file)
	}
	if !r.Complete {
		fmt.Fprintln(std.err, "interrupted: the result is not complete, and is marked so")
	}
	var found error
	if before != nil {
		found = compared(std, before, r)
	}
	if f.promises {
		found = cmp.Or(found, promised(std, r))
	}
	return cmp.Or(kept, wrong(r), found)
}

// wrong says that benchmarks have failed, of which each row says why.
func wrong(r *bench.Result) error {
	var names []string
	for i := range r.Rows {
		if r.Rows[i].Failed != "" {
			names = append(names, r.Rows[i].Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d benchmarks failed: %s", len(names), len(r.Rows), strings.Join(names, ", "))
}

// writeTo writes to a file, to stdout if it is -, or nowhere if it has no name.
func writeTo(std stdio, name string, write func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return write(std.out)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// promised checks the promises of the specification.
func promised(std stdio, r *bench.Result) error {
	checks, err := promise.CheckResult(r)
	if err != nil {
		return err
	}
	broken, err := promise.Write(std.out, checks)
	if err == nil && broken > 0 {
		return errSlower
	}
	return err
}

// buildOf is the version and the revision of this binary.
func buildOf() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}

// benchProgress is a bar on a terminal, or a line a pass elsewhere.
type benchProgress struct {
	w    *os.File
	bar  *progressbar.ProgressBar
	pass int
}

func newBenchProgress(w *os.File) *benchProgress { return &benchProgress{w: w} }

func (p *benchProgress) show(s bench.Progress) {
	left := s.Left.Round(time.Second)
	switch {
	case terminal.IsTerminal(p.w):
		if p.bar == nil {
			p.bar = progressbar.NewOptions(s.Total, progressbar.OptionSetWriter(p.w), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false),
				progressbar.OptionSetWidth(20), progressbar.OptionSetElapsedTime(false))
		}
		p.bar.Describe(fmt.Sprintf("pass %d of %d, %v left, %-30s", s.Pass, s.Passes, left, s.Name))
		_ = p.bar.Set(s.Done) // a bar that cannot be drawn hinders nothing
	case p.pass != s.Pass:
		fmt.Fprintf(p.w, "pass %d of %d, about %v left\n", s.Pass, s.Passes, left)
	}
	p.pass = s.Pass
}

func (p *benchProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
