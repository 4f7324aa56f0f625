package asm

import (
	"errors"
	"testing"
	"unsafe"
)

// misaligned is a buffer whose address is offset more than a multiple of 64.
func misaligned(size, offset int) []byte {
	b := make([]byte, size+128)
	start := (-int(uintptr(unsafe.Pointer(&b[0]))))&63 + offset
	return b[start : start+size]
}

func TestRetarget(t *testing.T) {
	for _, site := range []struct {
		name  string
		ahead int // of the opcode
		emit  func(a *Assembler, l Label) Site
	}{
		{"jmp", 1, (*Assembler).JmpSite},
		{"call", 1, (*Assembler).CallSite},
		{"jb", 2, func(a *Assembler, l Label) Site { return a.JccSite(CondB, l) }},
	} {
		for offset := range 4 { // of the base and of the buffer from a multiple of 4
			for before := range 8 {
				a := new(Assembler)
				a.Reset(misaligned(256, offset), uintptr(1<<40+offset))
				a.Nop(before)
				l := a.NewLabel()
				s := site.emit(a, l)
				a.Plain(INT3)
				a.Bind(l)
				code, err := a.Finish()
				if err != nil {
					t.Fatal(err)
				}
				if (int(s)+offset)%4 != 0 {
					t.Fatalf("the displacement of %s at %d, %d before it, is not aligned", site.name, s, before)
				}
				if got := Target(code, s); got != len(code) {
					t.Errorf("%s leads to %d at first, want %d", site.name, got, len(code))
				}
				for _, target := range []int{0, len(code), -100, 1 << 30, -1<<31 + int(s) + 4, 1<<31 - 1 + int(s) + 4} {
					if err := Retarget(code, s, target); err != nil {
						t.Fatal(err)
					}
					name, leads, _ := leadsTo(t, code, int(s)-site.ahead)
					if name != site.name || leads != target || Target(code, s) != target {
						t.Errorf("after Retarget to %d: %s to %d", target, name, leads)
					}
				}
				if err := Retarget(code, s, 1<<31+int(s)+4); !errors.Is(err, ErrRange) || Target(code, s) != 1<<31-1+int(s)+4 {
					t.Errorf("too far: %v, leads to %d", err, Target(code, s))
				}
			}
		}
	}
}

func TestRetargetOfMisalignedSite(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a site that two stores may be needed for was accepted")
		}
	}()
	_ = Retarget(misaligned(64, 1), 0, 0)
}
