package qcow2

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/storage/hostio"
)

// Writers of neighbouring sectors, of which many share a cluster, lose nothing of each other's, whatever else goes on.
func TestConcurrentRequests(t *testing.T) {
	const writers, rounds = 8, 300
	o := CreateOptions{ClusterSize: 4096, Size: 1 << 20}
	mem := hostio.NewMemory(nil)
	if err := Create(keepOpen{mem}, o); err != nil {
		t.Fatal(err)
	}
	g, err := Open(keepOpen{mem}, Options{Cache: 1})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range int64(writers) {
		wg.Go(func() {
			b, got := bytes.Repeat([]byte{byte(w + 1)}, 512), make([]byte, 512)
			for i := range int64(rounds) {
				off := (i*7919%128*writers + w) * 512
				if err := g.WritevAt([][]byte{b}, off); err != nil {
					t.Error(err)
				}
				if err := g.ReadvAt([][]byte{got}, off); err != nil || !bytes.Equal(got, b) {
					t.Errorf("%d: not what was written (%v)", off, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := g.Flush(); err != nil {
				t.Error(err)
			}
			if err := g.Discard(600<<10, 100<<10); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 5 {
			if err := g.TakeSnapshot("s"); err != nil {
				t.Error(err)
			}
			if err := g.DeleteSnapshot("s"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if r, err := g.Check(RepairNothing); err != nil || r.Corruptions+r.Leaks > 0 {
		t.Errorf("%+v (%v)", r, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// osFile is a hostio.File that allocates nothing, for benchmarks.
type osFile struct{ f *os.File }

func (o osFile) ReadvAt(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := o.f.ReadAt(b, off); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func (o osFile) WritevAt(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := o.f.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
func (o osFile) Sync() error { return nil }
func (o osFile) Size() (int64, error) {
	st, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
func (o osFile) Truncate(size int64) error { return o.f.Truncate(size) }
func (o osFile) Punch(int64, int64) error  { return nil }
func (o osFile) Close() error              { return o.f.Close() }

func benchImage(b *testing.B) *Image {
	f, err := os.Create(filepath.Join(b.TempDir(), "image"))
	if err != nil {
		b.Fatal(err)
	}
	if err := Create(osFile{f}, CreateOptions{Size: 64 << 20}); err != nil {
		b.Fatal(err)
	}
	g, err := Open(osFile{f}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { g.Close() })
	chunk := bytes.Repeat([]byte{1}, 1<<20)
	for off := int64(0); off < g.Size(); off += 1 << 20 {
		if err := g.WritevAt([][]byte{chunk}, off); err != nil {
			b.Fatal(err)
		}
	}
	return g
}

// Requests for clusters that have places allocate nothing; a MiB of sixteen of them is one call to the host.
func BenchmarkAllocated(b *testing.B) {
	for name, size := range map[string]int{"4K": 4 << 10, "1M": 1 << 20} {
		for _, write := range []bool{false, true} {
			what := "read " + name
			if write {
				what = "write " + name
			}
			b.Run(what, func(b *testing.B) {
				g := benchImage(b)
				bufs := [][]byte{make([]byte, size/2), make([]byte, size/2)}
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for i := int64(0); b.Loop(); i++ {
					off := i * 7919 % (g.Size() / int64(size)) * int64(size)
					err := error(nil)
					if write {
						err = g.WritevAt(bufs, off)
					} else {
						err = g.ReadvAt(bufs, off)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// countCalls counts transfers.
type countCalls struct {
	hostio.File
	n int
}

func (c *countCalls) ReadvAt(bufs [][]byte, off int64) error {
	c.n++
	return c.File.ReadvAt(bufs, off)
}

func (c *countCalls) WritevAt(bufs [][]byte, off int64) error {
	c.n++
	return c.File.WritevAt(bufs, off)
}

// Clusters that are neighbours on the disk and in the file are one transfer, and none of it allocates.
func TestNeighboursAreOneTransfer(t *testing.T) {
	f := &countCalls{File: hostio.NewMemory(nil)}
	if err := Create(f, CreateOptions{Size: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	g, err := Open(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := [][]byte{make([]byte, 1<<20)}
	b[0][5] = 1
	if err := g.WritevAt(b, 0); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func([][]byte, int64) error{"read": g.ReadvAt, "write": g.WritevAt} {
		f.n = 0
		if err := do(b, 0); err != nil || f.n != 1 {
			t.Errorf("%s: %d transfers (%v)", what, f.n, err)
		}
		if n := testing.AllocsPerRun(100, func() { _ = do(b, 0) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
