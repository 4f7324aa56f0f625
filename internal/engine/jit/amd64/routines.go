package amd64

// Routines: what all generated code of a machine shares, made once. Blocks jump to them or call them; what a routine expects in
// registers is said at each. The code of a block that calls one has pushed nothing but what a frame of the shadow stack is made of, so that
// a routine may leave generated code at any point.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mirror"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Kind says why generated code was left. State.PC is the address of the next instruction, but where said otherwise.
type Kind uint64

const (
	KindPoll  Kind = iota // the budget is used up, or something asks for attention
	KindStep              // the interpreter has to execute the instruction at PC
	KindFind              // there is no code known for PC
	KindLink              // likewise; a jump can be completed: State.ExitArg is the address of its [Link]
	KindCheck             // an interrupt may have become deliverable
	// KindMissLoad and KindMissStore: the TLB has no entry for the address in State.ExitArg. State.Scratch[0] is the instruction's
	// [Place]; PC is stale. Generated code is entered again at Routines.Resume when there is an entry.
	KindMissLoad
	KindMissStore
	// KindHost: Go has to execute the instruction State.ExitArg, whose offset in the page is in State.Scratch[0]; PC is stale. Routines.Resume
	// continues behind it.
	KindHost
	// KindFault: an access to the mirror has faulted, or halted before it, as State.Fault says. Routines.Retry goes on at State.Fault.PC; the rest of the state is stale.
	KindFault
	NumKinds
)

// Link says what a jump that can be completed leads to. It lies where State.ExitArg points, in generated code, behind the place of the jump's
// displacement.
type Link uint32

const (
	linkOffset   = memory.PageMask
	linkPlain    = 1 << memory.PageShift
	linkDistance = memory.PageShift + 1
)

func makeLink(target int32, plain bool, distance int) Link {
	l := Link(target) | Link(distance)<<linkDistance
	if plain {
		l |= linkPlain
	}
	return l
}

// Plain asks for a block without groups.
func (l Link) Plain() bool { return l&linkPlain != 0 }

// Distance is that from the displacement to be changed to the link.
func (l Link) Distance() uint32 { return uint32(l >> linkDistance) }

// Place packs where an access is.
type Place uint64

const (
	placeShift = 16
	placeGroup = 1 << 31
)

// Off is the offset of the instruction in its page.
func (p Place) Off() uint64 { return uint64(p) & 0xffff }

// Retired is how many instructions have retired that the budget does not know of yet.
func (p Place) Retired() int64 { return int64(p) >> placeShift & 0x7fff }

// Group says that the access is that of a group: when its entry cannot be made, the translation without groups goes on.
func (p Place) Group() bool { return p&placeGroup != 0 }

// Routines are the addresses of the routines.
type Routines struct {
	Enter  uintptr // as code.EnterDetached wants it: goes to State.Target, with State.PC in RAX
	Resume uintptr // a State.Target: returns to who called the routine that left
	Fault  uintptr // where code.Faults leads
	Retry  uintptr // a State.Target: goes on where an access has faulted, or at another place with the same registers

	Step                                uintptr // tmp2: offset in the page
	StepAt                              uintptr // called, with the place behind the call
	Poll                                uintptr // tmp2: offset
	PollAt                              uintptr // tmp: address
	Find                                uintptr // tmp: address
	BadReturn, EmptyReturn              uintptr // tmp: address
	Link                                uintptr // tmp: argument, tmp2: offset, group: guest physical page
	Check                               uintptr // tmp2: offset
	MissLoad, MissStore                 uintptr // called; tmp: address, tmp2: place
	MissLoadAt, MissStoreAt             uintptr // called, with the place behind the call; tmp: address XOR tag, tmp2: distance of the entry
	Host                                uintptr // called; tmp: the instruction, tmp2: offset
	Fence                               uintptr // called; see fence.go
	Ecall, TrapReturn                   uintptr // tmp2: offset
	ReadFlags, WriteFlags               uintptr // called; fflags in RDX
	ReadStatus                          uintptr // called; answers in RDX
	WriteStatus, SetStatus, ClearStatus uintptr // called; tmp: source; see status
}

// Shape of fetch entries.
const (
	fetchShift = 5 // log2 of the size of an entry
	fetchMask  = (mmu.FetchEntries - 1) << fetchShift
)

