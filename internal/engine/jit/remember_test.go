package jit

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// forgetPage looks for the jump targets of an eighth of a page in one row of entries.
func TestJumpEntriesOfAnEighthOfAPageAreSideBySide(t *testing.T) {
	const eighth = memory.PageSize / 8
	for range 1000 {
		at := rand.Uint64() &^ (eighth - 1)
		seen := map[uint64]bool{}
		for off := uint64(0); off < eighth; off += 2 {
			i := amd64.JumpIndex(at + off)
			if i/(eighth/2) != amd64.JumpIndex(at)/(eighth/2) {
				t.Fatalf("%#x has entry %d, %#x has %d", at, amd64.JumpIndex(at), at+off, i)
			}
			seen[i] = true
		}
		if len(seen) != eighth/2 {
			t.Fatalf("%d entries for %d halfwords", len(seen), eighth/2)
		}
	}
}

// A bank is forgotten by the rows that its filter names: all that were noted, and where there are few no others.
func TestNotedRowsAreThoseOfWhatWasNoted(t *testing.T) {
	g := rand.New(rand.NewPCG(11, 12))
	for _, c := range []struct {
		name   string
		n      int
		within uint64 // addresses are this far from each other at most
		most   int    // rows
	}{
		{"nothing", 0, 1, 0},
		{"one", 1, 1, 1},
		{"a page", 40, memory.PageSize, 8},
		{"around the end of the filter", 3, 16 * memory.PageSize, 3},
		{"everywhere", 3, 1 << 47, 3},
		{"so much that it is every row", 2000, 1 << 40, amd64.JumpEntries / jumpRow},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 200 {
				b := new(mmu.Bank)
				b.ForgetExec()
				start := g.Uint64N(1<<38) &^ memory.PageMask
				if c.n == 3 && c.within < 1<<30 {
					start = start&^(mmu.ExecEntries*memory.PageSize-1) - 8*memory.PageSize
				}
				var noted []uint64
				for range c.n {
					va := start + g.Uint64N(c.within)&^1
					b.NoteExec(va)
					noted = append(noted, va)
				}
				rows := notedRows(b)
				for _, va := range noted {
					if row := amd64.JumpIndex(va) / jumpRow; rows[row/64]>>(row%64)&1 == 0 {
						t.Fatalf("%#x was noted, and its row is not one of %#x", va, rows)
					}
				}
				if n := bits.OnesCount64(rows[0]) + bits.OnesCount64(rows[1]); n > c.most {
					t.Fatalf("%d rows for %d addresses", n, c.n)
				}
			}
		})
	}
}
