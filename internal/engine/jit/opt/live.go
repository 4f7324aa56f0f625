package opt

// Where values are needed. Positions count through the blocks in their order: an instruction reads its operands at its position, an
// even number, and makes its value at the next. Two things are told apart: where instructions need a value, and where the state of a
// place at which the region may be left does.

import (
	"math/bits"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// span is from a position to before another.
type span struct{ from, to int }

// exit is a place where the region may be left.
type exit struct {
	pos   int
	state *State
}

type set []uint64

func (s set) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s set) remove(i int)   { s[i>>6] &^= 1 << (i & 63) }
func (s set) has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }
func (s set) or(t set) (changed bool) {
	for i, w := range t {
		if n := s[i] | w; n != s[i] {
			s[i], changed = n, true
		}
	}
	return changed
}

// Pos is the position of an instruction.
func (v *Value) Pos() int { return v.pos }

// StartPos and EndPos are the positions at which a block starts and ends.
func (b *Block) StartPos() int { return b.start }

// Before says that the code of b comes before that of o.
func (b *Block) Before(o *Block) bool { return b.order < o.order }

// EndPos is the position of the jump at the end.
func (b *Block) EndPos() int { return b.end }

// weight is how often a block is executed, by guess.
func (b *Block) weight() float64 {
	w := 1.0
	for range b.Depth {
		w *= 10
	}
	return w
}

// number gives out positions and numbers of values.
func (r *Region) number() []*Value {
	pos := 0
	var all []*Value
	add := func(v *Value) {
		v.id = len(all)
		all = append(all, v)
		v.needs, v.lives, v.weight, v.feeds, v.users = nil, nil, 0, nil, nil
	}
	for i, b := range r.Blocks {
		b.order = i
		b.start = pos
		pos += 2
		for _, p := range b.Phis {
			p.pos = b.start
			add(p)
		}
		for _, v := range b.Values {
			if v.given() {
				v.pos = b.start
			} else {
				v.pos = pos
				pos += 2
			}
			add(v)
		}
		b.end = pos
		pos += 2
	}
	return all
}

