package storage

// Durability and space on Linux: fdatasync and fallocate, which work on files and on block devices, and ftruncate.

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

func (f *file) sync() error {
	if errno := f.control(hostCall{kind: callSync}, 0); errno != 0 {
		return fmt.Errorf("flushing: %w", errno)
	}
	return nil
}

// truncate gives the file another size.
func (f *file) truncate(size int64) error {
	if errno := f.control(hostCall{callTruncate, size, 0}, 0); errno != 0 {
		return errno
	}
	return nil
}

// control makes a call that moves no bytes, again where it was interrupted. mode is fallocate's.
func (f *file) control(c hostCall, mode uint32) unix.Errno {
	for {
		var errno unix.Errno
		if f.intercept != nil {
			errno = f.intercept.control(c, func() unix.Errno { return f.ask(c, mode) })
		} else {
			errno = f.ask(c, mode)
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

// ask makes the call once.
func (f *file) ask(c hostCall, mode uint32) unix.Errno {
	var err error
	switch c.kind {
	case callSync:
		err = unix.Fdatasync(int(f.fd))
	case callTruncate:
		err = unix.Ftruncate(int(f.fd), c.off)
	default:
		err = unix.Fallocate(int(f.fd), mode, c.off, c.n)
	}
	errno, _ := err.(unix.Errno) // they have no other errors
	return errno
}

// punch frees the range, which reads as zeros afterwards; errors.ErrUnsupported where the file system cannot.
func (f *file) punch(off, n int64) error {
	return f.allocate(hostCall{callPunch, off, n}, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, &f.noPunch)
}

// zero makes the range read as zeros and keeps its space; errors.ErrUnsupported where the file system cannot.
func (f *file) zero(off, n int64) error {
	return f.allocate(hostCall{callZero, off, n}, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, &f.noZero)
}

func (f *file) allocate(c hostCall, mode uint32, unsupported *atomic.Bool) error {
	if unsupported.Load() {
		return errors.ErrUnsupported
	}
	switch errno := f.control(c, mode); errno {
	case 0:
		return nil
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.ENODEV:
		unsupported.Store(true)
		return errors.ErrUnsupported
	case unix.EINVAL, unix.EPERM: // this range: a device with larger sectors, a sealed file
		return errors.ErrUnsupported
	default:
		return fmt.Errorf("freeing %d bytes at %d: %w", c.n, c.off, errno)
	}
}
