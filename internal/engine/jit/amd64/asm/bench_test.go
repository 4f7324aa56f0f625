package asm

import "testing"

// A translator's mix: loads and stores of guest registers, arithmetic, a TLB look-up, a jump out of line.
func emitMix(a *Assembler) (instructions int) {
	slow := a.NewLabel()
	a.RM(MOV, S64, RAX, At(RBX, 0x58))
	a.RI(ADD, S64, RAX, 16)
	a.RR(MOV, S64, RCX, RAX)
	a.RI(SHR, S64, RCX, 12)
	a.RI(AND, S32, RCX, 255)
	a.RI(SHL, S32, RCX, 5)
	a.RM(CMP, S64, RDX, Indexed(RBX, RCX, 1, 0x400))
	a.Jcc(CondNE, slow)
	a.RM(ADD, S64, RAX, Indexed(RBX, RCX, 1, 0x408))
	a.RM(MOVSXD, S64, R8, At(RAX, 0))
	a.RRR(SHLX, S64, R9, R8, RCX)
	a.RR(XOR, S32, R10, R10)
	a.RR(CMP, S64, R8, R9)
	a.R(Set(CondL), S8, R10)
	a.MR(MOV, S64, At(RBX, 0x60), R10)
	a.XM(MOVSD, XMM0, At(RBX, 0x158))
	a.XXX(VADDSD, XMM1, XMM0, XMM2)
	a.XXX(VFMADD231SD, XMM1, XMM8, XMM9)
	a.MX(MOVSD, At(RBX, 0x160), XMM1)
	a.MovImm(RAX, 0xFFFF_FFFF_8000_1234)
	a.Bind(slow)
	return 20
}

func BenchmarkAssemble(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 64<<10)
	a := new(Assembler)
	a.Reset(buf, 0)
	n := 0
	for b.Loop() {
		if a.Pos() > len(buf)-512 {
			a.Reset(buf, 0)
		}
		n += emitMix(a)
	}
	if a.Err() != nil {
		b.Fatal(a.Err())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/inst")
}

func benchmarkOne(b *testing.B, emit func(*Assembler)) {
	b.ReportAllocs()
	a := new(Assembler)
	buf := make([]byte, 4096)
	a.Reset(buf, 0)
	for b.Loop() {
		if a.Pos() > len(buf)-64 {
			a.Reset(buf, 0)
		}
		emit(a)
	}
}

func BenchmarkOne(b *testing.B) {
	b.Run("RR", func(b *testing.B) { benchmarkOne(b, func(a *Assembler) { a.RR(ADD, S64, R9, RCX) }) })
	b.Run("RI", func(b *testing.B) { benchmarkOne(b, func(a *Assembler) { a.RI(ADD, S64, R9, 1000) }) })
	b.Run("RM", func(b *testing.B) { benchmarkOne(b, func(a *Assembler) { a.RM(MOV, S64, R9, At(RBX, 0x158)) }) })
	b.Run("VEX", func(b *testing.B) { benchmarkOne(b, func(a *Assembler) { a.XXX(VADDSD, XMM9, XMM1, XMM2) }) })
	b.Run("Jcc", func(b *testing.B) {
		benchmarkOne(b, func(a *Assembler) {
			l := a.NewLabel()
			a.Jcc(CondE, l)
			a.Bind(l)
		})
	})
}
