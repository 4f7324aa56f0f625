#include "textflag.h"

// func compareAndSwap16(p unsafe.Pointer, oldLo, oldHi, newLo, newHi uint64) (lo, hi uint64)
//
// The pair is written back also when it differs: only a store-exclusive that succeeds proves that both halves were read at once.
TEXT ·compareAndSwap16(SB), NOSPLIT, $0-56
	MOVD p+0(FP), R0
	MOVD oldLo+8(FP), R1
	MOVD oldHi+16(FP), R2
	MOVD newLo+24(FP), R3
	MOVD newHi+32(FP), R4
again:
	LDAXP (R0), (R5, R6)
	CMP   R1, R5
	CCMP  EQ, R2, R6, $0
	CSEL  EQ, R3, R5, R7
	CSEL  EQ, R4, R6, R8
	STLXP (R7, R8), (R0), R9
	CBNZ  R9, again
	DMB   $0xb
	MOVD  R5, lo+40(FP)
	MOVD  R6, hi+48(FP)
	RET

// func Barrier()
TEXT ·Barrier(SB), NOSPLIT, $0-0
	DMB $0xb // ISH
	RET
