// Package memory is guest physical memory.
//
// Guest RAM is one host mapping outside the Go heap, so that its address never moves, the collector never scans it, and
// generated code can reach it from a base register. Everything that is not an engine (devices, loaders, the SBI) reaches
// it through the typed, bounds-checked accessors of [RAM]; engines use the host addresses kept in the software TLB.
package memory

import "fmt"

// GPA is a guest physical address in bytes.
type GPA uint64

// GVA is a guest virtual address in bytes.
type GVA uint64

// The base page of every RISC-V paging mode (Privileged 1.13 §12.4) and of all bookkeeping here.
const (
	PageShift = 12
	PageSize  = 1 << PageShift
	PageMask  = PageSize - 1
)

// RangeError reports an access that is not wholly inside guest RAM.
type RangeError struct {
	Addr GPA
	Len  uint64
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("guest physical range %#x+%#x is outside RAM", uint64(e.Addr), e.Len)
}
