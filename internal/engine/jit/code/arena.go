package code

// The arena: the two views of code memory, and the regions it is cut into.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// What an arena may be: a direct jump has to reach from any of it to any other part.
const (
	MinRegion = 4 << 10
	MaxSize   = 1 << 30
)

// ErrFull is the error of [Arena.Open] when every region is in use: free one, [Arena.Oldest] for example.
var ErrFull = errors.New("code memory is full")

// Arena is a bounded amount of code memory. Its methods may be called from any goroutine.
type Arena struct {
	write []byte // the view that can be written
	exec  Addr   // the view that can be executed; as long
	shift uint   // log2 of the size of a region

	regions []Region // in order of address; never moves

	mu     sync.Mutex // a leaf
	free   []*Region  // guarded by mu; the last one is used next, as its pages are the ones most likely in the host's caches
	sealed list       // guarded by mu; oldest first

	background sync.WaitGroup // what goroutines of the arena's own do to its memory
}

// New reserves size bytes of code memory in regions of regionSize bytes, which is a power of two of at least [MinRegion]; size is
// a multiple of it and at most [MaxSize]. The host commits memory as regions are opened. The error wraps [ErrForbidden] where the
// host does not allow generated code.
func New(size, regionSize int) (*Arena, error) { return newArena(size, regionSize, mapViews) }

// NewForPerf is New for when a [PerfMap] is written. Linux perf consults that for anonymous memory only and takes a memfd for a file
// without symbols, so the two views are of anonymous shared memory instead. They are W^X as well, but the kernel would not refuse to
// make the execute view writable.
func NewForPerf(size, regionSize int) (*Arena, error) {
	return newArena(size, regionSize, mapViewsForPerf)
}

func newArena(size, regionSize int, mapViews func(int) ([]byte, Addr, error)) (*Arena, error) {
	if regionSize < MinRegion || regionSize&(regionSize-1) != 0 || size < regionSize || size%regionSize != 0 || size > MaxSize {
		return nil, fmt.Errorf("code memory of %d bytes in regions of %d: regions are powers of two from %d, and fill at most %d bytes",
			size, regionSize, MinRegion, MaxSize)
	}
	write, exec, err := mapViews(size)
	if err != nil {
		return nil, fmt.Errorf("mapping %d KiB of code memory: %w", size>>10, err)
	}
	a := &Arena{write: write, exec: exec, shift: uint(bits.TrailingZeros(uint(regionSize))), regions: make([]Region, size/regionSize)}
	a.free = make([]*Region, 0, len(a.regions))
	for i := len(a.regions) - 1; i >= 0; i-- {
		r := &a.regions[i]
		lo := i * regionSize
		r.arena, r.base, r.mem = a, exec+Addr(lo), write[lo:lo+regionSize:lo+regionSize]
		a.free = append(a.free, r)
	}
	return a, nil
}

// Close unmaps the arena. No goroutine may be in its code, enter it or write to it afterwards.
func (a *Arena) Close() error {
	if a.write == nil {
		return nil
	}
	a.ignoreFaults()
	a.background.Wait()
	err := unmapViews(a.write, a.exec)
	a.write, a.regions, a.free, a.sealed = nil, nil, nil, list{}
	return err
}

// Base is the address of the first byte.
func (a *Arena) Base() Addr { return a.exec }

// Size is the length in bytes.
func (a *Arena) Size() int { return len(a.write) }

// Open takes a free region for the caller to fill. The error is [ErrFull] when there is none.
func (a *Arena) Open() (*Region, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.free)
	if n == 0 {
		return nil, ErrFull
	}
	r := a.free[n-1]
	a.free = a.free[:n-1]
	r.state = open
	if !r.poisoned {
		r.prepare()
	}
	return r, nil
}

// Prepare makes the region that Open would take next ready for it, on a goroutine of its own: the memory of a fresh one takes the host longer than
// to write the code that goes there. The last free region is left alone, as it could not be opened meanwhile.
func (a *Arena) Prepare() {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.free)
	if n < 2 || a.free[n-1].poisoned {
		return
	}
	r := a.free[n-1]
	a.free = a.free[:n-1]
	a.background.Go(func() {
		r.prepare()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.free = append(a.free, r)
	})
}

