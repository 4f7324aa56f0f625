package opt

// Loads and stores of mirrored address spaces. What a mirror wants of an address is that it is near one that has been compared with the mirror's size. So addresses
// become distances from their roots, and one comparison serves all that is near a root, on every way that it was made on. What goes on from a compared
// address in small steps, around a loop or where ways meet, is near it, too: each step is an instruction, and no budget is large enough for them to lead far (package jit
// says so of its mirrors, budgets and MaxStep, when it is compiled).
//
// What addresses were on the way in is compared there.

import (
	"math"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// MaxStep is the most that a value that is near may change by at once, in bytes.
const MaxStep = 8 << 10

// Reach makes addresses distances from their roots.
func (r *Region) Reach() {
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind != Computed || !access(v.Op) || v.Arg[0] == nil {
				continue
			}
			if at, dist := root(v.Arg[0]); !at.IsConst() && fits(dist+v.Imm) {
				v.Arg[0], v.Imm = at, v.Imm+dist
			}
		}
	}
}

// reached is the roots of addresses, and what is known of them.
type reached struct {
	index map[*Value]int  // of all that matter
	out   map[*Block]set  // which have been compared where a block ends
	met   set             // the phis that are near what has been compared, whichever way was taken
	known map[*Value]bool // what want has been asked for
}

// Compare finds which accesses are near an address that has been compared, when nothing moves any more.
func (r *Region) Compare() {
	roots := reached{index: map[*Value]int{}, out: map[*Block]set{}, known: map[*Value]bool{}}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.compares() {
				roots.add(v.Arg[0])
			}
		}
	}
	empty := func() set { return make(set, (len(roots.index)+63)/64) }
	roots.met = empty()
	for _, b := range r.Blocks {
		s := empty()
		for i := range s {
			s[i] = ^uint64(0) // until it is known otherwise
		}
		roots.out[b] = s
	}
	out := roots.out[r.Entry]
	clear(out)
	for v, i := range roots.index {
		if v.Kind == Entered {
			out.add(i)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, b := range r.Blocks[1:] {
			in := empty()
			roots.block(b, in)
			changed = changed || !slices.Equal(in, roots.out[b])
			copy(roots.out[b], in)
		}
	}
	r.Reached = r.Reached[:0]
	for _, b := range r.Blocks { // in their order
		for _, v := range b.Values {
			if v.compares() {
				roots.want(r, v.Arg[0])
			}
		}
	}
}

// compares says that an instruction wants its address to be near one that has been compared.
func (v *Value) compares() bool {
	return v.Kind == Computed && (access(v.Op) || v.Op == ir.Search) && !v.Has(ir.Grouped) && v.Arg[0] != nil
}

// everywhere says that v is a constant that is an address of every mirror, whatever its size: zero, most often, where a list ends.
func (v *Value) everywhere() bool { return v.IsConst() && v.Imm >= 0 && v.Imm <= math.MaxInt32 }

// add notes a root, and what it may be near.
func (k *reached) add(v *Value) {
	if _, ok := k.index[v]; ok {
		return
	}
	k.index[v] = len(k.index)
	for _, a := range v.Args {
		at, _ := root(a.find())
		k.add(at)
	}
}

// block goes through b, and leaves in s what has been compared where it ends.
func (k *reached) block(b *Block, s set) {
	for n, e := range b.In {
		if n == 0 {
			copy(s, k.out[e.From])
			continue
		}
		for i, w := range k.out[e.From] {
			s[i] &= w
		}
	}
	var met []int
	for _, p := range b.Phis {
		i, ok := k.index[p]
		if !ok {
			continue
		}
		s.remove(i)
		near := true
		for n, a := range p.Args {
			at, dist := root(a.find())
			near = near && abs(dist) <= MaxStep && (at.everywhere() || k.out[b.In[n].From].has(k.index[at]))
		}
		if k.met.remove(i); near {
			k.met.add(i)
			met = append(met, i)
		}
	}
	for _, i := range met {
		s.add(i)
	}
	for _, v := range b.Values {
		if v.compares() {
			i := k.index[v.Arg[0]]
			v.Compared = s.has(i)
			s.add(i)
		}
		if i, ok := k.index[v]; ok {
			s.remove(i)
		}
	}
}

// want lets what v is near by way of phis be compared on the way in.
func (k *reached) want(r *Region, v *Value) {
	if k.known[v] {
		return
	}
	k.known[v] = true
	switch {
	case v.Kind == Entered:
		r.Reached = append(r.Reached, v)
	case v.Kind == Phi && k.met.has(k.index[v]):
		for _, a := range v.Args {
			at, _ := root(a.find())
			k.want(r, at)
		}
	}
}
