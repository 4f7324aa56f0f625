//go:build unix

package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the advisory lock of an image, until the file is closed: exclusive for a writer, shared for readers. A file system
// without locks is used without.
func lock(f *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
	case nil, unix.ENOLCK, unix.EOPNOTSUPP, unix.ENOSYS:
		return nil
	case unix.EWOULDBLOCK:
		return ErrInUse
	default:
		return err
	}
}
