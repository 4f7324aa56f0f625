package opt

// Loads of what was just stored. Functions save registers on the stack and take them back, of which nothing is left to do where a call is inlined; above
// all, the address that one returns by is known then.
//
// A store that the region goes on behind was one to RAM: those to devices leave it. So a load of the same bytes cannot fault, and may have the value that
// this hart has stored, whatever others store meanwhile (RVWMO, load value axiom). A store may be to anywhere that another one was to, but for
// one at another distance from the same value.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// stored is eight bytes in memory, at a distance from a value.
type stored struct {
	root *Value
	dist int64
}

// known is what is in memory.
type known map[stored]*Value

// Forward replaces such loads. It is true if there were any.
func (r *Region) Forward() (changed bool) {
	at := map[*Block]known{}
	for _, b := range r.order() {
		m := b.meet(at)
		for _, v := range b.Values {
			if v.Kind != Computed || !access(v.Op) || v.Arg[0] == nil {
				continue
			}
			base, dist := root(v.Arg[0].find())
			place := stored{base, dist + v.Imm}
			switch {
			case isStore(v.Op):
				m.store(place, v)
			case v.Width == ir.W64 && m[place] != nil && m[place].Float() == v.Float():
				v.forward = m[place]
				changed = true
			}
		}
		at[b] = m
	}
	if changed {
		r.resolve()
	}
	return changed
}

// meet is what is known where a block begins: what all ways to it know. Of ways back nothing is known yet.
func (b *Block) meet(at map[*Block]known) known {
	m := known{}
	for i, e := range b.In {
		from := at[e.From]
		if from == nil || b.Landing {
			return known{}
		}
		if i == 0 {
			for p, v := range from {
				m[p] = v
			}
			continue
		}
		for p, v := range m {
			if from[p] != v {
				delete(m, p)
			}
		}
	}
	return m
}

// store notes a store.
func (m known) store(at stored, v *Value) {
	for p := range m {
		if p.root != at.root || p.dist < at.dist+v.Width.Bytes() && at.dist < p.dist+8 {
			delete(m, p)
		}
	}
	if v.Width == ir.W64 {
		m[at] = v.Arg[1].find()
	}
}
