package asm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// assemble returns what emit writes.
func assemble(t *testing.T, emit func(a *Assembler)) []byte {
	t.Helper()
	a := new(Assembler)
	a.Reset(make([]byte, 4096), 0x10000)
	emit(a)
	code, err := a.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// The decoders prove that the code means the right thing, these that it is no longer than it need be, and where it must be special.
func TestEncodings(t *testing.T) {
	for _, c := range []struct {
		want string
		emit func(a *Assembler)
	}{
		// Addresses: rsp and r12 take a SIB byte, rbp and r13 a displacement.
		{"48 8b 03", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RBX, 0)) }},
		{"48 8b 04 24", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RSP, 0)) }},
		{"49 8b 04 24", func(a *Assembler) { a.RM(MOV, S64, RAX, At(R12, 0)) }},
		{"48 8b 45 00", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RBP, 0)) }},
		{"49 8b 45 00", func(a *Assembler) { a.RM(MOV, S64, RAX, At(R13, 0)) }},
		{"48 8b 44 24 7f", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RSP, 127)) }},
		{"48 8b 43 80", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RBX, -128)) }},
		{"48 8b 83 80 00 00 00", func(a *Assembler) { a.RM(MOV, S64, RAX, At(RBX, 128)) }},
		{"4a 8b 04 e3", func(a *Assembler) { a.RM(MOV, S64, RAX, Indexed(RBX, R12, 8, 0)) }},
		{"49 8b 44 05 00", func(a *Assembler) { a.RM(MOV, S64, RAX, Indexed(R13, RAX, 1, 0)) }},
		{"48 8b 04 8d 00 00 00 00", func(a *Assembler) { a.RM(MOV, S64, RAX, Scaled(RCX, 4, 0)) }},
		{"48 8b 04 25 f0 ff ff ff", func(a *Assembler) { a.RM(MOV, S64, RAX, Abs(-16)) }},

		// Byte registers: REX makes 4 to 7 spl to dil, and must not be there for nothing.
		{"8a c3", func(a *Assembler) { a.RR(MOV, S8, RAX, RBX) }},
		{"40 8a c7", func(a *Assembler) { a.RR(MOV, S8, RAX, RDI) }},
		{"40 88 33", func(a *Assembler) { a.MR(MOV, S8, At(RBX, 0), RSI) }},
		{"0f b6 c3", func(a *Assembler) { a.RR(MOVZX8, S32, RAX, RBX) }},
		{"40 0f b6 c6", func(a *Assembler) { a.RR(MOVZX8, S32, RAX, RSI) }},
		{"0f b6 f3", func(a *Assembler) { a.RR(MOVZX8, S32, RSI, RBX) }},
		{"0f b7 c6", func(a *Assembler) { a.RR(MOVZX16, S32, RAX, RSI) }},
		{"40 0f 94 c5", func(a *Assembler) { a.R(Set(CondE), S8, RBP) }},
		{"0f 94 c3", func(a *Assembler) { a.R(Set(CondE), S8, RBX) }},
		{"c0 e3 05", func(a *Assembler) { a.RI(SHL, S8, RBX, 5) }},

		// Immediates: a byte where it will do, at any size.
		{"48 83 c0 7f", func(a *Assembler) { a.RI(ADD, S64, RAX, 127) }},
		{"48 81 c0 80 00 00 00", func(a *Assembler) { a.RI(ADD, S64, RAX, 128) }},
		{"83 e0 ff", func(a *Assembler) { a.RI(AND, S32, RAX, -1) }},
		{"66 83 f9 ff", func(a *Assembler) { a.RI(CMP, S16, RCX, 0xFFFF) }},
		{"66 81 f9 ff 00", func(a *Assembler) { a.RI(CMP, S16, RCX, 0xFF) }},
		{"80 f9 ff", func(a *Assembler) { a.RI(CMP, S8, RCX, 0xFF) }},
		{"6b c3 10", func(a *Assembler) { a.RRI(IMUL, S32, RAX, RBX, 16) }},
		{"69 c3 00 01 00 00", func(a *Assembler) { a.RRI(IMUL, S32, RAX, RBX, 256) }},
		{"c6 03 ff", func(a *Assembler) { a.MI(MOV, S8, At(RBX, 0), 255) }},
		{"48 d1 e0", func(a *Assembler) { a.RI(SHL, S64, RAX, 1) }},
		{"48 c1 e0 02", func(a *Assembler) { a.RI(SHL, S64, RAX, 2) }},
		{"b8 00 00 00 00", func(a *Assembler) { a.MovImm(RAX, 0) }},
		{"41 b8 ff ff ff ff", func(a *Assembler) { a.MovImm(R8, 0xFFFF_FFFF) }},
		{"48 c7 c0 ff ff ff ff", func(a *Assembler) { a.MovImm(RAX, 1<<64-1) }},
		{"48 c7 c0 00 00 00 80", func(a *Assembler) { a.MovImm(RAX, 0xFFFF_FFFF_8000_0000) }},
		{"49 bf ff ff ff 7f ff ff ff ff", func(a *Assembler) { a.MovImm(R15, 0xFFFF_FFFF_7FFF_FFFF) }},
		{"48 b8 00 00 00 00 01 00 00 00", func(a *Assembler) { a.MovImm(RAX, 1<<32) }},

		// VEX: two bytes unless W, X, B or another map asks for three.
		{"c5 f3 58 c2", func(a *Assembler) { a.XXX(VADDSD, XMM0, XMM1, XMM2) }},
		{"c5 33 58 c2", func(a *Assembler) { a.XXX(VADDSD, XMM8, XMM9, XMM2) }},
		{"c4 c1 73 58 c2", func(a *Assembler) { a.XXX(VADDSD, XMM0, XMM1, XMM10) }},
		{"c4 e2 f1 b9 c2", func(a *Assembler) { a.XXX(VFMADD231SD, XMM0, XMM1, XMM2) }},

		// The rest.
		{"41 54", func(a *Assembler) { a.R(PUSH, S64, R12) }},
		{"ff 53 08", func(a *Assembler) { a.M(CALL, S64, At(RBX, 8)) }},
		{"41 ff e3", func(a *Assembler) { a.R(JMP, S64, R11) }},
		{"f0 48 0f b1 0b", func(a *Assembler) { a.MR(LOCK_CMPXCHG, S64, At(RBX, 0), RCX) }},
	} {
		if got := hex.EncodeToString(assemble(t, c.emit)); got != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("encoded as %s, want %s", got, c.want)
		}
	}
}

