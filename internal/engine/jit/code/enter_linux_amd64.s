#include "go_asm.h"
#include "textflag.h"

// The way into generated code and back; enter_linux_amd64.go has the contract.

// What Go runs with: round to nearest, every exception masked.
DATA mxcsr<>+0(SB)/4, $0x1f80
GLOBL mxcsr<>(SB), RODATA|NOPTR, $4

// func Enter(at Addr, base unsafe.Pointer) uint64
//
// The frame is generated code's stack and, above it, g. The assembler saves RBP above that, and restores it. While
// generated code runs, RSP is raised to the top of its stack, so that what it pushes stays in the frame, which the linker's
// check of NOSPLIT stacks has accounted for.
TEXT ·Enter(SB), NOSPLIT, $const_enterFrame-24
	NOP	SP // vet follows no ADJSP
	MOVQ	at+0(FP), AX
	MOVQ	base+8(FP), BP
	MOVQ	R14, const_StackBytes(SP)
	ADJSP	$-const_StackBytes
	CALL	AX
	ADJSP	$const_StackBytes
	MOVQ	const_StackBytes(SP), R14
	LDMXCSR	mxcsr<>(SB)
	CLD
	XORPS	X15, X15
	MOVQ	AX, ret+16(FP)
	RET
