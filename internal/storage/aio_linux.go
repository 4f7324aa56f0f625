//go:build amd64 || arm64 || riscv64

package storage

// Transfers by Linux's own asynchronous I/O (io_submit(2), linux/aio_abi.h), which is asynchronous where the page cache has no part in it: with cache=none. The
// kernel's context lives as long as the image: to end one takes the kernel tens of milliseconds, and its number, an address, is that of the next one then.
//
// Safety of unsafe: what the kernel reads and writes in io_submit (the block of a transfer, and the pointer to it) and writes in io_getevents lies in slices that the aio
// holds, which do not move, as a stack may. It reads the vector, and what that points to, as it takes the transfer. The buffers are held until that has ended.

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/aio_abi.h, as little-endian processors of 64 bits have it.
type (
	aioBlock struct {
		data    uint64
		_       uint32
		rwFlags uint32
		opcode  uint16
		_       int16
		fd      uint32
		buf, n  uint64 // the vector, and how many elements it has
		off     int64
		_       [2]uint64
	}
	aioEvent struct {
		data, _ uint64
		result  int64 // bytes, or an error below 0
		_       int64
	}
)

const (
	aioPoll   = 5 // IOCB_CMD_POLL
	aioReadv  = 7 // IOCB_CMD_PREADV
	aioWritev = 8 // IOCB_CMD_PWRITEV
)

// aioEnd is the number of what Stop begins.
const aioEnd = MaxTransfers

// aio implements [Transfers].
type aio struct {
	f       *file
	context uintptr
	ready   int                         // an eventfd that can be read
	flights [MaxTransfers + 1]aioFlight // the last one is Stop's
	events  [MaxTransfers]aioEvent
	refused atomic.Bool
}

// aioFlight is a transfer between Begin and Wait.
type aioFlight struct {
	block  aioBlock
	submit *aioBlock
	bufs   [][]byte
	write  bool
	size   atomic.Int64 // bytes; written last, read first
}

// Transfers implements [Async].
func (d directImage) Transfers() (Transfers, error) {
	if d.f.dsync {
		return nil, errors.ErrUnsupported // each write waits for the disk, and knows whose fault it is
	}
	if d.f.direct.async == nil {
		a, err := newAIO(d.f)
		if err != nil {
			return nil, err
		}
		d.f.direct.async = a
	}
	return d.f.direct.async.(*aio), nil
}

func newAIO(f *file) (*aio, error) {
	a := &aio{f: f}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, MaxTransfers+1, uintptr(unsafe.Pointer(&a.context)), 0); errno != 0 {
		return nil, fmt.Errorf("asynchronous I/O on the host: %w", errno)
	}
	var err error
	if a.ready, err = unix.Eventfd(1, unix.EFD_CLOEXEC); err != nil {
		return nil, errors.Join(err, a.destroy())
	}
	// That there are all calls is found out now, when nothing waits for one of them.
	a.Stop()
	if a.refused.Load() || a.Wait(make([]Ended, 1)) != 0 {
		return nil, errors.Join(errors.ErrUnsupported, a.Close())
	}
	return a, nil
}

// submit has the kernel take the block of a flight.
func (a *aio) submit(f *aioFlight, b aioBlock) unix.Errno {
	f.block, f.submit = b, &f.block
	_, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, a.context, 1, uintptr(unsafe.Pointer(&f.submit)))
	return errno
}

// Begin implements [Transfers].
func (a *aio) Begin(id int, write bool, bufs [][]byte, off int64, wait bool) bool {
	n := total(bufs)
	if n == 0 || n > math.MaxInt32 || len(bufs) > vectorLen || a.refused.Load() || !a.f.direct.aligned(bufs, off) {
		return false
	}
	opcode, check := uint16(aioReadv), checkRange(a.f.size, off, n)
	if write {
		opcode, check = aioWritev, a.f.writable(off, n)
	}
	// As in [direct.write]: shared with other writes of whole blocks.
	if check != nil || write && !a.f.direct.mu.TryRLock() {
		return false
	}
	v := vectors.Get().(*vector)
	iov, _ := v.fill(bufs)
	block := aioBlock{data: uint64(id), opcode: opcode, fd: uint32(a.f.fd), buf: uint64(uintptr(unsafe.Pointer(&iov[0]))), n: uint64(len(iov)), off: off}
	if !wait {
		block.rwFlags = unix.RWF_NOWAIT
	}
	f := &a.flights[id]
	f.bufs, f.write = bufs, write
	f.size.Store(n)
	errno := a.submit(f, block)
	clear(iov)
	vectors.Put(v)
	if errno == 0 {
		return true // it may have ended by now, and f be another's
	}
	if errno == unix.EINVAL || errno == unix.EOPNOTSUPP {
		a.refused.Store(true)
	}
	f.bufs = nil
	if write {
		a.f.direct.mu.RUnlock()
	}
	return false
}

// Refused implements [Transfers].
func (a *aio) Refused() bool { return a.refused.Load() }

// Wait implements [Transfers].
func (a *aio) Wait(into []Ended) int {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, a.context, 1, uintptr(min(len(into), len(a.events))), uintptr(unsafe.Pointer(&a.events[0])), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || a.events[0].data == aioEnd { // which is alone
			return 0
		}
		for i, e := range a.events[:n] {
			into[i] = a.ended(int(e.data), e.result)
		}
		return int(n)
	}
}

// Stop implements [Transfers]: what it begins ends at once.
func (a *aio) Stop() {
	if a.submit(&a.flights[aioEnd], aioBlock{data: aioEnd, opcode: aioPoll, fd: uint32(a.ready), buf: unix.POLLIN}) != 0 {
		a.refused.Store(true)
	}
}

// ended is the end of a transfer.
func (a *aio) ended(id int, result int64) Ended {
	f := &a.flights[id]
	size := f.size.Load()
	if a.f.intercept != nil {
		result = a.intercepted(f, size, result)
	}
	f.bufs = nil
	if f.write {
		a.f.direct.mu.RUnlock()
	}
	return Ended{ID: id, Whole: result == size}
}

// intercepted is the result by way of the interceptor, which comes late here: what it does not let the host do has been done.
func (a *aio) intercepted(f *aioFlight, size, result int64) int64 {
	kind := callRead
	if f.write {
		kind = callWrite
	}
	moved, errno := a.f.intercept(hostCall{kind, f.block.off, size}, func(n int64) (int64, unix.Errno) {
		if result < 0 {
			return 0, unix.Errno(-result)
		}
		return min(n, result), 0
	})
	if errno != 0 {
		return -int64(errno)
	}
	return moved
}

// Close ends what the image has of it. Nobody waits.
func (a *aio) Close() error { return errors.Join(unix.Close(a.ready), a.destroy()) }

func (a *aio) destroy() error {
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.context, 0, 0); errno != 0 {
		return fmt.Errorf("asynchronous I/O on the host: %w", errno)
	}
	return nil
}
