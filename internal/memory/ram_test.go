package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"
)

const testBase = GPA(0x8000_0000)

func newTestRAM(t testing.TB, size uint64) *RAM {
	t.Helper()
	r, err := NewRAM(testBase, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestNewRAMRefusesWhatIsNotPages(t *testing.T) {
	for _, c := range []struct {
		base GPA
		size uint64
	}{{testBase, 0}, {testBase, 100}, {testBase + 1, PageSize}, {testBase, PageSize + 1}} {
		if r, err := NewRAM(c.base, c.size); err == nil {
			r.Close()
			t.Errorf("%#x bytes at %#x were accepted", c.size, c.base)
		}
	}
	if r, err := NewRAM(testBase, 1<<60); err == nil {
		r.Close()
		t.Error("2^60 bytes were accepted")
	}
}

// Every access is checked at both ends and against wrap-around.
func TestBounds(t *testing.T) {
	const size = 2 * PageSize
	r := newTestRAM(t, size)
	access := map[string]func(GPA, uint64) error{
		"Contains": func(a GPA, n uint64) error {
			if !r.Contains(a, n) {
				return &RangeError{a, n}
			}
			return nil
		},
		"Slice": func(a GPA, n uint64) error { _, err := r.Slice(a, n); return err },
		"Load": func(a GPA, n uint64) (err error) {
			switch n {
			case 1:
				_, err = r.Load8(a)
			case 2:
				_, err = r.Load16(a)
			case 4:
				_, err = r.Load32(a)
			case 8:
				_, err = r.Load64(a)
			}
			return err
		},
		"Store": func(a GPA, n uint64) (err error) {
			switch n {
			case 1:
				err = r.Store8(a, 0)
			case 2:
				err = r.Store16(a, 0)
			case 4:
				err = r.Store32(a, 0)
			case 8:
				err = r.Store64(a, 0)
			}
			return err
		},
		"Read":  func(a GPA, n uint64) error { return r.Read(a, make([]byte, n)) },
		"Write": func(a GPA, n uint64) error { return r.Write(a, make([]byte, n)) },
	}
	for name, f := range access {
		for _, n := range []uint64{1, 2, 4, 8} {
			end := testBase + size
			for a, inside := range map[GPA]bool{
				testBase: true, testBase + 1: true, end - GPA(n): true,
				testBase - 1: false, end - GPA(n) + 1: false, end: false, 0: false,
				math.MaxUint64: false, math.MaxUint64 - GPA(n) + 1: false,
			} {
				err := f(a, n)
				if (err == nil) != inside {
					t.Errorf("%s of %d bytes at %#x: %v, inside %v", name, n, a, err, inside)
				}
				if rerr := new(RangeError); err != nil && (!errors.As(err, &rerr) || rerr.Addr != a || rerr.Len != n) {
					t.Errorf("%s of %d bytes at %#x: error %v", name, n, a, err)
				}
			}
		}
	}
	if r.Contains(testBase, math.MaxUint64) || !r.Contains(testBase+size, 0) || r.Contains(testBase+size+1, 0) {
		t.Error("Contains is wrong about lengths at the edges")
	}
}

func TestAccessorsAreLittleEndian(t *testing.T) {
	r := newTestRAM(t, PageSize)
	for off := GPA(0); off < 8; off++ { // aligned and not
		a := testBase + 64 + off
		if err := r.Store64(a, 0x0807060504030201); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8)
		if err := r.Read(a, b); err != nil || !bytes.Equal(b, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Fatalf("bytes % x, %v", b, err)
		}
		v8, _ := r.Load8(a)
		v16, _ := r.Load16(a)
		v32, _ := r.Load32(a)
		v64, _ := r.Load64(a)
		if v8 != 1 || v16 != 0x0201 || v32 != 0x04030201 || v64 != 0x0807060504030201 {
			t.Errorf("at +%d: %#x %#x %#x %#x", off, v8, v16, v32, v64)
		}
	}
}

func TestSliceIsAView(t *testing.T) {
	r := newTestRAM(t, PageSize)
	s, err := r.Slice(testBase+8, 4)
	if err != nil {
		t.Fatal(err)
	}
	s[1] = 0xaa
	if v, _ := r.Load32(testBase + 8); v != 0xaa00 {
		t.Errorf("%#x", v)
	}
	if cap(s) != 4 {
		t.Errorf("the view can grow to %d bytes", cap(s))
	}
}

func TestCompareAndSwap(t *testing.T) {
	r := newTestRAM(t, PageSize)
	if ok, err := r.CompareAndSwap64(testBase, 0, 7); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := r.CompareAndSwap64(testBase, 0, 8); ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := r.CompareAndSwap64(testBase+4, 0, 8); err == nil {
		t.Error("a misaligned one was accepted")
	}
	if v, _ := r.Load64(testBase); v != 7 {
		t.Error(v)
	}
}

// The accessors are as long as the compiler puts in line, and not a node longer: it says so.
func TestAccessorsAreInlined(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command here to ask:", err)
	}
	out, err := exec.Command(tool, "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, what := range []string{"Load8", "Load16", "Load32", "Load64", "Store8", "Store16", "Store32", "Store64", "Read", "Write"} {
		if want := fmt.Sprintf("can inline (*RAM).%s\n", what); !bytes.Contains(out, []byte(want)) {
			t.Errorf("the compiler does not say: %s", want)
		}
	}
}

