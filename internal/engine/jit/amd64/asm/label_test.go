package asm

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

// nopLen is the length of the no-operation at the start of code, 0 if there is none.
func nopLen(code []byte) int {
	in, err := x86asm.Decode(code, 64)
	if err != nil || in.Op != x86asm.NOP {
		return 0
	}
	return in.Len
}

// leadsTo decodes the jump, call or address at offset at, and returns where it leads and the length of the instruction.
func leadsTo(t *testing.T, code []byte, at int) (name string, target, length int) {
	t.Helper()
	in, err := x86asm.Decode(code[at:], 64)
	if err != nil {
		t.Fatal(err)
	}
	name = strings.ToLower(in.Op.String())
	for _, arg := range in.Args {
		switch arg := arg.(type) {
		case x86asm.Rel:
			return name, at + in.Len + int(arg), in.Len
		case x86asm.Mem:
			if arg.Base == x86asm.RIP {
				return name, at + in.Len + int(int32(arg.Disp)), in.Len // the decoder does not extend its sign
			}
		}
	}
	t.Fatalf("%v leads nowhere", in)
	return
}

// The jumps by name, as the decoder calls them.
var conditionNames = strings.Fields("jo jno jb jae je jne jbe ja js jns jp jnp jl jge jle jg")

func TestJumps(t *testing.T) {
	type jump struct {
		name        string
		emit        func(a *Assembler, l Label)
		short, near int // lengths
	}
	jumps := []jump{
		{"jmp", (*Assembler).Jmp, 2, 5},
		{"jmp", (*Assembler).JmpShort, 2, 2},
		{"call", (*Assembler).Call, 5, 5},
	}
	for c, name := range conditionNames {
		jumps = append(jumps,
			jump{name, func(a *Assembler, l Label) { a.Jcc(Cond(c), l) }, 2, 6},
			jump{name, func(a *Assembler, l Label) { a.JccShort(Cond(c), l) }, 2, 2})
	}
	for _, j := range jumps {
		for _, distance := range []int{0, 1, 5, 100, 126, 127} {
			code := assemble(t, func(a *Assembler) {
				l := a.NewLabel()
				j.emit(a, l)
				a.Nop(distance)
				a.Bind(l)
			})
			if name, target, n := leadsTo(t, code, 0); name != j.name || target != n+distance || n != j.near {
				t.Errorf("%s over %d bytes: %s to %d, %d bytes long", j.name, distance, name, target, n)
			}
		}
		for _, distance := range []int{0, 1, 126, 127, 128, 1000} {
			code := assemble(t, func(a *Assembler) {
				l := a.Here()
				a.Nop(distance)
				j.emit(a, l)
			})
			want := j.short
			if distance > 126 {
				want = map[string]int{"jmp": 5, "call": 5}[j.name]
				if want == 0 {
					want = 6
				}
			}
			if name, target, n := leadsTo(t, code, distance); name != j.name || target != 0 || n != want {
				t.Errorf("%s back over %d bytes: %s to %d, %d bytes long", j.name, distance, name, target, n)
			}
		}
	}
}

func TestLabelWithManyReferences(t *testing.T) {
	const n = 50
	var sites []int
	code := assemble(t, func(a *Assembler) {
		l := a.NewLabel()
		for i := range 2 * n {
			if i == n {
				a.Bind(l)
			}
			sites = append(sites, a.Pos())
			a.RM(LEA, S64, RAX, Rel(l))
		}
		if at, bound := a.Offset(l); at != n*7 || !bound {
			t.Errorf("bound %v at %d", bound, at)
		}
		if _, bound := a.Offset(a.NewLabel()); bound {
			t.Error("a new label is bound")
		}
	})
	for _, at := range sites {
		if name, target, _ := leadsTo(t, code, at); name != "lea" || target != n*7 {
			t.Errorf("at %d: %s to %d", at, name, target)
		}
	}
}

// A displacement counts from the end of the instruction, which an immediate may follow.
func TestRelativeWithImmediate(t *testing.T) {
	for _, forward := range []bool{false, true} {
		for size, imm := range map[Size]int32{S8: 1, S16: 0x1234, S32: 0x12345, S64: 1} {
			at := 0
			code := assemble(t, func(a *Assembler) {
				l := a.NewLabel()
				if !forward {
					a.Bind(l)
				}
				a.Nop(20)
				at = a.Pos()
				a.MI(ADD, size, Rel(l), imm)
				a.Nop(3)
				if forward {
					a.Bind(l)
				}
			})
			want := 0
			if forward {
				want = len(code)
			}
			if _, target, _ := leadsTo(t, code, at); target != want {
				t.Errorf("size %d, forward %v: leads to %d, want %d", size.Bytes(), forward, target, want)
			}
		}
	}
}

