package sbi

// IPI Extension (SBI 2.0 §7) and RFENCE Extension (§8): what one hart does to others.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory/mmu"
)

var ipiExtension = extension{eid: 0x0073_5049, name: "IPI", functions: []function{{"sbi_send_ipi", sendIPI}}}

func sendIPI(s *SBI, _ *hart.Hart, a args) result {
	return s.mask(a[0], a[1], func(t *hart.Hart) {
		// An interrupt for a stopped hart would wait for its next life.
		if st := s.harts[t.ID].state.get(); st != Stopped && st != StartPending {
			t.SetPending(riscv.IntSSoftware, true)
		}
	})
}

// The fences of the hypervisor extension, functions 3 to 6, are not there: the harts do not have it.
var rfenceExtension = extension{eid: 0x5246_4e43, name: "RFENCE", functions: []function{
	{"sbi_remote_fence_i", func(s *SBI, h *hart.Hart, a args) result {
		return s.fence(h, a[0], a[1], hart.FenceRequest{Instruction: true})
	}},
	{"sbi_remote_sfence_vma", func(s *SBI, h *hart.Hart, a args) result {
		return s.fenceVMA(h, a[0], a[1], a[2], a[3], mmu.Flush{})
	}},
	{"sbi_remote_sfence_vma_asid", func(s *SBI, h *hart.Hart, a args) result {
		return s.fenceVMA(h, a[0], a[1], a[2], a[3], mmu.Flush{ASID: a[4], HasASID: true})
	}},
}}

// fenceVMA adds the range to f: size bytes from start, or everything when both are zero or size is all ones.
func (s *SBI) fenceVMA(h *hart.Hart, mask, base, start, size uint64, f mmu.Flush) result {
	if size != ^uint64(0) && (start|size) != 0 {
		if size != 0 && start+(size-1) < start { // the last byte, which may be that of the address space
			return fail(errInvalidAddress)
		}
		f.VA, f.Size, f.HasVA = start, size, true
	}
	return s.fence(h, mask, base, hart.FenceRequest{Flush: f})
}

// fence returns when every hart of the mask has done what the request says.
func (s *SBI) fence(h *hart.Hart, mask, base uint64, f hart.FenceRequest) result {
	targets := s.harts[h.ID].targets[:0]
	r := s.mask(mask, base, func(t *hart.Hart) { targets = append(targets, t) })
	if r.err == success {
		hart.RemoteFence(h, targets, f)
	}
	return r
}
