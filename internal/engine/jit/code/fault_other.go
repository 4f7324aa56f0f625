//go:build !linux || !amd64

package code

import "errors"

// Faults says what becomes of a page fault or a halt in the code of an arena.
type Faults struct {
	Routine           Addr
	PC, Address, Code int32
}

// FaultStore is the bit of a page fault's error code that says that a store faulted.
const FaultStore = 1 << 1

// HandleFaults fails: faults are handled under Linux on x86-64.
func (a *Arena) HandleFaults(Faults) error { return errors.ErrUnsupported }

func (a *Arena) ignoreFaults() {}
