package opt

// Loads and stores that share the look-up of an address.
//
//   - Accesses near one value, a constant distance apart, are a group: it is checked once that they lie in one page, which gives a host
//     address that all go by (ir.Group). Where that does not hold the program goes on in the baseline's translation without groups. What a block
//     has checked serves the blocks that are reached by way of it only: the turns of a loop that is unrolled, above all.
//   - A variable that goes through memory in small steps, as loops over arrays do, is nearly always in the page that it was in the
//     turn before. Its Cell remembers that page: the check is one comparison then, and only a new page is looked up.
//
// Code of mirrored address spaces does neither: see Reach.
//
// What is remembered stays right while the region is not left: it is only then that other harts' fences are served.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Cell is a page that is remembered: its address in the guest, and in the host, which is 0 while none is. Where its root begins then, the address is
// made one that differs from the root's in Unknown, so that no small steps lead there.
type Cell struct {
	Root      *Value
	Tag, Host *Value
	Store     bool
}

// Unknown is the number of the bit that a tag differs in from its root while no page is known.
const Unknown = 62

// internal is the variable of values that no guest variable ever has.
const internal ir.Var = 254

const (
	maxSpan   = 512 // bytes, of a block's group
	maxAhead  = 64  // bytes, of one that has accesses of later blocks: they may never come, and its page may end before
	maxStride = 512
	maxCells  = 8
)

// group is accesses with the same root.
type group struct {
	block  *Block // where it is checked, and has its first access
	root   *Value
	lo, hi int64
	list   []*Value
	store  bool
}

func access(op ir.Op) bool {
	return op == ir.Load || op == ir.Store || op == ir.FLoad || op == ir.FStore
}

// Accesses says that an instruction accesses the guest's memory at a distance of its first argument.
func Accesses(op ir.Op) bool { return access(op) }

func isStore(op ir.Op) bool { return op == ir.Store || op == ir.FStore }

// root is the value that v is a constant distance from.
func root(v *Value) (*Value, int64) {
	dist := int64(0)
	for v.imm(ir.Add, ir.W64) && fits(dist+v.Imm) && abs(dist+v.Imm) < 1<<20 {
		dist += v.Imm
		v = v.Arg[0].find()
	}
	return v, dist
}

func abs(v int64) int64 { return max(v, -v) }

// Share finds groups and cells.
func (r *Region) Share() {
	at := map[*Block][]*group{} // what is checked where a block ends
	var groups []*group
	for _, b := range r.order() {
		var known []*group
		if len(b.In) == 1 && !b.In[0].Back && !b.Landing {
			known = slices.Clone(at[b.In[0].From])
		}
		for _, v := range b.Values {
			if v.Kind != Computed || !access(v.Op) || v.Arg[0] == nil || v.Arg[0].IsConst() {
				continue
			}
			base, dist := root(v.Arg[0])
			lo := dist + v.Imm
			if base.IsConst() || !fits(lo) {
				continue
			}
			if g := b.join(known, base, lo, lo+v.Width.Bytes(), isStore(v.Op)); g != nil {
				g.list = append(g.list, v)
				continue
			}
			g := &group{block: b, root: base, lo: lo, hi: lo + v.Width.Bytes(), list: []*Value{v}, store: isStore(v.Op)}
			known, groups = append(known, g), append(groups, g)
		}
		at[b] = known
	}
	for _, g := range groups {
		r.check(g)
	}
}

// join is the group that an access of b joins, the latest that can have it, or nil. A check for loads does not become one for stores that may never come.
func (b *Block) join(known []*group, base *Value, lo, hi int64, store bool) *group {
	for _, g := range slices.Backward(known) {
		from, to, most := min(lo, g.lo), max(hi, g.hi), int64(maxSpan)
		if g.block != b {
			most = max(maxAhead, g.hi-g.lo)
		}
		if g.root == base && to-from <= most && (g.block == b || g.store || !store) {
			g.lo, g.hi, g.store = from, to, g.store || store
			return g
		}
	}
	return nil
}

// check puts the check of a group before its first access.
func (r *Region) check(g *group) {
	cell := r.cellFor(g.block, g)
	if len(g.list) == 1 && cell == nil {
		return
	}
	first := g.list[0]
	h := r.newValue(g.block, Computed, internal)
	h.Inst = ir.Inst{Op: ir.Group, Off: first.Off, N: first.N, Imm: g.lo, Raw: uint32(g.hi - g.lo), Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}
	if g.store {
		h.Flags = ir.Signed
	}
	h.Arg[0], h.State, h.Cell, h.Alone = g.root, first.State, cell, len(g.list) == 1
	for _, v := range g.list {
		_, dist := root(v.Arg[0])
		v.Imm += dist - g.lo
		v.Arg[0] = h
		v.Flags |= ir.Grouped
		v.State = nil // it cannot fail any more
	}
	g.block.Values = slices.Insert(g.block.Values, slices.Index(g.block.Values, first), h)
}

// cellFor is the cell for a group, if its root goes around a loop in small steps, or is there from the start.
func (r *Region) cellFor(b *Block, g *group) *Cell {
	p := g.root
	if b.Depth == 0 || p.Kind == Computed || r.calls { // what is called does not keep it
		return nil
	}
	for _, c := range r.Cells {
		if c.Root == p && c.Store == g.store {
			return c
		}
	}
	if len(r.Cells) >= maxCells {
		return nil
	}
	if p.Kind == Phi {
		around := false
		for _, a := range p.Args {
			if at, dist := root(a.find()); at == p {
				if abs(dist) > maxStride {
					return nil
				}
				around = true
			}
		}
		if !around {
			return nil
		}
	}
	c := &Cell{Root: p, Store: g.store}
	c.Tag, c.Host = r.newValue(r.Entry, Entered, internal), r.newValue(r.Entry, Entered, internal)
	r.Cells = append(r.Cells, c)
	return c
}

// Fresh says that the root of a cell gets a value along an edge that has nothing to do with the page that the cell knows.
func (c *Cell) Fresh(e *Edge) bool {
	if c.Root.Kind == Entered {
		return e.From.Off < 0
	}
	if e.To != c.Root.Block {
		return false
	}
	at, _ := root(c.Root.Args[e.index])
	return at != c.Root
}
