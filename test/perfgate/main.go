// Command perfgate says whether a revision is slower than another: it builds both, runs a part of vm bench with each, turn and turn about, and compares.
// make perf-gate BASE=REV is the usual way to call it.
//
// Status 1 when something is slower by more than -least beyond doubt; 0 otherwise, also when the base has no vm bench to compare with.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/compare"
	"github.com/vmproject/vm/internal/bench/store"
)

// usual is what the gate runs: a benchmark for each hot path of the machine, none of them long.
const usual = "engine/integer/auto engine/float/auto engine/calls/auto engine/indirect/auto engine/memory/auto memory/load/64 memory/store/64 memory/read/1M " +
	"tlb/hit/auto tlb/miss/sv39/4K/auto system/ecall/auto system/pagefault/auto system/switch/auto system/sfence/auto device/register/read/auto " +
	"jit/compile/baseline/medium block/virtio/memory/read/4096 guest/syscall guest/exec guest/pagefault"

type options struct {
	base, head string // revisions, or binaries
	run        string
	passes     int
	each       string
	least      float64
	markdown   string
	history    string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("perfgate: ")
	var o options
	flag.StringVar(&o.base, "base", "", "revision to compare with, or a vm that is built already, with a slash in its name")
	flag.StringVar(&o.head, "head", "", "likewise, what is compared; empty: the files as they are")
	flag.StringVar(&o.run, "run", usual, "patterns of benchmarks; those that one of the two does not have are left out")
	flag.IntVar(&o.passes, "passes", 16, "how often each of the two runs")
	flag.StringVar(&o.each, "each", "60ms", "most time for a benchmark in a pass")
	flag.Float64Var(&o.least, "least", 0.05, "what is less of a difference does not count")
	flag.StringVar(&o.markdown, "markdown", "", "also write the table to a file, for a pull request")
	flag.StringVar(&o.history, "history", "", "also write the result of what is compared to a file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	slower, err := gate(ctx, o, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	if slower > 0 {
		os.Exit(1)
	}
}

// gate returns how many benchmarks are slower.
func gate(ctx context.Context, o options, out io.Writer) (slower int, err error) {
	if o.base == "" {
		return 0, errors.New("-base is missing: make perf-gate BASE=REV")
	}
	dir, err := os.MkdirTemp("", "perfgate-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sides := []*side{{name: "base"}, {name: "head"}}
	for i, rev := range []string{o.base, o.head} {
		if sides[i].vm, err = build(ctx, dir, sides[i].name, rev); err != nil {
			return 0, err
		}
	}
	names, err := both(ctx, sides, strings.Fields(o.run))
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		fmt.Fprintln(out, "nothing to compare: the base has none of the benchmarks")
		return 0, nil
	}
	for pass := range o.passes {
		for k := range sides {
			s := sides[(k+pass)%2] // each first half of the time
			if err := s.measure(ctx, dir, names, o.each); err != nil {
				return 0, err
			}
		}
		log.Printf("pass %d of %d", pass+1, o.passes)
	}
	c := compare.Compare(sides[0].result, sides[1].result, compare.Options{Least: o.least, Paired: true})
	if err := c.Write(out, true); err != nil {
		return 0, err
	}
	if o.markdown != "" {
		err = errors.Join(err, writeFile(o.markdown, c.Markdown))
	}
	if o.history != "" {
		err = errors.Join(err, store.Write(o.history, sides[1].result))
	}
	for _, row := range sides[1].result.Rows {
		if row.Failed != "" {
			err = errors.Join(err, fmt.Errorf("%s failed: %s", row.Name, row.Failed))
		}
	}
	return c.Slower(), err
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// side is one of the two.
type side struct {
	name, vm string
	result   *bench.Result
}

// build makes a vm of a revision, or of the files as they are if it is empty.
func build(ctx context.Context, dir, name, rev string) (string, error) {
	if strings.Contains(rev, string(filepath.Separator)) {
		if _, err := os.Stat(rev); err == nil {
			return filepath.Abs(rev)
		}
	}
	vm := filepath.Join(dir, name)
	tree := "."
	if rev != "" {
		tree = filepath.Join(dir, name+".tree")
		if _, err := run(ctx, ".", "git", "worktree", "add", "--detach", "--quiet", tree, rev); err != nil {
			return "", fmt.Errorf("revision %s: %w", rev, err)
		}
		defer run(context.WithoutCancel(ctx), ".", "git", "worktree", "remove", "--force", tree)
	}
	_, err := run(ctx, tree, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", vm, "./cmd/vm")
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return vm, nil
}

// run runs a command in a folder and returns what it prints. An error has the last of what it complained of.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return string(out), err
}

// both is the names of the benchmarks that patterns select in both. A base without vm bench has none.
func both(ctx context.Context, sides []*side, patterns []string) (names []string, err error) {
	count := map[string]int{}
	for _, s := range sides {
		for _, p := range patterns {
			out, err := run(ctx, ".", s.vm, "bench", "list", p)
			if err != nil && s.name == "head" && ctx.Err() == nil {
				return nil, fmt.Errorf("pattern %s: %w", p, err)
			}
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); err == nil && len(f) > 0 {
					if count[f[0]]++; count[f[0]] == len(sides) {
						names = append(names, f[0])
					}
				}
			}
		}
	}
	return names, ctx.Err()
}

// measure adds a pass.
func (s *side) measure(ctx context.Context, dir string, names []string, each string) error {
	file := filepath.Join(dir, s.name+".json")
	args := append([]string{"bench", "run", "--passes", "1", "--each", each, "--json", file}, names...)
	cmd := exec.CommandContext(ctx, s.vm, args...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(dir, "data"))
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	out, failed := cmd.CombinedOutput()
	r, err := store.ReadFile(file)
	if err == nil && !r.Complete {
		err = errors.New("it was interrupted")
	}
	if err != nil { // there is a result also where benchmarks failed
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("vm bench of the %s: %w: %s", s.name, cmp.Or(failed, err), lines[len(lines)-1])
	}
	if s.result == nil {
		s.result = r
		return nil
	}
	for i := range r.Rows {
		row := s.result.Row(r.Rows[i].Name)
		if row == nil {
			return fmt.Errorf("vm bench of the %s measured %s only now", s.name, r.Rows[i].Name)
		}
		row.Passes = append(row.Passes, r.Rows[i].Passes...)
		if row.Failed == "" {
			row.Failed = r.Rows[i].Failed
		}
	}
	return nil
}
