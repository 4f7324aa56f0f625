package numa

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// modes are the policies as mbind(2) has them.
var modes = [...]uintptr{Local: unix.MPOL_LOCAL, Interleave: unix.MPOL_INTERLEAVE, Preferred: unix.MPOL_PREFERRED, Bind: unix.MPOL_BIND}

// Apply gives memory a policy: mem is whole pages of a mapping, of which none has been touched.
//
// unsafe: the host reads a mask of nodes, which outlives the call, and keeps nothing of it; mem is not accessed.
func (p Policy) Apply(mem []byte) error {
	if p.Kind == None || len(mem) == 0 {
		return nil
	}
	var mask [(maxID + 64) / 64]uint64
	bits := uintptr(0)
	if p.Kind != Local {
		for _, id := range p.Nodes {
			mask[id/64] |= 1 << (id % 64)
			bits = max(bits, uintptr(id)+2) // the kernel takes one off
		}
	}
	var nodes *uint64
	if bits > 0 {
		nodes = &mask[0]
	}
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)), modes[p.Kind],
		uintptr(unsafe.Pointer(nodes)), bits, 0)
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.EPERM:
		return fmt.Errorf("policy %v: this host lets nobody say where memory goes (%w): leave the policy out", p.Kind, errno)
	}
	return fmt.Errorf("policy %v on the host's nodes %s: %w", p.Kind, FormatList(p.Nodes), errno)
}

// Pin keeps the calling thread on some of the host's processors. The goroutine is locked to its thread and stays so.
func Pin(cpus []int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("keeping a thread on the host's processors %s: %w", FormatList(cpus), err)
	}
	return nil
}
