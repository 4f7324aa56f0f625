package amd64

// Integer arithmetic.

import (
	"math"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
)

var integers = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.Nop:   func(*Compiler, *ir.Inst) {},
	ir.Const: constant,
	ir.Page:  page,
	ir.Move:  move,
	ir.Add:   add,
	ir.Sub:   func(c *Compiler, in *ir.Inst) { c.alu(asm.SUB, in, false) },
	ir.And:   func(c *Compiler, in *ir.Inst) { c.alu(asm.AND, in, true) },
	ir.Or:    func(c *Compiler, in *ir.Inst) { c.alu(asm.OR, in, true) },
	ir.Xor:   func(c *Compiler, in *ir.Inst) { c.alu(asm.XOR, in, true) },
	ir.Mul:   func(c *Compiler, in *ir.Inst) { c.alu(asm.IMUL, in, true) },

	ir.Shl:  func(c *Compiler, in *ir.Inst) { c.shift(in, asm.SHL, asm.SHLCL, asm.SHLX) },
	ir.Shr:  func(c *Compiler, in *ir.Inst) { c.shift(in, asm.SHR, asm.SHRCL, asm.SHRX) },
	ir.Sar:  sar,
	ir.RotL: func(c *Compiler, in *ir.Inst) { c.shift(in, asm.ROL, asm.ROLCL, asm.NOP) },
	ir.RotR: func(c *Compiler, in *ir.Inst) { c.shift(in, asm.ROR, asm.RORCL, asm.NOP) },

	ir.SetLT:  func(c *Compiler, in *ir.Inst) { c.set(in, asm.CondL) },
	ir.SetLTU: func(c *Compiler, in *ir.Inst) { c.set(in, asm.CondB) },

	ir.MulHS:  func(c *Compiler, in *ir.Inst) { c.mulHigh(in, asm.IMUL) },
	ir.MulHU:  func(c *Compiler, in *ir.Inst) { c.mulHigh(in, asm.MUL) },
	ir.MulHSU: mulHSU,
	ir.DivS:   func(c *Compiler, in *ir.Inst) { c.divide(in, true, false) },
	ir.DivU:   func(c *Compiler, in *ir.Inst) { c.divide(in, false, false) },
	ir.RemS:   func(c *Compiler, in *ir.Inst) { c.divide(in, true, true) },
	ir.RemU:   func(c *Compiler, in *ir.Inst) { c.divide(in, false, true) },

	ir.ShiftAdd:  shiftAdd,
	ir.ShiftAddU: shiftAdd,
	ir.ShlU:      shlU,
	ir.AndNot:    func(c *Compiler, in *ir.Inst) { c.withNot(asm.AND, in) },
	ir.OrNot:     func(c *Compiler, in *ir.Inst) { c.withNot(asm.OR, in) },
	ir.XorNot:    func(c *Compiler, in *ir.Inst) { c.withNot(asm.XOR, in) },
	ir.MinS:      func(c *Compiler, in *ir.Inst) { c.choose(in, asm.CondG) },
	ir.MinU:      func(c *Compiler, in *ir.Inst) { c.choose(in, asm.CondA) },
	ir.MaxS:      func(c *Compiler, in *ir.Inst) { c.choose(in, asm.CondL) },
	ir.MaxU:      func(c *Compiler, in *ir.Inst) { c.choose(in, asm.CondB) },

	ir.Clz:        clz,
	ir.Ctz:        ctz,
	ir.Popcnt:     popcnt,
	ir.SignExtend: extend,
	ir.ZeroExtend: extend,
	ir.ByteSwap:   byteSwap,
	ir.OrBytes:    orBytes,

	ir.BitSet:     func(c *Compiler, in *ir.Inst) { c.bit(asm.BTS, in) },
	ir.BitClear:   func(c *Compiler, in *ir.Inst) { c.bit(asm.BTR, in) },
	ir.BitInvert:  func(c *Compiler, in *ir.Inst) { c.bit(asm.BTC, in) },
	ir.BitExtract: bitExtract,

	ir.ClMul:  carryless,
	ir.ClMulH: carryless,
	ir.ClMulR: carryless,

	ir.ZeroIfZero:    func(c *Compiler, in *ir.Inst) { c.zeroIf(in, asm.CondE) },
	ir.ZeroIfNonzero: func(c *Compiler, in *ir.Inst) { c.zeroIf(in, asm.CondNE) },
}

func fits(v int64) bool { return int64(int32(v)) == v }

