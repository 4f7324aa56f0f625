package code

// Entering generated code from Go and coming back, on x86-64 under Linux.
//
// # What generated code finds, and what it may do
//
//   - RBP holds base. RSP points at the return address, and StackBytes below the entry RSP, that address included, are
//     its own. RSP is a multiple of 8, not of 16. Everything else is undefined, but MXCSR is Go's and the direction flag is clear.
//   - It may change every register: RBP and R14 (Go's g), all of XMM, YMM, ZMM and the mask registers, MXCSR with exceptions masked or
//     not, flags with the direction flag. It may point RSP elsewhere, to memory of its own, because signals are
//     delivered on a stack of their own.
//   - It leaves by RET with RSP as it was at entry and its exit code in RAX. It leaves the upper halves of YMM registers zero
//     (VZEROUPPER) if it used them, or Go's SSE code is slow afterwards. It does not use MMX or change the x87 control word.
//   - It never calls Go and never faults, but for page faults and halts where [Arena.HandleFaults] says so.
//
// # Signals
//
// The runtime's handlers run on their own stack, with g from thread-local storage and with MXCSR and the direction flag reset by the
// kernel, which restores all of it on return. What they do with a PC that is in no Go function:
//
//   - SIGURG (preemption): a PC outside Go is no safe point, so the handler returns. Under EnterDetached the goroutine does not even
//     count as one to preempt.
//   - SIGPROF: the sample counts for runtime._ExternalCode; no stack is followed, so RSP and RBP may be anything.
//
// Tracebacks of this goroutine made by others start where EnterDetached called the runtime, and never see generated code.
//
// # Faults
//
// A synchronous signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP) in generated code is a bug of the translator. What Go 1.26 does with it, as
// TestFault shows:
//
//   - Under EnterDetached the process dies: "SIGSEGV: segmentation violation", "PC=0x7f... m=3 sigcode=1 addr=0x8", the stacks of the
//     goroutines, with EnterDetached on top of this one, and the registers of generated code. Nothing can recover it.
//   - Under Enter, an address below 4096 or a division error becomes a Go panic in Enter, if RSP is as at entry. It can be recovered, but
//     then Go runs on with the MXCSR of generated code: so do not recover around Enter. With another RSP it is "fatal error: unknown
//     caller pc", and any other address is "fatal error: fault".
//   - INT3 (SIGTRAP), which is what memory without code is filled with, kills the process in both.

import "unsafe"

// Enter calls generated code at an address with base in RBP and returns its exit code. The goroutine counts as running Go code
// meanwhile, and nothing can preempt it: a collector that wants to stop the world waits for it. It is for code that returns in
// microseconds; a hart's loop uses [EnterDetached]. base must point outside the Go heap and stacks.
//
//go:noescape
func Enter(at Addr, base unsafe.Pointer) uint64

// EnterDetached is [Enter] for code that may run for any time. As in a system call, the goroutine gives up its claim to run Go code until
// generated code returns: the collector neither waits for it nor does it use one of GOMAXPROCS. What generated code
// reads or writes must therefore be outside the Go heap.
//
// Between the two calls of the runtime nothing may grow the stack or be instrumented, hence the directives.
//
//go:nosplit
//go:norace
//go:noinline
func EnterDetached(at Addr, base unsafe.Pointer) uint64 {
	entersyscall()
	exit := Enter(at, base)
	exitsyscall()
	return exit
}

// The runtime keeps these two for users outside, gVisor first among them (go.dev/issue/67401), so that they link without -checklinkname=0.

//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
