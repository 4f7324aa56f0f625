package storage

// What holds a qcow2 image: its file, its backing files, and their locks.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// maxChain is how many backing files stand behind each other at most.
const maxChain = 64

// container is a file as the formats see it. It implements [hostio.File].
type container struct{ f *file }

// ReadvAt implements [hostio.File].
func (c container) ReadvAt(bufs [][]byte, off int64) error {
	if c.f.direct != nil {
		return c.f.direct.read(c.f, bufs, off)
	}
	return c.f.readv(bufs, off)
}

// WritevAt implements [hostio.File].
func (c container) WritevAt(bufs [][]byte, off int64) error {
	if c.f.fixed && off+total(bufs) > c.f.size {
		return fmt.Errorf("the block device of %d bytes is full", c.f.size)
	}
	if c.f.direct != nil {
		return c.f.direct.write(c.f, bufs, off)
	}
	return c.f.writev(bufs, off)
}

// Sync implements [hostio.File].
func (c container) Sync() error { return c.f.flush() }

// Size implements [hostio.File].
func (c container) Size() (int64, error) {
	n, err := c.f.f.Seek(0, io.SeekEnd)
	return n, reason(err)
}

// Truncate implements [hostio.File].
func (c container) Truncate(size int64) error {
	if c.f.fixed {
		return errors.ErrUnsupported
	}
	return c.f.truncate(size)
}

// Punch implements [hostio.File].
func (c container) Punch(off, n int64) error { return c.f.punch(off, n) }

// Close implements [hostio.File].
func (c container) Close() error { return c.f.f.Close() }

// peek reads the file's first bytes, past whatever alignment it wants.
func (f *file) peek(b []byte) error { return container{f}.ReadvAt([][]byte{b}, 0) }

// openQcow2 opens the image in f and its backing files, which are only read.
func openQcow2(f *file, o Options, above []os.FileInfo) (*qcow2.Image, error) {
	chain := append(append([]os.FileInfo(nil), above...), f.info)
	img, err := qcow2.Open(container{f}, qcow2.Options{
		ReadOnly: f.readOnly,
		Backing: func(name, format string) (qcow2.Backing, error) {
			b, err := openBacking(o.Path, name, format, o.Cache, chain)
			if err != nil {
				return nil, fmt.Errorf("its backing file %s: %w", name, err)
			}
			return b, nil
		},
	})
	if errors.Is(err, qcow2.ErrFormat) {
		return nil, fmt.Errorf("%w: add format=raw to use its bytes as they are", err)
	}
	return img, err
}

// openBacking opens the backing file that an image names.
func openBacking(image, name, format, cache string, chain []os.FileInfo) (Image, error) {
	if len(chain) > maxChain {
		return nil, fmt.Errorf("more than %d backing files stand behind each other: convert the image to one file", maxChain)
	}
	if format != "" && format != FormatRaw && format != FormatQcow2 {
		return nil, fmt.Errorf("format %q is not supported: convert it with qemu-img convert", format)
	}
	if strings.HasPrefix(name, "json:") || strings.Contains(name, "://") {
		return nil, errors.New("is not a file: copy it here, and name the copy with qemu-img rebase -u")
	}
	return openImage(Options{Path: BackingPath(image, name), Format: format, ReadOnly: true, Cache: cache}, chain)
}

// BackingPath is where the backing file is that an image names: relative to the image.
func BackingPath(image, name string) string {
	name = strings.TrimPrefix(name, "file:")
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(image), name)
}