func TestCondNot(t *testing.T) {
	for _, pair := range [][2]Cond{
		{CondO, CondNO}, {CondB, CondAE}, {CondE, CondNE}, {CondBE, CondA}, {CondS, CondNS}, {CondP, CondNP}, {CondL, CondGE}, {CondLE, CondG},
	} {
		if pair[0].Not() != pair[1] || pair[1].Not() != pair[0] {
			t.Errorf("%v and %v are not opposites", Set(pair[0]), Set(pair[1]))
		}
	}
}

func TestNop(t *testing.T) {
	for n := range 40 {
		code := assemble(t, func(a *Assembler) { a.Nop(n) })
		instructions := 0
		for rest := code; len(rest) > 0; instructions++ {
			k := nopLen(rest)
			if k == 0 {
				t.Fatalf("% x is not a nop", rest)
			}
			rest = rest[k:]
		}
		if len(code) != n || instructions != (n+8)/9 {
			t.Errorf("%d bytes of nops are %d bytes in %d instructions", n, len(code), instructions)
		}
	}
}

func TestAlign(t *testing.T) {
	for _, base := range []uintptr{0, 1, 0x7FFF_FFF3} {
		for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
			a := new(Assembler)
			a.Reset(make([]byte, 256), base)
			a.Plain(RET)
			a.Align(n)
			if at := base + uintptr(a.Pos()); at%uintptr(n) != 0 || a.Pos() > n {
				t.Errorf("after Align(%d) at base %#x the next address is %#x", n, base, at)
			}
		}
	}
}

