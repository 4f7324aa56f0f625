package memory

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const mapNoReserve = unix.MAP_NORESERVE

// mapRAM maps size bytes as mapMemory does, of a file, so that they can be mapped once more (RAM.File). Where the host refuses that, fd is -1. With huge, they are pages
// of that many bytes, which the host reserves.
func mapRAM(size, huge uint64) (mem []byte, fd int, err error) {
	if huge != 0 {
		return mapHuge(size, huge)
	}
	for _, file := range []func(uint64) (int, error){hugeFile, smallFile} {
		if fd, err = file(size); err != nil {
			continue
		}
		if err = unix.Ftruncate(fd, int64(size)); err == nil {
			mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
		}
		if err == nil {
			break
		}
		unix.Close(fd)
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

// mapHuge maps a file of hugetlbfs. The pages are reserved here, so that the guest never touches one that is not there.
func mapHuge(size, huge uint64) (mem []byte, fd int, err error) {
	flags := map[uint64]int{huge2M: unix.MFD_HUGE_2MB, huge1G: unix.MFD_HUGE_1GB}[huge]
	if fd, err = unix.MemfdCreate("ram", unix.MFD_CLOEXEC|unix.MFD_HUGETLB|flags); err == nil {
		if err = unix.Ftruncate(fd, int64(size)); err == nil {
			mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	switch {
	case err == nil:
		return mem, fd, nil
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return nil, -1, fmt.Errorf("huge pages of %d MiB: the host has none of that size (%w): leave --hugepages out", huge>>20, err)
	case errors.Is(err, unix.ENOMEM):
		err = errNoHugePages
	}
	return nil, -1, fmt.Errorf("%d huge pages of %d MiB: %w: reserve some with sysctl vm.nr_hugepages, or leave --hugepages out", size/huge, huge>>20, err)
}

// populate commits memory.
func populate(mem []byte) error {
	err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	switch {
	case errors.Is(err, unix.EINVAL):
		touch(mem)
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EFAULT):
		return errors.New("the host has too little memory where it is to be")
	}
	return err
}

// smallFile is a memfd. Its pages are huge only where the host's setting for shared memory has it so, which is never on most.
func smallFile(uint64) (int, error) { return unix.MemfdCreate("ram", unix.MFD_CLOEXEC) }

// hugeFile is a file of a tmpfs of its own, with huge pages where they are asked for. Only who may mount can have it; the mount is attached nowhere and
// goes with the file.
func hugeFile(size uint64) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{{"huge", "advise"}, {"size", fmt.Sprint(size + huge2M)}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(mount)
	return unix.Openat(mount, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
}

// punch gives n bytes of RAM at an offset back to the host, in whole pages. A hole in the file is one in every mapping of it.
func (r *RAM) punch(off, n uint64) error {
	if r.fd < 0 {
		return unix.Madvise(r.mem[off:off+n], unix.MADV_DONTNEED) // private and anonymous: zero when it is touched
	}
	for {
		if err := unix.Fallocate(r.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// HostTotal is the host's memory in bytes, or 0 when it does not say.
func HostTotal() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
