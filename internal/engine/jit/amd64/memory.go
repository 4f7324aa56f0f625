package amd64

// Loads and stores.
//
// The TLB is looked up in line. An entry's tag is a page address: address XOR tag is the offset in the page if the entry is the page's, and
// large if not, so that one comparison checks the page and that the access ends inside it. Misaligned accesses inside a page are the
// host's to do. A miss goes to a routine that fills the entry and tries again; what cannot be filled (a fault, a device, two pages)
// is a step.
//
// Code of mirrored address spaces does otherwise: mirror.go.
//
// Accesses of a group (package optimize) go through the host address that the group's check left in its register.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

var memoryOps = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.Load:      loadInt,
	ir.Store:     storeInt,
	ir.FLoad:     loadFloat,
	ir.FStore:    storeFloat,
	ir.Group:     groupCheck,
	ir.ZeroBlock: zeroBlock,
}

const (
	entrySize  = 16
	entryShift = memory.PageShift - 4 // an address shifted by it, under indexMask, is the distance of its entry
	indexMask  = (mmu.DataEntries - 1) * entrySize
	groupBytes = mmu.UsedSlots * entrySize
)

// lookup leaves in tmp the host address of A+Imm, for an access of n bytes. slow is the piece for a miss, which comes back to its label again.
func (c *Compiler) lookup(a ir.Var, imm, n int64, table int32, slow *piece) {
	c.countLookup(table)
	slow.again, slow.table = c.Here(), table
	if r, ok := pinned(a); ok {
		if imm != 0 {
			c.RM(asm.LEA, asm.S64, tmp, asm.At(r, int32(imm)))
		} else {
			c.RR(asm.MOV, asm.S64, tmp, r)
		}
	} else {
		c.load(tmp, a)
		if imm != 0 {
			c.RI(asm.ADD, asm.S64, tmp, int32(imm))
		}
	}
	c.entry(tmp2, tmp)
	c.translate(table, n, slow.label)
}

// slowPath adds the slow path of an access, with the routine that it calls.
func (c *Compiler) slowPath(emit func(*Compiler, *piece), in *ir.Inst, routine uintptr) *piece {
	p := c.add(emit, in)
	p.routine = routine
	return p
}

// zeroBlock writes 64 bytes by way of a scratch SSE register.
func zeroBlock(c *Compiler, in *ir.Inst) {
	c.RM(asm.MOV, asm.S64, tmp, state(offZeroFast))
	c.RM(asm.MOV, asm.S64, tmp2, state(offPriv))
	c.RR(asm.BT, asm.S64, tmp, tmp2)
	c.Jcc(asm.CondAE, c.stepLabel(in))
	c.countLookup(offStores)
	again := c.Here()
	c.load(tmp, in.A)
	c.RI(asm.AND, asm.S64, tmp, -hart.CacheBlock)
	c.entry(tmp2, tmp)
	c.translate(offStores, hart.CacheBlock, c.cold(piece{emit: missPiece, in: *in, routine: c.routines.MissStoreAt, table: offStores, again: again}))
	if c.has.Has(asm.HasAVX) {
		c.XXX(asm.VXORPS, ftmp, ftmp, ftmp)
	} else {
		c.XX(asm.XORPS, ftmp, ftmp)
	}
	for off := int32(0); off < hart.CacheBlock; off += 16 {
		if c.has.Has(asm.HasAVX) {
			c.MX(asm.VMOVUPS, asm.At(tmp, off), ftmp)
		} else {
			c.MX(asm.MOVUPS, asm.At(tmp, off), ftmp)
		}
	}
}

// entry computes the distance of the entry of an address from the start of its table.
func (c *Compiler) entry(dst, address asm.Reg) {
	if c.has.Has(asm.HasBMI2) {
		c.RRI(asm.RORX, asm.S32, dst, address, entryShift)
	} else {
		c.RR(asm.MOV, asm.S32, dst, address)
		c.RI(asm.SHR, asm.S32, dst, entryShift)
	}
	c.RI(asm.AND, asm.S32, dst, indexMask)
	c.drag(dst)
}

// translate checks the address in tmp against the entry at tmp2 and makes it a host address.
func (c *Compiler) translate(table int32, n int64, miss asm.Label) {
	c.RM(asm.XOR, asm.S64, tmp, asm.Indexed(base, tmp2, 1, table)) // the tag
	c.RI(asm.CMP, asm.S64, tmp, int32(memory.PageSize-n))
	c.Jcc(asm.CondA, miss)
	c.RM(asm.ADD, asm.S64, tmp, asm.Indexed(base, tmp2, 1, table+8)) // the host's page
}