// Whatever does not fit is ErrFull, and nothing is written outside of the buffer.
func TestBufferFull(t *testing.T) {
	whole := assemble(t, func(a *Assembler) { emitMix(a) })
	for size := range len(whole) + 2*slack {
		memory := bytes.Repeat([]byte{0xA5}, size+64)
		a := new(Assembler)
		a.Reset(memory[:size], 0x10000)
		emitMix(a)
		code, err := a.Finish()
		switch {
		case err == nil && !bytes.Equal(code, whole):
			t.Fatalf("in a buffer of %d bytes the code is another", size)
		case err == nil && size < len(whole), err != nil && size >= len(whole)+slack:
			t.Fatalf("in a buffer of %d bytes, code of %d: %v", size, len(whole), err)
		case err != nil && !errors.Is(err, ErrFull):
			t.Fatal(err)
		case err != nil && !errors.Is(a.Err(), ErrFull):
			t.Fatalf("Err is %v", a.Err())
		}
		if !bytes.Equal(memory[size:], bytes.Repeat([]byte{0xA5}, 64)) {
			t.Fatalf("a buffer of %d bytes was written behind its end", size)
		}
	}
}

func TestMistakesPanic(t *testing.T) {
	for want, f := range map[string]func(a *Assembler){
		"asm: lea does not take operands RR":                     func(a *Assembler) { a.RR(LEA, S64, RAX, RCX) },
		"asm: addsd does not take operands XXX":                  func(a *Assembler) { a.XXX(ADDSD, XMM0, XMM1, XMM2) },
		"asm: shlx r, r/m, v does not come in a size of 2 bytes": func(a *Assembler) { a.RRR(SHLX, S16, RAX, RCX, RDX) },
		"asm: movsxd r, r/m does not come in a size of 4 bytes":  func(a *Assembler) { a.RM(MOVSXD, S32, RAX, At(RCX, 0)) },
		"asm: rsp cannot be an index":                            func(*Assembler) { Indexed(RAX, RSP, 1, 0) },
		"asm: scale 3":                                           func(*Assembler) { Scaled(RAX, 3, 0) },
		"asm: label bound twice":                                 func(a *Assembler) { a.Bind(a.Here()) },
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if diff := cmp.Diff(want, fmt.Sprint(recover())); diff != "" {
					t.Error(diff)
				}
			}()
			a := new(Assembler)
			a.Reset(make([]byte, 256), 0)
			f(a)
		})
	}
}

func TestNoAllocation(t *testing.T) {
	a, buf := new(Assembler), make([]byte, 4096)
	run := func() {
		a.Reset(buf, 0)
		emitMix(a)
		a.XM(ANDPD, XMM0, a.Const16(1, 2))
		if _, err := a.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// An instruction with VEX needs some feature; of the others only those that mean something else, or nothing, on older processors.
func TestNeeds(t *testing.T) {
	legacy := map[Op]Feature{TZCNT: HasBMI1, LZCNT: HasLZCNT, PCLMULQDQ: HasPCLMULQDQ, WRGSBASE: HasFSGSBASE}
	for op := Op(0); op < numOps; op++ {
		for k := range numKinds {
			f := forms[formOf[op][k]]
			switch {
			case formOf[op][k] == 0:
			case f.enc&vex != 0 && op.Needs() == 0:
				t.Errorf("%v needs nothing", op)
			case f.enc&vex == 0 && op.Needs() != legacy[op]:
				t.Errorf("%v needs %v", op, op.Needs())
			}
		}
	}
}

func TestEveryOpIsInTheTable(t *testing.T) {
	for op := Op(0); op < numOps; op++ {
		if op.String() == "" || formOf[op] == [numKinds]uint16{} {
			t.Errorf("op %d (%s) has no form", op, op)
		}
	}
}
