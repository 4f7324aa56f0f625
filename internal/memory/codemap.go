package memory

// CodeMap, what a translator knows and everybody else tells: which pages of RAM have translated code, and which of those were
// written since. A [DirtyLog] asks the same question, of all pages, by a bit of its own, and is told in the same way.
//
// A page is plain until the translator watches it. Whoever writes guest memory notes it: harts before the store (they keep no
// fast path to a watched page, so they come by), everybody else after the bytes are written and before telling the guest. A page
// that is noted while watched becomes changed and joins a list; stores to it are free again. The translator takes the list when
// the guest asks for new code to be seen (FENCE.I), and drops what it made of those pages.
//
// The order that makes it safe, without a lock on any store. Translator: watch; take away the harts' fast paths to the page, and
// wait for that; read the bytes. Others: write; note. Between its two halves each needs a full barrier, so that either the translator
// reads the new bytes or the writer sees that the page is watched. What barrier a writer pays for is in quiet.go.

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

	codeState uint8 = 3 // the bits of that

	// pageClean is a bit beside them: a DirtyLog wants to know of the next store.
	pageClean uint8 = 1 << 2

	// PageAsked are the bits of which one says that a store to the page has to be noted.
	PageAsked = CodeWatched | pageClean
)

// CodeMap is one byte a page of RAM. Its methods may be called from any goroutine; a page is named by any address in it, and
// addresses outside RAM are ignored.
//
// unsafe. The bytes lie outside the Go heap, so that generated code can read them; index keeps every access inside them.
type CodeMap struct {
	base  GPA
	bytes []byte // whole words, and one byte behind that of the last page at least; never moved until RAM.Close
	whole []byte // a page before them, of which the last bytes are where a detour leads
	pages uint64
	bias

	// Changed pages, ever more of them until they are taken. The count is at least 1 before any page is seen as changed, so
	// that whoever may have stored to it without a note finds it.
	count atomic.Uint32

	mu      sync.Mutex // a leaf; guards every change of bytes, what bias says it does, and what follows
	list    []GPA
	asked   int  // pages of which a store has to be noted
	logging bool // there is a DirtyLog
}

// init maps the bytes for r. The host commits them on first use.
func (c *CodeMap) init(r *RAM) (err error) {
	c.base, c.pages = r.base, r.Size()>>PageShift
	if c.whole, err = mapMemory((PageSize + c.pages + 1 + PageMask) &^ PageMask); err != nil {
		return err
	}
	c.bytes = c.whole[PageSize:]
	c.bias.init(r, c.whole)
	return nil
}

func (c *CodeMap) close() error { return unmapMemory(c.whole) }

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

// set makes some bits of a byte others. A full barrier. Precondition: mu is held.
func (c *CodeMap) set(i uint64, bits, state uint8) {
	w, shift := c.word(i), 8*(i&3)
	for {
		old := atomic.LoadUint32(w)
		now := uint8(old>>shift)&^bits | state
		if atomic.CompareAndSwapUint32(w, old, old&^(0xff<<shift)|uint32(now)<<shift) {
			c.asked += asks(now) - asks(uint8(old>>shift))
			return
		}
	}
}

// asks is 1 for a page that somebody wants to know of.
func asks(state uint8) int {
	if state&PageAsked != 0 {
		return 1
	}
	return 0
}

// Watch makes a page watched. A full barrier, for every other thread too: see quiet.go.
func (c *CodeMap) Watch(page GPA) {
	if i, ok := c.index(page); ok {
		c.mu.Lock()
		c.beLoud()
		c.set(i, codeState, CodeWatched)
		c.mu.Unlock()
	}
}

// Clear makes a page plain. If it is in the list of changed pages it stays there.
func (c *CodeMap) Clear(page GPA) {
	if i, ok := c.index(page); ok {
		c.mu.Lock()
		c.set(i, codeState, CodeNone)
		c.mu.Unlock()
	}
}

// State is what the map says of a page's code.
func (c *CodeMap) State(page GPA) uint8 {
	if i, ok := c.index(page); ok {
		return c.get(i) & codeState
	}
	return CodeNone
}

// Asked says that a store to the page has to be noted.
func (c *CodeMap) Asked(page GPA) bool {
	i, ok := c.index(page)
	return ok && c.get(i)&PageAsked != 0
}

// AnyAsked says that a store to one of the pages of n bytes at gpa has to be. All of them are RAM.
func (c *CodeMap) AnyAsked(gpa GPA, n uint64) bool {
	i, _ := c.index(gpa)
	for end := i + n>>PageShift; i < end; i++ {
		if i&3 == 0 && atomic.LoadUint32(c.word(i)) == 0 {
			i += 3
		} else if c.get(i)&PageAsked != 0 {
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
	if c.ram.idle {
		return
	}
	if c.loud.Load() != 0 {
		c.order()
	}
	for _, w := range written {
		if !c.unasked(uint64(w.At-c.base), w.N) {
			c.note(w.At, w.N)
		}
	}
}

// Note says that the n bytes at a have been written, or are about to be by a hart.
func (c *CodeMap) Note(a GPA, n uint64) {
	if c.loud.Load() != 0 {
		c.order()
	}
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
		} else if c.get(i)&PageAsked != 0 {
			c.change(i)
		}
	}
}

func (c *CodeMap) change(i uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.get(i)
	if state&codeState == CodeWatched {
		c.list = append(c.list, c.base+GPA(i<<PageShift))
		c.count.Store(uint32(len(c.list)))
		c.set(i, codeState, CodeChanged)
	}
	if state&pageClean != 0 {
		c.set(i, pageClean, 0)
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
