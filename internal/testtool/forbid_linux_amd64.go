package testtool

// A host that forbids generated code, as a container's or a service manager's policy does: by a seccomp filter (seccomp(2)).

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Policy is what a host forbids.
type Policy string

// The policies.
const (
	NoExecMappings Policy = "no executable mappings" // mmap and mprotect with PROT_EXEC fail by EPERM
	NoMemfd        Policy = "no memfd_create"        // fails by EPERM
)

// Forbid puts a policy upon this process, for good: call it in a child. The error says that the host has no seccomp filters.
func Forbid(p Policy) error {
	const (
		offsetNr   = 0        // seccomp_data.nr
		offsetProt = 16 + 2*8 // seccomp_data.args[2], its low half
		load       = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal      = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bits       = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret        = unix.BPF_RET | unix.BPF_K
		refuse     = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	)
	filter := []unix.SockFilter{
		{Code: load, K: offsetNr},
		{Code: equal, K: unix.SYS_MMAP, Jt: 1},
		{Code: equal, K: unix.SYS_MPROTECT, Jf: 3},
		{Code: load, K: offsetProt},
		{Code: bits, K: unix.PROT_EXEC, Jf: 1},
		{Code: ret, K: refuse},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	if p == NoMemfd {
		filter = []unix.SockFilter{
			{Code: load, K: offsetNr},
			{Code: equal, K: unix.SYS_MEMFD_CREATE, Jf: 1},
			{Code: ret, K: refuse},
			{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread() // what the first call sets, the second asks of the same thread, and gives to all others
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
