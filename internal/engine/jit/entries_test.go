package jit

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/memory"
)

func TestEntriesAreAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var e entries
	for _, n := range []int{10, 200, 3000} {
		want := map[uint16]uint32{}
		for range n {
			off, at := uint16(rng.IntN(memory.PageSize/2)*2), rng.Uint32()|1
			e.put(off, at)
			want[off] = at
		}
		for off := uint16(0); off < 2*memory.PageSize; off += 2 {
			if got := e.get(off); got != want[off] {
				t.Fatalf("at %#x is %#x, want %#x", off, got, want[off])
			}
		}
		if e.len() != len(want) {
			t.Errorf("len is %d, want %d", e.len(), len(want))
		}
		if got := slices.Sorted(e.offsets); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("the offsets are %v, want those of %v", got, want)
		}
		e.clear()
		if n := e.len(); n != 0 {
			t.Errorf("len after clear is %d", n)
		}
	}
}
