package storage

// Durability and space on Linux: fdatasync and fallocate, which work on files and on block devices.

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

func (f *file) sync() error {
	for {
		err := unix.Fdatasync(int(f.fd))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("flushing: %w", err)
		}
	}
}

// punch frees the range, which reads as zeros afterwards; errors.ErrUnsupported where the file system cannot.
func (f *file) punch(off, n int64) error {
	return f.allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, &f.noPunch, off, n)
}

// zero makes the range read as zeros and keeps its space; errors.ErrUnsupported where the file system cannot.
func (f *file) zero(off, n int64) error {
	return f.allocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, &f.noZero, off, n)
}

func (f *file) allocate(mode uint32, unsupported *atomic.Bool, off, n int64) error {
	if unsupported.Load() {
		return errors.ErrUnsupported
	}
	for {
		switch err := unix.Fallocate(int(f.fd), mode, off, n); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.ENODEV:
			unsupported.Store(true)
			return errors.ErrUnsupported
		case unix.EINVAL, unix.EPERM: // this range: a device with larger sectors, a sealed file
			return errors.ErrUnsupported
		default:
			return fmt.Errorf("freeing %d bytes at %d: %w", n, off, err)
		}
	}
}
