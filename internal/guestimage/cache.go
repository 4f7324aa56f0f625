package guestimage

// The cache folder:
//
//	blobs/sha256/HEX   content, never changed once it has its name
//	images/NAME.json   manifests
//	apt/               apt's private state (apt.go), kept so that a second pull is quick and a broken one resumes
//	tmp/               files being written; whatever is here when the lock is free is left over and is removed
//	lock               held by whoever changes anything
//
// A file gets its final name by rename after it was synced, the manifest last of all: an interruption at any point leaves the
// images that were there before, whole. Readers take no lock. A reader that loses a race with Remove finds a blob missing and says so.

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Cache is a folder of images. Its methods may be called at the same time from several goroutines and processes.
type Cache struct {
	dir string
}

// DefaultDir is the vm folder in the user's cache folder.
func DefaultDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache folder: %w", err)
	}
	return filepath.Join(dir, "vm"), nil
}

// Open uses dir as a cache; the empty string means DefaultDir. Nothing is written until an image is.
func Open(dir string) (*Cache, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return nil, err
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &Cache{dir: abs}, nil
}

// Dir is the absolute path of the cache.
func (c *Cache) Dir() string { return c.dir }

func (c *Cache) blobDir() string             { return filepath.Join(c.dir, "blobs", "sha256") }
func (c *Cache) imageDir() string            { return filepath.Join(c.dir, "images") }
func (c *Cache) tmpDir() string              { return filepath.Join(c.dir, "tmp") }
func (c *Cache) manifest(name string) string { return filepath.Join(c.imageDir(), name+".json") }

// BlobPath is where a blob's content is.
func (c *Cache) BlobPath(b Blob) string { return filepath.Join(c.blobDir(), string(b.Digest)) }

// Get returns the image of that name, or an error that wraps ErrNotFound. Every blob is there with its size when it returns;
// contents are not read.
func (c *Cache) Get(name string) (*Manifest, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(c.manifest(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("image %q: %w: vm image ls lists what there is, vm image pull fetches the default", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", name, err)
	}
	defer f.Close()
	m, err := parseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("image %q: manifest %s: %w: remove it with vm image rm %s", name, f.Name(), err, name)
	}
	if m.Name != name {
		return nil, fmt.Errorf("image %q: manifest %s is of %q: remove it with vm image rm %s", name, f.Name(), m.Name, name)
	}
	for _, b := range m.Blobs() {
		fi, err := os.Stat(c.BlobPath(b))
		if err != nil || fi.Size() != b.Size {
			return nil, fmt.Errorf("image %q: blob %s is missing or damaged: remove the image with vm image rm %s, then pull it again", name, b.Digest, name)
		}
	}
	return m, nil
}

// List returns every readable image, by name.
func (c *Cache) List() ([]*Manifest, error) {
	names, err := c.names()
	if err != nil {
		return nil, err
	}
	var images []*Manifest
	var damaged error
	for _, name := range names {
		m, err := c.Get(name)
		if err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		images = append(images, m)
	}
	slices.SortFunc(images, func(a, b *Manifest) int { return cmp.Compare(a.Name, b.Name) })
	return images, damaged
}

func (c *Cache) names() ([]string, error) {
	entries, err := os.ReadDir(c.imageDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove forgets the image and deletes the blobs that no other image has.
func (c *Cache) Remove(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	w, err := c.begin(ctx, nil)
	if err != nil {
		return err
	}
	defer w.end()
	if err := os.Remove(c.manifest(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("image %q: %w: vm image ls lists what there is", name, ErrNotFound)
		}
		return fmt.Errorf("remove image %q: %w", name, err)
	}
	return w.sweep()
}

// writer is the right to change the cache: the lock, and a scratch folder on the same file system.
type writer struct {
	c       *Cache
	lock    *os.File
	scratch string
}

// begin waits for the lock until ctx ends. waiting, when not nil, is called once if somebody else holds it.
func (c *Cache) begin(ctx context.Context, waiting func()) (*writer, error) {
	for _, dir := range []string{c.blobDir(), c.imageDir(), c.tmpDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the cache folder: %w", err)
		}
	}
	lock, err := lockFile(ctx, filepath.Join(c.dir, "lock"), waiting)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	w := &writer{c: c, lock: lock}
	if err := w.clearTmp(); err != nil {
		w.end()
		return nil, err
	}
	if w.scratch, err = os.MkdirTemp(c.tmpDir(), "w"); err != nil {
		w.end()
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return w, nil
}

// clearTmp removes what an interrupted writer left. Only the holder of the lock has files here.
func (w *writer) clearTmp() error {
	entries, err := os.ReadDir(w.c.tmpDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(w.c.tmpDir(), e.Name())); err != nil {
			return fmt.Errorf("remove what an interrupted pull left: %w", err)
		}
	}
	return nil
}

// end gives the lock back. What was committed stays, everything else goes.
func (w *writer) end() {
	if w.scratch != "" {
		os.RemoveAll(w.scratch) // a leftover is removed by the next writer
	}
	w.lock.Close() // releases the lock
}

// put stores everything r has as a blob. limit is the most bytes it may have.
func (w *writer) put(r io.Reader, limit int64) (Blob, error) {
	f, err := os.CreateTemp(w.scratch, "blob")
	if err != nil {
		return Blob{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, limit+1))
	if err != nil {
		return Blob{}, err
	}
	if n > limit {
		return Blob{}, fmt.Errorf("larger than %d bytes", limit)
	}
	b := Blob{Digest: Digest(hex.EncodeToString(h.Sum(nil))), Size: n}
	if err := f.Chmod(0o444); err != nil {
		return Blob{}, err
	}
	if err := f.Sync(); err != nil {
		return Blob{}, err
	}
	// An old blob of that name is the same bytes, or a damaged file that this mends.
	return b, os.Rename(f.Name(), w.c.BlobPath(b))
}

// commit makes m the image of its name, in place of one that was there, and deletes blobs that nothing needs any more.
func (w *writer) commit(m *Manifest) error {
	if err := m.check(); err != nil {
		return err
	}
	if err := syncDir(w.c.blobDir()); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	tmp := filepath.Join(w.scratch, "manifest")
	if err := writeSynced(tmp, append(data, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, w.c.manifest(m.Name)); err != nil {
		return err
	}
	if err := syncDir(w.c.imageDir()); err != nil {
		return err
	}
	return w.sweep()
}

// sweep deletes the blobs that no manifest names. A manifest that cannot be read stops it: its blobs are unknown.
func (w *writer) sweep() error {
	names, err := w.c.names()
	if err != nil {
		return err
	}
	used := make(map[string]bool)
	for _, name := range names {
		f, err := os.Open(w.c.manifest(name))
		if err != nil {
			return err
		}
		m, err := parseManifest(f)
		f.Close()
		if err != nil {
			return nil
		}
		for _, b := range m.Blobs() {
			used[string(b.Digest)] = true
		}
	}
	entries, err := os.ReadDir(w.c.blobDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.Remove(filepath.Join(w.c.blobDir(), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
