package opt

// Values: every instruction that computes something makes one, and so does a place where different values of a variable meet.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// Kind says what a value is.
type Kind uint8

const (
	Computed Kind = iota // by its instruction
	Entered              // what Var was on entry
	Phi                  // one of its arguments, by the edge that was taken
	Returned             // what Var was when a call returned
)

// Value is a value, or an instruction that makes none. The registers of its ir.Inst are not meant, but for Dst: the variable that it is made for.
type Value struct {
	ir.Inst
	Kind   Kind
	Var    ir.Var // that it is a value of; None for those that make none
	Arg    [3]*Value
	Args   []*Value // of a phi
	Block  *Block
	State  *State // before the instruction, if it may leave
	Narrow bool   // only the low half is kept: the whole is its sign extension

	// Where it is kept: in a register, while instructions use it, or in memory; Stored if it is in a register and in memory.
	Reg    int // -1: none
	Whole  bool
	Home   int // place in memory: a variable's, or from NumVars on a private one; -1: none
	Stored bool

	Masked bool // a comparison with zero of the bits that Imm has: see Bits
	// Compared is for an access whose address is near one that has been compared with the mirror's size.
	Compared bool
	Quiet    bool  // a comparison that leaves fflags as its third operand has them
	Cell     *Cell // of a group
	Scan     *Scan // of a Search
	Alone    bool  // a group of one access, which follows

	id      int
	pos     int
	forward *Value
	live    bool
	real    bool
	sext    bool
	weight  float64
	needs   []span   // where instructions use it
	lives   []span   // where anything does
	feeds   []*Value // phis that it is an argument of
	users   []*Value // instructions that it is the first operand of, or may be
	sunk    bool
}

// State is what the variables are at a place.
type State [ir.NumVars]*Value

// Float says that it is a floating-point value.
func (v *Value) Float() bool { return v.Var.IsFloat() }

// Private says that v is in memory in a place that is no variable's. Narrow values have no sign extension there.
func (v *Value) Private() bool { return v.Home >= int(ir.NumVars) }

// IsConst says that v is a constant.
func (v *Value) IsConst() bool { return v.Kind == Computed && v.Op == ir.Const }

// given says that v is in its variable's canonical place when its block begins.
func (v *Value) given() bool { return v.Kind == Entered || v.Kind == Returned }

func (v *Value) find() *Value {
	for v.forward != nil {
		v = v.forward
	}
	return v
}

func (r *Region) newValue(b *Block, k Kind, v ir.Var) *Value {
	r.values++
	x := r.memory.values.New()
	x.Kind, x.Var, x.Block, x.Reg, x.Home = k, v, b, -1, -1
	return x
}

// newState is a copy of a state.
func (r *Region) newState(s *State) *State {
	c := r.memory.states.New()
	*c = *s
	return c
}

// leaves says that an instruction may leave the region.
func leaves(op ir.Op) bool {
	return op == ir.Group || op == ir.Search || access(op) || op >= ir.FAdd && op <= ir.FConst
}

// effects says that an instruction does more than make a value.
func effects(op ir.Op) bool {
	return leaves(op) || op == ir.Branch || op == ir.Test || op == ir.Retire || op == ir.ReadCSR || op == ir.WriteCSR
}