func constant(c *Compiler, in *ir.Inst) {
	if _, ok := pinned(in.Dst); !ok && fits(in.Imm) {
		c.MI(asm.MOV, asm.S64, slot(in.Dst), int32(in.Imm))
		return
	}
	d := c.def(in.Dst, tmp)
	c.MovImm(d, uint64(in.Imm))
	c.put(in.Dst, d)
}

// address is the address of the page plus imm.
func (c *Compiler) address(dst asm.Reg, imm int64) {
	c.RM(asm.MOV, asm.S64, dst, state(offPageBase))
	if imm != 0 {
		c.RM(asm.LEA, asm.S64, dst, asm.At(dst, int32(imm)))
	}
}

func page(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	if fits(in.Imm) {
		c.address(d, in.Imm)
	} else { // an upper immediate near the end of its range, plus an offset
		c.MovImm(tmp, uint64(in.Imm))
		c.RM(asm.ADD, asm.S64, tmp, state(offPageBase))
		d = tmp
	}
	c.put(in.Dst, d)
}

func move(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	if in.A == in.Dst {
		return
	}
	if r, ok := pinned(in.A); ok {
		c.put(in.Dst, r)
		return
	}
	c.load(d, in.A)
	c.put(in.Dst, d)
}

func add(c *Compiler, in *ir.Inst) {
	if in.Width == ir.W32 && in.Has(ir.UseImm) && in.Imm == 0 { // sext.w
		d := c.def(in.Dst, tmp)
		c.apply(asm.MOVSXD, asm.S64, d, in.A)
		c.put(in.Dst, d)
		return
	}
	if a, ok := pinned(in.A); ok && in.Dst != in.A && in.Dst != in.B {
		var sum asm.Mem
		if in.Has(ir.UseImm) {
			sum = asm.At(a, int32(in.Imm))
		} else if b, two := pinned(in.B); two {
			sum = asm.Indexed(a, b, 1, 0)
		} else {
			ok = false
		}
		if ok {
			d := c.def(in.Dst, tmp)
			c.RM(asm.LEA, size(in.Width), d, sum)
			if in.Width == ir.W32 {
				c.extend32(d, d)
			}
			c.put(in.Dst, d)
			return
		}
	}
	c.alu(asm.ADD, in, true)
}

// alu is Dst = A op B, of both widths.
func (c *Compiler) alu(op asm.Op, in *ir.Inst, commutes bool) {
	a, b := in.A, in.B
	imm := in.Has(ir.UseImm)
	if commutes && !imm && b == in.Dst && a != b {
		a, b = b, a
	}
	if in.Width == ir.W32 {
		d := c.def(in.Dst, tmp)
		w := d // where the 32-bit operation happens: it must not destroy B
		if !imm && b == in.Dst && a != b {
			w = tmp
		}
		if a != in.Dst || w != d || d == tmp {
			c.load32(w, a)
		}
		c.operate(op, asm.S32, w, b, in)
		c.extend32(d, w)
		c.put(in.Dst, d)
		return
	}
	if d, ok := pinned(in.Dst); ok {
		switch {
		case a == in.Dst:
			c.operate(op, asm.S64, d, b, in)
		case !imm && b == in.Dst:
			c.load(tmp, a)
			c.operate(op, asm.S64, tmp, b, in)
			c.RR(asm.MOV, asm.S64, d, tmp)
		default:
			c.load(d, a)
			c.operate(op, asm.S64, d, b, in)
		}
		return
	}
	if a == in.Dst && op != asm.IMUL { // in memory
		if imm {
			c.MI(op, asm.S64, slot(a), int32(in.Imm))
		} else {
			c.MR(op, asm.S64, slot(a), c.use(b, tmp))
		}
		return
	}
	c.load(tmp, a)
	c.operate(op, asm.S64, tmp, b, in)
	c.put(in.Dst, tmp)
}

// operate emits op dst, (B or Imm).
func (c *Compiler) operate(op asm.Op, size asm.Size, dst asm.Reg, b ir.Var, in *ir.Inst) {
	if !in.Has(ir.UseImm) {
		c.apply(op, size, dst, b)
		return
	}
	c.RI(op, size, dst, int32(in.Imm))
}

func size(w ir.Width) asm.Size {
	if w == ir.W32 {
		return asm.S32
	}
	return asm.S64
}

