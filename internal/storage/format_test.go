package storage

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// create makes an image in a folder of its own, and returns its path.
func create(t testing.TB, name string, o CreateOptions) string {
	t.Helper()
	if o.Path = name; !filepath.IsAbs(name) {
		o.Path = filepath.Join(t.TempDir(), name)
	}
	if _, err := Create(o); err != nil {
		t.Fatal(err)
	}
	return o.Path
}

// Every backend, format and cache mode behaves as an array of bytes does, and keeps it over a reopening.
func TestBackendsAgainstModel(t *testing.T) {
	const size = 1<<20 + 8*4096
	for _, c := range []struct {
		name string
		o    CreateOptions
	}{
		{"raw.img", CreateOptions{Size: size}},
		{"small.qcow2", CreateOptions{Size: size, ClusterSize: 512}},
		{"usual.qcow2", CreateOptions{Size: size}},
		{"old.qcow2", CreateOptions{Size: size, Version: 2}},
	} {
		for _, cache := range CacheModes() {
			t.Run(c.name+" "+cache, func(t *testing.T) {
				o := Options{Path: create(t, c.name, c.o), Cache: cache}
				img, err := Open(o)
				if err != nil && cache == CacheNone && strings.Contains(err.Error(), "use another cache mode") {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(1, 5))
				want, got := make([]byte, size), make([]byte, size)
				for step := range 120 {
					off := rng.IntN(size/512) * 512
					n := min(rng.IntN(100)*512, size-off)
					switch rng.IntN(8) {
					case 0, 1, 2:
						for i := range n {
							want[off+i] = byte(rng.Uint32())
						}
						err = img.WritevAt(split(rng, want[off:off+n]), int64(off))
					case 3:
						clear(want[off : off+n])
						err = img.WriteZeroes(int64(off), int64(n), step%2 == 0)
					case 4:
						err = img.Flush()
					case 5:
						if step%10 == 0 {
							if err = img.Close(); err == nil {
								img, err = Open(o)
							}
						}
					default:
						if err = img.ReadvAt(split(rng, got[off:off+n]), int64(off)); err == nil && !bytes.Equal(got[off:off+n], want[off:off+n]) {
							t.Fatalf("step %d: %d bytes at %d differ", step, n, off)
						}
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := img.Close(); err != nil {
					t.Fatal(err)
				}
				img = mustOpen(t, Options{Path: o.Path, ReadOnly: true})
				if err := img.ReadvAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, want) {
					t.Errorf("contents differ (%v)", err)
				}
			})
		}
	}
}

// Wrong images are refused in one line that says what to do, and no byte of any file changes.
func TestWrongImages(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) string {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	base := create(t, path("base.qcow2"), CreateOptions{Size: 1 << 20})
	create(t, path("top.qcow2"), CreateOptions{Backing: "base.qcow2"})
	create(t, path("a.qcow2"), CreateOptions{Backing: "base.qcow2"})
	good, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, at int, b ...byte) string {
		image := bytes.Clone(good)
		copy(image[at:], b)
		return write(name, image)
	}
	loop, err := OpenQcow2(Options{Path: path("a.qcow2")}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(loop.SetBacking("top.qcow2", "qcow2"), loop.Close()); err != nil {
		t.Fatal(err)
	}
	top, err := OpenQcow2(Options{Path: path("top.qcow2")}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(top.SetBacking("a.qcow2", "qcow2"), top.Close()); err != nil {
		t.Fatal(err)
	}
	create(t, path("gone.qcow2"), CreateOptions{Backing: "base.qcow2"})
	gone, err := OpenQcow2(Options{Path: path("gone.qcow2")}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(gone.SetBacking("nothing", "raw"), gone.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		says string
	}{
		{"raw called qcow2", Options{Path: write("raw.qcow2", make([]byte, 4096))}, "is not a qcow2 image: add format=raw"},
		{"qcow2 called raw", Options{Path: write("disk.img", good)}, "add format=qcow2"},
		{"cut off in the header", Options{Path: write("cut1.qcow2", good[:80])}, "is damaged"},
		{"cut off in the tables", Options{Path: write("cut2.qcow2", good[:70000])}, "was cut off"},
		{"future version", Options{Path: change("v9.qcow2", 7, 9)}, "version 9: only 2 and 3"},
		{"unknown feature", Options{Path: change("bits.qcow2", 72, 0x80)}, `"incompatible feature 63"`},
		{"known feature", Options{Path: change("l2.qcow2", 79, 0x10)}, `"extended L2 entries"`},
		{"marked as damaged", Options{Path: change("corrupt.qcow2", 79, 2)}, "--repair all"},
		{"encrypted", Options{Path: change("aes.qcow2", 35, 1)}, "is encrypted"},
		{"clusters", Options{Path: change("clusters.qcow2", 23, 31)}, "clusters of 2^31"},
		{"tables over each other", Options{Path: change("over.qcow2", 48, 0, 0, 0, 0, 0, 3, 0, 0)}, "lies over other tables"},
		{"backing file is gone", Options{Path: path("gone.qcow2")}, "its backing file nothing: no such file"},
		{"backing files in a loop", Options{Path: path("top.qcow2")}, "is a loop"},
		{"cache mode", Options{Path: base, Cache: "fast"}, "writeback, writethrough, none, unsafe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := os.ReadFile(c.o.Path)
			if err != nil {
				t.Fatal(err)
			}
			img, err := Open(c.o)
			if err == nil {
				img.Close()
				t.Fatal("opened")
			}
			if msg := err.Error(); !strings.Contains(msg, c.says) || !strings.Contains(msg, c.o.Path) || strings.Contains(msg, "\n") {
				t.Errorf("error %q does not say %q", msg, c.says)
			}
			if after, err := os.ReadFile(c.o.Path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file changed (%v)", err)
			}
		})
	}
}

// A backing file is locked as long as its overlay is open, for reading only: overlays share it, and nobody writes to it.
func TestBackingFileIsLocked(t *testing.T) {
	base := create(t, "base.qcow2", CreateOptions{Size: 1 << 20})
	dir := filepath.Dir(base)
	one := create(t, filepath.Join(dir, "one.qcow2"), CreateOptions{Backing: "base.qcow2"})
	two := create(t, filepath.Join(dir, "two.qcow2"), CreateOptions{Backing: "base.qcow2"})
	mustOpen(t, Options{Path: one})
	mustOpen(t, Options{Path: two})
	if _, err := Open(Options{Path: base}); !errors.Is(err, ErrInUse) {
		t.Errorf("error %v", err)
	}
	if err := Commit(t.Context(), Options{Path: two, Format: FormatQcow2}, func(int64, int64) {}); !errors.Is(err, ErrInUse) {
		t.Errorf("commit: %v", err)
	}
}

// An image whose file shrinks under a machine is an I/O error.
func TestQcow2Shrinks(t *testing.T) {
	path := create(t, "disk.qcow2", CreateOptions{Size: 1 << 20})
	img := mustOpen(t, Options{Path: path})
	b := [][]byte{make([]byte, 128<<10)}
	b[0][0] = 1
	if err := errors.Join(img.WritevAt(b, 0), img.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 256<<10); err != nil {
		t.Fatal(err)
	}
	if err := img.ReadvAt(b, 0); err == nil || !strings.Contains(err.Error(), "shorter than it was") {
		t.Errorf("error %v", err)
	}
}

// Conversions keep every byte, compressed or not, and leave nothing behind when they end early.
func TestConvert(t *testing.T) {
	raw := imageFile(t, 3<<20)
	if err := os.Truncate(raw, 9<<20+512); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(raw)
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		o        CreateOptions
		compress bool
	}{
		{"a.qcow2", CreateOptions{}, false},
		{"b.qcow2", CreateOptions{ClusterSize: 512, Version: 2}, false},
		{"c.qcow2", CreateOptions{}, true},
		{"d.qcow2", CreateOptions{ClusterSize: 2 << 20, Compression: qcow2.Zstd}, true},
		{"e.qcow2", CreateOptions{ClusterSize: 512}, true},
		{"f.img", CreateOptions{}, false},
	} {
		c.o.Path = filepath.Join(dir, c.name)
		if _, err := Convert(t.Context(), Options{Path: raw}, c.o, c.compress, nil); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		back := CreateOptions{Path: filepath.Join(dir, c.name+".img")}
		if _, err := Convert(t.Context(), Options{Path: c.o.Path}, back, false, nil); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, err := os.ReadFile(back.Path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: contents differ (%v)", c.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before, _ := os.ReadDir(dir)
	if _, err := Convert(ctx, Options{Path: raw}, CreateOptions{Path: filepath.Join(dir, "never.qcow2")}, false, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := Convert(t.Context(), Options{Path: raw}, CreateOptions{Path: filepath.Join(dir, "a.qcow2")}, false, nil); err == nil {
		t.Error("an image that is there was replaced")
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
}

// A commit brings everything of an overlay into its backing file, which grows for it.
func TestCommit(t *testing.T) {
	base := create(t, "base.img", CreateOptions{Size: 1 << 20})
	top := create(t, filepath.Join(filepath.Dir(base), "top.qcow2"), CreateOptions{Backing: "base.img", Size: 2 << 20, ClusterSize: 4096})
	img := mustOpen(t, Options{Path: base})
	ones := bytes.Repeat([]byte{1}, 1<<20)
	if err := errors.Join(img.WritevAt([][]byte{ones}, 0), img.Close()); err != nil {
		t.Fatal(err)
	}
	img = mustOpen(t, Options{Path: top})
	err := errors.Join(img.WriteZeroes(0, 64<<10, true), img.WritevAt([][]byte{{2, 2, 2}}, 2<<20-3), img.Close())
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 2<<20)
	copy(want[64<<10:], ones[64<<10:])
	copy(want[2<<20-3:], []byte{2, 2, 2})
	if err := Commit(t.Context(), Options{Path: top, Format: FormatQcow2}, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(base); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the backing file differs (%v)", err)
	}
	got := make([]byte, 2<<20)
	if err := mustOpen(t, Options{Path: top}).ReadvAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the overlay differs (%v)", err)
	}
}

// New images are made for sectors of 4096 bytes and say so; others have 512, and an overlay has its base's.
func TestSectorIsRecorded(t *testing.T) {
	dir := t.TempDir()
	old := imageFile(t, 8192)
	for _, c := range []struct {
		name string
		path string
		want int
	}{
		{"a raw image of before", old, 512},
		{"qcow2", create(t, filepath.Join(dir, "a.qcow2"), CreateOptions{Size: 1 << 20}), 4096},
		{"qcow2 of 512", create(t, filepath.Join(dir, "b.qcow2"), CreateOptions{Size: 1 << 20, Sector: 512}), 512},
		{"an overlay of it", create(t, filepath.Join(dir, "c.qcow2"), CreateOptions{Backing: old, BackingFormat: "raw"}), 512},
	} {
		if got := SectorOf(mustOpen(t, Options{Path: c.path, Snapshot: true}), 0); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
	path := filepath.Join(dir, "raw.img")
	recorded, err := Create(CreateOptions{Path: path, Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if got := SectorOf(mustOpen(t, Options{Path: path}), 0); recorded != (got == 4096) {
		t.Errorf("recorded %v, %d", recorded, got)
	}
}
