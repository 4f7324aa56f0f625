// Package lockstepboot boots the default guest with two engines in lock step: the one under test runs the hart of a whole machine of
// package vm, with all its devices, and the interpreter follows on a hart and a RAM of its own. The whole architectural state is
// compared each time the engine under test stops, and all of RAM before devices write to it, now and then, and at the end.
//
//	make lockstep-boot                                          # the fastest engine, vm run -- true
//	make lockstep-boot ENGINE=jit ARGS='-seed 7'                # other steps
//	make lockstep-boot ARGS='-command "find / | md5sum"'        # more user space
//	make lockstep-boot ARGS='-disk x.img -command "cat /dev/vda | md5sum"'
//	make lockstep-boot ARGS='-bios /usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin'   # M-mode, too
//	make lockstep-boot ARGS='-seed 7 -fine 123456789'           # what a divergence says, to have it again one block at a time
//
// Without -engine, which make gives, every test here is skipped. It takes about a minute with the interpreter as both engines.
//
// # How it is made to repeat
//
// Everything that is not the hart happens between two rounds. A round is a random number of instructions, up to a few thousand, in one step
// of package lockstep or, from -fine on, in as many as there are stops. While it lasts:
//
//   - time stands still: the clock is moved by hand, in proportion to the instructions that have retired, and jumps where the guest waits;
//   - devices on the bus answer at once, and what goroutines they have for that come to rest before the hart goes on
//     (testing/synctest). The reference repeats the answers (journal_test.go);
//   - wires to the hart rise at its end only; they fall where the access is that makes them (journal_test.go);
//   - virtio devices get no notifications, so that they do not write to RAM (held_test.go). They get them at its end, come to rest,
//     and what they wrote is found by comparing the RAMs, which were equal before.
//
// Firmware calls are answered by the board for its hart, and by a second SBI for the reference. Random numbers come from the seed. So a seed
// means the same boot each time, as long as vm, guest and flags do not change; the steps of the engine under test are part of
// that, because a round ends where it can stop.
//
// # What it does not cover
//
// More than one hart; a guest that reboots; input; a guest that ends by the test finisher, whose request reaches the board's hart alone.
package lockstepboot

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/lockstep"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/memory"
)

var (
	engineName = flag.String("engine", "", "the engine under `test`, as vm run --engine has it; without it nothing runs")
	seed       = flag.Uint64("seed", 1, "of the lengths of rounds and of the guest's random numbers")
	command    = flag.String("command", "true", "what the guest's shell runs")
	appendLine = flag.String("append", "loglevel=7 cryptomgr.notests=0", "kernel command line")
	memorySize = flag.Uint64("m", 128, "guest memory in MiB")
	bios       = flag.String("bios", "", "firmware instead of the built-in SBI")
	disk       = flag.String("disk", "", "a disk image; writes are discarded")
	memoryStep = flag.Uint64("memory", memoryEvery, "compare all of RAM every so many `steps`, those from -fine on if that is given")
	fine       = flag.Uint64("fine", math.MaxUint64, "from this many `instructions` on, stop wherever the engine can")
	limit      = flag.Uint64("limit", math.MaxUint64, "end after so many `instructions`")
	serial     = flag.Bool("console", false, "show the serial console")
)

// flagOptions is a boot as the flags want it.
func flagOptions(t *testing.T) options {
	if *engineName == "" {
		t.Skip("no -engine: run make lockstep-boot")
	}
	e, err := engines.Lookup(*engineName)
	if err != nil {
		t.Fatal(err)
	}
	o := options{
		name: e.Name, seed: *seed, limit: *limit, fine: *fine, memoryEvery: *memoryStep, console: *serial,
		newEngine: func(h *hart.Hart) (lockstep.Engine, error) {
			if e, ok := e.Make(engines.Options{Harts: 1})(h).(lockstep.Engine); ok {
				return e, nil
			}
			return nil, fmt.Errorf("engine %s has no RunFor", e.Name)
		},
		machine: vm.Config{
			Guest: defaultGuest(t), Command: []string{"sh", "-c", *command}, Memory: *memorySize << 20, Append: *appendLine, Bios: *bios,
		},
	}
	if *disk != "" {
		o.machine.Disks = []vm.Disk{{Path: *disk, Snapshot: true}}
	}
	return o
}

