package opt

// Loops that only look: they read one number after the other until one is not below, or not above, another. Which turn is the last is as good as random where numbers are sorted, and
// a host that guesses at it wastes more time than the turn takes. So 16 bytes are compared at once (ir.Search), as many turns as pass over their
// elements are skipped, with all that they would have added to pointers and counters (ir.Skip), and the turn that follows is made as it stands in the program.
//
// Whatever fails in that turn before its branch fails as in the first turn that was skipped: its state is the one from before. None of the skipped turns did anything but read, from
// one page, and what else they read is where it was in the turn before.
//
// What looks for an element that is equal goes on for long, and then it ends: the host guesses right until there, and goes on meanwhile.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Scan is what a Search does beyond its operation.
type Scan struct {
	Down    bool // elements are before one another
	Swapped bool // Cond is between B and an element
	Checked bool // B may be no number of 32 bits that is sign-extended: nothing is passed over then, as elements compare with their low halves
}

const (
	searched  = 16 // bytes at once
	maxSearch = 12 // guest instructions of a turn
	maxAround = 4  // blocks that a turn goes through
)

// Search looks at each loop.
func (r *Region) Search() {
	for _, b := range slices.Clone(r.Blocks[1:]) {
		// Its start has to be a place where the region may be left already: all that the guest has there is kept.
		left := slices.ContainsFunc(b.In, func(e *Edge) bool { return e.Back })
		if b.Depth > 0 && b.Cond != nil && b.Cond.Cond > ir.NE && len(b.Phis) > 0 && left && b.looks() {
			_ = r.search(b, 0) || r.search(b, 1)
		}
	}
}

// straightOn says that nothing happens in a block, or between it and the next, beyond its instructions.
func (b *Block) straightOn() bool {
	return b.Call == nil && b.Return == nil && !b.Fenced && !b.Landing && b.Inside == nil
}

// looks says that all that a block does beside computing is to read.
func (b *Block) looks() bool {
	for _, v := range b.Values {
		if v.Kind != Computed || v.Op != ir.Load && (effects(v.Op) || v.State != nil) {
			return false
		}
	}
	return b.straightOn()
}

// turn is a way from a block back to it, on which nothing but reading happens, in that block.
type turn struct {
	head  *Block
	edges []*Edge          // the last one leads to head
	guest int              // instructions
	steps map[*Value]int64 // what a turn adds to phis of head; none are those that are made anew
}

// turnOf is the turn that begins with one of b's edges, or nil.
func turnOf(b *Block, side int) *turn {
	t := &turn{head: b, guest: b.Guest, steps: map[*Value]int64{}}
	for e := b.Out[side]; ; e = e.To.Out[0] {
		if e.To == nil || e.Less != 0 || len(t.edges) == maxAround || t.guest > maxSearch {
			return nil
		}
		if t.edges = append(t.edges, e); e.To == b {
			return t
		}
		x := e.To
		if x.Cond != nil || !x.computes() {
			return nil
		}
		t.guest += x.Guest
	}
}

// computes says that a block does nothing else.
func (b *Block) computes() bool {
	return b.looks() && !slices.ContainsFunc(b.Values, func(v *Value) bool { return v.State != nil })
}

// next is the value of a phi of the head in the next turn, as a distance from one of this turn.
func (t *turn) next(p *Value) (v *Value, dist int64) {
	last := len(t.edges) - 1
	v = p.Args[t.edges[last].index].find()
	for i := last - 1; i >= 0; i-- {
		x := t.edges[i].To
		for v.Block == x && v.imm(ir.Add, ir.W64) {
			v, dist = v.Arg[0].find(), dist+v.Imm
		}
		if v.Kind == Phi && v.Block == x {
			v = v.Args[t.edges[i].index].find()
		}
	}
	for v.Block == t.head && v.imm(ir.Add, ir.W64) {
		v, dist = v.Arg[0].find(), dist+v.Imm
	}
	return v, dist
}

// same says that v has one value in all turns. Its operands are operations of the head, or from elsewhere.
func (t *turn) same(v *Value) bool {
	if step, ok := t.steps[v]; ok {
		return step == 0
	}
	switch {
	case v == nil || v.IsConst():
		return true
	case v.Block != t.head:
		return !slices.ContainsFunc(t.edges, func(e *Edge) bool { return e.To == v.Block })
	case v.Kind != Computed || v.State != nil:
		return false
	}
	return t.same(v.Arg[0]) && t.same(v.Arg[1]) && t.same(v.Arg[2])
}

