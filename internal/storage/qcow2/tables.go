package qcow2

// Where a cluster of the disk is: L1 entries point to L2 tables, whose entries point to clusters ("Cluster mapping").
//
// The L1 table is in memory whole. L2 tables are read as they are needed and evicted by a clock. A table that was evicted while a request
// looked at it is still right for that request: what its entries point to is not used again while a request is in flight.

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
)

const (
	flagCopied     = uint64(1) << 63 // the cluster has one user: it may be written in place
	flagCompressed = uint64(1) << 62
	flagZero       = uint64(1) // reads as zeros; version 3
	offsetMask     = uint64(1)<<56 - 1<<9
)

// entryOffset is where an L1 entry, or an L2 entry that is not compressed, points.
func entryOffset(e uint64) int64 { return int64(e & offsetMask) }

// table is an L2 table in memory. Entries are as in the file, in the host's byte order, and written under mu.
type table struct {
	i1     int64 // its index into the L1 table
	off    int64 // in the file; changes under mu
	e      []uint64
	bad    []uint64 // sorted: values of entries that point where no data can be; never changed
	used   atomic.Bool
	dirty  span
	listed bool // in Image.dirty
}

func (t *table) at(j int64) uint64 { return atomic.LoadUint64(&t.e[j]) }

// set changes an entry; mu is held.
func (g *Image) set(t *table, j int64, e uint64) {
	atomic.StoreUint64(&t.e[j], e)
	t.dirty.add(j)
	if !t.listed {
		t.listed = true
		g.dirty = append(g.dirty, t)
	}
}

// setL1 changes an entry of the L1 table; mu is held.
func (g *Image) setL1(i int64, e uint64) {
	atomic.StoreUint64(&g.l1[i], e)
	g.l1Dirty.add(i)
}

// index splits an offset on the disk into an index of the L1 table and one of the L2 table.
func (g *Image) index(off int64) (i1, i2 int64) {
	c := off >> g.bits
	return c >> g.l2bits, c & (1<<g.l2bits - 1)
}

