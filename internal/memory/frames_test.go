package memory

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// fill makes every byte of RAM not zero.
func fill(t testing.TB, r *RAM) {
	t.Helper()
	if err := r.Write(r.Base(), bytes.Repeat([]byte{0xA5}, int(r.Size()))); err != nil {
		t.Fatal(err)
	}
}

// zero says that a page is.
func zero(t testing.TB, r *RAM, page uint64) bool {
	t.Helper()
	var p [PageSize]byte
	if err := r.Read(r.Base()+GPA(page<<PageShift), p[:]); err != nil {
		t.Fatal(err)
	}
	return p == [PageSize]byte{}
}

// anonymous is RAM on a host where it is no file.
func anonymous(t testing.TB, size uint64) *RAM {
	t.Helper()
	r := newTestRAM(t, size)
	mem, err := mapMemory(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unmapMemory(mem) })
	return &RAM{base: r.base, mem: mem, fd: -1}
}

// Gives, takes and releases as a model has them: which frames are given and how many, and that released memory is zero and no other.
func TestFramesEqualModel(t *testing.T) {
	const pages = 3*64 + 5
	r := newTestRAM(t, pages*PageSize)
	f := NewFrames(r)
	g := rand.New(rand.NewPCG(5, 5))
	var given, released [pages]bool
	for range 300 {
		fill(t, r)
		for range g.IntN(2 * pages) {
			first, n := g.Uint64N(pages), g.Uint64N(20)
			give := g.IntN(3) != 0
			for p := first; p < min(first+n, pages); p++ {
				a := testBase + GPA(p<<PageShift) + GPA(g.Uint64N(PageSize))
				if give && f.Give(a) == given[p] || !give && f.Take(a) != given[p] {
					t.Fatalf("frame %d is given: %v, and an answer says otherwise", p, given[p])
				}
				released[p] = give && (released[p] || !given[p])
				given[p] = give
			}
		}
		if g.IntN(10) == 0 {
			f.Reset()
			given, released = [pages]bool{}, [pages]bool{}
		}
		count := uint64(0)
		for _, is := range given {
			if is {
				count++
			}
		}
		if f.Count() != count {
			t.Fatalf("%d frames are given, not %d", f.Count(), count)
		}
		if err := f.Release(); err != nil {
			t.Fatal(err)
		}
		for p := range uint64(pages) {
			if zero(t, r, p) != released[p] {
				t.Fatalf("page %d is zero: %v", p, !released[p])
			}
		}
		released = [pages]bool{}
	}
}

func TestFramesOutsideOfRAM(t *testing.T) {
	r := newTestRAM(t, 3*PageSize)
	f := NewFrames(r)
	for _, a := range []GPA{0, testBase - 1, r.End(), r.End() + 61*PageSize, 1 << 40, ^GPA(0)} {
		if f.Give(a) || f.Take(a) || f.Count() != 0 {
			t.Errorf("the frame at %#x, which is none, is given", uint64(a))
		}
	}
	if err := f.Release(); err != nil {
		t.Error(err)
	}
}

// What is released is zero, costs the host nothing, and is not what is next to it.
func TestRelease(t *testing.T) {
	const size = 8 << 20
	for name, r := range map[string]*RAM{"a file": newTestRAM(t, size), "anonymous": anonymous(t, size)} {
		t.Run(name, func(t *testing.T) {
			for i := range r.mem {
				r.mem[i] = 0xA5
			}
			before := resident(t, r)
			const from, n = 1 << 20, 5<<20 + PageSize // parts of huge pages at both ends
			if err := r.Release(testBase+from, n); err != nil {
				t.Fatal(err)
			}
			if after := resident(t, r); before == size && after != size-n && after != r.Size() { // as large where nothing is told
				t.Errorf("%d bytes of %d are resident, after %d of them were released", after, before, n)
			}
			for i, b := range r.mem {
				if in := i >= from && i < from+n; in != (b == 0) {
					t.Fatalf("byte %#x is %#x", i, b)
				}
			}
		})
	}
}