// shift is shifts and rotations by an immediate, by cl, or by any register where the host can.
func (c *Compiler) shift(in *ir.Inst, byImm, byCL, byAny asm.Op) {
	s := size(in.Width)
	d := c.def(in.Dst, tmp)
	switch {
	case in.Has(ir.UseImm):
		if in.Dst != in.A || d == tmp {
			if s == asm.S32 {
				c.load32(d, in.A)
			} else {
				c.load(d, in.A)
			}
		}
		if in.Imm != 0 {
			c.RI(byImm, s, d, int32(in.Imm))
		}
	case byAny != asm.NOP && c.has.Has(asm.HasBMI2):
		count := c.use(in.B, tmp2)
		if a, ok := pinned(in.A); ok {
			c.RRR(byAny, s, d, a, count)
		} else {
			c.RMR(byAny, s, d, slot(in.A), count)
		}
	default:
		c.load(tmp2, in.B)
		c.load(tmp, in.A)
		c.R(byCL, s, tmp)
		if s == asm.S32 {
			c.extend32(d, tmp)
			c.put(in.Dst, d)
		} else {
			c.put(in.Dst, tmp)
		}
		return
	}
	if s == asm.S32 {
		c.extend32(d, d)
	}
	c.put(in.Dst, d)
}

// sar is an arithmetic shift: of the low half it can be done on the sign-extended value.
func sar(c *Compiler, in *ir.Inst) {
	if in.Width == ir.W32 && in.Has(ir.UseImm) {
		d := c.def(in.Dst, tmp)
		c.apply(asm.MOVSXD, asm.S64, d, in.A)
		if in.Imm != 0 {
			c.RI(asm.SAR, asm.S64, d, int32(in.Imm))
		}
		c.put(in.Dst, d)
		return
	}
	c.shift(in, asm.SAR, asm.SARCL, asm.SARX)
}

// compare sets the flags for A against (B or Imm).
func (c *Compiler) compare(a, b ir.Var, in *ir.Inst) {
	ra, okA := pinned(a)
	switch {
	case in.Has(ir.UseImm) && okA:
		c.RI(asm.CMP, asm.S64, ra, int32(in.Imm))
	case in.Has(ir.UseImm):
		c.MI(asm.CMP, asm.S64, slot(a), int32(in.Imm))
	case b == ir.Zero && okA:
		c.RR(asm.TEST, asm.S64, ra, ra)
	case b == ir.Zero:
		c.MI(asm.CMP, asm.S64, slot(a), 0)
	case okA:
		c.apply(asm.CMP, asm.S64, ra, b)
	default:
		if rb, ok := pinned(b); ok {
			c.MR(asm.CMP, asm.S64, slot(a), rb)
			return
		}
		c.load(tmp, a)
		c.apply(asm.CMP, asm.S64, tmp, b)
	}
}

func (c *Compiler) set(in *ir.Inst, cond asm.Cond) {
	c.compare(in.A, in.B, in)
	c.R(asm.Set(cond), asm.S8, tmp)
	d := c.def(in.Dst, tmp)
	c.RR(asm.MOVZX8, asm.S32, d, tmp)
	c.put(in.Dst, d)
}

func (c *Compiler) mulHigh(in *ir.Inst, op asm.Op) {
	c.load(tmp, in.A)
	if b, ok := pinned(in.B); ok {
		c.R(op, asm.S64, b)
	} else {
		c.M(op, asm.S64, slot(in.B))
	}
	c.put(in.Dst, asm.RDX)
}

// mulHSU is the unsigned product, less B where A is negative.
func mulHSU(c *Compiler, in *ir.Inst) {
	c.load(tmp, in.A)
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RI(asm.SAR, asm.S64, tmp2, 63)
	c.apply(asm.AND, asm.S64, tmp2, in.B)
	if b, ok := pinned(in.B); ok {
		c.R(asm.MUL, asm.S64, b)
	} else {
		c.M(asm.MUL, asm.S64, slot(in.B))
	}
	c.RR(asm.SUB, asm.S64, asm.RDX, tmp2)
	c.put(in.Dst, asm.RDX)
}