// compared is the element that a turn's branch compares, and with what, which is there when the turn begins. The element is nil if there is none.
func (t *turn) compared() (element, with *Value) {
	cond := t.head.Cond
	if cond.Masked || cond.Has(ir.UseImm) {
		return nil, nil
	}
	element, with = cond.Arg[0], cond.Arg[1]
	is := func(v *Value) bool {
		return v.Kind == Computed && v.Op == ir.Load && v.Block == t.head && v.Width == ir.W32 && v.Has(ir.Signed)
	}
	if !is(element) {
		element, with = with, element
	}
	if !is(element) || with.Block == t.head && with.Kind == Computed || !t.same(with) {
		return nil, nil
	}
	return element, with
}

// search makes a search of the loop of b that one of its edges leads around.
func (r *Region) search(b *Block, side int) bool {
	t := turnOf(b, side)
	if t == nil {
		return false
	}
	var again []*Value // made anew in each turn
	for _, p := range b.Phis {
		switch v, dist := t.next(p); {
		case v != p:
			again = append(again, p)
		case !fits(searched * dist):
			return false
		default:
			t.steps[p] = dist
		}
	}
	element, with := t.compared()
	if element == nil {
		return false
	}
	base, dist := root(element.Arg[0])
	step := t.steps[base]
	if abs(step) != element.Width.Bytes() || !fits(dist+element.Imm-searched) {
		return false
	}
	for _, v := range b.Values {
		if v.Op == ir.Load && v != element && !t.same(v.Arg[0]) {
			return false
		}
	}
	if r.wants(b, again) {
		return false
	}
	n := r.newValue(b, Computed, internal)
	n.Inst = b.instead(ir.Search, dist+element.Imm)
	n.Width, n.Cond = element.Width, b.Cond.Cond
	if side == 1 {
		n.Cond = n.Cond.Not()
	}
	n.Arg[0], n.Arg[1], n.State = base, with, b.Start
	n.Scan = &Scan{Down: step < 0, Swapped: element == b.Cond.Arg[1], Checked: !isExtended(with)}
	values := []*Value{n}
	skipped := map[*Value]*Value{}
	for _, p := range b.Phis {
		if d := t.steps[p]; d != 0 {
			s := r.newValue(b, Computed, p.Var)
			s.Inst = b.instead(ir.Skip, d)
			s.Dst, s.Arg[0], s.Arg[1] = p.Var, p, n
			values, skipped[p] = append(values, s), s
		}
	}
	for _, v := range b.Values {
		if v.Op == ir.Load {
			v.State, v.Off, v.N = b.Start, uint16(b.Off), 0
		}
	}
	r.replace(skipped, b.Start)
	retire := r.newValue(b, Computed, ir.None)
	retire.Inst = b.instead(ir.Retire, 0)
	retire.Raw, retire.Arg[0] = uint32(t.guest), n
	b.Values = append(append(values, b.Values...), retire)
	r.Searches++
	return true
}

// instead is an instruction at the start of b that is none of the guest's.
func (b *Block) instead(op ir.Op, imm int64) ir.Inst {
	return ir.Inst{Op: op, Width: ir.W64, Off: uint16(b.Off), Imm: imm, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}
}

// wants says that something wants one of some phis of b but the states of b's loads: those are to be b's own.
func (r *Region) wants(b *Block, phis []*Value) bool {
	is := func(v *Value) bool { return v != nil && slices.Contains(phis, v) }
	instruction := func(v *Value) bool { return slices.ContainsFunc(v.Arg[:], is) }
	state := func(s *State) bool { return s != nil && s != b.Start && slices.ContainsFunc(s[:], is) }
	for _, x := range r.Blocks {
		for _, p := range x.Phis {
			if slices.ContainsFunc(p.Args, is) {
				return true
			}
		}
		for _, v := range x.Values {
			if instruction(v) || x != b && state(v.State) {
				return true
			}
		}
		if x.Cond != nil && instruction(x.Cond) || state(x.Start) || state(x.Final) {
			return true
		}
	}
	return false
}

// replace lets all but one state have other values for some.
func (r *Region) replace(by map[*Value]*Value, but *State) {
	seen := map[*State]bool{but: true}
	fix := func(list []*Value) {
		for i, v := range list {
			if n := by[v]; n != nil {
				list[i] = n
			}
		}
	}
	state := func(s *State) {
		if s != nil && !seen[s] {
			seen[s] = true
			fix(s[:])
		}
	}
	for _, b := range r.Blocks {
		state(b.Start)
		state(b.Final)
		for _, p := range b.Phis {
			fix(p.Args)
		}
		for _, v := range b.Values {
			fix(v.Arg[:])
			state(v.State)
		}
		if b.Cond != nil {
			fix(b.Cond.Arg[:])
		}
	}
}
