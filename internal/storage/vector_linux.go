package storage

// Scattered reads and writes by preadv and pwritev, without copying and without allocating. The wrappers of x/sys build the
// vector anew on the heap for each call; here it comes from a pool.
//
// Safety of unsafe: the address of the first element of a pooled, live vector is passed to the system call in the call
// expression itself. The vector's bases are ordinary pointers, so buffers on the Go heap stay alive through it.

import (
	"fmt"
	"io"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vectorLen is how many buffers one call takes; the kernel's own limit is 1024.
const vectorLen = 256

type vector [vectorLen]unix.Iovec

var vectors = sync.Pool{New: func() any { return new(vector) }}

func (f *file) readv(bufs [][]byte, off int64) error {
	if err := transfer(unix.SYS_PREADV, f.fd, bufs, off, io.ErrUnexpectedEOF); err != nil {
		return fmt.Errorf("reading at %d: %w", off, err)
	}
	return nil
}

func (f *file) writev(bufs [][]byte, off int64) error {
	if err := transfer(unix.SYS_PWRITEV, f.fd, bufs, off, io.ErrShortWrite); err != nil {
		return fmt.Errorf("writing at %d: %w", off, err)
	}
	return nil
}

// transfer moves all of bufs; short is the error of a call that moves nothing.
func transfer(trap, fd uintptr, bufs [][]byte, off int64, short error) error {
	v := vectors.Get().(*vector)
	defer vectors.Put(v)
	for len(bufs) > 0 {
		var iov []unix.Iovec
		iov, bufs = v.fill(bufs)
		for len(iov) > 0 {
			n, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), uintptr(off), 0, 0)
			switch {
			case errno == unix.EINTR:
				continue
			case errno != 0:
				clear(v[:])
				return errno
			case n == 0:
				clear(v[:])
				return short
			}
			off += int64(n)
			iov = advance(iov, uint64(n))
		}
	}
	return nil
}

// fill puts the first buffers into the vector, leaving out empty ones, and returns the rest.
func (v *vector) fill(bufs [][]byte) (iov []unix.Iovec, rest [][]byte) {
	n := 0
	for n < vectorLen && len(bufs) > 0 {
		if b := bufs[0]; len(b) > 0 {
			v[n].Base = unsafe.SliceData(b)
			v[n].SetLen(len(b))
			n++
		}
		bufs = bufs[1:]
	}
	return v[:n], bufs
}

// advance drops the first n bytes of the vector, and its pointers to what is finished.
func advance(iov []unix.Iovec, n uint64) []unix.Iovec {
	for len(iov) > 0 && n >= iov[0].Len {
		n -= iov[0].Len
		iov[0] = unix.Iovec{}
		iov = iov[1:]
	}
	if n > 0 {
		iov[0].Base = (*byte)(unsafe.Add(unsafe.Pointer(iov[0].Base), n))
		iov[0].Len -= n
	}
	return iov
}
