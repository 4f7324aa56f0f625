// Package amd64 is the translator's back end for x86-64 hosts: blocks of the intermediate form in, machine code out.
//
//	registers.go   where guest registers live
//	backend.go     a block: its entries, its instructions, its exits
//	integer.go, memory.go, control.go, atomic.go, system.go, float.go   instructions by kind
//	routines.go    what blocks share: the way in and out, misses, look-ups
//
// # Registers
//
// A few guest registers live in host registers in all generated code, the same ones everywhere, so that nothing is loaded or
// stored where blocks meet. The rest live in hart.State and are operands in memory. RBP points into the state's window of the
// current data bank (see hart.Window): the state is at the same distance from it in every window, and so is the bank, so that
// changing the address space of loads and stores is a change of RBP. RSP is the shadow stack. R15 counts down the
// instructions until the hart has to look at the world.
package amd64

import (
	"unsafe"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Fixed registers. Scratch registers hold nothing across intermediate instructions, but for group.
const (
	base   = asm.RBP
	budget = asm.R15
	tmp    = asm.RAX // an address, a result
	tmp2   = asm.RCX
	group  = asm.RDX // host address that Grouped accesses start from; scratch otherwise
)

const unpinned = 0xff

// pins are the integer registers that live in host registers: those that compilers use most. Low host registers have no
// advantage, as all operations are of 64 bits.
var pins = withPlaces([ir.NumInt]uint8{
	0: unpinned, 1: unpinned, 3: unpinned, 4: unpinned, 5: unpinned, 6: unpinned, 7: unpinned,
	2:  uint8(asm.RBX), // sp
	8:  uint8(asm.R12), // s0
	9:  uint8(asm.R13), // s1
	10: uint8(asm.RDI), // a0
	11: uint8(asm.RSI), // a1
	12: uint8(asm.R8),  // a2
	13: uint8(asm.R9),  // a3
	14: uint8(asm.R10), // a4
	15: uint8(asm.R11), // a5
	16: unpinned, 17: unpinned,
	18: uint8(asm.R14), // s2
	19: unpinned, 20: unpinned, 21: unpinned, 22: unpinned, 23: unpinned, 24: unpinned, 25: unpinned,
	26: unpinned, 27: unpinned, 28: unpinned, 29: unpinned, 30: unpinned, 31: unpinned,
})

// withPlaces adds the variables that stand for places in regions.
func withPlaces(guest [ir.NumInt]uint8) (p [256]uint8) {
	for i := range p {
		p[i] = unpinned
	}
	copy(p[:], guest[:])
	for r := range 16 {
		p[int(varReg)+r] = uint8(r)
	}
	return p
}

// floatPins are the floating-point registers that live in SSE registers: fa0 to fa7, ft0 to ft4.
var floatPins = func() (p [256 - ir.NumInt]uint8) {
	for i := range p {
		p[i] = unpinned
	}
	for i := range 8 {
		p[10+i] = uint8(asm.XMM3) + uint8(i)
	}
	for i := range 5 {
		p[i] = uint8(asm.XMM11) + uint8(i)
	}
	for i := range 16 {
		p[int(varXMM)-ir.NumInt+i] = uint8(i) // the variables that stand for places in regions
	}
	return p
}()

// Scratch SSE registers.
const (
	ftmp  = asm.XMM0
	ftmp2 = asm.XMM1
	ftmp3 = asm.XMM2
)

// bias is where in the state RBP points: what comes first there, the integer registers up to t4 among it, is within reach of a displacement of one byte. It is no multiple of
// 8, so that reach is where it has to be.
const bias = 124

// reach is where the bits are that no address in a mirror has, from RBP: in the place of a2, which lives in a host register, while generated code runs. Its distance is
// an instruction of the host's, too; see mirror.go.
const (
	reach   = int64(unsafe.Offsetof(hart.State{}.X)) + 8*reachOf - bias
	reachOf = 12
	opHLT   = 0xF4
)

var _ [0]struct{} = [reach - (opHLT - 256)]struct{}{}

// Offsets from RBP.
func disp(off uintptr) int32 { return int32(off) - bias }

var (
	offX         = disp(unsafe.Offsetof(hart.State{}.X))
	offF         = disp(unsafe.Offsetof(hart.State{}.F))
	offPC        = disp(unsafe.Offsetof(hart.State{}.PC))
	offAttention = disp(unsafe.Offsetof(hart.State{}.Attention))
	offPriv      = disp(unsafe.Offsetof(hart.State{}.Priv))
	offFrm       = disp(unsafe.Offsetof(hart.State{}.Frm))
	offBank      = disp(unsafe.Offsetof(hart.State{}.Bank))
	offDataBank  = disp(unsafe.Offsetof(hart.State{}.DataBank))
	offMstatus   = disp(unsafe.Offsetof(hart.State{}.Mstatus))
	offSepc      = disp(unsafe.Offsetof(hart.State{}.Sepc))
	offScause    = disp(unsafe.Offsetof(hart.State{}.Scause))
	offStval     = disp(unsafe.Offsetof(hart.State{}.Stval))
	offStvec     = disp(unsafe.Offsetof(hart.State{}.Stvec))
	offSscratch  = disp(unsafe.Offsetof(hart.State{}.Sscratch))
	offSatp      = disp(unsafe.Offsetof(hart.State{}.Satp))
	offMedeleg   = disp(unsafe.Offsetof(hart.State{}.Medeleg))
	offResValid  = disp(unsafe.Offsetof(hart.State{}.ResValid))
	offResAddr   = disp(unsafe.Offsetof(hart.State{}.ResAddr))
	offResValue  = disp(unsafe.Offsetof(hart.State{}.ResValue))
	offResSize   = disp(unsafe.Offsetof(hart.State{}.ResSize))

	offPageBase   = disp(unsafe.Offsetof(hart.State{}.PageBase))
	offInstretEnd = disp(unsafe.Offsetof(hart.State{}.InstretEnd))
	offBudget     = disp(unsafe.Offsetof(hart.State{}.Budget))
	offRefill     = disp(unsafe.Offsetof(hart.State{}.Refill))
	offExitArg    = disp(unsafe.Offsetof(hart.State{}.ExitArg))
	offJumpCache  = disp(unsafe.Offsetof(hart.State{}.JumpCache))
	offFetchBank  = disp(unsafe.Offsetof(hart.State{}.FetchBank))
	offTarget     = disp(unsafe.Offsetof(hart.State{}.Target))
	offHostSP     = disp(unsafe.Offsetof(hart.State{}.HostSP))
	offGuestMXCSR = disp(unsafe.Offsetof(hart.State{}.GuestMXCSR))
	offFPFast     = disp(unsafe.Offsetof(hart.State{}.FPFast))
	offWaiting    = disp(unsafe.Offsetof(hart.State{}.InterruptWaiting))
	offShadowSP   = disp(unsafe.Offsetof(hart.State{}.ShadowSP))
	offJumpCaches = disp(unsafe.Offsetof(hart.State{}.JumpCaches))
	offWindows    = disp(unsafe.Offsetof(hart.State{}.Windows))
	offScratch    = disp(unsafe.Offsetof(hart.State{}.Scratch))
	offCounters   = disp(unsafe.Offsetof(hart.State{}.Counters))
	offRAMBase    = disp(unsafe.Offsetof(hart.State{}.RAMBase))
	offRAMSize    = disp(unsafe.Offsetof(hart.State{}.RAMSize))
	offRAMHost    = disp(unsafe.Offsetof(hart.State{}.RAMHost))
	offWalkOpen   = disp(unsafe.Offsetof(hart.State{}.WalkOpen))
	offWalks      = disp(unsafe.Offsetof(hart.State{}.Walks))
	offTables     = disp(unsafe.Offsetof(hart.State{}.Tables))
	offMirror     = disp(unsafe.Offsetof(hart.State{}.Mirror))
	offCodeMap    = disp(unsafe.Offsetof(hart.State{}.CodeMap))
	offTimeFast   = disp(unsafe.Offsetof(hart.State{}.TimeFast))
	offZeroFast   = disp(unsafe.Offsetof(hart.State{}.ZeroFast))
	offTimeFence  = disp(unsafe.Offsetof(hart.State{}.TimeFence))
	offTimeMul    = disp(unsafe.Offsetof(hart.State{}.TimeMul))
	offTimeOffset = disp(unsafe.Offsetof(hart.State{}.TimeOffset))

	offCurrent = disp(unsafe.Offsetof(hart.State{}.Current))
	offSamples = disp(unsafe.Offsetof(hart.State{}.Samples))
	offSave    = disp(unsafe.Offsetof(hart.State{}.Save))
	offSunk    = disp(unsafe.Offsetof(hart.State{}.Sunk))
	offSpill   = disp(unsafe.Offsetof(hart.State{}.Spill))
	offA2      = disp(unsafe.Offsetof(hart.State{}.A2))

	offCounted = disp(unsafe.Offsetof(hart.State{}.Counted))

	offRaw     = disp(unsafe.Offsetof(hart.State{}.Raw))
	offFault   = disp(unsafe.Offsetof(hart.State{}.Fault))
	offFaultPC = offFault + int32(unsafe.Offsetof(hart.Fault{}.PC))

	offTLB     = disp(unsafe.Offsetof(hart.State{}.TLB))
	offLoads   = offTLB + int32(unsafe.Offsetof(mmu.Bank{}.Load))  // of the window's bank
	offStores  = offTLB + int32(unsafe.Offsetof(mmu.Bank{}.Store)) // of the window's bank
	bankFetch  = int32(unsafe.Offsetof(mmu.Bank{}.Fetch))          // from FetchBank
	bankExec   = int32(unsafe.Offsetof(mmu.Bank{}.Exec))
	bankLow    = int32(unsafe.Offsetof(mmu.Bank{}.ExecLow))
	bankHigh   = int32(unsafe.Offsetof(mmu.Bank{}.ExecHigh))
	fetchTag   = int32(unsafe.Offsetof(mmu.FetchEntry{}.Tag))
	fetchTable = int32(unsafe.Offsetof(mmu.FetchEntry{}.Table))
	fetchGPA   = int32(unsafe.Offsetof(mmu.FetchEntry{}.GPA))
	bankBig    = int32(unsafe.Offsetof(mmu.Bank{}.Big))
	bankAnyBig = int32(unsafe.Offsetof(mmu.Bank{}.AnyBig))
	bankFilled = int32(unsafe.Offsetof(mmu.Bank{}.Filled))
	bankUsed   = int32(unsafe.Offsetof(mmu.Bank{}.Used))
	bankMirror = int32(unsafe.Offsetof(mmu.Bank{}.Mirror))
	bankTables = int32(unsafe.Offsetof(mmu.Bank{}.Tables))
	bankRules  = int32(unsafe.Offsetof(mmu.Bank{}.Rules))
	ruleMask   = int32(unsafe.Offsetof(mmu.Rule{}.Mask))
	ruleWant   = int32(unsafe.Offsetof(mmu.Rule{}.Want))
)

// state is a field of the state.
func state(off int32) asm.Mem { return asm.At(base, off) }

// slot is the place of a variable in the state.
func slot(v ir.Var) asm.Mem { return slotAt(v, 0) }

// slotAt is the place of a byte of it.
func slotAt(v ir.Var, byteOff int32) asm.Mem {
	at := offX + 8*int32(v)
	switch {
	case v.IsFloat():
		at = offF + 8*int32(v-ir.NumInt)
	case v >= varSpill:
		at = offSpill + 8*int32(v-varSpill)
	case v >= varF:
		at = offF + 8*int32(v-varF)
	case v == reachOf, v == varX+reachOf:
		at = offA2
	case v >= varX:
		at = offX + 8*int32(v-varX)
	}
	return asm.At(base, at+byteOff)
}

// pinned is the host register of an integer variable, if it has one.
func pinned(v ir.Var) (asm.Reg, bool) {
	r := pins[v]
	return asm.Reg(r), r != unpinned
}

// pinnedFloat is the SSE register of a floating-point variable, if it has one.
func pinnedFloat(v ir.Var) (asm.XMM, bool) {
	r := floatPins[v-ir.NumInt]
	return asm.XMM(r), r != unpinned
}
