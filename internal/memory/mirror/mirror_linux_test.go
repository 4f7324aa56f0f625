package mirror

// A mirror beside a plain list of what each page of it should be.

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
)

const (
	testBase  = 0x8000_0000
	testPages = 1024 // two huge pages
	page      = memory.PageSize
)

func makeMirror(t *testing.T) (*memory.RAM, *Mirror) {
	t.Helper()
	ram, err := memory.NewRAM(testBase, testPages*page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close() })
	m, err := New(ram)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error("closing twice:", err)
		}
	})
	return ram, m
}

// at is the byte of an address, by way of the mirror.
func (m *Mirror) at(va uint64) *byte { return &m.space[uint64(m.zero)+va] }

func TestReachesRAM(t *testing.T) {
	ram, m := makeMirror(t)
	const va = Size - 4*page // as far up as it goes
	if err := m.Map(va, Page{GPA: testBase + 8*page, Writable: true, Shift: memory.PageShift}, 4); err != nil {
		t.Fatal(err)
	}
	if uintptr(unsafe.Pointer(m.at(va))) != m.Base()+va {
		t.Error("Base is not the address of address 0")
	}
	*m.at(va + 3*page + 5) = 7
	if v, _ := ram.Load8(testBase + 11*page + 5); v != 7 {
		t.Errorf("a store through the mirror left %d in RAM", v)
	}
	_ = ram.Store8(testBase+8*page, 9)
	if v := *m.at(va); v != 9 {
		t.Errorf("the mirror shows %d", v)
	}
}

// What RAM gives back to the host is zero in the mirror, at once, in pages and in huge pages; and what comes there anew is the same in both.
func TestReleasedPagesAreZero(t *testing.T) {
	ram, m := makeMirror(t)
	if err := ram.Write(testBase, bytes.Repeat([]byte{0xA5}, testPages*page)); err != nil {
		t.Fatal(err)
	}
	const small, large = 4 * page, 4 * Huge
	if err := m.Map(small, Page{GPA: testBase + 8*page, Shift: memory.PageShift}, 2); err != nil {
		t.Fatal(err)
	}
	if err := m.Map(large, Page{GPA: testBase + Huge, Writable: true, Shift: 21}, Huge/page); err != nil {
		t.Fatal(err)
	}
	for _, va := range []uint64{small, large, large + 7*page} {
		if *m.at(va) != 0xA5 {
			t.Fatalf("%#x is not mapped", va)
		}
	}
	for _, gpa := range []memory.GPA{testBase + 8*page, testBase + Huge + 7*page} {
		if err := ram.Release(gpa, page); err != nil {
			t.Fatal(err)
		}
	}
	for va, want := range map[uint64]byte{small: 0, small + page: 0xA5, large + 6*page: 0xA5, large + 7*page: 0, large + 8*page: 0xA5} {
		if got := *m.at(va); got != want {
			t.Errorf("%#x holds %#x, not %#x", va, got, want)
		}
	}
	*m.at(large + 7*page) = 7
	if v, _ := ram.Load8(testBase + Huge + 7*page); v != 7 {
		t.Errorf("a store through the mirror left %d in RAM", v)
	}
	if err := ram.Release(testBase, ram.Size()); err != nil {
		t.Fatal(err)
	}
	if *m.at(small + page)|*m.at(large)|*m.at(large + 7*page) != 0 {
		t.Error("all of RAM was released, and the mirror has something")
	}
}

func TestMatchesModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	ram, m := makeMirror(t)
	const window = 1 << 30 // where the pages are: two leaves of 2 MiB
	const pages = 1024
	for i := range uint64(testPages) {
		_ = ram.Store64(testBase+memory.GPA(i*page), i)
	}
	model := map[uint64]Page{}
	var seen [2]int // times that there was a huge page, and that there was none
	drop := func(first, last uint64) {
		lo, hi := first, last
		for at, p := range model {
			leaf := at >> p.Shift << p.Shift
			if end := leaf + 1<<p.Shift - page; p.Shift > memory.PageShift && leaf <= last && end >= first {
				lo, hi = min(lo, leaf), max(hi, end)
			}
		}
		for at := range model {
			if at >= lo && at <= hi {
				delete(model, at)
			}
		}
	}
	for range 3000 {
		at := window + r.Uint64N(pages)*page
		n := 1 + r.Uint64N(8)
		switch r.IntN(10) {
		default:
			n = min(n, (window+pages*page-at)/page)
			p := Page{GPA: testBase + memory.GPA(r.Uint64N(testPages-n)*page), Writable: r.IntN(2) == 0, Shift: memory.PageShift}
			switch r.IntN(8) {
			case 0, 1:
				p.Shift = []uint8{16, 21}[r.IntN(2)]
			case 2:
				at, n = window+r.Uint64N(pages*page/Huge)*Huge, Huge/page
				p.GPA, p.Shift = testBase+memory.GPA(r.Uint64N(testPages*page/Huge)*Huge), []uint8{21, 30}[r.IntN(2)]
			}
			// What is replaced of a huge page goes with the rest of it.
			for _, end := range []uint64{at, at + (n-1)*page} {
				if _, ok := m.pages[huge(end)]; ok {
					drop(end, end)
				}
			}
			if err := m.Map(at, p, int(n)); err != nil {
				t.Fatal(err)
			}
			for range n {
				model[at] = p
				at, p.GPA = at+page, p.GPA+page
			}
		case 0, 1:
			m.Unmap(at, at+(n-1)*page)
			drop(at, at+(n-1)*page)
		case 2:
			gpa := testBase + memory.GPA(r.Uint64N(testPages)*page)
			m.Protect(gpa)
			for at, p := range model {
				if p.Writable && p.GPA == gpa {
					// Whatever else its leaf maps may go, too: here it does.
					drop(at, at)
				}
			}
		case 3:
			var gone []uint64
			m.Pages(func(page uint64, _ Page, _ bool) bool {
				if keep := page-at >= 4*n*memory.PageSize; keep || r.IntN(8) == 0 {
					return true
				}
				gone = append(gone, page)
				return false
			})
			for _, page := range gone {
				drop(page, page)
			}
		case 4:
			if r.IntN(20) == 0 {
				m.Clear()
				clear(model)
			}
		}
		small := m.Len()
		for at := range uint64(pages * page / Huge) {
			if _, ok := m.pages[huge(window+at*Huge)]; ok {
				small += Huge/page - 1
				seen[0]++
			} else {
				seen[1]++
			}
		}
		if small != len(model) {
			t.Fatalf("%d pages are mapped, not %d", small, len(model))
		}
		for at, p := range model {
			if got, ok := m.At(at); !ok || got != p {
				t.Fatalf("page %#x is %+v, not %+v", at, got, p)
			}
			if v := *(*uint64)(unsafe.Pointer(m.at(at))); v != uint64(p.GPA-testBase)/page {
				t.Fatalf("page %#x shows page %d of RAM, not %d", at, v, uint64(p.GPA-testBase)/page)
			}
		}
	}
	if seen[0] < 100 || seen[1] < 100 {
		t.Errorf("a huge page was there %d times, and was not %d times", seen[0], seen[1])
	}
}

