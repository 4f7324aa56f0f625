package memory

import "golang.org/x/sys/unix"

const mapNoReserve = 0

func mapRAM(size uint64) (mem []byte, fd int, err error) {
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
