package jit_test

// What is kept of translations from one run to the next.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/lockstep"
)

// The second run of programs has the translations of the first, at other addresses and with others beside them, and does what the interpreter does.
func TestLockStepOfKeptTranslations(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      jit.Options
		evicts bool
	}{
		{"blocks", jit.Options{CodeSize: 8 << 20}, false},
		{"blocks of 4, that count", jit.Options{CodeSize: 8 << 20, MaxGuest: 4, Count: true}, false},
		{"mirrors", jit.Options{CodeSize: 8 << 20, Mirror: jit.MirrorAlways}, false},
		{"little code memory", jit.Options{CodeSize: 2 << 20}, true},
		{"regions", jit.Options{CodeSize: 8 << 20, Tier: jit.TierOptimized}, false},
		{"regions in mirrors", jit.Options{CodeSize: 8 << 20, Tier: jit.TierOptimized, Mirror: jit.MirrorAlways}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Keep = t.TempDir()
			seed, n := firstSeed(t), uint64(programs()/50)
			if c.evicts {
				n *= 4
			}
			run := func(program func(i uint64) uint64) (s jit.Stats) {
				made := &translators{t: t, o: c.o}
				r := &lockstep.Runner{New: made.engine, Steps: steps(), MemoryEvery: *stepFlag}
				for i := range n {
					p, err := lockstep.Generate(seed + program(i))
					if err == nil {
						err = r.Run(p)
					}
					if err != nil {
						t.Fatalf("program %d, of seed %d: %v", i, seed+program(i), err)
					}
				}
				for _, m := range made.made {
					n := m.Stats()
					s.Blocks, s.Kept, s.Regions, s.KeptRegions, s.Evictions = s.Blocks+n.Blocks, s.Kept+n.Kept, s.Regions+n.Regions, s.KeptRegions+n.KeptRegions, s.Evictions+n.Evictions
				}
				r.Close()
				return s
			}
			first := run(func(i uint64) uint64 { return i })
			second := run(func(i uint64) uint64 { return n - 1 - i })
			t.Logf("%d programs; at first %d blocks and %d regions, then %d and %d, and %d and %d that were kept; %d evictions",
				n, first.Blocks, first.Regions, second.Blocks, second.Regions, second.Kept, second.KeptRegions, second.Evictions)
			if c.evicts && first.Evictions+second.Evictions == 0 {
				t.Error("no evictions")
			}
			if c.o.Tier == jit.TierOptimized && second.KeptRegions < first.Regions/3 {
				t.Error("the second run did not have the regions that the first one kept")
			}
			if first.Kept != 0 || second.Kept < first.Blocks/2 || second.Blocks > first.Blocks/2 {
				t.Error("the second run did not have what the first one kept")
			}
		})
	}
}

// What other settings made is not taken, nor what is damaged; what there is does not change then.
func TestKeptTranslationsAreOfTheSameSettings(t *testing.T) {
	dir := t.TempDir()
	run := func(o jit.Options) jit.Stats {
		o.Keep, o.CodeSize = dir, 8<<20
		made := &translators{t: t, o: o}
		r := &lockstep.Runner{New: made.engine}
		if err := r.RunSeeds(1, 30); err != nil {
			t.Fatal(err)
		}
		s := made.made[0].Stats()
		r.Close()
		return s
	}
	run(jit.Options{})
	if s := run(jit.Options{}); s.Kept == 0 {
		t.Error("the same settings: nothing was taken")
	}
	for name, o := range map[string]jit.Options{"block": {MaxGuest: 7}, "count": {Count: true}, "features": {Without: ^asm.Feature(0)}, "tier": {Tier: jit.TierBaseline}, "other tier": {Tier: jit.TierOptimized}, "keep=off": {KeepNothing: true}} {
		if s := run(o); s.Kept != 0 {
			t.Errorf("%s: %d translations of other settings", name, s.Kept)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.code"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += 97 {
			b[i] ^= 0x55
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := run(jit.Options{}); s.Kept != 0 {
		t.Errorf("%d translations of damaged files", s.Kept)
	}
}
