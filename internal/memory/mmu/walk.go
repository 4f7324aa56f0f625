// Package mmu translates guest virtual addresses: the page-table walk as pure rules, and the software TLB.
//
// The rules are those of Privileged 1.13 §12.3 to §12.6 (Sv39, Sv48, Sv57) with Svade, Svadu, Svnapot and Svpbmt. They know
// neither CSRs nor RAM: what they need of a hart is a [Regime], what they need of memory is [Memory].
package mmu

import "github.com/vmproject/vm/internal/memory"

// The MODE values of satp (Privileged 1.13 §12.1.11).
const (
	ModeBare = 0
	ModeSv39 = 8
	ModeSv48 = 9
	ModeSv57 = 10
)

// satp fields.
const (
	satpModeShift = 60
	satpASIDShift = 44
	satpPPN       = 1<<44 - 1
)

// Mode is the MODE field of a satp value.
func Mode(satp uint64) uint64 { return satp >> satpModeShift }

// ASID is the ASID field of a satp value, 16 bits.
func ASID(satp uint64) uint64 { return satp >> satpASIDShift & 0xffff }

// ValidMode says whether this implementation has the mode; a write of another one to satp has no effect.
func ValidMode(mode uint64) bool { return mode == ModeBare || mode >= ModeSv39 && mode <= ModeSv57 }

// The bits of a page-table entry (Privileged 1.13 §12.4).
const (
	PTEV = 1 << 0
	PTER = 1 << 1
	PTEW = 1 << 2
	PTEX = 1 << 3
	PTEU = 1 << 4
	PTEG = 1 << 5
	PTEA = 1 << 6
	PTED = 1 << 7

	PTEPPNShift = 10
	PTEPPN      = (1<<44 - 1) << PTEPPNShift

	PTEReserved  = 0x7f << 54
	PTEPBMTShift = 61
	PTEPBMT      = 3 << PTEPBMTShift
	PTEN         = 1 << 63
)

// A NAPOT leaf maps 64 KiB: the only size Svnapot has.
const (
	napotShift = 16
	napotPages = 1<<(napotShift-memory.PageShift) - 1 // mask of the page number inside
	napotCode  = 8                                    // ppn[3:0] that says 64 KiB
)

// Access is what an instruction wants to do at an address.
type Access uint8

const (
	Fetch Access = iota
	Load
	Store // also AMO and SC
)

// Fault is how a walk fails. The hart turns it into an exception of the original access type.
type Fault uint8

const (
	NoFault Fault = iota
	PageFault
	AccessFault // a page-table entry is where the hart may not read or write
)

// Memory is what a walk needs of physical memory. ok is false when the entry is not in RAM or PMP forbids S-mode the
// access; a is a multiple of 8.
type Memory interface {
	LoadPTE(a memory.GPA) (pte uint64, ok bool)
	// CompareAndSwapPTE replaces old by new, atomically with every hart, and says whether it did.
	CompareAndSwapPTE(a memory.GPA, old, new uint64) (swapped, ok bool)
}

// Regime is the state of a hart that decides how it translates.
type Regime struct {
	Satp  uint64
	User  bool // the effective privilege is U, else S
	SUM   bool // mstatus.SUM: S may load from and store to user pages
	MXR   bool // mstatus.MXR: loads may read executable pages
	ADUE  bool // menvcfg.ADUE: the walk sets A and D (Svadu); else it faults (Svade)
	PBMTE bool // menvcfg.PBMTE: Svpbmt
}

// Leaf is the outcome of a walk.
type Leaf struct {
	GPA   memory.GPA // of the address translated, not of the page
	Shift uint       // log2 of the bytes the leaf maps: 12, 16 (NAPOT), 21, 30, 39, 48
	PTE   uint64     // as it is after the walk
}

