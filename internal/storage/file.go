package storage

// Raw images: a file or block device whose bytes are the disk's. How the host moves bytes (vector_*.go) and frees space
// (space_*.go) differs by system.

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// file implements [Image].
type file struct {
	f        *os.File
	fd       uintptr
	info     os.FileInfo // of the file
	fixed    bool        // its length cannot change
	noSync   bool        // cache=unsafe
	dsync    bool        // cache=writethrough
	sector   int         // recorded; 0 where nothing is
	direct   *direct     // cache=none; nil otherwise
	size     int64
	readOnly bool

	intercept interceptor // of a test; nil otherwise

	syncs  sync.RWMutex          // shared by syncs that are in flight
	failed atomic.Pointer[error] // of the first sync that failed

	// What the file system turned out not to support: not asked again.
	noPunch, noZero       atomic.Bool
	noReadNow, noWriteNow atomic.Bool
}

func newFile(f *os.File, size int64, readOnly bool) *file {
	return &file{f: f, fd: f.Fd(), size: size, readOnly: readOnly}
}

// checkRange says whether [off, off+n) lies in a disk of size bytes.
func checkRange(size, off, n int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return fmt.Errorf("%d bytes at %d are outside the disk of %d bytes", n, off, size)
	}
	return nil
}

// total is the length in bytes of all buffers.
func total(bufs [][]byte) int64 {
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// writable is the check every change passes.
func (f *file) writable(off, n int64) error {
	if f.readOnly {
		return ErrReadOnly
	}
	return checkRange(f.size, off, n)
}

// ReadvAt implements [Image].
func (f *file) ReadvAt(bufs [][]byte, off int64) error {
	if err := checkRange(f.size, off, total(bufs)); err != nil {
		return err
	}
	return f.readv(bufs, off)
}

// WritevAt implements [Image].
func (f *file) WritevAt(bufs [][]byte, off int64) error {
	if err := f.writable(off, total(bufs)); err != nil {
		return err
	}
	return f.writev(bufs, off)
}

// Flush implements [Image].
func (f *file) Flush() error {
	if f.readOnly {
		return nil
	}
	return f.flush()
}

// flush is Flush of a file that may be written. Once it has failed it fails for ever: the host forgets what it could not write.
//
// The host tells of that once, whichever sync is the first to ask. So one that succeeds may owe it to another beside it, whose answer it waits for.
func (f *file) flush() error {
	if f.noSync {
		return nil
	}
	if err := f.failed.Load(); err != nil {
		return *err
	}
	f.syncs.RLock()
	if err := f.sync(); err != nil {
		f.fail(err)
	}
	f.syncs.RUnlock()
	f.syncs.Lock()
	defer f.syncs.Unlock()
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail makes every later flush fail.
func (f *file) fail(err error) { f.failed.CompareAndSwap(nil, &err) }

// Sector is the logical sector in bytes that the image was made for; 0 where nothing says so.
func (f *file) Sector() int { return f.sector }

// Discard implements [Image]. Where the host cannot punch holes there is nothing to do.
func (f *file) Discard(off, n int64) error {
	if err := f.writable(off, n); err != nil || n == 0 {
		return err
	}
	if err := f.punch(off, n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// WriteZeroes implements [Image].
func (f *file) WriteZeroes(off, n int64, mayUnmap bool) error {
	if err := f.writable(off, n); err != nil || n == 0 {
		return err
	}
	err := errors.ErrUnsupported
	if mayUnmap {
		err = f.punch(off, n)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.zero(off, n)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.writeZeroes(off, n)
	}
	return err
}

var zeroes [64 << 10]byte

// writeZeroes writes n zeros at off the plain way, the same small buffer many times.
func (f *file) writeZeroes(off, n int64) error {
	var bufs [16][]byte
	for n > 0 {
		written := int64(0)
		parts := bufs[:0]
		for len(parts) < cap(parts) && written < n {
			b := zeroes[:min(int64(len(zeroes)), n-written)]
			parts = append(parts, b)
			written += int64(len(b))
		}
		if err := f.writev(parts, off); err != nil {
			return err
		}
		off, n = off+written, n-written
	}
	return nil
}

// Size implements [Image].
func (f *file) Size() int64 { return f.size }

// ReadOnly implements [Image].
func (f *file) ReadOnly() bool { return f.readOnly }

// Close implements [Image]; it also releases the lock.
func (f *file) Close() error {
	return errors.Join(f.Flush(), f.f.Close())
}
