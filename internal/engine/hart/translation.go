package hart

// Which translations are in force, and the instructions that order them (Privileged 1.13 §12.2.1, §12.6 "Svinval").

import (
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// updateBanks makes Bank and DataBank those of the present privilege, mstatus and satp. Fetches have one view for S-mode
// whatever SUM and MXR say, which do not concern them, so that code that toggles SUM keeps its fetch entries.
func (h *Hart) updateBanks() {
	fetch := h.view(h.Priv)
	data := fetch
	ms := h.Mstatus
	if ms&(MstatusMPRV|MstatusSUM|MstatusMXR) != 0 {
		if ms&MstatusMPRV != 0 {
			data = h.view(ms & MstatusMPP >> mppShift)
		}
		if data.Translated() {
			if data == mmu.ViewS && ms&MstatusSUM != 0 {
				data = mmu.ViewSSum
			}
			if ms&MstatusMXR != 0 {
				data |= mmu.ViewMXR
			}
		}
	}
	h.Bank = h.TLB.Select(h.Satp, fetch, mmu.NoBank)
	h.DataBank = h.TLB.Select(h.Satp, data, h.Bank)
}

// updateWalkFlags follows a change of menvcfg.
func (h *Hart) updateWalkFlags() {
	h.WalkFlags = 0
	if h.csr.menvcfg&EnvcfgADUE != 0 {
		h.WalkFlags |= WalkADUE
	}
	if h.csr.menvcfg&EnvcfgPBMTE != 0 {
		h.WalkFlags |= WalkPBMTE
	}
}

// view is that of a privilege with SUM and MXR clear.
func (h *Hart) view(priv uint64) mmu.View {
	switch {
	case priv == riscv.PrivM:
		return mmu.ViewM
	case mmu.Mode(h.Satp) == mmu.ModeBare:
		return mmu.ViewBare
	case priv == riscv.PrivS:
		return mmu.ViewS
	}
	return mmu.ViewU
}

// SFENCE is SFENCE.VMA and SINVAL.VMA. hasVA and hasASID say that rs1 and rs2 are not x0.
func (h *Hart) SFENCE(va, asid uint64, hasVA, hasASID bool) bool {
	if h.Priv == riscv.PrivU || h.Priv == riscv.PrivS && h.Mstatus&MstatusTVM != 0 {
		h.illegal()
		return false
	}
	h.TLB.Flush(mmu.Flush{VA: va, ASID: asid, HasVA: hasVA, HasASID: hasASID})
	return true
}

// SFenceOrder is SFENCE.W.INVAL and SFENCE.INVAL.IR: SFENCE orders everything already, so only privilege is left.
func (h *Hart) SFenceOrder() bool {
	if h.Priv == riscv.PrivU {
		h.illegal()
		return false
	}
	return true
}

// SetPriv changes the privilege, for firmware that starts or resumes the hart.
func (h *Hart) SetPriv(priv uint64) {
	h.prepare(func() {
		h.Priv = priv
		h.updateBanks()
	})
	h.checkInterrupts()
}
