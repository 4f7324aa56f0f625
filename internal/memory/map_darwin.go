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
