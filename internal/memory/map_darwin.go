package memory

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const mapNoReserve = 0

func mapRAM(size, huge uint64) (mem []byte, fd int, err error) {
	if huge != 0 {
		return nil, -1, fmt.Errorf("huge pages: %w by this host", errors.ErrUnsupported)
	}
	mem, err = mapMemory(size)
	return mem, -1, err
}

// HostTotal is the host's memory in bytes, or 0 when it does not say.
func HostTotal() uint64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return n
}

// populate commits memory.
func populate(mem []byte) error {
	touch(mem)
	return nil
}

// punch gives n bytes of RAM at an offset back to the host, in whole pages. The host may keep what is there until it needs the memory, so that they are made
// zero first. Its pages can be larger than the guest's: what it does not take stays, and is zero.
func (r *RAM) punch(off, n uint64) error {
	mem := r.mem[off : off+n]
	clear(mem)
	page := uint64(unix.Getpagesize())
	first, end := (off+page-1)&^(page-1), (off+n)&^(page-1)
	if first >= end {
		return nil
	}
	return unix.Madvise(r.mem[first:end], unix.MADV_FREE)
}