// liveness fills in where each value is needed.
func (r *Region) liveness() []*Value {
	all := r.number()
	words := (len(all) + 63) / 64
	type sets struct{ needs, lives set }
	in := make([]sets, len(r.Blocks))
	for i := range in {
		in[i] = sets{make(set, words), make(set, words)}
	}
	skip := func(v *Value) bool { return v == nil || v.Var == ir.Zero && v.IsConst() }
	// walk goes backward through a block. The functions are called in that order.
	walk := func(b *Block, need func(v *Value, pos int), live func(v *Value, pos int), define func(v *Value, pos int)) {
		var show func(v *Value, pos int)
		show = func(v *Value, pos int) {
			switch {
			case skip(v):
			case v.sunk:
				for _, a := range v.Arg {
					show(a, pos)
				}
			default:
				live(v, pos)
			}
		}
		state := func(s *State, pos int) {
			for _, v := range s {
				show(v, pos)
			}
		}
		uses := func(v *Value, pos int) {
			for _, a := range v.Arg {
				if !skip(a) {
					need(a, pos)
				}
			}
		}
		b.exits(func(s *State) { state(s, b.end) }, func(*State) {})
		if b.Cond != nil {
			uses(b.Cond, b.end)
		}
		for i := len(b.Values) - 1; i >= 0; i-- {
			v := b.Values[i]
			if v.given() {
				continue
			}
			define(v, v.pos+1)
			uses(v, v.pos)
			if v.State != nil {
				state(v.State, v.pos)
			}
		}
		b.exits(func(*State) {}, func(s *State) { state(s, b.start) })
		for _, v := range b.Values {
			if v.given() {
				define(v, b.start)
			}
		}
		for _, p := range b.Phis {
			define(p, b.start)
		}
	}
	// out is what lives at the end of a block.
	out := func(b *Block) sets {
		o := sets{make(set, words), make(set, words)}
		for _, e := range b.Out {
			if e.To == nil {
				continue
			}
			o.needs.or(in[e.To.order].needs)
			o.lives.or(in[e.To.order].lives)
			for _, p := range e.To.Phis {
				if a := p.Args[e.index]; !skip(a) {
					o.lives.add(a.id)
					if p.real {
						o.needs.add(a.id)
					}
				}
			}
		}
		return o
	}
	for changed := true; changed; {
		changed = false
		for i := len(r.Blocks) - 1; i >= 0; i-- {
			b := r.Blocks[i]
			o := out(b)
			walk(b, func(v *Value, _ int) { o.needs.add(v.id); o.lives.add(v.id) }, func(v *Value, _ int) { o.lives.add(v.id) },
				func(v *Value, _ int) { o.needs.remove(v.id); o.lives.remove(v.id) })
			if in[i].needs.or(o.needs) {
				changed = true
			}
			if in[i].lives.or(o.lives) {
				changed = true
			}
		}
	}
	r.exits = r.exits[:0]
	ends := [2][]int{make([]int, len(all)), make([]int, len(all))}
	for i := len(r.Blocks) - 1; i >= 0; i-- {
		b := r.Blocks[i]
		w := b.weight()
		o := out(b)
		for k, s := range []set{o.needs, o.lives} {
			for j, word := range s {
				for ; word != 0; word &= word - 1 {
					ends[k][j*64+bits.TrailingZeros64(word)] = b.end + 2
				}
			}
		}
		until := func(k int, v *Value, pos int) {
			if ends[k][v.id] == 0 {
				ends[k][v.id] = pos + 1
			}
		}
		closeAt := func(v *Value, pos int) {
			for k, list := range []*[]span{&v.needs, &v.lives} {
				if e := ends[k][v.id]; e != 0 {
					*list = append(*list, span{pos, e})
					ends[k][v.id] = 0
				}
			}
		}
		walk(b, func(v *Value, pos int) {
			v.weight += w
			until(0, v, pos)
			until(1, v, pos)
		}, func(v *Value, pos int) { until(1, v, pos) }, func(v *Value, pos int) {
			if v.Var == ir.None {
				return
			}
			v.weight += w
			if ends[1][v.id] == 0 {
				ends[1][v.id] = pos + 1
			}
			closeAt(v, pos)
		})
		// What is left lives at the start.
		for _, v := range all {
			closeAt(v, b.start)
		}
		for _, v := range b.Values {
			if v.State != nil {
				r.exits = append(r.exits, exit{v.pos, v.State})
			}
		}
		b.exits(func(s *State) { r.exits = append(r.exits, exit{b.end, s}) }, func(s *State) { r.exits = append(r.exits, exit{b.start, s}) })
	}
	for _, b := range r.Blocks {
		for _, p := range b.Phis {
			for i, a := range p.Args {
				a.feeds = append(a.feeds, p)
				if p.real {
					a.weight += b.In[i].From.weight() // what is in memory goes there by way of a register
				}
			}
		}
		for _, v := range b.Values {
			if v.Kind != Computed {
				continue
			}
			if a := v.Arg[0]; a != nil {
				a.users = append(a.users, v)
			}
			if a := v.Arg[1]; a != nil && commutes(v.Op) {
				a.users = append(a.users, v)
			}
		}
	}
	// Cells are there all the time.
	all = all[:len(all):len(all)]
	for _, c := range r.Cells {
		end := r.Blocks[len(r.Blocks)-1].end + 2
		for _, v := range []*Value{c.Tag, c.Host} {
			v.needs, v.lives, v.weight = []span{{0, end}}, []span{{0, end}}, 10
			all = append(all, v)
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Cell != nil {
				w := b.weight()
				v.Cell.Tag.weight += w
				v.Cell.Host.weight += w
			}
		}
	}
	return all
}

func overlap(a, b []span) bool {
	for _, x := range a {
		for _, y := range b {
			if x.from < y.to && y.from < x.to {
				return true
			}
		}
	}
	return false
}

func covers(list []span, pos int) bool {
	for _, s := range list {
		if s.from <= pos && pos < s.to {
			return true
		}
	}
	return false
}

// NeedsSpans is where instructions use v.
func (v *Value) NeedsSpans() []span { return v.needs }