// drag makes a look-up by what is in a register slower, in builds that the performance gate has to find out.
func (c *Compiler) drag(r asm.Reg) {
	if slowTLB {
		c.RI(asm.OR, asm.S64, r, 0)
	}
}

// missPiece is the slow path of an access: the routine fills the entry and returns, or does not return. On entry tmp is address XOR tag, and tmp2
// the distance of the entry. What the routine has to know lies behind the call.
func missPiece(c *Compiler, p *piece) {
	c.countMissed(p.table)
	if c.region != nil {
		c.regionMiss(p)
		return
	}
	c.CallTo(p.routine)
	c.Long(uint32(c.place(&p.in)))
	c.Jmp(p.again)
}

// place packs where an instruction is: its offset, and how much of the block retires before it and is not taken from the budget yet.
func (c *Compiler) place(in *ir.Inst) uint64 {
	return uint64(in.Off) | uint64(int(in.N)-c.deducted)<<placeShift
}

// hostAddress is the operand for an access: through the group, or by a look-up.
func (c *Compiler) hostAddress(in *ir.Inst, store bool) asm.Mem {
	if c.isDirect {
		c.count(CountShared)
		c.isDirect = false
		return c.direct
	}
	if in.Has(ir.Grouped) {
		c.count(CountShared)
		if c.region != nil {
			return asm.At(c.use(in.A, tmp), int32(in.Imm))
		}
		return asm.At(group, int32(in.Imm))
	}
	if c.Mirrored {
		return c.mirrored(in)
	}
	table, routine := offLoads, c.routines.MissLoadAt
	if store {
		table, routine = offStores, c.routines.MissStoreAt
	}
	c.lookup(in.A, in.Imm, in.Width.Bytes(), table, c.slowPath(missPiece, in, routine))
	return asm.At(tmp, 0)
}

func loadInt(c *Compiler, in *ir.Inst) {
	m := c.hostAddress(in, false)
	if in.Dst == ir.Zero && !c.Mirrored {
		return // it was checked, and there is nothing else to see
	}
	d := c.def(in.Dst, tmp)
	signed := in.Has(ir.Signed)
	switch in.Width {
	case ir.W8:
		if signed {
			c.RM(asm.MOVSX8, asm.S64, d, m)
		} else {
			c.RM(asm.MOVZX8, asm.S32, d, m)
		}
	case ir.W16:
		if signed {
			c.RM(asm.MOVSX16, asm.S64, d, m)
		} else {
			c.RM(asm.MOVZX16, asm.S32, d, m)
		}
	case ir.W32:
		if signed {
			c.RM(asm.MOVSXD, asm.S64, d, m)
		} else {
			c.RM(asm.MOV, asm.S32, d, m)
		}
	default:
		c.RM(asm.MOV, asm.S64, d, m)
	}
	c.put(in.Dst, d)
}

func storeInt(c *Compiler, in *ir.Inst) {
	m := c.hostAddress(in, true)
	s := asm.Size(in.Width)
	if in.B == ir.Zero {
		c.MI(asm.MOV, s, m, 0)
		return
	}
	c.MR(asm.MOV, s, m, c.use(in.B, tmp2))
}

// groupCheck leaves in the group register the host address of A+Imm, from where Span bytes may be accessed.
func groupCheck(c *Compiler, in *ir.Inst) {
	table, routine := offLoads, c.routines.MissLoadAt
	if in.Has(ir.Signed) {
		table, routine = offStores, c.routines.MissStoreAt
	}
	c.lookup(in.A, in.Imm, int64(in.Raw), table, c.slowPath(groupPiece, in, routine))
	c.RR(asm.MOV, asm.S64, group, tmp)
}

// groupPiece is the slow path of a group's check: over the end of the page, or not there, of which only the latter can be mended.
func groupPiece(c *Compiler, p *piece) {
	c.countMissed(p.table)
	plain := c.add(plainPiece, &p.in).label
	c.RR(asm.MOV, asm.S32, group, tmp) // the tag's low bits are 0
	c.RI(asm.AND, asm.S32, group, memory.PageMask)
	c.RI(asm.CMP, asm.S32, group, int32(memory.PageSize-p.in.Raw))
	c.Jcc(asm.CondA, plain)
	c.CallTo(p.routine)
	c.Long(uint32(c.place(&p.in) | placeGroup))
	c.Jmp(p.again)
}

// plainPiece goes on in the translation without groups.
func plainPiece(c *Compiler, p *piece) {
	c.settle(int(p.in.N))
	c.link(int32(p.in.Off), true)
}
