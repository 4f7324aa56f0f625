package storage

// Open: from what a user names to an image, with one-line errors that say what to do.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// Sentinel errors.
var (
	// ErrReadOnly is what a write to a read-only image returns.
	ErrReadOnly = qcow2.ErrReadOnly
	// ErrInUse is wrapped by Open when another machine holds the image.
	ErrInUse = errors.New("in use by another machine")
)

// Options name a disk image.
type Options struct {
	Path     string // a file or a block device
	Format   string // one of [Formats]; "" goes by the path: qcow2 where it ends in .qcow2, raw otherwise
	ReadOnly bool   // every write fails; machines may share the image
	Snapshot bool   // writes go to a temporary file and are discarded by Close; machines may share the image
	Sector   int    // logical sector in bytes, 512 or 4096, of which the size must be a multiple; 0 is what the image records, or 512
	Cache    string // one of [CacheModes]; "" is the first
	Size     int64  // of a disk in memory, bytes
}

// Formats are the formats of images.
func Formats() []string { return []string{FormatRaw, FormatQcow2, FormatMemory} }

// The formats.
const (
	FormatRaw    = "raw"
	FormatQcow2  = "qcow2"
	FormatMemory = "memory" // of the host, without a file; zeros at first
)

// Open opens a disk image and locks it: shared for reading, exclusive for writing, by an advisory lock on the file.
// Its errors name the path and what to do about them.
func Open(o Options) (Image, error) {
	img, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", o.Path, err)
	}
	return img, nil
}

func open(o Options) (Image, error) {
	if o.Sector != 0 && o.Sector != 512 && o.Sector != 4096 {
		return nil, fmt.Errorf("a sector of %d bytes is not supported: use sector=512 or sector=4096", o.Sector)
	}
	if !slices.Contains(Formats(), o.Format) && o.Format != "" {
		return nil, fmt.Errorf("format %q is not supported: use format=raw or format=qcow2, and convert other images with qemu-img convert", o.Format)
	}
	if !slices.Contains(CacheModes(), o.Cache) && o.Cache != "" {
		return nil, fmt.Errorf("cache mode %q is not known: use %s", o.Cache, strings.Join(CacheModes(), ", "))
	}
	if o.Format == FormatMemory {
		return openMemory(o)
	}
	img, err := openImage(o, nil)
	if err != nil {
		return nil, err
	}
	if err := checkSize(img, SectorOf(img, o.Sector)); err != nil {
		img.Close()
		return nil, err
	}
	if !o.Snapshot {
		return img, nil
	}
	s, err := newSnapshot(img)
	if err != nil {
		img.Close()
		return nil, err
	}
	return s, nil
}

