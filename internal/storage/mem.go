package storage

// Images in host memory: disks that begin empty and end with the machine, and what tests and benchmarks use. The memory is a mapping outside the Go heap, which
// the host commits as it is written, so that a large disk costs what is on it, and what is discarded goes back.
//
// There is no lock. Requests that overlap and are in flight together have no order, as with any disk; Close comes after all of them.

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memImage implements [Image].
type memImage struct{ data []byte }

// NewMemory makes a small image of size bytes of zeros, more than none, for tests and benchmarks. It panics where the host has no room; [Open] has an error for that.
func NewMemory(size int64) Image {
	m, err := newMemory(size)
	if err != nil {
		panic(err)
	}
	return m
}

func newMemory(size int64) (*memImage, error) {
	data, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
	if err != nil {
		return nil, fmt.Errorf("the host has no room for %d bytes: make it smaller (%w)", size, err)
	}
	enlarge(data)
	return &memImage{data}, nil
}

// ReadvAt implements [Image].
func (m *memImage) ReadvAt(bufs [][]byte, off int64) error {
	if err := checkRange(m.Size(), off, total(bufs)); err != nil {
		return err
	}
	for _, b := range bufs {
		off += int64(copy(b, m.data[off:]))
	}
	return nil
}

// WritevAt implements [Image].
func (m *memImage) WritevAt(bufs [][]byte, off int64) error {
	if err := checkRange(m.Size(), off, total(bufs)); err != nil {
		return err
	}
	for _, b := range bufs {
		off += int64(copy(m.data[off:], b))
	}
	return nil
}

// Flush implements [Image].
func (m *memImage) Flush() error { return nil }

// Discard implements [Image].
func (m *memImage) Discard(off, n int64) error { return m.WriteZeroes(off, n, true) }

// WriteZeroes implements [Image].
func (m *memImage) WriteZeroes(off, n int64, mayUnmap bool) error {
	if err := checkRange(m.Size(), off, n); err != nil {
		return err
	}
	page := int64(os.Getpagesize())
	first, last := (off+page-1)&-page, (off+n)&-page // the whole pages
	if !mayUnmap || first >= last || !release(m.data[first:last]) {
		clear(m.data[off : off+n])
		return nil
	}
	clear(m.data[off:first])
	clear(m.data[last : off+n])
	return nil
}

// Size implements [Image].
func (m *memImage) Size() int64 { return int64(len(m.data)) }

// ReadOnly implements [Image].
func (m *memImage) ReadOnly() bool { return false }

// Close implements [Image].
func (m *memImage) Close() error {
	if m.data == nil {
		return nil
	}
	err := unix.Munmap(m.data)
	m.data = nil
	return err
}
