package asm

// Data between the instructions, little-endian.

import (
	"encoding/binary"
	"fmt"
)

// Data writes bytes as they are.
func (a *Assembler) Data(b ...byte) { a.code = append(a.code, b...) }

// Asciz writes a string and a zero byte.
func (a *Assembler) Asciz(s string) { a.code = append(append(a.code, s...), 0) }

// Half writes 2-byte values: data, or raw encodings of compressed instructions.
func (a *Assembler) Half(values ...uint16) {
	for _, v := range values {
		a.code = binary.LittleEndian.AppendUint16(a.code, v)
	}
}

// Word writes 4-byte values: data, or raw encodings.
func (a *Assembler) Word(values ...uint32) {
	for _, v := range values {
		a.code = binary.LittleEndian.AppendUint32(a.code, v)
	}
}

// Dword writes 8-byte values.
func (a *Assembler) Dword(values ...uint64) {
	for _, v := range values {
		a.code = binary.LittleEndian.AppendUint64(a.code, v)
	}
}

// DwordOf writes the 8-byte address of a label.
func (a *Assembler) DwordOf(label string) {
	a.fixups = append(a.fixups, fixup{kind: address, at: len(a.code), label: label})
	a.Dword(0)
}

// Space writes n zero bytes.
func (a *Assembler) Space(n int) { a.code = append(a.code, make([]byte, n)...) }

// Align pads to a multiple of n bytes, a power of two, with c.nop where two bytes fit, so that code may run through it.
func (a *Assembler) Align(n uint64) {
	if n == 0 || n&(n-1) != 0 {
		a.fail(a.PC(), fmt.Errorf("alignment %d is not a power of two", n))
		return
	}
	for a.PC()&(n-1) != 0 {
		if a.PC()&1 == 0 && n >= 2 {
			a.Half(0x0001)
		} else {
			a.Data(0)
		}
	}
}
