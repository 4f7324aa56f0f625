package amd64

// Regions of the optimizing tier (package opt): many blocks as one piece of code, with a register assignment of its own.
//
// The emitters of blocks serve here too: a place that the allocator chose is a variable to them. Beside the guest's variables, which in blocks are
// where registers.go says, there are variables that stand for each host register, for the memory of each guest variable, and for private places.
//
// Outside, the guest's registers are in their canonical places. The way in moves what the region wants elsewhere; each way out moves it back, out
// of line. In the middle of a region, what may leave for good (a step, a miss that turns out to be a fault) does likewise, and a miss also puts the
// registers aside and takes them back.

import (
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
)

// Variables that stand for places.
const (
	varXMM   ir.Var = 64  // SSE registers
	varReg   ir.Var = 128 // general registers
	varX     ir.Var = 144 // State.X, from x0 on, but for a2: see slotAt
	varF     ir.Var = 176 // State.F
	varSpill ir.Var = 208 // State.Spill
)

// NumSpill is the number of private places.
const NumSpill = 40

// errNoFMA is for regions that the first tier does better.
var errNoFMA = errors.New("amd64: a region with fused multiplication and addition needs a host that has it")

// exitPoint is where a region stands when it may be left.
type exitPoint struct {
	state *opt.State
	pos   int
}

// RegionTarget is what the allocator has to know.
func RegionTarget() *opt.Target {
	t := &opt.Target{Slots: NumSpill}
	for _, r := range []asm.Reg{asm.RDX, asm.RSI, asm.RDI, asm.R8, asm.R9, asm.R10, asm.R11, asm.RBX, asm.R12, asm.R13, asm.R14} {
		t.Int = append(t.Int, int(r))
	}
	for x := asm.XMM3; x <= asm.XMM15; x++ {
		t.Float = append(t.Float, int(x))
	}
	t.Pin = func(v ir.Var) int {
		if v >= ir.NumVars {
			return -1
		}
		if v.IsFloat() {
			if x, ok := pinnedFloat(v); ok {
				return int(x)
			}
		} else if r, ok := pinned(v); ok {
			return int(r)
		}
		return -1
	}
	t.Clobbers = func(v *opt.Value) int {
		if v.Quiet && v.Arg[2] != nil {
			return int(asm.RDX)
		}
		switch v.Op {
		case ir.ReadCSR, ir.WriteCSR, ir.MulHS, ir.MulHU, ir.MulHSU, ir.DivS, ir.DivU, ir.RemS, ir.RemU, ir.OrBytes:
			return int(asm.RDX)
		}
		return -1
	}
	t.Spare, t.Spares = int(tmp2), sparesTmp2
	return t
}

// sparesTmp2 says that the code of an instruction leaves tmp2 alone, wherever its operands and its result are.
func sparesTmp2(v *opt.Value) bool {
	switch v.Op {
	case ir.Const, ir.Add, ir.Sub, ir.And, ir.Or, ir.Xor, ir.AndNot, ir.SetLT, ir.SetLTU:
		return true
	case ir.Shl, ir.Shr, ir.Sar, ir.RotL, ir.RotR:
		return v.Has(ir.UseImm)
	}
	return false
}

