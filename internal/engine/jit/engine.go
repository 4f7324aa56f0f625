// Package jit is the translator: the engine that turns guest code into host code.
//
//	engine.go          one hart: the loop around generated code, and what it leaves for
//	remember.go        what a hart remembers of translations: jump caches, shadow stacks
//	cache.go           the translations of a machine
//	mirror.go          address spaces that the host's processor translates
//	stats.go           what was done
//	ir, rv64, optimize the intermediate form, the front end that makes it, what improves it
//	amd64, amd64/asm   the back end that makes code of it
//	code               code memory, and the way into it
//
// A hart's state is in hart.State. While generated code runs, some of it is in host registers; whenever it leaves, all of it is in
// place, and the interpreter, which every engine has one of, can go on from there. That is how instructions are
// executed that generated code does not do by itself.
package jit

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mirror"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// slice is the number of instructions after which a hart looks at Attention, at the latest: a few microseconds.
const slice = 16 << 10

// maxBudget bounds what generated code executes without looking up, and with it how far a pointer of a loop can go: with a turn of at least one instruction,
// and steps of opt.MaxStep, still not out of a mirror's margins.
const maxBudget = amd64.MaxBudget

// A region may be done with its last turn before it looks up.
var _ [mirror.Reach/2 - (maxBudget+2000)*opt.MaxStep]struct{}

// Engine executes one hart. Its methods belong to the goroutine that runs the hart.
type Engine struct {
	m      *Machine
	h      *hart.Hart
	interp *interp.Interp
	memory remembered

	gen        uint64                      // FenceIGen when changed pages were last dropped
	epoch      uint64                      // Machine.epoch then
	mirrors    [mmu.NumBanks]mirroredSpace // see mirror.go
	mirrorless bool                        // the host has refused one
	samples
	counts
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Reporter = (*Engine)(nil)
)

// New makes the engine of a hart of the machine. The interpreter beside it may hold so many predecoded pages.
func (m *Machine) New(h *hart.Hart, pages int) (*Engine, error) {
	if h.Window(0) == 0 {
		return nil, fmt.Errorf("%w: the state of a hart cannot be mapped more than once", code.ErrForbidden)
	}
	e := &Engine{m: m, h: h, interp: interp.NewSize(h, pages)}
	if err := e.memory.open(h, &m.routines); err != nil {
		return nil, err
	}
	for i := range h.TLB.Banks {
		h.TLB.Banks[i].Tables = m.byPage[plainMode].base()
	}
	h.State.Current = uint64(uintptr(unsafe.Pointer(&h.TLB.Current)))
	h.TLB.ForgetAll()
	h.Samples = m.tier.every()
	if p, ok := h.Clock.TSC(); ok && p.Shift == 64 {
		h.TimeMul, h.TimeOffset = p.Mul, p.Offset
	}
	m.mu.Lock()
	m.harts = append(m.harts, e)
	if len(m.harts) > 1 { // none runs yet
		for _, e := range m.harts {
			e.h.TimeFence = 1
		}
	}
	m.mu.Unlock()
	return e, nil
}

// Name is "jit".
func (e *Engine) Name() string { return "jit" }

// Close releases what the engine remembers, and with the last engine of a machine its translations. The hart must not run any more.
func (e *Engine) Close() error {
	e.closeMirrors()
	return errors.Join(e.memory.close(), e.m.leave(e))
}

// Reset forgets every translation of the machine: the host has written all of RAM. No other hart may run.
func (e *Engine) Reset() {
	e.m.dropAll()
	e.h.TLB.ForgetAll()
}

// Run executes until there is something for the board to do.
func (e *Engine) Run() engine.Exit {
	defer e.hold()()
	for {
		if exit, exited, _ := e.run(1<<62, slice+int64(e.samples.jitter())); exited {
			e.takeCounts()
			return exit
		}
	}
}

// RunFor is Run with an end: it starts about n instructions, one at least, and returns false when it has.
func (e *Engine) RunFor(n uint64) (exit engine.Exit, exited bool) {
	defer e.hold()()
	exit, exited, _ = e.run(int64(min(n, 1<<62)), 0)
	e.takeCounts()
	return exit, exited
}

