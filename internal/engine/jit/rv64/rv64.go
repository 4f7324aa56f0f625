// Package rv64 is the translator's front end for RISC-V: guest bytes in, blocks of the intermediate form out.
//
//	table.go   what each instruction is in the intermediate form
//	rv64.go    where a block begins and ends
package rv64

import (
	"encoding/binary"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// Code is the page that a block is made of, as the front end sees it.
type Code struct {
	Bytes []byte // of the page, PageSize long; others may write to it meanwhile: no halfword is looked at twice
	Page  uint64 // guest physical address
	// Known is not 0 for each halfword that a translation starts at, so that a block may end there. Nil: there is none.
	Known *[memory.PageSize / 2]uint32
	// Next is the first halfword of the page that follows in the present address space, and its physical address.
	Next func() (half uint16, page uint64, ok bool)
	// MaxGuest is the most guest instructions of a block.
	MaxGuest int
}

// MaxGuest is the most guest instructions of a block, unless Code says otherwise.
const MaxGuest = 96

// Build fills b with the block that starts at an offset. b's memory is used again.
func Build(b *ir.Block, code *Code, start uint16, plain bool) {
	new(Builder).Build(b, code, start, plain)
}

// Builder is what makes blocks, kept from one to the next because it is large.
type Builder struct{ builder }

// Build is the function Build.
func (r *Builder) Build(b *ir.Block, code *Code, start uint16, plain bool) {
	*b = ir.Block{Page: code.Page, Start: start, Plain: plain, Insts: b.Insts[:0], Watches: b.Watches[:0]}
	f := &r.builder
	f.Block, f.code, f.off, f.done = b, code, int(start), false
	for !f.done {
		f.instruction()
	}
	clear(f.starts[start/2 : min(f.off/2+1, len(f.starts))])
	clear(f.joins[:])
	f.Block, f.code = nil, nil
}

// builder makes one block: straight on from its start, over branches and calls. Where a branch of the block leads to an instruction of the
// block it gets an Entry, so that loops and joins stay inside and nothing is translated twice.
type builder struct {
	*ir.Block
	code *Code
	off  int // of the next instruction
	done bool
	inst riscv.Inst // the present one

	starts [memory.PageSize / 2]uint8    // of the block's instructions: how many came before it, plus 1; 0 where none starts
	joins  [memory.PageSize / 128]uint64 // offsets that branches of the block lead to, a bit a halfword
}

func (f *builder) join(off int)        { f.joins[off>>7] |= 1 << (off >> 1 & 63) }
func (f *builder) isJoin(off int) bool { return f.joins[off>>7]>>(off>>1&63)&1 != 0 }

// emit adds an instruction that belongs to the guest instruction at off.
func (f *builder) emit(i ir.Inst) {
	*f.next() = i
	f.take()
}

// next is the place of the instruction that is added next. Most are made where they stay.
func (f *builder) next() *ir.Inst {
	n := len(f.Insts)
	if n == cap(f.Insts) {
		f.Insts = slices.Grow(f.Insts, 1)
	}
	return &f.Insts[:n+1][n]
}

// take is emit for the instruction that was made in its place.
func (f *builder) take() {
	n := len(f.Insts)
	f.Insts = f.Insts[:n+1]
	f.Insts[n].Off, f.Insts[n].N = uint16(f.off), uint16(f.Guest)
}

// end ends the block by a jump to an offset.
func (f *builder) end(target int) {
	f.emit(ir.Inst{Op: ir.Jump, Imm: int64(target)})
	f.done = true
}

func (f *builder) step(raw uint32, length uint8) {
	f.last(ir.Inst{Op: ir.Step, Raw: raw, Len: length})
}

// host emits an instruction that the engine executes.
func (f *builder) host(raw uint32, length uint8) {
	f.emit(ir.Inst{Op: ir.Host, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None, Raw: raw, Len: length})
}

func (f *builder) known(off int) bool { return f.code.Known != nil && f.code.Known[off/2] != 0 }

// start notes that an instruction starts here.
func (f *builder) start() {
	if f.Plain {
		return
	}
	if f.Guest > 0 && f.isJoin(f.off) {
		f.emit(ir.Inst{Op: ir.Entry})
	}
	f.starts[f.off/2] = uint8(f.Guest) + 1
}

// instruction translates one guest instruction.
func (f *builder) instruction() {
	switch {
	case f.off >= memory.PageSize:
		f.end(f.off)
		return
	case f.Guest >= f.code.MaxGuest || f.Guest > 0 && !f.Plain && f.known(f.off):
		f.end(f.off)
		return
	}
	var raw uint32
	if f.off == memory.PageSize-2 {
		var ok bool
		if raw, ok = f.across(); !ok {
			f.Unfinished = f.Guest == 0
			f.end(f.off)
			return
		}
	} else {
		raw = binary.LittleEndian.Uint32(f.code.Bytes[f.off:])
		f.start()
	}
	i := &f.inst
	riscv.DecodeExpand(i, raw)
	raw &= 1<<(8*i.Len) - 1
	f.lower(i, raw)
	if f.done {
		return
	}
	f.Guest++
	f.off += int(i.Len)
}

// across is the instruction that begins in the last halfword of the page. It may end in the next page, which is not ok if that is not known.
func (f *builder) across() (raw uint32, ok bool) {
	raw = uint32(binary.LittleEndian.Uint16(f.code.Bytes[f.off:]))
	if raw&3 != 3 {
		f.start()
		return raw, true
	}
	high, page, ok := f.code.Next()
	if !ok {
		return 0, false
	}
	f.start()
	f.emit(ir.Inst{Op: ir.GuardNext, Imm: int64(page), Len: 4})
	f.Watches = append(f.Watches, page)
	return raw | uint32(high)<<16, true
}

// lower translates a decoded instruction.
func (f *builder) lower(i *riscv.Inst, raw uint32) {
	r := &table[i.Op]
	n := f.next()
	n.Op, n.Width, n.Flags, n.Cond = r.op, r.width, r.flags, 0
	n.Dst, n.A, n.B, n.C = ir.X(i.Rd), ir.X(i.Rs1), ir.X(i.Rs2), ir.None
	n.Rm, n.Len, n.Imm, n.Raw = i.Rm, i.Len, int64(i.Imm), raw
	switch r.shape {
	case shapeNop:
	case shapeRR:
		if i.Rd == 0 {
			return
		}
		if r.op == ir.ShiftAdd || r.op == ir.ShiftAddU {
			n.Imm = int64(r.cond)
		}
		switch {
		case r.op == ir.Add && n.Width == ir.W64 && i.Rs1 == 0:
			n.Op, n.A = ir.Move, n.B
		case r.op == ir.Add && n.Width == ir.W64 && i.Rs2 == 0:
			n.Op = ir.Move
		}
		f.take()
	case shapeRI:
		if i.Rd == 0 {
			return
		}
		n.Flags |= ir.UseImm
		n.B = ir.None
		switch {
		case r.op == ir.Add && i.Rs1 == 0:
			n.Op = ir.Const
		case r.op == ir.Add && r.width == ir.W64 && i.Imm == 0:
			n.Op = ir.Move
		}
		f.take()
	case shapeR:
		if i.Rd == 0 {
			return
		}
		n.B = ir.None
		f.take()
	case shapeLUI:
		if i.Rd != 0 {
			n.Op = ir.Const
			f.take()
		}
	case shapeAUIPC:
		if i.Rd != 0 {
			n.Op = ir.Page
			n.Imm += int64(f.off)
			f.take()
		}
	case shapeLoad:
		n.B = ir.None
		if r.op == ir.FLoad {
			n.Dst = ir.F(i.Rd)
			f.UsesFP = true
		}
		f.take()
	case shapeStore:
		n.Dst = ir.None
		if r.op == ir.FStore {
			n.B = ir.F(i.Rs2)
			f.UsesFP = true
		}
		f.take()
	case shapeBranch:
		f.branch(i, r.cond, n)
	case shapeJAL:
		f.jal(i, *n)
	case shapeJALR:
		f.jalr(i, *n)
	case shapeAMO:
		if i.Rm&2 != 0 {
			n.Flags |= ir.Acquire
		}
		if i.Rm&1 != 0 {
			n.Flags |= ir.Release
		}
		f.take()
	case shapeFence:
		f.fence(n)
	case shapeCSR, shapeCSRI:
		f.csr(i, r, n)
	case shapeSystem:
		f.last(*n)
	case shapeHost:
		f.host(raw, i.Len)
	case shapeFenceVMA:
		if i.Rs1 == 0 {
			f.host(raw, i.Len)
			return
		}
		n.Op, n.Dst = ir.FenceVMA, ir.None
		if i.Rs2 == 0 {
			n.B = ir.None
		}
		f.take()
	case shapeFRRR:
		n.Dst, n.A, n.B, n.C = ir.F(i.Rd), ir.F(i.Rs1), ir.F(i.Rs2), ir.F(i.Rs3)
		f.float()
	case shapeFRR:
		n.Dst, n.A, n.B = ir.F(i.Rd), ir.F(i.Rs1), ir.F(i.Rs2)
		f.float()
	case shapeFR:
		n.Dst, n.A, n.B = ir.F(i.Rd), ir.F(i.Rs1), ir.None
		f.float()
	case shapeFCmp:
		n.A, n.B = ir.F(i.Rs1), ir.F(i.Rs2)
		f.float()
	case shapeFToX:
		n.A, n.B = ir.F(i.Rs1), ir.None
		f.float()
	case shapeXToF:
		n.Dst, n.B = ir.F(i.Rd), ir.None
		f.float()
	default:
		f.step(raw, i.Len)
	}
}

// fence orders loads after stores, which is the one order that hosts with total store order do not keep; a back end for
// others will want to know what else is asked for. Writes are bits 24 and 26 of the encoding, reads 21 and 23 (Unprivileged, "FENCE").
func (f *builder) fence(n *ir.Inst) {
	const (
		pause  = 0x0100_000f
		writes = 1<<24 | 1<<26
		reads  = 1<<21 | 1<<23
		mode   = 15 << 28 // fm: fence.tso, or reserved
	)
	n.Op, n.Dst, n.A, n.B = ir.Fence, ir.None, ir.None, ir.None
	switch {
	case n.Raw == pause:
		f.host(n.Raw, n.Len)
	case n.Raw&writes != 0 && n.Raw&reads != 0 || n.Raw&mode != 0:
		f.take()
	}
}

// last emits an instruction that ends the block and retires.
func (f *builder) last(n ir.Inst) {
	f.emit(n)
	next := f.off + int(n.Len)
	// What a call returns to belongs to the block, and so does what follows when a branch of the block leads there.
	f.done = !n.Has(ir.Call) && (f.Plain || next >= memory.PageSize || !f.isJoin(next))
}

// float takes a floating-point instruction.
func (f *builder) float() {
	f.UsesFP = true
	f.take()
}

// branch makes its target an entry, if that is in the block or will be.
func (f *builder) branch(i *riscv.Inst, cond ir.Cond, n *ir.Inst) {
	target := f.off + int(i.Imm)
	n.Op, n.Cond, n.Imm, n.Dst = ir.Branch, cond, int64(target), ir.None
	f.take()
	f.leadTo(target)
}

// leadTo notes that a jump of the block leads to an offset.
func (f *builder) leadTo(target int) {
	if f.Plain || target < 0 || target >= memory.PageSize {
		return
	}
	f.join(target)
	if target > f.off || f.starts[target/2] <= 1 {
		return // to come, or not of the block, or its start
	}
	for k := range f.Insts {
		if in := &f.Insts[k]; int(in.Off) >= target {
			if in.Op == ir.Entry && int(in.Off) == target {
				return
			}
			f.Insts = slices.Insert(f.Insts, k, ir.Inst{Op: ir.Entry, Off: uint16(target), N: uint16(f.starts[target/2] - 1)})
			return
		}
	}
}

// jal is a call if it leaves its return address where calls do.
func (f *builder) jal(i *riscv.Inst, n ir.Inst) {
	n.Op, n.Imm = ir.Jump, int64(f.off)+int64(i.Imm)
	if link(i.Rd) {
		n.Flags = ir.Call
	} else {
		f.leadTo(f.off + int(i.Imm))
		f.note(i.Rd, i.Len)
	}
	f.last(n)
}

// jalr recognizes returns and calls by their link registers (Unprivileged, "JALR", Table 3).
func (f *builder) jalr(i *riscv.Inst, n ir.Inst) {
	n.Op = ir.JumpReg
	n.B = ir.None
	switch {
	case link(i.Rd) || i.Rd != 0 && i.Rd == i.Rs1:
		n.Flags = ir.Call
	case i.Rd == 0 && link(i.Rs1) && i.Imm == 0:
		n.Flags = ir.Return
	}
	// auipc and jalr of the same register: a direct jump that reaches far.
	if k := len(f.Insts) - 1; k >= 0 && f.Guest > 0 {
		p := &f.Insts[k]
		if p.Op == ir.Page && p.Dst == n.A && int(p.Off)+int(p.Len) == f.off {
			n.Op, n.A, n.Imm = ir.Jump, ir.Zero, (p.Imm+n.Imm)&^1
			n.Flags &^= ir.Return
			f.starts[f.off/2] = 0 // who comes here by a jump has another register: it is no entry of this block
		}
	}
	if !n.Has(ir.Call) {
		f.note(i.Rd, i.Len)
	}
	f.last(n)
}

// link says that a register is one that calls leave their return address in. What leaves it elsewhere, as the entries of procedure linkage
// tables do, is never returned to.
func link(r uint8) bool { return r == 1 || r == 5 }

// note sets the link register of a jump that is no call.
func (f *builder) note(rd, length uint8) {
	if rd != 0 {
		f.emit(ir.Inst{Op: ir.Page, Dst: ir.X(rd), A: ir.None, B: ir.None, C: ir.None, Imm: int64(f.off) + int64(length), Len: length})
	}
}

// csr translates those accesses that generated code does by itself; the others are the engine's.
func (f *builder) csr(i *riscv.Inst, r *row, n *ir.Inst) {
	num := uint16(i.Imm)
	reads := i.Rd != 0
	writes := r.op == ir.WriteCSR || i.Rs1 != 0
	n.B = ir.None
	if !reads {
		n.Dst = ir.None
	}
	if r.shape == shapeCSRI {
		n.A = ir.None
		n.C = ir.Var(i.Rs1)
		n.Flags |= ir.UseImm
	}
	switch num {
	case riscv.CSRTime:
		if writes || !reads {
			break
		}
		n.Op = ir.ReadTime
		f.take()
		return
	case riscv.CSRSscratch, riscv.CSRSepc, riscv.CSRScause, riscv.CSRStval:
		if !writes {
			n.Op = ir.ReadCSR
		}
		f.take()
		return
	case riscv.CSRSatp: // a write is a switch of address spaces
		if writes {
			break
		}
		n.Op = ir.ReadCSR
		f.take()
		return
	case riscv.CSRFflags:
		if writes && r.op != ir.WriteCSR {
			break
		}
		if !writes {
			n.Op = ir.ReadCSR
		}
		f.float()
		return
	case riscv.CSRSstatus:
		if !writes {
			n.Op = ir.ReadCSR
		}
		f.take()
		return
	}
	f.host(n.Raw, n.Len)
}
