package hart

// Cache-block operations (Unprivileged, "CMO": Zicbom, Zicboz). Memory is coherent, so management only checks; a block is 64 bytes.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// CacheBlock is the size in bytes of the block that CBO instructions work on.
const CacheBlock = 64

// cboEnabled says whether a field is not zero in menvcfg, for all but M-mode, and in senvcfg, for U-mode. If it is, the
// instruction has trapped.
func (h *Hart) cboEnabled(field uint64) bool {
	if h.Priv < riscv.PrivM && h.csr.menvcfg&field == 0 || h.Priv == riscv.PrivU && h.csr.senvcfg&field == 0 {
		h.illegal()
		return false
	}
	return true
}

// CBOZero zeroes the block that holds va.
func (h *Hart) CBOZero(va uint64) bool {
	if !h.cboEnabled(EnvcfgCBZE) {
		return false
	}
	p, fault := h.locate(va&^(CacheBlock-1), CacheBlock, mmu.Store)
	if fault == mmu.NoFault && p.host == nil {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(mmu.Store, fault, va)
		return false
	}
	clear(unsafe.Slice((*uint64)(p.host), CacheBlock/8))
	return true
}

// CBOClean checks a CBO.CLEAN of the block that holds va.
func (h *Hart) CBOClean(va uint64) bool { return h.cboManage(va, EnvcfgCBCFE) }

// CBOFlush checks a CBO.FLUSH.
func (h *Hart) CBOFlush(va uint64) bool { return h.cboManage(va, EnvcfgCBCFE) }

// CBOInval checks a CBO.INVAL; that it may be done as a flush makes no difference here.
func (h *Hart) CBOInval(va uint64) bool { return h.cboManage(va, EnvcfgCBIE) }

// cboManage: management is allowed where a load or a store is. Every page that may be stored to may be loaded from, so a load
// is what is tried; but the exception is that of a store.
func (h *Hart) cboManage(va, field uint64) bool {
	if !h.cboEnabled(field) {
		return false
	}
	p, fault := h.locate(va&^(CacheBlock-1), CacheBlock, mmu.Load)
	if fault == mmu.NoFault && p.host == nil && !h.Bus.Covers(p.gpa, CacheBlock) {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(mmu.Store, fault, va)
		return false
	}
	return true
}