// prepare makes what is not allocated trap. Precondition: arena.mu is held, or the region is in no list.
func (r *Region) prepare() {
	Populate(r.mem)
	poison(r.mem)
	populateExec(r.base, len(r.mem))
	r.poisoned = true
}

// Oldest is the region that was sealed longest ago and is not freed yet, or nil.
func (a *Arena) Oldest() *Region {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sealed.first
}

// Region is the region that an address lies in, whatever its state, or nil for an address outside the arena.
func (a *Arena) Region(at Addr) *Region {
	off := uintptr(at - a.exec)
	if off >= uintptr(len(a.write)) {
		return nil
	}
	return &a.regions[off>>a.shift]
}

// Writable is the write view of n bytes of code at an address. It panics when they are not all in the arena.
func (a *Arena) Writable(at Addr, n int) []byte {
	off := uintptr(at - a.exec)
	if n < 0 || off > uintptr(len(a.write)) || uintptr(n) > uintptr(len(a.write))-off {
		panic(fmt.Sprintf("code: %d bytes at %#x are not in the arena", n, uintptr(at)))
	}
	return a.write[off : off+uintptr(n) : off+uintptr(n)]
}

// Executable is the address of a byte of the write view: the inverse of [Arena.Writable]. It panics when the slice
// does not start in the arena.
func (a *Arena) Executable(b []byte) Addr {
	off := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(a.write)))
	if off >= uintptr(len(a.write)) {
		panic("code: a slice from outside the arena")
	}
	return a.exec + Addr(off)
}

// Patch replaces the four bytes of code at an address, little endian, while other harts may be executing them: each sees all of
// the old bytes or all of the new. The address is a multiple of four, so that they are within one cache line; a compiler pads the
// jumps that it means to patch. It panics when that does not hold or the address is not in the arena.
func (a *Arena) Patch(at Addr, v uint32) {
	if at%4 != 0 {
		panic(fmt.Sprintf("code: patch of misaligned code at %#x", uintptr(at)))
	}
	b := a.Writable(at, 4)
	// The store is native-endian, and the code's order is little-endian.
	var le [4]byte
	binary.LittleEndian.PutUint32(le[:], v)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(unsafe.SliceData(b))), binary.NativeEndian.Uint32(le[:]))
	a.patched(at)
}

// PatchWord is Patch for bytes that lie within one aligned word of eight, which nobody else patches meanwhile. It panics when they do not.
func (a *Arena) PatchWord(at Addr, p []byte) {
	word := at &^ 7
	if int(at-word)+len(p) > 8 {
		panic(fmt.Sprintf("code: patch of %d bytes at %#x, which are in two words", len(p), uintptr(at)))
	}
	b := a.Writable(word, 8)
	var w [8]byte
	copy(w[:], b)
	copy(w[at-word:], p)
	// Safe: the arena's memory is page aligned, and word is a multiple of eight in it.
	atomic.StoreUint64((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), binary.NativeEndian.Uint64(w[:]))
	a.patched(at)
}

// patched notes that the write view's page of an address is mapped again. It is called after the store: if the note came first, Seal could clear it
// and unmap the page before the store brings it back.
func (a *Arena) patched(at Addr) { a.Region(at).mapped.Store(true) }

// Serialize returns when every core that runs a thread of this process has executed a serializing instruction: none of them
// executes instructions that it fetched before. See "Publication" in the package comment. It is a system call and interrupts
// the other cores. On hosts without it (Linux before 4.16, or a filter) it does nothing.
func (a *Arena) Serialize() { serialize() }

// list is a queue of regions, linked through them so that it never allocates.
type list struct{ first, last *Region }

func (l *list) push(r *Region) {
	r.prev, r.next = l.last, nil
	if l.last != nil {
		l.last.next = r
	} else {
		l.first = r
	}
	l.last = r
}

func (l *list) remove(r *Region) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.last = r.prev
	}
	r.prev, r.next = nil, nil
}
