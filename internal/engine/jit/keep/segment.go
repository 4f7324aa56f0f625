package keep

// A segment: the file of a run.
//
//	pages: the contents of each, and its pieces, each of which is its offset in the page, its length, and its bytes
//	the index, in the order of the checksums of contents: what the pages are, and where
//	the end: the whole identity, where the index is, and its checksum
//
// All numbers are little-endian. The file is read, not mapped: a file that is cut short under a mapping would end the process.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

var magic = [8]byte{'v', 'm', 'c', 'o', 'd', 'e', '0', '1'}

const (
	pieceHeader = 2 + 2 + 4          // offset, nothing, length
	pageEntry   = 4 + 4 + 8 + 4 + 4  // checksum of the contents, kind, where, length, checksum of the pieces
	endSize     = 8 + 32 + 8 + 8 + 4 // magic, identity, where the index is, how many pages, checksum
)

// segment is a file that is read.
type segment struct {
	file   *os.File
	index  []byte
	pages  int
	start  int64 // of the index in the file
	buffer []byte
}

// openSegments opens the files of the identity that were used last. What cannot be is left alone.
func (s *Store) openSegments() {
	now := time.Now()
	for _, f := range list(s.folder) {
		if !strings.HasPrefix(f.name, s.id.prefix()) || !strings.HasSuffix(f.name, suffix) {
			continue
		}
		g, err := openSegment(s.folder, f.name, s.id)
		if err != nil {
			continue
		}
		_ = s.folder.Chtimes(f.name, now, now)
		s.segments = append(s.segments, g)
		s.present += f.size
		if len(s.segments) == maxFiles {
			break
		}
	}
}

var errDamaged = errors.New("a damaged file")

func openSegment(r *os.Root, name string, id Identity) (*segment, error) {
	f, info, err := openFile(r, name)
	if err != nil {
		return nil, err
	}
	g := &segment{file: f}
	if err := g.readIndex(info.Size(), id); err != nil {
		f.Close()
		return nil, err
	}
	readAhead(f, info.Size())
	return g, nil
}

// readIndex reads what is behind the pieces, and checks its sum.
func (g *segment) readIndex(size int64, id Identity) error {
	if size < endSize || size > maxTotal {
		return errDamaged
	}
	var end [endSize]byte
	if _, err := g.file.ReadAt(end[:], size-endSize); err != nil {
		return err
	}
	le := binary.LittleEndian
	start, pages := int64(le.Uint64(end[40:])), le.Uint64(end[48:])
	if [8]byte(end[:]) != magic || Identity(end[8:40]) != id || start < 0 || start > size-endSize || pages > uint64(size)/pageEntry || int64(pages*pageEntry) != size-endSize-start {
		return errDamaged
	}
	g.index, g.pages, g.start = make([]byte, pages*pageEntry), int(pages), start
	if _, err := g.file.ReadAt(g.index, start); err != nil {
		return err
	}
	if crc32.Update(crc32.Checksum(g.index, castagnoli), castagnoli, end[:endSize-4]) != le.Uint32(end[endSize-4:]) {
		return errDamaged
	}
	return nil
}

