package hart

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/memory/mmu"
)

// backing is the descriptor of a memfd, or noBacking.
type backing int

const noBacking backing = -1

// mapShared maps size bytes that can be mapped again, or where the host refuses that (no memfd_create, a limit on
// descriptors) bytes that cannot.
func mapShared(size uintptr) (mapping, error) {
	fd, err := unix.MemfdCreate("hart", unix.MFD_CLOEXEC)
	if err == nil {
		if err = unix.Ftruncate(fd, int64(size)); err == nil {
			var mem []byte
			if mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err == nil {
				return mapping{mem: mem, backing: backing(fd)}, nil
			}
		}
		unix.Close(fd)
	}
	mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return mapping{mem: mem, backing: noBacking}, err
}

// open makes the windows: one reservation, so that nothing else comes between, with two pieces of the State in each.
func (m *mapping) open() error {
	if m.backing == noBacking {
		return errors.ErrUnsupported
	}
	region, err := unix.MmapPtr(-1, 0, nil, mmu.NumBanks*windowSize, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	piece := func(at uintptr, from, size uintptr) {
		if err == nil {
			_, err = unix.MmapPtr(int(m.backing), int64(from), unsafe.Add(region, at), size, unix.PROT_READ|unix.PROT_WRITE,
				unix.MAP_SHARED|unix.MAP_FIXED)
		}
	}
	for i := range uintptr(mmu.NumBanks) {
		piece(i*windowSize, 0, hotSize)
		piece(i*windowSize+hotSize, hotSize+i*bankSize, bankSize)
	}
	if err != nil {
		return errors.Join(err, unix.MunmapPtr(region, mmu.NumBanks*windowSize))
	}
	m.windows = region
	return nil
}

func (m *mapping) close() error {
	err := unix.Munmap(m.mem)
	if m.windows != nil {
		err = errors.Join(err, unix.MunmapPtr(m.windows, mmu.NumBanks*windowSize))
	}
	if m.backing != noBacking {
		err = errors.Join(err, unix.Close(int(m.backing)))
	}
	return err
}
