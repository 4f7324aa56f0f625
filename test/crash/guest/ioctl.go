//go:build linux

package main

// The one system call that package syscall has no function for.

import (
	"os"
	"syscall"
	"unsafe"
)

// ioctlRange is an ioctl of a block device that takes a range of bytes. The kernel reads two words at the address, which are alive until the call has returned.
func ioctlRange(f *os.File, request uintptr, off, n int64) error {
	r := [2]uint64{uint64(off), uint64(n)}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}
