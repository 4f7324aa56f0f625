//go:build !linux

package storage

// Reads and writes buffer by buffer, for hosts other than Linux.

func (f *file) readv(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.f.ReadAt(b, off); err != nil {
			return reason(err)
		}
		off += int64(len(b))
	}
	return nil
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
