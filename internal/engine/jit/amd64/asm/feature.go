package asm

// Which processors have which instructions. What every x86-64-v2 processor has (up to SSE4.2, POPCNT, CMPXCHG16B) needs no asking: the
// program does not start below that. Op.Needs says what an instruction asks for beyond it; the rest is a choice of the back end,
// which asks Host once.

import (
	"strings"

	"golang.org/x/sys/cpu"
)

// Feature is a set of processor features.
type Feature uint16

// The features.
const (
	HasBMI1      Feature = 1 << iota // andn, bextr, blsi, blsmsk, blsr, tzcnt (elsewhere a bsf, which differs for 0)
	HasBMI2                          // mulx, pdep, pext, rorx, sarx, shlx, shrx
	HasLZCNT                         // lzcnt (elsewhere a bsr: another result, no fault)
	HasPCLMULQDQ                     // carry-less multiplication
	HasAVX                           // VEX forms of the SSE instructions: three operands, memory need not be aligned
	HasFMA                           // fused multiply-add
	HasF16C                          // conversions of half-precision numbers
	HasFSGSBASE                      // wrgsbase, if the operating system lets programs execute it
	HasArchPrctl                     // no instruction, but what does the same anywhere: the system call arch_prctl of Linux sets the base of GS

	numFeatures = iota
)

var featureNames = [numFeatures]string{"bmi1", "bmi2", "lzcnt", "pclmulqdq", "avx", "fma", "f16c", "fsgsbase", "arch_prctl"}

// The codes of arch_prctl(2) for the base of GS.
const (
	ArchSetGS = 0x1001
	ArchGetGS = 0x1004
)

// Host is the set of features of the processor that the program runs on, as far as its operating system supports them. Empty on other
// architectures.
func Host() Feature {
	var have Feature
	for i, has := range [numFeatures]bool{
		cpu.X86.HasBMI1, cpu.X86.HasBMI2, cpu.X86.HasLZCNT, cpu.X86.HasPCLMULQDQ, cpu.X86.HasAVX, cpu.X86.HasFMA,
		cpu.X86.HasF16C && cpu.X86.HasAVX, // F16C is reported even when the system does not save what AVX needs
		hasFSGSBASE(), hasArchPrctl(),
	} {
		if has {
			have |= 1 << i
		}
	}
	return have
}

// Has tells whether all of want are in the set.
func (f Feature) Has(want Feature) bool { return f&want == want }

// String lists the features by their names in the manuals, in lower case.
func (f Feature) String() string {
	var list []string
	for i, name := range featureNames {
		if f>>i&1 != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}
