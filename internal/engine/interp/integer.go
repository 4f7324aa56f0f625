package interp

// Integer instructions that the hot loop leaves to the table: division, the rarer bit manipulations, carry-less products,
// may-be-operations.

import (
	"math"
	"math/bits"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// register2 makes a handler of a function of two registers.
func register2(f func(a, b uint64) uint64) handler {
	return func(in *Interp, s *slot) flow {
		in.h.X[s.rd] = f(in.h.X[s.rs1], in.h.X[s.rs2])
		return flowNext
	}
}

// immediate makes a handler of a function of a register and an immediate.
func immediate(f func(a, b uint64) uint64) handler {
	return func(in *Interp, s *slot) flow {
		in.h.X[s.rd] = f(in.h.X[s.rs1], uint64(int64(s.imm)))
		return flowNext
	}
}

// register1 makes a handler of a function of one register.
func register1(f func(a uint64) uint64) handler {
	return func(in *Interp, s *slot) flow {
		in.h.X[s.rd] = f(in.h.X[s.rs1])
		return flowNext
	}
}

// sext is a 32-bit result as a register holds it.
func sext(v uint32) uint64 { return uint64(int64(int32(v))) }

func mulh(a, b uint64) uint64 {
	hi, _ := bits.Mul64(a, b)
	return hi - uint64(int64(a)>>63)&b - uint64(int64(b)>>63)&a
}

func mulhsu(a, b uint64) uint64 {
	hi, _ := bits.Mul64(a, b)
	return hi - uint64(int64(a)>>63)&b
}

// Division never traps: by zero the quotient is all ones and the remainder the dividend; the one signed overflow gives the
// dividend and zero (Unprivileged, "M" §13.2).

func div(a, b uint64) uint64 {
	switch {
	case b == 0:
		return math.MaxUint64
	case int64(a) == math.MinInt64 && int64(b) == -1:
		return a
	}
	return uint64(int64(a) / int64(b))
}

func divu(a, b uint64) uint64 {
	if b == 0 {
		return math.MaxUint64
	}
	return a / b
}

func rem(a, b uint64) uint64 {
	switch {
	case b == 0:
		return a
	case int64(a) == math.MinInt64 && int64(b) == -1:
		return 0
	}
	return uint64(int64(a) % int64(b))
}

func remu(a, b uint64) uint64 {
	if b == 0 {
		return a
	}
	return a % b
}

// The narrow forms cannot overflow in 64 bits: -2^31 / -1 is 2^31, of which sext makes -2^31.

func divw(a, b uint64) uint64 { return sext(uint32(div(sext(uint32(a)), sext(uint32(b))))) }
func remw(a, b uint64) uint64 { return sext(uint32(rem(sext(uint32(a)), sext(uint32(b))))) }

func divuw(a, b uint64) uint64 {
	if uint32(b) == 0 {
		return math.MaxUint64
	}
	return sext(uint32(a) / uint32(b))
}

func remuw(a, b uint64) uint64 {
	if uint32(b) == 0 {
		return sext(uint32(a))
	}
	return sext(uint32(a) % uint32(b))
}

// orcb makes each byte that is not zero all ones.
func orcb(a uint64) uint64 {
	const low7 = 0x7f7f_7f7f_7f7f_7f7f
	top := (a&low7 + low7 | a) &^ low7 // bit 7 of each byte that is not zero
	return top >> 7 * 0xff
}

// clmul128 is the carry-less product, 127 bits.
func clmul128(a, b uint64) (hi, lo uint64) {
	for ; b != 0; b &= b - 1 {
		n := uint(bits.TrailingZeros64(b))
		lo ^= a << n
		hi ^= a >> 1 >> (63 - n)
	}
	return hi, lo
}

func clmul(a, b uint64) uint64  { _, lo := clmul128(a, b); return lo }
func clmulh(a, b uint64) uint64 { hi, _ := clmul128(a, b); return hi }

func clmulr(a, b uint64) uint64 {
	hi, lo := clmul128(a, b)
	return hi<<1 | lo>>63
}

func rotateLeft(a, b uint64) uint64   { return bits.RotateLeft64(a, int(b&63)) }
func rotateRight(a, b uint64) uint64  { return bits.RotateLeft64(a, -int(b&63)) }
func rotateLeftW(a, b uint64) uint64  { return sext(bits.RotateLeft32(uint32(a), int(b&31))) }
func rotateRightW(a, b uint64) uint64 { return sext(bits.RotateLeft32(uint32(a), -int(b&31))) }

func bset(a, b uint64) uint64 { return a | 1<<(b&63) }
func bclr(a, b uint64) uint64 { return a &^ (1 << (b & 63)) }
func binv(a, b uint64) uint64 { return a ^ 1<<(b&63) }
func bext(a, b uint64) uint64 { return a >> (b & 63) & 1 }

// mayBe is a may-be-operation that nobody has redefined: it writes zero (Unprivileged, "Zimop").
func mayBe(in *Interp, s *slot) flow {
	in.h.X[s.rd] = 0
	return flowNext
}

// hint is an instruction without effect.
func hint(*Interp, *slot) flow { return flowNext }

var integerHandlers = map[riscv.Op]handler{
	riscv.MULH: register2(mulh), riscv.MULHSU: register2(mulhsu),
	riscv.DIV: register2(div), riscv.DIVU: register2(divu), riscv.REM: register2(rem), riscv.REMU: register2(remu),
	riscv.DIVW: register2(divw), riscv.DIVUW: register2(divuw), riscv.REMW: register2(remw), riscv.REMUW: register2(remuw),

	riscv.SH1ADD_UW: register2(func(a, b uint64) uint64 { return uint64(uint32(a))<<1 + b }),
	riscv.SH2ADD_UW: register2(func(a, b uint64) uint64 { return uint64(uint32(a))<<2 + b }),
	riscv.SH3ADD_UW: register2(func(a, b uint64) uint64 { return uint64(uint32(a))<<3 + b }),

	riscv.ORN:  register2(func(a, b uint64) uint64 { return a | ^b }),
	riscv.XNOR: register2(func(a, b uint64) uint64 { return ^(a ^ b) }),
	riscv.ROL:  register2(rotateLeft), riscv.ROR: register2(rotateRight),
	riscv.ROLW: register2(rotateLeftW), riscv.RORW: register2(rotateRightW),
	riscv.CLZ:   register1(func(a uint64) uint64 { return uint64(bits.LeadingZeros64(a)) }),
	riscv.CTZ:   register1(func(a uint64) uint64 { return uint64(bits.TrailingZeros64(a)) }),
	riscv.CPOP:  register1(func(a uint64) uint64 { return uint64(bits.OnesCount64(a)) }),
	riscv.CLZW:  register1(func(a uint64) uint64 { return uint64(bits.LeadingZeros32(uint32(a))) }),
	riscv.CTZW:  register1(func(a uint64) uint64 { return uint64(bits.TrailingZeros32(uint32(a))) }),
	riscv.CPOPW: register1(func(a uint64) uint64 { return uint64(bits.OnesCount32(uint32(a))) }),
	riscv.ORC_B: register1(orcb),
	riscv.REV8:  register1(bits.ReverseBytes64),

	riscv.CLMUL: register2(clmul), riscv.CLMULH: register2(clmulh), riscv.CLMULR: register2(clmulr),

	riscv.BSET: register2(bset), riscv.BCLR: register2(bclr), riscv.BINV: register2(binv), riscv.BEXT: register2(bext),
	riscv.BSETI: immediate(bset), riscv.BCLRI: immediate(bclr), riscv.BINVI: immediate(binv),

	riscv.MOP_R_N: mayBe, riscv.MOP_RR_N: mayBe,
	riscv.PREFETCH_I: hint, riscv.PREFETCH_R: hint, riscv.PREFETCH_W: hint,
}
