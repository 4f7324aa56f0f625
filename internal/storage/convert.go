package storage

// Copies of disks: into a new image of another format, and back into the backing file.

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// copyChunk is how much is copied at once, bytes.
const copyChunk = 2 << 20

// Progress is told how many of the disk's bytes are done.
type Progress func(done, total int64)

// Convert makes a new image that holds what another one does. compress is for qcow2. The size of to, when it is 0, is from's.
func Convert(ctx context.Context, from Options, to CreateOptions, compress bool, progress Progress) (recorded bool, err error) {
	from.ReadOnly = true
	src, err := Open(from)
	if err != nil {
		return false, err
	}
	defer src.Close()
	to.Size = src.Size()
	if to.Format == "" {
		to.Format = FormatOf(to.Path)
	}
	if to.Sector == 0 {
		to.Sector = SectorOf(src, 0)
	}
	if compress && to.Format != FormatQcow2 {
		return false, fmt.Errorf("disk %s: a raw image cannot be compressed: use -O qcow2", to.Path)
	}
	if err := to.complete(); err != nil {
		return false, fmt.Errorf("disk %s: %w", to.Path, err)
	}
	d, err := newDraft(to.Path, to.Replace)
	if err != nil {
		return false, err
	}
	defer d.discard()
	if recorded, err = d.format(to); err == nil {
		err = d.fill(ctx, src, to, compress, progress)
	}
	if err != nil {
		return false, fmt.Errorf("disk %s: %w", to.Path, err)
	}
	return recorded, d.publish()
}

// fill copies src into the draft, an empty image of zeros.
func (d *draft) fill(ctx context.Context, src Image, to CreateOptions, compress bool, progress Progress) error {
	f := newFile(d.f, to.Size, false)
	if to.Format == FormatRaw {
		return copyDisk(ctx, src, zeroUnit, progress, f.WritevAt)
	}
	img, err := qcow2.Open(leftOpen{container{f}}, qcow2.Options{NoBacking: true})
	if err != nil {
		return err
	}
	write := img.WritevAt
	if compress {
		c, err := img.NewCompressor()
		if err != nil {
			return err
		}
		cluster := img.Info().ClusterSize
		write = func(bufs [][]byte, off int64) error {
			for b := bufs[0]; len(b) > 0; {
				n := min(cluster, int64(len(b)))
				if !isZero(b[:n]) {
					if err := c.Write(b[:n], off); err != nil {
						return err
					}
				}
				b, off = b[n:], off+n
			}
			return nil
		}
	}
	return errors.Join(copyDisk(ctx, src, max(zeroUnit, img.Info().ClusterSize), progress, write), img.Close())
}

// leftOpen is a container whose file is closed by somebody else.
type leftOpen struct{ container }

func (leftOpen) Close() error { return nil }

// extents is an image that knows where it is zeros.
type extents interface {
	Extent(off int64) (qcow2.Extent, error)
}

// copyDisk writes everything of src that is not zeros, in multiples of unit bytes but at the end.
func copyDisk(ctx context.Context, src Image, unit int64, progress Progress, write func([][]byte, int64) error) error {
	size := src.Size()
	buf := make([]byte, copyChunk)
	for off := int64(0); off < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if progress != nil {
			progress(off, size)
		}
		next, err := skipZeroes(src, off)
		if err != nil {
			return err
		}
		if next >= size {
			break
		}
		off = next &^ (copyChunk - 1) // chunks stay where they were, so that clusters are whole
		b := buf[:min(copyChunk, size-off)]
		if err := src.ReadvAt([][]byte{b}, off); err != nil {
			return err
		}
		if err := writeParts(b, off, unit, write); err != nil {
			return err
		}
		off += int64(len(b))
	}
	if progress != nil {
		progress(size, size)
	}
	return nil
}

// skipZeroes is where what is known to be zeros from off on ends; off itself where nothing is known.
func skipZeroes(src Image, off int64) (int64, error) {
	switch src := src.(type) {
	case *file:
		return src.nextData(off), nil
	case extents:
		for off < src.(Image).Size() {
			x, err := src.Extent(off)
			if err != nil || !x.Zero {
				return off, err
			}
			off += x.Len
		}
	}
	return off, nil
}

// zeroUnit is the least that is left out of a copy, bytes.
const zeroUnit = 64 << 10

// writeParts writes the units of b that are not zeros, neighbours together.
func writeParts(b []byte, off, unit int64, write func([][]byte, int64) error) error {
	size := int64(len(b))
	for start := int64(0); start < size; {
		end := start
		for end < size && !isZero(b[end:min(end+unit, size)]) {
			end = min(end+unit, size)
		}
		if end == start {
			start += unit
			continue
		}
		if err := write([][]byte{b[start:end]}, off+start); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func isZero(b []byte) bool {
	for ; len(b) > len(zeroes); b = b[len(zeroes):] {
		if !bytes.Equal(b[:len(zeroes)], zeroes[:]) {
			return false
		}
	}
	return bytes.Equal(b, zeroes[:len(b)])
}
