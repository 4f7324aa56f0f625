package amd64

// A block: its entries, its instructions one after the other, its exits.
//
// A block has two entries. Through the outer one come jumps that looked the block up by its address, which is in RAX: it sets
// State.PageBase. Direct jumps inside of a page come through the inner one.
//
// What rarely happens is out of line, behind the block: each such piece is a closure kept until the end. Exits leave the state
// precise: they take what has retired from the budget, and name the place by its offset in the page.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
)

// Compiler turns blocks into code. One goroutine uses it at a time.
type Compiler struct {
	asm.Assembler
	has      asm.Feature
	routines Routines
	base     uintptr // where generated code begins: links are named by their distance from it
	resolve  func(target int32, plain bool) (uintptr, bool)
	start    uintptr // where the code of this block begins

	block     *ir.Block
	inner     asm.Label
	entries   []Entry
	later     []piece
	deducted  int    // guest instructions of the block that have been taken from the budget
	fpChecked bool   // State.FPFast has been looked at
	boxed     uint64 // float variables known to hold a boxed single
	marks     []Mark
	Marking   bool // record where each instruction begins, for --dump-code

	Counting bool // loads and stores are counted: see count.go

	Patchable bool // entries can be replaced: see PatchSize

	// Apart: no jump leads to another block yet, but for those to what a region has taken over from, so that the code is the same wherever it lies but for Code.Away. The engine
	// completes Code.Links.
	Apart bool
	links []Unlinked

	Mirrored  bool // the code executes in a mirrored address space: see mirror.go
	faults    []faultSite
	faultList []Fault
	drifts    drifts
	compared  bool   // the address of the present access of a region has been compared
	held      ir.Var // see held.go
	unsaved   bool   // what is held is not in memory yet
	now       ir.Inst

	region *opt.Region // what is compiled is a region (region.go)
	exit   exitPoint   // where it is left if the present instruction leaves
	narrow bool        // the present result is kept without its sign extension
	// direct, if isDirect, is what the next access goes to.
	direct   asm.Mem
	isDirect bool
}

// piece is something that is emitted behind the block. The common ones have all they need in it, so that none allocates.
type piece struct {
	label    asm.Label
	deducted int
	exit     exitPoint
	emit     func(c *Compiler, p *piece)

	in      ir.Inst
	again   asm.Label
	site    asm.Site
	routine uintptr
	table   int32
	do      func() // what emit is for the rest
}

// Mark says where the code of an instruction begins.
type Mark struct {
	At   int  // offset in the code
	Inst int  // index in Block.Insts; their number for what is out of line. In a region: the position
	Cold bool // in a region: the rest of it, out of line
}

// mark makes one here.
func (c *Compiler) mark(inst int, cold bool) {
	if c.Marking {
		c.marks = append(c.marks, Mark{c.Pos(), inst, cold})
	}
}

// Code is what Compile made: offsets are from the start of the code.
type Code struct {
	Bytes        []byte
	Outer, Inner int
	Entries      []Entry // others than the start
	Marks        []Mark
	Faults       []Fault // in order
	Away         []int32 // where displacements are of jumps out of the code: see asm.Assembler.Away
	Links        []Unlinked
}

// Unlinked is a jump that can be completed.
type Unlinked struct {
	Site   int // offset in the code of its displacement
	Target uint16
	Plain  bool
}

// End is where the code of a mark ends.
func (c *Code) End(mark int) int {
	if mark+1 < len(c.Marks) {
		return c.Marks[mark+1].At
	}
	return len(c.Bytes)
}

// Entry is a place where a block can be entered.
type Entry struct {
	Off          uint16 // in the page
	Outer, Inner int

	label asm.Label
}

// New makes a compiler for a host with some features, which emits calls of routines.
func New(has asm.Feature, r Routines, base uintptr) *Compiler {
	return &Compiler{has: has, routines: r, base: base}
}

// Compile translates b into buf, which executes at an address. resolve finds the inner entry of the block that starts at an offset of the
// page, if there is one; other direct jumps are links that the engine completes when they are taken (see KindLink). The error is that of the
// assembler: asm.ErrFull when buf is too small.
func (c *Compiler) Compile(b *ir.Block, buf []byte, at uintptr, resolve func(target int32, plain bool) (uintptr, bool)) (Code, error) {
	c.Reset(buf, at)
	c.block, c.resolve, c.start = b, resolve, at
	c.later, c.marks, c.entries = c.later[:0], c.marks[:0], c.entries[:0]
	for i := range b.Insts {
		if in := &b.Insts[i]; in.Op == ir.Entry {
			c.entries = append(c.entries, Entry{Off: in.Off, label: c.NewLabel()})
		}
	}
	c.deducted, c.fpChecked, c.boxed = 0, false, 0
	c.faults, c.drifts, c.held = c.faults[:0], drifts{}, ir.None
	c.unsaved, c.links = false, c.links[:0]

	outer := c.Pos()
	c.outer(b.Start)
	c.patchPoint()
	inner := c.Pos()
	c.inner = c.Here()
	c.Nop(c.patchable())
	for i := range b.Insts {
		c.mark(i, false)
		in := &b.Insts[i]
		if c.Mirrored {
			c.holding(in)
			c.follow(in)
		} else {
			emitters[in.Op](c, in)
		}
	}
	c.mark(len(b.Insts), false)
	for i := 0; i < len(c.later); i++ { // pieces may add pieces, and move the list: p then points to what was one, and is as it was
		p := &c.later[i]
		c.Bind(p.label)
		c.deducted = p.deducted
		p.emit(c, p)
	}
	for i := range c.entries {
		e := &c.entries[i]
		e.Outer = c.Pos()
		c.outer(e.Off)
		c.Jmp(e.label)
		e.Inner, _ = c.Offset(e.label)
	}
	code, err := c.Finish()
	return Code{code, outer, inner, c.entries, c.marks, c.faultsOf(), c.Away(), c.links}, err
}

