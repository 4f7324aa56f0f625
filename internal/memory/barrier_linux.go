package memory

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Commands of membarrier(2).
const (
	membarrierPrivateExpedited         = 1 << 3
	membarrierRegisterPrivateExpedited = 1 << 4
)

func membarrier(command uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, command, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// registerBarriers makes barrierEverywhere possible in this process. The error says that the host does not have it.
var registerBarriers = sync.OnceValue(func() error { return membarrier(membarrierRegisterPrivateExpedited) })

// barrierEverywhere has every other thread of the process execute a full barrier between the call and the return, and is one itself.
func barrierEverywhere() error { return membarrier(membarrierPrivateExpedited) }
