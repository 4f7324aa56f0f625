#include "textflag.h"

// func compareAndSwap16(p unsafe.Pointer, oldLo, oldHi, newLo, newHi uint64) (lo, hi uint64)
TEXT ·compareAndSwap16(SB), NOSPLIT, $0-56
	MOVQ p+0(FP), SI
	MOVQ oldLo+8(FP), AX
	MOVQ oldHi+16(FP), DX
	MOVQ newLo+24(FP), BX
	MOVQ newHi+32(FP), CX
	LOCK
	CMPXCHG16B (SI)
	MOVQ AX, lo+40(FP)
	MOVQ DX, hi+48(FP)
	RET

// func Barrier()
TEXT ·Barrier(SB), NOSPLIT, $8-0
	// A locked instruction orders what MFENCE orders for ordinary memory, faster.
	LOCK
	ADDQ $0, 0(SP)
	RET
