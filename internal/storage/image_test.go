package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
)

// kinds are all images that can be written, each with contents of zeros.
func kinds(t testing.TB, size int) map[string]Image {
	zeroFile := func() string {
		path := imageFile(t, 0)
		if err := os.Truncate(path, int64(size)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noFallocate := mustOpen(t, Options{Path: zeroFile()})
	noFallocate.(*file).noPunch.Store(true)
	noFallocate.(*file).noZero.Store(true)
	bounced := mustOpen(t, Options{Path: zeroFile()}).(*file)
	bounced.direct = makeDirect(4096) // whatever this file system wants
	return map[string]Image{
		"qcow2":                mustOpen(t, Options{Path: create(t, "disk.qcow2", CreateOptions{Size: int64(size), Sector: 512})}),
		"file past the cache":  directImage{bounced},
		"memory":               NewMemory(int64(size)),
		"file":                 mustOpen(t, Options{Path: zeroFile()}),
		"file without support": noFallocate,
		"snapshot":             mustOpen(t, Options{Path: zeroFile(), Snapshot: true}),
	}
}

// split cuts b at random places, with empty parts now and then.
func split(rng *rand.Rand, b []byte) [][]byte {
	var bufs [][]byte
	for len(b) > 0 {
		n := rng.IntN(min(len(b), 3000) + 1)
		bufs = append(bufs, b[:n:n])
		b = b[n:]
	}
	return bufs
}

// Every image behaves as an array of bytes does.
func TestImagesAgainstModel(t *testing.T) {
	const size = 100*blockSize + 3*512 // the last block is not whole
	for name, img := range kinds(t, size) {
		t.Run(name, func(t *testing.T) {
			if img.Size() != size || img.ReadOnly() {
				t.Fatalf("size %d, read-only %v", img.Size(), img.ReadOnly())
			}
			rng := rand.New(rand.NewPCG(1, 2))
			model := make([]byte, size)
			for step := range 1500 {
				off := rng.IntN(size/512) * 512
				n := min(rng.IntN(40)*512, size-off)
				if step%7 == 0 {
					off, n = size-512, 512
				}
				switch rng.IntN(5) {
				case 0, 1:
					for i := range n {
						model[off+i] = byte(rng.Uint32())
					}
					if err := img.WritevAt(split(rng, model[off:off+n]), int64(off)); err != nil {
						t.Fatal(err)
					}
				case 2:
					clear(model[off : off+n])
					if err := img.WriteZeroes(int64(off), int64(n), step%2 == 0); err != nil {
						t.Fatal(err)
					}
				case 3: // afterwards the range may hold anything: define it
					if err := img.Discard(int64(off), int64(n)); err != nil {
						t.Fatal(err)
					}
					if err := img.WritevAt([][]byte{model[off : off+n]}, int64(off)); err != nil {
						t.Fatal(err)
					}
				default:
					got := bytes.Repeat([]byte{0xee}, n)
					if err := img.ReadvAt(split(rng, got), int64(off)); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, model[off:off+n]) {
						t.Fatalf("step %d: %d bytes at %d differ", step, n, off)
					}
				}
			}
			if err := img.Flush(); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, size)
			if err := img.ReadvAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, model) {
				t.Fatalf("final contents differ (%v)", err)
			}
		})
	}
}

func TestOutOfRange(t *testing.T) {
	const size = 8192
	b := make([]byte, 512)
	for name, img := range kinds(t, size) {
		for _, c := range []struct{ off, n int64 }{{-512, 512}, {size, 512}, {size - 256, 512}, {1<<63 - 512, 512}} {
			if img.ReadvAt([][]byte{b[:c.n]}, c.off) == nil {
				t.Errorf("%s: read at %d succeeded", name, c.off)
			}
			if img.WritevAt([][]byte{b[:c.n]}, c.off) == nil {
				t.Errorf("%s: write at %d succeeded", name, c.off)
			}
			if img.Discard(c.off, c.n) == nil {
				t.Errorf("%s: discard at %d succeeded", name, c.off)
			}
			if img.WriteZeroes(c.off, c.n, true) == nil {
				t.Errorf("%s: write-zeroes at %d succeeded", name, c.off)
			}
		}
		if err := img.ReadvAt(nil, size); err != nil {
			t.Errorf("%s: reading nothing: %v", name, err)
		}
		if err := img.WritevAt([][]byte{nil, {}}, size); err != nil {
			t.Errorf("%s: writing nothing: %v", name, err)
		}
	}
}

