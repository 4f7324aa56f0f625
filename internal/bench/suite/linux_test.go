package suite

import (
	"context"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

// These tests boot guests: with -vm, as those of test/boot. Without it they are skipped.
var (
	linuxVM   = flag.String("vm", "", "the vm binary whose guests are measured")
	linuxPeer = flag.String("qemu", "", "the peer; empty: none")
	linuxOnly = flag.String("only", "^(guest/(syscall|exec|copy)|boot/(kernel-line|shell|command|memory|idle))$", "the benchmarks of whole machines to try")
)

func linuxEnv(t *testing.T) *bench.Env {
	t.Helper()
	if testing.Short() || *linuxVM == "" {
		t.Skip("needs -vm PATH, and is not short")
	}
	return &bench.Env{VM: *linuxVM, QEMU: *linuxPeer, Scratch: t.TempDir(), Memory: 512}
}

// possible ends a test of what could not be set up. CI has all that there is to have.
func possible(t *testing.T, err error) {
	t.Helper()
	if no := (*bench.UnavailableError)(nil); errors.As(err, &no) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// setUp sets a benchmark up, and takes it down at the end of the test, when nothing may be left.
func setUp(t *testing.T, env *bench.Env, setup func(*bench.Env) (bench.Instance, error)) bench.Instance {
	t.Helper()
	instance, err := setup(env)
	possible(t, err)
	t.Cleanup(func() {
		if err := instance.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(env.Scratch); err != nil || len(left) > 0 {
			t.Errorf("left in the scratch folder: %v %v", left, err)
		}
	})
	return instance
}

// One of each kind, on a real machine, twice.
func TestLinux(t *testing.T) {
	env := linuxEnv(t)
	only := regexp.MustCompile(*linuxOnly)
	for _, b := range linux() {
		if !only.MatchString(b.Name) {
			continue
		}
		for _, side := range []struct {
			name  string
			setup func(*bench.Env) (bench.Instance, error)
		}{{"vm", b.Setup}, {"qemu", b.Peer}} {
			if side.name == "qemu" && env.QEMU == "" {
				continue
			}
			t.Run(b.Name+"/"+side.name, func(t *testing.T) {
				instance := setUp(t, env, side.setup)
				n := 1000
				if b.Whole {
					n = 1
				}
				for range 2 {
					began := time.Now()
					v, err := instance.Sample(t.Context(), n)
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("%v %s, in %v", v, b.Unit.Name, time.Since(began))
				}
			})
		}
	}
}

// A sample can be cancelled in the middle of a boot and in the middle of work that would take hours; the next one boots again.
func TestLinuxCancelled(t *testing.T) {
	env := linuxEnv(t)
	instance := setUp(t, env, benchmarkNamed(t, "guest/integer").Setup)
	for _, after := range []time.Duration{50 * time.Millisecond, 2 * time.Second} {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := instance.Sample(ctx, 1_000_000_000)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %v: %v", after, err)
		}
		t.Log(time.Since(began))
	}
	if _, err := instance.Sample(t.Context(), 10); err != nil {
		t.Error(err)
	}
}

func benchmarkNamed(t *testing.T, name string) bench.Benchmark {
	t.Helper()
	for _, b := range linux() {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("no benchmark is called %s", name)
	return bench.Benchmark{}
}

// What the guest cannot do it says, in one line.
func TestLinuxRefuses(t *testing.T) {
	env := linuxEnv(t)
	files := map[string][]byte{
		"bad.run":  []byte("warm() { echo no such thing >&2; return 3; }\nmeasured() { :; }\n"),
		"none.run": []byte("measured() { /bench/bench time /no/such/file; }\n"),
		"slow.run": []byte("measured() { /bench/bench time /bench/bench exit; }\n"),
		"odd.run":  []byte("measured() { /bench/bench time /bin/busybox true; }\ncheck() { echo one; echo two >&2; return 4; }\n"),
	}
	for request, want := range map[string]string{
		"work nothing 1": "vm: work nothing 1: the guest says: status 2: bench: NAME N,",
		"work create 0":  "the guest says: status 2: bench: NAME N,",
		"nonsense":       "the guest says: unknown request: nonsense",
		"program bad":    "the guest says: warm-up ended with status 3: no such thing",
		"program none":   "the guest says: the command ended with status 127, signal 0:",
		"program slow":   "the guest says: the command ended with status 7, signal 0:",
		"program odd":    "the guest says: the check ended with status 4: two",
	} {
		s, err := newSession(env, vmSide, files, "")
		possible(t, err)
		if reply, _, err := s.ask(t.Context(), request); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, error %v; want %q", request, reply, err, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