// outer is what comes first at an outer entry: the address, which is in tmp, says where the page is.
func (c *Compiler) outer(off uint16) {
	c.RM(asm.LEA, asm.S64, tmp, asm.At(tmp, -int32(off)))
	c.MR(asm.MOV, asm.S64, state(offPageBase), tmp)
}

// entry begins at an instruction that is jumped to: nothing is known there but what is known at the start of a block.
func entry(c *Compiler, in *ir.Inst) {
	c.settle(int(in.N))
	l, _ := c.own(int32(in.Off))
	c.patchPoint()
	c.Bind(l)
	c.Nop(c.patchable())
	c.fpChecked, c.boxed = false, 0
}

// PatchSize is the length of the no-operation that is first at every entry of a block that has Compiler.Patchable. It lies within 8 bytes that are
// aligned to 8, so that one store makes a jump of it: the optimizing tier's code takes over for the block then.
const PatchSize = 5

func (c *Compiler) patchable() int {
	if c.Patchable && !c.block.Plain {
		return PatchSize
	}
	return 0
}

// patchPoint makes the next instruction, of PatchSize bytes, one that can be replaced.
func (c *Compiler) patchPoint() {
	if at := int(c.start) + c.Pos(); at&7 > 8-PatchSize && c.patchable() != 0 {
		c.Nop(-at & 7)
	}
}

// own is the label of an entry of this block.
func (c *Compiler) own(off int32) (asm.Label, bool) {
	if off == int32(c.block.Start) {
		return c.inner, true
	}
	for i := range c.entries {
		if e := &c.entries[i]; int32(e.Off) == off {
			return e.label, true
		}
	}
	return 0, false
}

// outOfLine makes a piece.
func (c *Compiler) outOfLine(do func()) asm.Label {
	return c.cold(piece{emit: func(_ *Compiler, p *piece) { p.do() }, do: do})
}

// cold adds a piece, and returns its label.
func (c *Compiler) cold(p piece) asm.Label {
	p.label, p.deducted, p.exit = c.NewLabel(), c.deducted, c.exit
	c.later = append(c.later, p)
	return p.label
}

// add adds a piece about an instruction, for the caller to complete before another is added. It is made where it stays: what is in it beyond in is
// left from another one.
func (c *Compiler) add(emit func(*Compiler, *piece), in *ir.Inst) *piece {
	n := len(c.later)
	if n == cap(c.later) {
		c.later = slices.Grow(c.later, 1)
	}
	c.later = c.later[:n+1]
	p := &c.later[n]
	p.label, p.deducted, p.exit, p.emit, p.in = c.NewLabel(), c.deducted, c.exit, emit, *in
	return p
}

// leaving adds a piece that goes to an offset.
func (c *Compiler) leaving(emit func(*Compiler, *piece), target int64) *piece {
	return c.add(emit, &ir.Inst{Imm: target})
}

func linkPiece(c *Compiler, p *piece) { c.unlinked(p.site, int32(p.in.Imm), false) }
func stepPiece(c *Compiler, p *piece) {
	if n := int(p.in.N) - c.deducted; c.region == nil && n >= 0 {
		c.CallTo(c.routines.StepAt)
		c.Long(uint32(c.place(&p.in)))
		return
	}
	c.step(&p.in)
}

// emitters is the table of operations.
var emitters [ir.NumOps]func(c *Compiler, in *ir.Inst)

func init() {
	for _, group := range []map[ir.Op]func(*Compiler, *ir.Inst){integers, memoryOps, controls, atomics, systems, floats} {
		for op, f := range group {
			emitters[op] = f
		}
	}
	for op, f := range emitters {
		if f == nil {
			emitters[op] = (*Compiler).stepAndGoOn
		}
	}
}

// extend32 makes dst the sign extension of the low half of src, or just takes that over where the extension is not needed.
func (c *Compiler) extend32(dst, src asm.Reg) {
	switch {
	case !c.narrow:
		c.RR(asm.MOVSXD, asm.S64, dst, src)
	case dst != src:
		c.RR(asm.MOV, asm.S32, dst, src)
	}
}

