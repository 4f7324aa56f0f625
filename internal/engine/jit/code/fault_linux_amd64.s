#include "go_asm.h"
#include "textflag.h"

// The handler of SIGSEGV; fault_linux_amd64.go has what it is for.
//
// It is called by the kernel as a C function: DI is the signal, SI its information, DX the context that the thread goes on with. The offsets in that are
// those of struct ucontext of x86-64 Linux, registers in the order of the kernel's struct sigcontext.

#define contextBP    120
#define contextIP    168
#define contextError 192
#define contextTrap  200
#define contextCR2   216

#define generalProtection 13
#define pageFault         14

#define opHLT 0xF4

TEXT faultHandler<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ contextIP(DX), AX
	CMPQ contextTrap(DX), $pageFault
	JEQ  look
	CMPQ contextTrap(DX), $generalProtection
	JNE  other

look:
	LEAQ ·faults+faultTable_ranges(SB), R8
	MOVQ $const_maxFaultRanges, CX

next:
	CMPQ AX, faultRange_lo(R8)
	JB   skip
	CMPQ AX, faultRange_hi(R8)
	JB   ours

skip:
	ADDQ $faultRange__size, R8
	DECQ CX
	JNE  next

other:
	MOVQ ·faults+faultTable_other(SB), AX
	JMP  AX

ours:
	MOVQ contextCR2(DX), R11
	CMPQ contextTrap(DX), $pageFault
	JEQ  note
	CMPB (AX), $opHLT
	JNE  other
	MOVQ $-1, R11 // no address

note:
	MOVQ contextBP(DX), R9
	MOVQ faultRange_pc(R8), R10
	MOVQ AX, (R9)(R10*1)
	MOVQ R11, AX
	MOVQ faultRange_address(R8), R10
	MOVQ AX, (R9)(R10*1)
	MOVQ contextError(DX), AX
	MOVQ faultRange_error(R8), R10
	MOVQ AX, (R9)(R10*1)
	MOVQ faultRange_routine(R8), AX
	MOVQ AX, contextIP(DX)
	RET

// func faultHandlerPC() uintptr
TEXT ·faultHandlerPC(SB), NOSPLIT, $0-8
	LEAQ faultHandler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