func TestReleaseRefuses(t *testing.T) {
	r := newTestRAM(t, 4*PageSize)
	fill(t, r)
	var outside *RangeError
	for _, c := range []struct {
		a GPA
		n uint64
	}{{testBase - PageSize, PageSize}, {testBase, 5 * PageSize}, {r.End(), PageSize}, {testBase + PageSize, ^uint64(PageMask)}} {
		if err := r.Release(c.a, c.n); !errors.As(err, &outside) {
			t.Errorf("%#x+%#x: %v", uint64(c.a), c.n, err)
		}
	}
	if r.Release(testBase+1, PageSize) == nil || r.Release(testBase, PageSize-1) == nil {
		t.Error("a part of a page is released")
	}
	r.huge = huge2M
	if err := r.Release(testBase, PageSize); !errors.Is(err, ErrNotReleasable) {
		t.Errorf("of the host's pool: %v", err)
	}
	r.huge = 0
	if err := r.Release(r.End(), 0); err != nil {
		t.Error("nothing at the end:", err)
	}
	for p := range uint64(4) {
		if zero(t, r, p) {
			t.Errorf("page %d is gone", p)
		}
	}
}

// A translator and a log of written pages hear of what is released, as of what is stored.
func TestReleasedPagesAreWritten(t *testing.T) {
	const pages = 8
	r := newTestRAM(t, pages*PageSize)
	fill(t, r)
	f := NewFrames(r)
	log := trackDirty(t, r, nothing)
	for p := range GPA(pages) {
		r.Code().Watch(testBase + p*PageSize)
	}
	for _, p := range []GPA{1, 2, 5} {
		f.Give(testBase + p*PageSize)
	}
	if r.Code().Changed() != 0 || log.Take(nil).Count() != 0 {
		t.Error("pages that are to be released count as written")
	}
	if err := f.Release(); err != nil {
		t.Fatal(err)
	}
	want := []GPA{testBase + PageSize, testBase + 2*PageSize, testBase + 5*PageSize}
	if got := r.Code().TakeChanged(); !slices.Equal(got, want) {
		t.Errorf("changed: %x", got)
	}
	dirty := log.Take(nil)
	if dirty.Count() != 3 || !dirty.Has(1) || !dirty.Has(2) || !dirty.Has(5) {
		t.Errorf("written: %b", dirty)
	}
}

// A guest writes to what it gives away as the host takes it: each word is what was written or zero, and nothing worse comes of it.
func TestReleaseAgainstWriters(t *testing.T) {
	const pages = 64
	r := newTestRAM(t, pages*PageSize)
	f := NewFrames(r)
	var over atomic.Bool
	var writers sync.WaitGroup
	for w := range GPA(2) {
		writers.Go(func() {
			at := testBase + 8*w
			for n := uint64(1); !over.Load(); n++ {
				a := at + GPA(n%pages)*PageSize
				if err := r.Store64(a, n); err != nil {
					t.Error(err)
				}
				if v, _ := r.Load64(a); v != 0 && v != n {
					t.Errorf("%d was written, and there is %d", n, v)
				}
			}
		})
	}
	for range 200 {
		for p := range GPA(pages) {
			f.Give(testBase + p*PageSize)
		}
		if err := f.Release(); err != nil {
			t.Error(err)
		}
		f.Reset()
	}
	over.Store(true)
	writers.Wait()
}

func TestFramesMakeNoGarbage(t *testing.T) {
	r := newTestRAM(t, 64*PageSize)
	f := NewFrames(r)
	if n := testing.AllocsPerRun(20, func() {
		for p := range GPA(64) {
			f.Give(testBase + p*PageSize)
		}
		_ = f.Release()
		f.Take(testBase)
		f.Reset()
	}); n != 0 && !framesChecked {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFrames takes one of 64 frames back and gives another one.
func BenchmarkFrames(b *testing.B) {
	const frames, out = 1 << 18, 64
	r := newTestRAM(b, frames*PageSize)
	f := NewFrames(r)
	for i := range GPA(out) {
		f.Give(testBase + i*PageSize)
	}
	b.ReportAllocs()
	i := GPA(0)
	for b.Loop() {
		f.Take(testBase + i%frames*PageSize)
		f.Give(testBase + (i+out)%frames*PageSize)
		i++
	}
	if f.Count() != out {
		b.Errorf("%d frames are given", f.Count())
	}
}

func BenchmarkRelease(b *testing.B) {
	r := newTestRAM(b, 64<<20)
	for b.Loop() {
		_ = r.Store8(testBase, 1)
		if err := r.Release(testBase, huge2M); err != nil {
			b.Fatal(err)
		}
	}
}
