package interp

// The hot loop: one switch over the ops that programs are made of. Everything else goes through the table of handlers.
//
// What is live in it stays in local variables: the next slot (ip) and the first slot of its page (base), from which the
// program counter follows; the instructions that may still start (left), from which instret follows. They reach State
// only when something else may look: State.PC is the address of the instruction, and State.Instret leaves it out, before
// anything that can trap is called.
//
// unsafe. Slots are reached by pointers into the page that base keeps alive: ip only ever moves by a step that lower wrote,
// which ends at most two slots past the page, where the slots say opPageEnd, or to a slot computed from an offset below 4096.
// Guest memory is reached through TLB entries, whose makers vouch that the host page is in the RAM mapping;
// it lies outside the Go heap and never moves. The registers are indexed by bytes that lower keeps at SinkX or below.

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// flow is what comes after an instruction.
type flow uint8

const (
	flowNext  flow = iota // retired; the next one follows it
	flowTrap              // trapped, so not retired; State.PC is the handler's address
	flowLeave             // retired; State.PC is the next address; modes or pending interrupts may have changed
	flowWait              // as flowLeave, and the hart wants to wait for an interrupt
	flowPoll              // between instructions: something asks for attention, or the budget is used up
)

// host is the host memory at an address made from a TLB entry.
func host(a uint64) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), a) }

// A load or store of n bytes hits a TLB entry if its address under this mask is the tag: same page, and aligned.
const (
	mask1 = ^uint64(memory.PageMask)
	mask2 = mask1 | 1
	mask4 = mask1 | 3
	mask8 = mask1 | 7
)

// frame is what the hot loop keeps in local variables, where it lies while something else is called: values that are live
// across a call cost the compiler a store in every turn of the loop, so none is, except in.
type frame struct {
	page   *page
	base   unsafe.Pointer // the first slot of page
	ip     unsafe.Pointer // the slot of the next instruction
	pageVA uint64         // the virtual address that page is executed at
	bank   *mmu.Bank      // of loads and stores
	left   int64          // instructions that may still start
	total  uint64         // instret if all of them retired
}

// next is the address of the next instruction.
func (f *frame) next() uint64 {
	return f.pageVA + uint64(uintptr(f.ip)-uintptr(f.base))>>slotShift
}

