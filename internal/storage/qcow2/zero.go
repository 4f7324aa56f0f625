package qcow2

// Discards and zeros: whole clusters lose their places, edges are written.

// manyPending is how many pieces may wait to be reclaimed before somebody flushes for it: who discards and never flushes is bounded too.
const manyPending = 4096

// Discard says that the range's contents do not matter. Whole clusters read as zeros afterwards and give their space back at the next Flush; in
// version 2, clusters over a backing file stay as they are.
func (g *Image) Discard(off, n int64) error {
	if err := g.writable(off, n); err != nil {
		return err
	}
	first, end := (off+g.cs-1)&^(g.cs-1), g.clusterEnd(off+n)
	if first >= end {
		return nil
	}
	return g.zeroClusters(first, end, true, true)
}

// clusterEnd is the end of the last whole cluster before off; the disk's end ends one.
func (g *Image) clusterEnd(off int64) int64 {
	if off == g.Size() {
		return off
	}
	return off &^ (g.cs - 1)
}

// WriteZeroes makes the range read as zeros; mayUnmap gives its space back.
func (g *Image) WriteZeroes(off, n int64, mayUnmap bool) error {
	if err := g.writable(off, n); err != nil || n == 0 {
		return err
	}
	first, end := (off+g.cs-1)&^(g.cs-1), g.clusterEnd(off+n)
	if first >= end {
		return g.writeZeroes(off, n)
	}
	if err := g.writeZeroes(off, first-off); err != nil {
		return err
	}
	if err := g.writeZeroes(end, off+n-end); err != nil {
		return err
	}
	return g.zeroClusters(first, end, mayUnmap, false)
}

var zeroes [64 << 10]byte

// writeZeroes writes zeros where there are none yet.
func (g *Image) writeZeroes(off, n int64) error {
	g.io.RLock()
	defer g.io.RUnlock()
	for n > 0 {
		k, _, run, _, err := g.run(off, off+n)
		if err != nil {
			return err
		}
		if k != kindNone && k != kindZero {
			run = min(run, int64(len(zeroes)))
			bufs := [1][]byte{zeroes[:run]}
			if err := g.write(bufs[:], off, off+run); err != nil {
				return err
			}
		}
		off, n = off+run, n-run
	}
	return nil
}

// zeroClusters makes the whole clusters of [off, end) zeros; discard says that they may as well stay what they are.
func (g *Image) zeroClusters(off, end int64, unmap, discard bool) error {
	for off < end {
		i1, _ := g.index(off)
		stop := min(end, (i1+1)<<(g.l2bits+g.bits))
		written, err := g.zeroInTable(i1, off, stop, unmap)
		if err != nil {
			return err
		}
		if !written && !discard { // version 2 over a backing file has no other zeros
			if err := g.writeZeroes(off, stop-off); err != nil {
				return err
			}
		}
		off = stop
	}
	g.mu.Lock()
	many := len(g.pending)+len(g.freed) > manyPending
	g.mu.Unlock()
	if many {
		return g.Flush()
	}
	return nil
}

// zeroInTable is zeroClusters for what one L2 table has. It says false where the format has no way to.
func (g *Image) zeroInTable(i1, off, stop int64, unmap bool) (bool, error) {
	g.io.RLock()
	defer g.io.RUnlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	first, last := off>>g.bits, (stop-1)>>g.bits
	g.waitBusy(first, last-first+1)
	behind := g.backing != nil && off < g.backing.Size()
	if behind && g.h.version < 3 {
		return false, nil
	}
	t, err := g.load(i1)
	if err != nil || t == nil && !behind {
		return err == nil, err
	}
	if t, err = g.own(i1); err != nil {
		return false, err
	}
	for c := first; c <= last; c++ {
		j := c & (1<<g.l2bits - 1)
		old := t.at(j)
		k, err := g.classify(t, old, c<<g.bits)
		switch {
		case err != nil:
			return false, err
		case k == kindNone || k == kindZero && !unmap:
			continue
		}
		e := uint64(0)
		switch {
		case !unmap && k == kindData && old&flagCopied != 0 && g.h.version >= 3:
			g.set(t, j, old|flagZero) // the place stays reserved
			continue
		case g.backing != nil && c<<g.bits < g.backing.Size():
			e = flagZero
		}
		if e == old {
			continue
		}
		g.set(t, j, e)
		g.giveUpEntry(old)
	}
	return true, nil
}
