// Package qcow2 is QEMU's disk format, versions 2 and 3: images that grow as they are written, over a backing file, with compressed clusters and
// with snapshots inside.
//
// The disk is cut into clusters. A table of two levels (tables.go) says where in the file each lies; refcounts (refcount.go) say how often
// each cluster of the file is used. What is known of the tables is kept in memory and written by Flush, in an order such that whatever a
// crash leaves is a consistent image, except for leaks (flush.go).
//
// Concurrency. io is held shared by every request for as long as it lasts, and exclusively by what changes the shape of the image or lets
// clusters be used again: a cluster that is free is therefore in nobody's hands. mu guards tables and refcounts; it is never held while a guest's data
// is read or written. Entries of the tables are read without a lock, and written atomically under mu. Requests that give clusters a place are
// noted as busy until they have linked them, and others for the same clusters wait. Lock order: io, mu, a slot of the compressed clusters.
package qcow2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/storage/hostio"
)

// ErrReadOnly is what a change of an image that was opened for reading returns.
var ErrReadOnly = errors.New("the disk image is read-only")

// Backing is what shows through where an image has nothing of its own. Only read.
type Backing interface {
	ReadvAt(bufs [][]byte, off int64) error
	Size() int64
	Close() error
}

// Options are how an image is opened.
type Options struct {
	ReadOnly bool
	// Backing opens the backing file by the name and format in the header; format is "" where it has none. Nil refuses images with one.
	Backing func(name, format string) (Backing, error)
	// NoBacking leaves the backing file alone: what the image has none of reads as zeros. For looking at an image's own structure.
	NoBacking bool
	// Cache is the most bytes of L2 tables in memory; 0 means 32 MiB.
	Cache int64
	// Repair opens what is damaged, for Check to mend. Nothing else may be done with it.
	Repair bool
}

const defaultCache = 32 << 20

// Image is an open image.
type Image struct {
	f        hostio.File
	readOnly bool
	lenient  bool    // damage is no reason not to open it
	backing  Backing // nil where there is none

	bits    uint  // cluster size is 1<<bits bytes
	cs      int64 // cluster size, bytes
	l2bits  uint  // entries in an L2 table are 1<<l2bits
	refBits uint  // refcounts are 1<<refBits bits wide
	perRef  int64 // refcounts in a block

	io   sync.RWMutex
	size atomic.Int64 // of the disk, bytes; changes with io held exclusively
	h    header       // changes with io held exclusively and mu; refTable* with mu alone
	l1   []uint64     // entries as in the file; written atomically under mu
	l2   []atomic.Pointer[table]

	end atomic.Int64 // length of the file as known here, bytes; grows under mu

	mu        sync.Mutex
	extended  bool  // the file was made longer than it needs to be
	broken    error // a failure after which nothing may be written any more
	l1Dirty   span
	dirty     []*table // L2 tables that differ from the file
	loaded    []*table // L2 tables in memory, in the order of the clock that evicts
	hand      int
	maxTables int
	refTable  []uint64 // as in the file
	refDirty  span
	blocks    map[int64]*block // refcount blocks in memory, by index into refTable
	maxBlocks int
	free      int64              // no cluster below this one is free
	virgin    int64              // this cluster of the file and all behind it have never been written
	meta      map[int64]struct{} // clusters of the file that hold structure, by number: never a guest's
	pending   []extent           // clusters to be given up once the tables that no longer have them are durable
	freed     []extent           // those that can be, once no request is in flight
	busy      []extent           // clusters of the disk that are being given places
	unbusy    sync.Cond          // on mu: busy became less
	snaps     []Snapshot

	slots   [decompressors]slot
	scratch sync.Pool // of *scratch
}

// span is a range of table entries [lo, hi) that differ from the file.
type span struct{ lo, hi int64 }

func (s *span) add(i int64) {
	if s.lo >= s.hi {
		*s = span{i, i + 1}
	} else {
		s.lo, s.hi = min(s.lo, i), max(s.hi, i+1)
	}
}

// extent is n clusters from the first.
type extent struct{ first, n int64 }

