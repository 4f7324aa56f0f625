package memory

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func nothing() {}

func trackDirty(t testing.TB, r *RAM, unstore func()) *DirtyLog {
	t.Helper()
	d, err := r.TrackDirty(unstore)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Each way of writing by RAM's methods, and a note of what was written through Slice, makes its pages dirty, and no others.
func TestDirtyLogEqualsModel(t *testing.T) {
	const pages = 70 // a word of the bitmap and a bit
	r := newTestRAM(t, pages*PageSize)
	d := trackDirty(t, r, nothing)
	g := rand.New(rand.NewPCG(9, 10))
	ways := []func(a GPA, n uint64) uint64{
		func(a GPA, _ uint64) uint64 { _ = r.Store8(a, 1); return 1 },
		func(a GPA, _ uint64) uint64 { _ = r.Store16(a, 1); return 2 },
		func(a GPA, _ uint64) uint64 { _ = r.Store32(a, 1); return 4 },
		func(a GPA, _ uint64) uint64 { _ = r.Store64(a, 1); return 8 },
		func(a GPA, n uint64) uint64 { _ = r.Write(a, make([]byte, n)); return n },
		func(a GPA, n uint64) uint64 { r.Code().Note(a, n); return n },
	}
	var got Bitmap
	for range 2000 {
		var want [pages]bool
		for range g.IntN(4) {
			off, n := g.Uint64N(pages*PageSize-3*PageSize), g.Uint64N(3*PageSize)
			if n = ways[g.IntN(len(ways))](testBase+GPA(off), n); n == 0 {
				continue
			}
			for p := off >> PageShift; p <= (off+n-1)>>PageShift; p++ {
				want[p] = true
			}
		}
		r.Code().Watch(testBase + GPA(g.Uint64N(pages))<<PageShift) // a translator has nothing to do with it
		got = d.Take(got)
		for p, w := range want {
			if got.Has(uint64(p)) != w {
				t.Fatalf("page %d is dirty %v, want %v", p, !w, w)
			}
		}
	}
	if _, err := r.CompareAndSwap64(testBase+8, 0, 0); err != nil {
		t.Fatal(err)
	}
	if v, _ := r.Load64(testBase); v != 0 {
		_, _ = r.CompareAndSwap64(testBase, v, v+1)
	} else if ok, _ := r.CompareAndSwap64(testBase, 0, 1); !ok {
		t.Fatal("no swap")
	}
	if got = d.Take(got); !got.Has(0) || got.Count() != 1 {
		t.Errorf("after a swap %d pages are dirty", got.Count())
	}
}

func TestDirtyLogBeginsAndEnds(t *testing.T) {
	r := newTestRAM(t, 4*PageSize)
	unstored := 0
	d := trackDirty(t, r, func() { unstored++ })
	if unstored != 1 {
		t.Errorf("harts lost their fast paths %d times as the log began", unstored)
	}
	if _, err := r.TrackDirty(nothing); err == nil {
		t.Error("two logs at a time")
	}
	if d.Take(nil); unstored != 1 {
		t.Error("harts lost their fast paths for nothing")
	}
	_ = r.Store8(testBase, 1)
	if b := d.Take(nil); b.Count() != 1 || unstored != 2 {
		t.Errorf("%d pages, %d times", b.Count(), unstored)
	}
	if !r.Code().Asked(testBase) || r.Code().State(testBase) != CodeNone {
		t.Error("a clean page is not asked for, or has code")
	}
	_ = r.Store8(testBase, 1)
	d.Stop()
	d.Stop()
	if r.Code().AnyAsked(testBase, 4*PageSize) || d.Take(nil).Count() != 0 {
		t.Error("a log that has ended goes on")
	}
	trackDirty(t, r, nothing).Stop()
}

// Writers and a log at the same time: when it is over, every page has been in the log after its last write, so that who copied the pages of each log
// as it was taken has a copy of memory.
func TestDirtyLogAgainstWriters(t *testing.T) {
	const pages = 8
	r := newTestRAM(t, pages*PageSize)
	d := trackDirty(t, r, nothing)
	rounds := 20_000
	if testing.Short() {
		rounds = 2000
	}
	var writers sync.WaitGroup
	var over atomic.Bool
	for w := range GPA(2) {
		writers.Go(func() {
			for n := range rounds {
				// Each has its own words, on pages of both.
				if err := r.Store64(testBase+GPA(n%pages)*PageSize+8*w, uint64(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() { writers.Wait(); over.Store(true) }()
	var dirty Bitmap
	var copied [pages][2]uint64
	for last := false; !last; runtime.Gosched() {
		last = over.Load() // and once more
		dirty = d.Take(dirty)
		for p := range GPA(pages) {
			if dirty.Has(uint64(p)) {
				for w := range GPA(2) {
					copied[p][w], _ = r.Load64(testBase + p*PageSize + 8*w)
				}
			}
		}
	}
	for p := range GPA(pages) {
		for w := range GPA(2) {
			if v, _ := r.Load64(testBase + p*PageSize + 8*w); v != copied[p][w] {
				t.Errorf("page %d, word %d is %d, and the copy has %d", p, w, v, copied[p][w])
			}
		}
	}
}

func BenchmarkTakeDirty(b *testing.B) {
	r := newTestRAM(b, 1<<30)
	d := trackDirty(b, r, nothing)
	bitmap := d.Take(nil)
	b.Run("none of 1 GiB", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bitmap = d.Take(bitmap)
		}
	})
}
