package asm

// The methods that emit instructions, one for each combination of operands, called after them: R a general register, X an SSE register, M
// memory, I an immediate; the destination first. An immediate is cut to the size of the operand.

// Plain emits an instruction without operands, or whose operands are implied.
func (a *Assembler) Plain(op Op) {
	f := lookup(op, kPlain)
	a.reg(f, sX, 0, 0, 0, 0)
}

// MovImm sets a register to any value, in the shortest way that leaves the flags alone.
func (a *Assembler) MovImm(dst Reg, v uint64) {
	switch {
	case v == uint64(uint32(v)):
		a.reg(lookup(MOVABS, kRQ), S32, 0, uint8(dst), 0, int64(v))
	case v == uint64(int32(v)):
		a.reg(lookup(MOV, kRI), S64, 0, uint8(dst), 0, int64(v))
	default:
		a.reg(lookup(MOVABS, kRQ), S64, 0, uint8(dst), 0, int64(v))
	}
}

// General registers and memory.

// R emits op r: neg, push, setcc, call through a register, shifts by cl.
func (a *Assembler) R(op Op, size Size, r Reg) {
	a.reg(lookup(op, kR), size, 0, uint8(r), 0, 0)
}

// M emits op m.
func (a *Assembler) M(op Op, size Size, m Mem) {
	a.mem(lookup(op, kM), size, 0, 0, m, 0)
}

// RR emits op dst, src.
func (a *Assembler) RR(op Op, size Size, dst, src Reg) {
	f := lookup(op, kRR)
	switch f.order {
	case straight:
		a.reg(f, size, uint8(dst), uint8(src), 0, 0)
	case crossed:
		a.reg(f, size, uint8(src), uint8(dst), 0, 0)
	default:
		a.reg(f, size, 0, uint8(src), uint8(dst), 0)
	}
}

// RM emits op dst, [src]: a load.
func (a *Assembler) RM(op Op, size Size, dst Reg, src Mem) {
	f := lookup(op, kRM)
	if f.order == toVVVV {
		a.mem(f, size, 0, uint8(dst), src, 0)
		return
	}
	a.mem(f, size, uint8(dst), 0, src, 0)
}

// MR emits op [dst], src: a store, or a read-modify-write.
func (a *Assembler) MR(op Op, size Size, dst Mem, src Reg) {
	a.mem(lookup(op, kMR), size, uint8(src), 0, dst, 0)
}

// RI emits op dst, imm.
func (a *Assembler) RI(op Op, size Size, dst Reg, imm int32) {
	a.reg(lookup(op, kRI), size, 0, uint8(dst), 0, int64(imm))
}

// MI emits op [dst], imm.
func (a *Assembler) MI(op Op, size Size, dst Mem, imm int32) {
	a.mem(lookup(op, kMI), size, 0, 0, dst, int64(imm))
}

// RRI emits op dst, src, imm: imul, rorx.
func (a *Assembler) RRI(op Op, size Size, dst, src Reg, imm int32) {
	a.reg(lookup(op, kRRI), size, uint8(dst), uint8(src), 0, int64(imm))
}

// RMI emits op dst, [src], imm.
func (a *Assembler) RMI(op Op, size Size, dst Reg, src Mem, imm int32) {
	a.mem(lookup(op, kRMI), size, uint8(dst), 0, src, int64(imm))
}

// RRR emits op dst, src1, src2. For shlx and its kin src2 is the count; for mulx dst and src1 are the high and low half of the product of src2 and rdx.
func (a *Assembler) RRR(op Op, size Size, dst, src1, src2 Reg) {
	f := lookup(op, kRRR)
	if f.order == crossed {
		src1, src2 = src2, src1
	}
	a.reg(f, size, uint8(dst), uint8(src2), uint8(src1), 0)
}

// RRM emits op dst, src1, [src2].
func (a *Assembler) RRM(op Op, size Size, dst, src1 Reg, src2 Mem) {
	a.mem(lookup(op, kRRM), size, uint8(dst), uint8(src1), src2, 0)
}