// MakeRoutines writes the routines of a machine into buf, which executes at an address: the start of generated code.
func MakeRoutines(has asm.Feature, buf []byte, at uintptr) (Routines, []byte, error) {
	c := &Compiler{has: has, base: at, start: at}
	c.Reset(buf, at)
	here := func() uintptr {
		c.Align(16)
		return at + uintptr(c.Pos())
	}
	r := &c.routines

	r.Enter = here()
	c.MR(asm.MOV, asm.S64, state(offHostSP), asm.RSP)
	c.M(asm.LDMXCSR, asm.S32, state(offGuestMXCSR))
	c.eachPin(func(reg asm.Reg, m asm.Mem) { c.RM(asm.MOV, asm.S64, reg, m) }, func(x asm.XMM, m asm.Mem) { c.XM(asm.MOVSD, x, m) })
	c.MovImm(tmp, ^uint64(mirror.Size-1))
	c.MR(asm.MOV, asm.S64, state(int32(reach)), tmp)
	c.RM(asm.MOV, asm.S64, budget, state(offBudget))
	c.RM(asm.MOV, asm.S64, tmp2, state(offBank))
	c.RM(asm.MOV, asm.S64, asm.RSP, asm.Indexed(base, tmp2, 8, offShadowSP))
	c.RM(asm.MOV, asm.S64, tmp2, state(offFetchBank))
	c.setMirror()
	c.RM(asm.MOV, asm.S64, tmp, state(offPC))
	c.M(asm.JMP, asm.S64, state(offTarget))

	r.Resume = here()
	c.RM(asm.MOV, asm.S64, group, scratch(savedGroup))
	c.Plain(asm.RET)

	// Leave: the kind is in tmp.
	leave := here()
	c.eachPin(func(reg asm.Reg, m asm.Mem) { c.MR(asm.MOV, asm.S64, m, reg) }, func(x asm.XMM, m asm.Mem) { c.MX(asm.MOVSD, m, x) })
	c.MR(asm.MOV, asm.S64, state(offBudget), budget)
	c.RM(asm.MOV, asm.S64, tmp2, state(offBank))
	c.MR(asm.MOV, asm.S64, asm.Indexed(base, tmp2, 8, offShadowSP), asm.RSP)
	c.M(asm.STMXCSR, asm.S32, state(offGuestMXCSR))
	c.RM(asm.MOV, asm.S64, asm.RSP, state(offHostSP))
	c.Plain(asm.RET)
	leaveAs := func(k Kind) {
		c.MovImm(tmp, uint64(k))
		c.JmpTo(leave)
	}
	// leaveAt makes tmp2, an offset, the program counter.
	leaveAt := func(k Kind) {
		c.RR(asm.MOVSXD, asm.S64, tmp2, tmp2)
		c.RM(asm.ADD, asm.S64, tmp2, state(offPageBase))
		c.MR(asm.MOV, asm.S64, state(offPC), tmp2)
		leaveAs(k)
	}

	r.Step = here()
	leaveAt(KindStep)
	stepPC := here() // the program counter is in tmp2
	c.MR(asm.MOV, asm.S64, state(offPC), tmp2)
	leaveAs(KindStep)

	r.StepAt = here()
	c.R(asm.POP, asm.S64, tmp)
	c.RM(asm.MOV, asm.S32, tmp, asm.At(tmp, 0))
	c.RR(asm.MOVZX16, asm.S32, tmp2, tmp)
	c.RI(asm.SHR, asm.S32, tmp, placeShift)
	c.RR(asm.SUB, asm.S64, budget, tmp)
	c.JmpTo(r.Step)

	r.Link = here()
	c.R(asm.POP, asm.S64, tmp)
	c.MR(asm.MOV, asm.S64, state(offExitArg), tmp)
	c.RM(asm.MOV, asm.S32, tmp2, asm.At(tmp, 0))
	c.RI(asm.AND, asm.S32, tmp2, linkOffset)
	leaveAt(KindLink)

	r.Check = here()
	leaveAt(KindCheck)
	checkAt := here() // the program counter is in tmp
	c.MR(asm.MOV, asm.S64, state(offPC), tmp)
	leaveAs(KindCheck)

	// Find fills the jump cache from the table of the page's translations, which the fetch entry of the page knows.
	r.Find = here()
	notFound, missing, there, noTable, haveTable := c.NewLabel(), c.NewLabel(), c.NewLabel(), c.NewLabel(), c.NewLabel()
	c.RR(asm.MOV, asm.S64, tmp2, tmp)
	c.RI(asm.SHR, asm.S64, tmp2, memory.PageShift-fetchShift)
	c.RI(asm.AND, asm.S32, tmp2, fetchMask)
	c.RM(asm.ADD, asm.S64, tmp2, state(offFetchBank))
	c.RR(asm.MOV, asm.S64, asm.RDX, tmp)
	c.RI(asm.AND, asm.S64, asm.RDX, ^memory.PageMask)
	c.RM(asm.CMP, asm.S64, asm.RDX, asm.At(tmp2, bankFetch+fetchTag))
	c.Jcc(asm.CondNE, missing)
	c.RM(asm.MOV, asm.S64, asm.RDX, asm.At(tmp2, bankFetch+fetchTable))
	c.Bind(there)
	c.RR(asm.TEST, asm.S64, asm.RDX, asm.RDX)
	c.Jcc(asm.CondE, noTable)
	c.Bind(haveTable)
	c.RR(asm.MOV, asm.S32, tmp2, tmp)
	c.RI(asm.AND, asm.S32, tmp2, memory.PageMask&^1)
	c.RM(asm.MOV, asm.S32, asm.RDX, asm.Indexed(asm.RDX, tmp2, 2, 0))
	c.RR(asm.TEST, asm.S32, asm.RDX, asm.RDX)
	c.Jcc(asm.CondE, notFound)
	c.MovImm(tmp2, uint64(at))
	c.RR(asm.ADD, asm.S64, asm.RDX, tmp2)
	c.MR(asm.MOV, asm.S64, state(offScratch+8), asm.RDX)
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offFetchBank))
	c.RR(asm.MOV, asm.S64, tmp2, tmp) // as Bank.NoteExec: the byte of the page, the bit of its eighth
	c.RI(asm.SHR, asm.S64, tmp2, memory.PageShift-3)
	c.RI(asm.AND, asm.S32, tmp2, mmu.ExecEntries*8-1)
	c.MR(asm.BTS, asm.S64, asm.At(asm.RDX, bankExec), tmp2)
	low, high := c.NewLabel(), c.NewLabel()
	c.RM(asm.CMP, asm.S64, tmp, asm.At(asm.RDX, bankLow))
	c.Jcc(asm.CondAE, low)
	c.MR(asm.MOV, asm.S64, asm.At(asm.RDX, bankLow), tmp)
	c.Bind(low)
	c.RM(asm.CMP, asm.S64, tmp, asm.At(asm.RDX, bankHigh))
	c.Jcc(asm.CondBE, high)
	c.MR(asm.MOV, asm.S64, asm.At(asm.RDX, bankHigh), tmp)
	c.Bind(high)
	c.index()
	c.MR(asm.MOV, asm.S64, asm.Indexed(group, tmp2, 8, 0), tmp)
	c.RM(asm.LEA, asm.S64, tmp2, asm.Indexed(group, tmp2, 8, 0))
	c.RM(asm.MOV, asm.S64, asm.RDX, state(offScratch+8))
	c.MR(asm.MOV, asm.S64, asm.At(tmp2, 8), asm.RDX)
	c.R(asm.JMP, asm.S64, asm.RDX)
	c.Bind(noTable) // not watched when the entry was made, or forgotten
	c.RM(asm.MOV, asm.S64, asm.RDX, asm.At(tmp2, bankFetch+fetchGPA))
	c.RM(asm.SUB, asm.S64, asm.RDX, state(offRAMBase))
	c.tableOf(asm.RDX)
	c.MR(asm.MOV, asm.S64, asm.At(tmp2, bankFetch+fetchTable), asm.RDX)
	c.RR(asm.TEST, asm.S64, asm.RDX, asm.RDX)
	c.Jcc(asm.CondNE, haveTable)
	c.Jmp(notFound)
	c.Bind(missing)
	c.fillFetch(notFound)
	c.Jmp(there)
	c.Bind(notFound)
	c.MR(asm.MOV, asm.S64, state(offPC), tmp)
	leaveAs(KindFind)

	dispatch := here() // tmp: address
	c.lookupJump()

	r.Poll = here()
	c.RR(asm.MOVSXD, asm.S64, tmp2, tmp2)
	c.RM(asm.ADD, asm.S64, tmp2, state(offPageBase))
	c.RR(asm.MOV, asm.S64, tmp, tmp2)
	r.PollAt = at + uintptr(c.Pos())
	out := c.NewLabel()
	c.MI(asm.CMP, asm.S32, state(offAttention), 0)
	c.Jcc(asm.CondNE, out)
	c.RM(asm.MOV, asm.S64, tmp2, state(offRefill))
	c.RR(asm.TEST, asm.S64, tmp2, tmp2)
	c.Jcc(asm.CondE, out)
	c.MI(asm.SUB, asm.S64, state(offSamples), 1)
	c.Jcc(asm.CondL, out)
	c.RR(asm.ADD, asm.S64, budget, tmp2)
	c.MR(asm.ADD, asm.S64, state(offInstretEnd), tmp2)
	c.makeRoom()
	c.JmpTo(dispatch)
	c.Bind(out)
	c.MR(asm.MOV, asm.S64, state(offPC), tmp)
	leaveAs(KindPoll)

	// A return that the frame on top does not know. The frame goes, unless it is the stack's end.
	r.BadReturn = here()
	last := c.NewLabel()
	c.RI(asm.AND, asm.S64, tmp, -2)
	c.MI(asm.CMP, asm.S64, asm.At(asm.RSP, 8), endOfStack)
	c.Jcc(asm.CondE, last)
	c.RI(asm.ADD, asm.S64, asm.RSP, 16)
	// Perhaps one that never came back was on top of the right one.
	c.RM(asm.CMP, asm.S64, tmp, asm.At(asm.RSP, 8))
	c.Jcc(asm.CondNE, last)
	c.Plain(asm.RET)
	c.Bind(last)
	c.goTo(dispatch)

	// A return to the address that marks the stack's end, which no instruction has.
	r.EmptyReturn = here()
	c.RI(asm.SUB, asm.S64, asm.RSP, 8)
	c.RI(asm.AND, asm.S64, tmp, -2)
	c.goTo(dispatch)

	r.MissLoad = here()
	c.miss(mmu.Load, offLoads, func() { leaveAs(KindMissLoad) })
	r.MissStore = here()
	c.miss(mmu.Store, offStores, func() { leaveAs(KindMissStore) })
	// The same for code of blocks, which keeps short what is there for each access.
	r.MissLoadAt = here()
	c.missAt(offLoads, r.MissLoad)
	r.MissStoreAt = here()
	c.missAt(offStores, r.MissStore)

	r.Host = here()
	c.MR(asm.MOV, asm.S64, state(offExitArg), tmp)
	c.MR(asm.MOV, asm.S64, scratch(0), tmp2)
	leaveAs(KindHost)

	r.Fence = here()
	c.fenceRoutine()

	c.faultRoutines(here)
	c.privileged(here, stepPC, checkAt, dispatch)
	c.flagRoutines(here)

	code, err := c.Finish()
	return c.routines, code, err
}

