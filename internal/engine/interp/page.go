package interp

// Predecoded pages: what the interpreter remembers of guest code, by guest physical page.
//
// A hart has its own pages, so nothing here is shared or locked. A page holds a copy of the 4 KiB it was decoded from and the
// FENCE.I generation at which the copy was last seen to equal memory. RISC-V lets a fetch see old bytes until FENCE.I
// (Unprivileged, "Zifencei"), so stores are not watched at all: the first entry into a page after a FENCE.I compares its
// bytes with memory and starts afresh if they differ, whoever wrote them (this hart, another one, a device).

import (
	"bytes"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// slot is one predecoded instruction. There is one slot for each halfword of a page; an address is a slot without any
// table, and a slot is its address. The layout is what the hot loop reads: keep it 16 bytes.
type slot struct {
	op   uint16 // a riscv.Op, or one of the internal ops below; zero is a slot that is not decoded yet
	rd   uint8  // hart.SinkX instead of x0
	rs1  uint8
	rs2  uint8
	rs3  uint8
	rm   uint8
	step uint8  // bytes from this slot to that of the next instruction; zero while not decoded
	imm  int32  // as in riscv.Inst; for near jumps, bytes from this slot to the target's slot
	raw  uint32 // the encoding, for traps
}

const (
	slotSize     = unsafe.Sizeof(slot{})
	slotsPerPage = memory.PageSize / 2
	// slotShift turns a distance in slots' bytes into one in bytes of guest code, and back.
	slotShift = 3
)

// A slot is 16 bytes a halfword: both directions must fail to compile otherwise.
var (
	_ [slotSize - 2<<slotShift]struct{}
	_ [2<<slotShift - slotSize]struct{}
)

// Internal ops: no instruction of the table, but states of a slot, and jumps whose target is in the same page.
const (
	opUndecoded = uint16(riscv.ILLEGAL) // what a fresh page is full of
	opIllegal   = uint16(riscv.NumOps) + iota
	opCrossing  // the first half of an instruction whose second half is in the next page
	opPageEnd   // past the last slot: go on at the next page
	opNearJAL
	opNearBEQ
	opNearBNE
	opNearBLT
	opNearBGE
	opNearBLTU
	opNearBGEU
	numOps
)

// page is one predecoded guest page. The two slots past the end are where execution arrives after the last instruction, the
// second of them after one that crosses the end.
type page struct {
	slots [slotsPerPage + 2]slot

	gpa  memory.GPA // zero while the page is free; no RAM lies at zero
	gen  uint64     // FENCE.I generation at which raw was last equal to memory
	used bool       // entered since the clock hand went by

	// The instruction that crosses the end, for the second half it was last met with.
	crossing     slot
	crossingHigh uint16

	raw [memory.PageSize]byte
}

// A page must cost no more than Pages reckons with.
var _ [pageCost - unsafe.Sizeof(page{})]struct{}

// clear forgets every instruction.
func (p *page) clear() {
	clear(p.slots[:slotsPerPage])
	for i := slotsPerPage; i < len(p.slots); i++ {
		p.slots[i] = slot{op: opPageEnd}
	}
	p.crossing = slot{}
}

// halfword is the little-endian halfword at byte offset off, which is even.
func (p *page) halfword(off uint64) uint16 {
	b := p.raw[off&(memory.PageSize-2):]
	return uint16(b[0]) | uint16(b[1])<<8
}

// decode fills the slot at byte offset off, and those that follow it up to the first control transfer.
func (p *page) decode(off uint64) {
	for {
		s := &p.slots[off/2]
		if s.op != opUndecoded {
			return // decoded already, or the end of the page
		}
		raw := uint32(p.halfword(off))
		if raw&3 == 3 {
			if off == memory.PageSize-2 {
				*s = slot{op: opCrossing, step: uint8(2 * slotSize), raw: raw}
				return
			}
			raw |= uint32(p.halfword(off+2)) << 16
		}
		*s = lower(raw)
		if near(s, off) || endsBlock(s.op) {
			return
		}
		off += uint64(s.step) >> slotShift
	}
}

// cross is the instruction that crosses the end of the page when the halfword after it is high.
func (p *page) cross(high uint16) *slot {
	if p.crossing.op == opUndecoded || p.crossingHigh != high {
		p.crossing = lower(uint32(p.halfword(memory.PageSize-2)) | uint32(high)<<16)
		p.crossingHigh = high
	}
	return &p.crossing
}

// pages is a bounded set of predecoded pages, found by guest physical address in two steps.
type pages struct {
	ram   *memory.RAM
	base  memory.GPA
	table []*leaf // by (gpa-base)/PageSize; only leaves that hold a page are there
	ring  []*page // every page there is, at most limit: the replacement clock
	limit int
	hand  int
}

const (
	leafShift = 9
	leafPages = 1 << leafShift
)

// leaf finds the pages of 2 MiB of RAM. It is dropped with the last of them, so that a guest that executes a little
// everywhere makes no more leaves than it may have pages.
type leaf struct {
	pages [leafPages]*page
	count int
}

func newPages(ram *memory.RAM, limit int) pages {
	n := (ram.Size()>>memory.PageShift + leafPages - 1) >> leafShift
	return pages{ram: ram, base: ram.Base(), table: make([]*leaf, n), limit: max(limit, 1)}
}

// find is the page at gpa, or nil when there is none yet.
func (ps *pages) find(gpa memory.GPA) *page {
	n := uint64(gpa-ps.base) >> memory.PageShift
	if i := n >> leafShift; i < uint64(len(ps.table)) {
		if l := ps.table[i]; l != nil {
			return l.pages[n%leafPages]
		}
	}
	return nil
}

// put makes p, which nobody uses, the page at gpa. Precondition: gpa is in RAM and has no page.
func (ps *pages) put(p *page, gpa memory.GPA) {
	n := uint64(gpa-ps.base) >> memory.PageShift
	l := ps.table[n>>leafShift]
	if l == nil {
		l = new(leaf)
		ps.table[n>>leafShift] = l
	}
	l.pages[n%leafPages] = p
	l.count++
	p.gpa = gpa
}

// drop makes p one that nobody uses.
func (ps *pages) drop(p *page) {
	n := uint64(p.gpa-ps.base) >> memory.PageShift
	l := ps.table[n>>leafShift]
	l.pages[n%leafPages] = nil
	if l.count--; l.count == 0 {
		ps.table[n>>leafShift] = nil
	}
	p.gpa = 0
}

// enter is the page at gpa with bytes that equal memory as of generation gen; nil when gpa is not RAM.
func (ps *pages) enter(gpa memory.GPA, gen uint64) *page {
	mem, err := ps.ram.Slice(gpa, memory.PageSize)
	if err != nil {
		return nil
	}
	p := ps.find(gpa)
	switch {
	case p == nil:
		p = ps.take()
		ps.put(p, gpa)
		copy(p.raw[:], mem)
		p.clear()
	case p.gen != gen && !bytes.Equal(p.raw[:], mem):
		copy(p.raw[:], mem)
		p.clear()
	}
	p.gen = gen
	p.used = true
	return p
}

// take is a page that nobody uses: a new one, or past the limit the first that the clock finds not entered of late.
func (ps *pages) take() *page {
	if len(ps.ring) < ps.limit {
		p := new(page)
		ps.ring = append(ps.ring, p)
		return p
	}
	for {
		p := ps.ring[ps.hand]
		ps.hand = (ps.hand + 1) % len(ps.ring)
		if !p.used {
			ps.drop(p)
			return p
		}
		p.used = false
	}
}