// find is Store.Find in one file.
func (g *segment) find(crc uint32, kind Kind, contents *[PageSize]byte, f func(off uint16, piece []byte)) {
	le := binary.LittleEndian
	page := func(i int) []byte { return g.index[i*pageEntry:][:pageEntry] }
	lo, hi := 0, g.pages
	for lo < hi {
		if mid := (lo + hi) / 2; le.Uint32(page(mid)) < crc {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for last := lo + maxAlike; lo < min(g.pages, last) && le.Uint32(page(lo)) == crc; lo++ {
		p := page(lo)
		if Kind(p[4]) != kind {
			continue
		}
		b := g.read(int64(le.Uint64(p[8:])), int(le.Uint32(p[16:])))
		if len(b) < PageSize || !bytes.Equal(b[:PageSize], contents[:]) {
			continue
		}
		pieces := b[PageSize:]
		if crc32.Checksum(pieces, castagnoli) != le.Uint32(p[20:]) {
			continue
		}
		for len(pieces) >= pieceHeader {
			off, n := le.Uint16(pieces), int(le.Uint32(pieces[4:]))
			if pieces = pieces[pieceHeader:]; n > len(pieces) {
				break
			}
			f(off, pieces[:n])
			pieces = pieces[n:]
		}
	}
}

// read reads n bytes of the file, into memory that is used again; nil if they are not there.
func (g *segment) read(at int64, n int) []byte {
	if n > PageSize+maxPage || at < 0 || at > g.start-int64(n) {
		return nil
	}
	if cap(g.buffer) < n {
		g.buffer = make([]byte, n+n/2)
	}
	b := g.buffer[:n]
	if _, err := g.file.ReadAt(b, at); err != nil {
		return nil
	}
	return b
}

func (g *segment) close() { _ = g.file.Close() }

// writer is a file that is being made. It is in the way of nobody until it is complete.
type writer struct {
	file *os.File
	at   int64
	buf  []byte // that is not in the file yet
	err  error
}

// flushAt is how much is gathered before it is written.
const flushAt = 256 << 10

// newWriter makes a file with a temporary name.
func newWriter(r *os.Root, id Identity) (w *writer, name string, err error) {
	name = id.fileName()
	f, err := r.OpenFile(name+temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return &writer{file: f}, name, err
}

// write adds bytes, and returns where they are.
func (w *writer) write(b []byte) int64 {
	at := w.at
	w.buf = append(w.buf, b...)
	w.at += int64(len(b))
	if len(w.buf) >= flushAt {
		w.flush()
	}
	return at
}

// has says that these contents are at a place.
func (w *writer) has(at int64, contents *[PageSize]byte) bool {
	if at+PageSize > w.at-int64(len(w.buf)) {
		w.flush()
	}
	var b [PageSize]byte
	_, err := w.file.ReadAt(b[:], at)
	return err == nil && b == *contents
}

func (w *writer) flush() {
	if w.err == nil {
		_, w.err = w.file.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// piece adds a piece of an offset, and returns where it is.
func (w *writer) piece(off uint16, b []byte) place {
	var h [pieceHeader]byte
	binary.LittleEndian.PutUint16(h[:], off)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(b)))
	at := w.write(h[:])
	w.write(b)
	return place{at, int32(len(h) + len(b)), off}
}

// place is where a piece is in a file.
type place struct {
	at  int64
	n   int32
	off uint16 // that it belongs to
}

// arrange makes the segment of pages whose pieces are in from, in the order in which they came.
func (w *writer) arrange(from *writer, pages map[uint32][]*Page, id Identity) error {
	from.flush()
	if from.err != nil {
		return from.err
	}
	le := binary.LittleEndian
	var index, pieces []byte
	contents := make([]byte, PageSize)
	n := 0
	for _, crc := range slices.Sorted(maps.Keys(pages)) {
		for _, p := range pages[crc] {
			pieces = pieces[:0]
			if _, err := from.file.ReadAt(contents, p.at); err != nil {
				return err
			}
			at := w.write(contents)
			slices.SortFunc(p.pieces, func(a, b place) int { return cmp.Compare(a.off, b.off) })
			for _, q := range p.pieces {
				n := len(pieces)
				pieces = slices.Grow(pieces, int(q.n))[:n+int(q.n)]
				if _, err := from.file.ReadAt(pieces[n:], q.at); err != nil {
					return err
				}
			}
			w.write(pieces)
			index = le.AppendUint32(index, crc)
			index = append(index, byte(p.kind), 0, 0, 0)
			index = le.AppendUint64(index, uint64(at))
			index = le.AppendUint32(index, uint32(PageSize+len(pieces)))
			index = le.AppendUint32(index, crc32.Checksum(pieces, castagnoli))
			n++
		}
	}
	end := append([]byte(nil), magic[:]...)
	end = append(end, id[:]...)
	end = le.AppendUint64(end, uint64(w.write(index)))
	end = le.AppendUint64(end, uint64(n))
	end = le.AppendUint32(end, crc32.Update(crc32.Checksum(index, castagnoli), castagnoli, end))
	w.write(end)
	w.flush()
	return w.err
}
