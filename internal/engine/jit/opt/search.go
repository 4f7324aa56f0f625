package opt

// Loops that only look: they read one element after the other, of an array or a string, until one is as they want it. Which turn is the last is as good as random often, and
// a host that guesses at it wastes more time than the turn takes. So 16 bytes are compared at once (ir.Search), as many turns as pass over their
// elements are skipped, with all that they would have added to pointers and counters (ir.Skip), and the turn that follows is made as it stands in the program.
//
// Whatever fails in that turn before its branch fails as in the first turn that was skipped: its state is the one from before. None of the skipped turns did anything but read, from
// one page, and what else they read is where it was in the turn before.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Scan is what a Search does beyond its operation.
type Scan struct {
	Down    bool   // elements are before one another
	Swapped bool   // Cond is between B and an element
	Const   *Value // B, if it is a constant
	Checked bool   // nothing is passed over where B is no number of the elements' width
}

const (
	searched  = 16 // bytes at once, so as many elements at most
	maxSearch = 12 // guest instructions of a turn
	maxAround = 4  // blocks that a turn goes through
)

// Search looks at each loop.
func (r *Region) Search() {
	for _, b := range slices.Clone(r.Blocks[1:]) {
		if b.Depth > 0 && b.Cond != nil && b.looks() {
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
	edges []*Edge // the last one leads to head
	guest int     // instructions
}

// turnOf is the turn that begins with one of b's edges, or nil.
func turnOf(b *Block, side int) *turn {
	t := &turn{head: b, guest: b.Guest}
	for e := b.Out[side]; ; e = e.To.Out[0] {
		if e.To == nil || e.Less != 0 || len(t.edges) == maxAround {
			return nil
		}
		if t.edges = append(t.edges, e); e.To == b {
			return t
		}
		x := e.To
		if x.Cond != nil || !x.looks() || slices.ContainsFunc(x.Values, func(v *Value) bool { return v.State != nil }) {
			return nil
		}
		if t.guest += x.Guest; t.guest > maxSearch {
			return nil
		}
	}
}

// next is the value of a phi of the head in the next turn, as a distance from one of this turn.
func (t *turn) next(p *Value) (v *Value, dist int64) {
	v = p.Args[t.edges[len(t.edges)-1].index].find()
	for i := len(t.edges) - 2; i >= 0; i-- {
		for v.Block == t.edges[i].To && v.imm(ir.Add, ir.W64) {
			v, dist = v.Arg[0].find(), dist+v.Imm
		}
		if v.Kind == Phi && v.Block == t.edges[i].To {
			v = v.Args[t.edges[i].index].find()
		}
	}
	for v.imm(ir.Add, ir.W64) {
		v, dist = v.Arg[0].find(), dist+v.Imm
	}
	return v, dist
}

// same says that v has one value in all turns. Its operands are operations of the head, or from elsewhere.
func (t *turn) same(v *Value, kept map[*Value]bool) bool {
	switch {
	case v == nil || v.IsConst() || kept[v]:
		return true
	case v.Block != t.head:
		return !slices.ContainsFunc(t.edges, func(e *Edge) bool { return e.To == v.Block })
	case v.Kind != Computed || v.State != nil:
		return false
	}
	return t.same(v.Arg[0], kept) && t.same(v.Arg[1], kept) && t.same(v.Arg[2], kept)
}

// search makes a search of the loop of b that one of its edges leads around.
func (r *Region) search(b *Block, side int) bool {
	t := turnOf(b, side)
	if t == nil || b.Cond.Masked || len(b.Phis) == 0 {
		return false
	}
	kept, steps := map[*Value]bool{}, map[*Value]int64{}
	var again []*Value // made anew in each turn
	for _, p := range b.Phis {
		switch v, dist := t.next(p); {
		case v != p:
			again = append(again, p)
		case dist == 0:
			kept[p] = true
		case !fits(searched * dist):
			return false
		default:
			steps[p] = dist
		}
	}
	// What is compared: an element, with what stays the same.
	scan := &Scan{}
	element, other := b.Cond.Arg[0], b.Cond.Arg[1]
	if b.Cond.Has(ir.UseImm) {
		return false
	}
	if other.Kind == Computed && other.Op == ir.Load && other.Block == b {
		element, other, scan.Swapped = other, element, true
	}
	if element.Kind != Computed || element.Op != ir.Load || element.Block != b || !t.same(other, kept) {
		return false
	}
	base, dist := root(element.Arg[0])
	size := element.Width.Bytes()
	step := steps[base]
	if abs(step) != size || !fits(dist+element.Imm-16) || !r.comparable(element, other, scan) {
		return false
	}
	for _, v := range b.Values {
		if v.Op == ir.Load && v != element && !t.same(v.Arg[0], kept) {
			return false
		}
	}
	if r.wants(b, again) {
		return false
	}
	scan.Down = step < 0
	if other.IsConst() {
		scan.Const = other
	}
	n := r.newValue(b, Computed, internal)
	n.Inst = ir.Inst{Op: ir.Search, Width: element.Width, Flags: element.Flags & ir.Signed, Cond: b.Cond.Cond, Off: uint16(b.Off), Imm: dist + element.Imm, Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}
	if side == 1 {
		n.Cond = n.Cond.Not()
	}
	n.Arg[0], n.State, n.Scan = base, b.Start, scan
	if scan.Const == nil {
		n.Arg[1] = other
	}
	list := []*Value{n}
	skipped := map[*Value]*Value{}
	for _, p := range b.Phis {
		if d := steps[p]; d != 0 {
			s := r.newValue(b, Computed, p.Var)
			s.Inst = ir.Inst{Op: ir.Skip, Width: ir.W64, Off: uint16(b.Off), Imm: d, Dst: p.Var, A: ir.None, B: ir.None, C: ir.None}
			s.Arg[0], s.Arg[1] = p, n
			list = append(list, s)
			skipped[p] = s
		}
	}
	for _, v := range b.Values {
		if v.Op == ir.Load {
			v.State, v.Off, v.N = b.Start, uint16(b.Off), 0
		}
	}
	r.replace(skipped, b.Start)
	retire := r.newValue(b, Computed, ir.None)
	retire.Inst = ir.Inst{Op: ir.Retire, Off: uint16(b.Off), Raw: uint32(t.guest), Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}
	retire.Arg[0] = n
	b.Values = append(append(list, b.Values...), retire)
	r.Searches++
	return true
}

// comparable says that an element compares with another value as numbers of its width do, if that is one.
func (r *Region) comparable(element, other *Value, scan *Scan) bool {
	bits := uint(8 * element.Width.Bytes())
	switch c := other.Imm; {
	case element.Width == ir.W64:
		return false
	case other.IsConst() && element.Has(ir.Signed):
		return c>>(bits-1) == c>>63
	case other.IsConst():
		return c>>bits == 0
	case element.Width == ir.W32 && element.Has(ir.Signed) && other.Kind == Entered:
		r.assumed[other] = true // the way in checks it
	default:
		scan.Checked = !(element.Width == ir.W32 && element.Has(ir.Signed) && isExtended(other))
	}
	return true
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