// exec executes from State.PC until something has to be decided outside. At most budget instructions are started; the
// return value says why it ended, and how many of them were not used.
func (in *Interp) exec(budget int64) (why flow, left int64) {
	var (
		st     = in.h.State
		pc     = st.PC &^ 1 // from here on only where a jump leaves the page; odd is only what firmware may have left there
		va     uint64
		pageVA uint64
		base   unsafe.Pointer
		ip     unsafe.Pointer
		s      *slot
		bank   *mmu.Bank
		x      *[256]uint64
	)
	left = budget
	in.total = st.Instret + uint64(budget)

	// Enter the page that pc is in.
enter:
	if !in.enter(pc, left) {
		return in.why, in.left
	}

	// Take up the frame.
resume:
	st = in.h.State
	x = (*[256]uint64)(unsafe.Pointer(&st.X))
	x[hart.SinkX] = 0 // spares the loop a nil check of x in every case
	ip, base, pageVA, bank, left = in.ip, in.base, in.pageVA, in.bank, in.left

next:
	s = (*slot)(ip)
	ip = unsafe.Add(ip, s.step)
	left--
	if left < 0 {
		in.ip = unsafe.Pointer(s)
		goto poll
	}

	switch riscv.Op(s.op) {

	// Jumps and branches.

	case riscv.JAL:
		va = pageVA + uint64(uintptr(ip)-uintptr(base))>>slotShift
		x[s.rd] = va
		pc = va - uint64(s.step>>slotShift) + uint64(int64(s.imm))
		goto enter
	case riscv.JALR:
		pc = (x[s.rs1] + uint64(int64(s.imm))) &^ 1
		x[s.rd] = pageVA + uint64(uintptr(ip)-uintptr(base))>>slotShift
		if pc&^memory.PageMask != pageVA || atomic.LoadUint32(&st.Attention) != 0 {
			goto enter
		}
		ip = unsafe.Add(base, pc&memory.PageMask<<slotShift)
		goto next
	case riscv.BEQ:
		if x[s.rs1] == x[s.rs2] {
			goto far
		}
		goto next
	case riscv.BNE:
		if x[s.rs1] != x[s.rs2] {
			goto far
		}
		goto next
	case riscv.BLT:
		if int64(x[s.rs1]) < int64(x[s.rs2]) {
			goto far
		}
		goto next
	case riscv.BGE:
		if int64(x[s.rs1]) >= int64(x[s.rs2]) {
			goto far
		}
		goto next
	case riscv.BLTU:
		if x[s.rs1] < x[s.rs2] {
			goto far
		}
		goto next
	case riscv.BGEU:
		if x[s.rs1] >= x[s.rs2] {
			goto far
		}
		goto next
	case riscv.Op(opNearJAL):
		x[s.rd] = pageVA + uint64(uintptr(ip)-uintptr(base))>>slotShift
		goto near
	case riscv.Op(opNearBEQ):
		if x[s.rs1] == x[s.rs2] {
			goto near
		}
		goto next
	case riscv.Op(opNearBNE):
		if x[s.rs1] != x[s.rs2] {
			goto near
		}
		goto next
	case riscv.Op(opNearBLT):
		if int64(x[s.rs1]) < int64(x[s.rs2]) {
			goto near
		}
		goto next
	case riscv.Op(opNearBGE):
		if int64(x[s.rs1]) >= int64(x[s.rs2]) {
			goto near
		}
		goto next
	case riscv.Op(opNearBLTU):
		if x[s.rs1] < x[s.rs2] {
			goto near
		}
		goto next
	case riscv.Op(opNearBGEU):
		if x[s.rs1] >= x[s.rs2] {
			goto near
		}
		goto next

	// Loads.

	case riscv.LB:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask1 == e.Tag {
			x[s.rd] = uint64(int64(*(*int8)(host(va&memory.PageMask + e.Host))))
			goto next
		}
		goto load
	case riscv.LH:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask2 == e.Tag {
			x[s.rd] = uint64(int64(*(*int16)(host(va&memory.PageMask + e.Host))))
			goto next
		}
		goto load
	case riscv.LW:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask4 == e.Tag {
			x[s.rd] = uint64(int64(*(*int32)(host(va&memory.PageMask + e.Host))))
			goto next
		}
		goto load
	case riscv.LD:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask8 == e.Tag {
			x[s.rd] = *(*uint64)(host(va&memory.PageMask + e.Host))
			goto next
		}
		goto load
	case riscv.LBU:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask1 == e.Tag {
			x[s.rd] = uint64(*(*uint8)(host(va&memory.PageMask + e.Host)))
			goto next
		}
		goto load
	case riscv.LHU:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask2 == e.Tag {
			x[s.rd] = uint64(*(*uint16)(host(va&memory.PageMask + e.Host)))
			goto next
		}
		goto load
	case riscv.LWU:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask4 == e.Tag {
			x[s.rd] = uint64(*(*uint32)(host(va&memory.PageMask + e.Host)))
			goto next
		}
		goto load

	// Stores.

	case riscv.SB:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask1 == e.Tag {
			*(*uint8)(host(va&memory.PageMask + e.Host)) = uint8(x[s.rs2])
			goto next
		}
		goto store
	case riscv.SH:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask2 == e.Tag {
			*(*uint16)(host(va&memory.PageMask + e.Host)) = uint16(x[s.rs2])
			goto next
		}
		goto store
	case riscv.SW:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask4 == e.Tag {
			*(*uint32)(host(va&memory.PageMask + e.Host)) = uint32(x[s.rs2])
			goto next
		}
		goto store
	case riscv.SD:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask8 == e.Tag {
			*(*uint64)(host(va&memory.PageMask + e.Host)) = x[s.rs2]
			goto next
		}
		goto store

	// Floating-point loads and stores.

	case riscv.FLW:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask4 == e.Tag && st.Mstatus&hart.MstatusFS != 0 {
			st.F[s.rd&31] = box32 | uint64(*(*uint32)(host(va&memory.PageMask + e.Host)))
			st.Mstatus |= hart.MstatusFS
			goto next
		}
		goto other
	case riscv.FLD:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Load[va>>memory.PageShift%mmu.DataEntries]; va&mask8 == e.Tag && st.Mstatus&hart.MstatusFS != 0 {
			st.F[s.rd&31] = *(*uint64)(host(va&memory.PageMask + e.Host))
			st.Mstatus |= hart.MstatusFS
			goto next
		}
		goto other
	case riscv.FSW:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask4 == e.Tag && st.Mstatus&hart.MstatusFS != 0 {
			*(*uint32)(host(va&memory.PageMask + e.Host)) = uint32(st.F[s.rs2&31])
			goto next
		}
		goto other
	case riscv.FSD:
		va = x[s.rs1] + uint64(int64(s.imm))
		if e := &bank.Store[va>>memory.PageShift%mmu.DataEntries]; va&mask8 == e.Tag && st.Mstatus&hart.MstatusFS != 0 {
			*(*uint64)(host(va&memory.PageMask + e.Host)) = st.F[s.rs2&31]
			goto next
		}
		goto other

	// Integer, register and immediate.

	case riscv.LUI:
		x[s.rd] = uint64(int64(s.imm))
		goto next
	case riscv.AUIPC:
		x[s.rd] = pageVA + uint64(uintptr(ip)-uintptr(base)-uintptr(s.step))>>slotShift + uint64(int64(s.imm))
		goto next
	case riscv.ADDI:
		x[s.rd] = x[s.rs1] + uint64(int64(s.imm))
		goto next
	case riscv.SLTI:
		x[s.rd] = flag(int64(x[s.rs1]) < int64(s.imm))
		goto next
	case riscv.SLTIU:
		x[s.rd] = flag(x[s.rs1] < uint64(int64(s.imm)))
		goto next
	case riscv.XORI:
		x[s.rd] = x[s.rs1] ^ uint64(int64(s.imm))
		goto next
	case riscv.ORI:
		x[s.rd] = x[s.rs1] | uint64(int64(s.imm))
		goto next
	case riscv.ANDI:
		x[s.rd] = x[s.rs1] & uint64(int64(s.imm))
		goto next
	case riscv.SLLI:
		x[s.rd] = x[s.rs1] << (uint32(s.imm) & 63)
		goto next
	case riscv.SRLI:
		x[s.rd] = x[s.rs1] >> (uint32(s.imm) & 63)
		goto next
	case riscv.SRAI:
		x[s.rd] = uint64(int64(x[s.rs1]) >> (uint32(s.imm) & 63))
		goto next
	case riscv.ADDIW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) + s.imm))
		goto next
	case riscv.SLLIW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) << (uint32(s.imm) & 31)))
		goto next
	case riscv.SRLIW:
		x[s.rd] = uint64(int64(int32(uint32(x[s.rs1]) >> (uint32(s.imm) & 31))))
		goto next
	case riscv.SRAIW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) >> (uint32(s.imm) & 31)))
		goto next

	// Integer, register and register.

	case riscv.ADD:
		x[s.rd] = x[s.rs1] + x[s.rs2]
		goto next
	case riscv.SUB:
		x[s.rd] = x[s.rs1] - x[s.rs2]
		goto next
	case riscv.SLL:
		x[s.rd] = x[s.rs1] << (x[s.rs2] & 63)
		goto next
	case riscv.SLT:
		x[s.rd] = flag(int64(x[s.rs1]) < int64(x[s.rs2]))
		goto next
	case riscv.SLTU:
		x[s.rd] = flag(x[s.rs1] < x[s.rs2])
		goto next
	case riscv.XOR:
		x[s.rd] = x[s.rs1] ^ x[s.rs2]
		goto next
	case riscv.SRL:
		x[s.rd] = x[s.rs1] >> (x[s.rs2] & 63)
		goto next
	case riscv.SRA:
		x[s.rd] = uint64(int64(x[s.rs1]) >> (x[s.rs2] & 63))
		goto next
	case riscv.OR:
		x[s.rd] = x[s.rs1] | x[s.rs2]
		goto next
	case riscv.AND:
		x[s.rd] = x[s.rs1] & x[s.rs2]
		goto next
	case riscv.ADDW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) + int32(x[s.rs2])))
		goto next
	case riscv.SUBW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) - int32(x[s.rs2])))
		goto next
	case riscv.SLLW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) << (x[s.rs2] & 31)))
		goto next
	case riscv.SRLW:
		x[s.rd] = uint64(int64(int32(uint32(x[s.rs1]) >> (x[s.rs2] & 31))))
		goto next
	case riscv.SRAW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) >> (x[s.rs2] & 31)))
		goto next

	// Multiplication. Division is slow enough to bear the table.

	case riscv.MUL:
		x[s.rd] = x[s.rs1] * x[s.rs2]
		goto next
	case riscv.MULW:
		x[s.rd] = uint64(int64(int32(x[s.rs1]) * int32(x[s.rs2])))
		goto next
	case riscv.MULHU:
		x[s.rd], _ = bits.Mul64(x[s.rs1], x[s.rs2])
		goto next

	// Address arithmetic (Zba) and the bit manipulations that compilers emit most (Zbb, Zbs, Zicond).

	case riscv.ADD_UW:
		x[s.rd] = uint64(uint32(x[s.rs1])) + x[s.rs2]
		goto next
	case riscv.SH1ADD:
		x[s.rd] = x[s.rs1]<<1 + x[s.rs2]
		goto next
	case riscv.SH2ADD:
		x[s.rd] = x[s.rs1]<<2 + x[s.rs2]
		goto next
	case riscv.SH3ADD:
		x[s.rd] = x[s.rs1]<<3 + x[s.rs2]
		goto next
	case riscv.SLLI_UW:
		x[s.rd] = uint64(uint32(x[s.rs1])) << (uint32(s.imm) & 63)
		goto next
	case riscv.ANDN:
		x[s.rd] = x[s.rs1] &^ x[s.rs2]
		goto next
	case riscv.MIN:
		x[s.rd] = uint64(min(int64(x[s.rs1]), int64(x[s.rs2])))
		goto next
	case riscv.MINU:
		x[s.rd] = min(x[s.rs1], x[s.rs2])
		goto next
	case riscv.MAX:
		x[s.rd] = uint64(max(int64(x[s.rs1]), int64(x[s.rs2])))
		goto next
	case riscv.MAXU:
		x[s.rd] = max(x[s.rs1], x[s.rs2])
		goto next
	case riscv.SEXT_B:
		x[s.rd] = uint64(int64(int8(x[s.rs1])))
		goto next
	case riscv.SEXT_H:
		x[s.rd] = uint64(int64(int16(x[s.rs1])))
		goto next
	case riscv.ZEXT_H:
		x[s.rd] = uint64(uint16(x[s.rs1]))
		goto next
	case riscv.RORI:
		x[s.rd] = bits.RotateLeft64(x[s.rs1], -int(s.imm))
		goto next
	case riscv.RORIW:
		x[s.rd] = uint64(int64(int32(bits.RotateLeft32(uint32(x[s.rs1]), -int(s.imm)))))
		goto next
	case riscv.BEXTI:
		x[s.rd] = x[s.rs1] >> (uint32(s.imm) & 63) & 1
		goto next
	case riscv.CZERO_EQZ:
		va = x[s.rs1]
		if x[s.rs2] == 0 {
			va = 0
		}
		x[s.rd] = va
		goto next
	case riscv.CZERO_NEZ:
		va = x[s.rs1]
		if x[s.rs2] != 0 {
			va = 0
		}
		x[s.rd] = va
		goto next

	// States of a slot. Where one is not an instruction it gives back what it took from left.

	case riscv.Op(opUndecoded):
		in.ip, in.left = ip, left+1
		in.page.decode(uint64(uintptr(ip)-uintptr(base)) >> slotShift) // ip has not moved: an empty slot has no step
		goto resume
	case riscv.Op(opPageEnd):
		pc = pageVA + uint64(uintptr(ip)-uintptr(base))>>slotShift
		left++
		goto enter
	case riscv.Op(opCrossing):
		in.ip, in.left = unsafe.Pointer(s), left+1
		if !in.cross() {
			return in.why, in.left
		}
		goto resume
	}

	// Everything that has no case.