// defaultGuest is that of vm run, which is obtained where it is missing.
func defaultGuest(t *testing.T) *vm.Guest {
	cache, err := guestimage.Open("")
	if err != nil {
		t.Fatal(err)
	}
	image, err := cache.Ensure(context.Background(), guestimage.DefaultName, guestimage.PullOptions{Progress: guestimage.NewProgress(os.Stderr)})
	if err != nil {
		t.Fatal(err)
	}
	g := &vm.Guest{Name: image.Name, Kernel: cache.BlobPath(image.Kernel), Busybox: cache.BlobPath(*image.Busybox)}
	for _, m := range image.Modules {
		g.Modules = append(g.Modules, vm.Module{Name: m.Name, Path: cache.BlobPath(m.Blob), Deps: m.Deps, Aliases: m.Aliases})
	}
	return g
}

// TestBoot is what make lockstep-boot is for.
func TestBoot(t *testing.T) {
	o := flagOptions(t)
	r, err := boot(t, o)
	t.Logf("%s: %v", o.name, r)
	if err != nil {
		t.Fatal(err)
	}
}

// What an engine gets wrong once is found, and named.
func TestMistakesAreFound(t *testing.T) {
	o := flagOptions(t)
	const at = 20_000_000
	o.limit, o.fine, o.memoryEvery = at+5_000_000, math.MaxUint64, 1000
	for _, c := range []struct {
		name string
		do   func(h *hart.Hart)
		want string // how the first difference is named
	}{
		{"register", func(h *hart.Hart) { h.X[27] ^= 1 << 40 }, "x27 (s11)"},
		{"CSR", func(h *hart.Hart) { h.Sepc ^= 4 }, "sepc"},
		{"memory", func(h *hart.Hart) { flip(h.RAM, h.RAM.End()-8) }, "memory at 0x87fffff8"},
		{"an access too many", func(h *hart.Hart) { h.Bus.Load(0x1000_0005, 1) }, "accesses to devices"},
		{"interrupt enabled", func(h *hart.Hart) { h.Mie ^= 1 << riscv.IntSExternal }, "mie"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o
			o.newEngine = sabotaged(o.newEngine, at, c.do)
			r, err := boot(t, o)
			d, ok := lockstep.AsDivergence(err)
			if !ok {
				t.Fatalf("not found: %v, %v", r, err)
			}
			if !strings.HasPrefix(d.First(), c.want) {
				t.Errorf("found as %q, want %q", d.First(), c.want)
			}
			if n := d.Before.Instret; n > o.limit || n < at-lockstep.Slack {
				t.Errorf("found after %d instructions", n)
			}
		})
	}
}

func flip(ram *memory.RAM, a memory.GPA) {
	if v, err := ram.Load64(a); err == nil {
		_ = ram.Store64(a, v^1)
	}
}

// A seed means the same boot each time, and one in fine steps is the same until they begin: otherwise what a divergence says is of no
// use. From there on it is another one, as rounds end where the engine under test can stop, which is sooner in fine steps.
func TestSeedsRepeat(t *testing.T) {
	o := flagOptions(t)
	o.limit, o.fine = 600_000_000, math.MaxUint64
	run := func() result {
		r, err := boot(t, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := run()
	same := func(what string, r *result) {
		t.Helper()
		if r == nil || r.digest != first.digest || r.instructions != first.instructions || r.accesses != first.accesses {
			t.Errorf("%s: %v, the first boot: %v", what, r, first)
		}
	}
	second := run()
	same("the second boot", &second)
	o.fine, o.limit = first.instructions, first.instructions+100_000
	third := run()
	same("a boot in fine steps, when they begin", third.atFine)
	if third.steps < first.steps+5_000 {
		t.Errorf("%d fine steps", third.steps-first.steps)
	}
}
