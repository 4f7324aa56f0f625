package hart

// The fixed-layout part of a hart, and where it lives.

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/memory/mmu"
)

// SinkX is the slot of State.X past the registers where engines send results whose destination is x0, so that no
// instruction tests for it. What it holds means nothing.
const (
	SinkX = 32
	NumX  = 33
)

// State is the architectural state of one hart that engines touch on hot paths, with a fixed layout and no pointers. It
// lives outside the Go heap, page aligned, so that generated code reaches all of it from one base register; offsets come
// from unsafe.Offsetof. Only the goroutine that runs the hart may touch it, with two exceptions: Attention is atomic, and the
// TLB and FenceIGen of a hart that does not run may be touched by the harts that fence it (see attention.go).
type State struct {
	X  [NumX]uint64 // integer registers; X[0] is always zero
	F  [32]uint64   // floating-point registers, NaN-boxed (Unprivileged, "F" §21.2)
	PC uint64       // the address of the instruction being executed, until it completes

	// Attention is non-zero when the engine has to call [Hart.Poll] before the next instruction boundary that it can reach in
	// bounded time. Use sync/atomic.
	Attention uint32
	_         uint32

	Priv   uint64 // current privilege: 0 U, 1 S, 3 M
	Fflags uint64 // fcsr.fflags
	Frm    uint64 // fcsr.frm

	Instret uint64 // instructions retired since reset, whatever minstret and mcountinhibit say
	// FenceIGen counts FENCE.I, local and remote: code predecoded at another count may be stale.
	FenceIGen uint64

	Bank uint64 // index into TLB.Banks of the bank that fetches use now
	// DataBank is the bank that loads and stores use now: it differs from Bank under MPRV, SUM and MXR.
	DataBank uint64

	// The reservation of LR (Unprivileged, "Zalrsc"). An SC succeeds when physical address and size match and memory still
	// holds the value.
	ResValid, ResAddr, ResValue, ResSize uint64

	// Trap CSRs that generated code reads and writes.
	Mstatus, Mepc, Mcause, Mtval, Mtvec, Mscratch uint64 // Mstatus without SD
	Sepc, Scause, Stval, Stvec, Sscratch          uint64
	Satp                                          uint64
	Medeleg, Mideleg, Mie                         uint64

	TLB mmu.TLB
}

// newState maps a State. The host's pages are zero.
//
// The conversion is safe: the mapping is page aligned, which satisfies the alignment of any Go type, and at least as long as
// State; State holds no Go pointers, so that the collector need not see it; and the mapping stays until freeState, after
// which the hart's owner has promised not to use it.
func newState() (*State, []byte, error) {
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(State{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping the state of a hart: %w", err)
	}
	return (*State)(unsafe.Pointer(unsafe.SliceData(mem))), mem, nil
}

func freeState(mem []byte) error { return unix.Munmap(mem) }
