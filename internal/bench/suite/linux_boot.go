package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/userland"
)

const (
	idleSettle = 2 * time.Second // what a guest still does after it has greeted
	idleTime   = 3 * time.Second
)

// Where a boot has come to, as its console shows.
var (
	kernelLine = regexp.MustCompile(`(?m)^\[ *[0-9]+\.[0-9]{6}\] [^\r\n]*\n?`)
	initLine   = regexp.MustCompile(regexp.QuoteMeta("Run " + userland.InitPath + " as init process"))
	promptLine = regexp.MustCompile(`~ # `)
)

// bootBenchmarks are boot/*: the default guest as vm run has it, by the host's clock from before the process is there.
func bootBenchmarks() []bench.Benchmark {
	whole := func(name, doc string, unit bench.Unit, setup func(*bench.Env, side) (bench.Instance, error)) bench.Benchmark {
		return onBoth(bench.Benchmark{Name: "boot/" + name, Doc: doc, Unit: unit, Whole: true}, setup)
	}
	until := func(mark *regexp.Regexp) func(*bench.Env, side) (bench.Instance, error) {
		return func(env *bench.Env, on side) (bench.Instance, error) { return newBootTo(env, on, mark) }
	}
	return []bench.Benchmark{
		whole("kernel-line", "From the start of the process to the kernel's first line on the console.", bench.Seconds, until(kernelLine)),
		whole("init", "From the start of the process to the kernel's line that it runs init.", bench.Seconds, until(initLine)),
		whole("shell", "From the start of the process to the shell's prompt.", bench.Seconds, until(promptLine)),
		whole("command", "The whole of vm run -- true, which must end with status 0.", bench.Seconds, newBootCommand),
		whole("memory", "What the process has in memory when the guest waits at its shell, without the guest's memory.", bench.Bytes, newBootMemory),
		whole("idle", "How much of a processor the process has over three seconds while its guest waits at its shell.", bench.Percent, newBootIdle),
	}
}

// userBoot starts the default guest's own user space.
type userBoot struct {
	machine *peer.Machine
	user    peer.User
	dir     string
}

func newUserBoot(env *bench.Env, on side, u peer.User) (*userBoot, error) {
	b := &userBoot{user: u}
	var err error
	if b.machine, err = on(env); err != nil {
		return nil, err
	}
	if b.user.Guest, err = defaultGuest(); err != nil {
		return nil, err
	}
	archive, err := b.user.Guest.User(u.Command)
	if err != nil {
		return nil, err
	}
	if b.dir, err = scratch(env); err != nil {
		return nil, err
	}
	b.user.Initrd, b.user.Control = filepath.Join(b.dir, "initrd"), filepath.Join(b.dir, "control")
	if err := peer.Write(b.user.Initrd, archive); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close removes what was made.
func (b *userBoot) Close() error { return os.RemoveAll(b.dir) }

// to boots until the console shows a mark, hands the machine to then, and ends it. It returns the time until the mark.
func (b *userBoot) to(ctx context.Context, mark *regexp.Regexp, then func(*peer.Process) error) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p, err := peer.Start(b.machine.User(b.user))
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", b.machine.Name, err)
	}
	defer p.Close()
	_, at, err := p.Await(ctx, bootLimit, func(text []byte) int {
		if m := mark.FindIndex(text); m != nil {
			return m[1]
		}
		return -1
	})
	if err == nil && then != nil {
		err = then(p)
	}
	return at.Sub(p.Began()), b.wrap(ctx, err)
}

// wrap names the machine in an error of its own.
func (b *userBoot) wrap(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("booting %s: %w", b.machine.Name, err)
	}
	return nil
}

// mean is the mean of n samples.
func mean(n int, sample func() (float64, error)) (float64, error) {
	sum := 0.0
	for range max(n, 1) {
		v, err := sample()
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum / float64(max(n, 1)), nil
}

func newBootTo(env *bench.Env, on side, mark *regexp.Regexp) (bench.Instance, error) {
	b, err := newUserBoot(env, on, peer.User{})
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		return mean(n, func() (float64, error) {
			took, err := b.to(ctx, mark, nil)
			return took.Seconds(), err
		})
	}, b.Close), nil
}

func newBootCommand(env *bench.Env, on side) (bench.Instance, error) {
	b, err := newUserBoot(env, on, peer.User{Command: []string{"true"}})
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		return mean(n, func() (float64, error) {
			took, err := b.command(ctx)
			return took.Seconds(), err
		})
	}, b.Close), nil
}

// command runs the command from the start of the process to its end.
func (b *userBoot) command(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p, err := peer.Start(b.machine.User(b.user))
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", b.machine.Name, err)
	}
	defer p.Close()
	ended, err := p.End(ctx, bootLimit)
	if err == nil && b.machine.Name != "vm" {
		err = b.user.Verify()
	}
	return ended.Sub(p.Began()), b.wrap(ctx, err)
}

func newBootMemory(env *bench.Env, on side) (bench.Instance, error) {
	if err := needProc(); err != nil {
		return nil, err
	}
	b, err := newUserBoot(env, on, peer.User{Shared: true})
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		return mean(n, func() (overhead float64, err error) {
			_, err = b.to(ctx, promptLine, func(p *peer.Process) error {
				bytes, err := residentOverhead(p.PID(), uint64(b.machine.Memory)<<20)
				overhead = float64(bytes)
				return err
			})
			return overhead, err
		})
	}, b.Close), nil
}

func newBootIdle(env *bench.Env, on side) (bench.Instance, error) {
	if err := needProc(); err != nil {
		return nil, err
	}
	b, err := newUserBoot(env, on, peer.User{})
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		return mean(n, func() (percent float64, err error) {
			_, err = b.to(ctx, promptLine, func(p *peer.Process) error {
				percent, err = idle(ctx, p)
				return err
			})
			return percent, err
		})
	}, b.Close), nil
}

// idle measures a machine that has nothing to do.
func idle(ctx context.Context, p *peer.Process) (percent float64, err error) {
	if err := p.Wait(ctx, idleSettle); err != nil {
		return 0, err
	}
	before, err := cpuTimes(p.PID())
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.Wait(ctx, idleTime); err != nil {
		return 0, err
	}
	after, err := cpuTimes(p.PID())
	return 100 * spent(before, after).Seconds() / time.Since(began).Seconds(), err
}
