package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestCodeMapStates(t *testing.T) {
	r := newTestRAM(t, 16*PageSize)
	c := r.Code()
	page := func(i GPA) GPA { return testBase + i<<PageShift }
	raw := unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(c.bytes))), 16)
	if uintptr(unsafe.Pointer(&raw[0])) != c.Base() {
		t.Error("Base is elsewhere")
	}
	c.Note(page(0), 16*PageSize)
	if c.Changed() != 0 {
		t.Error("a plain page changed")
	}
	c.Watch(page(3) + 17)
	c.Watch(page(4))
	c.Watch(page(15))
	c.Note(page(2), PageSize)
	c.Note(page(5), PageSize)
	if c.Changed() != 0 || raw[3] != CodeWatched {
		t.Errorf("%d changed, byte 3 is %d", c.Changed(), raw[3])
	}
	c.Note(page(4)-1, 0)
	if c.Changed() != 0 {
		t.Error("nothing was written")
	}
	c.Note(page(4)-1, 2) // the end of one and the start of the next
	c.Note(page(4), 1)   // again
	if c.Changed() != 2 || c.State(page(3)) != CodeChanged || raw[4] != CodeChanged {
		t.Errorf("%d changed, states % x", c.Changed(), raw)
	}
	if l := c.TakeChanged(); !slices.Equal(l, []GPA{page(3), page(4)}) || c.Changed() != 0 || c.TakeChanged() != nil {
		t.Errorf("took %x", l)
	}
	if c.State(page(3)) != CodeChanged {
		t.Error("taking the list changed a state")
	}
	c.Clear(page(3))
	c.Watch(page(4))
	if raw[3] != CodeNone || raw[4] != CodeWatched || raw[15] != CodeWatched {
		t.Errorf("states % x", raw)
	}
	c.Note(0, ^uint64(0))
	if l := c.TakeChanged(); !slices.Equal(l, []GPA{page(4), page(15)}) {
		t.Errorf("a note of everything changed %x", l)
	}
}

// AnyAsked says what asking for each page would.
func TestAnyAsked(t *testing.T) {
	const pages = 32
	r := newTestRAM(t, pages*PageSize)
	c := r.Code()
	c.Watch(testBase + 6*PageSize)
	c.Watch(testBase + 7*PageSize)
	c.Watch(testBase + 21*PageSize)
	c.Note(testBase+7*PageSize, 1) // changed, and not watched any more
	for first := range GPA(pages) {
		for n := range GPA(pages) - first {
			want := false
			for i := first; i < first+n; i++ {
				want = want || c.State(testBase+i*PageSize) == CodeWatched
			}
			if c.AnyAsked(testBase+first*PageSize, uint64(n)*PageSize) != want {
				t.Errorf("%d pages from page %d: not %v", n, first, want)
			}
		}
	}
}

func TestCodeMapIgnoresWhatIsNotRAM(t *testing.T) {
	r := newTestRAM(t, 4*PageSize)
	c := r.Code()
	c.Watch(testBase)
	c.Watch(r.End() - 1)
	for _, a := range []GPA{0, testBase - 1, r.End(), r.End() + 5*PageSize, ^GPA(0)} {
		c.Watch(a)
		c.Note(a, 1)
		if c.State(a) != CodeNone {
			t.Errorf("%#x is %d", a, c.State(a))
		}
		c.Clear(a)
	}
	c.Note(^GPA(0), ^uint64(0))
	c.Note(0, uint64(testBase))
	c.Note(r.End(), ^uint64(0))
	if c.Changed() != 0 {
		t.Errorf("%x changed", c.TakeChanged())
	}
}

func TestNoteEqualsModel(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	const pages = 64
	r := newTestRAM(t, pages*PageSize)
	c := r.Code()
	for range 5000 {
		var want []GPA
		a := testBase - 4*PageSize + GPA(g.Uint64N((pages+8)*PageSize))
		n := g.Uint64N(10 * PageSize)
		for i := range GPA(pages) {
			p := testBase + i<<PageShift
			c.Clear(p)
			if g.IntN(8) == 0 {
				c.Watch(p)
				if n > 0 && a < p+PageSize && a+GPA(n) > p {
					want = append(want, p)
				}
			}
		}
		c.Note(a, n)
		if got := c.TakeChanged(); !slices.Equal(got, want) {
			t.Fatalf("note of %#x+%#x: %x, want %x", a, n, got, want)
		}
	}
}