// Walk translates va. Precondition: the mode of satp is not Bare.
//
// The loop ends: each turn goes one level down or, when another hart changed the entry under a walk that updates A or D,
// reads the same entry again.
func Walk(m Memory, r *Regime, va uint64, acc Access) (Leaf, Fault) {
	levels := int(Mode(r.Satp)) - 5 // Sv39: 3, Sv48: 4, Sv57: 5
	unused := 64 - (memory.PageShift + 9*uint(levels))
	if uint64(int64(va<<unused)>>unused) != va {
		return Leaf{}, PageFault
	}
	table := r.Satp & satpPPN
	for level := levels - 1; level >= 0; {
		shift := memory.PageShift + 9*uint(level)
		at := memory.GPA(table<<memory.PageShift | va>>shift&0x1ff<<3)
		pte, ok := m.LoadPTE(at)
		if !ok {
			return Leaf{}, AccessFault
		}
		if pte&PTEV == 0 || pte&(PTER|PTEW) == PTEW || pte&PTEReserved != 0 {
			return Leaf{}, PageFault
		}
		ppn := pte & PTEPPN >> PTEPPNShift
		if pte&(PTER|PTEX) == 0 {
			if pte&(PTED|PTEA|PTEU|PTEPBMT|PTEN) != 0 {
				return Leaf{}, PageFault // reserved in a pointer to the next level
			}
			table = ppn
			level--
			continue
		}
		if !leafLegal(pte, ppn, level, r.PBMTE) || !allowed(pte, r, acc) {
			return Leaf{}, PageFault
		}
		want := uint64(PTEA)
		if acc == Store {
			want |= PTED
		}
		if pte&want != want {
			if !r.ADUE {
				return Leaf{}, PageFault
			}
			swapped, ok := m.CompareAndSwapPTE(at, pte, pte|want)
			if !ok {
				return Leaf{}, AccessFault
			}
			if !swapped {
				continue
			}
			pte |= want
		}
		if pte&PTEN != 0 {
			shift = napotShift
			ppn &^= napotPages
		}
		inside := va & (1<<shift - 1)
		return Leaf{memory.GPA(ppn<<memory.PageShift | inside), shift, pte}, NoFault
	}
	return Leaf{}, PageFault
}

// leafLegal says whether a leaf is free of reserved encodings and aligned to its size.
func leafLegal(pte, ppn uint64, level int, pbmte bool) bool {
	if pbmt := pte & PTEPBMT >> PTEPBMTShift; pbmt != 0 && (!pbmte || pbmt == 3) {
		return false
	}
	if pte&PTEN != 0 {
		return level == 0 && ppn&napotPages == napotCode
	}
	return ppn&(1<<(9*uint(level))-1) == 0
}

// allowed says whether the permission bits of a leaf let the access through.
func allowed(pte uint64, r *Regime, acc Access) bool {
	user := pte&PTEU != 0
	if user != r.User && (r.User || acc == Fetch || !r.SUM) {
		return false
	}
	switch acc {
	case Fetch:
		return pte&PTEX != 0
	case Load:
		return pte&PTER != 0 || r.MXR && pte&PTEX != 0
	default:
		return pte&PTEW != 0
	}
}

// Rule is what a leaf has to be for generated code to make a TLB entry of it: PTE & Mask == Want. It lets through less than Walk does, and
// nothing else.
type Rule struct{ Mask, Want uint64 }

// never is the rule that no leaf meets.
var never = Rule{Mask: 0, Want: 1}

// rules are those of a view, by Access; in a shared bank only global leaves count.
func rules(v View, shared bool) (r [3]Rule) {
	for acc := range r {
		r[acc] = never
	}
	if v > ViewSSum {
		return r
	}
	base := Rule{
		Mask: PTEV | PTER | PTEA | PTEU | PTEReserved | PTEPBMT | PTEN,
		Want: PTEV | PTER | PTEA,
	}
	if shared {
		base.Mask |= PTEG
		base.Want |= PTEG
	}
	switch v {
	case ViewU:
		base.Want |= PTEU
	case ViewSSum:
		base.Mask &^= PTEU
	}
	with := func(bits uint64) Rule { return Rule{base.Mask | bits, base.Want | bits} }
	r[Load], r[Store] = base, with(PTEW|PTED)
	if v != ViewSSum { // a view of loads and stores only
		r[Fetch] = with(PTEX)
	}
	return r
}
