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
	"time"

	"github.com/vmproject/vm/test/internal/comparison"
)

// options are the flags.
type options struct {
	comparison.Options
	vm, jit        string
	quick, verbose bool
	timeout        time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.vm, "vm", "bin/vm", "the vm `binary`; empty leaves it out")
	flag.StringVar(&o.jit, "jit", "", "settings of vm's translator; keep=off is without translations of earlier runs, which all rounds but the first have otherwise")
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the work")
	flag.BoolVar(&o.verbose, "v", false, "print each time as it is known")
	flag.DurationVar(&o.timeout, "timeout", 10*time.Minute, "the longest that one benchmark may take")
	comparison.Main("enginebench", 1024, &o.Options, func(ctx context.Context) error { return compare(ctx, o) })
}

// compare does everything: prepares the guest, runs the rounds, prints the table.
func compare(ctx context.Context, o options) error {
	groups := selected(plan(o.quick), o.Run)
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
	if o.QEMU != "" {
		machines = append(machines, qemu)
	}
	began := time.Now()
	for round := range o.Rounds {
		for i := range groups {
			// Both do a group before either does the next, and who is first changes: a host that is busy for some minutes is
			// unfair to both.
			for j := range machines {
				p := machines[(i+j+round)%len(machines)]
				log.Printf("round %d of %d: %s: %s", round+1, o.Rounds, p.name, groups[i].title)
				p.measure(ctx, g, groups[i])
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
			}
		}
	}
	fmt.Printf("rounds %d, in %s; %d MiB, one hart; engine %s, settings %q; kernel %s\n\n", o.Rounds, time.Since(began).Round(time.Second), o.Memory, o.Engine, o.jit, g.KernelVersion)
	report(os.Stdout, groups, vm, qemu)
	if n := len(vm.failed); n > 0 {
		return fmt.Errorf("vm failed at %d benchmarks", n)
	}
	return nil
}
