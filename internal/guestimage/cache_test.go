package guestimage

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// store makes an image of one blob.
func store(t *testing.T, c *Cache, name, kernel string) *Manifest {
	t.Helper()
	w, err := c.begin(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	b, err := w.put(strings.NewReader(kernel), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m := &Manifest{Name: name, Kernel: b}
	if err := w.commit(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCacheSharesBlobsAndRemovesTheLast(t *testing.T) {
	c := testCache(t)
	if images, err := c.List(); len(images) != 0 || err != nil {
		t.Errorf("an empty cache has %v, %v", images, err)
	}
	b, a := store(t, c, "b", "same"), store(t, c, "a", "same")
	if a.Digest() != b.Digest() || a.Size() != 4 {
		t.Errorf("%+v, %+v", a, b)
	}
	images, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*Manifest{a, b}, images); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for i, name := range []string{"a", "b"} {
		if n := count(t, c.blobDir()); n != 1 {
			t.Errorf("%d blobs before removal %d", n, i)
		}
		if err := c.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, c.blobDir()); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
	if err := c.Remove(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("second removal: %v", err)
	}
}

func TestReplacingAnImageDropsItsBlobs(t *testing.T) {
	c := testCache(t)
	store(t, c, "a", "old")
	m := store(t, c, "a", "new")
	if got, err := c.Get("a"); err != nil || got.Digest() != m.Digest() || blob(t, c, got.Kernel) != "new" {
		t.Errorf("%+v, %v", got, err)
	}
	if n := count(t, c.blobDir()); n != 1 {
		t.Errorf("%d blobs", n)
	}
}

// A writer that ends, is cut off, or whose input fails before commit changes no image.
func TestInterruptedWriterLeavesNothing(t *testing.T) {
	c := testCache(t)
	store(t, c, "a", "old")

	w, err := c.begin(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("cut off")
	if _, err := w.put(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 1<<20); !errors.Is(err, broken) {
		t.Errorf("put: %v", err)
	}
	if _, err := w.put(strings.NewReader("too long"), 3); err == nil {
		t.Error("put took more than its limit")
	}
	if _, err := w.put(strings.NewReader("whole, but not committed"), 1<<20); err != nil {
		t.Fatal(err)
	}
	w.lock.Close() // as when the process is killed: end does not run

	if m, err := c.Get("a"); err != nil || blob(t, c, m.Kernel) != "old" {
		t.Errorf("the old image is gone: %v", err)
	}
	store(t, c, "b", "next")
	if n := count(t, c.tmpDir()); n != 0 {
		t.Errorf("the next writer left %d temporary files", n)
	}
	if n := count(t, c.blobDir()); n != 2 {
		t.Errorf("the next commit left %d blobs, want 2", n)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	c := testCache(t)
	w, err := c.begin(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	tired := errors.New("tired of waiting")
	if _, err := c.begin(ctx, func() { cancel(tired) }); !errors.Is(err, tired) {
		t.Errorf("second writer: %v", err)
	}
	w.end()
	w, err = c.begin(t.Context(), func() { t.Error("the lock was not given back") })
	if err != nil {
		t.Fatal(err)
	}
	w.end()
}

func TestGetRefusesDamage(t *testing.T) {
	for name, damage := range map[string]func(c *Cache, m *Manifest) error{
		"blob gone":        func(c *Cache, m *Manifest) error { return os.Remove(c.BlobPath(m.Kernel)) },
		"blob cut short":   func(c *Cache, m *Manifest) error { return os.Truncate(c.BlobPath(m.Kernel), 1) },
		"manifest no JSON": func(c *Cache, _ *Manifest) error { return os.WriteFile(c.manifest("a"), []byte("{"), 0o644) },
		"manifest of another": func(c *Cache, m *Manifest) error {
			return os.Rename(c.manifest("b"), c.manifest("a"))
		},
		"digest that is a path": func(c *Cache, _ *Manifest) error {
			return os.WriteFile(c.manifest("a"), []byte(`{"name":"a","kernel":{"sha256":"../../../etc/passwd","size":1}}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCache(t)
			m := store(t, c, "a", "kernel")
			store(t, c, "b", "other")
			if err := damage(c, m); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Get("a"); err == nil || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "vm image rm") {
				t.Errorf("error %v", err)
			}
			if images, err := c.List(); err == nil || len(images) > 1 {
				t.Errorf("List: %d images, %v", len(images), err)
			}
			if err := c.Remove(t.Context(), "a"); err != nil {
				t.Errorf("a damaged image cannot be removed: %v", err)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"default": true, "a.b-c_1": true, "0": true, strings.Repeat("a", 63): true,
		"": false, ".": false, "..": false, "../x": false, "a/b": false, "A": false, "-a": false, "a\n": false, strings.Repeat("a", 64): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestManifestWantsLoadOrder(t *testing.T) {
	b := Blob{Digest: Digest(strings.Repeat("0", 64))}
	m := Manifest{Name: "a", Kernel: b, Modules: []Module{{Name: "jbd2", Blob: b}, {Name: "ext4", Deps: []string{"jbd2"}, Blob: b}}}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	m.Modules[0], m.Modules[1] = m.Modules[1], m.Modules[0]
	if err := m.check(); err == nil {
		t.Error("a dependency stands after its user, and no error")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(`{"name":"a","kernel":{"sha256":"` + strings.Repeat("0", 64) + `","size":1},"modules":[{"name":"m","deps":[]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseManifest(strings.NewReader(text))
		if err != nil {
			return
		}
		c := &Cache{dir: "/cache"}
		for _, b := range m.Blobs() {
			if filepath.Dir(c.BlobPath(b)) != c.blobDir() {
				t.Fatalf("blob %q leaves the cache", b.Digest)
			}
		}
		if filepath.Dir(c.manifest(m.Name)) != c.imageDir() {
			t.Fatalf("name %q leaves the cache", m.Name)
		}
	})
}