// A huge page of the guest's that is mapped at once is one page, and the host's processor is told of one where the host has RAM in huge pages.
func TestHuge(t *testing.T) {
	ram, m := makeMirror(t)
	if m.Base()%Huge != 0 {
		t.Errorf("address 0 is at %#x", m.Base())
	}
	const va, last = 4 * Huge, Huge - page
	if err := m.Map(va, Page{GPA: testBase + Huge, Writable: true, Shift: 21}, Huge/page); err != nil {
		t.Fatal(err)
	}
	if m.Len() != 1 {
		t.Errorf("%d pages are mapped", m.Len())
	}
	*m.at(va + last) = 7
	if v, _ := ram.Load8(testBase + Huge + last); v != 7 {
		t.Errorf("a store through the mirror left %d in RAM", v)
	}
	want := Page{GPA: testBase + Huge + last, Writable: true, Shift: 21}
	if p, ok := m.At(va + last); !ok || p != want {
		t.Errorf("its last page is %+v, not %+v", p, want)
	}
	m.Protect(testBase + last)
	if m.Len() != 1 {
		t.Error("it went with another page of RAM")
	}
	m.Protect(testBase + Huge + last)
	if m.Len() != 0 {
		t.Error("it stayed when one of its pages was to be protected")
	}
}

// Nothing but pages that are mapped is ever unmapped, whatever it is asked for.
func TestUnmapOutside(t *testing.T) {
	_, m := makeMirror(t)
	if err := m.Map(0, Page{GPA: testBase, Shift: memory.PageShift}, 1); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]uint64{{Size, Size + page}, {1 << 63, 1<<63 + page}, {page, Size - page}, {page, 1 << 50}} {
		m.Unmap(r[0], r[1])
	}
	if m.Len() != 1 {
		t.Error("the page at 0 is gone")
	}
	if m.Unmap(0, 1<<50); m.Len() != 0 {
		t.Errorf("%d pages are left", m.Len())
	}
}

func TestFull(t *testing.T) {
	_, m := makeMirror(t)
	mappings.Add(maxMappings())
	err := m.Map(0, Page{GPA: testBase, Shift: memory.PageShift}, 1)
	mappings.Add(-maxMappings())
	if !errors.Is(err, ErrFull) {
		t.Errorf("error %v", err)
	}
	for i := range uint64(100) {
		if err := m.Map(i*2*page, Page{GPA: testBase, Shift: memory.PageShift}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if m.Clear(); mappings.Load() != 0 {
		t.Errorf("%d mappings are left", mappings.Load())
	}
}

// Every second page that goes leaves holes, and each is a mapping of the host's.
func TestHolesCount(t *testing.T) {
	_, m := makeMirror(t)
	before := hostMappings(t, m.space)
	for i := range uint64(20) {
		at := i * 16 * page
		if err := m.Map(at, Page{GPA: testBase, Writable: true, Shift: memory.PageShift}, 16); err != nil {
			t.Fatal(err)
		}
		for k := uint64(1); k < 16; k += 2 {
			m.Unmap(at+k*page, at+k*page)
		}
	}
	if n := hostMappings(t, m.space) - before; n < 300 || n > m.maps {
		t.Errorf("%d mappings more, and %d are counted", n, m.maps)
	}
}

// hostMappings is how many of the host's mappings have a part of b in them. What the rest of the process maps meanwhile, such as
// stacks of the Go runtime's threads, does not count.
func hostMappings(t *testing.T, b []byte) (n int64) {
	t.Helper()
	first := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	end := first + uintptr(len(b))
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(maps) {
		var from, to uintptr
		if _, err := fmt.Sscanf(string(line), "%x-%x", &from, &to); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if from < end && to > first {
			n++
		}
	}
	return n
}