// CompileRegion is Compile for a region. fallback is where to go when what it assumes on the way in does not hold.
func (c *Compiler) CompileRegion(r *opt.Region, buf []byte, at, fallback uintptr, resolve func(target int32, plain bool) (uintptr, bool)) (Code, error) {
	if r.Fuses && !(c.vex() && c.has.Has(asm.HasFMA)) {
		return Code{}, errNoFMA // such instructions would be steps, and have no states
	}
	c.Reset(buf, at)
	block := ir.Block{Page: r.Page, Start: 0xffff, Plain: true}
	c.block, c.resolve, c.start = &block, resolve, at
	c.later, c.marks, c.entries = c.later[:0], c.marks[:0], c.entries[:0]
	c.deducted, c.fpChecked, c.boxed = 0, true, 0
	c.faults, c.links = c.faults[:0], c.links[:0]
	c.region = r
	defer func() { c.region, c.exit, c.narrow = nil, exitPoint{}, false }()

	c.mark(r.Entry.EndPos(), false)
	outer := c.Pos()
	c.outer(uint16(r.Head.Off))
	inner := c.Pos()
	if r.UsesFP {
		c.MI(asm.CMP, asm.S64, state(offFPFast), 0)
		c.JccTo(asm.CondE, fallback)
	}
	for _, g := range r.Guards {
		c.apply(asm.MOVSXD, asm.S64, tmp, g.Var)
		c.apply(asm.CMP, asm.S64, tmp, g.Var)
		c.JccTo(asm.CondNE, fallback)
	}
	for _, v := range r.Numbers { // any NaN is kept out: without its sign it is above infinity
		c.RX(c.whole(moveQ), tmp, c.useFloat(v.Var, ftmp))
		c.RR(asm.ADD, asm.S64, tmp, tmp)
		c.RM(asm.CMP, asm.S64, tmp, c.Const(infinity<<1))
		c.JccTo(asm.CondA, fallback)
	}
	for _, k := range r.Checks {
		in := k.Value.Inst
		operand := func(v *opt.Value) (m regionMove) {
			if v.IsConst() {
				return regionMove{src: regionPlace{kind: isConst}, imm: v.Imm}
			}
			return regionMove{src: canonicalPlace(v.Var)}
		}
		var b regionMove
		if k.Value.Arg[1] != nil {
			b = operand(k.Value.Arg[1])
		}
		c.sink(&in, operand(k.Value.Arg[0]), b)
		c.apply(asm.CMP, asm.S64, tmp2, k.Entry.Var)
		c.JccTo(asm.CondNE, fallback)
	}
	for _, v := range r.Reached {
		c.JccTo(c.compareReach(v.Var), fallback)
	}
	c.takeOver(r.Entry)
	labels := map[*opt.Block]asm.Label{}
	for _, b := range r.Blocks[1:] {
		labels[b] = c.NewLabel()
	}
	e := &regionEmitter{Compiler: c, r: r, labels: labels, carry: map[*opt.Block]int{}}
	e.plan()
	e.edge(r.Entry.Out[0], next(r, 0), false)
	for i, b := range r.Blocks[1:] {
		c.Bind(labels[b])
		c.deducted, c.boxed = -e.carry[b], 0
		if b.Landing {
			c.mark(b.StartPos(), false)
			e.land(b)
		}
		for _, v := range b.Values {
			if v.Kind == opt.Computed {
				c.mark(v.Pos(), false)
				e.value(v)
			}
		}
		c.mark(b.EndPos(), false)
		e.finish(b, next(r, i+1))
	}
	for i := 0; i < len(c.later); i++ {
		p := c.later[i]
		c.Bind(p.label)
		c.deducted, c.exit = p.deducted, p.exit
		c.mark(p.exit.pos, true)
		p.emit(c, &p)
	}
	code, err := c.Finish()
	return Code{code, outer, inner, nil, c.marks, c.faultsOf(), c.Away(), c.links}, err
}

func next(r *opt.Region, i int) *opt.Block {
	if i+1 < len(r.Blocks) {
		return r.Blocks[i+1]
	}
	return nil
}

// regionMiss is missPiece in a region.
func (c *Compiler) regionMiss(p *piece) {
	c.RM(asm.XOR, asm.S64, tmp, asm.Indexed(base, tmp2, 1, p.table))
	c.aroundMiss(p.exit, func() {
		c.MovImm(tmp2, c.place(&p.in))
		if p.table == offStores {
			c.CallTo(c.routines.MissStore)
		} else {
			c.CallTo(c.routines.MissLoad)
		}
	})
	c.Jmp(p.again)
}

