package opt

// Values that only states have are computed where a state is needed, out of line, and nowhere else: temporaries that the guest has finished with, but
// that a fault would show. That is worth it where what they are computed from is there anyway: part of the same states, constant, or needed by
// instructions further down; or is computed there likewise, in a chain that ends with such. (An address in a table of a cipher is a shift, a mask and a
// sum, and each of the three was stored for the load's sake.)
//
// Around a loop such a value of the last turn is a phi of its variable in the next. If what it was computed from has moved on to other
// variables, the phi is the same computation of those; before the first turn that is not known, and the way in checks it (Region.Checks).

import (
	"math"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Check is what the way in has to find: the value that a variable has is Value, computed of variables on the way in.
type Check struct {
	Entry *Value
	Value *Value // its operands are Entered or constants
}

const (
	minSink  = 24 // instructions that a region must have for checks on the way in to be worth it
	maxChain = 4  // operations that a value is computed by
	maxStay  = 16 // instructions that an operand may stay for longer
)

// sinkable says that an operation can be computed in the middle of nowhere, with one register and no change to any other.
func sinkable(v *Value) bool {
	if v.Kind != Computed || v.Var >= ir.NumInt {
		return false
	}
	switch v.Op {
	case ir.Add, ir.Sub, ir.And, ir.Or, ir.Xor:
		return true
	case ir.Shl, ir.Shr, ir.Sar, ir.RotR:
		return v.Has(ir.UseImm)
	case ir.ShlU:
		return true
	case ir.Page:
		return fits(v.Imm)
	}
	return false
}

// Sunk says that v is computed only for states.
func (v *Value) Sunk() bool { return v.sunk }

// Sink finds such values.
func (r *Region) Sink() {
	r.removeDead()
	r.reals()
	phiUse := map[*Value]bool{}
	where := map[*State]int{} // the number of the last instruction that has it
	last := map[*Value]int{}  // that of the last one that needs it
	ends := map[*Block]int{}
	collect := func() (with map[*Value][]*State) {
		with = map[*Value][]*State{}
		clear(phiUse)
		clear(where)
		clear(last)
		number := 0
		add := func(s *State) {
			if s == nil {
				return
			}
			_, seen := where[s]
			where[s] = number
			if seen {
				return
			}
			for i, v := range s {
				if v != nil && i > 0 && (len(with[v]) == 0 || with[v][len(with[v])-1] != s) {
					with[v] = append(with[v], s)
				}
			}
		}
		use := func(b *Block, v *Value) {
			for _, a := range v.Arg {
				if a != nil && b.Depth > a.Block.Depth { // as long as the loop
					last[a] = math.MaxInt
				} else if a != nil {
					last[a] = max(last[a], number)
				}
			}
		}
		for _, b := range r.Blocks {
			for _, p := range b.Phis {
				for _, a := range p.Args {
					phiUse[a] = true
				}
			}
			b.exits(func(*State) {}, add)
			for _, v := range b.Values {
				number++
				add(v.State)
				if v.real || v.State != nil {
					use(b, v)
				}
			}
			number++
			if b.Cond != nil {
				use(b, b.Cond)
			}
			b.exits(add, func(*State) {})
			ends[b] = number
		}
		for _, b := range r.Blocks {
			for _, p := range b.Phis {
				for i, a := range p.Args {
					if p.real {
						last[a] = max(last[a], ends[b.In[i].From])
					}
				}
			}
		}
		return with
	}
	with := collect()
	// available says that a value is there anyway in all of some states, or would have to stay for a few instructions.
	available := func(o *Value, states []*State, stay int) bool {
		if o == nil || o.IsConst() {
			return true
		}
		if o.sunk {
			return false
		}
		for _, s := range states {
			found := where[s]-stay <= last[o] || o.Var < ir.NumVars && s[o.Var] == o
			if found {
				continue
			}
			for _, v := range s {
				if v == o {
					found = true
					break
				}
			}
			if !found {
				return false
			}
		}
		return true
	}
	head := r.Head
	if r.Guest >= minSink && len(head.In) == 2 {
		in, back := 0, 1
		if head.In[0].From != r.Entry {
			in, back = 1, 0
		}
		moved := func(o *Value) (now *Value) { // what o has become at the head
			if o == nil || o.IsConst() || o.Kind == Entered {
				return o
			}
			for _, q := range head.Phis {
				if q.Args[back] == o && q.forward == nil && q.Args[in].Kind == Entered {
					return q
				}
			}
			return nil
		}
		entered := func(o *Value) *Value {
			if o != nil && o.Kind == Phi {
				return o.Args[in]
			}
			return o
		}
		operand := map[*Value]bool{} // of one that is computed for states: must stay what it is
		for _, p := range head.Phis {
			v, e := p.Args[back], p.Args[in]
			if p.real || p.forward != nil || operand[p] || !sinkable(v) || e.Kind != Entered || phiUse[p] {
				continue
			}
			a, b := moved(v.Arg[0]), moved(v.Arg[1])
			if a == nil || b == nil && v.Arg[1] != nil || a == p || b == p || a.sunk || b != nil && b.sunk {
				continue
			}
			if !available(a, with[p], maxStay) || !available(b, with[p], maxStay) {
				continue
			}
			n := r.newValue(head, Computed, p.Var)
			n.Inst = v.Inst
			n.Arg = [3]*Value{a, b}
			n.sunk = true
			operand[a], operand[b] = true, true
			p.forward = n
			check := &Value{Inst: v.Inst, Kind: Computed, Var: p.Var, Reg: -1, Home: -1, Arg: [3]*Value{entered(a), entered(b)}}
			r.Checks = append(r.Checks, Check{e, check})
		}
		r.resolve()
		with = collect()
	}
	// express is v as it is computed in some states, or nil. What it is computed from is available, but for one that may have to stay, with another such value
	// first.
	var express func(v *Value, states []*State, chain int) (n *Value, stay int)
	express = func(v *Value, states []*State, chain int) (n *Value, stay int) {
		if chain == 0 || !sinkable(v) {
			return nil, 0
		}
		arg := v.Arg
		for i, a := range arg {
			if available(a, states, 0) {
				continue
			}
			if i == 0 || commutes(v.Op) && !arg[0].sunk {
				if e, n := express(a, states, chain-1); e != nil {
					arg[i] = e
					stay += n
				}
			}
			if arg[i] == a {
				if !available(a, states, maxStay) {
					return nil, 0
				}
				stay++
			} else if i == 1 {
				arg[0], arg[1] = arg[1], arg[0]
			}
		}
		if stay > 1 {
			return nil, 0
		}
		n = r.newValue(v.Block, Computed, v.Var)
		n.Inst, n.Arg, n.sunk = v.Inst, arg, true
		return n, stay
	}
	// An operand must stay what it is.
	operands := map[*Value]bool{}
	var keep func(v *Value)
	keep = func(v *Value) {
		for _, a := range v.Arg {
			if operands[a] = true; a != nil && a.sunk {
				keep(a)
			}
		}
	}
	for _, v := range r.sunken() {
		keep(v)
	}
	for _, b := range r.Blocks {
		kept := b.Values[:0]
		for _, v := range b.Values {
			var n *Value
			if !phiUse[v] && !operands[v] && len(with[v]) > 0 {
				n, _ = express(v, with[v], maxChain)
			}
			if n == nil || v.real {
				kept = append(kept, v)
			}
			if n == nil {
				continue
			}
			// Where instructions have it, too, states compute it again rather than keep it for themselves.
			keep(n)
			for _, s := range with[v] {
				for i, o := range s {
					if o == v {
						s[i] = n
					}
				}
			}
		}
		b.Values = kept
	}
	for _, v := range r.sunken() {
		v.live = false
	}
	r.removeDead()
}

// sunken is all such values.
func (r *Region) sunken() (list []*Value) {
	seen := map[*Value]bool{}
	add := func(s *State) {
		if s == nil {
			return
		}
		for _, v := range s {
			if v != nil && v.sunk && !seen[v] {
				seen[v] = true
				list = append(list, v)
			}
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			add(v.State)
		}
		b.exits(add, add)
	}
	return list
}
