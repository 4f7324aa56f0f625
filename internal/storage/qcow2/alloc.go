package qcow2

// Room in the file: which clusters are free, and a larger refcount table when there are more clusters than it has blocks for.

import (
	"errors"
	"fmt"
)

// growBy is by how much the file is made longer at once at most, bytes: a system call for each cluster would cost more than a small write. Small images
// grow by less, an eighth of what they have.
const growBy = 4 << 20

// maxTrim is how many clusters trim looks at: more were not added in advance.
const maxTrim = growBy >> minClusterBits * 2

// maxHost is where files end, bytes: offsets in entries have 56 bits.
const maxHost = int64(1) << 55

// alloc finds free clusters, at most want and at least one, in one piece, and gives them the refcount 1. Their offset in the file, and how many; mu is
// held.
func (g *Image) alloc(want int64) (host, n int64, err error) {
	if g.broken != nil {
		return 0, 0, g.broken
	}
	for c := g.free; ; {
		if c<<g.bits >= maxHost {
			return 0, 0, errors.New("the image file is as large as it can be")
		}
		b, err := g.makeBlock(c / g.perRef)
		if err != nil {
			return 0, 0, err
		}
		j := c % g.perRef
		for j < g.perRef && g.taken(b, c, j) {
			j++
			c++
		}
		if j == g.perRef {
			continue
		}
		for n < want && j+n < g.perRef && !g.taken(b, c+n, j+n) {
			n++
		}
		if err := g.extend((c + n) << g.bits); err != nil {
			return 0, 0, err
		}
		for k := range n {
			setRef(b.b, g.refBits, j+k, 1)
		}
		b.dirty = true
		g.free = c + n
		return c << g.bits, n, nil
	}
}

func (g *Image) taken(b *block, c, j int64) bool {
	if getRef(b.b, g.refBits, j) != 0 {
		return true
	}
	_, structure := g.meta[c] // only where refcounts are wrong
	return structure
}

// fresh says whether clusters from c on were never written, and notes that they will be; mu is held.
func (g *Image) fresh(c, n int64) bool {
	fresh := c >= g.virgin
	g.virgin = max(g.virgin, c+n)
	return fresh
}

// extend makes the file at least size bytes long; mu is held.
func (g *Image) extend(size int64) error {
	end := g.end.Load()
	if size <= end {
		return nil
	}
	least := size
	size += min(max(size/8, 16<<g.bits), growBy)
	size &^= 4095
	size = max(size, least)
	if err := g.f.Truncate(size); err != nil {
		if size = least; g.f.Truncate(size) != nil {
			return fmt.Errorf("making the image file longer than %d bytes: %w", end, err)
		}
	}
	g.extended = true
	g.end.Store(size)
	return nil
}

// trim writes what refcounts are left, and cuts off what extend did in advance. Nobody uses the image any more.
func (g *Image) trim() error {
	if err := g.flushRefcounts(); err != nil { // of what was reclaimed last
		return err
	}
	if !g.extended {
		return nil
	}
	last := (g.end.Load() + g.cs - 1) >> g.bits
	for stop := max(last-maxTrim, 1); last > stop && !g.isStructure(last-1); last-- {
		if n, err := g.refcount(last - 1); err != nil || n != 0 {
			break
		}
	}
	if last<<g.bits >= g.end.Load() {
		return nil
	}
	g.end.Store(last << g.bits)
	return g.f.Truncate(last << g.bits)
}

// allocRun is alloc of exactly n clusters; mu is held.
func (g *Image) allocRun(n int64) (host int64, err error) {
	for c, have := g.free, int64(0); ; c++ {
		if c<<g.bits >= maxHost {
			return 0, errors.New("the image file is as large as it can be")
		}
		b, err := g.makeBlock(c / g.perRef)
		if err != nil {
			return 0, err
		}
		if have++; g.taken(b, c, c%g.perRef) {
			have = 0
		}
		if have < n {
			continue
		}
		first := c - n + 1
		if err := g.extend((c + 1) << g.bits); err != nil {
			return 0, err
		}
		for k := first; k <= c; k++ {
			if _, err := g.change(k, 1); err != nil {
				return 0, err
			}
		}
		g.fresh(first, n)
		return first << g.bits, nil
	}
}

// release takes back an allocation that nothing points to yet; mu is held.
func (g *Image) release(c, n int64) {
	for k := range n {
		if _, err := g.change(c+k, -1); err != nil {
			return // a leak
		}
	}
	g.free = min(g.free, c)
}

// giveUp notes that a user of these clusters has gone. They can be used again when that is durable; mu is held.
func (g *Image) giveUp(c, n int64) {
	if k := len(g.pending); k > 0 && g.pending[k-1].first+g.pending[k-1].n == c {
		g.pending[k-1].n += n
		return
	}
	g.pending = append(g.pending, extent{c, n})
}