// lookup is the L2 table for an entry of the L1 table, nil where there is none. mu is not held.
func (g *Image) lookup(i1 int64) (*table, error) {
	if t := g.l2[i1].Load(); t != nil {
		if !t.used.Load() {
			t.used.Store(true)
		}
		return t, nil
	}
	if atomic.LoadUint64(&g.l1[i1]) == 0 {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.load(i1)
}

// load is lookup with mu held.
func (g *Image) load(i1 int64) (*table, error) {
	if t := g.l2[i1].Load(); t != nil {
		return t, nil
	}
	off := entryOffset(g.l1[i1])
	if off == 0 {
		return nil, nil
	}
	t, err := g.readTable(off)
	if err != nil {
		return nil, err
	}
	t.i1 = i1
	return t, g.keep(t)
}

// readTable reads an L2 table and judges its entries.
func (g *Image) readTable(off int64) (*table, error) {
	if off&(g.cs-1) != 0 || off>>g.bits == 0 {
		return nil, corrupt("an L2 table is at %d", off)
	}
	if off+g.cs > g.end.Load() {
		return nil, corrupt("the L2 table at %d is past the file's end", off)
	}
	b := make([]byte, g.cs)
	if err := g.f.ReadvAt([][]byte{b}, off); err != nil {
		return nil, fmt.Errorf("the L2 table at %d: %w", off, err)
	}
	t := &table{off: off, e: make([]uint64, len(b)/8)}
	for j := range t.e {
		e := binary.BigEndian.Uint64(b[j*8:])
		t.e[j] = e
		if e&flagCompressed == 0 && e != 0 && !g.plausible(e) {
			t.bad = append(t.bad, e)
		}
	}
	slices.Sort(t.bad)
	return t, nil
}

// plausible says whether an entry can point to data: to a whole cluster that holds no structure.
func (g *Image) plausible(e uint64) bool {
	off := entryOffset(e)
	if e&flagZero != 0 && g.h.version < 3 {
		return false
	}
	if off == 0 {
		return e&flagZero != 0 && e&^(flagZero|flagCopied) == 0
	}
	_, structure := g.meta[off>>g.bits]
	return off&(g.cs-1) == 0 && !structure && e&^(flagZero|flagCopied|offsetMask) == 0
}

// keep puts a table into the cache, and something else out of it when it is full; mu is held.
func (g *Image) keep(t *table) error {
	if len(g.loaded) >= g.maxTables {
		if err := g.evict(); err != nil {
			return err
		}
	}
	t.used.Store(true)
	g.loaded = append(g.loaded, t)
	g.l2[t.i1].Store(t)
	return nil
}

// evict takes a table that was not used of late out of memory. When all are dirty they are written, in the order that Flush has; mu is held.
func (g *Image) evict() error {
	for range 2 {
		for range 2 * len(g.loaded) {
			if g.hand >= len(g.loaded) {
				g.hand = 0
			}
			t := g.loaded[g.hand]
			if t.listed || t.used.Swap(false) {
				g.hand++
				continue
			}
			g.forget(g.hand)
			return nil
		}
		if err := g.flushTables(); err != nil {
			return err
		}
	}
	return nil // all are in use: one more than the bound does no harm
}

func (g *Image) forget(k int) {
	g.l2[g.loaded[k].i1].Store(nil)
	last := len(g.loaded) - 1
	g.loaded[k] = g.loaded[last]
	g.loaded[last] = nil
	g.loaded = g.loaded[:last]
}

// forgetAll empties the cache; nothing of it is dirty. io is held exclusively, and mu.
func (g *Image) forgetAll() {
	g.l2 = make([]atomic.Pointer[table], len(g.l1))
	g.loaded, g.hand = nil, 0
}

// own is the L2 table for an entry of the L1 table, made or copied so that it can be changed; mu is held.
func (g *Image) own(i1 int64) (*table, error) {
	old := g.l1[i1]
	if old&flagCopied != 0 && entryOffset(old) != 0 {
		return g.load(i1)
	}
	t, err := g.load(i1) // shared with a snapshot, or not there
	if err != nil {
		return nil, err
	}
	host, _, err := g.alloc(1)
	if err != nil {
		return nil, err
	}
	fresh := t == nil
	if fresh {
		t = &table{i1: i1, e: make([]uint64, 1<<g.l2bits)}
	}
	// Whole and before anything points to it: what a crash finds there is the table as it was.
	if err := g.f.WritevAt([][]byte{g.encodeEntries(t.e)}, host); err != nil {
		g.release(host>>g.bits, 1)
		return nil, err
	}
	if fresh {
		if err := g.keep(t); err != nil {
			g.release(host>>g.bits, 1)
			return nil, err
		}
	} else {
		g.giveUp(entryOffset(old)>>g.bits, 1)
	}
	t.off = host
	g.meta[host>>g.bits] = struct{}{}
	g.setL1(i1, uint64(host)|flagCopied)
	return t, nil
}

// encodeEntries is entries as in the file.
func (g *Image) encodeEntries(e []uint64) []byte {
	b := make([]byte, len(e)*8)
	for i, v := range e {
		binary.BigEndian.PutUint64(b[i*8:], v)
	}
	return b
}

// kind is what a cluster of the disk is.
type kind uint8

const (
	kindNone       kind = iota // nothing here, and nothing in the backing file: zeros
	kindBacking                // the backing file's
	kindZero                   // zeros
	kindData                   // a cluster of the file
	kindCompressed             // a part of the file that says a cluster
)

// classify is what an entry of table t for the disk's offset off says.
func (g *Image) classify(t *table, e uint64, off int64) (kind, error) {
	switch {
	case e&flagCompressed != 0:
		return kindCompressed, nil
	case e == 0:
		if g.backing != nil && off < g.backing.Size() {
			return kindBacking, nil
		}
		return kindNone, nil
	}
	if t.bad != nil {
		if _, bad := slices.BinarySearch(t.bad, e); bad {
			return 0, corrupt("the cluster for %d points to %d", off, entryOffset(e))
		}
	}
	switch {
	case e&flagZero != 0:
		return kindZero, nil
	}
	return kindData, nil
}

// run is the first part of [off, end) that is all of one kind and, when it is data, in one piece in the file at host. e is the first entry.
func (g *Image) run(off, end int64) (k kind, host, n int64, e uint64, err error) {
	i1, i2 := g.index(off)
	t, err := g.lookup(i1)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	// The first cluster that another L2 table has ends every run.
	limit := min(end, (i1+1)<<(g.l2bits+g.bits))
	if t == nil {
		k, n = kindNone, limit-off
		if g.backing != nil && off < g.backing.Size() {
			k, n = kindBacking, min(limit, g.backing.Size())-off
		}
		return k, 0, n, 0, nil
	}
	e = t.at(i2)
	if k, err = g.classify(t, e, off); err != nil {
		return 0, 0, 0, 0, err
	}
	next := (off &^ (g.cs - 1)) + g.cs
	if k == kindCompressed {
		return k, 0, min(next, end) - off, e, nil
	}
	first := entryOffset(e)
	for at := first; next < limit; next += g.cs {
		i2++
		at += g.cs
		f := t.at(i2)
		more, err := g.classify(t, f, next)
		if err != nil || more != k || k == kindData && entryOffset(f) != at {
			break
		}
	}
	n = min(next, limit) - off
	if k == kindBacking {
		n = min(n, g.backing.Size()-off)
	}
	return k, first + off&(g.cs-1), n, e, nil
}

// inPlace is the first part of [off, end) that may be written where it is, in one piece in the file at host; n is 0 where the first cluster may not.
func (g *Image) inPlace(off, end int64) (host, n int64, err error) {
	i1, i2 := g.index(off)
	if atomic.LoadUint64(&g.l1[i1])&flagCopied == 0 {
		return 0, 0, nil
	}
	t, err := g.lookup(i1)
	if err != nil || t == nil {
		return 0, 0, err
	}
	limit := min(end, (i1+1)<<(g.l2bits+g.bits))
	next := off &^ (g.cs - 1)
	first, at := int64(0), int64(0)
	for ; next < limit; next += g.cs {
		e := t.at(i2)
		k, err := g.classify(t, e, next)
		if err != nil && n == 0 {
			return 0, 0, err
		}
		if err != nil || k != kindData || e&flagCopied == 0 || n != 0 && entryOffset(e) != at {
			break
		}
		if n == 0 {
			first, at = entryOffset(e), entryOffset(e)
		}
		n += g.cs
		at += g.cs
		i2++
	}
	if n == 0 {
		return 0, 0, nil
	}
	return first + off&(g.cs-1), min(next, limit) - off, nil
}