// missAt makes of the registers that a look-up leaves what the routine for a miss wants.
func (c *Compiler) missAt(table int32, routine uintptr) {
	c.RM(asm.XOR, asm.S64, tmp, asm.Indexed(base, tmp2, 1, table))
	c.RM(asm.MOV, asm.S64, tmp2, asm.At(asm.RSP, 0))
	c.MI(asm.ADD, asm.S64, asm.At(asm.RSP, 0), 4)
	c.RM(asm.MOV, asm.S32, tmp2, asm.At(tmp2, 0))
	c.JmpTo(routine)
}

// endOfStack is the guest's half of the last frame.
const endOfStack = -1

// InitShadow makes the frame at the top of an empty shadow stack: the two words at [ShadowTop].
func (r *Routines) InitShadow() (host, guest uint64) { return uint64(r.EmptyReturn), ^uint64(0) }

// goTo continues at the address in tmp, unless the budget is used up.
func (c *Compiler) goTo(dispatch uintptr) {
	c.RR(asm.TEST, asm.S64, budget, budget)
	c.JccTo(asm.CondLE, c.routines.PollAt)
	c.JmpTo(dispatch)
}

// eachPin visits every guest register that lives in a host register.
func (c *Compiler) eachPin(integer func(asm.Reg, asm.Mem), float func(asm.XMM, asm.Mem)) {
	for i, r := range pins[:ir.NumInt] {
		if r != unpinned {
			integer(asm.Reg(r), asm.At(base, offX+8*int32(i)))
		}
	}
	for i, r := range floatPins[:ir.NumFloat] {
		if r != unpinned {
			float(asm.XMM(r), asm.At(base, offF+8*int32(i)))
		}
	}
}

// Base is what RBP has to be, in a window that begins at an address.
func Base(window uintptr) uintptr { return window + bias }

var _ = hart.SinkX
