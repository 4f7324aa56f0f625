// Package mirror maps the user half of a guest's address space into the host's, page by page: a load or a store of the guest at an address is one of
// the host at that address in the mirror, and the host's processor translates it. What is not mapped faults, and whoever executes the
// guest decides what becomes of it (package jit).
//
// A mirror is a cache of page tables like any TLB, much larger, and dearer to change: microseconds a page. It knows nothing of the guest's page tables;
// its owner maps and unmaps.
package mirror

import (
	"errors"
	"slices"

	"github.com/vmproject/vm/internal/memory"
)

// Size is the number of bytes of an address space that a mirror covers, from address 0: the user half of Sv39 (Privileged 1.13 §12.4).
const Size = 1 << sizeShift

const sizeShift = 38

// Reach is how far outside of [0, Size) an access may be that still cannot hit anything but the mirror and its margins, where nothing is ever mapped.
const Reach = 1 << 30

// ErrFull is the error of [Mirror.Map] when the host cannot have more mappings; [Mirror.Clear] gives some back. After any error the mirror may be empty.
var ErrFull = errors.New("too many mappings")

// Page is what a page of a mirror is.
type Page struct {
	GPA      memory.GPA // of the page of RAM
	Writable bool
	Shift    uint8 // log2 of the bytes of the leaf that maps it in the guest
}

// Huge is the size of a huge page, which is one of the mirror like any other: it is mapped and unmapped as a whole.
const Huge = 2 << 20

// isHuge says that n pages from an address on begin with a huge page, if they are mapped to p and those after it.
func (p Page) isHuge(page uint64, n int) bool {
	return 1<<p.Shift >= Huge && n >= Huge/memory.PageSize && (page|uint64(p.GPA))%Huge == 0
}

// block is an aligned piece of the address space.
type block struct {
	first uint64
	shift uint8
}

// Mirror is one address space's. Its methods belong to one goroutine.
//
// Huge pages are in its maps by their addresses with bit 0 set.
type Mirror struct {
	ram   *memory.RAM
	space []byte             // the mirror, its margins, and what aligns it
	zero  int                // where address 0 is in space: at a multiple of Huge for the host
	pages map[uint64]Page    // by address, what is mapped
	wrote map[memory.GPA]int // how often each page of RAM is mapped writable
	large map[block]int      // how many pages are mapped of each leaf that is larger than a page
	maps  int64              // mappings of the host that it may have
}

// hugeBit marks addresses of huge pages.
const hugeBit = 1

// huge is the key of the huge page that an address is in.
func huge[T ~uint64](at T) T { return at&^(Huge-1) | hugeBit }

// Len is the number of pages that are mapped.
func (m *Mirror) Len() int { return len(m.pages) }

// At is what the page at an address is; ok is false if nothing is mapped there.
func (m *Mirror) At(page uint64) (p Page, ok bool) {
	if p, ok = m.pages[page]; !ok {
		if p, ok = m.pages[huge(page)]; ok {
			p.GPA += memory.GPA(page % Huge)
		}
	}
	return p, ok
}

// Pages calls f for each page; those that it returns false for are unmapped: those that lie side by side at once, as each takes the host microseconds.
func (m *Mirror) Pages(f func(page uint64, p Page, huge bool) bool) {
	var gone []uint64
	for at, p := range m.pages {
		if page := at &^ hugeBit; !f(page, p, at&hugeBit != 0) {
			gone = append(gone, page)
		}
	}
	slices.Sort(gone)
	for len(gone) > 0 {
		n := 1
		for n < len(gone) && gone[n] == gone[n-1]+memory.PageSize {
			n++
		}
		m.Unmap(gone[0], gone[n-1])
		gone = gone[n:]
	}
}

// Protect unmaps every page that maps a page of RAM writable.
func (m *Mirror) Protect(gpa memory.GPA) {
	if m.wrote[gpa] != 0 || m.wrote[huge(gpa)] != 0 {
		m.Pages(func(_ uint64, p Page, isHuge bool) bool {
			return !p.Writable || p.GPA != gpa && !(isHuge && huge(p.GPA) == huge(gpa))
		})
	}
}

// note records n pages from page on as mapped, the first of them to p.
func (m *Mirror) note(page uint64, p Page, n int) {
	m.forgetAll(page, page+uint64(n-1)<<memory.PageShift)
	for n > 0 {
		at, gpa, size := page, p.GPA, 1
		if p.isHuge(page, n) {
			at, gpa, size = huge(page), huge(p.GPA), Huge/memory.PageSize
		}
		m.pages[at] = p
		if p.Writable {
			m.wrote[gpa]++
		}
		if p.Shift > memory.PageShift {
			m.large[p.leaf(page)]++
		}
		n -= size
		page += uint64(size) << memory.PageShift
		p.GPA += memory.GPA(size) << memory.PageShift
	}
}

// leaf is the one that maps the page at an address.
func (p Page) leaf(page uint64) block { return block{page >> p.Shift << p.Shift, p.Shift} }

// forget records what is mapped at a key as not mapped, and says whether there was anything.
func (m *Mirror) forget(at uint64) bool {
	p, ok := m.pages[at]
	if !ok {
		return false
	}
	delete(m.pages, at)
	if p.Writable {
		drop(m.wrote, p.GPA|memory.GPA(at&hugeBit))
	}
	if p.Shift > memory.PageShift {
		drop(m.large, p.leaf(at))
	}
	return true
}

// forgetAll forgets the pages from first to last, which cut no huge page in two, and says whether there was any.
func (m *Mirror) forgetAll(first, last uint64) (any bool) {
	if n := (last-first)>>memory.PageShift + 1; n > uint64(len(m.pages)) {
		for at := range m.pages {
			if at >= first && at <= last|hugeBit {
				any = m.forget(at) || any
			}
		}
		return any
	}
	for page := first; page <= last; page += memory.PageSize {
		any = m.forget(page) || any
		if page%Huge == 0 {
			any = m.forget(huge(page)) || any
		}
	}
	return any
}

// drop counts one less.
func drop[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] == 0 {
		delete(counts, k)
	}
}

// InLarge says that pages are mapped by a leaf larger than a page that the page at an address is in.
func (m *Mirror) InLarge(page uint64) bool {
	first, last := m.leaves(page, page)
	return first != last
}

// leaves widens a range of pages to all of the leaves that pages of it are mapped by.
func (m *Mirror) leaves(first, last uint64) (uint64, uint64) {
	lo, hi := first, last
	if len(m.large) == 0 {
		return lo, hi
	}
	for _, shift := range [...]uint8{16, 21, 30} { // NAPOT, 2 MiB, 1 GiB
		for at := first >> shift; at <= last>>shift; at++ {
			if m.large[block{at << shift, shift}] != 0 {
				lo, hi = min(lo, at<<shift), max(hi, (at+1)<<shift-memory.PageSize)
			}
		}
	}
	return lo, hi
}