// A request of more buffers than one system call takes.
func TestManyBuffers(t *testing.T) {
	const n = 3000
	for name, img := range kinds(t, n*512) {
		want, bufs := make([]byte, n*512), make([][]byte, n)
		for i := range bufs {
			bufs[i] = want[i*512 : (i+1)*512]
			bufs[i][0] = byte(i * 7)
		}
		if err := img.WritevAt(bufs, 0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := make([]byte, n*512)
		if err := img.ReadvAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: contents differ (%v)", name, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := imageFile(t, 4096)
	img := mustOpen(t, Options{Path: path, ReadOnly: true})
	b := make([]byte, 512)
	for what, err := range map[string]error{
		"write":        img.WritevAt([][]byte{b}, 0),
		"discard":      img.Discard(0, 512),
		"write-zeroes": img.WriteZeroes(0, 512, false),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := img.Flush(); err != nil || !img.ReadOnly() {
		t.Errorf("flush: %v; read-only: %v", err, img.ReadOnly())
	}
}

func TestTruncatedUnderneath(t *testing.T) {
	path := imageFile(t, 8192)
	img := mustOpen(t, Options{Path: path, ReadOnly: true})
	if err := os.Truncate(path, 1024); err != nil {
		t.Fatal(err)
	}
	if err := img.ReadvAt([][]byte{make([]byte, 4096)}, 0); err == nil {
		t.Error("reading past the end of a file that shrank succeeded")
	}
}

func TestSnapshotLeavesBase(t *testing.T) {
	const size = 3*blockSize + 512
	path := imageFile(t, size)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time sees nothing of the first
		img := mustOpen(t, Options{Path: path, Snapshot: true})
		got := make([]byte, size)
		if err := img.ReadvAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, before) {
			t.Fatalf("a new snapshot differs from its base (%v)", err)
		}
		if err := img.WritevAt([][]byte{bytes.Repeat([]byte{0xff}, 512)}, 1024); err != nil {
			t.Fatal(err)
		}
		if err := img.ReadvAt([][]byte{got[:blockSize]}, 0); err != nil {
			t.Fatal(err)
		}
		want := append(append(bytes.Clone(before[:1024]), bytes.Repeat([]byte{0xff}, 512)...), before[1536:blockSize]...)
		if !bytes.Equal(got[:blockSize], want) {
			t.Error("a write of part of a block did not keep the rest")
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the base changed (%v)", err)
	}
}

// Writers of the sectors of one block do not lose each other's.
func TestSnapshotConcurrentSectors(t *testing.T) {
	const size = 64 * blockSize
	img := mustOpen(t, Options{Path: imageFile(t, size), Snapshot: true})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			b := bytes.Repeat([]byte{byte(0x80 + w)}, 512)
			for block := range 64 {
				if err := img.WritevAt([][]byte{b}, int64(block*blockSize+w*512)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := make([]byte, size)
	if err := img.ReadvAt([][]byte{got}, 0); err != nil {
		t.Fatal(err)
	}
	for i, b := range got {
		if want := byte(0x80 + i/512%8); b != want {
			t.Fatalf("byte %d is %#x, want %#x", i, b, want)
		}
	}
}

func BenchmarkRead4K(b *testing.B) {
	for name, img := range kinds(b, 1<<20) {
		if err := img.WritevAt([][]byte{bytes.Repeat([]byte{1}, 1<<20)}, 0); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			bufs := [][]byte{make([]byte, 2048), make([]byte, 2048)}
			b.ReportAllocs()
			b.SetBytes(4096)
			for i := int64(0); b.Loop(); i++ {
				if err := img.ReadvAt(bufs, i%256*4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite4K(b *testing.B) {
	for name, img := range kinds(b, 1<<20) {
		if err := img.WritevAt([][]byte{bytes.Repeat([]byte{1}, 1<<20)}, 0); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			bufs := [][]byte{make([]byte, 2048), make([]byte, 2048)}
			b.ReportAllocs()
			b.SetBytes(4096)
			for i := int64(0); b.Loop(); i++ {
				if err := img.WritevAt(bufs, i%256*4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
