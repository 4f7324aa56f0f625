package code

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const testRegion = 64 << 10

func makeArena(tb testing.TB, size, regionSize int) *Arena {
	tb.Helper()
	a, err := New(size, regionSize)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
		if err := a.Close(); err != nil {
			tb.Error("closing twice:", err)
		}
	})
	return a
}

func mustOpen(tb testing.TB, a *Arena) *Region {
	tb.Helper()
	r, err := a.Open()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func mustAlloc(tb testing.TB, r *Region, n int) Block {
	tb.Helper()
	b, ok := r.Alloc(n)
	if !ok {
		tb.Fatalf("no room for %d bytes: %d left", n, r.Room())
	}
	return b
}

// install puts code into a region and returns its address.
func install(tb testing.TB, r *Region, code ...byte) Addr {
	tb.Helper()
	b := mustAlloc(tb, r, len(code))
	copy(b.Bytes, code)
	return b.Addr
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestNewRefusesOddSizes(t *testing.T) {
	for _, s := range []struct{ size, region int }{
		{0, 4096}, {4096, 0}, {-4096, 4096}, {8192, 2048}, {3 * 4096, 3 * 4096}, {4096, 8192}, {5 * 4096, 8192}, {MaxSize + 4096, 4096}, {1 << 20, -4096},
	} {
		if a, err := New(s.size, s.region); err == nil {
			t.Errorf("New(%d, %d) works", s.size, s.region)
			a.Close()
		} else if errors.Is(err, ErrForbidden) {
			t.Errorf("New(%d, %d): %v: blames the host", s.size, s.region, err)
		}
	}
	makeArena(t, 3*4096, 4096)  // sizes need not be powers of two
	makeArena(t, MaxSize, 4096) // nothing is committed before it is used
}

func TestRegionsDoNotOverlapAndAreBounded(t *testing.T) {
	const n = 5
	a := makeArena(t, n*testRegion, testRegion)
	seen := map[Addr]bool{}
	for range n {
		r := mustOpen(t, a)
		if r.Size() != testRegion || (r.Base()-a.Base())%testRegion != 0 || r.Base() < a.Base() || seen[r.Base()] {
			t.Errorf("region of %d bytes at %#x of %#x", r.Size(), r.Base(), a.Base())
		}
		seen[r.Base()] = true
	}
	if r, err := a.Open(); !errors.Is(err, ErrFull) {
		t.Errorf("a sixth region of five: %v, %v", r, err)
	}
	if a.Oldest() != nil {
		t.Error("an open region is offered for eviction")
	}
}

func TestAlloc(t *testing.T) {
	a := makeArena(t, 4096, 4096)
	r := mustOpen(t, a)
	if r.Room() != 4096 {
		t.Errorf("room of an empty region: %d", r.Room())
	}
	first := mustAlloc(t, r, 5)
	second := mustAlloc(t, r, 17)
	if first.Addr != r.Base() || second.Addr != r.Base()+Align || len(first.Bytes) != 5 || len(second.Bytes) != 17 {
		t.Errorf("blocks %#x+%d, %#x+%d in the region at %#x", first.Addr, len(first.Bytes), second.Addr, len(second.Bytes), r.Base())
	}
	if cap(first.Bytes) != 5 {
		t.Error("append to a block would write into its neighbour")
	}
	r.Trim(3)
	if third := mustAlloc(t, r, 0); third.Addr != r.Base()+2*Align {
		t.Errorf("after a trim to 3 of 17 bytes, a block at +%d", third.Addr-r.Base())
	}
	for _, n := range []int{-1, r.Room() + 1, 1 << 62} {
		if _, ok := r.Alloc(n); ok {
			t.Errorf("Alloc(%d) with room for %d", n, r.Room())
		}
	}
	mustAlloc(t, r, r.Room())
	if r.Room() != 0 {
		t.Errorf("room of a full region: %d", r.Room())
	}
	if _, ok := r.Alloc(1); ok {
		t.Error("a full region gives a byte")
	}
	mustPanic(t, "a trim that lengthens", func() { r.Trim(5000) })
}

// Room must never be negative: the last block may end past the last aligned byte.
func TestRoomAtTheUnalignedEnd(t *testing.T) {
	r := mustOpen(t, makeArena(t, 4096, 4096))
	mustAlloc(t, r, 4095)
	if r.Room() != 0 {
		t.Errorf("room: %d", r.Room())
	}
	if _, ok := r.Alloc(0); !ok {
		t.Error("an empty block does not fit an empty rest")
	}
}

func TestUnusedCodeTraps(t *testing.T) {
	a := makeArena(t, 4096, 4096)
	r := mustOpen(t, a)
	all := a.Writable(r.Base(), r.Size())
	poisoned := bytes.Repeat([]byte{0xCC}, r.Size())
	if !bytes.Equal(all, poisoned) {
		t.Error("a fresh region is not poisoned")
	}
	b := mustAlloc(t, r, 100)
	clear(b.Bytes)
	r.Trim(50)
	if !bytes.Equal(all[50:], poisoned[50:]) {
		t.Error("what was trimmed is not poisoned")
	}
	r.Seal()
	r.Free()
	if !bytes.Equal(all, poisoned) {
		t.Error("a freed region is not poisoned")
	}
}

func TestFreeMovesTheGeneration(t *testing.T) {
	a := makeArena(t, 2*4096, 4096)
	first, second := mustOpen(t, a), mustOpen(t, a)
	mustAlloc(t, first, 4096)
	second.Seal()
	first.Seal()
	if a.Oldest() != second {
		t.Error("the oldest is not the one sealed first")
	}
	generation := first.Generation()
	first.Free()
	if first.Generation() != generation+1 || second.Generation() != generation {
		t.Errorf("generations %d and %d after %d", first.Generation(), second.Generation(), generation)
	}
	if a.Oldest() != second {
		t.Error("freeing the youngest changed the oldest")
	}
	again := mustOpen(t, a)
	if again != first || again.Room() != 4096 {
		t.Errorf("the freed region does not come back empty: %p %p, room %d", again, first, again.Room())
	}
	again.Seal()
	second.Free()
	if a.Oldest() != again {
		t.Error("the oldest is not the only one")
	}
	again.Free()
	if a.Oldest() != nil {
		t.Error("an empty arena has an oldest region")
	}
}

func TestOldestIsFirstSealed(t *testing.T) {
	const n = 6
	a := makeArena(t, n*4096, 4096)
	var rs [n]*Region
	for i := range rs {
		rs[i] = mustOpen(t, a)
	}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		rs[i].Seal()
	}
	rs[5].Free() // from the middle
	for _, i := range []int{3, 0, 1, 4, 2} {
		if a.Oldest() != rs[i] {
			t.Fatalf("region %d is not the oldest", i)
		}
		rs[i].Free()
	}
}

func TestRegionStatesAreChecked(t *testing.T) {
	a := makeArena(t, 4096, 4096)
	r := mustOpen(t, a)
	mustPanic(t, "freeing an open region", r.Free)
	r.Seal()
	mustPanic(t, "sealing twice", r.Seal)
	r.Free()
	mustPanic(t, "freeing twice", r.Free)
	mustPanic(t, "sealing a free region", r.Seal)
	mustOpen(t, a) // the lock is free
}

// mappedPages is how many pages of a view this process has mapped: /proc/self/pagemap has a word for each, with bit 63 set if so.
func mappedPages(t *testing.T, view []byte) (n int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := os.Getpagesize()
	words := make([]byte, len(view)/size*8)
	if _, err := f.ReadAt(words, int64(uintptr(unsafe.Pointer(unsafe.SliceData(view))))/int64(size)*8); err != nil {
		t.Fatal(err)
	}
	for ; len(words) > 0; words = words[8:] {
		n += int(words[7] >> 7)
	}
	return n
}

func TestSealLetsGoOfTheWriteView(t *testing.T) {
	a := makeArena(t, 2*testRegion, testRegion)
	mapped := func(r *Region) int {
		a.background.Wait()
		return mappedPages(t, r.mem)
	}
	first, second := mustOpen(t, a), mustOpen(t, a)
	at := install(t, first, 1, 2, 3, 4, 5, 6, 7, 8)
	first.Seal()
	if n := mapped(first); n != 0 {
		t.Errorf("a sealed region has %d pages of its write view", n)
	}
	if mapped(second) == 0 {
		t.Error("an open region has none")
	}
	other := second
	for _, patch := range []func(){
		func() { a.Patch(at, 0x18171615) },
		func() { a.PatchWord(at+2, []byte{0x27, 0x28, 0x29, 0x2A, 0x2B}) },
	} {
		patch()
		if mapped(first) == 0 {
			t.Error("a patch without a page")
		}
		other.Seal()
		if n := mapped(first); n != 0 {
			t.Errorf("%d pages that a patch brought back are still there when another region is sealed", n)
		}
		other.Free()
		other = mustOpen(t, a)
	}
	if got, want := a.Writable(at, 8), []byte{0x15, 0x16, 0x27, 0x28, 0x29, 0x2A, 0x2B, 8}; !bytes.Equal(got, want) {
		t.Errorf("the patched code is % x, want % x", got, want)
	}
	mustPanic(t, "a patch of two words", func() { a.PatchWord(at+4, make([]byte, 5)) })
}

func TestTranslationBetweenViews(t *testing.T) {
	a := makeArena(t, 4*4096, 4096)
	r := mustOpen(t, a)
	b := mustAlloc(t, r, 64)
	copy(b.Bytes, "code")
	// The execute view shows what the write view was given.
	if got := unsafe.Slice(pointer(b.Addr), 4); string(got) != "code" {
		t.Errorf("the execute view holds %q", got)
	}
	if w := a.Writable(b.Addr+1, 3); string(w) != "ode" || cap(w) != 3 || a.Executable(w) != b.Addr+1 {
		t.Errorf("Writable: %q, back at %#x of %#x", w, a.Executable(w), b.Addr)
	}
	if Addr(uintptr(unsafe.Pointer(&b.Bytes[0]))) == b.Addr {
		t.Error("both views are one")
	}
	end := a.Base() + Addr(a.Size())
	for _, c := range []struct {
		at   Addr
		want *Region
	}{
		{r.Base(), r}, {r.Base() + 4095, r}, {a.Base() - 1, nil}, {end, nil}, {0, nil}, {^Addr(0), nil},
	} {
		if got := a.Region(c.at); got != c.want {
			t.Errorf("Region(%#x) = %p, not %p", c.at, got, c.want)
		}
	}
	if got := a.Region(end - 1); got == nil || got.Base() != end-4096 {
		t.Error("the last byte is in no region, or not the last")
	}
	if w := a.Writable(end, 0); len(w) != 0 {
		t.Error("an empty slice at the end has a length")
	}
	mustPanic(t, "writing past the end", func() { a.Writable(end-3, 4) })
	mustPanic(t, "writing before the start", func() { a.Writable(a.Base()-1, 1) })
	mustPanic(t, "writing a negative length", func() { a.Writable(a.Base(), -1) })
	mustPanic(t, "a foreign slice", func() { a.Executable(make([]byte, 8)) })
	mustPanic(t, "a misaligned patch", func() { a.Patch(b.Addr+2, 0) })
	mustPanic(t, "a patch past the end", func() { a.Patch(end, 0) })
}

// mapping is the line of /proc/self/maps for an address.
func mapping(t *testing.T, at uintptr) (protection, name string) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var lo, hi uintptr
		var skip string
		if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &lo, &hi, &protection, &skip, &skip, &skip, &name); err == nil && lo <= at && at < hi {
			return protection, name
		}
	}
	t.Fatalf("nothing is mapped at %#x", at)
	return "", ""
}

