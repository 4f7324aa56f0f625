// Package softfloat is RISC-V floating point (Unprivileged ISA, chapters "F", "D", "Zfh" and "Zfa") on raw bit patterns, in
// integer arithmetic: the exact answer and the exact flags in all five rounding modes, whatever the host's processor does.
//
// How it reads. A format is two numbers (format.go). Operands are unpacked into a normalised number that no longer knows its
// format, operations work on those (arith.go, convert.go), and one function rounds and packs whatever comes out (pack.go).
// What needs no arithmetic (compare.go, roundint.go) works on the patterns themselves. The exported functions, one set per
// format, are in binary16.go, binary32.go and binary64.go; host.go says when they may ask the host's processor instead.
//
// What holds throughout:
//   - A NaN result is the canonical NaN; payloads never propagate.
//   - Flags are or-ed into *fl, never cleared, so fl may be the hart's accrued fflags.
//   - Tininess is detected after rounding.
//   - The rounding mode is a resolved one, RNE..RMM; the caller maps DYN to frm and traps the reserved ones. Given any other
//     value these functions truncate.
//
// Nothing here allocates, panics or holds state.
package softfloat

// Rounding is a rounding mode, encoded as in frm and in the rm field of instructions.
type Rounding uint8

const (
	RNE Rounding = 0 // to nearest, ties to even
	RTZ Rounding = 1 // towards zero
	RDN Rounding = 2 // down, towards minus infinity
	RUP Rounding = 3 // up, towards plus infinity
	RMM Rounding = 4 // to nearest, ties to max magnitude
	DYN Rounding = 7 // in an instruction: the mode in frm; never an argument of this package's functions
)

// Valid reports whether rm can round, which DYN and the reserved encodings 5 and 6 cannot.
func (rm Rounding) Valid() bool { return rm <= RMM }

// Flags are exceptions, encoded as in fflags.
type Flags uint8

const (
	NX Flags = 1 << iota // inexact
	UF                   // underflow
	OF                   // overflow
	DZ                   // divide by zero
	NV                   // invalid operation
)

// The canonical NaNs: what every operation whose result is a NaN returns.
const (
	NaN16 uint16 = 0x7e00
	NaN32 uint32 = 0x7fc0_0000
	NaN64 uint64 = 0x7ff8_0000_0000_0000
)

// The sign bits, for FSGNJ and for the negations in FMSUB, FNMSUB and FNMADD.
const (
	Sign16 uint16 = 1 << 15
	Sign32 uint32 = 1 << 31
	Sign64 uint64 = 1 << 63
)

const (
	box16 = 0xffff_ffff_ffff_0000
	box32 = 0xffff_ffff_0000_0000
)

// Box16 is a binary16 value as a 64-bit f register holds it: NaN-boxed, all upper bits set.
func Box16(a uint16) uint64 { return box16 | uint64(a) }

// Box32 is a binary32 value as a 64-bit f register holds it: NaN-boxed, all upper bits set.
func Box32(a uint32) uint64 { return box32 | uint64(a) }

// Unbox16 is the binary16 value in a 64-bit f register: the canonical NaN if the register is not properly NaN-boxed.
func Unbox16(f uint64) uint16 {
	if f < box16 {
		return NaN16
	}
	return uint16(f)
}

// Unbox32 is the binary32 value in a 64-bit f register: the canonical NaN if the register is not properly NaN-boxed.
func Unbox32(f uint64) uint32 {
	if f < box32 {
		return NaN32
	}
	return uint32(f)
}
