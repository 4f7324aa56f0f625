package code

// Faults that generated code may make: loads and stores of a mirror (package mirror), where the host's processor does what a look-up would, and the halts that it has for those
// that would go beyond one.
//
// The process's handler for SIGSEGV becomes one of this package, in assembly, that knows which code is generated. It writes down where the
// fault was and lets the thread go on in a routine of that code, with every register as it was; the routine leaves for Go in the usual way. All
// other faults go to the handler that was there, Go's. The handler calls nothing and touches no Go memory but the table below.

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Faults says what becomes of a page fault in the code of an arena, and of a halt (HLT), which a process may not execute and the translator has where an access would go too
// far. Base is the register RBP of generated code: what the handler writes is at distances from it.
type Faults struct {
	Routine Addr  // where to go on
	PC      int32 // from base: 8 bytes, where the fault was
	Address int32 // from base: 8 bytes, what was accessed; all bits are set for a halt
	Code    int32 // from base: 8 bytes, the error code of the processor (AMD APM volume 2, §8.4.2): FaultStore is a bit of it
}

// FaultStore is the bit of a page fault's error code that says that a store faulted.
const FaultStore = 1 << 1

// faultRange is Faults of the code from lo to hi. lo is written last, and cleared first: hi is 0 where it is not in use.
type faultRange struct {
	lo, hi             uintptr
	routine            uintptr
	pc, address, error int64
}

const maxFaultRanges = 64

// faultTable is what the handler reads.
type faultTable struct {
	other  uintptr // the handler of what is not ours
	ranges [maxFaultRanges]faultRange
}

var (
	faults       faultTable
	faultMutex   sync.Mutex // guards changes of faults.ranges
	faultInstall = sync.OnceValue(installFaultHandler)
)

// HandleFaults makes page faults and halts in the arena's code ones that it may have, until Close. It fails where the host does not let it, or when 64 arenas of the
// process have it.
func (a *Arena) HandleFaults(f Faults) error {
	if err := faultInstall(); err != nil {
		return fmt.Errorf("installing a handler of page faults: %w", err)
	}
	faultMutex.Lock()
	defer faultMutex.Unlock()
	for i := range faults.ranges {
		r := &faults.ranges[i]
		if atomic.LoadUintptr(&r.hi) != 0 {
			continue
		}
		r.routine, r.pc, r.address, r.error = uintptr(f.Routine), int64(f.PC), int64(f.Address), int64(f.Code)
		atomic.StoreUintptr(&r.lo, uintptr(a.exec))
		atomic.StoreUintptr(&r.hi, uintptr(a.exec)+uintptr(len(a.write)))
		return nil
	}
	return errors.New("too many machines have page faults")
}

// ignoreFaults ends what HandleFaults began.
func (a *Arena) ignoreFaults() {
	faultMutex.Lock()
	defer faultMutex.Unlock()
	for i := range faults.ranges {
		if r := &faults.ranges[i]; r.lo == uintptr(a.exec) {
			atomic.StoreUintptr(&r.hi, 0)
			atomic.StoreUintptr(&r.lo, 0)
		}
	}
}

// sigaction is the kernel's struct.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// installFaultHandler puts the handler in front of Go's, with everything else as Go has it: the stack, the mask, the way back.
func installFaultHandler() error {
	var act sigaction
	if err := rtSigaction(uintptr(unix.SIGSEGV), nil, &act); err != nil {
		return err
	}
	const onStack, siginfo = 0x08000000, 4
	if act.handler <= 1 || act.flags&onStack == 0 || act.flags&siginfo == 0 {
		return errors.New("there is none of Go's to stand before")
	}
	faults.other = act.handler
	act.handler = faultHandlerPC()
	return rtSigaction(uintptr(unix.SIGSEGV), &act, nil)
}

func rtSigaction(signal uintptr, act, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// faultHandlerPC is the address of the handler.
func faultHandlerPC() uintptr
