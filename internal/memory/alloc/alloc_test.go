package alloc

import (
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

type object struct {
	n    int
	list []int
	next *object
}

func TestPoolReusesWhatIsBack(t *testing.T) {
	var p Pool[object]
	out := map[*object]bool{}
	for range 10 * (quarantine + 1) {
		x := p.Get()
		if out[x] {
			t.Fatal("an object is in two hands")
		}
		out[x] = true
	}
	for x := range out {
		p.Put(x)
	}
	fresh := 0
	for range 9 * (quarantine + 1) {
		if x := p.Get(); !out[x] {
			fresh++
		}
	}
	if fresh != 0 {
		t.Errorf("%d new objects, though there were enough", fresh)
	}
}

func TestPoolKeepsWhatObjectsHold(t *testing.T) {
	if quarantine > 0 {
		t.Skip("a debug build makes them nonsense")
	}
	var p Pool[object]
	x := p.Get()
	x.list = make([]int, 0, 100)
	p.Put(x)
	if y := p.Get(); y != x || cap(y.list) != 100 {
		t.Error("its slice has lost its room")
	}
}

func TestArenaHandsOutZeroes(t *testing.T) {
	var a Arena[object]
	for round, n := range []int{1, 5000, 3, 20000, 0, 7} {
		seen := map[*object]bool{}
		for i := range n {
			x := a.New()
			if seen[x] || x.n != 0 || x.list != nil || x.next != nil {
				t.Fatalf("round %d: object %d is one of before, or not zero: %+v", round, i, *x)
			}
			seen[x] = true
			*x = object{i + 1, []int{i}, x}
		}
		a.Reset()
	}
	for _, chunk := range a.chunks {
		if slices.ContainsFunc(chunk, func(x object) bool { return x.next != nil }) {
			t.Fatal("an arena without objects holds on to something")
		}
	}
}

func TestArenaKeepsNoMore(t *testing.T) {
	a := Arena[object]{Keep: 3 * chunkBytes}
	for range 100_000 {
		a.New()
	}
	a.Reset()
	if len(a.chunks) > 3 {
		t.Errorf("%d chunks are kept", len(a.chunks))
	}
}

// The compiler says so where there is an arena of some type: here.
func TestNewIsInlined(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command here to ask:", err)
	}
	out, err := exec.Command(tool, "test", "-c", "-o", t.TempDir(), "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !regexp.MustCompile(`(?m)can inline \(\*Arena\[go\.shape\..*\]\)\.New$`).Match(out) {
		t.Error("the compiler does not say that New is put in line")
	}
}

func TestNoGarbage(t *testing.T) {
	if quarantine > 0 {
		t.Skip("a debug build makes some")
	}
	var p Pool[object]
	var a Arena[object]
	if n := testing.AllocsPerRun(100, func() {
		x, y := p.Get(), p.Get()
		p.Put(x)
		p.Put(y)
		for range 3000 {
			a.New()
		}
		a.Reset()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink *object

func BenchmarkPool(b *testing.B) {
	var p Pool[object]
	b.ReportAllocs()
	for b.Loop() {
		x := p.Get()
		sink = x
		p.Put(x)
	}
}

// BenchmarkArena is an object's part of a thousand, and of their end.
func BenchmarkArena(b *testing.B) {
	var a Arena[object]
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		sink = a.New()
		if i++; i == 1000 {
			a.Reset()
			i = 0
		}
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		sink = new(object)
	}
}