// RMR emits op dst, [src1], src2.
func (a *Assembler) RMR(op Op, size Size, dst Reg, src1 Mem, src2 Reg) {
	a.mem(lookup(op, kRMR), size, uint8(dst), uint8(src2), src1, 0)
}

// SSE registers.

// XX emits op dst, src.
func (a *Assembler) XX(op Op, dst, src XMM) {
	a.reg(lookup(op, kXX), sX, uint8(dst), uint8(src), 0, 0)
}

// XM emits op dst, [src].
func (a *Assembler) XM(op Op, dst XMM, src Mem) {
	a.mem(lookup(op, kXM), sX, uint8(dst), 0, src, 0)
}

// MX emits op [dst], src.
func (a *Assembler) MX(op Op, dst Mem, src XMM) {
	a.mem(lookup(op, kMX), sX, uint8(src), 0, dst, 0)
}

// XR emits op dst, src: from a general register.
func (a *Assembler) XR(op Op, dst XMM, src Reg) {
	a.reg(lookup(op, kXR), sX, uint8(dst), uint8(src), 0, 0)
}

// RX emits op dst, src: to a general register.
func (a *Assembler) RX(op Op, dst Reg, src XMM) {
	f := lookup(op, kRX)
	if f.order == crossed {
		a.reg(f, sX, uint8(src), uint8(dst), 0, 0)
		return
	}
	a.reg(f, sX, uint8(dst), uint8(src), 0, 0)
}

// XI emits op dst, imm.
func (a *Assembler) XI(op Op, dst XMM, imm uint8) {
	a.reg(lookup(op, kXI), sX, 0, uint8(dst), 0, int64(imm))
}

// XXI emits op dst, src, imm.
func (a *Assembler) XXI(op Op, dst, src XMM, imm uint8) {
	f := lookup(op, kXXI)
	switch f.order {
	case straight:
		a.reg(f, sX, uint8(dst), uint8(src), 0, int64(imm))
	case crossed:
		a.reg(f, sX, uint8(src), uint8(dst), 0, int64(imm))
	default:
		a.reg(f, sX, 0, uint8(src), uint8(dst), int64(imm))
	}
}

// XMI emits op dst, [src], imm.
func (a *Assembler) XMI(op Op, dst XMM, src Mem, imm uint8) {
	a.mem(lookup(op, kXMI), sX, uint8(dst), 0, src, int64(imm))
}

// MXI emits op [dst], src, imm.
func (a *Assembler) MXI(op Op, dst Mem, src XMM, imm uint8) {
	a.mem(lookup(op, kMXI), sX, uint8(src), 0, dst, int64(imm))
}

// RXI emits op dst, src, imm: to a general register.
func (a *Assembler) RXI(op Op, dst Reg, src XMM, imm uint8) {
	a.reg(lookup(op, kRXI), sX, uint8(src), uint8(dst), 0, int64(imm))
}

// XXX emits op dst, src1, src2.
func (a *Assembler) XXX(op Op, dst, src1, src2 XMM) {
	a.reg(lookup(op, kXXX), sX, uint8(dst), uint8(src2), uint8(src1), 0)
}

// XXM emits op dst, src1, [src2].
func (a *Assembler) XXM(op Op, dst, src1 XMM, src2 Mem) {
	a.mem(lookup(op, kXXM), sX, uint8(dst), uint8(src1), src2, 0)
}

// XXR emits op dst, src1, src2: a conversion of a general register; the upper bits of dst are those of src1.
func (a *Assembler) XXR(op Op, dst, src1 XMM, src2 Reg) {
	a.reg(lookup(op, kXXR), sX, uint8(dst), uint8(src2), uint8(src1), 0)
}

// XXXI emits op dst, src1, src2, imm.
func (a *Assembler) XXXI(op Op, dst, src1, src2 XMM, imm uint8) {
	a.reg(lookup(op, kXXXI), sX, uint8(dst), uint8(src2), uint8(src1), int64(imm))
}

// XXMI emits op dst, src1, [src2], imm.
func (a *Assembler) XXMI(op Op, dst, src1 XMM, src2 Mem, imm uint8) {
	a.mem(lookup(op, kXXMI), sX, uint8(dst), uint8(src1), src2, int64(imm))
}
