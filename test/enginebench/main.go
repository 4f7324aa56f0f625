// Command enginebench compares vm with QEMU: the same kernel, initial file system, disk and programs under `vm` and under
// `qemu-system-riscv64`, one after the other, several times each, on one hart. It prints medians, ratios, and the floors that
// this project has set itself.
//
//	make bench-engine                          # everything, three rounds
//	make bench-engine ARGS='-quick -n 1'       # small work, one round
//	make bench-engine ARGS='-run "fib|gcc"'    # some of it
//
// Each program is timed inside the guest by the guest's monotonic clock, which is held against the host's; boots are timed from
// outside. Each must print the right answer, in both machines. It needs Debian's packages gcc-riscv64-linux-gnu, e2fsprogs and
// qemu-system-misc, and vm's default image. Debian's riscv64 programs come by apt, once, into the folder vm-bench of the user's
// cache folder.
//
// The exit status is 1 when vm failed at something or computed a wrong answer. A floor that is missed is only shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	vm, qemu, engine string
	rounds, memory   int
	quick, verbose   bool
	run              *regexp.Regexp
	timeout          time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("enginebench: ")
	o := options{run: regexp.MustCompile("")}
	flag.StringVar(&o.vm, "vm", "bin/vm", "the vm `binary`; empty leaves it out")
	flag.StringVar(&o.qemu, "qemu", "qemu-system-riscv64", "the QEMU `binary`; empty leaves it out")
	flag.StringVar(&o.engine, "engine", "auto", "vm's `engine`")
	flag.IntVar(&o.rounds, "n", 3, "rounds; the median counts")
	flag.IntVar(&o.memory, "m", 1024, "guest memory in `MiB`")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the work")
	flag.BoolVar(&o.verbose, "v", false, "print each time as it is known")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Minute, "the longest that one benchmark may take")
	flag.Func("run", "run only benchmarks whose name matches the `pattern`", func(s string) (err error) {
		o.run, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, o); err != nil {
		stop()
		log.Fatal(err)
	}
}

// compare does everything: prepares the guest, runs the rounds, prints the table.
func compare(ctx context.Context, o options) error {
	groups := selected(plan(o.quick), o.run)
	if len(groups) == 0 {
		return errors.New("no benchmark has a name that matches -run")
	}
	scratch, err := os.MkdirTemp("", "enginebench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	g, err := prepare(ctx, groups, scratch)
	if err != nil {
		return err
	}
	vm, qemu := vmMachine(o), qemuMachine(o)
	var machines []*machine
	if o.vm != "" {
		machines = append(machines, vm)
	}
	if o.qemu != "" {
		machines = append(machines, qemu)
	}
	began := time.Now()
	for round := range o.rounds {
		for i := range groups {
			// Both do a group before either does the next, and who is first changes: a host that is busy for some minutes is
			// unfair to both.
			for j := range machines {
				p := machines[(i+j+round)%len(machines)]
				log.Printf("round %d of %d: %s: %s", round+1, o.rounds, p.name, groups[i].title)
				p.measure(ctx, g, groups[i])
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
			}
		}
	}
	fmt.Printf("rounds %d, in %s; %d MiB, one hart; engine %s; kernel %s\n\n", o.rounds, time.Since(began).Round(time.Second), o.memory, o.engine, g.KernelVersion)
	report(os.Stdout, groups, vm, qemu)
	if n := len(vm.failed); n > 0 {
		return fmt.Errorf("vm failed at %d benchmarks", n)
	}
	return nil
}
