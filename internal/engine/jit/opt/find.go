package opt

// Which code a region is. It begins at a hot place and follows branches and jumps inside the page, the nearest first.
//
// What is in no loop is a region only if it is a long straight line.
//
// Calls inside the page are followed too, a few deep: what is called becomes a part of the region, once for each call, without a frame on the shadow
// stack. Where it returns, the address that it returns by is compared with the one behind the call; if that was kept in memory meanwhile,
// Forward most often knows it. A function that calls itself is followed into itself as deep as it may be, and there the call is made.

import (
	"maps"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/rv64"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

const (
	maxInlined  = 20 // calls deep
	maxCallee   = 40 // instructions of what is called
	minStraight = 64 // instructions of a region without a loop
)

// Inlined is a call whose callee is in the region. Nil is for what no such call leads to.
type Inlined struct {
	Up    *Inlined // the one that it is made in
	Back  int      // offset behind it, where it returns to
	depth int
	to    int  // offset of the callee
	done  bool // the callee has been followed
}

func (c *Inlined) deep() int {
	if c == nil {
		return 0
	}
	return c.depth
}

// supported says that an operation may stand in a region.
func supported(op ir.Op) bool {
	switch op {
	case ir.Nop, ir.Const, ir.Page, ir.Move, ir.Load, ir.Store, ir.FLoad, ir.FStore:
		return true
	case ir.ClMul, ir.ClMulH, ir.ClMulR:
		return false
	}
	return op >= ir.Add && op <= ir.ZeroIfNonzero || op >= ir.FAdd && op <= ir.FConst
}

// flags says that an instruction reads or writes fflags, which compilers do around quiet comparisons.
func flags(in *ir.Inst) bool {
	return (in.Op == ir.ReadCSR || in.Op == ir.WriteCSR) && in.Imm == riscv.CSRFflags
}

// decoded is a guest instruction.
type decoded struct {
	insts []ir.Inst
	size  int
	ok    bool
	fence bool // which needs no code here, but orders accesses
}

// last is the operation that control goes by, or Nop.
func (d *decoded) last() *ir.Inst {
	if len(d.insts) > 0 {
		switch in := &d.insts[len(d.insts)-1]; in.Op {
		case ir.Branch, ir.Jump, ir.JumpReg:
			return in
		}
	}
	return &ir.Inst{}
}

// place is an instruction of the region.
type place struct {
	inside *Inlined
	off    int
}

// finder finds the blocks of a region.
type finder struct {
	*Source
	recursive bool
	decoded   map[int]*decoded
	at        map[place]bool // what is in the region
	lead      map[place]bool // where blocks begin
	calls     map[place]*Inlined
	inlined   []*Inlined
	again     int               // calls of itself by the function that the head is in
	functions map[int]*function // by offset
}

func (f *finder) decode(off int) *decoded {
	if d := f.decoded[off]; d != nil {
		return d
	}
	insts, size, ok := rv64.One(nil, f.Bytes, off)
	const miscMem = 0x0f // the opcode of fences
	d := &decoded{insts, size, ok, ok && len(insts) == 0 && f.Bytes[off]&0x7f == miscMem}
	if d.ok && len(insts) > 0 {
		switch in := &insts[0]; {
		case in.Op == ir.Branch:
			d.insts = insts[:1]
		case in.Op == ir.Jump:
			d.ok = !in.Has(ir.Call) || inPage(in.Imm)
		case in.Op == ir.JumpReg:
			d.ok = in.Has(ir.Return) && in.Imm == 0
		default:
			d.ok = len(insts) == 1 && (supported(in.Op) || flags(in))
		}
	}
	f.decoded[off] = d
	return d
}

func inPage(off int64) bool { return off >= 0 && off < memory.PageSize }

func (s *Source) known(off int) bool {
	return inPage(int64(off)) && (s.Known == nil || s.Known(uint16(off)))
}

// Find makes the region around the source's head, or returns nil if there is none worth making.
func Find(s *Source) *Region {
	r, again := find(s, true)
	if r != nil && again && r.innerLoop() {
		r, _ = find(s, false)
	}
	return r
}

// find is Find. recursive: a function that calls itself is followed into itself; again says that there is one.
func find(s *Source, recursive bool) (r *Region, again bool) {
	f := newFinder(s, recursive)
	r = f.region()
	if r == nil {
		return nil, false
	}
	if s.Loops && !r.calls && !r.keepLoops() {
		if r = f.straight(); r == nil {
			return nil, false
		}
	}
	r.unroll(s)
	r.connect()
	r.mirrored = s.Mirrored
	return r, f.again > 0
}

func newFinder(s *Source, recursive bool) *finder {
	return &finder{Source: s, recursive: recursive, decoded: map[int]*decoded{}, at: map[place]bool{}, lead: map[place]bool{}, calls: map[place]*Inlined{}, functions: map[int]*function{}}
}

// region is all that is reached from the head, as far as it fits. Nil: the head cannot stand in a region.
func (f *finder) region() *Region {
	f.follow(nil, int(f.Head))
	for i := 0; i < len(f.inlined); i++ {
		// Whole or not at all. What calls itself at several places grows faster than it gains.
		c := f.inlined[i]
		if fn := f.function(c.to); len(f.at)+fn.size <= f.Max && !(fn.around && f.again > 1 && c.depth > 1) {
			c.done = true
			f.follow(c, c.to)
		}
	}
	r := f.blocks()
	if r == nil || r.Head.Guest == 0 { // or a call that it does not make
		return nil
	}
	return r
}

// Head is where a region for the source's head had best begin. Samples are taken at jumps back, and at the ends of long blocks, which may be anywhere in a loop: the
// region begins where the innermost loop that the sample is in does, lest all that the loop is in the middle of goes around it.
func Head(s *Source) uint16 {
	t := *s
	if to, ok := back(s); ok && s.known(int(to)) {
		t.Head = to
	}
	f := newFinder(&t, false)
	r := f.region()
	if r == nil || returns(s) {
		return t.Head
	}
	r.connect()
	head, without := t.Head, map[*Block]bool{}
	for {
		// The loops that the sample is in begin where their first jumps back lead. Without that the next one is left. A loop may be entered in its middle:
		// most are, by a compiler that tests at the bottom.
		first := firstOf(r.cycle(without))
		if first == nil {
			return head
		}
		if f.known(first.Off) {
			head = uint16(first.Off)
		}
		if first == r.Head {
			return head
		}
		without[first] = true
	}
}

// returns says that the source's head is behind a call: a loop that makes it is entered there in each turn.
func returns(s *Source) bool {
	for _, size := range []int{2, 4} {
		if at := int(s.Head) - size; at >= 0 {
			insts, n, ok := rv64.One(nil, s.Bytes, at)
			if ok && n == size && len(insts) > 0 && insts[len(insts)-1].Has(ir.Call) {
				return true
			}
		}
	}
	return false
}

// cycle is the blocks that lie on ways from the head back to it, without some: none, if there are no such ways.
func (r *Region) cycle(without map[*Block]bool) map[*Block]bool {
	reach := func(next func(b *Block) []*Block) map[*Block]bool {
		list := map[*Block]bool{}
		for work := next(r.Head); len(work) > 0; {
			b := work[len(work)-1]
			if work = work[:len(work)-1]; b != nil && !list[b] && !without[b] {
				list[b] = true
				work = append(work, next(b)...)
			}
		}
		return list
	}
	behind := reach(func(b *Block) (list []*Block) {
		for _, e := range b.Out {
			list = append(list, e.To)
		}
		return list
	})
	before := reach(func(b *Block) (list []*Block) {
		for _, e := range b.In {
			list = append(list, e.From)
		}
		return list
	})
	maps.DeleteFunc(behind, func(b *Block, _ bool) bool { return !before[b] })
	return behind
}

// firstOf is the first of some blocks that one of them jumps back to, or nil.
func firstOf(loop map[*Block]bool) (first *Block) {
	for b := range loop {
		for _, e := range b.Out {
			if e.Back && loop[e.To] && e.To.Inside == nil && (first == nil || e.To.Off < first.Off) {
				first = e.To
			}
		}
	}
	return first
}

// back is where the jump at the source's head leads, if it is one back in the page.
func back(s *Source) (uint16, bool) {
	insts, _, ok := rv64.One(nil, s.Bytes, int(s.Head))
	if !ok || len(insts) == 0 || insts[0].Op != ir.Branch && insts[0].Op != ir.Jump || insts[0].Has(ir.Call) {
		return 0, false
	}
	to := insts[0].Imm
	return uint16(to), to >= 0 && to < int64(s.Head)
}

// straight is the region of what follows the head in a straight line, if that is long: digests and ciphers are loops of a thousand instructions, longer than
// a page at times. What it moves on the way in and out is little beside. The budget is checked on the way out, as what follows may be as hot.
func (f *finder) straight() *Region {
	f.at, f.lead, f.calls = map[place]bool{}, map[place]bool{{nil, int(f.Head)}: true}, nil
	for off := int(f.Head); len(f.at) < f.Straight; {
		d := f.decode(off)
		if !d.ok || d.fence || d.last().Op != ir.Nop {
			break
		}
		f.at[place{nil, off}] = true
		off += d.size
	}
	if len(f.at) < minStraight {
		return nil
	}
	r := f.blocks()
	r.Straight = true
	r.Head.Out[0].Back = true
	return r
}

// innerLoop says that there is a loop without calls: that had best have a region of its own, with all registers.
func (r *Region) innerLoop() bool {
	calls := map[*Block]bool{} // by the head of a loop
	for _, b := range r.Blocks {
		for _, e := range b.Out {
			if e.To == nil || !e.Back {
				continue
			}
			for o := range body(e.To, b) {
				calls[e.To] = calls[e.To] || o.Call != nil || o.Inside != e.To.Inside
			}
		}
	}
	for _, some := range calls {
		if !some {
			return true
		}
	}
	return false
}

// follow finds what is reached from an offset, in a call that is inlined or in none.
func (f *finder) follow(c *Inlined, start int) {
	f.lead[place{c, start}] = true
	// Nearest first, so that what does not fit is what is far away.
	queue := []int{start}
	lead := func(off int) {
		if f.known(off) {
			f.lead[place{c, off}] = true
			queue = append(queue, off)
		}
	}
	for len(queue) > 0 {
		off := queue[0]
		queue = queue[1:]
		for next := true; next && len(f.at) < f.Max && !f.at[place{c, off}]; {
			d := f.decode(off)
			if next = d.ok; !next {
				break
			}
			f.at[place{c, off}] = true
			switch in := d.last(); {
			case in.Op == ir.Branch:
				f.lead[place{c, off + d.size}] = true
				lead(int(in.Imm))
			case in.Op == ir.Jump && in.Has(ir.Call):
				f.lead[place{c, off + d.size}] = true
				next = f.call(place{c, off}, off+d.size, int(in.Imm))
			case in.Op == ir.Jump:
				lead(int(in.Imm))
				next = false
			case in.Op == ir.JumpReg:
				next = false
			case d.fence:
				f.lead[place{c, off + d.size}] = true
			}
			off += d.size
		}
	}
}

// call notes a call, and says whether control comes back in the region.
func (f *finder) call(at place, back, to int) bool {
	callee := f.function(to)
	if !f.known(to) || callee.around && !f.recursive || !callee.around && !f.small(at.inside, to) {
		return false
	}
	if callee.around && at.inside == nil {
		f.again++
	}
	if at.inside.deep() == maxInlined {
		return to == int(f.Head)
	}
	c := &Inlined{Up: at.inside, Back: back, depth: at.inside.deep() + 1, to: to}
	f.calls[at] = c
	f.inlined = append(f.inlined, c)
	return true
}

// small says that a function is short, has no loops, and is not called by itself: one with loops has regions of its own.
func (f *finder) small(inside *Inlined, to int) bool {
	for c := inside; c != nil; c = c.Up {
		if c.to == to {
			return false
		}
	}
	return f.function(to).size <= maxCallee && !f.function(to).loops
}

// function is what is known of one.
type function struct {
	size   int // instructions, up to the most of a region
	loops  bool
	around bool // the head of the region is in it: calls are of itself
}

func (f *finder) function(start int) *function {
	if fn := f.functions[start]; fn != nil {
		return fn
	}
	fn := &function{}
	f.functions[start] = fn
	at := map[int]bool{}
	queue := []int{start}
	for len(queue) > 0 {
		off := queue[0]
		queue = queue[1:]
		for inPage(int64(off)) && !at[off] && len(at) < f.Max {
			at[off] = true
			d := f.decode(off)
			in := d.last()
			jumps := in.Op == ir.Jump && !in.Has(ir.Call)
			if target := int(in.Imm); jumps || in.Op == ir.Branch {
				fn.loops = fn.loops || target <= off
				if f.known(target) {
					queue = append(queue, target)
				}
			}
			if jumps || in.Op == ir.JumpReg || !d.ok {
				break
			}
			off += d.size
		}
	}
	fn.size, fn.around = len(at), at[int(f.Head)]
	return fn
}

// blocks cuts what was found into blocks.
func (f *finder) blocks() *Region {
	if !f.at[place{nil, int(f.Head)}] {
		return nil
	}
	heads := map[*Inlined][]int{}
	blocks := map[place]*Block{}
	for p := range f.lead {
		if f.at[p] {
			heads[p.inside] = append(heads[p.inside], p.off)
			blocks[p] = &Block{Off: p.off, Inside: p.inside}
		}
	}
	r := &Region{Page: f.Page, memory: f.Memory}
	if r.memory == nil {
		r.memory = &Memory{}
	}
	// Nearly each comes behind those that lead to it, but for ways back: what is called stands behind the call, or the first of two blocks that share one,
	// whose instructions overlap.
	placed := map[*Inlined]bool{}
	var within func(c *Inlined)
	within = func(c *Inlined) {
		slices.Sort(heads[c])
		for _, off := range heads[c] {
			b := blocks[place{c, off}]
			r.Blocks = append(r.Blocks, b)
			f.fill(r, b, blocks)
			if e := b.Out[0]; e.Inside.deep() > c.deep() && !placed[e.Inside] {
				placed[e.Inside] = true
				within(e.Inside)
			}
		}
	}
	within(nil)
	r.Head = blocks[place{nil, int(f.Head)}]
	return r
}

// fill gives a block its instructions, and the edges that it ends with.
func (f *finder) fill(r *Region, b *Block, blocks map[place]*Block) {
	c := b.Inside
	to := func(from, target int) *Edge {
		e := &Edge{From: b, To: blocks[place{c, target}], Off: target, Back: target <= from, Inside: c}
		b.Out = append(b.Out, e)
		return e
	}
	add := func(in ir.Inst) {
		in.N = uint16(b.Guest)
		b.Insts = append(b.Insts, in)
	}
	for off := b.Off; ; {
		if !f.at[place{c, off}] || off != b.Off && blocks[place{c, off}] != nil {
			to(off-1, off)
			return
		}
		d := f.decode(off)
		last := d.last()
		for _, in := range d.insts {
			if in.Op != ir.Jump && in.Op != ir.JumpReg {
				add(in)
			}
		}
		in, back := *last, off+d.size
		in.N = uint16(b.Guest)
		b.Guest, b.End = b.Guest+1, back
		switch {
		case d.fence:
			b.Fenced = true
			to(off, back)
			return
		case in.Op == ir.Branch:
			to(off, int(in.Imm))
			to(off, back)
			return
		case in.Op == ir.Jump && !in.Has(ir.Call):
			to(off, int(in.Imm))
			return
		case in.Op == ir.Jump:
			called := f.calls[place{c, off}]
			inlined := called != nil && called.done
			if !inlined && !(f.recursive && int(in.Imm) == int(f.Head)) { // the translation of the block makes it
				b.Guest, b.End = b.Guest-1, off
				b.Out = []*Edge{{From: b, Off: off, Inside: c}}
				return
			}
			add(ir.Inst{Op: ir.Page, Width: ir.W64, Dst: in.Dst, A: ir.None, B: ir.None, C: ir.None, Imm: int64(back), Off: in.Off, Len: in.Len})
			if inlined {
				b.Out = []*Edge{{From: b, To: blocks[place{called, called.to}], Off: called.to, Inside: called}}
				return
			}
			landing := &Block{Off: back, Inside: c, Landing: true}
			landing.Out = []*Edge{{From: landing, To: blocks[place{c, back}], Off: back, Inside: c}}
			r.Blocks = append(r.Blocks, landing)
			r.calls = true
			b.Call = &in
			b.Out = []*Edge{{From: b, To: landing, Off: back}}
			return
		case in.Op == ir.JumpReg && c == nil:
			b.Return = &in
			b.Out = []*Edge{{From: b, Off: off}}
			return
		case in.Op == ir.JumpReg:
			add(ir.Inst{Op: ir.Page, Width: ir.W64, Dst: internal, A: ir.None, B: ir.None, C: ir.None, Imm: int64(c.Back), Off: in.Off})
			add(ir.Inst{Op: ir.Branch, Width: ir.W64, Cond: ir.NE, Dst: ir.None, A: in.A, B: internal, C: ir.None, Off: in.Off, Len: in.Len})
			b.Out = []*Edge{{From: b, Off: off, Less: 1}, {From: b, To: blocks[place{c.Up, c.Back}], Off: c.Back, Inside: c.Up}}
			return
		}
		off += d.size
	}
}

// keepLoops leaves only the blocks from which the head can be reached. It is false if the head is in no loop.
func (r *Region) keepLoops() bool {
	for changed := true; changed; {
		changed = false
		for _, b := range r.Blocks {
			if b.mark {
				continue
			}
			for _, e := range b.Out {
				if e.To != nil && (e.To == r.Head || e.To.mark) {
					b.mark, changed = true, true
				}
			}
		}
	}
	if !r.Head.mark {
		return false
	}
	r.drop(func(b *Block) bool { return b.mark })
	return true
}
