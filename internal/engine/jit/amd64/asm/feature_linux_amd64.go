package asm

import (
	"encoding/binary"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hasFSGSBASE asks Linux, which says so in the auxiliary vector since it lets programs change the segment bases (5.9); the processor's own
// feature bit does not tell.
func hasFSGSBASE() bool {
	const (
		hwcap2   = 26 // AT_HWCAP2
		fsgsbase = 1 << 1
	)
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return false
	}
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.NativeEndian.Uint64(auxv) == hwcap2 {
			return binary.NativeEndian.Uint64(auxv[8:])&fsgsbase != 0
		}
	}
	return false
}

// hasArchPrctl tries it: not every kernel that is said to be Linux sets GS, nor does every filter of system calls let it.
func hasArchPrctl() bool {
	const base = 1 << 40
	get := func() (gs uint64, ok bool) {
		_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, ArchGetGS, uintptr(unsafe.Pointer(&gs)), 0)
		return gs, errno == 0
	}
	set := func(gs uint64) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, ArchSetGS, uintptr(gs), 0)
		return errno == 0
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, ok := get()
	if !ok || !set(base) {
		return false
	}
	now, ok := get()
	return set(before) && ok && now == base
}
