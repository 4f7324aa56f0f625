package jit_test

// The optimizing tier beside the interpreter: everything that begins a block becomes a region.

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/lockstep"
)

// regionSettings are sizes of regions and hosts.
func regionSettings() []jit.Options {
	o := jit.Options{CodeSize: 16 << 20, Tier: jit.TierOptimized}
	var list []jit.Options
	for _, guest := range []int{1, 3, 20, 0} {
		o.Region.Guest = guest
		list = append(list, o)
	}
	o.Without = ^asm.Feature(0)
	list = append(list, o)
	o.Without = asm.HasFMA | asm.HasBMI1 | asm.HasBMI2
	return append(list, o)
}

func TestLockStepOptimized(t *testing.T) {
	for _, o := range regionSettings() {
		t.Run(fmt.Sprintf("%d instructions without %v", o.Region.Guest, o.Without), func(t *testing.T) {
			r := &lockstep.Runner{New: newEngine(t, o), Steps: steps(), MemoryEvery: *stepFlag}
			if err := r.RunSeeds(firstSeed(t), programs()/5); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLockStepOptimizedUserLevel(t *testing.T) {
	for _, o := range regionSettings() {
		t.Run(fmt.Sprintf("%d instructions without %v", o.Region.Guest, o.Without), func(t *testing.T) {
			seed := firstSeed(t)
			r := &lockstep.Runner{New: newEngine(t, o), Steps: steps(), MemoryEvery: *stepFlag}
			defer r.Close()
			for done := 0; done < programs()/5; done += lockstep.Batch {
				img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), lockstep.Batch, difftest.All))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.RunImage(img); err != nil {
					t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
				}
			}
		})
	}
}