func TestViewsAreNeverBoth(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(int, int) (*Arena, error)
		file string
	}{
		{"New", New, "/memfd:vm-code"},
		{"NewForPerf", NewForPerf, "/dev/zero"}, // what perf takes for anonymous
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := c.make(2*MinRegion, MinRegion)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r := mustOpen(t, a)
				at := install(t, r, moveImmediate(7)...)
				r.Seal()
				if got := EnterDetached(at, nil); got != 7 {
					t.Errorf("code returns %d", got)
				}
				w := uintptr(unsafe.Pointer(unsafe.SliceData(a.Writable(at, 1))))
				if p, name := mapping(t, uintptr(at)); p != "r-xs" || name != c.file {
					t.Errorf("the execute view is %s of %s", p, name)
				}
				if p, name := mapping(t, w); p != "rw-s" || name != c.file {
					t.Errorf("the write view is %s of %s", p, name)
				}
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// W^X of code that runs holds even against a bug in this process.
func TestExecuteViewCannotBecomeWritable(t *testing.T) {
	a := makeArena(t, 4096, 4096)
	view := unsafe.Slice(pointer(a.Base()), a.Size())
	if err := unix.Mprotect(view, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("mprotect(PROT_WRITE) of the execute view: %v", err)
	}
	if err := unix.Mprotect(view, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC); !errors.Is(err, unix.EACCES) {
		t.Errorf("mprotect(all) of the execute view: %v", err)
	}
}

// pointer is for tests that look at the execute view, which is no memory of Go's.
func pointer(at Addr) *byte { return *(**byte)(unsafe.Pointer(&at)) }

func BenchmarkAlloc(b *testing.B) {
	a := makeArena(b, testRegion, testRegion)
	r := mustOpen(b, a)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Alloc(64); !ok {
			r.used = 0
		}
	}
}

// The cost of a region's life apart from compiling: poisoning what was used, the barrier, the lists.
func BenchmarkRegionReuse(b *testing.B) {
	a := makeArena(b, testRegion, testRegion)
	b.ReportAllocs()
	for b.Loop() {
		r := mustOpen(b, a)
		mustAlloc(b, r, r.Room())
		r.Seal()
		r.Free()
	}
}

// The first opening, when the host commits the pages: per region of 64 KiB.
func BenchmarkRegionFirstOpen(b *testing.B) {
	const n = 256
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		b.StopTimer()
		a, err := New(n*testRegion, testRegion)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		for j := 0; j < n && i+j < b.N; j++ {
			r := mustOpen(b, a)
			_ = *pointer(r.Base())
		}
		b.StopTimer()
		a.Close()
		b.StartTimer()
	}
}

func BenchmarkPatch(b *testing.B) {
	a := makeArena(b, 4096, 4096)
	b.ReportAllocs()
	var v uint32
	for b.Loop() {
		v++
		a.Patch(a.Base()+64, v)
	}
}

func BenchmarkSerialize(b *testing.B) {
	a := makeArena(b, 4096, 4096)
	b.ReportAllocs()
	for b.Loop() {
		a.Serialize()
	}
}
