package qcow2

// New images: header, refcounts and an empty L1 table, each in its place.

import (
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/storage/hostio"
)

// CreateOptions are what a new image is like.
type CreateOptions struct {
	Size          int64 // of the disk, bytes
	Version       int   // 2 or 3 (the default)
	ClusterSize   int64 // bytes, a power of two from 512 to 2 MiB; 0 means 64 KiB
	RefcountBits  int   // 1 to 64, a power of two; 0 means 16
	Compression   Compression
	Backing       string // name of the backing file, relative to the image
	BackingFormat string
	Sector        int // logical sector in bytes to record: 512, 4096, or 0
}

// DefaultClusterSize in bytes.
const DefaultClusterSize = 64 << 10

// Create makes an empty image in f, an empty file, and makes it durable. f stays the caller's.
func Create(f hostio.File, o CreateOptions) error {
	h, err := o.header()
	if err != nil {
		return err
	}
	cs := int64(1) << h.clusterBits
	perRef := cs * 8 >> h.refcountOrder
	l1 := (h.l1Size*8 + cs - 1) >> h.clusterBits
	table, blocks := int64(1), int64(1)
	used := func() int64 { return 1 + table + blocks + l1 }
	for blocks*perRef < used() || table*(cs/8) < blocks {
		blocks = (used() + perRef - 1) / perRef
		table = (blocks + cs/8 - 1) / (cs / 8)
	}
	h.refTableOffset, h.refTableCluster = cs, table
	h.l1Offset = (1 + table + blocks) * cs
	b, err := h.encode()
	if err != nil {
		return err
	}
	g := &Image{refBits: uint(h.refcountOrder)}
	refTable := make([]uint64, table*cs/8)
	for i := range blocks {
		refTable[i] = uint64((1 + table + i) * cs)
		block := make([]byte, cs)
		for j := range min(perRef, used()-i*perRef) {
			setRef(block, g.refBits, j, 1)
		}
		if err := f.WritevAt([][]byte{block}, int64(refTable[i])); err != nil {
			return err
		}
	}
	if err := f.WritevAt([][]byte{g.encodeEntries(refTable)}, h.refTableOffset); err != nil {
		return err
	}
	zero := make([]byte, cs)
	for i := range l1 {
		if err := f.WritevAt([][]byte{zero}, h.l1Offset+i*cs); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.WritevAt([][]byte{b}, 0); err != nil { // last: until then it is no image
		return err
	}
	return f.Sync()
}

func (o CreateOptions) header() (*header, error) {
	if o.Version == 0 {
		o.Version = 3
	}
	if o.ClusterSize == 0 {
		o.ClusterSize = DefaultClusterSize
	}
	if o.RefcountBits == 0 {
		o.RefcountBits = 16
	}
	h := &header{
		version: uint32(o.Version), size: o.Size, compression: o.Compression,
		backing: o.Backing, backingFormat: o.BackingFormat, sector: o.Sector,
	}
	for h.clusterBits = minClusterBits; h.clusterBits < maxClusterBits && int64(1)<<h.clusterBits < o.ClusterSize; h.clusterBits++ {
	}
	for h.refcountOrder < 6 && 1<<h.refcountOrder < o.RefcountBits {
		h.refcountOrder++
	}
	switch {
	case o.Version != 2 && o.Version != 3:
		return nil, fmt.Errorf("qcow2 has no version %d: use 2 or 3", o.Version)
	case int64(1)<<h.clusterBits != o.ClusterSize:
		return nil, fmt.Errorf("clusters of %d bytes are not possible: use a power of two from 512 to 2M", o.ClusterSize)
	case 1<<h.refcountOrder != o.RefcountBits:
		return nil, fmt.Errorf("refcounts of %d bits are not possible: use a power of two up to 64", o.RefcountBits)
	case o.Version == 2 && (o.RefcountBits != 16 || o.Compression != Deflate):
		return nil, errors.New("version 2 has refcounts of 16 bits and zlib only: use version 3")
	case o.Size <= 0:
		return nil, errors.New("a disk of no bytes: give it a size, as in 10G")
	case len(o.Backing) > maxBackingName:
		return nil, fmt.Errorf("the name of the backing file is longer than %d bytes", maxBackingName)
	}
	if o.Compression != Deflate {
		h.incompat |= incompatCompression
	}
	var err error
	h.l1Size, err = l1SizeFor(o.Size, h.clusterBits)
	return h, err
}

// l1SizeFor is how many L1 entries a disk of size bytes needs.
func l1SizeFor(size int64, clusterBits uint32) (int64, error) {
	per := int64(1) << (2*clusterBits - 3)
	n := (size-1)/per + 1
	if size > 1<<62 || n*8 > maxL1Bytes {
		return 0, fmt.Errorf("a disk of %d bytes is too large for clusters of %d: use larger ones", size, 1<<clusterBits)
	}
	return n, nil
}
