package qcow2

// Reads. Buffers go straight to the file's reads: neighbours on the disk that are neighbours in the file are one call, and nothing is copied or allocated.

import (
	"errors"
	"io"
)

// scratch is what a request needs beside its own buffers.
type scratch struct {
	parts [][]byte // a piece of the request's buffers
	buf   []byte   // two clusters: what stands before and behind a write
}

// cursor walks over a request's buffers.
type cursor struct {
	bufs [][]byte
	skip int // bytes of bufs[0] that are done
}

// take appends the buffers of the next n bytes to parts.
func (c *cursor) take(parts [][]byte, n int64) [][]byte {
	for n > 0 {
		b := c.bufs[0][c.skip:]
		if int64(len(b)) > n {
			b = b[:n]
			c.skip += len(b)
		} else {
			c.bufs, c.skip = c.bufs[1:], 0
		}
		if len(b) > 0 {
			parts = append(parts, b)
		}
		n -= int64(len(b))
	}
	return parts
}

// total is the length in bytes of all buffers.
func total(bufs [][]byte) int64 {
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// ReadvAt fills the buffers in order from off, in bytes.
func (g *Image) ReadvAt(bufs [][]byte, off int64) error {
	g.io.RLock()
	defer g.io.RUnlock()
	n := total(bufs)
	if err := g.checkRange(off, n); err != nil || n == 0 {
		return err
	}
	return g.read(bufs, off, off+n)
}

// read is ReadvAt with io held.
func (g *Image) read(bufs [][]byte, off, end int64) error {
	k, host, n, e, err := g.run(off, end)
	if err != nil {
		return err
	}
	if n == end-off { // all of it in one piece
		return g.readPiece(bufs, k, host, n, off, e)
	}
	s := g.scratch.Get().(*scratch)
	defer g.scratch.Put(s)
	c := cursor{bufs: bufs}
	for {
		s.parts = c.take(s.parts[:0], n)
		err := g.readPiece(s.parts, k, host, n, off, e)
		clear(s.parts)
		if err != nil {
			return err
		}
		if off += n; off == end {
			return nil
		}
		if k, host, n, e, err = g.run(off, end); err != nil {
			return err
		}
	}
}

func (g *Image) readPiece(bufs [][]byte, k kind, host, n, off int64, e uint64) error {
	switch k {
	case kindData:
		return g.readData(bufs, host, n)
	case kindBacking:
		return g.backing.ReadvAt(bufs, off)
	case kindCompressed:
		return g.readCompressed(bufs, e, off&(g.cs-1))
	}
	for _, b := range bufs {
		clear(b)
	}
	return nil
}

// readData reads n bytes of the file at host. The file's last cluster may be cut short, and then ends in zeros; others may not.
func (g *Image) readData(bufs [][]byte, host, n int64) error {
	end := g.end.Load()
	if host+n <= end {
		err := g.f.ReadvAt(bufs, host)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errShrunk
		}
		return err
	}
	if host+n > (end+g.cs-1)&^(g.cs-1) {
		return corrupt("data at %d is past the file's end at %d, it was cut off", host, end)
	}
	c := cursor{bufs: bufs}
	if have := end - host; have > 0 {
		if err := g.f.ReadvAt(c.take(nil, have), host); err != nil {
			return err
		}
		n -= have
	}
	for _, b := range c.take(nil, n) {
		clear(b)
	}
	return nil
}