var sink uint64

func BenchmarkRAM(b *testing.B) {
	r := newTestRAM(b, 1<<20)
	const mask = 1<<20 - 1
	for _, c := range []struct {
		size  uint64
		read  func(GPA)
		write func(GPA)
	}{
		{1, func(a GPA) { v, _ := r.Load8(a); sink += uint64(v) }, func(a GPA) { _ = r.Store8(a, 1) }},
		{2, func(a GPA) { v, _ := r.Load16(a); sink += uint64(v) }, func(a GPA) { _ = r.Store16(a, 1) }},
		{4, func(a GPA) { v, _ := r.Load32(a); sink += uint64(v) }, func(a GPA) { _ = r.Store32(a, 1) }},
		{8, func(a GPA) { v, _ := r.Load64(a); sink += v }, func(a GPA) { _ = r.Store64(a, 1) }},
	} {
		for name, f := range map[string]func(GPA){"read": c.read, "write": c.write} {
			b.Run(fmt.Sprintf("%s/%d", name, c.size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(c.size))
				for i := uint64(0); b.Loop(); i += c.size {
					f(testBase + GPA(i&mask))
				}
			})
		}
	}
	for _, size := range []uint64{4 << 10, 256 << 10} {
		buf := make([]byte, size)
		b.Run(fmt.Sprintf("read/bulk-%dK", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				_ = r.Read(testBase, buf)
			}
		})
		b.Run(fmt.Sprintf("write/bulk-%dK", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				_ = r.Write(testBase, buf)
			}
		})
	}
}

// Copies of any size and place, as a model of bytes has them; what is not wholly inside changes nothing on either side.
func TestCopiesEqualModel(t *testing.T) {
	const size = 6 * PageSize
	r := newTestRAM(t, size)
	g := rand.New(rand.NewPCG(7, 8))
	model := make([]byte, size)
	near := []uint64{0, 1, 7, 8, 63, 64, PageSize - 1, PageSize, PageSize + 1, size - 1, size, size + 1, 2 * size}
	pick := func() uint64 {
		if g.IntN(2) == 0 {
			return near[g.IntN(len(near))]
		}
		return g.Uint64N(size + 16)
	}
	for range 5000 {
		off, n := pick(), pick()
		a, inside := testBase+GPA(off), off <= size && n <= size-off
		if g.IntN(16) == 0 {
			a, inside = a-size-1-testBase, false
		}
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(g.Uint32())
		}
		before := bytes.Clone(p)
		if err := r.Write(a, p); (err == nil) != inside {
			t.Fatalf("a write of %d bytes at %#x: %v", n, a, err)
		}
		if inside {
			copy(model[off:], p)
		}
		if got, _ := r.Slice(testBase, size); !bytes.Equal(got, model) || !bytes.Equal(p, before) {
			t.Fatalf("memory is not as the model after a write of %d bytes at %#x", n, a)
		}
		if err := r.Read(a, p); (err == nil) != inside {
			t.Fatalf("a read of %d bytes at %#x: %v", n, a, err)
		}
		if inside {
			before = model[off : off+n]
		}
		if !bytes.Equal(p, before) {
			t.Fatalf("a read of %d bytes at %#x is not what is there", n, a)
		}
	}
}

func TestAccessesDoNotAllocate(t *testing.T) {
	r := newTestRAM(t, 4*PageSize)
	p := make([]byte, 2*PageSize)
	for name, access := range map[string]func() error{
		"Store8":  func() error { return r.Store8(testBase, 1) },
		"Store64": func() error { return r.Store64(testBase+3, 1) },
		"Load64":  func() error { _, err := r.Load64(testBase + 5); return err },
		"Read":    func() error { return r.Read(testBase+1, p) },
		"Write":   func() error { return r.Write(testBase+1, p) },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := access(); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
