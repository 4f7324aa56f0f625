package memory

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident is how many bytes of RAM the host has committed.
func resident(t *testing.T, r *RAM) (n uint64) {
	t.Helper()
	there := make([]byte, r.Size()>>PageShift)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(r.mem))), uintptr(len(r.mem)), uintptr(unsafe.Pointer(&there[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, b := range there {
		n += uint64(b&1) << PageShift
	}
	return n
}