// aroundMiss calls a routine for a miss, with the address in tmp: the registers are put aside and the state is made canonical.
func (c *Compiler) aroundMiss(x exitPoint, call func()) {
	ints, floats := c.region.Live(0, x.pos), c.region.Live(1, x.pos)
	for i, v := range x.state { // what is where it belongs the routine keeps
		if v == nil || v.Reg < 0 || v.Narrow || !v.Whole || registerOf(v) != canonicalPlace(ir.Var(i)) {
			continue
		}
		if v.Float() {
			floats &^= 1 << v.Reg
		} else {
			ints &^= 1 << v.Reg
		}
	}
	each := func(integer func(asm.Reg, asm.Mem), float func(asm.XMM, asm.Mem)) {
		for i := range 16 {
			if ints>>i&1 != 0 {
				integer(asm.Reg(i), asm.At(base, offSave+8*int32(i)))
			}
			if floats>>i&1 != 0 {
				float(asm.XMM(i), asm.At(base, offSave+8*int32(16+i)))
			}
		}
	}
	each(func(r asm.Reg, m asm.Mem) { c.MR(asm.MOV, asm.S64, m, r) }, func(x asm.XMM, m asm.Mem) { c.MX(c.whole(move64), m, x) })
	c.flush(x)
	call()
	each(func(r asm.Reg, m asm.Mem) { c.RM(asm.MOV, asm.S64, r, m) }, func(x asm.XMM, m asm.Mem) { c.fetchFloat(x, m) })
}

// regionEmitter emits a region.
type regionEmitter struct {
	*Compiler
	r      *opt.Region
	labels map[*opt.Block]asm.Label
	// carry is what has retired before a block and is not taken from the budget yet.
	carry  map[*opt.Block]int
	chosen asm.Cond // of the last Test
}

// variable is what the emitters call the place of a value.
func variable(v *opt.Value) ir.Var {
	switch {
	case v == nil:
		return ir.None
	case v.IsConst() && v.Var == ir.Zero:
		return ir.Zero
	case v.Reg >= 0 && v.Float():
		return varXMM + ir.Var(v.Reg)
	case v.Reg >= 0:
		return varReg + ir.Var(v.Reg)
	case v.Home >= int(ir.NumVars):
		return varSpill + ir.Var(v.Home-int(ir.NumVars))
	case v.Home >= int(ir.NumInt):
		return varF + ir.Var(v.Home-int(ir.NumInt))
	case v.Home >= 0:
		return varX + ir.Var(v.Home)
	}
	panic(fmt.Sprintf("amd64: no place for value %v of variable %d: kind %d %+v", v.Op, v.Var, v.Kind, v))
}

// inst is the instruction of a value, on places.
func inst(v *opt.Value) ir.Inst {
	in := v.Inst
	in.A, in.B = variable(v.Arg[0]), variable(v.Arg[1])
	if v.Op != ir.WriteCSR {
		in.C = variable(v.Arg[2])
	}
	switch {
	case v.Var != ir.None && (v.Reg >= 0 || v.Home >= 0):
		in.Dst = variable(v)
	case in.Dst != ir.None:
		in.Dst = ir.Zero
	}
	return in
}

// value emits an instruction.
func (e *regionEmitter) value(v *opt.Value) {
	c := e.Compiler
	if v.IsConst() && v.Reg < 0 && v.Home < 0 {
		return // only states have it
	}
	in := inst(v)
	c.compared = v.Compared
	c.exit = exitPoint{v.State, v.Pos()}
	c.narrow = v.Narrow && (v.Reg >= 0 || v.Private())
	switch {
	case v.Quiet:
		e.quiet(&in)
	case v.Op == ir.Group:
		e.group(v, &in)
	case v.Op == ir.Test:
		e.test(v)
	case v.Op == ir.Select:
		e.choose(&in)
	case v.Op == ir.Search:
		e.search(v, &in)
	case v.Op == ir.Skip:
		e.skip(&in)
	case v.Op == ir.Retire:
		e.retires(&in)
	case v.Op == ir.SetLT || v.Op == ir.SetLTU:
		e.set(&in)
	case v.Op == ir.RotR && in.Has(ir.UseImm) && c.has.Has(asm.HasBMI2):
		e.rotate(&in)
	case v.Op == ir.AndNot && c.has.Has(asm.HasBMI1):
		e.andNot(&in)
	default:
		f := emitters[in.Op]
		if f == nil {
			panic(fmt.Sprintf("amd64: no code for operation %d", in.Op))
		}
		f(c, &in)
	}
	c.narrow = false
	if v.Narrow && v.Reg < 0 && !v.Private() && in.Width != ir.W32 { // its variable's place has it whole
		c.RM(asm.MOVSXD, asm.S64, tmp, slot(in.Dst))
		c.MR(asm.MOV, asm.S64, slot(in.Dst), tmp)
	}
	if v.Stored {
		m := regionMove{dst: memoryOf(v.Home), src: registerOf(v)}
		if v.Narrow && !v.Private() {
			c.RR(asm.MOVSXD, asm.S64, tmp, asm.Reg(v.Reg)) // not by way of tmp2: see sparesTmp2
			m.src = regionPlace{inReg, int(tmp)}
		}
		c.move(m)
	}
}

