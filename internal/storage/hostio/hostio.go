// Package hostio is the narrow way by which image formats reach the host: one interface, so that tests can put memory in the place of a
// file, record what would reach a disk, and let any call fail.
package hostio

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// File is what holds an image: a file, a block device, or memory. Offsets and lengths are in bytes. Methods are safe for concurrent use.
type File interface {
	// ReadvAt fills the buffers in order from off; io.ErrUnexpectedEOF where the file ends before them.
	ReadvAt(bufs [][]byte, off int64) error
	// WritevAt writes the buffers in order at off, and makes the file longer where it ends before them. After an error any part may be written.
	WritevAt(bufs [][]byte, off int64) error
	// Sync makes durable what was written before it was called. Once it has failed, it fails for ever: nobody knows what is on the disk.
	Sync() error
	// Size of the file now.
	Size() (int64, error)
	// Truncate gives the file another size; errors.ErrUnsupported where it has one for ever, as a block device.
	Truncate(size int64) error
	// Punch gives the range's space back; it reads as zeros afterwards. errors.ErrUnsupported where the host cannot.
	Punch(off, n int64) error
	// Close releases the file without a Sync.
	Close() error
}

// Memory is a File in memory. Its zero value is an empty one.
type Memory struct {
	mu   sync.RWMutex
	data []byte
	// Limit, when it is not 0, is the most bytes the file may have: what is past it fails with ErrNoSpace.
	Limit int64
}

// ErrNoSpace is what a Memory fails with when it is full.
var ErrNoSpace = errors.New("no space left in memory")

// NewMemory is a file with these contents, which it owns from then on.
func NewMemory(data []byte) *Memory { return &Memory{data: data} }

// Bytes is a copy of the contents.
func (m *Memory) Bytes() []byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return append([]byte(nil), m.data...)
}

// ReadvAt implements [File].
func (m *Memory) ReadvAt(bufs [][]byte, off int64) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, b := range bufs {
		if off < 0 || off > int64(len(m.data)) || copy(b, m.data[off:]) < len(b) {
			return io.ErrUnexpectedEOF
		}
		off += int64(len(b))
	}
	return nil
}

// WritevAt implements [File].
func (m *Memory) WritevAt(bufs [][]byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range bufs {
		if err := m.grow(off + int64(len(b))); err != nil {
			return err
		}
		off += int64(copy(m.data[off:], b))
	}
	return nil
}

// grow makes the file at least size bytes long.
func (m *Memory) grow(size int64) error {
	if size <= int64(len(m.data)) {
		return nil
	}
	if m.Limit != 0 && size > m.Limit {
		return ErrNoSpace
	}
	n := len(m.data)
	m.data = slices.Grow(m.data, int(size)-n)[:size]
	clear(m.data[n:])
	return nil
}

// Sync implements [File].
func (m *Memory) Sync() error { return nil }

// Size implements [File].
func (m *Memory) Size() (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(len(m.data)), nil
}

// Truncate implements [File].
func (m *Memory) Truncate(size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if size < int64(len(m.data)) {
		m.data = m.data[:size]
	}
	return m.grow(size)
}

// Punch implements [File].
func (m *Memory) Punch(off, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := int64(len(m.data))
	if off < size {
		clear(m.data[off:min(off+n, size)])
	}
	return nil
}

// Close implements [File].
func (m *Memory) Close() error { return nil }