// Build makes the values of the region. pinned says which variables live in registers outside of it: those that the region has nothing to do with are put
// elsewhere in it, but for one that makes calls, where they had to be put back each time.
func (r *Region) Build(pinned func(ir.Var) bool) {
	used := &r.used
	note := func(v ir.Var) {
		if v < ir.NumVars {
			used[v] = true
		}
	}
	for _, b := range r.Blocks {
		for i := range b.Insts {
			in := &b.Insts[i]
			note(in.A)
			note(in.B)
			if in.Op != ir.WriteCSR {
				note(in.C)
			}
			note(in.Dst)
			if in.Dst < ir.NumVars && in.Dst != ir.Zero {
				r.written[in.Dst] = true
			}
		}
	}
	start := &State{}
	zero := r.newValue(r.Entry, Computed, ir.Zero)
	zero.Op = ir.Const
	start[0] = zero
	for v := ir.Var(1); v < ir.NumVars; v++ {
		if used[v] || pinned(v) && !r.calls {
			e := r.newValue(r.Entry, Entered, v)
			start[v] = e
			r.Entry.Values = append(r.Entry.Values, e)
			r.written[v] = r.written[v] || r.calls
		}
	}
	r.Entry.Start, r.Entry.Final = start, start
	for _, b := range r.order() {
		if b == r.Entry {
			continue
		}
		switch {
		case b.Landing:
			s := *start
			for v := ir.Var(1); v < ir.NumVars; v++ {
				if s[v] != nil {
					s[v] = r.newValue(b, Returned, v)
					b.Values = append(b.Values, s[v])
				}
			}
			b.Start = r.newState(&s)
		case len(b.In) == 1 && b.In[0].From.Final != nil && !b.behindLoop():
			b.Start = b.In[0].From.Final
		default:
			s := *start
			for v := ir.Var(1); v < ir.NumVars; v++ {
				if r.written[v] {
					p := r.newValue(b, Phi, v)
					p.Args = make([]*Value, len(b.In))
					b.Phis = append(b.Phis, p)
					s[v] = p
				}
			}
			b.Start = r.newState(&s)
		}
		r.fill(b)
	}
	for _, b := range r.Blocks {
		for _, p := range b.Phis {
			for i, e := range b.In {
				p.Args[i] = e.From.Final[p.Var]
			}
		}
	}
	r.trivialPhis()
}