// Open opens the image in f, which it owns from then on, unless it fails.
func Open(f hostio.File, o Options) (_ *Image, err error) {
	g := &Image{f: f, readOnly: o.ReadOnly, lenient: o.ReadOnly || o.Repair, blocks: map[int64]*block{}, meta: map[int64]struct{}{}}
	g.unbusy.L = &g.mu
	if err := g.readHeader(); err != nil {
		return nil, err
	}
	if g.h.incompat&incompatCorrupt != 0 && !g.lenient {
		return nil, errors.New("is marked as damaged: open it read-only, or mend it with vm disk check --repair all")
	}
	cache := o.Cache
	if cache == 0 {
		cache = defaultCache
	}
	g.maxTables, g.maxBlocks = int(max(cache>>g.bits, 4)), int(max((cache/4)>>g.bits, 4))
	g.scratch.New = func() any { return &scratch{buf: make([]byte, 2*g.cs)} }
	if err := g.readTables(); err != nil {
		return nil, err
	}
	if g.h.backing != "" && !o.NoBacking {
		if o.Backing == nil {
			return nil, fmt.Errorf("has the backing file %q, which is not allowed here", g.h.backing)
		}
		if g.backing, err = o.Backing(g.h.backing, g.h.backingFormat); err != nil {
			return nil, err
		}
	}
	if !g.lenient {
		if err := g.makeWritable(); err != nil {
			if g.backing != nil {
				g.backing.Close()
			}
			return nil, err
		}
	}
	return g, nil
}

// Probe says whether b, the first bytes of a file, begin a qcow2 image.
func Probe(b []byte) bool { return len(b) >= 4 && string(b[:4]) == magic }

func (g *Image) readHeader() error {
	size, err := g.f.Size()
	if err != nil {
		return err
	}
	b := make([]byte, min(size, 1<<16))
	if err := g.f.ReadvAt([][]byte{b}, 0); err != nil {
		return err
	}
	h, err := parseHeader(b)
	if err != nil {
		return err
	}
	g.h = *h
	g.bits, g.cs = uint(h.clusterBits), 1<<h.clusterBits
	g.l2bits, g.refBits = g.bits-3, uint(h.refcountOrder)
	g.perRef = g.cs * 8 >> g.refBits
	g.size.Store(h.size)
	g.end.Store(size)
	g.virgin = (size + g.cs - 1) >> g.bits
	return nil
}

// readTables reads the L1 table, the refcount table and the table of snapshots, and notes where structure is.
func (g *Image) readTables() (err error) {
	if g.l1, err = g.readEntries(g.h.l1Offset, g.h.l1Size, "L1 table"); err != nil {
		return err
	}
	g.l2 = make([]atomic.Pointer[table], len(g.l1))
	if g.refTable, err = g.readEntries(g.h.refTableOffset, g.h.refTableCluster<<g.bits/8, "refcount table"); err != nil {
		return err
	}
	if g.snaps, err = g.readSnapshots(); err != nil {
		return err
	}
	return g.noteStructure()
}

// readEntries reads n entries of 8 bytes each. The memory is bounded by the file's own length.
func (g *Image) readEntries(off, n int64, what string) ([]uint64, error) {
	if off+n*8 > g.end.Load() {
		return nil, corrupt("the %s of %d bytes at %d is past the file's end at %d, it was cut off", what, n*8, off, g.end.Load())
	}
	b := make([]byte, n*8)
	if err := g.f.ReadvAt([][]byte{b}, off); err != nil {
		return nil, fmt.Errorf("its %s: %w", what, err)
	}
	e := make([]uint64, n)
	for i := range e {
		e[i] = binary.BigEndian.Uint64(b[i*8:])
	}
	return e, nil
}

// noteStructure fills meta. What overlaps is damage that nothing may be written to.
func (g *Image) noteStructure() error {
	note := func(off, n int64, what string) error {
		for c := off >> g.bits; c < (off+n+g.cs-1)>>g.bits; c++ {
			if _, ok := g.meta[c]; ok && !g.lenient {
				return corrupt("the %s at %d lies over other tables", what, off)
			}
			g.meta[c] = struct{}{}
		}
		return nil
	}
	errs := []error{
		note(0, g.cs, "header"),
		note(g.h.l1Offset, g.h.l1Size*8, "L1 table"),
		note(g.h.refTableOffset, g.h.refTableCluster<<g.bits, "refcount table"),
		note(g.h.snapshotsOffset, g.snapshotsLen(), "table of snapshots"),
	}
	for _, e := range g.refTable {
		if off := int64(e &^ 511); off != 0 && off&(g.cs-1) == 0 {
			errs = append(errs, note(off, g.cs, "refcount block"))
		}
	}
	for _, s := range g.snaps {
		errs = append(errs, note(s.l1Offset, s.l1Size*8, "L1 table of a snapshot"))
	}
	if err := cmp.Or(errs...); err != nil { // one line says enough
		return err
	}
	tables := map[int64]struct{}{}
	for _, e := range g.l1 {
		off := entryOffset(e)
		if off == 0 || off&(g.cs-1) != 0 {
			continue
		}
		if g.isStructure(off>>g.bits) && !g.lenient {
			return corrupt("the L2 table at %d lies over other tables", off)
		}
		tables[off>>g.bits] = struct{}{}
	}
	for c := range tables {
		g.meta[c] = struct{}{}
	}
	return nil
}