// divide divides, with the results that RISC-V has for division by zero and for overflow, where x86 traps.
func (c *Compiler) divide(in *ir.Inst, signed, remainder bool) {
	s := size(in.Width)
	result := tmp
	if remainder {
		result = asm.RDX
	}
	if s == asm.S32 {
		c.load32(tmp2, in.B)
		c.load32(tmp, in.A)
	} else {
		c.load(tmp2, in.B)
		c.load(tmp, in.A)
	}
	done := c.NewLabel()
	c.RR(asm.TEST, asm.S64, tmp2, tmp2)
	zero := c.outOfLine(func() {
		if remainder {
			c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
		} else {
			c.MovImm(tmp, math.MaxUint64)
		}
		c.Jmp(done)
	})
	c.Jcc(asm.CondE, zero)
	if signed {
		c.RI(asm.CMP, s, tmp2, -1)
		minus := c.outOfLine(func() {
			if remainder {
				c.RR(asm.XOR, asm.S32, asm.RDX, asm.RDX)
			} else {
				c.R(asm.NEG, s, tmp)
			}
			c.Jmp(done)
		})
		c.Jcc(asm.CondE, minus)
		if s == asm.S32 {
			c.Plain(asm.CDQ)
		} else {
			c.Plain(asm.CQO)
		}
		c.R(asm.IDIV, s, tmp2)
	} else {
		c.RR(asm.XOR, asm.S32, asm.RDX, asm.RDX)
		c.R(asm.DIV, s, tmp2)
	}
	c.Bind(done)
	if s == asm.S32 {
		c.RR(asm.MOVSXD, asm.S64, result, result)
	}
	c.put(in.Dst, result)
}

func shiftAdd(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	if in.Op == ir.ShiftAddU {
		c.load32(tmp2, in.A)
		if in.B == ir.Zero {
			if in.Imm != 0 {
				c.RI(asm.SHL, asm.S64, tmp2, int32(in.Imm))
			}
			c.put(in.Dst, tmp2)
			return
		}
		c.RM(asm.LEA, asm.S64, d, asm.Indexed(c.use(in.B, tmp), tmp2, 1<<in.Imm, 0))
	} else {
		a := c.use(in.A, tmp2)
		c.RM(asm.LEA, asm.S64, d, asm.Indexed(c.use(in.B, tmp), a, 1<<in.Imm, 0))
	}
	c.put(in.Dst, d)
}

func shlU(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	c.load32(d, in.A)
	if in.Imm != 0 {
		c.RI(asm.SHL, asm.S64, d, int32(in.Imm))
	}
	c.put(in.Dst, d)
}

func (c *Compiler) withNot(op asm.Op, in *ir.Inst) {
	c.load(tmp, in.B)
	c.R(asm.NOT, asm.S64, tmp)
	c.apply(op, asm.S64, tmp, in.A)
	c.put(in.Dst, tmp)
}

// choose is B where A compares with it by cond, else A.
func (c *Compiler) choose(in *ir.Inst, cond asm.Cond) {
	c.load(tmp, in.A)
	c.apply(asm.CMP, asm.S64, tmp, in.B)
	c.apply(asm.Cmov(cond), asm.S64, tmp, in.B)
	c.put(in.Dst, tmp)
}

func clz(c *Compiler, in *ir.Inst) {
	s, bits := size(in.Width), int32(64)
	if s == asm.S32 {
		bits = 32
	}
	if c.has.Has(asm.HasLZCNT) {
		c.apply(asm.LZCNT, s, tmp, in.A)
		c.put(in.Dst, tmp)
		return
	}
	// bsr of 2x+1 in the wider sense does not exist for 64 bits: 0 is a case of its own.
	c.MovImm(tmp2, uint64(2*bits-1))
	c.apply(asm.BSR, s, tmp, in.A)
	c.RR(asm.Cmov(asm.CondE), asm.S64, tmp, tmp2)
	c.RI(asm.XOR, asm.S64, tmp, bits-1)
	c.put(in.Dst, tmp)
}

func ctz(c *Compiler, in *ir.Inst) {
	s, bits := size(in.Width), uint64(64)
	if s == asm.S32 {
		bits = 32
	}
	if c.has.Has(asm.HasBMI1) {
		c.apply(asm.TZCNT, s, tmp, in.A)
		c.put(in.Dst, tmp)
		return
	}
	c.MovImm(tmp2, bits)
	c.apply(asm.BSF, s, tmp, in.A)
	c.RR(asm.Cmov(asm.CondE), asm.S64, tmp, tmp2)
	c.put(in.Dst, tmp)
}

func popcnt(c *Compiler, in *ir.Inst) {
	c.apply(asm.POPCNT, size(in.Width), tmp, in.A)
	c.put(in.Dst, tmp)
}

func extend(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	op, s := asm.MOVZX8, asm.S32
	switch {
	case in.Op == ir.SignExtend && in.Width == ir.W8:
		op, s = asm.MOVSX8, asm.S64
	case in.Op == ir.SignExtend:
		op, s = asm.MOVSX16, asm.S64
	case in.Width == ir.W16:
		op = asm.MOVZX16
	}
	c.apply(op, s, d, in.A)
	c.put(in.Dst, d)
}

