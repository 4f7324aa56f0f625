package memory

import "golang.org/x/sys/unix"

const mapNoReserve = unix.MAP_NORESERVE

// mapRAM maps size bytes as mapMemory does, of a memfd, so that they can be mapped once more (RAM.File). Where the host refuses that, fd is -1.
func mapRAM(size uint64) (mem []byte, fd int, err error) {
	fd, err = unix.MemfdCreate("ram", unix.MFD_CLOEXEC)
	if err == nil {
		if err = unix.Ftruncate(fd, int64(size)); err == nil {
			mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		fd = -1
		if mem, err = mapMemory(size); err != nil {
			return nil, fd, err
		}
	}
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // a refusal costs speed only
	return mem, fd, nil
}

// HostTotal is the host's memory in bytes, or 0 when it does not say.
func HostTotal() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
