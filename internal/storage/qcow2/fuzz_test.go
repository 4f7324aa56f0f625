package qcow2

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vmproject/vm/internal/storage/hostio"
)

// small is an image with everything in it: data, zeros, compressed clusters, a snapshot.
func small(t testing.TB, o CreateOptions) []byte {
	t.Helper()
	mem := hostio.NewMemory(nil)
	if err := Create(keepOpen{mem}, o); err != nil {
		t.Fatal(err)
	}
	g, err := Open(keepOpen{mem}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.NewCompressor()
	if err != nil {
		t.Fatal(err)
	}
	cs := g.cs
	for i := range int64(3) {
		if err := c.Write(bytes.Repeat([]byte{byte(i), 7}, int(cs/2)), i*cs); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		g.WritevAt([][]byte{bytes.Repeat([]byte("data"), int(cs))}, 4*cs),
		g.WriteZeroes(9*cs, cs, false),
		g.TakeSnapshot("one"),
		g.WritevAt([][]byte{bytes.Repeat([]byte("more"), int(cs/4))}, 5*cs),
		g.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return mem.Bytes()
}

// exercise does everything to an image that a hostile file may be. Errors are fine; panics, hangs and much memory are not.
func exercise(t *testing.T, image []byte) {
	for _, o := range []Options{{ReadOnly: true, NoBacking: true, Cache: 1}, {NoBacking: true, Cache: 1}, {NoBacking: true, Repair: true, Cache: 1}} {
		mem := hostio.NewMemory(bytes.Clone(image))
		mem.Limit = int64(len(image)) + 8<<20
		g, err := Open(mem, o)
		if err != nil {
			continue
		}
		b := make([]byte, 4096)
		last := max(g.Size()-int64(len(b)), 0)
		for _, off := range []int64{0, 512, 4096, 8192, last / 2, last} {
			n := min(int64(len(b)), g.Size()-off)
			if n <= 0 {
				continue
			}
			_ = g.ReadvAt([][]byte{b[:n]}, off)
			if !o.Repair {
				_ = g.WritevAt([][]byte{b[:n]}, off)
				_ = g.WriteZeroes(off, n, true)
			}
		}
		if !o.ReadOnly && !o.Repair {
			_ = g.TakeSnapshot("two")
			_ = g.ApplySnapshot("one")
			_ = g.DeleteSnapshot("one")
			_ = g.Flush()
		}
		if o.Repair {
			if _, err := g.Check(RepairAll); err == nil {
				if r, err := g.Check(RepairNothing); err != nil || r.Corruptions+r.Leaks > 0 {
					t.Errorf("after a repair: %+v (%v)", r, err)
				}
			}
		} else {
			_, _ = g.Check(RepairNothing)
		}
		g.Close()
	}
}

// FuzzHeader changes the header's bytes.
func FuzzHeader(f *testing.F) {
	for _, o := range []CreateOptions{{ClusterSize: 512, Size: 64 << 10}, {ClusterSize: 512, Size: 64 << 10, Version: 2}, {ClusterSize: 512, Size: 64 << 10, Compression: Zstd}} {
		f.Add(small(f, o)[:512], o.Version == 2)
	}
	images := map[bool][]byte{
		true:  small(f, CreateOptions{ClusterSize: 512, Size: 64 << 10, Version: 2}),
		false: small(f, CreateOptions{ClusterSize: 512, Size: 64 << 10}),
	}
	f.Fuzz(func(t *testing.T, header []byte, v2 bool) {
		image := bytes.Clone(images[v2])
		copy(image, header[:min(len(header), 512)])
		exercise(t, image)
	})
}

// FuzzTables changes words of L1, L2 and refcount tables, and whatever else the image has.
func FuzzTables(f *testing.F) {
	image := small(f, CreateOptions{ClusterSize: 512, Size: 64 << 10})
	f.Add(uint16(1), uint64(512), uint16(70), uint64(1)<<62)
	f.Add(uint16(64), ^uint64(0), uint16(128), flagCopied|1024)
	f.Fuzz(func(t *testing.T, at1 uint16, v1 uint64, at2 uint16, v2 uint64) {
		b := bytes.Clone(image)
		words := len(b)/8 - 64 // not the header
		binary.BigEndian.PutUint64(b[512+int(at1)%words*8:], v1)
		binary.BigEndian.PutUint64(b[512+int(at2)%words*8:], v2)
		exercise(t, b)
	})
}

// FuzzCompressed has hostile bytes as a compressed cluster, bombs among them: what comes out is one cluster at most.
func FuzzCompressed(f *testing.F) {
	f.Add([]byte{0x63, 0x60, 0x18, 0x05, 0x00}, false)
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x00"), true)
	f.Fuzz(func(t *testing.T, z []byte, isZstd bool) {
		o := CreateOptions{ClusterSize: 4096, Size: 64 << 10}
		if isZstd {
			o.Compression = Zstd
		}
		mem := hostio.NewMemory(nil)
		if err := Create(keepOpen{mem}, o); err != nil {
			t.Fatal(err)
		}
		g, err := Open(keepOpen{mem}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		c, err := g.NewCompressor()
		if err != nil {
			t.Fatal(err)
		}
		if len(z) == 0 || len(z) > 4095 {
			return
		}
		if err := c.store(z, 0); err != nil {
			t.Fatal(err)
		}
		_ = g.ReadvAt([][]byte{make([]byte, 4096)}, 0)
		if err := g.WritevAt([][]byte{make([]byte, 512)}, 512); err == nil {
			if err := g.ReadvAt([][]byte{make([]byte, 4096)}, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}