other:
	in.ip, in.left = ip, left
	in.account(s)
	if why = handlers[s.op](in, s); why == flowNext {
		goto resume
	}
	if why != flowTrap {
		in.h.Instret++
	}
	return why, in.left

	// A load or store that the TLB could not serve.
load:
	in.ip, in.left = ip, left
	in.account(s)
	if !in.load(s, va) {
		return flowTrap, in.left
	}
	goto resume
store:
	in.ip, in.left = ip, left
	in.account(s)
	if !in.store(s, va) {
		return flowTrap, in.left
	}
	goto resume

	// A branch out of this page.
far:
	pc = pageVA + uint64(uintptr(ip)-uintptr(base)-uintptr(s.step))>>slotShift + uint64(int64(s.imm))
	goto enter

	// A jump to a slot of this page.
near:
	ip = unsafe.Add(unsafe.Pointer(s), s.imm)
	if atomic.LoadUint32(&st.Attention) == 0 {
		goto next
	}
	in.ip = ip

	// Between instructions: something asks for attention, or the budget is used up.
poll:
	in.left = max(left, 0)
	in.h.PC = in.next()
	in.h.Instret = in.total - uint64(in.left)
	return flowPoll, in.left
}

// account makes State exact for s, which has been counted as started and may trap.
func (in *Interp) account(s *slot) {
	in.h.PC = in.next() - uint64(s.step>>slotShift)
	in.h.Instret = in.total - uint64(in.left) - 1
}

