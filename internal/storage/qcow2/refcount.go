package qcow2

// Refcounts: how many users each cluster of the file has ("Refcounts"). A table points to blocks of them. Raising one before what it stands for is
// linked, and lowering it after, can only leave leaks: blocks may be written at any time.

import (
	"encoding/binary"
	"fmt"
)

// block is a refcount block in memory, as in the file.
type block struct {
	b     []byte
	off   int64
	dirty bool
}

// get is the j-th of the refcounts that are 1<<order bits wide.
func getRef(b []byte, order uint, j int64) uint64 {
	be := binary.BigEndian
	switch order {
	case 3:
		return uint64(b[j])
	case 4:
		return uint64(be.Uint16(b[j*2:]))
	case 5:
		return uint64(be.Uint32(b[j*4:]))
	case 6:
		return be.Uint64(b[j*8:])
	}
	bit := uint(j<<order) & 7 // less than a byte wide: the lowest bits come first
	return uint64(b[j<<order>>3]>>bit) & (1<<(1<<order) - 1)
}

func setRef(b []byte, order uint, j int64, v uint64) {
	be := binary.BigEndian
	switch order {
	case 3:
		b[j] = byte(v)
	case 4:
		be.PutUint16(b[j*2:], uint16(v))
	case 5:
		be.PutUint32(b[j*4:], uint32(v))
	case 6:
		be.PutUint64(b[j*8:], v)
	default:
		at, bit := j<<order>>3, uint(j<<order)&7
		mask := byte(1<<(1<<order)-1) << bit
		b[at] = b[at]&^mask | byte(v)<<bit&mask
	}
}

// maxRef is the largest refcount that fits.
func (g *Image) maxRef() uint64 {
	if g.refBits == 6 {
		return 1<<64 - 1
	}
	return 1<<(1<<g.refBits) - 1
}

// block is the refcount block of that index, nil where there is none; mu is held.
func (g *Image) block(i int64) (*block, error) {
	if b := g.blocks[i]; b != nil {
		return b, nil
	}
	if i >= int64(len(g.refTable)) {
		return nil, nil
	}
	off := int64(g.refTable[i] &^ 511)
	if off == 0 {
		return nil, nil
	}
	if off&(g.cs-1) != 0 || off < 0 || off+g.cs > g.end.Load() {
		return nil, corrupt("a refcount block is at %d", off)
	}
	b := &block{b: make([]byte, g.cs), off: off}
	if err := g.f.ReadvAt([][]byte{b.b}, off); err != nil {
		return nil, fmt.Errorf("the refcount block at %d: %w", off, err)
	}
	return b, g.keepBlock(i, b)
}

// keepBlock puts a block into the cache, whose dirty blocks are written when it is full.
func (g *Image) keepBlock(i int64, b *block) error {
	if len(g.blocks) >= g.maxBlocks {
		if err := g.writeBlocks(); err != nil {
			return err
		}
		for k, old := range g.blocks {
			if !old.dirty {
				delete(g.blocks, k)
				break
			}
		}
	}
	g.blocks[i] = b
	return nil
}

// writeBlocks writes the dirty blocks. They are clean once written: what makes them durable is the Sync that comes before anything that relies on them.
func (g *Image) writeBlocks() error {
	for _, b := range g.blocks {
		if !b.dirty {
			continue
		}
		if err := g.f.WritevAt([][]byte{b.b}, b.off); err != nil {
			return fmt.Errorf("the refcount block at %d: %w", b.off, err)
		}
		b.dirty = false
	}
	return nil
}

// refcount of a cluster of the file; mu is held.
func (g *Image) refcount(c int64) (uint64, error) {
	b, err := g.block(c / g.perRef)
	if err != nil || b == nil {
		return 0, err
	}
	return getRef(b.b, g.refBits, c%g.perRef), nil
}

// change adds delta to the refcount of a cluster that has a block; mu is held.
func (g *Image) change(c, delta int64) (uint64, error) {
	b, err := g.block(c / g.perRef)
	if err != nil {
		return 0, err
	}
	old := uint64(0)
	if b != nil {
		old = getRef(b.b, g.refBits, c%g.perRef)
	}
	now := old + uint64(delta)
	switch {
	case delta < 0 && old < uint64(-delta), b == nil:
		return 0, corrupt("the cluster at %d is used and has the refcount %d", c<<g.bits, old)
	case delta > 0 && (now < old || now > g.maxRef()):
		return 0, fmt.Errorf("refcounts of %d bits count to %d: delete a snapshot", 1<<g.refBits, g.maxRef())
	}
	setRef(b.b, g.refBits, c%g.perRef, now)
	b.dirty = true
	return now, nil
}
