package storage

import "golang.org/x/sys/unix"

// nextData is where the first data at or behind off is, the file's size where there is none, and off where the file system cannot tell.
func (f *file) nextData(off int64) int64 {
	at, err := unix.Seek(int(f.fd), off, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO:
		return f.size
	case err != nil:
		return off
	}
	return min(at, f.size)
}
