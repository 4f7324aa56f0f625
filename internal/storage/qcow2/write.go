package qcow2

// Writes. Clusters that are the image's alone are written in place, neighbours in one call. Others get new places: the data is written
// there, together with what stands before and behind it in its clusters, and only then linked.

// WritevAt writes the buffers in order at off, in bytes.
func (g *Image) WritevAt(bufs [][]byte, off int64) error {
	g.io.RLock()
	defer g.io.RUnlock()
	n := total(bufs)
	if err := g.writable(off, n); err != nil || n == 0 {
		return err
	}
	return g.write(bufs, off, off+n)
}

// write is WritevAt with io held.
func (g *Image) write(bufs [][]byte, off, end int64) error {
	host, n, err := g.inPlace(off, end)
	if err != nil {
		return err
	}
	if n == end-off {
		return g.writeData(bufs, host, n)
	}
	s := g.scratch.Get().(*scratch)
	defer g.scratch.Put(s)
	c := cursor{bufs: bufs}
	for {
		if n > 0 {
			s.parts = c.take(s.parts[:0], n)
			err = g.writeData(s.parts, host, n)
		} else {
			n, err = g.writeNew(s, &c, off, end)
		}
		clear(s.parts)
		if err != nil {
			return err
		}
		if off += n; off == end {
			return nil
		}
		if host, n, err = g.inPlace(off, end); err != nil {
			return err
		}
	}
}

// writeData writes in place. The file may have been shorter than its last cluster.
func (g *Image) writeData(bufs [][]byte, host, n int64) error {
	if end := g.end.Load(); host+n > end {
		if host+n > (end+g.cs-1)&^(g.cs-1) {
			return corrupt("data at %d is past the file's end at %d, it was cut off", host, end)
		}
		g.mu.Lock()
		err := g.extend(host + n)
		g.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return g.f.WritevAt(bufs, host)
}

// reserve finds places for the clusters of [off, end) that cannot be written in place, as many as are in one piece, and makes them busy. count is 0
// where somebody else has done so meanwhile.
func (g *Image) reserve(off, end int64) (host, count int64, fresh bool, err error) {
	first, last := off>>g.bits, (end-1)>>g.bits
	last = min(last, first|(1<<g.l2bits-1)) // in one L2 table
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waitBusy(first, last-first+1)
	t, err := g.own(first >> g.l2bits)
	if err != nil {
		return 0, 0, false, err
	}
	for c := first; c <= last; c++ {
		e := t.at(c & (1<<g.l2bits - 1))
		k, err := g.classify(t, e, c<<g.bits)
		if err != nil {
			return 0, 0, false, err
		}
		if k == kindData && e&flagCopied != 0 {
			break
		}
		count++
	}
	if count == 0 {
		return 0, 0, false, nil
	}
	if host, count, err = g.alloc(count); err != nil {
		return 0, 0, false, err
	}
	g.busy = append(g.busy, extent{first, count})
	return host, count, g.fresh(host>>g.bits, count), nil
}

// waitBusy waits until nobody gives places to clusters of the disk among these; mu is held.
func (g *Image) waitBusy(first, n int64) {
	for i := 0; i < len(g.busy); i++ {
		if b := g.busy[i]; b.first < first+n && first < b.first+b.n {
			g.unbusy.Wait()
			i = -1
		}
	}
}

// idle ends what reserve began; mu is held.
func (g *Image) idle(first int64) {
	for i := range g.busy {
		if g.busy[i].first == first {
			g.busy[i] = g.busy[len(g.busy)-1]
			g.busy = g.busy[:len(g.busy)-1]
			break
		}
	}
	g.unbusy.Broadcast()
}

// writeNew writes the first part of [off, end) to new places. It returns how many bytes that was; 0 says to look again.
func (g *Image) writeNew(s *scratch, c *cursor, off, end int64) (n int64, err error) {
	host, count, fresh, err := g.reserve(off, end)
	if err != nil || count == 0 {
		return 0, err
	}
	first := off >> g.bits
	n = min(end, (first+count)<<g.bits) - off
	err = g.fill(s, c, host, off, n, (first+count)<<g.bits, fresh)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.idle(first)
	if err == nil {
		err = g.link(first, count, host, 0)
	}
	if err != nil {
		g.release(host>>g.bits, count)
		return 0, err
	}
	return n, nil
}

// fill writes n bytes for off on the disk to the new clusters at host, and what the first and the last of them, which ends at stop on the disk, hold beside it.
func (g *Image) fill(s *scratch, c *cursor, host, off, n, stop int64, fresh bool) error {
	start := off &^ (g.cs - 1)
	head, tail := off-start, stop-(off+n)
	s.parts = s.parts[:0]
	at := host + head
	if head > 0 {
		b := s.buf[:head]
		zeros, err := g.readOld(b, start)
		if err != nil {
			return err
		}
		if !zeros || !fresh {
			s.parts = append(s.parts, b)
			at = host
		}
	}
	s.parts = c.take(s.parts, n)
	if tail > 0 {
		b := s.buf[g.cs : g.cs+tail]
		zeros, err := g.readOld(b, off+n)
		if err != nil {
			return err
		}
		if !zeros || !fresh {
			s.parts = append(s.parts, b)
		}
	}
	return g.f.WritevAt(s.parts, at)
}

// readOld reads what is at off on the disk, the disk's end being no bound, and says whether it is known to be zeros.
func (g *Image) readOld(b []byte, off int64) (zeros bool, err error) {
	if n := max(g.Size()-off, 0); n < int64(len(b)) {
		clear(b[n:])
		b = b[:n]
	}
	zeros = true
	for len(b) > 0 {
		k, host, n, e, err := g.run(off, off+int64(len(b)))
		if err != nil {
			return false, err
		}
		bufs := [1][]byte{b[:n]}
		if err := g.readPiece(bufs[:], k, host, n, off, e); err != nil {
			return false, err
		}
		zeros = zeros && (k == kindNone || k == kindZero)
		b, off = b[n:], off+n
	}
	return zeros, nil
}

// link points count clusters of the disk to those of the file from host on, all in one L2 table, and gives up what they had; mu is held.
func (g *Image) link(first, count, host int64, flags uint64) error {
	t, err := g.own(first >> g.l2bits)
	if err != nil {
		return err
	}
	for k := range count {
		j := (first + k) & (1<<g.l2bits - 1)
		old := t.at(j)
		g.set(t, j, uint64(host+k<<g.bits)|flagCopied|flags)
		g.giveUpEntry(old)
	}
	return nil
}
