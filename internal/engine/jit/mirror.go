package jit

// Mirrors: address spaces whose loads and stores the host's processor translates (package mirror), because they run for long.
//
// A look-up in the TLB costs generated code five instructions an access, a page of a mirror costs the host microseconds, once. So a hart watches which
// user address spaces it spends its time in. One that has had enough of it without a mirror gets one: from then on its code is another
// translation, that accesses the mirror, and its first access to each page faults. Here the page is mapped then, with those around it that the guest
// has side by side in its memory, a huge page of the guest's at once, or the access is left to the interpreter, which every trap and every device is.
//
// What fences drop from the TLB they drop from the mirror (mmu.TLB.Stale and its like), by the time generated code runs again. A fence of everything does not empty it:
// most of it would come back, so each page is compared with the guest's page tables, when the address space runs again.
//
// An account of what a mirror brings and costs ends it when it does not pay, and the next one of that address space has to wait longer. A process that forks all
// the time, as a shell, has none.

import (
	"time"

	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mirror"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Mirroring says which address spaces get a mirror.
type Mirroring uint8

const (
	MirrorAuto   Mirroring = iota // those that run for long
	MirrorOff                     // none
	MirrorAlways                  // all that can have one, at once: for tests
)

// defaultWarm is how many samples of where the hart is make an address space one that runs for long.
const defaultWarm = 100

// What a mirror's account is kept by: rough, and measured on one machine.
const (
	costOfMapping   = 10 * time.Microsecond // with its fault
	costOfFault     = 3 * time.Microsecond
	costOfUnmapping = 4 * time.Microsecond
	costOfChecking  = 150 * time.Nanosecond // a page
	gainOfSample    = 15 * time.Microsecond
	credit          = 100 * time.Millisecond // what it may cost at first
	maxBalance      = 400 * time.Millisecond
)

// Pages that are mapped around one that is accessed: so many, aligned to that.
const (
	around    = 16
	aroundBig = 64 // if the guest's page is larger than 4 KiB
)

// mirroredSpace is what a hart knows of the address space of a bank.
type mirroredSpace struct {
	*mirror.Mirror               // nil: none now
	satp           uint64        // of the address space
	samples        int           // since it began, or since its mirror ended
	ended          uint          // mirrors it has had
	balance        time.Duration // what its mirror has brought, less what it has cost
	faulted        uint64        // the page of the last access that could not be mapped
}

// mode is how the code is translated that the hart is at.
func (e *Engine) mode() mode {
	if e.h.TLB.Banks[e.h.Bank%mmu.NumBanks].Mirror != 0 {
		return mirrorMode
	}
	return plainMode
}

// mirrorable says that the address space the hart executes in can have a mirror.
func (e *Engine) mirrorable() bool {
	h := e.h
	return e.m.mirroring != MirrorOff && !e.mirrorless && h.Priv == riscv.PrivU && mmu.Mode(h.Satp) == mmu.ModeSv39
}

// warm counts a sample of the present address space, and gives it a mirror or takes it away.
func (e *Engine) warm() {
	if !e.mirrorable() {
		return
	}
	h := e.h
	w := &e.mirrors[h.Bank%mmu.NumBanks]
	if w.satp != h.Satp && w.Mirror == nil {
		*w = mirroredSpace{satp: h.Satp}
	}
	w.samples++
	switch {
	case w.Mirror == nil && w.samples > e.m.warm<<w.ended:
		e.beginMirror()
	case w.Mirror != nil:
		if w.balance = min(w.balance+gainOfSample, maxBalance); w.balance < 0 && e.m.mirroring == MirrorAuto {
			e.endMirror(h.Bank % mmu.NumBanks)
			w.ended = min(w.ended+1, 8)
			e.counts.mirrors.ended++
		}
	}
}

// beginMirror gives the present address space a mirror.
func (e *Engine) beginMirror() {
	h := e.h
	b := h.Bank % mmu.NumBanks
	w := &e.mirrors[b]
	m, err := mirror.New(h.RAM)
	if err != nil {
		e.mirrorless = true
		return
	}
	*w = mirroredSpace{Mirror: m, satp: h.Satp, ended: w.ended, balance: credit}
	t := &h.TLB
	t.Banks[b].Mirror, t.Banks[b].Tables = uint64(m.Base()), e.m.byPage[mirrorMode].base()
	t.Mirrored |= 1 << b
	t.Forget |= 1 << b
	e.counts.mirrors.begun++
}

// endMirror takes the mirror of a bank away. The hart's code of that bank is not in use.
func (e *Engine) endMirror(b uint64) {
	w, t := &e.mirrors[b], &e.h.TLB
	_ = w.Close()
	w.Mirror, w.samples = nil, 0
	t.Banks[b].Mirror, t.Banks[b].Tables = 0, e.m.byPage[plainMode].base()
	t.Mirrored &^= 1 << b
	t.Drop &^= 1 << b
	t.Recheck &^= 1 << b
	t.Forget |= 1 << b
}

// unmirror does what the TLB asks for.
func (e *Engine) unmirror() {
	h, t := e.h, &e.h.TLB
	for b := range uint64(mmu.NumBanks) {
		w, bit := &e.mirrors[b], uint64(1)<<b
		if t.Mirrored&bit == 0 {
			continue
		}
		if t.Drop&bit != 0 {
			if k := &t.Keys[b]; k.Valid == 0 || k.Satp != w.satp || mmu.View(k.View) != mmu.ViewU {
				e.endMirror(b)
				continue
			}
			w.balance -= costOfUnmapping * time.Duration(w.Len())
			w.Clear()
			t.Recheck &^= bit
		}
		for _, host := range t.Watch[:t.WatchCount] {
			w.Protect(h.RAM.Base() + memory.GPA(host-h.RAMHost))
		}
	}
	for _, s := range t.Stale[:t.StaleCount] {
		if w := &e.mirrors[s.Bank]; w.Mirror != nil && (t.Drop|t.Recheck)>>s.Bank&1 == 0 {
			if s.First == s.Last && s.First == w.faulted && e.refresh(w, s.First) {
				continue
			}
			before := w.Len()
			w.Unmap(s.First, s.Last)
			if n := before - w.Len(); n != 0 {
				w.balance -= costOfUnmapping
				e.counts.mirrors.unmapped += uint64(n)
			}
		}
	}
	t.Drop, t.WatchCount, t.StaleCount = 0, 0, 0
	for b := range uint64(mmu.NumBanks) {
		switch {
		case t.Recheck>>b&1 == 0:
		case b == h.Bank && h.Priv == riscv.PrivU:
			e.recheck(b)
			t.Recheck &^= 1 << b
		case t.Current[mmu.ViewU] == b:
			t.Current[mmu.ViewU] = mmu.NoBank // generated code does not enter it
		}
	}
}

// refresh maps a page as the guest has it now, after a fence of it alone: it was mapped just now, after a page fault, and the access that comes again need not fault
// twice. It returns false where there is nothing to map, or other pages may have to go with this one.
func (e *Engine) refresh(w *mirroredSpace, page uint64) bool {
	h := e.h
	if page >= mirror.Size || h.Satp != w.satp || w.InLarge(page) {
		return false
	}
	gpa, shift, ok := h.UserPage(page, mmu.Load)
	if !ok {
		return false
	}
	now := mirror.Page{GPA: gpa, Writable: e.writable(page, gpa), Shift: uint8(shift)}
	if p, ok := w.At(page); ok && p == now {
		return true
	}
	if !e.mapAround(w, page, gpa, shift) {
		return false
	}
	w.balance -= costOfMapping - costOfFault
	return true
}

// recheck unmaps what is mapped otherwise than the guest has it now, in the present address space.
func (e *Engine) recheck(b uint64) {
	h, w := e.h, &e.mirrors[b]
	before := w.Len()
	w.Pages(func(page uint64, p mirror.Page, huge bool) bool {
		gpa, shift, ok := h.UserPage(page, mmu.Load)
		if !ok || gpa != p.GPA || shift != uint(p.Shift) {
			return false
		}
		if !p.Writable {
			return true
		}
		_, _, ok = h.UserPage(page, mmu.Store)
		return ok && (!huge || h.UserBlock(gpa, mirror.Huge))
	})
	w.balance -= costOfChecking*time.Duration(before) + costOfUnmapping*time.Duration(before-w.Len())
	e.counts.mirrors.checked += uint64(before)
	e.counts.mirrors.unmapped += uint64(before - w.Len())
}

// fault completes an access to the mirror that has faulted: the page is mapped now, or else the access is a step. It returns where to go on.
func (e *Engine) fault() uintptr {
	h := e.h
	b := h.Bank % mmu.NumBanks
	w := &e.mirrors[b]
	va := h.Fault.Address - h.TLB.Banks[b].Mirror
	acc := mmu.Load
	if h.Fault.Code&code.FaultStore != 0 {
		acc = mmu.Store
	}
	w.balance -= costOfMapping
	if w.Mirror != nil && va < mirror.Size && e.mirrorPage(w, va&^memory.PageMask, acc) {
		return e.m.routines.Retry
	}
	w.faulted = va &^ memory.PageMask
	e.counts.mirrors.steps++
	if !e.m.stepFault(h.State) {
		panic("jit: a fault of generated code that does not access a mirror")
	}
	return e.m.routines.Retry
}

// mirrorPage maps the page for an access, if it can be.
func (e *Engine) mirrorPage(w *mirroredSpace, page uint64, acc mmu.Access) bool {
	h := e.h
	if p, ok := w.At(page); ok && (acc == mmu.Load || p.Writable) {
		return false
	}
	gpa, shift, ok := h.UserPage(page, acc)
	if !ok {
		h.Fill(page, acc, false)
		if gpa, shift, ok = h.UserPage(page, acc); !ok {
			return false
		}
	}
	return e.mapAround(w, page, gpa, shift)
}

// mapAround maps a page to one of RAM, and with it what lies beside both.
func (e *Engine) mapAround(w *mirroredSpace, page uint64, gpa memory.GPA, shift uint) bool {
	p := mirror.Page{GPA: gpa, Writable: e.writable(page, gpa), Shift: uint8(shift)}
	if at := page % mirror.Huge; 1<<shift >= mirror.Huge && p.Writable && e.h.UserBlock(gpa-memory.GPA(at), mirror.Huge) {
		p.GPA -= memory.GPA(at)
		return e.mapPages(w, page-at, p, mirror.Huge/memory.PageSize)
	}
	n := uint64(around)
	if shift > memory.PageShift {
		n = aroundBig
	}
	first, last := page&^(n<<memory.PageShift-1), page|(n-1)<<memory.PageShift
	lo, hi := page, page
	for lo > first && e.besides(w, lo-memory.PageSize, gpa-memory.GPA(page-lo)-memory.PageSize, p) {
		lo -= memory.PageSize
	}
	for hi < last && e.besides(w, hi+memory.PageSize, gpa+memory.GPA(hi-page)+memory.PageSize, p) {
		hi += memory.PageSize
	}
	p.GPA -= memory.GPA(page - lo)
	return e.mapPages(w, lo, p, int((hi-lo)>>memory.PageShift+1))
}

// mapPages maps n pages from an address on to p and those after it.
func (e *Engine) mapPages(w *mirroredSpace, page uint64, p mirror.Page, n int) bool {
	e.counts.mirrors.mapped += uint64(n)
	if w.Map(page, p, n) == nil {
		return true
	}
	w.balance -= credit // too many of them, most likely
	w.Clear()
	return w.Map(page, p, n) == nil
}

// writable says that stores may go to a page of the present address space without further ado.
func (e *Engine) writable(page uint64, gpa memory.GPA) bool {
	to, _, ok := e.h.UserPage(page, mmu.Store)
	return ok && to == gpa
}

// besides says that a page is not mapped yet and can be together with one beside it, which is p.
func (e *Engine) besides(w *mirroredSpace, page uint64, gpa memory.GPA, p mirror.Page) bool {
	if _, ok := w.At(page); ok {
		return false
	}
	to, shift, ok := e.h.UserPage(page, mmu.Load)
	return ok && to == gpa && uint8(shift) == p.Shift && e.writable(page, gpa) == p.Writable
}

// closeMirrors takes all of them away.
func (e *Engine) closeMirrors() {
	for b := range e.mirrors {
		if e.mirrors[b].Mirror != nil {
			e.endMirror(uint64(b))
		}
	}
}

// startMirroring prepares the machine for mirrors, if its host can have them.
func (m *Machine) startMirroring() {
	if m.mirroring == MirrorOff || m.ram == nil {
		m.mirroring = MirrorOff
		return
	}
	_, twice := m.ram.File()
	if !twice || m.arena.HandleFaults(m.routines.Faults()) != nil {
		m.mirroring = MirrorOff
	}
}