// isStructure says whether a cluster of the file holds structure.
func (g *Image) isStructure(c int64) bool { _, ok := g.meta[c]; return ok }

// makeWritable does what the format wants of who opens an image for writing: unknown automatic features end, and refcounts that may be wrong are
// made anew.
func (g *Image) makeWritable() error {
	if g.h.incompat&incompatDirty != 0 {
		if _, err := g.Check(RepairAll); err != nil {
			return fmt.Errorf("it was not closed, and mending it: %w", err)
		}
	}
	if g.h.autoclear == 0 {
		return nil
	}
	h := g.h
	h.autoclear = 0
	return g.writeHeader(&h)
}

// writeHeader makes h durable and then current. mu or io is held exclusively, or nobody else knows the image yet.
func (g *Image) writeHeader(h *header) error {
	b, err := h.encode()
	if err != nil {
		return err
	}
	if h.version == 3 {
		h.length = headerLen
	}
	err = g.f.WritevAt([][]byte{b}, 0)
	if err == nil {
		err = g.f.Sync()
	}
	if err != nil { // nobody knows which of the two headers is there
		g.broken = fmt.Errorf("the host could not write the image's header, nothing more is written: %w", err)
		return err
	}
	g.h = *h
	g.end.Store(max(g.end.Load(), int64(len(b))))
	return nil
}

// Size of the disk in bytes.
func (g *Image) Size() int64 { return g.size.Load() }

// ReadOnly says whether every change fails.
func (g *Image) ReadOnly() bool { return g.readOnly }

// Sector is the logical sector in bytes that the image was made for; 0 where it does not say.
func (g *Image) Sector() int { return g.h.sector }

// Info is what the header says.
type Info struct {
	Version       int        `json:"version"`
	Size          int64      `json:"virtual-size"` // of the disk, bytes
	ClusterSize   int64      `json:"cluster-size"`
	RefcountBits  int        `json:"refcount-bits"`
	Compression   string     `json:"compression-type"`
	LazyRefcounts bool       `json:"lazy-refcounts"`
	Dirty         bool       `json:"dirty-flag"`
	Corrupt       bool       `json:"corrupt"`
	Backing       string     `json:"backing-filename,omitempty"`
	BackingFormat string     `json:"backing-filename-format,omitempty"`
	Sector        int        `json:"logical-sector,omitempty"`
	Snapshots     []Snapshot `json:"snapshots,omitempty"`
}

// Info tells what the header says.
func (g *Image) Info() Info {
	g.io.RLock()
	defer g.io.RUnlock()
	h := &g.h
	return Info{
		Version: int(h.version), Size: h.size, ClusterSize: g.cs, RefcountBits: 1 << h.refcountOrder, Compression: h.compression.String(),
		LazyRefcounts: h.compat&compatLazyRefcounts != 0, Dirty: h.incompat&incompatDirty != 0, Corrupt: h.incompat&incompatCorrupt != 0,
		Backing: h.backing, BackingFormat: h.backingFormat, Sector: h.sector, Snapshots: append([]Snapshot(nil), g.snaps...),
	}
}

// Close flushes, cuts off what the file was made longer by in advance, and releases it and the backing file.
func (g *Image) Close() error {
	var errs []error
	if !g.readOnly {
		if err := g.Flush(); err != nil {
			errs = append(errs, err)
		} else {
			errs = append(errs, g.trim())
		}
	}
	errs = append(errs, g.f.Close())
	if g.backing != nil {
		errs = append(errs, g.backing.Close())
	}
	return errors.Join(errs...)
}

// checkRange says whether [off, off+n) lies in the disk.
func (g *Image) checkRange(off, n int64) error {
	if size := g.Size(); off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("%d bytes at %d are outside the disk of %d bytes", n, off, size)
	}
	return nil
}

func (g *Image) writable(off, n int64) error {
	if g.readOnly {
		return ErrReadOnly
	}
	return g.checkRange(off, n)
}

var errShrunk = fmt.Errorf("the image file is shorter than it was: %w", io.ErrUnexpectedEOF)