// hold keeps the goroutine on its thread until release is called, where the mirror in use is something of the thread's. Between runs it
// is not worth it: a thread of its own makes waking up dearer.
func (e *Engine) hold() (release func()) {
	if !e.m.compiler.HoldsThread() {
		return func() {}
	}
	runtime.LockOSThread()
	e.h.Mirror = 0
	return runtime.UnlockOSThread
}

// run executes until an exit or until limit instructions have been started. refill is how many generated code may go on for without
// looking up.
func (e *Engine) run(limit, refill int64) (exit engine.Exit, exited bool, left int64) {
	h := e.h
	for left = limit; left > 0; {
		if atomic.LoadUint32(&h.Attention) != 0 {
			switch h.Poll() {
			case hart.PollStop:
				return engine.ExitStop, true, left
			case hart.PollFirmware:
				return engine.ExitFirmware, true, left
			}
		}
		if h.FenceIGen != e.gen {
			e.fence()
		}
		target, how := e.find()
		switch how {
		case again:
			continue
		case trapped:
			left--
			continue
		case step:
			if exit, exited = e.step(); exited {
				return exit, true, left
			}
			left--
			continue
		}
		budget := min(left, maxBudget)
		if refill != 0 {
			budget = refill
		}
		rest, exit, exited := e.enter(target, budget, refill)
		if refill == 0 {
			left -= budget - rest
		}
		if exited {
			return exit, true, left
		}
	}
	return 0, false, 0
}

// outcome is what find has found.
type outcome uint8

const (
	found   outcome = iota
	trapped         // the fetch took an exception
	again           // the world has changed meanwhile
	step            // the instruction cannot be translated where it is
)

// find is the code for State.PC.
func (e *Engine) find() (target uintptr, how outcome) {
	h := e.h
	h.PC &^= 1
	pc := h.PC
	if e.m.mirroring == MirrorAlways && e.mirrorable() && e.mode() == plainMode {
		e.beginMirror()
	}
	e.forget() // tables among it: the page of one may be another by now
	bank := &h.TLB.Banks[h.Bank%mmu.NumBanks]
	f := &bank.Fetch[mmu.FetchIndex(pc)]
	if f.Tag != pc&^memory.PageMask {
		_, whole, ok := h.FetchPage(pc)
		if !ok {
			return 0, trapped
		}
		// A leaf that is not global may have moved the hart to a bank of its own. It was another's, with whose targets what is noted below must
		// not be forgotten.
		e.forget()
		bank = &h.TLB.Banks[h.Bank%mmu.NumBanks]
		f = &bank.Fetch[mmu.FetchIndex(pc)]
		if !whole || f.Tag != pc&^memory.PageMask {
			return 0, step
		}
	}
	gpa := f.GPA
	bank.NoteExec(pc) // calls of what is entered here remember it
	if f.Table != 0 {
		// Safe: a fetch entry's table is one of the machine's, which stay until it is closed; dropped ones are only read before
		// the next look at TLB.Forget.
		t := (*table)(*(*unsafe.Pointer)(unsafe.Pointer(&f.Table)))
		if at := atomic.LoadUint32(&t[pc&memory.PageMask/2]); at != 0 {
			return uintptr(e.m.arena.Base()) + uintptr(at), found
		}
	}
	outer, _, err := e.translate(gpa, uint16(pc&memory.PageMask), false)
	if err != nil {
		return 0, step // no room for now, or for good: the interpreter has none of these troubles
	}
	if !e.unchanged(f, pc, gpa) {
		return 0, again
	}
	f.Table = e.m.byPage[e.mode()].get(gpa)
	return uintptr(e.m.arena.Base()) + uintptr(outer), found
}

// unchanged says that a translation of the code at an address, whose fetch entry is f, may be entered: translating may have waited for others,
// and served their fences meanwhile.
func (e *Engine) unchanged(f *mmu.FetchEntry, pc, gpa uint64) bool {
	return f.Tag == pc&^memory.PageMask && f.GPA == gpa && e.h.FenceIGen == e.gen
}

