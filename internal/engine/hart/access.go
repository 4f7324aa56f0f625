package hart

// The slow paths of loads, stores and fetches: everything that the TLB does not answer.
//
// unsafe. A host pointer is made in one place, hostOf, from an address that RAM.Contains; the RAM mapping is outside the Go heap,
// never moves, and outlives the hart. locate gives out pointers for the bytes it was asked for, which lie in one page.

import (
	"encoding/binary"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// causes is the exception for each way in which an access can fail.
var causes = [...][3]uint64{
	mmu.Fetch: {mmu.PageFault: riscv.CauseFetchPageFault, mmu.AccessFault: riscv.CauseFetchAccess},
	mmu.Load:  {mmu.PageFault: riscv.CauseLoadPageFault, mmu.AccessFault: riscv.CauseLoadAccess},
	mmu.Store: {mmu.PageFault: riscv.CauseStorePageFault, mmu.AccessFault: riscv.CauseStoreAccess},
}

// fail takes the exception of an access that failed at va.
func (h *Hart) fail(acc mmu.Access, f mmu.Fault, va uint64) { h.Exception(causes[acc][f], va) }

// place is where an access goes.
type place struct {
	gpa  memory.GPA
	host unsafe.Pointer // nil where there is no plain RAM, but a device or nothing
	// whole says that the same access to any other byte of the page would be allowed and reach plain RAM too: the TLB has it.
	whole bool
}

// hostOf is the host address of guest RAM at a. Precondition: RAM contains a.
func (h *Hart) hostOf(a memory.GPA) unsafe.Pointer {
	return unsafe.Add(h.host, uint64(a-h.RAM.Base()))
}

// ramAt is the guest physical address that a TLB entry, with the host's page that is at host, maps va to.
func (h *Hart) ramAt(va, host uint64) memory.GPA {
	return h.RAM.Base() + memory.GPA(host-uint64(uintptr(h.host))+va&memory.PageMask)
}

// locate translates an access of n bytes at va that does not cross a page, checks it, and makes a TLB entry if it can.
func (h *Hart) locate(va, n uint64, acc mmu.Access) (place, mmu.Fault) {
	page := va &^ memory.PageMask
	index := h.DataBank
	if acc == mmu.Fetch {
		index = h.Bank
	}
	bank := &h.TLB.Banks[index%mmu.NumBanks]
	gpa, hit := memory.GPA(0), false
	switch acc {
	case mmu.Fetch:
		if e := &bank.Fetch[mmu.FetchIndex(va)]; e.Tag == page {
			gpa, hit = memory.GPA(e.GPA|va&memory.PageMask), true
		}
	case mmu.Load:
		if e := &bank.Load[mmu.DataIndex(va)]; e.Tag == page {
			gpa, hit = h.ramAt(va, e.Host), true
		}
	case mmu.Store:
		if e := &bank.Store[mmu.DataIndex(va)]; e.Tag == page {
			gpa, hit = h.ramAt(va, e.Host), true
		}
	}
	if hit {
		return place{gpa, h.hostOf(gpa), true}, mmu.NoFault
	}

	view := mmu.View(h.TLB.Keys[index%mmu.NumBanks].View)
	gpa = memory.GPA(va)
	shift := uint(memory.PageShift)
	if view.Translated() {
		leaf, fault := h.walk(va, acc, view)
		if fault != mmu.NoFault {
			return place{}, fault
		}
		gpa, shift = leaf.GPA, leaf.Shift
		if leaf.PTE&mmu.PTEG == 0 && h.TLB.Keys[index%mmu.NumBanks].Shared != 0 {
			h.TLB.Privatize(h.Satp)
			h.updateBanks()
			if index = h.DataBank; acc == mmu.Fetch {
				index = h.Bank
			}
			bank = &h.TLB.Banks[index%mmu.NumBanks]
		}
	}

	base := gpa &^ memory.PageMask
	allowed, partial := h.pmp.check(uint64(base), uint64(base)|memory.PageMask, acc, view == mmu.ViewM)
	if partial {
		allowed, _ = h.pmp.check(uint64(gpa), uint64(gpa)+n-1, acc, view == mmu.ViewM)
	}
	if !allowed {
		return place{}, mmu.AccessFault
	}
	if !h.RAM.Contains(base, memory.PageSize) {
		return place{gpa: gpa}, mmu.NoFault
	}
	if partial || h.Bus.Covers(base, memory.PageSize) {
		if h.Bus.Covers(gpa, n) {
			return place{gpa: gpa}, mmu.NoFault
		}
		if acc == mmu.Store {
			h.noteStore(gpa)
		}
		return place{gpa, h.hostOf(gpa), false}, mmu.NoFault
	}

	if shift > memory.PageShift {
		bank.NoteBig(va, shift)
	}
	host := uint64(uintptr(h.hostOf(base)))
	switch acc {
	case mmu.Fetch:
		bank.FillFetch(page, uint64(base))
	case mmu.Load:
		bank.FillLoad(page, host)
	case mmu.Store:
		h.noteStore(gpa)
		bank.FillStore(page, host)
	}
	h.Stats.Fills++
	return place{gpa, h.hostOf(gpa), true}, mmu.NoFault
}

// noteStore comes before a store to the page of gpa that had no entry. Whoever watches a page of code drops every hart's entries for
// stores to it (FenceRequest.HasUnstore), so that the first one afterwards comes by here; then the page counts as changed, and an
// entry spares the next ones the way.
func (h *Hart) noteStore(gpa memory.GPA) {
	if c := h.RAM.Code(); c.Asked(gpa) {
		c.Note(gpa, 1)
	}
}

// walk looks va up in the page tables of satp.
func (h *Hart) walk(va uint64, acc mmu.Access, view mmu.View) (mmu.Leaf, mmu.Fault) {
	h.Stats.Walks++
	r := h.regime(view)
	return mmu.Walk((*walker)(h), &r, va, acc)
}

// regime is how the page tables of satp are walked for a view.
func (h *Hart) regime(view mmu.View) mmu.Regime {
	return mmu.Regime{
		Satp:  h.Satp,
		User:  view&^mmu.ViewMXR == mmu.ViewU,
		SUM:   view&^mmu.ViewMXR == mmu.ViewSSum,
		MXR:   view&mmu.ViewMXR != 0,
		ADUE:  h.csr.menvcfg&EnvcfgADUE != 0,
		PBMTE: h.csr.menvcfg&EnvcfgPBMTE != 0,
	}
}

// Load reads size bytes (1, 2, 4, 8) at va, zero-extended: RAM or a device, aligned or, in RAM, misaligned and even over
// two pages, both of which are checked before anything is read. A misaligned access to a device is an access fault, which unlike
// a misaligned exception nobody will emulate in pieces (Privileged 1.13 §3.6.3).
func (h *Hart) Load(va uint64, size int) (v uint64, ok bool) {
	n := uint64(size)
	if va&(n-1) != 0 {
		return h.loadMisaligned(va, n)
	}
	p, fault := h.locate(va, n, mmu.Load)
	if fault == mmu.NoFault {
		if p.host != nil {
			return loadHost(p.host, n), true
		}
		if v, ok = h.Bus.Load(p.gpa, size); ok {
			return v, true
		}
		fault = mmu.AccessFault
	}
	h.fail(mmu.Load, fault, va)
	return 0, false
}

// Store writes the low size bytes of v at va; the rules are those of Load.
func (h *Hart) Store(va uint64, size int, v uint64) bool {
	n := uint64(size)
	if va&(n-1) != 0 {
		return h.storeMisaligned(va, n, v)
	}
	p, fault := h.locate(va, n, mmu.Store)
	if fault == mmu.NoFault {
		if p.host != nil {
			storeHost(p.host, n, v)
			return true
		}
		if h.Bus.Store(p.gpa, size, v) {
			return true
		}
		fault = mmu.AccessFault
	}
	h.fail(mmu.Store, fault, va)
	return false
}

// span finds the one or two pieces of a misaligned access to RAM. The pieces' lengths sum to n; second is nil when one is enough.
func (h *Hart) span(va, n uint64, acc mmu.Access) (first, second []byte, ok bool) {
	head := min(n, memory.PageSize-va&memory.PageMask)
	p, fault := h.locate(va, head, acc)
	if fault == mmu.NoFault && p.host == nil {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(acc, fault, va)
		return nil, nil, false
	}
	first = unsafe.Slice((*byte)(p.host), head)
	if head == n {
		return first, nil, true
	}
	p, fault = h.locate(va+head, n-head, acc)
	if fault == mmu.NoFault && p.host == nil {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(acc, fault, va+head)
		return nil, nil, false
	}
	return first, unsafe.Slice((*byte)(p.host), n-head), true
}

func (h *Hart) loadMisaligned(va, n uint64) (uint64, bool) {
	first, second, ok := h.span(va, n, mmu.Load)
	if !ok {
		return 0, false
	}
	var b [8]byte
	copy(b[copy(b[:], first):], second)
	return binary.LittleEndian.Uint64(b[:]), true
}

func (h *Hart) storeMisaligned(va, n, v uint64) bool {
	first, second, ok := h.span(va, n, mmu.Store)
	if !ok {
		return false
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	copy(second, b[copy(first, b[:]):])
	return true
}

// FetchPage translates va for instruction fetch, and fills the fetch entry of its page. gpa is that of the page. whole says
// that all of the page may be fetched and cached; without it only the two bytes at va are known to be allowed, and the
// engine gets each parcel from Fetch16.
func (h *Hart) FetchPage(va uint64) (gpa memory.GPA, whole, ok bool) {
	p, ok := h.fetch(va)
	return p.gpa &^ memory.PageMask, p.whole, ok
}

// Fetch16 reads the instruction parcel at va, which is even.
func (h *Hart) Fetch16(va uint64) (v uint16, ok bool) {
	p, ok := h.fetch(va)
	if !ok {
		return 0, false
	}
	return uint16(loadHost(p.host, 2)), true
}

// fetch locates the parcel at va, or takes the exception. Devices do not execute.
func (h *Hart) fetch(va uint64) (place, bool) {
	p, fault := h.locate(va, 2, mmu.Fetch)
	if fault == mmu.NoFault && p.host == nil {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(mmu.Fetch, fault, va)
		return place{}, false
	}
	return p, true
}

// rawAtPC is the bits of the instruction at PC, or 0 when they cannot be had: what an illegal instruction leaves in xtval.
func (h *Hart) rawAtPC() uint32 {
	raw := uint32(0)
	for i := range uint64(2) {
		p, fault := h.locate(h.PC+2*i, 2, mmu.Fetch)
		if fault != mmu.NoFault || p.host == nil {
			return 0
		}
		raw |= uint32(loadHost(p.host, 2)) << (16 * i)
		if raw&3 != 3 {
			break
		}
	}
	return raw
}

// loadHost reads n bytes (1, 2, 4, 8) with one access of the host. Precondition: p is aligned to n.
func loadHost(p unsafe.Pointer, n uint64) uint64 {
	switch n {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

// storeHost writes the low n bytes of v with one access of the host. Precondition: p is aligned to n.
func storeHost(p unsafe.Pointer, n, v uint64) {
	switch n {
	case 1:
		*(*uint8)(p) = uint8(v)
	case 2:
		*(*uint16)(p) = uint16(v)
	case 4:
		*(*uint32)(p) = uint32(v)
	default:
		*(*uint64)(p) = v
	}
}
