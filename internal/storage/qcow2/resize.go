package qcow2

// Another size for the disk, and what is where on it.

import (
	"errors"
	"fmt"
	"slices"
)

// Resize gives the disk another size in bytes. What is cut off is lost.
func (g *Image) Resize(size int64) error {
	if size <= 0 {
		return errors.New("a disk of no bytes: give it a size, as in 10G")
	}
	if now := g.Size(); size < now && !g.readOnly {
		if len(g.Snapshots()) > 0 {
			return errors.New("an image with snapshots cannot become smaller: delete them first")
		}
		if err := g.WriteZeroes(size, now-size, true); err != nil { // zeros must appear when it grows again
			return err
		}
	}
	return g.exclusively(func() error {
		need, err := l1SizeFor(size, g.h.clusterBits)
		if err != nil {
			return err
		}
		if g.h.version == 2 && len(g.snaps) > 0 {
			return errors.New("version 2 does not keep the size with a snapshot: delete the snapshots first")
		}
		h := g.h
		h.size = size
		if need > int64(len(g.l1)) {
			return g.replaceL1(&h, append(slices.Clone(g.l1), make([]uint64, need-int64(len(g.l1)))...), false)
		}
		if err := g.writeHeader(&h); err != nil {
			return err
		}
		g.size.Store(size)
		return nil
	})
}

// Extent is a part of the disk that is all of one kind.
type Extent struct {
	Off, Len int64 // bytes
	Zero     bool  // reads as zeros, without asking a file
	Here     bool  // the image has it; otherwise the backing file, if there is one, shows through
}

// Extent is the first part of [off, Size) that is of one kind.
func (g *Image) Extent(off int64) (Extent, error) {
	g.io.RLock()
	defer g.io.RUnlock()
	if off < 0 || off >= g.Size() {
		return Extent{}, fmt.Errorf("%d is outside the disk of %d bytes", off, g.Size())
	}
	k, _, n, _, err := g.run(off, g.Size())
	return Extent{Off: off, Len: n, Zero: k == kindNone || k == kindZero, Here: k != kindNone && k != kindBacking}, err
}

// SetBacking names another backing file in the header, or none. It changes what the disk reads as unless the two hold the same.
func (g *Image) SetBacking(name, format string) error {
	return g.exclusively(func() error {
		h := g.h
		h.backing, h.backingFormat = name, format
		return g.writeHeader(&h)
	})
}
