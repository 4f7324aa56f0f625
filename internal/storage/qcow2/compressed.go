package qcow2

// Compressed clusters: a run of bytes anywhere in the file that says one cluster ("Compressed Clusters Descriptor"). Only whole images are written so, by
// convert; a guest's write gives the cluster a place of its own.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

const (
	sector = 512 // bytes; the length of compressed clusters is in these
	// deflateWindow is as far back as other programs look, bytes.
	deflateWindow = 4096
	// zstdWindow is the most memory that a frame may want, bytes: those of clusters are no larger.
	zstdWindow = 8 << 20
	// decompressors is how many clusters are kept decompressed, and how many requests can decompress at once.
	decompressors = 8
)

// slot holds one cluster, decompressed.
type slot struct {
	mu         sync.Mutex
	entry      uint64 // 0 where there is none
	raw, plain []byte
	in         bytes.Reader
	deflate    io.ReadCloser
	zstd       *zstd.Decoder
}

func (s *slot) forget() {
	s.mu.Lock()
	s.entry = 0
	s.mu.Unlock()
}

// compressedAt is where the bytes of an entry are, and at most how many.
func (g *Image) compressedAt(e uint64) (off, n int64) {
	x := 62 - (g.bits - 8)
	off = int64(e & (1<<x - 1))
	n = int64((e&^(flagCompressed|flagCopied))>>x)*sector + sector - off%sector
	return off, n
}

// readCompressed fills bufs from byte at of the cluster that e says.
func (g *Image) readCompressed(bufs [][]byte, e uint64, at int64) error {
	s := &g.slots[(e>>9^e)%decompressors]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry != e {
		s.entry = 0
		if err := g.decompress(s, e); err != nil {
			return err
		}
		s.entry = e
	}
	for _, b := range bufs {
		at += int64(copy(b, s.plain[at:]))
	}
	return nil
}

// decompress fills a slot. What it makes is a cluster, whatever the bytes say.
func (g *Image) decompress(s *slot, e uint64) error {
	off, n := g.compressedAt(e)
	end := g.end.Load()
	if off >= end {
		return corrupt("a compressed cluster at %d is past the file's end at %d, it was cut off", off, end)
	}
	n = min(n, end-off) // the last one need not fill its sectors
	if s.plain == nil {
		s.plain, s.raw = make([]byte, g.cs), make([]byte, 2*g.cs)
	}
	if err := g.f.ReadvAt([][]byte{s.raw[:n]}, off); err != nil {
		return err
	}
	s.in.Reset(s.raw[:n])
	var r io.Reader
	switch g.h.compression {
	case Zstd:
		if s.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
			if err != nil {
				return err
			}
			s.zstd = d
		}
		if err := s.zstd.Reset(&s.in); err != nil {
			return corrupt("a compressed cluster at %d: %v", off, err)
		}
		r = s.zstd
	default:
		if s.deflate == nil {
			s.deflate = flate.NewReader(&s.in)
		} else if err := s.deflate.(flate.Resetter).Reset(&s.in, nil); err != nil {
			return err
		}
		r = s.deflate
	}
	if _, err := io.ReadFull(r, s.plain); err != nil {
		return corrupt("a compressed cluster at %d: %v", off, err)
	}
	return nil
}

// Compressor writes an image's clusters compressed. It is for one goroutine, and the image for nobody else meanwhile.
type Compressor struct {
	g       *Image
	out     bytes.Buffer
	deflate *flate.Writer
	zstd    *zstd.Encoder
	at, end int64 // the rest of the cluster of the file that the last one ended in
}

// NewCompressor makes a compressor for the image's kind of compression.
func (g *Image) NewCompressor() (*Compressor, error) {
	if g.readOnly {
		return nil, ErrReadOnly
	}
	c := &Compressor{g: g}
	var err error
	if g.h.compression == Zstd {
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(int(max(g.cs, zstd.MinWindowSize))))
	} else {
		c.deflate, err = flate.NewWriterWindow(&c.out, deflateWindow)
	}
	return c, err
}

// Write stores one cluster at off on the disk, compressed where that makes it smaller. b may be shorter at the disk's end.
func (c *Compressor) Write(b []byte, off int64) error {
	g := c.g
	if err := g.writable(off, int64(len(b))); err != nil {
		return err
	}
	if off&(g.cs-1) != 0 || int64(len(b)) > g.cs || int64(len(b)) < min(g.cs, g.Size()-off) {
		return fmt.Errorf("%d bytes at %d are no cluster", len(b), off)
	}
	if int64(len(b)) < g.cs {
		b = append(append(make([]byte, 0, g.cs), b...), make([]byte, g.cs-int64(len(b)))...)
	}
	var z []byte
	if c.zstd != nil {
		z = c.zstd.EncodeAll(b, nil)
	} else {
		c.out.Reset()
		c.deflate.Reset(&c.out)
		_, err := c.deflate.Write(b)
		if err = errors.Join(err, c.deflate.Close()); err != nil {
			return err
		}
		z = c.out.Bytes()
	}
	if int64(len(z)) >= g.cs {
		return g.WritevAt([][]byte{b[:min(g.cs, g.Size()-off)]}, off)
	}
	return c.store(z, off)
}

// store puts the bytes behind those of the cluster before, whose cluster of the file then has one more user.
func (c *Compressor) store(z []byte, off int64) error {
	g := c.g
	g.io.Lock()
	defer g.io.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := int64(len(z))
	share := c.at < c.end
	if share {
		users, err := g.refcount(c.at >> g.bits)
		share = err == nil && users < g.maxRef()
	}
	if !share {
		c.at, c.end = 0, 0
	}
	at := c.at
	if c.end-c.at < n {
		host, _, err := g.alloc(1)
		if err != nil {
			return err
		}
		g.fresh(host>>g.bits, 1)
		if share && host == c.end { // the bytes go on in the next cluster
			c.end += g.cs
		} else {
			at, c.end, share = host, host+g.cs, false
		}
	}
	if share {
		if _, err := g.change(at>>g.bits, 1); err != nil {
			return err
		}
	}
	if err := g.f.WritevAt([][]byte{z}, at); err != nil {
		return err
	}
	c.at = at + n
	t, err := g.own(off >> g.bits >> g.l2bits)
	if err != nil {
		return err
	}
	x := 62 - (g.bits - 8)
	more := (at%sector+n-1)/sector + 0
	j := off >> g.bits & (1<<g.l2bits - 1)
	old := t.at(j)
	g.set(t, j, flagCompressed|uint64(more)<<x|uint64(at))
	g.giveUpEntry(old)
	return nil
}
