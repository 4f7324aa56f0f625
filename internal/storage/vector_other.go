//go:build !linux

package storage

// Reads and writes buffer by buffer, for hosts other than Linux. They have no interceptor: Go itself goes on after what is short or interrupted.

import (
	"errors"
	"io"
)

func (f *file) readv(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.f.ReadAt(b, off); err != nil {
			return reason(err)
		}
		off += int64(len(b))
	}
	return nil
}

// readUpTo reads what the file has of b, and returns how much that is.
func (f *file) readUpTo(b []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, reason(err)
}

func (f *file) writev(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.f.WriteAt(b, off); err != nil {
			return reason(err)
		}
		off += int64(len(b))
	}
	return nil
}
