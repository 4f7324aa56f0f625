package code

// The two views on Linux.

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapViews makes a file that has no name, and maps it for writing and for executing.
func mapViews(size int) (write []byte, exec Addr, err error) {
	fd, err := memfd()
	if err != nil {
		return nil, 0, forbidden("memfd_create", err)
	}
	defer unix.Close(fd) // the mappings keep the file
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, 0, fmt.Errorf("ftruncate: %w", err)
	}
	w, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, 0, forbidden("mmap for writing", err)
	}
	// From here on the kernel makes no further view of the file that can be written or could become so, and nobody changes its length.
	// Kernels before 5.1 refuse, which leaves the views as they are.
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	// Readable, because code has constants beside it.
	x, err := unix.MmapPtr(fd, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED)
	if err != nil {
		_ = unix.MunmapPtr(w, uintptr(size))
		return nil, 0, forbidden("mmap for executing", err)
	}
	return views(w, x, size)
}

// mapViewsForPerf maps shared memory without a file, which perf knows as "/dev/zero" and takes for anonymous. A second view of it
// is what mremap makes of an old size of 0. Each view is executable or writable at any moment, as with a file.
func mapViewsForPerf(size int) (write []byte, exec Addr, err error) {
	x, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_SHARED|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, 0, forbidden("mmap for executing", err)
	}
	w, err := unix.MremapPtr(x, 0, nil, uintptr(size), unix.MREMAP_MAYMOVE)
	if err != nil {
		_ = unix.MunmapPtr(x, uintptr(size))
		return nil, 0, forbidden("mremap", err)
	}
	if err := unix.Mprotect(unsafe.Slice((*byte)(w), size), unix.PROT_READ|unix.PROT_WRITE); err != nil {
		_ = unix.MunmapPtr(x, uintptr(size))
		_ = unix.MunmapPtr(w, uintptr(size))
		return nil, 0, forbidden("mprotect for writing", err)
	}
	return views(w, x, size)
}

// views is two mappings as an arena has them. The slice is safe: its memory is mapped until unmapViews, is not the collector's, and is
// reached otherwise only through the execute view, which nobody writes to.
func views(w, x unsafe.Pointer, size int) ([]byte, Addr, error) {
	register()
	return unsafe.Slice((*byte)(w), size), Addr(x), nil
}

// memfd asks for a file that no execve can run, which is no hindrance to mapping it, and which the sysctl vm.memfd_noexec
// may demand. Kernels before 6.3 do not know the flag.
func memfd() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("vm-code", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		return unix.MemfdCreate("vm-code", flags)
	}
	return fd, err
}

// forbidden tells a refusal by policy from want of memory or address space.
func forbidden(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %s: %w", ErrForbidden, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Populate makes the host provide the memory of pages that will be written, at once and not by a fault for each. Kernels before 5.14 cannot, and nothing is lost.
func Populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

// populateExec does the same for a view that is executed, of pages that there are.
func populateExec(at Addr, n int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n), unix.MADV_POPULATE_READ)
}

// unmapPages lets go of the pages of a view, which counts each of them as resident though it is so through the other one already.
func unmapPages(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }

func unmapViews(write []byte, exec Addr) error {
	// Not a pointer into Go's memory, so the conversion is what the mapping's maker gave, back.
	p := *(*unsafe.Pointer)(unsafe.Pointer(&exec))
	n := uintptr(len(write))
	return errors.Join(unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(write)), n), unix.MunmapPtr(p, n))
}

// membarrier(2): commands that x/sys has no names for.
const (
	membarrierSyncCore         = 1 << 5 // MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE
	membarrierRegisterSyncCore = 1 << 6
)

// register announces the use of serialize, once for the process.
var register = sync.OnceFunc(func() { _, _, _ = unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierRegisterSyncCore, 0, 0) })

func serialize() { _, _, _ = unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierSyncCore, 0, 0) }
