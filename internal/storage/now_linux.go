package storage

// Reads of files that are in the host's page cache, and writes to it, by preadv2 and pwritev2 with RWF_NOWAIT: the call says that it would wait
// (EAGAIN), does less than it was asked for, or that the file system cannot tell (EOPNOTSUPP, as ext4 of writes), which is not asked again.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ReadvNow implements [Prompt].
func (f *file) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	n := total(bufs)
	if err := checkRange(f.size, off, n); err != nil {
		return true, err
	}
	if f.noReadNow.Load() {
		return false, nil
	}
	done, err := f.transferNow(&immediateRead, bufs, off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		f.noReadNow.Store(true)
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("reading at %d: %w", off, err)
	}
	return done, nil
}

// WritevNow implements [Prompt].
func (f *file) WritevNow(bufs [][]byte, off int64) (bool, error) {
	n := total(bufs)
	if err := f.writable(off, n); err != nil {
		return true, err
	}
	if f.noWriteNow.Load() {
		return false, nil
	}
	done, err := f.transferNow(&immediateWrite, bufs, off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		f.noWriteNow.Store(true)
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("writing at %d: %w", off, err)
	}
	return done, nil
}

// transferNow moves the n bytes of bufs in one call; done is false where it moved less.
func (f *file) transferNow(c *vectored, bufs [][]byte, off, n int64) (done bool, err error) {
	if len(bufs) > vectorLen {
		return false, nil
	}
	v := vectors.Get().(*vector)
	defer vectors.Put(v)
	iov, _ := v.fill(bufs)
	defer clear(iov)
	if len(iov) == 0 {
		return true, nil
	}
	moved, errno := f.move(c, iov, off)
	switch errno {
	case 0:
		return moved == n, nil
	case unix.EAGAIN, unix.EINTR:
		return false, nil
	}
	return false, errno
}
