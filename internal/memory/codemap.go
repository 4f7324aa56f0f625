package memory

// CodeMap, what a translator knows and everybody else tells: which pages of RAM have translated code, and which of those were
// written since.
//
// A page is plain until the translator watches it. Whoever writes guest memory notes it: harts before the store (they keep no
// fast path to a watched page, so they come by), everybody else after the bytes are written and before telling the guest. A page
// that is noted while watched becomes changed and joins a list; stores to it are free again. The translator takes the list when
// the guest asks for new code to be seen (FENCE.I), and drops what it made of those pages.
//
// The order that makes it safe, without a lock on any store. Translator: watch; take away the harts' fast paths to the page, and
// wait for that; read the bytes. Others: write; note. Both Watch and Note are full barriers between their two halves, so
// either the translator reads the new bytes or the writer sees that the page is watched.

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// What a CodeMap says of a page.
const (
	CodeNone    uint8 = iota // no translated code
	CodeWatched              // has translated code, which is as the page is
	CodeChanged              // was written since
)

// CodeMap is one byte a page of RAM. Its methods may be called from any goroutine; a page is named by any address in it, and
// addresses outside RAM are ignored.
//
// unsafe. The bytes lie outside the Go heap, so that generated code can read them; index keeps every access inside them.
type CodeMap struct {
	base  GPA
	bytes []byte // whole words; never moved until RAM.Close
	pages uint64

	// Changed pages, ever more of them until they are taken. The count is at least 1 before any page is seen as changed, so
	// that whoever may have stored to it without a note finds it.
	count   atomic.Uint32
	barrier atomic.Uint32 // of Note; never anything but zero

	mu   sync.Mutex // a leaf; guards every change of bytes, and list
	list []GPA
}

// newCodeMap maps the bytes for size bytes of RAM at base. The host commits them on first use.
func newCodeMap(base GPA, size uint64) (*CodeMap, error) {
	pages := size >> PageShift
	b, err := mapMemory((pages + PageMask) &^ PageMask)
	if err != nil {
		return nil, err
	}
	return &CodeMap{base: base, bytes: b, pages: pages}, nil
}

func (c *CodeMap) close() error { return unmapMemory(c.bytes) }

// Base is the host address of the first byte; that of page p is at (p - RAM.Base()) >> PageShift.
func (c *CodeMap) Base() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(c.bytes))) }

// index is that of a page; ok is false outside RAM.
func (c *CodeMap) index(page GPA) (i uint64, ok bool) {
	i = uint64(page-c.base) >> PageShift
	return i, i < c.pages
}

// word is the aligned four bytes that byte i is in: Go has no atomic bytes.
func (c *CodeMap) word(i uint64) *uint32 { return (*uint32)(unsafe.Pointer(&c.bytes[i&^3])) }

func (c *CodeMap) get(i uint64) uint8 { return uint8(atomic.LoadUint32(c.word(i)) >> (8 * (i & 3))) }

// set changes a byte. A full barrier. Precondition: mu is held.
func (c *CodeMap) set(i uint64, state uint8) {
	w, shift := c.word(i), 8*(i&3)
	for {
		old := atomic.LoadUint32(w)
		if atomic.CompareAndSwapUint32(w, old, old&^(0xff<<shift)|uint32(state)<<shift) {
			return
		}
	}
}

// Watch makes a page watched.
func (c *CodeMap) Watch(page GPA) { c.put(page, CodeWatched) }

// Clear makes a page plain. If it is in the list of changed pages it stays there.
func (c *CodeMap) Clear(page GPA) { c.put(page, CodeNone) }

func (c *CodeMap) put(page GPA, state uint8) {
	if i, ok := c.index(page); ok {
		c.mu.Lock()
		c.set(i, state)
		c.mu.Unlock()
	}
}

// State is what the map says of a page.
func (c *CodeMap) State(page GPA) uint8 {
	if i, ok := c.index(page); ok {
		return c.get(i)
	}
	return CodeNone
}

// Watched says that one of the pages of n bytes at gpa is. All of them are RAM.
func (c *CodeMap) Watched(gpa GPA, n uint64) bool {
	i, _ := c.index(gpa)
	for end := i + n>>PageShift; i < end; i++ {
		if i&3 == 0 && atomic.LoadUint32(c.word(i)) == 0 {
			i += 3
		} else if c.get(i) == CodeWatched {
			return true
		}
	}
	return false
}

// Span is a range of guest memory: N bytes at At.
type Span struct {
	At GPA
	N  uint64
}

// NoteAll is Note for what has been written to several places.
func (c *CodeMap) NoteAll(written []Span) {
	c.barrier.Add(0)
	c.NoteBehind(written)
}

// NoteBehind is NoteAll behind an atomic read-modify-write of the caller's, which came after all that was written: that is the barrier.
func (c *CodeMap) NoteBehind(written []Span) {
	for _, w := range written {
		c.note(w.At, w.N)
	}
}

// Note says that the n bytes at a have been written, or are about to be by a hart.
func (c *CodeMap) Note(a GPA, n uint64) {
	c.barrier.Add(0)
	c.note(a, n)
}

// note is behind the barrier.
func (c *CodeMap) note(a GPA, n uint64) {
	if n == 0 {
		return
	}
	end := uint64(a) + min(n-1, ^uint64(a)) // the last byte, at most that of the address space
	first, last := uint64(a)>>PageShift, end>>PageShift
	base := uint64(c.base) >> PageShift
	if c.pages == 0 || last < base || first >= base+c.pages {
		return
	}
	first, last = max(first, base)-base, min(last-base, c.pages-1)
	for i := first; i <= last; i++ {
		if i&3 == 0 && atomic.LoadUint32(c.word(i)) == 0 {
			i += 3
		} else if c.get(i) == CodeWatched {
			c.change(i)
		}
	}
}

func (c *CodeMap) change(i uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.get(i) == CodeWatched {
		c.list = append(c.list, c.base+GPA(i<<PageShift))
		c.count.Store(uint32(len(c.list)))
		c.set(i, CodeChanged)
	}
}

// Changed is how many pages TakeChanged would return.
func (c *CodeMap) Changed() uint32 { return c.count.Load() }

// TakeChanged returns the pages that have changed since the last call, and empties the list; their state stays. A page that
// changed, was watched again and changed again is there twice. Who takes them answers for them: until the translations are
// dropped, nobody else can tell from Changed that there are any.
func (c *CodeMap) TakeChanged() []GPA {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.list
	c.list = nil
	c.count.Store(0)
	return l
}
