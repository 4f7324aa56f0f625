package hart

// What a translator asks of a hart, beside what the interpreter does.

import (
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Fill makes the TLB entry for a load or a store at va, and says whether there is one now that was not there before: else
// the access faults as it says, if it is not speculative, or is not to plain RAM, or crosses a page. A speculative one leaves no trace but the entry: the access may not happen, so that
// accessed and dirty bits have to be set already, and a store to a watched page is not noted: where that forbids the entry, f is PageFault.
func (h *Hart) Fill(va uint64, acc mmu.Access, speculative bool) (filled bool, f mmu.Fault) {
	bank := &h.TLB.Banks[h.DataBank%mmu.NumBanks]
	e := &bank.Load[mmu.DataIndex(va)]
	if acc == mmu.Store {
		e = &bank.Store[mmu.DataIndex(va)]
	}
	if e.Tag == va&^memory.PageMask {
		return false, mmu.NoFault
	}
	if speculative {
		gpa := memory.GPA(va)
		if view := mmu.View(h.TLB.Keys[h.DataBank%mmu.NumBanks].View); view.Translated() {
			r := h.regime(view)
			r.ADUE = false
			leaf, fault := mmu.Walk((*walker)(h), &r, va, acc)
			if fault != mmu.NoFault {
				return false, mmu.PageFault
			}
			gpa = leaf.GPA
		}
		if acc == mmu.Store && h.RAM.Code().Asked(gpa) {
			return false, mmu.PageFault
		}
	}
	p, fault := h.locate(va, 1, acc)
	return fault == mmu.NoFault && p.whole, fault
}

// PageFault takes the exception of an access to va, by the instruction at PC.
func (h *Hart) PageFault(va uint64, acc mmu.Access) { h.fail(acc, mmu.PageFault, va) }

// CheckInterrupts raises attention if a pending interrupt can be taken: generated code has changed what decides that.
func (h *Hart) CheckInterrupts() { h.checkInterrupts() }

// ZeroAllowed says which privileges may execute CBO.ZERO: bit 1<<privilege each (Unprivileged, "Zicboz").
func (h *Hart) ZeroAllowed() uint64 {
	ok := uint64(1 << riscv.PrivM)
	if h.csr.menvcfg&EnvcfgCBZE != 0 {
		ok |= 1 << riscv.PrivS
		if h.csr.senvcfg&EnvcfgCBZE != 0 {
			ok |= 1 << riscv.PrivU
		}
	}
	return ok
}

// TimeReadable says which privileges may read the time CSR: bit 1<<privilege each (Privileged 1.13 §3.1.11).
func (h *Hart) TimeReadable() uint64 {
	ok := uint64(1 << riscv.PrivM)
	if h.csr.mcounteren&counterTM != 0 {
		ok |= 1 << riscv.PrivS
		if h.csr.scounteren&counterTM != 0 {
			ok |= 1 << riscv.PrivU
		}
	}
	return ok
}

// UserPage is the page of RAM that U-mode, in the present address space, reaches by an access to va, and the logarithm of the size of the leaf that maps
// it. ok says that all of the page may be accessed like that without anything to be noted first: accessed and dirty bits are set, and a
// store changes no watched page. Nothing is changed.
func (h *Hart) UserPage(va uint64, acc mmu.Access) (gpa memory.GPA, shift uint, ok bool) {
	r := h.regime(mmu.ViewU)
	r.ADUE = false
	leaf, fault := mmu.Walk((*walker)(h), &r, va, acc)
	if fault != mmu.NoFault {
		return 0, 0, false
	}
	gpa = leaf.GPA &^ memory.PageMask
	allowed, partial := h.pmp.check(uint64(gpa), uint64(gpa)|memory.PageMask, acc, false)
	if !allowed || partial || !h.RAM.Contains(gpa, memory.PageSize) || h.Bus.Covers(gpa, memory.PageSize) {
		return 0, 0, false
	}
	return gpa, leaf.Shift, acc != mmu.Store || !h.RAM.Code().Asked(gpa)
}

// UserBlock says that U-mode may load from all of the n bytes of physical memory at gpa and store there, if page tables lead there: they are plain RAM, and no page is
// watched.
func (h *Hart) UserBlock(gpa memory.GPA, n uint64) bool {
	for _, acc := range [...]mmu.Access{mmu.Load, mmu.Store} {
		if allowed, partial := h.pmp.check(uint64(gpa), uint64(gpa)+n-1, acc, false); !allowed || partial {
			return false
		}
	}
	return h.RAM.Contains(gpa, n) && !h.Bus.Covers(gpa, n) && !h.RAM.Code().AnyAsked(gpa, n)
}