// Whatever of RAM's own methods writes, notes.
func TestRAMNotesItsWrites(t *testing.T) {
	r := newTestRAM(t, 2*PageSize)
	for name, write := range map[string]func(GPA) error{
		"Store8":  func(a GPA) error { return r.Store8(a, 1) },
		"Store16": func(a GPA) error { return r.Store16(a, 1) },
		"Store32": func(a GPA) error { return r.Store32(a, 1) },
		"Store64": func(a GPA) error { return r.Store64(a, 1) },
		"Write":   func(a GPA) error { return r.Write(a, make([]byte, 100)) },
		"CompareAndSwap64": func(a GPA) error {
			v, _ := r.Load64(a)
			_, err := r.CompareAndSwap64(a, v, v+1)
			return err
		},
	} {
		r.Code().Watch(testBase + PageSize)
		if err := write(testBase + PageSize + 8); err != nil {
			t.Fatal(err)
		}
		if l := r.Code().TakeChanged(); !slices.Equal(l, []GPA{testBase + PageSize}) {
			t.Errorf("%s: %x", name, l)
		}
	}
}

// Neighbours share a word of the map: nobody's change may undo another's, and whoever sees a page as changed sees a count.
func TestCodeMapConcurrently(t *testing.T) {
	r := newTestRAM(t, 4*PageSize)
	c := r.Code()
	var wg sync.WaitGroup
	var taken [4]atomic.Uint64
	for i := range GPA(4) {
		wg.Go(func() {
			p := testBase + i<<PageShift
			for range 5000 {
				c.Watch(p)
				if c.State(p) != CodeWatched {
					t.Error("a watched page is not")
				}
				c.Note(p+1, 1)
				if c.State(p) != CodeChanged {
					t.Error("a changed page is not")
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		for _, p := range c.TakeChanged() {
			taken[(p-testBase)>>PageShift].Add(1)
		}
	}
	for i := range taken {
		if n := taken[i].Load(); n != 5000 {
			t.Errorf("page %d changed %d times", i, n)
		}
	}
}

// Either the translator reads what was written, or the writer finds the page watched: the order the map promises, to whoever writes how, when
// writers have a barrier of their own and when they have none.
func TestWatchAgainstNote(t *testing.T) {
	rounds := uint64(20_000)
	if testing.Short() {
		rounds = 2000
	}
	writes := map[string]func(r *RAM, word *uint64, n uint64){
		"Slice and Note": func(r *RAM, word *uint64, n uint64) {
			*word = n // as DMA does: no atomic operation
			r.Code().Note(testBase, 8)
		},
		"Store64": func(r *RAM, _ *uint64, n uint64) { _ = r.Store64(testBase, n) },
		"Write": func(r *RAM, _ *uint64, n uint64) {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], n)
			_ = r.Write(testBase, b[:])
		},
	}
	for name, write := range writes {
		for _, quietly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, quiet %v", name, quietly), func(t *testing.T) {
				if quietly && registerBarriers() != nil {
					t.Skip("this host has no membarrier: writers are never quiet")
				}
				watchAgainst(t, rounds, quietly, write)
			})
		}
	}
}

func watchAgainst(t *testing.T, rounds uint64, quietly bool, write func(*RAM, *uint64, uint64)) {
	r := newTestRAM(t, PageSize)
	c := r.Code()
	mem, err := r.Slice(testBase, 8)
	if err != nil {
		t.Fatal(err)
	}
	word := (*uint64)(unsafe.Pointer(&mem[0]))
	var turn [2]atomic.Uint64
	meet := func(me int, n uint64) {
		turn[me].Store(n)
		for i := 0; turn[1-me].Load() < n; i++ {
			if i > 1000 {
				runtime.Gosched()
			}
		}
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := uint64(1); n <= rounds; n++ {
			meet(0, 3*n)
			write(r, word, n)
			meet(0, 3*n+1)
			meet(0, 3*n+2)
		}
	})
	defer writer.Wait()
	for n := uint64(1); n <= rounds; n++ {
		c.Clear(testBase)
		c.TakeChanged()
		if quietly {
			c.writes.Store(quietAfter)
			c.beQuiet()
			if c.loud.Load() != 0 || (r.detour != 0 || !r.idle) && !raceDetector {
				t.Error("writers are not quiet")
			}
		}
		meet(1, 3*n)
		c.Watch(testBase)
		got := *word
		meet(1, 3*n+1)
		if got != n && c.Changed() == 0 {
			t.Errorf("round %d: read %d, and no change is noted", n, got)
		}
		meet(1, 3*n+2)
	}
}