// group leaves the host address of A+Imm in the place of v.
func (e *regionEmitter) group(v *opt.Value, in *ir.Inst) {
	c := e.Compiler
	table, routine := offLoads, c.routines.MissLoad
	if in.Has(ir.Signed) {
		table, routine = offStores, c.routines.MissStore
	}
	span := int64(in.Raw)
	missed := func(again asm.Label) func() {
		i := *in
		return func() { // over the end of the page, or not there
			c.countMissed(table)
			plain := c.cold(piece{emit: func(c *Compiler, p *piece) {
				c.flush(p.exit)
				c.retire(int(p.in.N))
				if v.Block.Inside != nil { // as for every exit from within a call: it may be one of an endless chain of them
					c.Jcc(asm.CondLE, c.leaving(pollPiece, int64(p.in.Off)).label)
				}
				c.link(int32(p.in.Off), true)
			}, in: i})
			// The offset in the page is that of address XOR tag.
			c.RM(asm.XOR, asm.S64, tmp, asm.Indexed(base, tmp2, 1, table))
			c.RR(asm.MOV, asm.S32, tmp2, tmp)
			c.RI(asm.AND, asm.S32, tmp2, memory.PageMask)
			c.RI(asm.CMP, asm.S32, tmp2, int32(memory.PageSize-span))
			c.Jcc(asm.CondA, plain)
			c.aroundMiss(c.exit, func() {
				c.MovImm(tmp2, c.place(&i)|placeGroup)
				c.CallTo(routine)
			})
			c.Jmp(again)
		}
	}
	address := func() {
		if a, ok := pinned(in.A); ok && in.Imm != 0 {
			c.RM(asm.LEA, asm.S64, tmp, asm.At(a, int32(in.Imm)))
		} else {
			c.load(tmp, in.A)
			if in.Imm != 0 {
				c.RM(asm.LEA, asm.S64, tmp, asm.At(tmp, int32(in.Imm)))
			}
		}
	}
	if v.Cell == nil {
		c.countLookup(table)
		again := c.NewLabel()
		l := c.outOfLine(missed(again))
		c.Bind(again)
		address()
		c.entry(tmp2, tmp)
		c.translate(table, span, l)
		c.put(in.Dst, tmp)
		return
	}
	tag, host := variable(v.Cell.Tag), variable(v.Cell.Host)
	again, ready := c.NewLabel(), c.NewLabel()
	other := c.outOfLine(func() { // another page
		c.countLookup(table)
		c.Bind(again)
		address()
		c.entry(tmp2, tmp)
		l := c.outOfLine(missed(again))
		c.RM(asm.XOR, asm.S64, tmp, asm.Indexed(base, tmp2, 1, table))
		c.RI(asm.CMP, asm.S64, tmp, int32(memory.PageSize-span))
		c.Jcc(asm.CondA, l)
		for i, cell := range []ir.Var{tag, host} {
			m := asm.Indexed(base, tmp2, 1, table+8*int32(i))
			if r, ok := pinned(cell); ok {
				c.RM(asm.MOV, asm.S64, r, m)
			} else {
				c.fetchFloat(ftmp, m)
				c.MX(c.whole(move64), slot(cell), ftmp)
			}
		}
		c.Jmp(ready)
	})
	address()
	c.drag(tmp)
	c.apply(asm.XOR, asm.S64, tmp, tag)
	c.RI(asm.CMP, asm.S64, tmp, int32(memory.PageSize-span))
	c.Jcc(asm.CondA, other)
	c.Bind(ready)
	if v.Alone {
		c.direct = asm.At(tmp, 0)
		if h, ok := pinned(host); ok {
			c.direct = asm.Indexed(h, tmp, 1, 0)
		} else {
			c.RM(asm.ADD, asm.S64, tmp, slot(host))
		}
		c.isDirect = true
		return
	}
	if d, ok := pinned(in.Dst); ok {
		if h, ok := pinned(host); ok {
			c.RM(asm.LEA, asm.S64, d, asm.Indexed(tmp, h, 1, 0))
			return
		}
		c.RM(asm.ADD, asm.S64, tmp, slot(host))
		c.put(in.Dst, tmp)
		return
	}
	c.apply(asm.ADD, asm.S64, tmp, host)
	c.put(in.Dst, tmp)
}

