// Package asm assembles RISC-V programs inside Go: for tests, for the guest programs of the self-test in `vm doctor`, and
// for reset code. It stands on riscv.Encode, so it can write exactly what the decoder reads.
//
// A program is written by calling methods in order, and taken with Bytes. Mistakes (an operand that does not fit, a label
// that is nowhere) are collected and reported by Bytes, so that programs read without error handling:
//
//	a := asm.New(0x8000_0000)
//	a.Li(asm.T0, 1_000_000)
//	a.Label("loop")
//	a.I(riscv.ADDI, asm.T0, asm.T0, -1)
//	a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
//	a.Op(riscv.WFI)
//	code, err := a.Bytes()
package asm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Assembler holds a program under construction. It is for one goroutine.
type Assembler struct {
	base   uint64
	code   []byte
	labels map[string]uint64
	fixups []fixup
	errs   []error
}

// A fixup is a place whose content depends on the address of a label.
type fixup struct {
	kind  fixupKind
	at    int    // offset in code
	from  uint64 // the address that the distance to the label counts from
	inst  riscv.Inst
	label string
}

type fixupKind uint8

const (
	branchTo fixupKind = iota // Imm becomes the distance
	upperOf                   // Imm becomes its upper 20 bits, rounded for the lower ones
	lowerOf                   // Imm becomes its lower 12 bits, signed
	address                   // 8 bytes: the address itself
)

// New returns an empty program that will lie at base.
func New(base uint64) *Assembler {
	return &Assembler{base: base, labels: map[string]uint64{}}
}

// PC returns the address of what is written next.
func (a *Assembler) PC() uint64 { return a.base + uint64(len(a.code)) }

// Base returns the address of the program's first byte.
func (a *Assembler) Base() uint64 { return a.base }

// Label gives the address of what is written next a name. A name can be used before it is given.
func (a *Assembler) Label(name string) {
	if _, ok := a.labels[name]; ok {
		a.fail(a.PC(), fmt.Errorf("label %q is given twice", name))
	}
	a.labels[name] = a.PC()
}

// Address returns the address of a label that has been given.
func (a *Assembler) Address(name string) (addr uint64, ok bool) {
	addr, ok = a.labels[name]
	return addr, ok
}

// Labels returns the labels given so far, with their addresses.
func (a *Assembler) Labels() map[string]uint64 { return maps.Clone(a.labels) }

// Bytes returns the program, or what is wrong with it. More can be written afterwards.
func (a *Assembler) Bytes() ([]byte, error) {
	code := append([]byte(nil), a.code...)
	errs := append([]error(nil), a.errs...)
	for _, f := range a.fixups {
		if err := a.resolve(f, code); err != nil {
			errs = append(errs, fmt.Errorf("asm: at %#x: %w", a.base+uint64(f.at), err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return code, nil
}

func (a *Assembler) resolve(f fixup, code []byte) error {
	target, ok := a.labels[f.label]
	if !ok {
		return fmt.Errorf("label %q is not given anywhere", f.label)
	}
	if f.kind == address {
		binary.LittleEndian.PutUint64(code[f.at:], target)
		return nil
	}
	distance := int64(target - f.from)
	if f.kind != branchTo {
		if r := distance + 0x800; r != int64(int32(r)) {
			return fmt.Errorf("label %q is %d bytes away: out of reach", f.label, distance)
		}
	}
	switch f.kind {
	case branchTo:
		if distance != int64(int32(distance)) {
			return fmt.Errorf("label %q is %d bytes away: out of reach", f.label, distance)
		}
		f.inst.Imm = int32(distance)
	case upperOf:
		f.inst.Imm = int32(distance+0x800) &^ 0xfff
	case lowerOf:
		f.inst.Imm = int32(distance) << 20 >> 20
	}
	raw, err := riscv.Encode(f.inst)
	if err != nil {
		return fmt.Errorf("label %q is %d bytes away: %w", f.label, distance, err)
	}
	put(code[f.at:], f.inst.Op, raw)
	return nil
}

func put(b []byte, op riscv.Op, raw uint32) {
	if op.Compressed() {
		binary.LittleEndian.PutUint16(b, uint16(raw))
	} else {
		binary.LittleEndian.PutUint32(b, raw)
	}
}

func (a *Assembler) fail(at uint64, err error) {
	a.errs = append(a.errs, fmt.Errorf("asm: at %#x: %w", at, err))
}

// reserve makes room for the encoding of op and returns its offset.
func (a *Assembler) reserve(op riscv.Op) int {
	at := len(a.code)
	size := 4
	if op.Compressed() {
		size = 2
	}
	a.code = append(a.code, make([]byte, size)...)
	return at
}

// Emit writes any instruction, of the table's 16-bit ones too; fields are as riscv.Encode wants them.
func (a *Assembler) Emit(i riscv.Inst) {
	pc := a.PC()
	at := a.reserve(i.Op)
	raw, err := riscv.Encode(i)
	if err != nil {
		a.fail(pc, err)
		return
	}
	put(a.code[at:], i.Op, raw)
}

// EmitTo writes a branch or jump of any format (JAL, BEQ.., C_J, C_BEQZ..) whose Imm is the distance to a label.
func (a *Assembler) EmitTo(i riscv.Inst, label string) { a.emitFixup(branchTo, a.PC(), i, label) }

func (a *Assembler) emitFixup(kind fixupKind, from uint64, i riscv.Inst, label string) {
	a.fixups = append(a.fixups, fixup{kind: kind, at: a.reserve(i.Op), from: from, inst: i, label: label})
}