// enter makes the frame that of the page pc is in. It is false, with why, when the loop has to be left instead.
func (in *Interp) enter(pc uint64, left int64) bool {
	st := in.h.State
	in.left = left
	if left <= 0 || atomic.LoadUint32(&st.Attention) != 0 {
		return in.stop(pc, flowPoll)
	}
	var p *page
	if f := &st.TLB.Banks[st.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(pc)]; f.Tag == pc&^memory.PageMask {
		p = in.pages.find(memory.GPA(f.GPA))
	}
	if p == nil || p.gen != st.FenceIGen {
		if p = in.fetch(pc); p == nil {
			return false
		}
	}
	p.used = true
	in.page = p
	in.base = unsafe.Pointer(&p.slots)
	in.ip = unsafe.Pointer(&p.slots[pc&memory.PageMask/2])
	in.pageVA = pc &^ memory.PageMask
	in.bank = &st.TLB.Banks[st.DataBank%mmu.NumBanks]
	return true
}

// stop ends exec between instructions; pc is the next one's address.
func (in *Interp) stop(pc uint64, why flow) bool {
	in.h.PC = pc
	in.h.Instret = in.total - uint64(in.left)
	in.why = why
	return false
}

// fetch is the predecoded page that pc is in, for which enter found no valid one; nil when the fetch trapped.
func (in *Interp) fetch(pc uint64) *page {
	in.stop(pc, flowTrap)
	gpa, whole, ok := in.h.FetchPage(pc)
	switch {
	case !ok:
		in.left--
		return nil
	case whole:
		if p := in.pages.enter(gpa&^memory.PageMask, in.h.FenceIGen); p != nil {
			return p
		}
	}
	low, ok := in.h.Fetch16(pc)
	if !ok {
		in.left--
		return nil
	}
	raw := uint32(low)
	if raw&3 == 3 {
		high, ok := in.h.Fetch16(pc + 2)
		if !ok {
			in.left--
			return nil
		}
		raw |= uint32(high) << 16
	}
	return in.alone(pc, lower(raw))
}