// Writers turn quiet by themselves, and a page that is watched makes them loud: then all of them have a barrier, wherever they write. RAM is
// idle as long as no page is watched.
func TestQuietAndLoud(t *testing.T) {
	if registerBarriers() != nil {
		t.Skip("this host has no membarrier: writers are never quiet")
	}
	const pages = 5
	r := newTestRAM(t, pages*PageSize)
	c := r.Code()
	quiet := func() {
		t.Helper()
		for c.loud.Load() != 0 {
			if err := r.Store8(testBase, 1); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched() // to who makes it quiet
		}
	}
	barriers := func(want uint32, idle bool) {
		t.Helper()
		c.mu.Lock() // as who makes writers quiet holds it
		before := c.writes.Load()
		if r.idle != (idle && !raceDetector) {
			t.Errorf("RAM is idle: %v", r.idle)
		}
		c.mu.Unlock()
		for i := range GPA(pages) {
			if err := errors.Join(r.Store8(testBase+i*PageSize, 1), r.Write(testBase+i*PageSize, []byte{1, 2})); err != nil {
				t.Fatal(err)
			}
		}
		if n := c.writes.Load() - before; n != want {
			t.Errorf("%d of %d writes had a barrier, not %d", n, 2*pages, want)
		}
	}
	barriers(2*pages, false)
	quiet()
	barriers(0, true)
	c.Watch(testBase + PageSize)
	c.Watch(testBase + 2*PageSize)
	if c.loud.Load() == 0 {
		t.Error("a page is watched, and writers are quiet")
	}
	c.Clear(testBase + PageSize)
	c.Clear(testBase + 2*PageSize)
	barriers(2*pages, false)
	quiet()
	barriers(0, true)
	c.Watch(testBase + PageSize)
	quiet()
	if err := r.Store64(testBase+PageSize-4, 1); err != nil || c.Changed() != 1 { // the end of one and the start of the next
		t.Errorf("a quiet store into a watched page: %v, %d changed", err, c.Changed())
	}
	barriers(0, false)
}

// What quiet writers store to watched pages is noted, and nothing else is, wherever it ends.
func TestQuietWritesEqualModel(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 8))
	const pages = 9
	if registerBarriers() != nil {
		t.Skip("this host has no membarrier: writers are never quiet")
	}
	r := newTestRAM(t, pages*PageSize)
	c := r.Code()
	b := make([]byte, 4*PageSize)
	for range 3000 {
		asked := g.Uint64N(1<<pages) & g.Uint64()
		for i := range GPA(pages) {
			if p := testBase + i*PageSize; asked>>i&1 != 0 {
				c.Watch(p)
			} else {
				c.Clear(p)
			}
		}
		c.writes.Store(quietAfter)
		c.beQuiet()
		a := testBase + GPA(g.Uint64N(pages))*PageSize + GPA(g.Uint64N(24)) - 12 // about a page's end, before and past all of them too
		n := 1 << g.IntN(4)
		var err error
		switch v := g.Uint64(); g.IntN(6) {
		case 0:
			n, err = 1, r.Store8(a, uint8(v))
		case 1:
			n, err = 2, r.Store16(a, uint16(v))
		case 2:
			n, err = 4, r.Store32(a, uint32(v))
		case 3:
			n, err = 8, r.Store64(a, v)
		case 4:
			n = g.IntN(24)
			err = r.Write(a, b[:n])
		case 5:
			n = PageSize - 12 + g.IntN(3*PageSize)
			err = r.Write(a, b[:n])
		}
		if inside := r.Contains(a, uint64(n)); (err == nil) != inside {
			t.Fatalf("%d bytes at %#x: %v", n, a, err)
		}
		var want []GPA
		for i := range GPA(pages) {
			p := testBase + i*PageSize
			if err == nil && n > 0 && asked>>i&1 != 0 && a < p+PageSize && a+GPA(n) > p {
				want = append(want, p)
			}
		}
		if got := c.TakeChanged(); !slices.Equal(got, want) {
			t.Fatalf("%d bytes at %#x, pages %b are watched: %x, want %x", n, a, asked, got, want)
		}
	}
}

func BenchmarkNote(b *testing.B) {
	const size = 1 << 30
	r := newTestRAM(b, size)
	for name, n := range map[string]uint64{"a byte": 1, "a page": PageSize, "64 KiB": 64 << 10, "all of 1 GiB": size} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Code().Note(testBase, n)
			}
		})
	}
	b.Run("a byte, if watched", func(b *testing.B) {
		for b.Loop() {
			if r.Code().State(testBase) == CodeWatched {
				r.Code().Note(testBase, 1)
			}
		}
	})
}
