package hart

// Physical memory protection (Privileged 1.13 §3.7). Granularity is 4 bytes.

import (
	"math/bits"

	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Fields of an entry's configuration byte.
const (
	pmpR      = 1 << 0
	pmpW      = 1 << 1
	pmpX      = 1 << 2
	pmpA      = 3 << 3
	pmpLocked = 1 << 7
	pmpFields = pmpR | pmpW | pmpX | pmpA | pmpLocked

	pmpTOR   = 1 << 3
	pmpNA4   = 2 << 3
	pmpNAPOT = 3 << 3

	pmpAddrMask = 1<<54 - 1
)

// pmp is the entries as software sees them, and the ranges they come to.
type pmp struct {
	count int // entries there are
	cfg   [MaxPMP]uint8
	addr  [MaxPMP]uint64

	ranges [MaxPMP]pmpRange // of the entries that match anything, by priority
	active int
}

// pmpRange is [first, last].
type pmpRange struct {
	first, last uint64
	cfg         uint8
}

func (p *pmp) reset() { *p = pmp{count: p.count} }

// pmpNeeds is the permission for each kind of access.
var pmpNeeds = [...]uint8{mmu.Fetch: pmpX, mmu.Load: pmpR, mmu.Store: pmpW}

// check says whether an access to all of [first, last] is allowed, for M-mode or for S and U. partial means that the
// deciding entry covers only a part: such an access fails, but one to fewer bytes may not.
func (p *pmp) check(first, last uint64, acc mmu.Access, machine bool) (allowed, partial bool) {
	for i := range p.ranges[:p.active] {
		r := &p.ranges[i]
		if last < r.first || first > r.last {
			continue
		}
		if first < r.first || last > r.last {
			return false, true
		}
		if machine && r.cfg&pmpLocked == 0 {
			return true, false
		}
		return r.cfg&pmpNeeds[acc] != 0, false
	}
	return machine || p.count == 0, false
}

// update computes ranges from cfg and addr.
func (p *pmp) update() {
	p.active = 0
	for i := range p.count {
		a := p.addr[i]
		r := pmpRange{cfg: p.cfg[i]}
		switch p.cfg[i] & pmpA {
		case pmpTOR:
			lo := uint64(0)
			if i > 0 {
				lo = p.addr[i-1]
			}
			if lo >= a {
				continue
			}
			r.first, r.last = lo<<2, a<<2-1
		case pmpNA4:
			r.first, r.last = a<<2, a<<2+3
		case pmpNAPOT:
			inside := uint64(1)<<(bits.TrailingZeros64(^a)+1) - 1 // in words of 4 bytes
			r.first = a &^ inside << 2
			r.last = r.first + inside<<2 + 3
		default:
			continue
		}
		p.ranges[p.active] = r
		p.active++
	}
}

// open says whether S and U may do everything in every page of [first, last], which is whole pages: for each page check
// allows, with no entry that covers a part of it, every access.
func (p *pmp) open(first, last uint64) bool { return p.count == 0 || p.openFrom(0, first, last) }

// openFrom is open as far as the entries from i on decide. Entry i cuts what it matches out of one range; the total of calls
// is bounded by the square of the number of entries.
func (p *pmp) openFrom(i int, first, last uint64) bool {
	for ; i < p.active; i++ {
		r := &p.ranges[i]
		lo, hi := max(first, r.first), min(last, r.last)
		if lo > hi {
			continue
		}
		const all = pmpR | pmpW | pmpX
		return r.cfg&all == all && lo&memory.PageMask == 0 && hi&memory.PageMask == memory.PageMask &&
			(lo == first || p.openFrom(i+1, first, lo-1)) && (hi == last || p.openFrom(i+1, hi+1, last))
	}
	return false
}

func (p *pmp) locked(i int) bool { return p.cfg[i]&pmpLocked != 0 }

// setAddr writes pmpaddr i, unless the entry is locked or is the bottom of a locked range.
func (p *pmp) setAddr(i int, v uint64) {
	if p.locked(i) || i+1 < p.count && p.locked(i+1) && p.cfg[i+1]&pmpA == pmpTOR {
		return
	}
	p.addr[i] = v & pmpAddrMask
}

// setCfg writes the configuration of entry i, unless it is locked. W without R is reserved and becomes neither; the other
// fields are on their own and take what is written.
func (p *pmp) setCfg(i int, v uint8) {
	if p.locked(i) {
		return
	}
	if v&pmpR == 0 {
		v &^= pmpW
	}
	p.cfg[i] = v & pmpFields
}

// pmpChanged follows every write of PMP CSRs: entries of the TLB have the old permissions folded in.
func (h *Hart) pmpChanged() {
	h.pmp.update()
	h.updatePMPOpen()
	h.TLB.FlushAll()
}

func (h *Hart) updatePMPOpen() {
	h.PMPOpen = 0
	if h.pmp.open(uint64(h.RAM.Base()), uint64(h.RAM.End())-1) {
		h.PMPOpen = 1
	}
	h.updateWalkOpen()
}

// updateWalkOpen follows a change of PMPOpen, and of the bus, which may be filled until the hart runs.
func (h *Hart) updateWalkOpen() {
	h.WalkOpen = 0
	if !h.Bus.Covers(h.RAM.Base(), h.RAM.Size()) {
		h.WalkOpen = h.PMPOpen
	}
}

// OpenPMP gives S- and U-mode all of memory, through entry 0, as firmware does that protects nothing.
func (h *Hart) OpenPMP() {
	if h.pmp.count == 0 {
		return
	}
	h.pmp.setAddr(0, pmpAddrMask)
	h.pmp.setCfg(0, pmpNAPOT|pmpR|pmpW|pmpX)
	h.prepare(h.pmpChanged)
}

// walker is a hart as the page-table walk sees it: entries are read and written as S-mode would (Privileged 1.13 §12.3.2,
// steps 2 and 8). Entries must be in RAM; one that lies under a device over RAM is read from the RAM.
type walker Hart

func (w *walker) LoadPTE(a memory.GPA) (uint64, bool) {
	h := (*Hart)(w)
	if !h.RAM.Contains(a, 8) {
		return 0, false
	}
	if ok, _ := h.pmp.check(uint64(a), uint64(a)+7, mmu.Load, false); !ok {
		return 0, false
	}
	return loadHost(h.hostOf(a), 8), true
}

func (w *walker) CompareAndSwapPTE(a memory.GPA, old, new uint64) (swapped, ok bool) {
	h := (*Hart)(w)
	if allowed, _ := h.pmp.check(uint64(a), uint64(a)+7, mmu.Store, false); !allowed {
		return false, false
	}
	swapped, err := h.RAM.CompareAndSwap64(a, old, new)
	return swapped, err == nil
}