// quiet compares, and puts back the flags that C has if the operands are unordered.
func (e *regionEmitter) quiet(in *ir.Inst) {
	c := e.Compiler
	c.sources(in, in.A, in.B)
	cond := asm.CondA
	if in.Op == ir.FLe {
		cond = asm.CondAE
	}
	if in.C == ir.None { // neither operand signals: see opt.Region.Stateless
		y := c.useFloat(in.B, ftmp)
		c.two(c.scalar(ucomis, false), y, floatOperand(in.A))
		c.R(asm.Set(cond), asm.S8, tmp)
		d := c.def(in.Dst, tmp)
		c.RR(asm.MOVZX8, asm.S32, d, tmp)
		c.put(in.Dst, d)
		return
	}
	flags, done := in.C, c.NewLabel()
	lost := in.Dst == flags // the result takes its place
	if lost {
		c.load(asm.RDX, flags)
	}
	unordered := c.outOfLine(func() {
		if !lost {
			c.load(asm.RDX, flags)
		}
		c.CallTo(c.routines.WriteFlags)
		c.Jmp(done)
	})
	y := c.useFloat(in.B, ftmp)
	c.two(c.scalar(ucomis, in.Has(ir.Single)), y, floatOperand(in.A))
	c.R(asm.Set(cond), asm.S8, tmp)
	d := c.def(in.Dst, tmp)
	c.RR(asm.MOVZX8, asm.S32, d, tmp)
	c.put(in.Dst, d)
	c.Jcc(asm.CondP, unordered)
	c.Bind(done)
}

func (e *regionEmitter) set(in *ir.Inst) {
	cond := asm.CondL
	if in.Op == ir.SetLTU {
		cond = asm.CondB
	}
	e.compare(in)
	e.R(asm.Set(cond), asm.S8, tmp)
	d := e.def(in.Dst, tmp)
	e.RR(asm.MOVZX8, asm.S32, d, tmp)
	e.put(in.Dst, d)
}

func (e *regionEmitter) rotate(in *ir.Inst) {
	d := e.def(in.Dst, tmp)
	s := size(in.Width)
	if a, ok := pinned(in.A); ok {
		e.RRI(asm.RORX, s, d, a, int32(in.Imm))
	} else {
		e.RMI(asm.RORX, s, d, slot(in.A), int32(in.Imm))
	}
	if s == asm.S32 {
		e.extend32(d, d)
	}
	e.put(in.Dst, d)
}

func (e *regionEmitter) andNot(in *ir.Inst) {
	d, b := e.def(in.Dst, tmp), e.use(in.B, tmp)
	if a, ok := pinned(in.A); ok {
		e.RRR(asm.ANDN, asm.S64, d, b, a)
	} else {
		e.RRM(asm.ANDN, asm.S64, d, b, slot(in.A))
	}
	e.put(in.Dst, d)
}

// compare sets the flags for A against (B or Imm), of both widths.
func (e *regionEmitter) compare(in *ir.Inst) {
	s := size(in.Width)
	a, okA := pinned(in.A)
	if in.A == ir.Zero {
		e.RR(asm.XOR, asm.S32, tmp, tmp)
		a, okA = tmp, true
	}
	switch {
	case in.Has(ir.UseImm) && okA:
		e.RI(asm.CMP, s, a, int32(in.Imm))
	case in.Has(ir.UseImm):
		e.MI(asm.CMP, s, slot(in.A), int32(in.Imm))
	case in.B == ir.Zero && okA:
		e.RR(asm.TEST, s, a, a)
	case in.B == ir.Zero:
		e.MI(asm.CMP, s, slot(in.A), 0)
	case okA:
		e.apply(asm.CMP, s, a, in.B)
	default:
		if b, ok := pinned(in.B); ok {
			e.MR(asm.CMP, s, slot(in.A), b)
			return
		}
		e.RM(asm.MOV, s, tmp, slot(in.A))
		e.apply(asm.CMP, s, tmp, in.B)
	}
}

