package guestimage

// The manifest: one small JSON file for each image name, which says what the image is made of. It is the only mutable thing in
// the cache and is replaced by rename, so an image is either whole or not there.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Digest is a SHA-256 in lower-case hexadecimal.
type Digest string

// Blob names one file of the cache by its content.
type Blob struct {
	Digest Digest `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// Module is one kernel module, stored decompressed.
type Module struct {
	Name string   `json:"name"`           // as the kernel calls it: virtio_rng, not virtio-rng
	Deps []string `json:"deps,omitempty"` // direct dependencies, all of them earlier in the manifest's list
	// Aliases are the names besides its own by which the kernel asks for it: fs-ext4 when an ext4 file system is mounted.
	Aliases []string `json:"aliases,omitempty"`
	Blob
}

// Package is a package that the image was made from.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  Digest `json:"sha256"` // of the .deb
}

// Manifest describes one image.
type Manifest struct {
	Name          string    `json:"name"`
	Created       time.Time `json:"created"`
	KernelVersion string    `json:"kernel_version"`
	Mirror        string    `json:"mirror,omitempty"` // empty when imported
	Suite         string    `json:"suite,omitempty"`
	Packages      []Package `json:"packages,omitempty"`
	Kernel        Blob      `json:"kernel"`
	Busybox       *Blob     `json:"busybox,omitempty"`
	Modules       []Module  `json:"modules,omitempty"` // a dependency stands before whatever depends on it
}

// Blobs lists every blob of the image, the kernel first.
func (m *Manifest) Blobs() []Blob {
	blobs := []Blob{m.Kernel}
	if m.Busybox != nil {
		blobs = append(blobs, *m.Busybox)
	}
	for _, mod := range m.Modules {
		blobs = append(blobs, mod.Blob)
	}
	return blobs
}

// Size is the image's size in bytes.
func (m *Manifest) Size() int64 {
	var n int64
	for _, b := range m.Blobs() {
		n += b.Size
	}
	return n
}

// Digest names the image by its content: two pulls of the same packages have the same digest.
func (m *Manifest) Digest() Digest {
	h := sha256.New()
	for _, b := range m.Blobs() {
		fmt.Fprintln(h, b.Digest)
	}
	return Digest(hex.EncodeToString(h.Sum(nil)))
}

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	moduleForm = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// CheckName refuses what cannot be an image's name: names become file names.
func CheckName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("image name %q: use lower-case letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit", name)
	}
	return nil
}

// maxManifest bounds a manifest file in bytes.
const maxManifest = 1 << 20

// parseManifest reads and checks a manifest. What it accepts is safe to make paths from.
func parseManifest(r io.Reader) (*Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("larger than %d bytes", maxManifest)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

func (m *Manifest) check() error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	for _, b := range m.Blobs() {
		if !digestForm.MatchString(string(b.Digest)) {
			return fmt.Errorf("digest %q is not a SHA-256", b.Digest)
		}
		if b.Size < 0 {
			return fmt.Errorf("blob %s: size %d", b.Digest, b.Size)
		}
	}
	seen := make(map[string]bool)
	for _, mod := range m.Modules {
		if !moduleForm.MatchString(mod.Name) {
			return fmt.Errorf("module name %q", mod.Name)
		}
		if seen[mod.Name] {
			return fmt.Errorf("module %s is listed twice", mod.Name)
		}
		for _, dep := range mod.Deps {
			if !seen[dep] {
				return fmt.Errorf("module %s stands before its dependency %s", mod.Name, dep)
			}
		}
		seen[mod.Name] = true
	}
	return nil
}
