package opt

// Short branches become choices. A branch over one or two operations is what a compiler makes of (bit ? a ^ b : a) for a processor without
// conditional moves; where the bit is as good as random, a host that guesses at it wastes more time in a turn of a loop than all of its
// operations take. The operations are done always, and their results chosen.
//
// But where the result is an address a guess is worth having: the host goes on to the next element of a list while it still compares this one.
//
// The instructions that retire depend on the way that the guest would have gone: a Test takes what was not skipped from the budget.

import "github.com/vmproject/vm/internal/engine/jit/ir"

const (
	maxHammock = 4 // operations that are done in vain half of the time
	maxChoices = 3
)

// Choose replaces branches around a few operations in loops.
func (r *Region) Choose() {
	changed := false
	addresses := r.addresses()
	for _, b := range r.Blocks {
		for b.Cond != nil && b.Depth > 0 && (r.choice(b, 0, addresses) || r.choice(b, 1, addresses)) {
			changed = true
		}
	}
	if changed {
		r.drop(func(b *Block) bool { return len(b.In) > 0 || b == r.Entry })
		r.trivialPhis()
	}
}

// addresses is all values that addresses are computed of, by sums and shifts.
func (r *Region) addresses() map[*Value]bool {
	set := map[*Value]bool{}
	var add func(v *Value)
	add = func(v *Value) {
		if v == nil || set[v] {
			return
		}
		set[v] = true
		for _, a := range v.Args {
			add(a)
		}
		if v.Kind == Computed && (v.Op >= ir.Add && v.Op <= ir.Sar || v.Op >= ir.ShiftAdd && v.Op <= ir.ShlU) {
			for _, a := range v.Arg {
				add(a)
			}
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if access(v.Op) {
				add(v.Arg[0])
			}
		}
	}
	return set
}

// cheap says that an operation may be done in vain.
func cheap(v *Value) bool {
	switch v.Op {
	case ir.Mul, ir.MulHS, ir.MulHU, ir.MulHSU, ir.DivS, ir.DivU, ir.RemS, ir.RemU, ir.OrBytes:
		return false
	}
	return v.Kind == Computed && v.State == nil && v.Var < ir.NumInt && v.Op >= ir.Const && v.Op <= ir.ZeroIfNonzero
}

// choice makes choices of the block that one of b's edges leads to, if all that it does is a few operations on the way to where the other edge leads.
func (r *Region) choice(b *Block, side int, addresses map[*Value]bool) bool {
	in, past := b.Out[side], b.Out[1-side]
	f, join := in.To, past.To
	if f == nil || join == nil || f == join || f == b || join == b || in.Back || past.Back || f.Cond != nil || len(f.Values) > maxHammock {
		return false
	}
	out := f.Out[0]
	if out.To != join || out.Back {
		return false
	}
	for _, v := range f.Values {
		if !cheap(v) {
			return false
		}
	}
	for _, p := range join.Phis {
		if p.Args[past.index].find() != p.Args[out.index].find() && addresses[p] {
			return false
		}
	}
	// What the block does for those that come from elsewhere it does again here.
	copies := map[*Value]*Value{}
	here := func(v *Value) *Value {
		if v = v.find(); v.Kind == Phi && v.Block == f {
			v = v.Args[in.index].find()
		}
		if c := copies[v]; c != nil {
			return c
		}
		return v
	}
	var done []*Value
	for _, v := range f.Values {
		c := r.newValue(b, Computed, v.Var)
		c.Inst = v.Inst
		for i, a := range v.Arg {
			if a != nil {
				c.Arg[i] = here(a)
			}
		}
		copies[v] = c
		done = append(done, c)
	}
	merged := *b.Final
	test := *b.Cond
	test.Op, test.Raw, test.Imm = ir.Test, uint32(f.Guest), 0
	if side == 1 {
		test.Cond = test.Cond.Not()
	}
	done = append(done, &test)
	choices := 0
	for i, v := range f.Final {
		if v == nil {
			continue
		}
		yes, no := here(v), b.Final[i].find()
		if yes == no {
			continue
		}
		if choices++; choices > maxChoices || yes.Float() {
			return false
		}
		s := r.newValue(b, Computed, ir.Var(i))
		s.Op, s.Width = ir.Select, ir.W64
		s.Arg = [3]*Value{yes, no}
		done = append(done, s)
		merged[i] = s
	}
	b.Values = append(b.Values, done...)
	b.Final, b.Cond, b.Out = &merged, nil, []*Edge{past}
	for _, p := range join.Phis {
		p.Args[past.index] = merged[p.Var]
	}
	f.leave(in)
	if len(f.In) == 0 {
		join.leave(out)
	}
	return true
}

// leave takes an edge from those that come into b.
func (b *Block) leave(e *Edge) {
	for _, p := range b.Phis {
		p.Args = append(p.Args[:e.index], p.Args[e.index+1:]...)
	}
	b.In = append(b.In[:e.index], b.In[e.index+1:]...)
	for i, e := range b.In {
		e.index = i
	}
}