// forget does what the TLB asks for.
func (e *Engine) forget() {
	if t := &e.h.TLB; t.Mirrored != 0 && (t.Drop|t.Recheck|t.StaleCount|t.WatchCount) != 0 {
		e.unmirror()
	}
	if t := &e.h.TLB; t.Forget != 0 || t.ForgetCount != 0 {
		e.memory.forget(e.h)
	}
}

// nextPage is the first halfword of the page after the one that is executed now. Machine.mu is held, so nothing may wait.
func (e *Engine) nextPage(p *page) (uint16, uint64, bool) {
	h := e.h
	va := h.PC&^memory.PageMask + memory.PageSize
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(va)]
	if f.Tag != va {
		return 0, 0, false
	}
	q := e.m.pages[keyOf(f.GPA, p.mode)]
	if q == nil || !q.watched {
		return 0, 0, false // a page that is not watched may change under the translation
	}
	half, err := h.RAM.Load16(memory.GPA(f.GPA))
	return half, f.GPA, err == nil
}

// watchNext makes the next page one that nextPage knows, if a hart has executed what crosses into it.
func (e *Engine) watchNext() error {
	h := e.h
	va := h.PC&^memory.PageMask + memory.PageSize
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(va)]
	if f.Tag != va || e.m.byPage[e.mode()].get(f.GPA) != 0 {
		return nil
	}
	return e.page(f.GPA)
}

// fence follows a FENCE.I, of this hart or another: what was written is not executed as it was any more.
func (e *Engine) fence() {
	e.gen = e.h.FenceIGen
	if epoch := e.m.takeChanged(); epoch != e.epoch {
		e.epoch = epoch
		e.h.TLB.ForgetAll()
	}
}

// step lets the interpreter execute one instruction.
func (e *Engine) step() (engine.Exit, bool) {
	e.countStep()
	return e.interp.RunFor(1)
}

// enter runs generated code from target until it leaves for something that cannot be mended at once. It returns what is left of the budget.
func (e *Engine) enter(target uintptr, budget, refill int64) (left int64, exit engine.Exit, exited bool) {
	h := e.h
	h.Budget, h.Refill = budget, refill
	h.InstretEnd = h.Instret + uint64(budget)
	for {
		kind := e.call(target)
		e.exits[kind]++
		switch kind {
		case amd64.KindHost:
			if target = e.host(); target != 0 {
				continue
			}
			return max(h.Budget-1, 0), 0, false
		case amd64.KindFault:
			target = e.fault()
			continue
		case amd64.KindMissLoad, amd64.KindMissStore:
			acc := mmu.Load
			if kind == amd64.KindMissStore {
				acc = mmu.Store
			}
			var trapped bool
			if target, trapped = e.miss(acc); target != 0 {
				continue
			} else if trapped {
				return max(h.Budget-1, 0), 0, false
			}
			fallthrough
		case amd64.KindStep:
			h.Instret = h.InstretEnd - uint64(h.Budget)
			exit, exited = e.step()
			return max(h.Budget-1, 0), exit, exited
		case amd64.KindLink:
			h.Instret = h.InstretEnd - uint64(h.Budget)
			if h.Budget > 0 {
				e.link()
			}
			return max(h.Budget, 0), 0, false
		case amd64.KindCheck:
			h.Instret = h.InstretEnd - uint64(h.Budget)
			h.CheckInterrupts()
			return max(h.Budget, 0), 0, false
		case amd64.KindPoll:
			h.Instret = h.InstretEnd - uint64(h.Budget)
			if h.Samples < 0 && refill != 0 {
				e.sample()
			}
			return max(h.Budget, 0), 0, false
		default:
			h.Instret = h.InstretEnd - uint64(h.Budget)
			return max(h.Budget, 0), 0, false
		}
	}
}

