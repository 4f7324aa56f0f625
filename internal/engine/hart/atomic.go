package hart

// Atomic memory operations (Unprivileged, "A", "Zacas"). They are the host's own, so they are atomic with every other access of
// any hart or device, and sequentially consistent, which covers aq and rl. RAM only: a device takes an access fault. A misaligned
// one is a misaligned exception, which comes before any fault of the translation.

import (
	"sync/atomic"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// AMOOp is what an AMO does to memory.
type AMOOp uint8

const (
	AMOSwap AMOOp = iota
	AMOAdd
	AMOXor
	AMOAnd
	AMOOr
	AMOMin
	AMOMax
	AMOMinU
	AMOMaxU
)

// Pair is 16 bytes as two words in memory order.
type Pair struct{ Lo, Hi uint64 }

// exclusive finds the RAM for an atomic access of n bytes, or takes the exception.
func (h *Hart) exclusive(va, n uint64, acc mmu.Access) (p unsafe.Pointer, gpa memory.GPA, ok bool) {
	if va&(n-1) != 0 {
		cause := uint64(riscv.CauseStoreMisaligned)
		if acc == mmu.Load {
			cause = riscv.CauseLoadMisaligned
		}
		h.Exception(cause, va)
		return nil, 0, false
	}
	where, fault := h.locate(va, n, acc)
	if fault == mmu.NoFault && where.host == nil {
		fault = mmu.AccessFault
	}
	if fault != mmu.NoFault {
		h.fail(acc, fault, va)
		return nil, 0, false
	}
	return where.host, where.gpa, true
}

// LoadReserved is LR of size 4 or 8 bytes; the value is zero-extended.
func (h *Hart) LoadReserved(va uint64, size int) (v uint64, ok bool) {
	p, gpa, ok := h.exclusive(va, uint64(size), mmu.Load)
	if !ok {
		return 0, false
	}
	if size == 4 {
		v = uint64(atomic.LoadUint32((*uint32)(p)))
	} else {
		v = atomic.LoadUint64((*uint64)(p))
	}
	h.ResValid, h.ResAddr, h.ResValue, h.ResSize = 1, uint64(gpa), v, uint64(size)
	return v, true
}

// StoreConditional is SC of size 4 or 8 bytes. fail is what rd gets: 0 if it stored, 1 if not. The store happens if the hart
// still holds the reservation of the same bytes and they hold the value that LR read; another hart that wrote that value
// back in between goes unnoticed.
func (h *Hart) StoreConditional(va uint64, size int, v uint64) (fail uint64, ok bool) {
	p, gpa, ok := h.exclusive(va, uint64(size), mmu.Store)
	if !ok {
		return 0, false
	}
	held := h.ResValid != 0 && h.ResAddr == uint64(gpa) && h.ResSize == uint64(size)
	h.ResValid = 0
	if !held {
		return 1, true
	}
	if size == 4 {
		held = atomic.CompareAndSwapUint32((*uint32)(p), uint32(h.ResValue), uint32(v))
	} else {
		held = atomic.CompareAndSwapUint64((*uint64)(p), h.ResValue, v)
	}
	if !held {
		return 1, true
	}
	return 0, true
}

// AMO is an AMO of size 4 or 8 bytes; old is zero-extended.
func (h *Hart) AMO(op AMOOp, va uint64, size int, src uint64) (old uint64, ok bool) {
	p, _, ok := h.exclusive(va, uint64(size), mmu.Store)
	if !ok {
		return 0, false
	}
	if size == 4 {
		return uint64(amo32((*uint32)(p), op, uint32(src))), true
	}
	return amo64((*uint64)(p), op, src), true
}

func amo32(p *uint32, op AMOOp, src uint32) uint32 {
	switch op {
	case AMOSwap:
		return atomic.SwapUint32(p, src)
	case AMOAdd:
		return atomic.AddUint32(p, src) - src
	case AMOAnd:
		return atomic.AndUint32(p, src)
	case AMOOr:
		return atomic.OrUint32(p, src)
	}
	for {
		old := atomic.LoadUint32(p)
		v := old
		switch op {
		case AMOXor:
			v ^= src
		case AMOMin:
			v = uint32(min(int32(old), int32(src)))
		case AMOMax:
			v = uint32(max(int32(old), int32(src)))
		case AMOMinU:
			v = min(old, src)
		case AMOMaxU:
			v = max(old, src)
		}
		if atomic.CompareAndSwapUint32(p, old, v) {
			return old
		}
	}
}

func amo64(p *uint64, op AMOOp, src uint64) uint64 {
	switch op {
	case AMOSwap:
		return atomic.SwapUint64(p, src)
	case AMOAdd:
		return atomic.AddUint64(p, src) - src
	case AMOAnd:
		return atomic.AndUint64(p, src)
	case AMOOr:
		return atomic.OrUint64(p, src)
	}
	for {
		old := atomic.LoadUint64(p)
		v := old
		switch op {
		case AMOXor:
			v ^= src
		case AMOMin:
			v = uint64(min(int64(old), int64(src)))
		case AMOMax:
			v = uint64(max(int64(old), int64(src)))
		case AMOMinU:
			v = min(old, src)
		case AMOMaxU:
			v = max(old, src)
		}
		if atomic.CompareAndSwapUint64(p, old, v) {
			return old
		}
	}
}

// CompareSwap is AMOCAS of size 4 or 8 bytes: swap is stored if memory holds cmp. old is zero-extended.
func (h *Hart) CompareSwap(va uint64, size int, cmp, swap uint64) (old uint64, ok bool) {
	p, _, ok := h.exclusive(va, uint64(size), mmu.Store)
	if !ok {
		return 0, false
	}
	if size == 4 {
		for {
			v := atomic.LoadUint32((*uint32)(p))
			if v != uint32(cmp) || atomic.CompareAndSwapUint32((*uint32)(p), v, uint32(swap)) {
				return uint64(v), true
			}
		}
	}
	for {
		v := atomic.LoadUint64((*uint64)(p))
		if v != cmp || atomic.CompareAndSwapUint64((*uint64)(p), v, swap) {
			return v, true
		}
	}
}

// CompareSwap16 is AMOCAS.Q: 16 bytes, aligned to 16.
func (h *Hart) CompareSwap16(va uint64, cmp, swap Pair) (old Pair, ok bool) {
	p, _, ok := h.exclusive(va, 16, mmu.Store)
	if !ok {
		return Pair{}, false
	}
	old.Lo, old.Hi = compareAndSwap16(p, cmp.Lo, cmp.Hi, swap.Lo, swap.Hi)
	return old, true
}

// compareAndSwap16 is the host's 16-byte compare-and-swap, a full barrier. It returns what was there. p is aligned to 16.
//
//go:noescape
func compareAndSwap16(p unsafe.Pointer, oldLo, oldHi, newLo, newHi uint64) (lo, hi uint64)

// Barrier orders every memory access of this goroutine before it with every one after: FENCE of any kind.
//
//go:noescape
func Barrier()
