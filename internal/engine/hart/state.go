package hart

// The fixed-layout part of a hart. Where it lives is in window.go.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
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
	Hot
	_   [(memory.PageSize - unsafe.Sizeof(Hot{})%memory.PageSize) % memory.PageSize]byte
	TLB mmu.TLB // last, page aligned: its banks are mapped one by one
}

// The banks must start a page: this fails to compile otherwise.
var _ [0]struct{} = [(unsafe.Offsetof(State{}.TLB) + unsafe.Offsetof(mmu.TLB{}.Banks)) % memory.PageSize]struct{}{}

// Hot is what comes before the TLB in a State, and in every window on it.
type Hot struct {
	// First what generated code names most, where an instruction has one byte for the distance: these two, the translator's, and X up to t4.
	PageBase  uint64 // the virtual address of the page that is executed
	JumpCache uint64 // the host address of the present address space's

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

	// What generated code needs to decide without leaving, kept up to date by this package.

	// InterruptWaiting is non-zero when an interrupt that mie enables is pending, whatever mstatus says, as of when the hart
	// last looked. What has become pending since is in Attention.
	InterruptWaiting uint64
	// PMPOpen is 1 when PMP lets S- and U-mode read, write and execute all of RAM.
	PMPOpen uint64
	// WalkOpen is 1 when, moreover, no device lies over RAM: what a leaf lets through can be reached.
	WalkOpen  uint64
	WalkFlags uint64 // how page tables are walked: WalkADUE, WalkPBMTE
	// Guest RAM: its guest physical address, its bytes, its host address.
	RAMBase, RAMSize, RAMHost uint64
	CodeMap                   uint64 // host address of the RAM's memory.CodeMap
	// Windows are the host addresses that Window gives; zero before its first call.
	Windows [mmu.NumBanks]uint64

	// The rest belongs to the translator, and this package does not touch it.

	// Tables is the host address of an array of the tables of translations, by page of RAM; Walks counts what generated code walked.
	Tables, Walks                            uint64
	Mirror                                   uint64 // the base of the mirror in use, where no instruction makes it that of a segment; 0: none yet
	InstretEnd                               uint64
	Budget, Refill                           int64
	ExitArg, ExitKind                        uint64
	FetchBank                                uint64 // host address of the bank that fetches use now
	Target                                   uint64
	HostSP                                   uint64
	HostMXCSR, GuestMXCSR                    uint32
	FPFast                                   uint64
	TimeFast, TimeMul, TimeOffset, TimeFence uint64 // TimeFence: there are other harts
	ShadowSP, JumpCaches                     [mmu.NumBanks]uint64
	Scratch                                  [16]uint64
	Counters                                 [32]uint64
	Current                                  uint64       // host address of TLB.Current
	Samples                                  int64        // how often the budget is still refilled before the hart says where it is
	Save                                     [32]uint64   // registers of a region put aside
	Spill                                    [40]uint64   // values of a region that have no register
	A2                                       uint64       // X[12], where a region puts it aside: its own place is another's then
	Sunk                                     [NumX]uint64 // values that are computed on the way out
	ZeroFast                                 uint64       // as Hart.ZeroAllowed says
	Raw                                      [32]uint64   // the host's registers where an access has faulted: general ones, then SSE ones
	Fault                                    Fault
	Counted                                  [8]uint64 // loads and stores, where generated code counts them: amd64.Count
}

// Fault is what the translator's handler of faults writes down: where one was in generated code, what was accessed, and the host's error code.
type Fault struct{ PC, Address, Code uint64 }

// The bits of State.WalkFlags.
const (
	WalkADUE  = 1 << iota // menvcfg.ADUE: walks set A and D
	WalkPBMTE             // menvcfg.PBMTE: Svpbmt
)