// use is a register that holds a variable: its own, or scratch after a load.
func (c *Compiler) use(v ir.Var, scratch asm.Reg) asm.Reg {
	if r, ok := pinned(v); ok {
		return r
	}
	if v == ir.Zero {
		c.RR(asm.XOR, asm.S32, scratch, scratch)
	} else {
		c.RM(asm.MOV, asm.S64, scratch, slot(v))
	}
	return scratch
}

// load copies a variable into a register.
func (c *Compiler) load(dst asm.Reg, v ir.Var) {
	if r, ok := pinned(v); ok {
		c.RR(asm.MOV, asm.S64, dst, r)
		return
	}
	c.use(v, dst)
}

// load32 copies the low half of a variable, zero-extended.
func (c *Compiler) load32(dst asm.Reg, v ir.Var) {
	if r, ok := pinned(v); ok {
		c.RR(asm.MOV, asm.S32, dst, r)
		return
	}
	c.RM(asm.MOV, asm.S32, dst, slot(v))
}

// def is the register to compute a variable in: its own, or scratch, which put then stores.
func (c *Compiler) def(v ir.Var, scratch asm.Reg) asm.Reg {
	if r, ok := pinned(v); ok {
		return r
	}
	return scratch
}

// put completes a variable that was computed in r.
func (c *Compiler) put(v ir.Var, r asm.Reg) {
	if v == ir.Zero || v == ir.None {
		return
	}
	if p, ok := pinned(v); ok {
		if p != r {
			c.RR(asm.MOV, asm.S64, p, r)
		}
		return
	}
	c.MR(asm.MOV, asm.S64, slot(v), r)
}

// apply emits op dst, v.
func (c *Compiler) apply(op asm.Op, size asm.Size, dst asm.Reg, v ir.Var) {
	if r, ok := pinned(v); ok {
		c.RR(op, size, dst, r)
		return
	}
	c.RM(op, size, dst, slot(v))
}

// retire takes what has retired, n instructions of the block, from the budget. The flags tell whether it is used up.
func (c *Compiler) retire(n int) {
	c.RI(asm.SUB, asm.S64, budget, int32(n-c.deducted))
	c.deducted = n
}

// settle is retire where the flags do not matter, and what is zero needs no instruction.
func (c *Compiler) settle(n int) {
	if n != c.deducted {
		c.retire(n)
	}
}

// leave goes to a routine that leaves generated code at an offset of the page.
func (c *Compiler) leave(routine uintptr, retired int, off int32) {
	c.settle(retired)
	c.MovImm(tmp2, uint64(uint32(off)))
	c.JmpTo(routine)
}

// step leaves for the interpreter to execute the instruction that in belongs to.
func (c *Compiler) step(in *ir.Inst) {
	if c.region != nil {
		c.flush(c.exit)
	}
	c.leave(c.routines.Step, int(in.N), int32(in.Off))
}

// stepLabel is a step out of line.
func (c *Compiler) stepLabel(in *ir.Inst) asm.Label {
	return c.add(stepPiece, in).label
}

// stepAndGoOn is for an operation in the middle of a block that has no code: the interpreter executes it, and what follows is never
// reached in this translation.
func (c *Compiler) stepAndGoOn(in *ir.Inst) { c.step(in) }

// link jumps to the block at an offset of this page: at once, or by way of a link that the engine completes.
func (c *Compiler) link(target int32, plain bool) {
	if l, ok := c.own(target); ok && !plain && !c.block.Plain {
		c.Jmp(l)
		return
	}
	if at, ok := c.target(target, plain); ok {
		c.JmpTo(at)
		return
	}
	l := c.NewLabel()
	s := c.JmpSite(l)
	c.Bind(l)
	c.unlinked(s, target, plain)
}

// linkIf is link if the condition of a branch holds.
func (c *Compiler) linkIf(in *ir.Inst, target int32) {
	if l, ok := c.own(target); ok && !c.block.Plain {
		c.Jcc(c.condition(in), l)
		return
	}
	if at, ok := c.target(target, false); ok {
		c.JccTo(c.condition(in), at)
		return
	}
	// No padding may come between the comparison and the jump, which a processor would fuse.
	start := c.Pos()
	trace := c.Trace
	c.Trace = nil
	c.condition(in)
	pad := c.SitePadding()
	c.Rewind(start)
	c.Trace = trace
	c.Nop(pad)
	cond := c.condition(in)
	p := c.leaving(linkPiece, int64(target))
	p.site = c.JccSite(cond, p.label)
}

// unlinked asks the engine to complete the jump at s. What it has to know lies behind the call.
func (c *Compiler) unlinked(s asm.Site, target int32, plain bool) {
	c.CallTo(c.routines.Link)
	c.Long(uint32(makeLink(target, plain, c.Pos()-int(s))))
	c.links = append(c.links, Unlinked{int(s), uint16(target), plain})
}

func (c *Compiler) target(off int32, plain bool) (uintptr, bool) {
	if c.Apart {
		return 0, false
	}
	return c.resolve(off, plain)
}
