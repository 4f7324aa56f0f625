package storage

// Images in host memory, for tests and benchmarks.

import "sync"

// memImage implements [Image].
type memImage struct {
	mu   sync.RWMutex
	data []byte
}

// NewMemory makes an image of size bytes of zeros.
func NewMemory(size int64) Image { return &memImage{data: make([]byte, size)} }

// ReadvAt implements [Image].
func (m *memImage) ReadvAt(bufs [][]byte, off int64) error {
	if err := checkRange(m.Size(), off, total(bufs)); err != nil {
		return err
	}
	m.mu.RLock()
	for _, b := range bufs {
		off += int64(copy(b, m.data[off:]))
	}
	m.mu.RUnlock()
	return nil
}

// WritevAt implements [Image].
func (m *memImage) WritevAt(bufs [][]byte, off int64) error {
	if err := checkRange(m.Size(), off, total(bufs)); err != nil {
		return err
	}
	m.mu.Lock()
	for _, b := range bufs {
		off += int64(copy(m.data[off:], b))
	}
	m.mu.Unlock()
	return nil
}

// Flush implements [Image].
func (m *memImage) Flush() error { return nil }

// Discard implements [Image].
func (m *memImage) Discard(off, n int64) error { return m.WriteZeroes(off, n, true) }

// WriteZeroes implements [Image].
func (m *memImage) WriteZeroes(off, n int64, _ bool) error {
	if err := checkRange(m.Size(), off, n); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[off : off+n])
	return nil
}

// Size implements [Image].
func (m *memImage) Size() int64 { return int64(len(m.data)) }

// ReadOnly implements [Image].
func (m *memImage) ReadOnly() bool { return false }

// Close implements [Image].
func (m *memImage) Close() error { return nil }
