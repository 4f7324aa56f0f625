// Package asm is an assembler for 64-bit x86, made for a translator: it writes machine code straight into a buffer of the
// caller's, allocates nothing once warm, and takes a few nanoseconds an instruction.
//
// What it knows of the instruction set is one table (table_*.go), a line an instruction. The encoder, the listing and the tests
// derive from it; to add an instruction is to add a constant in ops.go and a line there.
//
// An instruction is named by an Op and emitted by the method that is called after the operands it takes, destination first, as in Intel's
// manuals: R a general register, X an SSE register, M memory, I an immediate.
//
//	a.RR(asm.ADD, asm.S64, asm.RAX, asm.RCX)                  // add rax, rcx
//	a.MR(asm.MOV, asm.S64, asm.At(asm.RBX, 16), asm.RAX)      // mov [rbx+16], rax
//	a.RI(asm.CMP, asm.S32, asm.RDX, 7)                        // cmp edx, 7
//	a.Jcc(asm.CondNE, loop)                                   // jne loop
//	a.XXX(asm.VADDSD, asm.XMM0, asm.XMM1, asm.XMM2)           // vaddsd xmm0, xmm1, xmm2
//
// An operand size is asked for where general registers or plain memory leave it open. Instructions that touch SSE registers carry their
// sizes in their names, also those that move between the two files (MOVD and MOVQ, CVTSI2SDL and CVTSI2SDQ).
//
// An instruction that the table does not have with those operands is a mistake of the program that asks: it panics. What depends on
// the input is an error, kept until Finish: a full buffer, a jump that does not reach, a label that was never bound.
//
// References: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2; AMD64 Architecture Programmer's Manual, volume 3.
package asm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrFull: the buffer has no room for the next instruction. Assemble again into a larger one.
	ErrFull = errors.New("asm: code buffer is full")
	// ErrRange: a displacement does not fit: a short jump to a label more than 127 bytes away, a near one further than 2 GiB.
	ErrRange = errors.New("asm: jump out of range")
	// ErrUnbound: the code refers to a label that was never bound.
	ErrUnbound = errors.New("asm: unbound label")
)

// slack is the room that must be left for an instruction to be written. No instruction is longer than 15 bytes; the encoder
// stores whole words, which end within 16, or 17 behind a prefix.
const slack = 24

// An Assembler writes instructions one after the other into a buffer. The zero value must be Reset before use; an Assembler is kept and
// Reset for each piece of code, so that its lists of labels stay allocated. One goroutine may use it at a time.
type Assembler struct {
	buf   []byte
	pos   int
	limit int // the last pos at which an instruction may start
	base  uintptr
	err   error

	labels []label
	fixups []fixup
	open   int // fixups that wait for their label
	away   []int32
	pool   pool

	// Trace, when set, is told of each instruction and where it starts: the listing of what was generated, without a decoder.
	Trace func(at int, i Inst)
}

// Reset starts new code in buf, which will execute at address base: another mapping of the same memory, or a place that the code is copied
// to. All labels, errors and constants of the code before are forgotten. Bytes of buf after the last instruction are scratch, up to its
// length: a buffer is filled up to its last 16 bytes.
func (a *Assembler) Reset(buf []byte, base uintptr) {
	a.buf, a.base = buf, base
	a.pos, a.limit = 0, len(buf)-slack
	a.err, a.open = nil, 0
	a.labels, a.fixups, a.away = a.labels[:0], a.fixups[:0], a.away[:0]
	a.pool.reset()
}

// Pos is the offset in the buffer of the next instruction.
func (a *Assembler) Pos() int { return a.pos }

// Rewind takes back what was written since Pos was pos: instructions that bound no label, referred to none and asked for no constant.
func (a *Assembler) Rewind(pos int) { a.pos = pos }

// Err is the first error so far, or nil. Once there is one, nothing more is written.
func (a *Assembler) Err() error { return a.err }

// Finish writes the constants that are still in the pool and returns the code: the used part of the buffer.
func (a *Assembler) Finish() ([]byte, error) {
	a.FlushPool()
	if a.err == nil && a.open > 0 {
		a.fail(ErrUnbound)
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.buf[:a.pos], nil
}

func (a *Assembler) fail(err error) {
	if a.err == nil {
		a.err = fmt.Errorf("%w (at offset %d of %d)", err, a.pos, len(a.buf))
	}
	a.limit = -1
}

// room tells whether n bytes, 16 or fewer, can be written, and fails with ErrFull if not.
func (a *Assembler) room() bool {
	if a.pos > a.limit {
		a.fail(ErrFull)
		return false
	}
	return true
}

// Quad writes 8 bytes of data, little-endian.
func (a *Assembler) Quad(v uint64) {
	if a.room() {
		binary.LittleEndian.PutUint64(a.buf[a.pos:], v)
		a.pos += 8
	}
}

// Long writes 4 bytes of data, little-endian.
func (a *Assembler) Long(v uint32) {
	if a.room() {
		binary.LittleEndian.PutUint32(a.buf[a.pos:], v)
		a.pos += 4
	}
}

// Align advances, over no-operations, to an address of execution that is a multiple of n, a power of two.
func (a *Assembler) Align(n int) {
	a.Nop(-int(a.base+uintptr(a.pos)) & (n - 1))
}

// nops are the recommended no-operations of 1 to 9 bytes (Intel SDM volume 2B, NOP).
var nops = [...]string{
	1: "\x90",
	2: "\x66\x90",
	3: "\x0f\x1f\x00",
	4: "\x0f\x1f\x40\x00",
	5: "\x0f\x1f\x44\x00\x00",
	6: "\x66\x0f\x1f\x44\x00\x00",
	7: "\x0f\x1f\x80\x00\x00\x00\x00",
	8: "\x0f\x1f\x84\x00\x00\x00\x00\x00",
	9: "\x66\x0f\x1f\x84\x00\x00\x00\x00\x00",
}

// Nop writes n bytes that do nothing, in as few instructions as possible.
func (a *Assembler) Nop(n int) {
	for n > 0 && a.room() {
		k := min(n, len(nops)-1)
		if a.Trace != nil {
			a.Trace(a.pos, Inst{form: &forms[formOf[NOP][kPlain]], imm: int64(k)})
		}
		a.pos += copy(a.buf[a.pos:], nops[k])
		n -= k
	}
}
