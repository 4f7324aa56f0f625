package qcow2

// Check: the refcounts as they are against those that a walk over all tables finds.

import (
	"errors"
	"fmt"
)

// Repair is what Check may change.
type Repair int

// What to repair.
const (
	RepairNothing Repair = iota
	RepairLeaks          // refcounts that are too high
	RepairAll            // all refcounts, and pointers to where nothing can be
)

// Result is what Check found. After a repair it is what is left.
type Result struct {
	Corruptions int      `json:"corruptions"`
	Leaks       int      `json:"leaks"` // clusters
	Repaired    int      `json:"repaired"`
	Allocated   int64    `json:"allocated-clusters"` // of the disk
	Compressed  int64    `json:"compressed-clusters"`
	Total       int64    `json:"total-clusters"`
	Messages    []string `json:"messages,omitempty"` // the first of them
}

const maxMessages = 20

func (r *Result) corruption(format string, args ...any) {
	r.Corruptions++
	r.message("damaged: "+format, args...)
}

func (r *Result) leak(format string, args ...any) {
	r.Leaks++
	r.message("leaked: "+format, args...)
}

func (r *Result) message(format string, args ...any) {
	if len(r.Messages) < maxMessages {
		r.Messages = append(r.Messages, fmt.Sprintf(format, args...))
	}
}

// Check compares the image's structure with itself, and mends what it may. Other requests wait.
func (g *Image) Check(repair Repair) (*Result, error) {
	if repair != RepairNothing && g.readOnly {
		return nil, ErrReadOnly
	}
	g.io.Lock()
	defer g.io.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.readOnly {
		if err := g.flushAll(); err != nil {
			return nil, err
		}
	}
	r, refs, err := g.inspect()
	if err != nil || repair == RepairNothing || r.Corruptions+r.Leaks == 0 && g.h.incompat&(incompatDirty|incompatCorrupt) == 0 {
		return r, err
	}
	before := r.Corruptions + r.Leaks
	if repair == RepairAll && (r.Corruptions > 0 || g.h.incompat&(incompatDirty|incompatCorrupt) != 0) {
		err = g.rebuild()
	} else {
		err = g.freeLeaks(refs)
	}
	if err != nil {
		return nil, err
	}
	if r, _, err = g.inspect(); err == nil {
		r.Repaired = before - r.Corruptions - r.Leaks
	}
	return r, err
}

// counter counts users of clusters of the file.
type counter map[int64]*[counterPage]uint32

const counterPage = 4096

func (n counter) add(c, k int64) {
	for ; k > 0; c, k = c+1, k-1 {
		p := n[c/counterPage]
		if p == nil {
			p = new([counterPage]uint32)
			n[c/counterPage] = p
		}
		p[c%counterPage]++
	}
}

func (n counter) get(c int64) uint64 {
	if p := n[c/counterPage]; p != nil {
		return uint64(p[c%counterPage])
	}
	return 0
}

// inspect counts everything and compares; mu is held, nothing is dirty.
func (g *Image) inspect() (*Result, counter, error) {
	r := &Result{Total: (g.h.size + g.cs - 1) >> g.bits}
	refs := counter{}
	g.countStructure(refs)
	for i, e := range g.refTable {
		off := int64(e &^ 511)
		switch {
		case off == 0:
		case off&(g.cs-1) != 0 || off < 0 || off+g.cs > g.end.Load():
			r.corruption("refcount block %d is at %d, where no cluster is", i, off)
		default:
			refs.add(off>>g.bits, 1)
		}
	}
	if err := g.countTree(r, refs, g.l1, "", true); err != nil {
		return nil, nil, err
	}
	for _, s := range g.snaps {
		l1, err := g.readEntries(s.l1Offset, s.l1Size, "L1 table")
		if err != nil {
			r.corruption("snapshot %q: %v", s.Name, err)
			continue
		}
		if err := g.countTree(r, refs, l1, fmt.Sprintf("snapshot %q: ", s.Name), false); err != nil {
			return nil, nil, err
		}
	}
	return r, refs, g.compare(r, refs)
}

// countStructure counts what the header leads to, but refcount blocks.
func (g *Image) countStructure(refs counter) {
	refs.add(0, 1)
	refs.add(g.h.l1Offset>>g.bits, g.clusters(g.h.l1Size*8))
	refs.add(g.h.refTableOffset>>g.bits, g.h.refTableCluster)
	refs.add(g.h.snapshotsOffset>>g.bits, g.clusters(g.snapshotsLen()))
	for _, s := range g.snaps {
		refs.add(s.l1Offset>>g.bits, g.clusters(s.l1Size*8))
	}
}

// outside says that an L2 entry leads nowhere.
func (g *Image) outside(e uint64) bool {
	end := (g.end.Load() + g.cs - 1) &^ (g.cs - 1)
	if e&flagCompressed != 0 {
		off, _ := g.compressedAt(e)
		return off >= end || off < g.cs
	}
	off := entryOffset(e)
	return e != 0 && (off&(g.cs-1) != 0 || off+g.cs > end || off == 0 && e&flagZero == 0 || e&flagZero != 0 && g.h.version < 3)
}

