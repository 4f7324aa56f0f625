package jit_test

// The translator beside the interpreter.

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/lockstep"
	"github.com/vmproject/vm/internal/memory"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the first program; 0 draws one from the clock")
	stepFlag  = flag.Uint64("step", 0, "instructions a step in lock step; 0 draws them")
	blockFlag = flag.Int("block", 0, "most guest instructions of a block; 0 is the default")
	countFlag = flag.Int("programs", 10000, "how many programs run in lock step")
)

// firstSeed is the seed of the first program of a test: any, since every run may look at new programs, but printed.
func firstSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d; again: go test ./internal/engine/jit -run '^%s$' -seed %d -programs N", seed, t.Name(), seed)
	return seed
}

// steps is what a Runner.Steps is.
func steps() func(*rand.Rand) uint64 {
	if n := *stepFlag; n != 0 {
		return func(*rand.Rand) uint64 { return n }
	}
	return nil
}

func programs() int {
	if testing.Short() {
		return min(*countFlag, 500)
	}
	return *countFlag
}

// translators makes engines with some options, and remembers their machines.
type translators struct {
	t    testing.TB
	o    jit.Options
	made []*jit.Machine
}

func (l *translators) engine(h *hart.Hart) lockstep.Engine {
	m, err := jit.NewMachine(h.RAM, l.o)
	if err != nil {
		l.t.Fatal(err)
	}
	e, err := m.New(h, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	l.made = append(l.made, m)
	return e
}

// evictions is how often all of them freed code memory.
func (l *translators) evictions() (n uint64) {
	for _, m := range l.made {
		n += m.Stats().Evictions
	}
	return n
}

func newEngine(t testing.TB, o jit.Options) func(h *hart.Hart) lockstep.Engine {
	return (&translators{t: t, o: o}).engine
}

func TestLockStep(t *testing.T) {
	r := &lockstep.Runner{New: newEngine(t, jit.Options{CodeSize: 4 << 20, MaxGuest: *blockFlag}), Steps: steps(), MemoryEvery: *stepFlag}
	start := time.Now()
	if err := r.RunSeeds(firstSeed(t), programs()); err != nil {
		t.Fatal(err)
	}
	s := &r.Stats
	t.Logf("%d programs in %v: %d ended, %d stuck; %d instructions, %d steps", s.Programs, time.Since(start), s.Ended, s.Stuck,
		s.Instructions, s.Steps)
}

// The same with everything that the host has and code has room for taken away. Fewer programs do, since it is the same code that is wrong
// or right in each.
func TestLockStepOfLess(t *testing.T) {
	const tight = 2 << 20 // of which the routines have half
	for _, c := range []struct {
		name   string
		o      jit.Options
		evicts bool
	}{
		{"blocks of 1", jit.Options{CodeSize: 4 << 20, MaxGuest: 1}, false},
		{"blocks of 4, that count", jit.Options{CodeSize: 4 << 20, MaxGuest: 4, Count: true}, false},
		{"a processor without extensions", jit.Options{CodeSize: 4 << 20, Without: ^asm.Feature(0)}, false},
		{"a processor without FMA and BMI", jit.Options{CodeSize: 4 << 20, Without: asm.HasFMA | asm.HasBMI1 | asm.HasBMI2}, false},
		{"mirrors", jit.Options{CodeSize: 4 << 20, Mirror: jit.MirrorAlways}, false},
		{"mirrors without a segment of theirs", jit.Options{CodeSize: 4 << 20, Mirror: jit.MirrorAlways, Without: asm.HasFSGSBASE | asm.HasArchPrctl}, false},
		{"mirrors, and little code memory", jit.Options{CodeSize: tight, Mirror: jit.MirrorAlways}, true},
		{"little code memory", jit.Options{CodeSize: tight}, true},
		{"few pages", jit.Options{CodeSize: 8 << 20, Pages: 3}, true},
		{"all of it", jit.Options{CodeSize: tight, Pages: 6, MaxGuest: 3, Without: ^asm.Feature(0)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := &translators{t: t, o: c.o}
			r := &lockstep.Runner{New: made.engine, Steps: steps(), MemoryEvery: *stepFlag}
			defer r.Close()
			// All on the same machine, where the translations of one meet those of the next.
			seed := firstSeed(t)
			for i := range uint64(programs() / 16) {
				p, err := lockstep.Generate(seed + i)
				if err == nil {
					err = r.Run(p)
				}
				if err != nil {
					t.Fatalf("program %d, of seed %d: %v", i, seed+i, err)
				}
			}
			n := made.evictions()
			t.Logf("%d programs, %d instructions, %d evictions", r.Stats.Programs, r.Stats.Instructions, n)
			if c.evicts && n < r.Stats.Programs/50 {
				t.Errorf("only %d evictions", n)
			}
		})
	}
}

// A log of written pages has every page that any tier has written, in whatever way.
func TestDirtyLogHasEveryStore(t *testing.T) {
	for _, c := range []struct {
		name string
		o    jit.Options
	}{
		{"blocks", jit.Options{CodeSize: 4 << 20}},
		{"regions", jit.Options{CodeSize: 4 << 20, Tier: jit.TierOptimized}},
		{"mirrors", jit.Options{CodeSize: 4 << 20, Mirror: jit.MirrorAlways}},
		{"mirrors and regions", jit.Options{CodeSize: 4 << 20, Tier: jit.TierOptimized, Mirror: jit.MirrorAlways}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &lockstep.Runner{New: newEngine(t, c.o), Steps: steps(), Dirty: true}
			if err := r.RunSeeds(firstSeed(t), programs()/20); err != nil {
				t.Fatal(err)
			}
			if r.Stats.DirtyPages < r.Stats.Programs {
				t.Errorf("only %d pages were written by %d programs", r.Stats.DirtyPages, r.Stats.Programs)
			}
			t.Logf("%d programs, %d instructions, %d pages in logs", r.Stats.Programs, r.Stats.Instructions, r.Stats.DirtyPages)
		})
	}
}

