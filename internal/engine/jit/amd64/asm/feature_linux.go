package asm

import (
	"encoding/binary"
	"os"
	"runtime"
)

// hasFSGSBASE asks Linux, which says so in the auxiliary vector since it lets programs change the segment bases (5.9); the processor's own
// feature bit does not tell.
func hasFSGSBASE() bool {
	if runtime.GOARCH != "amd64" {
		return false
	}
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
