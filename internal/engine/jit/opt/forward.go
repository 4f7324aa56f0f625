package opt

// Loads of what was just stored. Functions save registers on the stack and take them back, of which nothing is left to do where a call is inlined; above
// all, the address that one returns by is known then.
//
// A store that the region goes on behind was one to RAM: those to devices leave it. So a load of the same bytes cannot fault, and may have the value that
// this hart has stored, whatever others store meanwhile (RVWMO, load value axiom), until a fence, or a load that may have seen something newer there
// (preserved program order, rule 2). Any access may be to where that store was, but for one at another distance from the same value, which has to
// be another distance within a page, too: two pages may be the same memory.

import (
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory"
)

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
			if !isStore(v.Op) && v.Width == ir.W64 && m[place] != nil && m[place].Float() == v.Float() {
				v.forward = m[place]
				changed = true
				continue
			}
			m.forget(place, v.Width.Bytes())
			if isStore(v.Op) && v.Width == ir.W64 {
				m[place] = v.Arg[1].find()
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
		if from == nil || b.Landing || e.From.Fenced {
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

// forget drops what may be in the same bytes.
func (m known) forget(at stored, n int64) {
	for p := range m {
		if p.root != at.root || (p.dist-at.dist)&memory.PageMask < n || (at.dist-p.dist)&memory.PageMask < 8 {
			delete(m, p)
		}
	}
}
