package storage

// Open: from what a user names to an image, with one-line errors that say what to do.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Sentinel errors.
var (
	// ErrReadOnly is what a write to a read-only image returns.
	ErrReadOnly = errors.New("the disk image is read-only")
	// ErrInUse is wrapped by Open when another machine holds the image.
	ErrInUse = errors.New("in use by another machine")
)

// Options name a disk image.
type Options struct {
	Path     string // a file or a block device
	Format   string // "raw", the default
	ReadOnly bool   // every write fails; machines may share the image
	Snapshot bool   // writes go to a temporary file and are discarded by Close; machines may share the image
	Sector   int    // logical sector in bytes: 512 (the default) or 4096; the size must be a multiple of it
}

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
	if o.Sector == 0 {
		o.Sector = 512
	}
	if o.Sector != 512 && o.Sector != 4096 {
		return nil, fmt.Errorf("a sector of %d bytes is not supported: use sector=512 or sector=4096", o.Sector)
	}
	if o.Format != "" && o.Format != "raw" {
		return nil, fmt.Errorf("format %q is not supported: use format=raw, and convert the image with qemu-img convert -O raw", o.Format)
	}
	f, err := openFile(o.Path, !o.ReadOnly && !o.Snapshot)
	if err != nil {
		return nil, err
	}
	if err := f.check(o); err != nil {
		f.f.Close()
		return nil, err
	}
	if !o.Snapshot {
		return f, nil
	}
	s, err := newSnapshot(f)
	if err != nil {
		f.f.Close()
		return nil, err
	}
	return s, nil
}

// openFile opens, locks and measures a file or block device.
func openFile(path string, writable bool) (*file, error) {
	// Before opening: opening a FIFO would wait for its other end.
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file: check the path, or create an image with truncate -s 1G FILE")
	case err != nil:
		return nil, reason(err)
	case st.IsDir():
		return nil, errors.New("is a directory: name the image file in it")
	case !st.Mode().IsRegular() && (st.Mode()&fs.ModeDevice == 0 || st.Mode()&fs.ModeCharDevice != 0):
		return nil, errors.New("is neither a file nor a block device")
	}
	flag := os.O_RDONLY
	if writable {
		flag = os.O_RDWR
	}
	f, err := os.OpenFile(path, flag, 0)
	switch {
	case errors.Is(err, fs.ErrPermission) && writable:
		return nil, fmt.Errorf("%w: make it writable, or add readonly or snapshot", reason(err))
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
	return newFile(f, size, !writable), nil
}

// check refuses an image that cannot be a disk.
func (f *file) check(o Options) error {
	if f.size == 0 {
		return errors.New("is empty: give it a size with truncate -s 1G FILE")
	}
	if o.Format == "" && f.size >= 4 {
		var magic [4]byte
		if _, err := f.f.ReadAt(magic[:], 0); err == nil && string(magic[:]) == "QFI\xfb" {
			return errors.New("is a qcow2 image: convert it with qemu-img convert -O raw, or add format=raw to use its bytes as they are")
		}
	}
	if f.size%int64(o.Sector) != 0 {
		return fmt.Errorf("its size of %d bytes is not a multiple of the %d-byte sector: round it up with truncate -s %%%d FILE",
			f.size, o.Sector, o.Sector)
	}
	return nil
}

// reason is a file error without the operation and path, which the caller names.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