// order is the blocks such that each comes behind one of those that lead to it, and behind all but for jumps back.
func (r *Region) order() []*Block {
	var out []*Block
	seen := map[*Block]bool{}
	var visit func(b *Block)
	visit = func(b *Block) {
		seen[b] = true
		for i := range b.Out {
			if to := b.Out[len(b.Out)-1-i].To; to != nil && !seen[to] {
				visit(to)
			}
		}
		out = append(out, b)
	}
	visit(r.Entry)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// fill makes the values of a block.
func (r *Region) fill(b *Block) {
	s := *b.Start
	var snapshot *State
	var extra *Value // the last one that is of no variable of the guest
	arg := func(v ir.Var) *Value {
		switch v {
		case ir.None:
			return nil
		case internal:
			return extra
		}
		return s[v]
	}
	for i := range b.Insts {
		in := b.Insts[i]
		if in.Op == ir.Nop {
			continue
		}
		if in.Op == ir.Move || in.Op == ir.FSgnj && in.A == in.B && !in.Has(ir.Single) {
			s[in.Dst] = s[in.A]
			snapshot = nil
			continue
		}
		if in.Dst == ir.Zero {
			if !effects(in.Op) {
				continue
			}
		}
		v := r.newValue(b, Computed, in.Dst)
		if v.Var == ir.Zero {
			v.Var = ir.None
		}
		v.Inst = in
		v.Arg[0] = arg(in.A)
		if !in.Has(ir.UseImm) {
			v.Arg[1] = arg(in.B)
		}
		if in.Op != ir.WriteCSR { // whose C is an immediate
			v.Arg[2] = arg(in.C)
		}
		if !usesA(in.Op) {
			v.Arg = [3]*Value{}
		}
		if in.Op == ir.Branch {
			b.Cond = v
			break
		}
		if leaves(in.Op) {
			if snapshot == nil {
				snapshot = r.newState(&s)
			}
			v.State = snapshot
		}
		b.Values = append(b.Values, v)
		switch v.Var {
		case ir.None:
		case internal:
			extra = v
		default:
			s[v.Var] = v
			snapshot = nil
		}
	}
	b.Final = r.newState(&s)
}

// usesA says that an operation has operands.
func usesA(op ir.Op) bool {
	return op != ir.Const && op != ir.Page && op != ir.FConst && op != ir.ReadCSR
}

// behindLoop says that a block is reached from out of a loop that it is not in. What comes from there gets another value by a phi, even if it is the only one, so
// that where the loop keeps it is its own business: what is wanted in memory afterwards is stored once, and not on each turn.
func (b *Block) behindLoop() bool {
	for _, e := range b.In {
		if e.From.Depth <= b.Depth {
			return false
		}
	}
	return len(b.In) > 0
}

// trivialPhis removes those whose arguments are all one value.
func (r *Region) trivialPhis() {
	for changed := true; changed; {
		changed = false
		for _, b := range r.Blocks {
			for _, p := range b.Phis {
				if p.forward != nil {
					continue
				}
				var same *Value
				trivial := true
				for _, a := range p.Args {
					a = a.find()
					if a == p || a == same {
						continue
					}
					if same != nil {
						trivial = false
						break
					}
					same = a
				}
				if trivial && same != nil && !(b.behindLoop() && same.Block.Depth > b.Depth && !same.IsConst()) {
					p.forward = same
					changed = true
				}
			}
		}
	}
	r.resolve()
}

// resolve replaces every value that stands for another.
func (r *Region) resolve() {
	states := map[*State]bool{}
	fix := func(s *State) {
		if s == nil || states[s] {
			return
		}
		states[s] = true
		for i, v := range s {
			if v != nil {
				s[i] = v.find()
			}
		}
	}
	each := func(v *Value) {
		for i, a := range v.Arg {
			if a != nil {
				v.Arg[i] = a.find()
			}
		}
		fix(v.State)
	}
	for _, b := range r.Blocks {
		fix(b.Start)
		fix(b.Final)
		n := 0
		for _, p := range b.Phis {
			if p.forward == nil {
				for i := range p.Args {
					p.Args[i] = p.Args[i].find()
				}
				b.Phis[n] = p
				n++
			}
		}
		b.Phis = b.Phis[:n]
		n = 0
		for _, v := range b.Values {
			if v.forward == nil {
				each(v)
				b.Values[n] = v
				n++
			}
		}
		b.Values = b.Values[:n]
		if b.Cond != nil {
			each(b.Cond)
		}
	}
}

// exits calls f for each place where a state is needed at the end of a block, or at its start.
func (b *Block) exits(atEnd func(*State), atStart func(*State)) {
	for _, e := range b.Out {
		if e.To == nil || b.Call != nil {
			atEnd(b.Final)
		}
	}
	for _, e := range b.In {
		if e.Back {
			atStart(b.Start)
			break
		}
	}
}

// removeDead removes values that nothing needs, and finds out which phis are more than a state's.
func (r *Region) removeDead() {
	var work []*Value
	need := func(v *Value) {
		if v != nil && !v.live {
			v.live = true
			work = append(work, v)
		}
	}
	state := func(s *State) {
		for _, v := range s {
			need(v)
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Phis {
			v.live, v.real = false, false
		}
		for _, v := range b.Values {
			v.live, v.real = false, false
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if effects(v.Op) && v.Kind == Computed {
				need(v)
			}
		}
		if b.Cond != nil {
			for _, a := range b.Cond.Arg {
				need(a)
			}
		}
		b.exits(state, state)
	}
	for len(work) > 0 {
		v := work[len(work)-1]
		work = work[:len(work)-1]
		for _, a := range v.Arg {
			need(a)
		}
		for _, a := range v.Args {
			need(a)
		}
		if v.State != nil {
			state(v.State)
		}
	}
	keep := func(list []*Value) []*Value {
		n := 0
		for _, v := range list {
			if v.live {
				list[n] = v
				n++
			}
		}
		return list[:n]
	}
	for _, b := range r.Blocks {
		b.Phis, b.Values = keep(b.Phis), keep(b.Values)
	}
	// Real uses.
	use := func(v *Value) {
		if v != nil && !v.real {
			v.real = true
			work = append(work, v)
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			for _, a := range v.Arg {
				use(a)
			}
		}
		if b.Cond != nil {
			for _, a := range b.Cond.Arg {
				use(a)
			}
		}
	}
	for len(work) > 0 {
		v := work[len(work)-1]
		work = work[:len(work)-1]
		for _, a := range v.Args {
			use(a)
		}
	}
}