// alone is the page for one instruction that is not executed from the page it lies in: every other slot of it says
// opPageEnd, so that what comes next is fetched anew.
func (in *Interp) alone(pc uint64, s slot) *page {
	p := in.single
	p.slots[in.singleAt] = slot{op: opPageEnd}
	in.singleAt = pc & memory.PageMask / 2
	p.slots[in.singleAt] = s
	p.gen = in.h.FenceIGen
	return p
}

// cross moves the frame, which is at the instruction that crosses the end of its page, to a page of its own for that
// instruction. It is false, with why, when fetching the second half trapped.
func (in *Interp) cross() bool {
	pc := in.next()
	in.stop(pc, flowTrap)
	high, ok := in.h.Fetch16(pc + 2)
	if !ok {
		in.left--
		return false
	}
	p := in.alone(pc, *in.page.cross(high))
	in.page = p
	in.base = unsafe.Pointer(&p.slots)
	in.ip = unsafe.Pointer(&p.slots[in.singleAt])
	return true
}

// flag is 1 if b. The compiler makes no branch of this form.
func flag(b bool) uint64 {
	var u uint64
	if b {
		u = 1
	}
	return u
}

// load does a load that missed the TLB: on another page, misaligned, from a device, or faulting.
func (in *Interp) load(s *slot, va uint64) bool {
	k := &memoryOps[s.op]
	v, ok := in.h.Load(va, int(k.size))
	if !ok {
		return false
	}
	if k.signed {
		shift := 64 - 8*uint(k.size)
		v = uint64(int64(v<<shift) >> shift)
	}
	in.h.X[s.rd] = v
	return true
}

// store does a store that missed the TLB.
func (in *Interp) store(s *slot, va uint64) bool {
	return in.h.Store(va, int(memoryOps[s.op].size), in.h.X[s.rs2])
}

// memoryOps is what the slow paths know of integer loads and stores.
var memoryOps = [riscv.NumOps]struct {
	size   uint8
	signed bool
}{
	riscv.LB: {1, true}, riscv.LH: {2, true}, riscv.LW: {4, true}, riscv.LD: {8, false},
	riscv.LBU: {1, false}, riscv.LHU: {2, false}, riscv.LWU: {4, false},
	riscv.SB: {1, false}, riscv.SH: {2, false}, riscv.SW: {4, false}, riscv.SD: {8, false},
}