func TestLockStepUserLevel(t *testing.T) {
	seed := firstSeed(t)
	r := &lockstep.Runner{New: newEngine(t, jit.Options{CodeSize: 4 << 20, MaxGuest: *blockFlag}), Steps: steps(), MemoryEvery: *stepFlag}
	start := time.Now()
	for done := 0; done < programs(); done += lockstep.Batch {
		img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), lockstep.Batch, difftest.All))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.RunImage(img); err != nil {
			t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
		}
	}
	t.Logf("%d images of %d programs in %v: %d instructions, %d steps", r.Stats.Programs, lockstep.Batch, time.Since(start),
		r.Stats.Instructions, r.Stats.Steps)
}

// Any bytes as code: the translator does what the interpreter does, with either tier.
func FuzzTranslator(f *testing.F) {
	f.Add(uint64(0), []byte{0x13, 0x05, 0x15, 0x00, 0x6f, 0xf0, 0xdf, 0xff})
	f.Add(uint64(1), bytes.Repeat([]byte{0x01, 0x00}, memory.PageSize))
	f.Add(uint64(2), bytes.Repeat([]byte{0x73, 0x10, 0x05, 0x18, 0x02, 0x90}, 200))
	var runners []*lockstep.Runner
	for _, o := range []jit.Options{{CodeSize: 2 << 20}, {CodeSize: 16 << 20, Tier: jit.TierOptimized}, {CodeSize: 16 << 20, Tier: jit.TierOptimized, Mirror: jit.MirrorAlways}} {
		r := &lockstep.Runner{New: newEngine(f, o)}
		runners = append(runners, r)
		f.Cleanup(func() {
			if err := r.Close(); err != nil {
				f.Error(err)
			}
		})
	}
	f.Fuzz(func(t *testing.T, seed uint64, code []byte) {
		p, err := lockstep.Bytes(seed, code)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runners {
			if err := r.Run(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Random bytes, without a fuzzer's patience.
func TestRandomBytes(t *testing.T) {
	seed := firstSeed(t)
	r := &lockstep.Runner{New: newEngine(t, jit.Options{CodeSize: 2 << 20})}
	defer r.Close()
	for i := range uint64(programs() / 5) {
		random := rand.New(rand.NewPCG(seed+i, 0xb17e5))
		code := make([]byte, 2+random.IntN(2000))
		for k := range code {
			code[k] = byte(random.Uint32())
		}
		p, err := lockstep.Bytes(seed+i, code)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(p); err != nil {
			t.Fatal(err)
		}
	}
}
