package qcow2

// What is durable, and in which order it became so. Everything that a pointer leads to, and its refcount, is on the disk before the pointer
// is; what a pointer led to is used again only after the pointer that replaced it is. So a crash at any point leaves an image that is
// consistent but for clusters that nobody uses and that have a refcount:
//
//  1. refcount blocks, and with them data and new L2 tables as they were written;  Sync
//  2. the refcount table, if blocks were added;                                      Sync
//  3. entries of L2 tables and of the L1 table;                                      Sync
//  4. from then on clusters that have lost a user count as such.

import "fmt"

// Flush makes every write that has returned durable.
func (g *Image) Flush() error {
	if g.readOnly {
		return nil
	}
	reclaim, err := g.flush()
	if err != nil || !reclaim {
		return err
	}
	g.io.Lock()
	defer g.io.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reclaim()
}

// flush says whether something can be reclaimed afterwards.
func (g *Image) flush() (bool, error) {
	g.io.RLock()
	defer g.io.RUnlock()
	g.mu.Lock()
	if len(g.dirty) == 0 && g.l1Dirty.lo == g.l1Dirty.hi && len(g.pending) == 0 && g.broken == nil {
		g.mu.Unlock()
		return false, g.f.Sync() // writes in place only: nobody has to wait
	}
	defer g.mu.Unlock()
	err := g.flushTables()
	return err == nil && len(g.freed) > 0, err
}

// flushAll is Flush where io is held exclusively, and mu.
func (g *Image) flushAll() error {
	if err := g.flushTables(); err != nil {
		return err
	}
	return g.reclaim()
}

// flushRefcounts is the first two steps; mu is held.
func (g *Image) flushRefcounts() error {
	if g.broken != nil {
		return g.broken
	}
	if err := g.writeBlocks(); err != nil {
		return err
	}
	if err := g.sync(); err != nil {
		return err
	}
	if g.refDirty.lo == g.refDirty.hi {
		return nil
	}
	d := sectors(g.refDirty)
	if err := g.f.WritevAt([][]byte{g.encodeEntries(g.refTable[d.lo:d.hi])}, g.h.refTableOffset+d.lo*8); err != nil {
		return fmt.Errorf("the refcount table: %w", err)
	}
	if err := g.sync(); err != nil {
		return err
	}
	g.refDirty = span{}
	return nil
}

// flushTables is the first three steps; mu is held.
func (g *Image) flushTables() error {
	if err := g.flushRefcounts(); err != nil {
		return err
	}
	for _, t := range g.dirty {
		d := sectors(t.dirty)
		if err := g.f.WritevAt([][]byte{g.encodeEntries(t.e[d.lo:d.hi])}, t.off+d.lo*8); err != nil {
			return fmt.Errorf("the L2 table at %d: %w", t.off, err)
		}
	}
	if d := sectors(g.l1Dirty); d.lo != d.hi {
		d.hi = min(d.hi, int64(len(g.l1)))
		if err := g.f.WritevAt([][]byte{g.encodeEntries(g.l1[d.lo:d.hi])}, g.h.l1Offset+d.lo*8); err != nil {
			return fmt.Errorf("the L1 table: %w", err)
		}
	}
	if err := g.sync(); err != nil {
		return err
	}
	for _, t := range g.dirty {
		t.dirty, t.listed = span{}, false
	}
	clear(g.dirty)
	g.dirty, g.l1Dirty = g.dirty[:0], span{}
	g.freed = append(g.freed, g.pending...)
	g.pending = nil
	return nil
}

// sync is the host's. After it has failed nothing is known of the disk, and nothing that relies on it may follow; mu is held.
func (g *Image) sync() error {
	err := g.f.Sync()
	if err != nil {
		g.broken = fmt.Errorf("the host could not make writes durable, nothing more is written: %w", err)
	}
	return err
}

// sectors widens a span to whole sectors of 512 bytes, 64 entries.
func sectors(s span) span {
	if s.lo == s.hi {
		return span{}
	}
	return span{s.lo &^ 63, (s.hi + 63) &^ 63}
}
