package suite

import (
	"context"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/selftest"
	"github.com/vmproject/vm/internal/storage"
)

func TestNames(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(/[a-zA-Z0-9-]+)+$`)
	all := All() // of which the names differ, or it panics
	for _, b := range all {
		if !name.MatchString(b.Name) || b.Doc == "" || strings.HasSuffix(b.Doc, ".") || b.Unit.Name == "" || b.Setup == nil {
			t.Errorf("%q: doc %q, unit %q", b.Name, b.Doc, b.Unit.Name)
		}
	}
	for _, list := range [][]bench.Benchmark{{{Name: "a/b"}, {Name: "a/b"}}, {{Name: "a/b", Limit: "a/c"}}} {
		if check(list) == nil {
			t.Errorf("%v is in order", list)
		}
	}
}

// inProcess are the benchmarks that boot nothing.
func inProcess() []bench.Benchmark {
	var list []bench.Benchmark
	for _, group := range []func() []bench.Benchmark{engineGroup, translateGroup, memoryGroup, tlbGroup, blockGroup, deviceGroup, systemGroup} {
		list = append(list, group()...)
	}
	return list
}

func TestEveryBenchmarkRuns(t *testing.T) {
	for _, b := range inProcess() {
		t.Run(b.Name, func(t *testing.T) {
			if testing.Short() && b.Whole {
				t.Skip("it takes long")
			}
			i, err := b.Setup(&bench.Env{Scratch: t.TempDir(), Seed: 1})
			possible(t, err)
			// Longer than it takes for hot code to be translated once more, unless one is enough.
			began := time.Now()
			for n := 1; n <= 2 || !b.Whole && !testing.Short() && time.Since(began) < 15*time.Millisecond; n *= 2 {
				v, err := i.Sample(context.Background(), n)
				if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v <= 0 {
					t.Fatalf("%d times: %v, %v", n, v, err)
				}
				t.Logf("%d times: %.4g %s", n, v, b.Unit.Name)
			}
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAWrongAnswerIsAnError(t *testing.T) {
	wrong := func(a *asm.Assembler) {
		selftest.Integer.Code(a)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
	}
	traps := func(a *asm.Assembler) { a.Op(riscv.EBREAK) }
	for name, load := range map[string]func(*machine) (verdict, error){
		"another result": bare(wrong, selftest.Integer.Want),
		"a trap":         bare(traps, count),
		"walks": func(m *machine) (verdict, error) {
			v, err := bare(counted(func(*asm.Assembler) {}), count)(m)
			return walked(m, v, 1), err
		},
	} {
		for _, v := range both {
			g := guest{name: "engine/wrong", unit: bench.InstPerSec, rounds: 10, load: load}
			i, err := g.setup(v)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := i.Sample(context.Background(), 1); err == nil {
				t.Errorf("%s: no error, and a sample of %v", name, v)
			}
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// liar is an image of which one bit is always wrong.
type liar struct{ storage.Image }

func (l liar) ReadvAt(bufs [][]byte, off int64) error {
	if err := l.Image.ReadvAt(bufs, off); err != nil {
		return err
	}
	bufs[0][0] ^= 1
	return nil
}

func TestAWrongDiskIsAnError(t *testing.T) {
	for name, setup := range map[string]func(storage.Image) (bench.Instance, error){
		"read":  func(img storage.Image) (bench.Instance, error) { return imageRead(img, 4096) },
		"write": func(img storage.Image) (bench.Instance, error) { return imageWrite(img, 4096) },
		"virtio read": func(img storage.Image) (bench.Instance, error) {
			return virtioInstance(img, traffic{kind: blkIn, size: 512, depth: 1})
		},
		"virtio write": func(img storage.Image) (bench.Instance, error) {
			return virtioInstance(img, traffic{kind: blkOut, size: 512, depth: 1, packed: true})
		},
	} {
		i, err := setup(liar{storage.NewMemory(imageBytes)})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := i.Sample(context.Background(), 1); err == nil {
			t.Errorf("%s: no error, and a sample of %v", name, v)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTimeToPeak(t *testing.T) {
	var s []peakSlice
	end := time.Duration(0)
	for i := range 100 {
		took := time.Millisecond
		switch {
		case i < 20:
			took = 5 * time.Millisecond
		case i < 30:
			took = 1200 * time.Microsecond
		case i%10 == 0:
			took = 30 * time.Millisecond // somebody else's
		}
		end += took
		s = append(s, peakSlice{end, took})
	}
	if got, most := timeToPeak(s), 20*5*time.Millisecond+10*1200*time.Microsecond; got < most-3*time.Millisecond || got > most+31*time.Millisecond {
		t.Errorf("%v, want about %v", got, most)
	}
}

// A run ends with its context.
func TestInterruption(t *testing.T) {
	g := guest{name: "engine/endless", unit: bench.NsPerOp, rounds: 1, load: bare(func(a *asm.Assembler) {
		a.Label("loop")
		a.J("loop")
	}, count)}
	for _, v := range both {
		i, err := g.setup(v)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		if _, err := i.Sample(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", v.name, err)
		}
		cancel()
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}
