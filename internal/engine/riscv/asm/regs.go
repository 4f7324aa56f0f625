package asm

// The registers by their ABI names (RISC-V psABI §1), as numbers for the register operands of this package and of
// riscv.Inst.

// Integer registers.
const (
	Zero = 0
	RA   = 1
	SP   = 2
	GP   = 3
	TP   = 4
	T0   = 5
	T1   = 6
	T2   = 7
	S0   = 8
	S1   = 9
	A0   = 10
	A1   = 11
	A2   = 12
	A3   = 13
	A4   = 14
	A5   = 15
	A6   = 16
	A7   = 17
	S2   = 18
	S3   = 19
	S4   = 20
	S5   = 21
	S6   = 22
	S7   = 23
	S8   = 24
	S9   = 25
	S10  = 26
	S11  = 27
	T3   = 28
	T4   = 29
	T5   = 30
	T6   = 31
	FP   = S0
)

// Floating-point registers.
const (
	FT0  = 0
	FT1  = 1
	FT2  = 2
	FT3  = 3
	FT4  = 4
	FT5  = 5
	FT6  = 6
	FT7  = 7
	FS0  = 8
	FS1  = 9
	FA0  = 10
	FA1  = 11
	FA2  = 12
	FA3  = 13
	FA4  = 14
	FA5  = 15
	FA6  = 16
	FA7  = 17
	FS2  = 18
	FS3  = 19
	FS4  = 20
	FS5  = 21
	FS6  = 22
	FS7  = 23
	FS8  = 24
	FS9  = 25
	FS10 = 26
	FS11 = 27
	FT8  = 28
	FT9  = 29
	FT10 = 30
	FT11 = 31
)

// Rounding modes of floating-point instructions.
const (
	RNE = 0 // to nearest, ties to even
	RTZ = 1 // towards zero
	RDN = 2 // down
	RUP = 3 // up
	RMM = 4 // to nearest, ties to max magnitude
	DYN = 7 // what frm says
)

// Ordering of AMO, LR and SC.
const (
	Relaxed = 0
	RL      = 1
	AQ      = 2
	AQRL    = 3
)
