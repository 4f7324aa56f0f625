package opt

// The order of instructions in a block. Compilers for a processor with 31 registers begin early what they need late; with half of them it is better to
// compute what is used once just before it is used. The host finds what can be done at the same time by itself.

import (
	"cmp"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// movable says that an instruction may stand anywhere between its operands and its users.
func movable(v *Value) bool {
	return v.Kind == Computed && v.Var < ir.NumInt && v.Op >= ir.Add && v.Op <= ir.ZeroIfNonzero && v.State == nil
}

// uses is who wants each value.
type uses struct {
	times  map[*Value]int    // by how many instructions it is needed, or times by one
	last   map[*Value]*Value // the last instruction that needs it
	fixed  map[*Value]bool   // states or phis have it, or other blocks
	around map[*Value]bool   // phis have it
}

func (r *Region) uses() *uses {
	times, last, fixed, around := map[*Value]int{}, map[*Value]*Value{}, map[*Value]bool{}, map[*Value]bool{}
	states := map[*State]bool{}
	var fix func(v *Value)
	fix = func(v *Value) {
		if v == nil {
			return
		}
		if fixed[v] = true; v.sunk {
			for _, a := range v.Arg {
				fix(a)
			}
		}
	}
	state := func(s *State) {
		if s == nil || states[s] {
			return
		}
		states[s] = true
		for _, v := range s {
			fix(v)
		}
	}
	use := func(b *Block, v *Value) {
		for _, a := range v.Arg {
			if a == nil {
				continue
			}
			times[a]++
			last[a] = v
			if a.Block != b {
				fixed[a] = true
			}
		}
	}
	for _, b := range r.Blocks {
		for _, p := range b.Phis {
			for _, a := range p.Args {
				fixed[a], around[a] = true, true
			}
		}
		for _, v := range b.Values {
			use(b, v)
			state(v.State)
		}
		if b.Cond != nil {
			use(b, b.Cond)
		}
		b.exits(state, state)
	}
	return &uses{times, last, fixed, around}
}

// Order puts instructions where they are used.
func (r *Region) Order() {
	u := r.uses()
	// An operand that is needed no more gives its register to the result.
	ends := func(v, a *Value) bool {
		return u.last[a] == v && !u.around[a] && a.Kind != Entered && !a.IsConst() && a.Block.Depth == v.Block.Depth
	}
	for _, b := range r.Blocks {
		if b != r.Entry {
			b.arrange(u.fixed, ends)
		}
	}
}

// arrange orders the instructions of a block.
func (b *Block) arrange(fixed map[*Value]bool, last func(v, operand *Value) bool) {
	later := map[*Value]bool{}
	height := map[*Value]int{} // of what is computed for it, about the registers that this takes
	for _, v := range b.Values {
		ends, h := 0, 1 // operands whose last use this is
		for i, a := range v.Arg {
			if a == nil || i == 1 && a == v.Arg[0] {
				continue
			}
			if last(v, a) {
				ends++
			}
			if a.Kind != Computed || a.Block != b || a.IsConst() {
				continue
			}
			if later[a] {
				h = max(h, height[a]+1)
			}
		}
		if movable(v) && !fixed[v] && ends < 2 {
			later[v], height[v] = true, h
		}
	}
	if len(later) == 0 {
		return
	}
	out := make([]*Value, 0, len(b.Values))
	done := map[*Value]bool{}
	var emit func(v *Value)
	operands := func(v *Value) {
		list := make([]*Value, 0, 3)
		for _, a := range v.Arg {
			if a != nil && later[a] {
				list = append(list, a)
			}
		}
		slices.SortStableFunc(list, func(x, y *Value) int { return cmp.Compare(height[y], height[x]) })
		for _, a := range list {
			emit(a)
		}
	}
	emit = func(v *Value) {
		if later[v] {
			delete(later, v)
			operands(v)
			out, done[v] = append(out, v), true
		}
	}
	for i, v := range b.Values {
		if later[v] || done[v] {
			continue
		}
		if v.Op == ir.Group && v.Alone { // nothing comes between it and its access
			operands(b.Values[i+1])
		}
		if v.Op == ir.Test { // nor between it and the choices by it
			for _, s := range b.Values[i+1:] {
				if s.Op != ir.Select {
					break
				}
				operands(s)
			}
		}
		operands(v)
		out = append(out, v)
	}
	if b.Cond != nil {
		operands(b.Cond)
	}
	b.Values = out
}
