package code

// A region: the unit in which code memory is filled, and in which it is given back.
//
//	free --Open--> open --Seal--> sealed --Free--> free, with the next generation
//
// Eviction goes by region because a block alone cannot be taken back: others jump to it. Who evicts unlinks everything that leads
// into the region, waits until no hart is in it, and frees it whole. What remembers a block remembers the region and
// its generation, too; when that has moved on, the block is gone.

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

type regionState uint8

const (
	free regionState = iota
	open
	sealed
)

// Region is one fixed-size piece of an [Arena]. While it is open it belongs to the goroutine that opened it, and only that one
// may call Alloc, Trim, Room and Seal. The others may be called from any goroutine.
type Region struct {
	arena *Arena
	base  Addr
	mem   []byte // the write view

	generation atomic.Uint64
	mapped     atomic.Bool // sealed or patched since pages of the write view were unmapped last; looked at while it is sealed

	used     int  // bytes allocated, padding included; the owner's
	last     int  // where the last block starts; the owner's
	poisoned bool // guarded by arena.mu, or of who prepares it: what is not allocated traps

	state      regionState // guarded by arena.mu
	prev, next *Region     // guarded by arena.mu: neighbours in arena.sealed
}

// Block is a piece of a region: where its bytes are written, and where they will execute.
type Block struct {
	Addr  Addr
	Bytes []byte
}

// Base is the address of the first byte.
func (r *Region) Base() Addr { return r.base }

// Size is the length in bytes.
func (r *Region) Size() int { return len(r.mem) }

// Generation counts how often the region was freed. Code that was made in an earlier generation does not exist any more.
func (r *Region) Generation() uint64 { return r.generation.Load() }

// Alloc takes n bytes, aligned to [Align]. It refuses when there is not as much room; the caller seals the region then, and opens another.
func (r *Region) Alloc(n int) (Block, bool) {
	start := (r.used + Align - 1) &^ (Align - 1)
	if n < 0 || n > len(r.mem)-start {
		return Block{}, false
	}
	r.last, r.used = start, start+n
	return Block{r.base + Addr(start), r.mem[start:r.used:r.used]}, true
}

// Trim gives back what is past the first n bytes of the last block that Alloc returned, for who cannot tell the length before. It panics
// when the block is shorter than that.
func (r *Region) Trim(n int) {
	if n < 0 || n > r.used-r.last {
		panic(fmt.Sprintf("code: trim of a block of %d bytes to %d", r.used-r.last, n))
	}
	poisonWritten(r.mem[r.last+n : r.used])
	r.used = r.last + n
}

// Room is the length of the largest block that Alloc can still give.
func (r *Region) Room() int { return max(0, len(r.mem)-(r.used+Align-1)&^(Align-1)) }

// Seal ends the filling of an open region: it is one that [Arena.Oldest] may name, and anyone may free it. What is written to it from now
// on are patches, so the write view's pages are unmapped, in the background; the file keeps what they hold. A patch brings its page back.
// Most come soon, so that it is enough to unmap what came back in other regions at the same time.
func (r *Region) Seal() {
	a := r.arena
	a.mu.Lock()
	defer a.mu.Unlock()
	r.move(open, sealed)
	a.sealed.push(r)
	r.mapped.Store(true)
	var mapped [][]byte
	for s := a.sealed.first; s != nil; s = s.next {
		if s.mapped.Swap(false) {
			mapped = append(mapped, s.mem)
		}
	}
	a.background.Go(func() {
		for _, mem := range mapped {
			unmapPages(mem)
		}
	})
}

// Free gives a sealed region back and moves its generation on. Preconditions: no hart is in the region's code, nothing that a
// hart may still follow leads there (links, tables, return addresses), and nobody writes to it. Postcondition: what was
// there traps.
func (r *Region) Free() {
	a := r.arena
	r.unlist()
	// It is in neither list now, so it belongs to this goroutine, and the system call is not under the lock.
	r.generation.Add(1)
	poison(r.mem[:r.used])
	r.used, r.last = 0, 0
	serialize()

	a.mu.Lock()
	a.free = append(a.free, r)
	a.mu.Unlock()
}

// unlist takes a sealed region out of the queue.
func (r *Region) unlist() {
	r.arena.mu.Lock()
	defer r.arena.mu.Unlock()
	r.move(sealed, free)
	r.arena.sealed.remove(r)
}

// move checks a transition: a region freed twice would be given to two compilers. Precondition: arena.mu is held.
func (r *Region) move(from, to regionState) {
	if r.state != from {
		panic(fmt.Sprintf("code: region at %#x is in state %d, not %d", uintptr(r.base), r.state, from))
	}
	r.state = to
}

// poisonWritten is poison for memory that was poison and has been written from its start on, but not to its end.
func poisonWritten(b []byte) {
	const chunk = 256
	for len(b) > chunk {
		if binary.LittleEndian.Uint64(b[chunk-8:]) == poisoned && binary.LittleEndian.Uint64(b[chunk-16:]) == poisoned && untouched(b[:chunk]) {
			return
		}
		poison(b[:chunk])
		b = b[chunk:]
	}
	poison(b)
}

const poisoned = 0xCCCC_CCCC_CCCC_CCCC

func untouched(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != poisoned {
			return false
		}
	}
	return true
}

// poison fills memory with INT3, so that a jump to where no code is ends at once and loudly, not somewhere later.
func poison(b []byte) {
	const int3 = 0xCC
	if len(b) == 0 {
		return
	}
	b[0] = int3
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
