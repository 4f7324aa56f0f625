package storage

// Scattered reads and writes by preadv and pwritev, without copying and without allocating. The wrappers of x/sys build the
// vector anew on the heap for each call; here it comes from a pool.
//
// Safety of unsafe: the address of the first element of a pooled, live vector is passed to the system call in the call
// expression itself. The vector's bases are ordinary pointers, so buffers on the Go heap stay alive through it.

import (
	"errors"
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
	if _, err := f.transfer(&waitingRead, bufs, off, io.ErrUnexpectedEOF); err != nil {
		return fmt.Errorf("reading at %d: %w", off, err)
	}
	return nil
}

// readUpTo reads what the file has of b, and returns how much that is.
func (f *file) readUpTo(b []byte, off int64) (int, error) {
	n, err := f.transfer(&waitingRead, [][]byte{b}, off, nil)
	if err != nil {
		return int(n), fmt.Errorf("reading at %d: %w", off, err)
	}
	return int(n), nil
}

func (f *file) writev(bufs [][]byte, off int64) error {
	_, err := f.transfer(&waitingWrite, bufs, off, io.ErrShortWrite)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("writing at %d: %w", off, err)
	if f.dsync && errors.Is(err, unix.EIO) { // a sync has failed, which may have been that of a write beside this one
		f.fail(err)
	}
	return err
}

// vectored is a system call that moves bytes.
type vectored struct {
	trap, flags uintptr
	kind        callKind
}

var (
	waitingRead    = vectored{unix.SYS_PREADV, 0, callRead}
	waitingWrite   = vectored{unix.SYS_PWRITEV, 0, callWrite}
	immediateRead  = vectored{unix.SYS_PREADV2, unix.RWF_NOWAIT, callReadNow}
	immediateWrite = vectored{unix.SYS_PWRITEV2, unix.RWF_NOWAIT, callWriteNow}
)

// move makes the call once, and returns the bytes it moved.
func (f *file) move(c *vectored, iov []unix.Iovec, off int64) (int64, unix.Errno) {
	if f.intercept != nil {
		return f.moveIntercepted(c, iov, off)
	}
	n, _, errno := unix.Syscall6(c.trap, f.fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), uintptr(off), 0, c.flags)
	return int64(n), errno
}

// moveIntercepted is move by way of the interceptor. What the host does then may wait, whatever the call: few file systems know immediate writes, and tests have
// them everywhere.
func (f *file) moveIntercepted(c *vectored, iov []unix.Iovec, off int64) (int64, unix.Errno) {
	all := int64(0)
	for _, v := range iov {
		all += int64(v.Len)
	}
	return f.intercept(hostCall{c.kind, off, all}, func(n int64) (int64, unix.Errno) {
		var part []unix.Iovec
		for _, v := range iov {
			if n > 0 {
				v.SetLen(int(min(int64(v.Len), n)))
				part = append(part, v)
				n -= int64(v.Len)
			}
		}
		moved, _, errno := unix.Syscall6(c.trap, f.fd, uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), uintptr(off), 0, 0)
		return int64(moved), errno
	})
}

// transfer moves all of bufs, and returns how much it moved; short is the error of a call that moves nothing.
func (f *file) transfer(c *vectored, bufs [][]byte, off int64, short error) (int64, error) {
	began := off
	v := vectors.Get().(*vector)
	defer vectors.Put(v)
	for len(bufs) > 0 {
		var iov []unix.Iovec
		iov, bufs = v.fill(bufs)
		for len(iov) > 0 {
			n, errno := f.move(c, iov, off)
			switch {
			case errno == unix.EINTR:
				continue
			case errno != 0:
				clear(v[:])
				return off - began, errno
			case n == 0:
				clear(v[:])
				return off - began, short
			}
			off += n
			iov = advance(iov, uint64(n))
		}
	}
	return off - began, nil
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
