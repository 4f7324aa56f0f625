package riscv

// Trap causes (Privileged 1.13, Tables 14 and 22) and privilege levels.

// Exception codes of mcause and scause, and the bits of medeleg.
const (
	CauseFetchMisaligned = 0 // an instruction address that is not even; cannot happen with C
	CauseFetchAccess     = 1
	CauseIllegal         = 2
	CauseBreakpoint      = 3
	CauseLoadMisaligned  = 4
	CauseLoadAccess      = 5
	CauseStoreMisaligned = 6 // store or AMO
	CauseStoreAccess     = 7
	CauseEcallU          = 8
	CauseEcallS          = 9
	CauseEcallM          = 11
	CauseFetchPageFault  = 12
	CauseLoadPageFault   = 13
	CauseStorePageFault  = 15
	CauseDoubleTrap      = 16
	CauseSoftwareCheck   = 18
	CauseHardwareError   = 19
)

// CauseInterrupt is the bit of mcause and scause that tells an interrupt from an exception.
const CauseInterrupt = uint64(1) << 63

// Interrupt numbers: bits of mip, mie and mideleg, and codes of mcause and scause beside CauseInterrupt.
const (
	IntSSoftware       = 1
	IntMSoftware       = 3
	IntSTimer          = 5
	IntMTimer          = 7
	IntSExternal       = 9
	IntMExternal       = 11
	IntCounterOverflow = 13
)

// Privilege levels, as mstatus.MPP encodes them.
const (
	PrivU = 0
	PrivS = 1
	PrivM = 3
)
