package storage

// What changes an image that no machine uses: an overlay's writes go into its backing file; a disk gets another size.

import (
	"context"
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// OpenQcow2 opens a qcow2 image alone, without its backing file, for what concerns its structure. repair opens what is damaged, for Check.
func OpenQcow2(o Options, repair bool) (*qcow2.Image, error) {
	f, err := openFile(o.Path, !o.ReadOnly, o.Cache, nil)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", o.Path, err)
	}
	format := o.Format
	if format == "" {
		format = FormatOf(o.Path)
	}
	img := (*qcow2.Image)(nil)
	if format != FormatQcow2 {
		err = errors.New("is a raw image, which has no structure of its own: add -f qcow2 if it is not")
	} else {
		img, err = qcow2.Open(container{f}, qcow2.Options{ReadOnly: o.ReadOnly, NoBacking: true, Repair: repair})
	}
	if err != nil {
		f.f.Close()
		return nil, fmt.Errorf("disk %s: %w", o.Path, err)
	}
	return img, nil
}

// Commit writes what an overlay holds into its backing file, and empties it. At any time until it is done the overlay reads as before.
func Commit(ctx context.Context, o Options, progress Progress) error {
	top, err := OpenQcow2(o, false)
	if err != nil {
		return err
	}
	err = commit(ctx, top, o, progress)
	if err = errors.Join(err, top.Close()); err != nil {
		return fmt.Errorf("disk %s: %w", o.Path, err)
	}
	return nil
}

func commit(ctx context.Context, top *qcow2.Image, o Options, progress Progress) error {
	info := top.Info()
	if info.Backing == "" {
		return errors.New("has no backing file to commit to")
	}
	path := BackingPath(o.Path, info.Backing)
	base, err := openImage(Options{Path: path, Format: info.BackingFormat}, nil)
	if err != nil {
		return fmt.Errorf("its backing file %s: %w", info.Backing, err)
	}
	err = func() error {
		if base.Size() < top.Size() {
			if err := grow(base, top.Size()); err != nil {
				return err
			}
		}
		return commitExtents(ctx, top, base, progress)
	}()
	if err = errors.Join(err, base.Close()); err != nil { // Close flushes: only then may the overlay forget
		return fmt.Errorf("its backing file %s: %w", info.Backing, err)
	}
	return top.Discard(0, top.Size())
}

func commitExtents(ctx context.Context, top *qcow2.Image, base Image, progress Progress) error {
	size := top.Size()
	buf := make([]byte, copyChunk)
	for off := int64(0); off < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		progress(off, size)
		x, err := top.Extent(off)
		if err != nil {
			return err
		}
		if x.Here && !x.Zero {
			x.Len = min(x.Len, copyChunk)
			b := [][]byte{buf[:x.Len]}
			if err := top.ReadvAt(b, off); err != nil {
				return err
			}
			if err := base.WritevAt(b, off); err != nil {
				return err
			}
		} else if x.Here {
			if err := base.WriteZeroes(off, x.Len, true); err != nil {
				return err
			}
		}
		off += x.Len
	}
	progress(size, size)
	return base.Flush()
}

// grow makes an image larger.
func grow(img Image, size int64) error {
	switch img := img.(type) {
	case *qcow2.Image:
		return img.Resize(size)
	case *file:
		return img.resize(size)
	}
	return errors.New("cannot have another size")
}

func (f *file) resize(size int64) error {
	if err := (container{f}).Truncate(size); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return errors.New("is a block device, which cannot have another size")
		}
		return err
	}
	f.size = size
	return f.flush()
}

// Resize gives a disk another size in bytes; less than it has only if shrink says so, and what is cut off is lost.
func Resize(o Options, size int64, shrink bool) error {
	err := func() error {
		img, err := openImage(o, nil)
		if err != nil {
			return err
		}
		sector := int64(SectorOf(img, o.Sector))
		switch {
		case size%sector != 0:
			err = fmt.Errorf("%d bytes are not a multiple of the %d-byte sector: round the size up", size, sector)
		case size < img.Size() && !shrink:
			err = fmt.Errorf("has %d bytes, and what is behind %d would be lost: add --shrink if that is meant", img.Size(), size)
		case size != img.Size():
			err = grow(img, size)
		}
		return errors.Join(err, img.Close())
	}()
	if err != nil {
		return fmt.Errorf("disk %s: %w", o.Path, err)
	}
	return nil
}
