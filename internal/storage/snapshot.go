package storage

// Snapshots: what a machine writes goes to a temporary file that vanishes with the machine; the image itself is only read.
//
// The temporary file is as large as the image and sparse, so a block lies at the same offset in both and a bitmap says which of
// the two has it. A block, once in the temporary file, stays there.

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

const (
	blockShift = 12
	blockSize  = 1 << blockShift
)

// snapshot implements [Image].
type snapshot struct {
	base Image
	top  *file
	have []atomic.Uint64 // one bit a block: it is in top

	// A write that covers part of a block first copies the rest up, which must not run over a whole-block write that has
	// finished. So copying up holds mu exclusively, and writing holds it shared.
	mu    sync.RWMutex
	block [blockSize]byte // for copying up

	parts sync.Pool // of *[][]byte: a request cut where its blocks change sides
}

// newSnapshot lays an empty snapshot over base, which it owns from then on.
func newSnapshot(base Image) (*snapshot, error) {
	f, err := tempFile()
	if err != nil {
		return nil, fmt.Errorf("making a temporary file for the snapshot: %w", err)
	}
	size := base.Size()
	top := newFile(f, size, false)
	if err := top.truncate(size); err != nil {
		f.Close()
		return nil, fmt.Errorf("making a temporary file of %d bytes for the snapshot: %w: set TMPDIR to a file system with large sparse files",
			size, err)
	}
	blocks := (size + blockSize - 1) >> blockShift
	return &snapshot{
		base: base, top: top,
		have:  make([]atomic.Uint64, (blocks+63)/64),
		parts: sync.Pool{New: func() any { return new([][]byte) }},
	}, nil
}

// tempFile makes a file that has no name. Where the user has not chosen, /var/tmp comes before /tmp, which may be memory.
func tempFile() (*os.File, error) {
	dir := os.Getenv("TMPDIR")
	if dir == "" {
		dir = "/var/tmp"
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			dir = os.TempDir()
		}
	}
	f, err := os.CreateTemp(dir, "vm-snapshot-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (s *snapshot) has(block int64) bool {
	return s.have[block/64].Load()>>(block%64)&1 != 0
}

// add notes that top holds the blocks [from, to).
func (s *snapshot) add(from, to int64) {
	for from < to {
		n := min(to-from, 64-from%64)
		s.have[from/64].Or(^uint64(0) >> (64 - n) << (from % 64))
		from += n
	}
}

// run is the length of the first part of [off, end) whose blocks are all in top, or all not.
func (s *snapshot) run(off, end int64) (n int64, inTop bool) {
	block := off >> blockShift
	inTop = s.has(block)
	for block++; block<<blockShift < end && s.has(block) == inTop; block++ {
	}
	return min(block<<blockShift, end) - off, inTop
}

// ReadvAt implements [Image].
func (s *snapshot) ReadvAt(bufs [][]byte, off int64) error {
	end := off + total(bufs)
	if err := checkRange(s.Size(), off, end-off); err != nil {
		return err
	}
	if off == end {
		return nil
	}
	if n, inTop := s.run(off, end); n == end-off {
		return s.side(inTop).ReadvAt(bufs, off)
	}
	parts := s.parts.Get().(*[][]byte)
	defer s.parts.Put(parts)
	skip := 0 // bytes of bufs[0] already read
	for off < end {
		n, inTop := s.run(off, end)
		*parts = (*parts)[:0]
		for left := n; left > 0; {
			b := bufs[0][skip:]
			if int64(len(b)) > left {
				b = b[:left]
				skip += len(b)
			} else {
				bufs, skip = bufs[1:], 0
			}
			*parts = append(*parts, b)
			left -= int64(len(b))
		}
		if err := s.side(inTop).ReadvAt(*parts, off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

func (s *snapshot) side(top bool) Image {
	if top {
		return s.top
	}
	return s.base
}

// WritevAt implements [Image].
func (s *snapshot) WritevAt(bufs [][]byte, off int64) error {
	return s.write(off, total(bufs), func() error { return s.top.WritevAt(bufs, off) })
}

// WriteZeroes implements [Image].
func (s *snapshot) WriteZeroes(off, n int64, _ bool) error {
	return s.write(off, n, func() error { return s.top.WriteZeroes(off, n, true) })
}

// write changes [off, off+n) of top by do, with what blocks at the edges hold beside it taken from base first.
func (s *snapshot) write(off, n int64, do func() error) error {
	size := s.Size()
	if err := checkRange(size, off, n); err != nil || n == 0 {
		return err
	}
	end := off + n
	first, last := off>>blockShift, (end-1)>>blockShift
	if off&(blockSize-1) != 0 {
		if err := s.copyUp(first); err != nil {
			return err
		}
	}
	if end&(blockSize-1) != 0 && end != size {
		if err := s.copyUp(last); err != nil {
			return err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := do(); err != nil {
		return err
	}
	s.add(first, last+1)
	return nil
}

// copyUp brings one block from base to top, unless it is there.
func (s *snapshot) copyUp(block int64) error {
	if s.has(block) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has(block) {
		return nil
	}
	off := block << blockShift
	bufs := [1][]byte{s.block[:min(blockSize, s.Size()-off)]}
	if err := s.base.ReadvAt(bufs[:], off); err != nil {
		return err
	}
	if err := s.top.WritevAt(bufs[:], off); err != nil {
		return err
	}
	s.add(block, block+1)
	return nil
}

// Flush implements [Image]. Nothing of a snapshot is meant to last.
func (s *snapshot) Flush() error { return nil }

// Discard implements [Image]: it frees the whole blocks that top has.
func (s *snapshot) Discard(off, n int64) error {
	if err := checkRange(s.Size(), off, n); err != nil {
		return err
	}
	end := (off + n) &^ (blockSize - 1)
	off = (off + blockSize - 1) &^ (blockSize - 1)
	for off < end {
		n, inTop := s.run(off, end)
		if inTop {
			if err := s.top.Discard(off, n); err != nil {
				return err
			}
		}
		off += n
	}
	return nil
}

// Size implements [Image].
func (s *snapshot) Size() int64 { return s.top.size }

// ReadOnly implements [Image].
func (s *snapshot) ReadOnly() bool { return false }

// Close implements [Image]; what was written is gone afterwards.
func (s *snapshot) Close() error { return errors.Join(s.top.f.Close(), s.base.Close()) }
