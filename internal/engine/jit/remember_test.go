package jit

import (
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/memory"
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