// call enters generated code once.
func (e *Engine) call(target uintptr) amd64.Kind {
	h := e.h
	e.forget()
	e.memory.use(h)
	e.memory.makeRoom(h, h.Bank%mmu.NumBanks)
	h.Target = uint64(target)
	h.JumpCache = h.JumpCaches[h.Bank%mmu.NumBanks]
	h.FetchBank = h.Windows[h.Bank%mmu.NumBanks] + bankOffset
	h.Tables = h.TLB.Banks[h.Bank%mmu.NumBanks].Tables
	e.floatingPoint()
	base := amd64.Base(h.Window(h.DataBank))
	kind := amd64.Kind(code.EnterDetached(code.Addr(e.m.routines.Enter), *(*unsafe.Pointer)(unsafe.Pointer(&base))))
	e.floatingPointDone()
	return kind
}

const bankOffset = uint64(unsafe.Offsetof(hart.State{}.TLB) + unsafe.Offsetof(mmu.TLB{}.Banks))

// floatingPoint prepares what generated code needs to know of it: whether it may compute with the host's instructions at all, and MXCSR.
func (e *Engine) floatingPoint() {
	h := e.h
	h.FPFast = 0
	if h.Mstatus&hart.MstatusFS == hart.MstatusFS && h.Frm < 4 {
		h.FPFast = 1
	}
	h.GuestMXCSR = mxcsrMasked | mxcsrRounding[h.Frm&3] | mxcsrFlags[h.Fflags&31]
	h.ZeroFast = h.ZeroAllowed()
	h.TimeFast = 0
	if h.TimeMul != 0 {
		h.TimeFast = h.TimeReadable()
	}
}

// floatingPointDone takes the flags that were raised. FPFast may have changed meanwhile; where it was 0 all along, they are as they were.
func (e *Engine) floatingPointDone() { e.h.Fflags = uint64(fflags[e.h.GuestMXCSR&63]) }

// miss makes the TLB entry that generated code asked for, and returns where to go on: 0 if the access has trapped, or else if the interpreter
// has to do it.
func (e *Engine) miss(acc mmu.Access) (target uintptr, trapped bool) {
	h := e.h
	place := amd64.Place(h.Scratch[0])
	bank := h.Bank % mmu.NumBanks
	filled, fault := h.Fill(h.ExitArg, acc, place.Group())
	if filled && h.Bank%mmu.NumBanks == bank {
		return e.m.routines.Resume, false
	}
	// The routine was called: what it would have returned to goes.
	h.ShadowSP[bank] += 8
	h.Budget -= place.Retired()
	h.PC = h.PageBase + place.Off()
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(h.PC)]
	if place.Group() {
		// At a device the first access of the group is a step at once: in the translation without groups it would be one, too.
		if fault != mmu.NoFault && f.Tag == h.PC&^memory.PageMask {
			gpa := f.GPA
			if _, inner, err := e.translate(gpa, uint16(place.Off()), true); err == nil && e.unchanged(f, h.PC, gpa) {
				return uintptr(e.m.arena.Base()) + uintptr(inner), false
			}
		}
	} else if fault == mmu.PageFault && !e.isMisc(f) {
		h.Instret = h.InstretEnd - uint64(h.Budget)
		h.PageFault(h.ExitArg, acc)
		return 0, true
	}
	return 0, false
}

// isMisc says that the instruction at PC, whose fetch entry is f, may be a CBO, which does not fault at the address that it accesses.
func (e *Engine) isMisc(f *mmu.FetchEntry) bool {
	const opcodeMisc = 0x0f
	half, err := e.h.RAM.Load16(memory.GPA(f.GPA | e.h.PC&memory.PageMask))
	return err != nil || f.Tag != e.h.PC&^memory.PageMask || half&0x7f == opcodeMisc
}

// link completes the jump that generated code left by.
func (e *Engine) link() {
	h := e.h
	site, l, p, freed := e.m.pending(h.ExitArg)
	f := &h.TLB.Banks[h.Bank%mmu.NumBanks].Fetch[mmu.FetchIndex(h.PC)]
	if p == nil || f.Tag != h.PC&^memory.PageMask || f.GPA != p.gpa || p.mode != e.mode() {
		return // the mapping has changed; it will be found by its address
	}
	_, inner, err := e.translate(p.gpa, uint16(h.PC&memory.PageMask), l.Plain())
	if err == nil {
		e.m.link(site, freed, inner)
	}
}