func byteSwap(c *Compiler, in *ir.Inst) {
	d := c.def(in.Dst, tmp)
	if in.Dst != in.A || d == tmp {
		c.load(d, in.A)
	}
	c.R(asm.BSWAP, asm.S64, d)
	c.put(in.Dst, d)
}

// orBytes turns every byte that is not 0 into 0xff.
func orBytes(c *Compiler, in *ir.Inst) {
	// For each byte: bit 7 of ((x & 0x7f) + 0x7f) | x says that it is not 0.
	const low7 = 0x7f7f_7f7f_7f7f_7f7f
	c.MovImm(tmp2, low7)
	c.load(tmp, in.A)
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
	c.RR(asm.AND, asm.S64, asm.RDX, tmp2)
	c.RR(asm.ADD, asm.S64, asm.RDX, tmp2)
	c.RR(asm.OR, asm.S64, tmp, asm.RDX)
	c.R(asm.NOT, asm.S64, tmp2)
	c.RR(asm.AND, asm.S64, tmp, tmp2)    // 0x80 in each such byte
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp) //
	c.RI(asm.SHR, asm.S64, tmp, 7)       // 0x01
	c.RR(asm.SUB, asm.S64, asm.RDX, tmp) // 0x7f
	c.RI(asm.SHL, asm.S64, tmp, 7)       // 0x80
	c.RR(asm.OR, asm.S64, tmp, asm.RDX)  // 0xff
	c.put(in.Dst, tmp)
}

func (c *Compiler) bit(op asm.Op, in *ir.Inst) {
	if in.Has(ir.UseImm) {
		c.load(tmp, in.A)
		c.RI(op, asm.S64, tmp, int32(in.Imm))
	} else {
		b := c.use(in.B, tmp2)
		c.load(tmp, in.A)
		c.RR(op, asm.S64, tmp, b)
	}
	c.put(in.Dst, tmp)
}

func bitExtract(c *Compiler, in *ir.Inst) {
	c.load(tmp, in.A)
	if in.Has(ir.UseImm) {
		c.RI(asm.BT, asm.S64, tmp, int32(in.Imm))
	} else {
		c.RR(asm.BT, asm.S64, tmp, c.use(in.B, tmp2))
	}
	c.R(asm.Set(asm.CondB), asm.S8, tmp)
	c.RR(asm.MOVZX8, asm.S32, tmp, tmp)
	c.put(in.Dst, tmp)
}

// carryless is the low half of a product without carries, its high half, or the 64 bits below its highest.
func carryless(c *Compiler, in *ir.Inst) {
	if !c.has.Has(asm.HasPCLMULQDQ) {
		c.step(in)
		return
	}
	c.XR(asm.MOVQ, ftmp, c.use(in.A, tmp))
	c.XR(asm.MOVQ, ftmp2, c.use(in.B, tmp))
	c.XXI(asm.PCLMULQDQ, ftmp, ftmp2, 0)
	if in.Op != ir.ClMulH {
		c.RX(asm.MOVQ, tmp, ftmp)
	}
	if in.Op != ir.ClMul {
		c.XI(asm.PSRLDQ, ftmp, 8)
		c.RX(asm.MOVQ, tmp2, ftmp)
	}
	switch in.Op {
	case ir.ClMulH:
		c.put(in.Dst, tmp2)
	case ir.ClMulR: // the product shifted right by 63
		c.RI(asm.SHR, asm.S64, tmp, 63)
		c.RM(asm.LEA, asm.S64, tmp, asm.Indexed(tmp, tmp2, 2, 0))
		c.put(in.Dst, tmp)
	default:
		c.put(in.Dst, tmp)
	}
}

// zeroIf is 0 where B compares with 0 by cond, else A.
func (c *Compiler) zeroIf(in *ir.Inst, cond asm.Cond) {
	c.load(tmp, in.A)
	c.RR(asm.XOR, asm.S32, tmp2, tmp2)
	if b, ok := pinned(in.B); ok {
		c.RR(asm.TEST, asm.S64, b, b)
	} else {
		c.MI(asm.CMP, asm.S64, slot(in.B), 0)
	}
	c.RR(asm.Cmov(cond), asm.S64, tmp, tmp2)
	c.put(in.Dst, tmp)
}
