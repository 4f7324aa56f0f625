//go:build unix

package memory

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapMemory reserves size bytes of zeroed, page-aligned host memory that the host commits on first touch.
func mapMemory(size uint64) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
	if err != nil {
		return nil, err
	}
	return mem, nil
}

func unmapMemory(mem []byte) error { return unix.Munmap(mem) }

func closeFile(fd int) error { return unix.Close(fd) }

// touch stores to each page what is there.
func touch(mem []byte) {
	for i := 0; i < len(mem); i += PageSize {
		atomic.AddUint32((*uint32)(unsafe.Pointer(&mem[i])), 0) // aligned: it is the first of a page
	}
}
