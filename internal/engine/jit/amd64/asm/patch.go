package asm

// Jumps that are changed while other threads execute them. The displacement of such a jump lies on an address that is a multiple of four, so
// that it never crosses a cache line, and one 4-byte store replaces it: a processor that fetches the instruction sees the old distance or
// the new one, never a mixture. Where the new target is code just written, it must be complete before the store; the order of stores of this
// architecture then shows it to whoever sees the jump.

import (
	"sync/atomic"
	"unsafe"
)

// A Site is the offset in the code of a displacement that Retarget can change.
type Site int

// JmpSite jumps to l until Retarget says otherwise.
func (a *Assembler) JmpSite(l Label) Site { return a.site(JMP, l) }

// JccSite jumps to l if c holds, until Retarget says otherwise.
func (a *Assembler) JccSite(c Cond, l Label) Site { return a.site(JO+Op(c), l) }

// CallSite calls l until Retarget says otherwise.
func (a *Assembler) CallSite(l Label) Site { return a.site(CALL, l) }

// SitePadding is how many bytes JccSite would put before a jump here.
func (a *Assembler) SitePadding() int { return -int(a.base+uintptr(a.pos+2)) & 3 }

func (a *Assembler) site(op Op, l Label) Site {
	ahead := 1
	if op != JMP && op != CALL {
		ahead = 2
	}
	a.Nop(-int(a.base+uintptr(a.pos+ahead)) & 3)
	return Site(a.near(op, l))
}

// Retarget makes the jump at s lead to the offset target, both counted from the start of code, which is the writable mapping of the place where the
// jump executes. The target may lie outside code. Any number of threads may execute the jump meanwhile; those that retarget the
// same one must take turns. ErrRange if the jump does not reach the target: it is then as it was.
//
// Preconditions: s is a site of this code, assembled for a base that is as far from a multiple of 4 as code is.
func Retarget(code []byte, s Site, target int) error {
	d := target - (int(s) + 4)
	if int(int32(d)) != d {
		return ErrRange
	}
	atomic.StoreUint32(displacement(code, s), uint32(int32(d)))
	return nil
}

// Target is the offset that the jump at s leads to.
func Target(code []byte, s Site) int {
	return int(s) + 4 + int(int32(atomic.LoadUint32(displacement(code, s))))
}

// displacement is the word at s. Safe: the slice expression checks that the word lies in code, and the check below that it is aligned, which
// is all that atomic access asks for.
func displacement(code []byte, s Site) *uint32 {
	p := unsafe.Pointer(unsafe.SliceData(code[s : s+4]))
	if uintptr(p)&3 != 0 {
		panic("asm: patch site is not aligned")
	}
	return (*uint32)(p)
}
