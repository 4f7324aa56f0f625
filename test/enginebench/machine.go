package main

// The two machines, and one run of one.

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/vmproject/vm/internal/bench/peer"
)

// bootTimeout bounds a boot and everything else that is not a benchmark.
const bootTimeout = 2 * time.Minute

// machine is one of those that are compared.
type machine struct {
	name    string
	timeout time.Duration // of one benchmark
	verbose bool
	boot    func(b peer.Boot) []string                          // a command line
	runTrue func(g *guest) (args []string, verify func() error) // what does the work of `vm run -- true`

	times    map[string][]float64 // seconds, by benchmark
	failed   map[string]error     // the first that a benchmark had; it is not tried again
	resident int64                // most bytes that the process had in memory
}

// bootArgs are the kernel's command line, for both.
const bootArgs = "console=ttyS0 quiet panic=-1"

func newMachine(name string, o options) *machine {
	return &machine{name: name, timeout: o.timeout, verbose: o.verbose, times: make(map[string][]float64), failed: make(map[string]error)}
}

func vmMachine(o options) *machine {
	p, m := newMachine("vm", o), peer.VM(o.vm, o.Engine, o.jit, o.Memory)
	p.boot = m.Boot
	p.runTrue = func(g *guest) ([]string, func() error) {
		return m.User(peer.User{Command: []string{"true"}}), func() error { return nil }
	}
	return p
}

func qemuMachine(o options) *machine {
	p, m := newMachine("qemu", o), peer.QEMU(o.QEMU, o.Memory)
	p.boot = m.Boot
	// The initial file system, the devices and the init that `vm run -- true` has, command line included.
	p.runTrue = func(g *guest) ([]string, func() error) {
		u := peer.User{Guest: g.Guest, Initrd: g.trueInitrd, Control: filepath.Join(g.scratch, "control"), Command: []string{"true"}}
		return m.User(u), u.Verify
	}
	return p
}

// start runs a machine until it ends, until ctx does, or until limit has passed since its last event; watch sees every event and
// returns the limit from there on. The error says what was wrong; it is nil after exit status 0.
func (p *machine) start(ctx context.Context, args []string, limit time.Duration, watch func(e event, at time.Time) time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer timer.Stop()
	c := &console{watch: func(e event) { timer.Reset(watch(e, time.Now())) }}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = c, c
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil { // it could not be started
		return err
	}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.resident = max(p.resident, u.Maxrss<<10) // Linux counts in KiB
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("%w; %s", err, c.last())
	}
	return nil
}

var (
	errSilent = errors.New("it took too long")
	errEnded  = errors.New("the machine ended before")
)

// measure runs a group once.
func (p *machine) measure(ctx context.Context, g *guest, work group) {
	kinds := make(map[kind][]*benchmark)
	for _, b := range work.benchmarks {
		kinds[b.kind] = append(kinds[b.kind], b)
	}
	if wall, clock := kinds[bootWall], kinds[bootClock]; len(wall)+len(clock) > 0 {
		p.measureBoot(ctx, g, wall, clock)
	}
	for _, b := range kinds[commandWall] {
		p.measureTrue(ctx, g, b)
	}
	p.measurePrograms(ctx, g, kinds[ownProgram], "")
	p.measurePrograms(ctx, g, kinds[debian], g.disk)
}

// measureBoot boots to an init that ends at once.
func (p *machine) measureBoot(ctx context.Context, g *guest, wall, clock []*benchmark) {
	var host, guest float64
	began := time.Now()
	err := p.start(ctx, p.boot(peer.Boot{Kernel: g.Kernel, Initrd: g.bootInitrd, Append: bootArgs}), bootTimeout, func(e event, at time.Time) time.Duration {
		if e.kind == "init" {
			host, guest = at.Sub(began).Seconds(), e.seconds
		}
		return bootTimeout
	})
	if err == nil && host == 0 {
		err = errors.New("init did not start")
	}
	for _, b := range wall {
		p.record(b, host, err)
	}
	for _, b := range clock {
		p.record(b, guest, err)
	}
}

// measureTrue measures a whole run of one command that does nothing.
func (p *machine) measureTrue(ctx context.Context, g *guest, b *benchmark) {
	args, verify := p.runTrue(g)
	began := time.Now()
	err := p.start(ctx, args, bootTimeout, func(event, time.Time) time.Duration { return bootTimeout })
	took := time.Since(began).Seconds()
	if err == nil {
		err = verify()
	}
	p.record(b, took, err)
}

// measurePrograms runs programs in one machine. When the machine ends over one of them, that one has failed, and another machine
// goes on with the rest. What has failed in an earlier round is left out.
func (p *machine) measurePrograms(ctx context.Context, g *guest, benchmarks []*benchmark, disk string) {
	todo := slices.DeleteFunc(slices.Clone(benchmarks), func(b *benchmark) bool { return p.failed[b.name] != nil })
	for len(todo) > 0 && ctx.Err() == nil {
		c := collector{timings: make(map[string]timing)}
		initrd, err := g.programs(todo, disk != "")
		if err == nil {
			err = p.start(ctx, p.boot(peer.Boot{Kernel: g.Kernel, Initrd: initrd, Append: bootArgs, Disk: disk}), bootTimeout, func(e event, at time.Time) time.Duration {
				c.event(e, at)
				if c.current != "" {
					return p.timeout
				}
				return bootTimeout
			})
		}
		if err == nil {
			err = errEnded
		}
		if !slices.ContainsFunc(todo, func(b *benchmark) bool { return b.name == c.current }) {
			c.current = "" // the machine did not end over a benchmark: what has no result fails with it
		}
		for len(todo) > 0 {
			b := todo[0]
			t, complete := c.timings[b.name]
			if !complete && c.current != "" && b.name != c.current {
				break // not reached: the next machine's
			}
			todo = todo[1:]
			if !complete || b.name == c.current {
				t.err = err
			}
			p.record(b, t.guest, t.verdict(b))
			if b.name == c.current {
				break
			}
		}
	}
}

// verdict says what is wrong with a timing.
func (t timing) verdict(b *benchmark) error {
	const slack = 0.1 // seconds: a line's way from the guest to here
	switch {
	case t.err != nil:
		return t.err
	case t.answer != b.answer:
		return fmt.Errorf("wrong answer %q, want %q", t.answer, b.answer)
	case t.guest < 0.9*t.host-slack || t.guest > 1.1*t.host+slack:
		return fmt.Errorf("the guest's clock says %.3f s, the host's %.3f s", t.guest, t.host)
	}
	return nil
}

// record keeps what came of one benchmark.
func (p *machine) record(b *benchmark, seconds float64, err error) {
	if p.verbose {
		log.Printf("%s: %s %.3f s, error %v", p.name, b.name, seconds, err)
	}
	switch {
	case p.failed[b.name] != nil:
	case err != nil:
		p.failed[b.name] = err
	default:
		p.times[b.name] = append(p.times[b.name], seconds)
	}
}