func openMemory(o Options) (Image, error) {
	sector := int64(max(o.Sector, 512))
	if o.Size <= 0 || o.Size%sector != 0 || o.Size > math.MaxInt {
		return nil, fmt.Errorf("%d bytes of memory are no disk: give it a size, as in memory:1G", o.Size)
	}
	m, err := newMemory(o.Size)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openImage opens what a path names, without a snapshot over it. above are the files whose backing file it is.
func openImage(o Options, above []os.FileInfo) (Image, error) {
	f, err := openFile(o.Path, !o.ReadOnly && !o.Snapshot, o.Cache, above)
	if err != nil {
		return nil, err
	}
	img, err := f.image(o, above)
	if err != nil {
		f.f.Close()
		return nil, err
	}
	return img, nil
}

// image is what the file is in its format. The contents decide nothing: a guest may have written them.
func (f *file) image(o Options, above []os.FileInfo) (Image, error) {
	format := o.Format
	if format == "" {
		format = FormatOf(o.Path)
	}
	if f.size == 0 {
		return nil, errors.New("is empty: give it a size with truncate -s 1G FILE, or make an image with vm disk create")
	}
	if format == FormatQcow2 {
		return openQcow2(f, o, above)
	}
	if o.Format == "" {
		var magic [4]byte
		if err := f.peek(magic[:]); err == nil && qcow2.Probe(magic[:]) {
			return nil, errors.New("begins as a qcow2 image and is not called so: add format=qcow2 if you made it one, or format=raw if its guest has the bytes as they are")
		}
	}
	f.sector = recordedSector(f.f)
	if f.direct == nil {
		return f, nil
	}
	if f.size%f.direct.align != 0 {
		return nil, fmt.Errorf("its size of %d bytes is not a multiple of the %d bytes that cache=none needs here: use another cache mode", f.size, f.direct.align)
	}
	return directImage{f}, nil
}

// FormatOf is the format of an image by its path, when nobody says another.
func FormatOf(path string) string {
	if strings.EqualFold(filepath.Ext(path), "."+FormatQcow2) {
		return FormatQcow2
	}
	return FormatRaw
}

// sectored is an image that may know which logical sector it was made for.
type sectored interface{ Sector() int }

// SectorOf is the logical sector of an image in bytes: asked, unless that is 0; then what the image records; then 512.
func SectorOf(img Image, asked int) int {
	if asked != 0 {
		return asked
	}
	if s, ok := img.(*snapshot); ok {
		return SectorOf(s.base, 0)
	}
	if s, ok := img.(sectored); ok && s.Sector() != 0 {
		return s.Sector()
	}
	return 512
}

func checkSize(img Image, sector int) error {
	if img.Size() == 0 {
		return errors.New("is a disk of no bytes: give it a size with vm disk resize")
	}
	if img.Size()%int64(sector) != 0 {
		return fmt.Errorf("its size of %d bytes is not a multiple of the %d-byte sector: round it up with truncate -s %%%d FILE",
			img.Size(), sector, sector)
	}
	return nil
}

// openFile opens, locks and measures a file or block device.
func openFile(path string, writable bool, cache string, above []os.FileInfo) (*file, error) {
	// Before opening: opening a FIFO would wait for its other end.
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file: check the path, or create an image with vm disk create")
	case err != nil:
		return nil, reason(err)
	case st.IsDir():
		return nil, errors.New("is a directory: name the image file in it")
	case !st.Mode().IsRegular() && (st.Mode()&fs.ModeDevice == 0 || st.Mode()&fs.ModeCharDevice != 0):
		return nil, errors.New("is neither a file nor a block device")
	}
	for _, a := range above { // before locking, which would only say that it is in use
		if os.SameFile(a, st) {
			return nil, errors.New("is its own backing file: the chain of backing files is a loop")
		}
	}
	flag := os.O_RDONLY
	if writable {
		flag = os.O_RDWR
	}
	mode, err := cacheFlag(cache)
	if err != nil {
		return nil, err
	}
	flag |= mode
	f, err := os.OpenFile(path, flag, 0)
	switch {
	case errors.Is(err, fs.ErrPermission) && writable:
		return nil, fmt.Errorf("%w: make it writable, or add readonly or snapshot", reason(err))
	case errors.Is(err, syscall.EINVAL) && cache == CacheNone:
		return nil, errors.New("its file system has no direct access, which cache=none needs: use another cache mode")
	case err != nil:
		return nil, reason(err)
	}
	if err := lock(f, writable); err != nil {
		f.Close()
		if errors.Is(err, ErrInUse) && !writable {
			return nil, fmt.Errorf("%w that writes to it: stop that machine first", err)
		} else if errors.Is(err, ErrInUse) {
			return nil, fmt.Errorf("%w: stop that machine first, or open it with readonly or snapshot in both", err)
		}
		return nil, reason(err)
	}
	// Seeking measures block devices too, of which stat knows no size.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, reason(err)
	}
	img := newFile(f, size, !writable)
	img.info, img.fixed, img.noSync = st, !st.Mode().IsRegular(), cache == CacheUnsafe
	img.dsync = cache == CacheWritethrough
	img.noWriteNow.Store(img.dsync) // each waits for the device
	if cache == CacheNone {
		img.direct = newDirect(f)
	}
	return img, nil
}

// reason is a file error without the operation and path, which the caller names.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