// bits sets the flags for the bits of A that Imm has.
func (e *regionEmitter) bits(in *ir.Inst) {
	if a, ok := pinned(in.A); ok {
		e.RI(asm.TEST, size(in.Width), a, int32(in.Imm))
		return
	}
	e.MI(asm.TEST, size(in.Width), slot(in.A), int32(in.Imm))
}

// condition compares for a branch.
func (e *regionEmitter) condition(v *opt.Value) asm.Cond {
	in := inst(v)
	if v.Masked {
		e.bits(&in)
		return conditions[in.Cond]
	}
	if in.A == ir.Zero && in.B != ir.Zero && !in.Has(ir.UseImm) {
		in.A, in.B = in.B, in.A
		e.compare(&in)
		return mirrored(in.Cond)
	}
	e.compare(&in)
	return conditions[in.Cond]
}

// test leaves the flags for the choices that follow.
func (e *regionEmitter) test(v *opt.Value) {
	e.chosen = e.condition(v)
	e.RM(asm.LEA, asm.S64, tmp2, asm.At(budget, -int32(v.Raw)))
	e.RR(asm.Cmov(e.chosen), asm.S64, budget, tmp2)
}

// choose takes A if the last test holds, else B. The flags stay.
func (e *regionEmitter) choose(in *ir.Inst) {
	d, a, b, cond := e.def(in.Dst, tmp), in.A, in.B, e.chosen
	if r, ok := pinned(a); ok && r == d {
		a, b, cond = b, a, cond.Not()
	}
	fetch := func(r asm.Reg, v ir.Var) {
		switch p, ok := pinned(v); {
		case v == ir.Zero:
			e.MovImm(r, 0)
		case !ok:
			e.RM(asm.MOV, asm.S64, r, slot(v))
		case p != r:
			e.RR(asm.MOV, asm.S64, r, p)
		}
	}
	fetch(d, b)
	if a == ir.Zero {
		fetch(tmp2, a)
		e.RR(asm.Cmov(cond), asm.S64, d, tmp2)
	} else {
		e.apply(asm.Cmov(cond), asm.S64, d, a)
	}
	e.put(in.Dst, d)
}

// finish emits the end of a block. following is the block behind it.
func (e *regionEmitter) finish(b, following *opt.Block) {
	c := e.Compiler
	c.exit = exitPoint{b.Final, b.EndPos()}
	switch {
	case b.Call != nil:
		c.flush(c.exit)
		jump(c, b.Call)
		return // into the landing
	case b.Return != nil:
		c.flush(c.exit)
		jumpReg(c, b.Return)
		return
	case b.Cond == nil:
		e.carryOver(b)
		e.edge(b.Out[0], following, true)
		return
	}
	taken, not := b.Out[0], b.Out[1]
	if !taken.Back || taken.To == nil {
		for _, d := range b.Out {
			if e.settles(d) {
				c.settle(max(c.deducted, e.before(d)))
			}
		}
	}
	e.carryOver(b)
	cond := e.condition(b.Cond)
	switch {
	case taken.To != nil && taken.Back:
		// The bottom of a loop: what goes back is in line.
		var l asm.Label
		inline := not.To != nil
		if inline {
			l = c.NewLabel()
			c.Jcc(cond.Not(), l)
			d := c.deducted
			e.edge(taken, nil, true)
			c.Bind(l)
			c.deducted = d
			e.edge(not, following, true)
			return
		}
		l = c.outOfLine(func() { e.edge(not, nil, false) })
		c.Jcc(cond.Not(), l)
		e.edge(taken, nil, true)
	case taken.To != nil && taken.To == following:
		l := e.labels[not.To]
		if !e.plain(not) {
			l = c.outOfLine(func() { e.edge(not, nil, false) })
		}
		c.Jcc(cond.Not(), l)
		e.edge(taken, following, true)
	case e.plain(taken):
		c.Jcc(cond, e.labels[taken.To])
		e.edge(not, following, true)
	default:
		l := c.outOfLine(func() { e.edge(taken, nil, false) })
		c.Jcc(cond, l)
		e.edge(not, following, true)
	}
}