// usesInFile is uses without what is past the file's end, which only the padding of compressed clusters is.
func (g *Image) usesInFile(e uint64) (first, n int64) {
	first, n = g.uses(e)
	if e&flagCompressed != 0 {
		n = min(n, g.clusters(g.end.Load())-first)
	}
	return first, n
}

func (g *Image) countTree(r *Result, refs counter, l1 []uint64, what string, active bool) error {
	seen := map[int64]struct{}{}
	for i, e := range l1 {
		off := entryOffset(e)
		if off == 0 {
			continue
		}
		if _, again := seen[off]; again {
			r.corruption("%sthe L2 table %d is at %d, where another is", what, i, off)
			refs.add(off>>g.bits, 1)
			continue
		}
		seen[off] = struct{}{}
		if off&(g.cs-1) != 0 || off+g.cs > g.end.Load() || off < g.cs {
			r.corruption("%sthe L2 table %d is at %d, where no cluster is", what, i, off)
			continue
		}
		t, err := g.readTable(off)
		if err != nil {
			return err
		}
		refs.add(off>>g.bits, 1)
		if active {
			if err := g.checkCopied(r, e, fmt.Sprintf("L2 table %d", i)); err != nil {
				return err
			}
		}
		for j, e := range t.e {
			at := (int64(i)<<g.l2bits + int64(j)) << g.bits
			if g.outside(e) {
				r.corruption("%sthe cluster for %d is at %d, where none can be", what, at, entryOffset(e))
				continue
			}
			c, n := g.usesInFile(e)
			if n == 0 {
				continue
			}
			refs.add(c, n)
			if !active {
				continue
			}
			r.Allocated++
			if e&flagCompressed != 0 {
				r.Compressed++
				continue
			}
			if g.isStructure(c) {
				r.corruption("the cluster for %d is at %d, over tables", at, entryOffset(e))
			}
			if err := g.checkCopied(r, e, fmt.Sprintf("the cluster for %d", at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkCopied compares an entry's flag for one user with the refcount.
func (g *Image) checkCopied(r *Result, e uint64, what string) error {
	n, err := g.refcount(entryOffset(e) >> g.bits)
	if err != nil {
		return nil // of a block that is reported itself
	}
	switch {
	case e&flagCopied != 0 && n != 1:
		r.corruption("%s is written in place and has the refcount %d", what, n)
	case e&flagCopied == 0 && n == 1:
		r.leak("%s is copied when written, without a need", what)
	}
	return nil
}

// compare looks at every refcount there is, and at every cluster that is used.
func (g *Image) compare(r *Result, refs counter) error {
	missing := func(c int64, have uint64) {
		r.corruption("the cluster at %d has the refcount %d and %d users", c<<g.bits, have, refs.get(c))
	}
	seen := map[uint64]struct{}{} // blocks that several entries have are damage already, and are looked at once
	for i, e := range g.refTable {
		b, err := g.block(int64(i))
		if _, again := seen[e]; err != nil || b == nil || again {
			continue // reported, or nothing
		}
		seen[e] = struct{}{}
		for j := range g.perRef {
			c := int64(i)*g.perRef + j
			switch have, want := getRef(b.b, g.refBits, j), refs.get(c); {
			case have < want:
				missing(c, have)
			case have > want:
				r.leak("the cluster at %d has the refcount %d and %d users", c<<g.bits, have, want)
			}
		}
	}
	for page := range refs {
		for c := page * counterPage; c < (page+1)*counterPage; c++ {
			if refs.get(c) == 0 {
				continue
			}
			if b, err := g.block(c / g.perRef); err != nil || b == nil {
				missing(c, 0)
			}
		}
	}
	return nil
}

// freeLeaks lowers what is too high.
func (g *Image) freeLeaks(refs counter) error {
	for i := range g.refTable {
		b, err := g.block(int64(i))
		if err != nil || b == nil {
			continue
		}
		for j := range g.perRef {
			if want := refs.get(int64(i)*g.perRef + j); getRef(b.b, g.refBits, j) > want {
				setRef(b.b, g.refBits, j, want)
				b.dirty = true
			}
		}
	}
	g.free = 0
	if err := g.setCopied(); err != nil {
		return err
	}
	return g.flushAll()
}

// rebuild clears pointers to where nothing can be, counts everything anew, writes the counts behind the file's end and makes them
// the image's by one write of the header.
func (g *Image) rebuild() error {
	tables := map[int64]struct{}{} // clusters that L1 tables have as L2 tables
	for _, p := range g.allL1() {
		l1, err := g.readEntries(p.off, p.size, "L1 table")
		if err != nil {
			return err
		}
		for _, e := range l1 {
			tables[entryOffset(e)>>g.bits] = struct{}{}
		}
	}
	for _, l1 := range g.allL1() {
		if err := g.clearOutside(l1.off, l1.size, tables); err != nil {
			return err
		}
	}
	if err := g.reload(); err != nil {
		return err
	}
	refs := counter{}
	g.countStructure(refs)
	for c := range g.h.refTableCluster { // the old one goes
		refs[(g.h.refTableOffset>>g.bits+c)/counterPage][(g.h.refTableOffset>>g.bits+c)%counterPage]--
	}
	for _, p := range g.allL1() {
		l1, err := g.readEntries(p.off, p.size, "L1 table")
		if err != nil {
			return err
		}
		if err := g.countTree(&Result{}, refs, l1, "", false); err != nil {
			return err
		}
	}
	if err := g.storeRefcounts(refs); err != nil {
		return err
	}
	if err := g.reload(); err != nil {
		return err
	}
	if err := g.setCopied(); err != nil {
		return err
	}
	return g.flushAll()
}

type l1Place struct{ off, size int64 }

func (g *Image) allL1() []l1Place {
	list := []l1Place{{g.h.l1Offset, g.h.l1Size}}
	for _, s := range g.snaps {
		list = append(list, l1Place{s.l1Offset, s.l1Size})
	}
	return list
}

// clearOutside zeroes the pointers of an L1 table, and of its L2 tables, that lead nowhere or to structure.
func (g *Image) clearOutside(off, size int64, tables map[int64]struct{}) error {
	l1, err := g.readEntries(off, size, "L1 table")
	if err != nil {
		return err
	}
	fixed := map[int64]struct{}{0: {}} // the header, and the L2 tables so far
	structure := counter{}
	g.countStructure(structure)
	changed := false
	for i, e := range l1 {
		at := entryOffset(e)
		if e == 0 {
			continue
		}
		if _, bad := fixed[at>>g.bits]; bad || at&(g.cs-1) != 0 || at+g.cs > g.end.Load() || structure.get(at>>g.bits) != 0 {
			l1[i], changed = 0, true
			continue
		}
		fixed[at>>g.bits] = struct{}{}
		t, err := g.readTable(at)
		if err != nil {
			return err
		}
		dirty := false
		for j, e := range t.e {
			c, n := g.usesInFile(e)
			_, over := tables[c]
			if g.outside(e) || n > 0 && e&flagCompressed == 0 && (over || structure.get(c) != 0) {
				t.e[j], dirty = 0, true
			}
		}
		if dirty {
			if err := g.f.WritevAt([][]byte{g.encodeEntries(t.e)}, at); err != nil {
				return err
			}
		}
	}
	if changed {
		if err := g.f.WritevAt([][]byte{g.encodeEntries(l1)}, off); err != nil {
			return err
		}
	}
	return g.f.Sync()
}

// storeRefcounts writes a whole new refcount structure behind the file's end.
func (g *Image) storeRefcounts(refs counter) error {
	base := g.clusters(g.end.Load())
	need := map[int64]struct{}{}
	for page := range refs {
		for c := page * counterPage; c < (page+1)*counterPage; c++ {
			if n := refs.get(c); n > g.maxRef() {
				return fmt.Errorf("the cluster at %d has %d users, more than refcounts of %d bits count: convert the image", c<<g.bits, n, 1<<g.refBits)
			} else if n > 0 {
				need[c/g.perRef] = struct{}{}
				base = max(base, c+1)
			}
		}
	}
	blocks, table := int64(0), int64(0)
	for {
		if table<<g.bits > max(maxRefTable, g.cs) {
			return errors.New("the image file is larger than a refcount table allows")
		}
		for c := base; c < base+blocks+table; c += g.perRef {
			need[c/g.perRef] = struct{}{}
		}
		last := int64(0)
		if blocks+table > 0 {
			last = (base + blocks + table - 1) / g.perRef
			need[last] = struct{}{}
		}
		for i := range need {
			last = max(last, i)
		}
		b, t := int64(len(need)), last/(g.cs/8)+1
		if b == blocks && t == table {
			break
		}
		blocks, table = b, t // both only grow
	}
	refs.add(base, blocks+table)
	entries := make([]uint64, table*g.cs/8)
	at := base << g.bits
	for i := range need {
		b := make([]byte, g.cs)
		for j := range g.perRef {
			setRef(b, g.refBits, j, refs.get(i*g.perRef+j))
		}
		entries[i] = uint64(at)
		if err := g.f.WritevAt([][]byte{b}, at); err != nil {
			return err
		}
		at += g.cs
	}
	h := g.h
	h.refTableOffset, h.refTableCluster = (base+blocks)<<g.bits, table
	h.incompat &^= incompatDirty | incompatCorrupt
	if err := g.f.WritevAt([][]byte{g.encodeEntries(entries)}, h.refTableOffset); err != nil {
		return err
	}
	if err := g.f.Sync(); err != nil {
		return err
	}
	return g.writeHeader(&h)
}

// reload forgets everything and reads it again.
func (g *Image) reload() error {
	g.blocks, g.meta = map[int64]*block{}, map[int64]struct{}{}
	g.dirty, g.l1Dirty, g.refDirty, g.pending, g.freed = nil, span{}, span{}, nil, nil
	g.free = 0
	lenient := g.lenient
	g.lenient = true
	defer func() { g.lenient = lenient }()
	if err := g.readHeader(); err != nil {
		return err
	}
	if err := g.readTables(); err != nil {
		return err
	}
	g.forgetAll()
	return nil
}