func TestJumpErrors(t *testing.T) {
	const base = 1 << 40
	for _, c := range []struct {
		name string
		want error
		emit func(a *Assembler)
	}{
		{"short jump over 128 bytes", ErrRange, func(a *Assembler) { l := a.NewLabel(); a.JmpShort(l); a.Nop(128); a.Bind(l) }},
		{"label never bound", ErrUnbound, func(a *Assembler) { a.Jcc(CondE, a.NewLabel()) }},
		{"memory at a label never bound", ErrUnbound, func(a *Assembler) { a.RM(MOV, S64, RAX, Rel(a.NewLabel())) }},
		{"label never bound nor used", nil, func(a *Assembler) { a.NewLabel() }},
		{"address too far up", ErrRange, func(a *Assembler) { a.JmpTo(base + 5 + 1<<31) }},
		{"address as far up as can be", nil, func(a *Assembler) { a.JmpTo(base + 5 + 1<<31 - 1) }},
		{"address too far down", ErrRange, func(a *Assembler) { a.CallTo(base + 5 - 1<<31 - 1) }},
		{"address as far down as can be", nil, func(a *Assembler) { a.CallTo(base + 5 - 1<<31) }},
		{"far condition", ErrRange, func(a *Assembler) { a.JccTo(CondE, 0) }},
	} {
		a := new(Assembler)
		a.Reset(make([]byte, 4096), base)
		c.emit(a)
		if _, err := a.Finish(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		a.Reset(make([]byte, 4096), 0)
		if code, err := a.Finish(); err != nil || len(code) != 0 {
			t.Errorf("%s is remembered after Reset: %v", c.name, err)
		}
	}
}

func TestJumpsToAddresses(t *testing.T) {
	const base = 0x10000
	for _, addr := range []uintptr{0, base, base + 100, 0x7000_0000} {
		var sites []int
		code := assemble(t, func(a *Assembler) {
			for _, emit := range []func(){func() { a.JmpTo(addr) }, func() { a.JccTo(CondG, addr) }, func() { a.CallTo(addr) }} {
				sites = append(sites, a.Pos())
				emit()
			}
		})
		for i, want := range []string{"jmp", "jg", "call"} {
			if name, target, _ := leadsTo(t, code, sites[i]); name != want || base+target != int(addr) {
				t.Errorf("%s %#x: %s %#x", want, addr, name, base+target)
			}
		}
	}
}

func TestConstants(t *testing.T) {
	for before := range 16 {
		testConstants(t, before)
	}
}

func testConstants(t *testing.T, before int) {
	type use struct {
		at     int
		lo, hi uint64
	}
	var uses []use
	load := func(a *Assembler, m Mem, lo, hi uint64) {
		uses = append(uses, use{a.Pos(), lo, hi})
		a.XM(MOVUPS, XMM0, m)
	}
	flushed := 0
	code := assemble(t, func(a *Assembler) {
		a.Nop(before)
		load(a, a.Const(1), 1, 0)
		load(a, a.Const16(2, 3), 2, 3)
		load(a, a.Const(4), 4, 0)
		load(a, a.Const(1), 1, 0)
		load(a, a.Const16(2, 3), 2, 3)
		load(a, a.Const16(2, 4), 2, 4)
		a.Plain(RET)
		start := a.Pos()
		a.FlushPool()
		flushed = a.Pos() - start
		a.Nop(before)
		load(a, a.Const(1), 1, 0)
		a.Plain(RET)
	})
	if flushed > 2*16+2*8+15 {
		t.Errorf("the constants take %d bytes", flushed)
	}
	for _, u := range uses {
		_, target, _ := leadsTo(t, code, u.at)
		align := 8
		if u.hi != 0 {
			align = 16
			if hi := binary.LittleEndian.Uint64(code[target+8:]); hi != u.hi {
				t.Errorf("upper half of a constant is %d, want %d", hi, u.hi)
			}
		}
		if lo := binary.LittleEndian.Uint64(code[target:]); lo != u.lo || target%align != 0 {
			t.Errorf("constant at %d is %d, want %d", target, lo, u.lo)
		}
	}
}