// giveUpEntry is giveUp for what an L2 entry has.
func (g *Image) giveUpEntry(e uint64) {
	switch {
	case e&flagCompressed != 0:
		off, n := g.compressedAt(e)
		first, last := off>>g.bits, (off+n-1)>>g.bits
		g.giveUp(first, last-first+1)
	case entryOffset(e) != 0:
		g.giveUp(entryOffset(e)>>g.bits, 1)
	}
}

// reclaim lowers the refcounts of what was given up. io is held exclusively, and mu.
func (g *Image) reclaim() error {
	list := g.freed
	g.freed = nil
	for i := range g.slots {
		g.slots[i].forget()
	}
	for _, x := range list {
		hole := extent{}
		for c := x.first; c < x.first+x.n; c++ {
			now, err := g.change(c, -1)
			if err != nil {
				return err // what is left stays a leak
			}
			if now != 0 {
				continue
			}
			delete(g.meta, c)
			g.free = min(g.free, c)
			if hole.first+hole.n != c {
				g.punch(hole)
				hole = extent{c, 0}
			}
			hole.n++
		}
		g.punch(hole)
	}
	return nil
}

// punch gives the host its space back. A host that cannot is none the worse.
func (g *Image) punch(x extent) {
	if x.n > 0 {
		_ = g.f.Punch(x.first<<g.bits, x.n<<g.bits)
	}
}

// makeBlock is the refcount block of that index, made where there is none; mu is held.
func (g *Image) makeBlock(i int64) (*block, error) {
	if i >= int64(len(g.refTable)) {
		if err := g.growRefTable(i); err != nil {
			return nil, err
		}
	}
	b, err := g.block(i)
	if err != nil || b != nil {
		return b, err
	}
	// None of its clusters has a user, so that the first is the block's own.
	c := i * g.perRef
	for g.isStructure(c) {
		if c++; c == (i+1)*g.perRef {
			return nil, corrupt("tables lie where no refcounts are")
		}
	}
	if err := g.extend((c + 1) << g.bits); err != nil {
		return nil, err
	}
	b = &block{b: make([]byte, g.cs), off: c << g.bits, dirty: true}
	setRef(b.b, g.refBits, c%g.perRef, 1)
	if err := g.keepBlock(i, b); err != nil {
		return nil, err
	}
	g.fresh(c, 1)
	g.meta[c] = struct{}{}
	g.refTable[i] = uint64(b.off)
	g.refDirty.add(i)
	return b, nil
}

// growRefTable makes the refcount table large enough for block i, behind everything the table has blocks for now; mu is held.
func (g *Image) growRefTable(i int64) error {
	perCluster := g.cs / 8
	have := int64(len(g.refTable))
	clusters := max(i+1+have/2, have+1)/perCluster + 1
	if clusters<<g.bits > max(maxRefTable, g.cs) {
		clusters = maxRefTable >> g.bits
		if clusters*perCluster <= i {
			return errors.New("the image file is as large as its refcount table allows: convert it to one with larger clusters")
		}
	}
	base, blocks := have*g.perRef, int64(1)
	for blocks*g.perRef < blocks+clusters {
		blocks++
	}
	if err := g.flushRefcounts(); err != nil { // what the new table points to has to be durable
		return err
	}
	if err := g.extend((base + blocks + clusters) << g.bits); err != nil {
		return err
	}
	table := make([]uint64, clusters*perCluster)
	copy(table, g.refTable)
	made := make([]*block, blocks)
	for k := range made {
		made[k] = &block{b: make([]byte, g.cs), off: (base + int64(k)) << g.bits}
		table[have+int64(k)] = uint64(made[k].off)
	}
	for c := range blocks + clusters {
		setRef(made[c/g.perRef].b, g.refBits, c%g.perRef, 1)
	}
	for _, b := range made {
		if err := g.f.WritevAt([][]byte{b.b}, b.off); err != nil {
			return err
		}
	}
	h := g.h
	h.refTableOffset, h.refTableCluster = (base+blocks)<<g.bits, clusters
	if err := g.f.WritevAt([][]byte{g.encodeEntries(table)}, h.refTableOffset); err != nil {
		return err
	}
	if err := g.f.Sync(); err != nil {
		return err
	}
	old := extent{g.h.refTableOffset >> g.bits, g.h.refTableCluster}
	if err := g.writeHeader(&h); err != nil {
		return err
	}
	for c := base; c < base+blocks+clusters; c++ {
		g.meta[c] = struct{}{}
	}
	g.fresh(base, blocks+clusters)
	g.refTable, g.refDirty = table, span{}
	for k, b := range made {
		if err := g.keepBlock(have+int64(k), b); err != nil {
			return err
		}
	}
	g.giveUp(old.first, old.n)
	return nil
}