// plain says that an edge needs no code, once the budget is settled.
func (e *regionEmitter) plain(d *opt.Edge) bool {
	for _, cell := range e.r.Cells {
		if cell.Fresh(d) {
			return false
		}
	}
	return d.To != nil && !d.Back && len(e.moves(d)) == 0 && !(joins(d) && e.deducted != e.before(d))
}

// moves is what an edge has to move: the arguments of the phis of its target, into registers and into memory.
func (e *regionEmitter) moves(d *opt.Edge) (moves []regionMove) {
	for _, p := range d.To.Phis {
		a := p.Args[d.Index()]
		add := func(dst regionPlace) {
			m := regionMove{dst: dst}
			whole := !p.Narrow || dst.kind == inState && !p.Private()
			switch {
			case a.IsConst():
				m.src, m.imm = regionPlace{kind: isConst}, a.Imm
			case dst.kind == inState && a.Home >= 0 && memoryOf(a.Home) == dst: // there already, if not its low half alone
				m.src, m.extend = dst, a.Narrow && a.Private() && whole
			case a.Reg >= 0 && (len(p.NeedsSpans()) > 0 || a.Whole || a.Home < 0):
				m.src, m.extend = registerOf(a), a.Narrow && whole
			default:
				m.src, m.extend = memoryOf(a.Home), a.Narrow && a.Private() && whole
			}
			if m.src != m.dst || m.extend {
				moves = append(moves, m)
			}
		}
		if p.Reg >= 0 {
			add(registerOf(p))
		}
		if p.Home >= 0 {
			add(memoryOf(p.Home))
		}
	}
	return moves
}

// edge goes along an edge. following is the block behind the code, or nil.
func (e *regionEmitter) edge(d *opt.Edge, following *opt.Block, inline bool) {
	c := e.Compiler
	guest := d.From.Guest - d.Less
	if d.To == nil {
		c.flush(exitPoint{d.From.Final, d.From.EndPos()})
		e.frames(d.Inside)
		c.retire(guest)
		target := int64(d.Off)
		if d.Back && inside(target) {
			l := c.outOfLine(func() {
				c.MovImm(tmp2, uint64(uint32(target)))
				c.JmpTo(c.routines.Poll)
			})
			c.Jcc(asm.CondLE, l)
		}
		c.far(target)
		return
	}
	c.parallel(e.moves(d))
	for _, cell := range e.r.Cells {
		host, known := variable(cell.Host), c.NewLabel()
		if d.From == e.r.Entry {
			if h, ok := pinned(host); ok {
				c.RR(asm.XOR, asm.S32, h, h)
			} else {
				c.MI(asm.MOV, asm.S64, slot(host), 0)
			}
		}
		if !cell.Fresh(d) {
			continue
		}
		if d.From != e.r.Entry {
			if h, ok := pinned(host); ok {
				c.RR(asm.TEST, asm.S64, h, h)
			} else {
				c.MI(asm.CMP, asm.S64, slot(host), 0)
			}
			c.Jcc(asm.CondNE, known)
		}
		c.load(tmp, variable(cell.Root))
		c.RI(asm.BTC, asm.S64, tmp, opt.Unknown)
		c.put(variable(cell.Tag), tmp)
		c.Bind(known)
	}
	label := e.labels[d.To]
	if d.Back {
		c.retire(guest)
		c.Jcc(asm.CondG, label)
		to := d.To
		l := c.outOfLine(func() {
			c.flush(exitPoint{to.Start, to.StartPos()})
			e.frames(d.Inside)
			c.MovImm(tmp2, uint64(uint32(to.Off)))
			c.JmpTo(c.routines.Poll)
		})
		c.Jmp(l)
		return
	}
	if joins(d) {
		c.settle(e.before(d))
	}
	if d.To != following {
		c.Jmp(label)
	}
}
