package opt

// Where values are kept. A value has one place for instructions, a register or memory, wherever they need it: the most used ones choose
// first. Then each that is in a register stays there for the states that have it as long as the register is free; if it
// is not, the value is also stored, once, where it is made. The place in memory is that of the variable it is of, so that nothing is to be done when the
// region is left, or a private one when that of the variable may be needed for another value meanwhile.

import (
	"cmp"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// Target is what the allocator knows of a host.
type Target struct {
	Int, Float []int            // registers, the best first
	Pin        func(ir.Var) int // the register that a variable lives in outside of regions, or -1
	// Clobbers is the integer register that an instruction destroys, or -1.
	Clobbers func(v *Value) int
	// Spare is an integer register that code of the back end uses all the time, but not in instructions that Spares is true of: short runs
	// of these may have it. -1: none.
	Spare  int
	Spares func(v *Value) bool
	Slots  int // private places
}

// Allocate finds a place for every value. It is false when there are too few private ones.
func (r *Region) Allocate(t *Target) bool {
	all := r.liveness()
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind == Computed {
				if c := t.Clobbers(v); c >= 0 {
					r.busy[0][c] = append(r.busy[0][c], span{v.pos + 1, v.pos + 2})
				}
			}
		}
	}
	r.taken = r.taken[:0]
	if t.Spare >= 0 {
		for _, b := range r.Blocks {
			r.take(b.start)
			for _, v := range b.Values {
				if v.Kind != Computed || !t.Spares(v) {
					r.take(v.pos)
				}
			}
			r.take(b.end)
		}
	}
	values := make([]*Value, 0, len(all))
	for _, v := range all {
		if v.Var != ir.None {
			values = append(values, v)
		}
	}
	// Registers of variables that the region has nothing to do with come first: the others' own variables may want them.
	own := [32]bool{}
	for v := ir.Var(1); v < ir.NumInt; v++ {
		if p := t.Pin(v); p >= 0 && r.used[v] {
			own[p] = true
		}
	}
	target := *t
	target.Int = slices.Clone(t.Int)
	if r.calls {
		target.Int, target.Float = r.free(t.Int, t, 0), r.free(t.Float, t, ir.NumInt)
	}
	slices.SortStableFunc(target.Int, func(a, b int) int {
		switch {
		case own[a] == own[b]:
			return 0
		case own[a]:
			return 1
		}
		return -1
	})
	t = &target
	score := func(v *Value) float64 {
		n := 4
		for _, s := range v.needs {
			n += s.to - s.from
		}
		w := v.weight
		if v.IsConst() {
			w /= 2
		}
		// What goes around a loop in one variable is one thing, that had best be in one register.
		if len(v.feeds) == 1 && v.feeds[0].real && v.Kind == Computed {
			if p := v.feeds[0]; !overlap(p.needs, v.needs) {
				w += p.weight
				for _, s := range p.needs {
					n += s.to - s.from
				}
			}
		}
		return w / float64(n)
	}
	scores := make(map[*Value]float64, len(values))
	for _, v := range values {
		scores[v] = score(v)
	}
	slices.SortStableFunc(values, func(a, b *Value) int { return cmp.Compare(scores[b], scores[a]) })
	for _, v := range r.admit(values, t) {
		if v.Reg < 0 {
			r.choose(v, v.needs, t)
		}
	}
	for _, v := range values {
		if len(v.needs) > 0 && v.Reg < 0 {
			r.choose(v, v.needs, t)
		}
	}
	r.chosen = true
	slots := make([][]span, int(ir.NumVars)+t.Slots)
	var idle []*Value
	for _, v := range values {
		switch {
		case v.around():
			idle = append(idle, v)
		case !r.keep(v, t, slots):
			return false
		}
	}
	for again := true; again; { // where one is, the next may be
		again = false
		idle = slices.DeleteFunc(idle, func(v *Value) bool {
			joined := r.join(v, t)
			again = again || joined
			return joined
		})
	}
	for _, v := range idle {
		if !r.keep(v, t, slots) {
			return false
		}
	}
	for i := range t.Slots {
		if slots[int(ir.NumVars)+i] != nil {
			r.Slots = i + 1
		}
	}
	return true
}

// admit is as many values as there are registers for wherever they are needed, the first ones first, in the order in which they are made. In that order
// each finds a register free: of those that are needed where it is, all that have one are needed where it is made. (In the order of their scores, many short ones in different
// registers would leave none that is free for as long as a long one needs it.)
func (r *Region) admit(values []*Value, t *Target) (list []*Value) {
	var room [2][]int8 // by position
	end := r.Blocks[len(r.Blocks)-1].end + 4
	for class, regs := range [][]int{t.Int, t.Float} {
		room[class] = make([]int8, end)
		for i := range room[class] {
			room[class][i] = int8(len(regs))
		}
		for _, reg := range regs {
			for _, s := range r.busy[class][reg] {
				for i := s.from; i < s.to; i++ {
					room[class][i]--
				}
			}
		}
	}
	for _, v := range values {
		if len(v.needs) == 0 {
			continue
		}
		room, fits := room[class(v)], true
		for _, s := range v.needs {
			if slices.Contains(room[s.from:s.to], 0) {
				fits = false
				break
			}
		}
		if !fits {
			if !v.Float() && t.Spare >= 0 && !overlap(r.busy[0][t.Spare], v.needs) && !overlap(r.taken, v.needs) {
				v.Reg = t.Spare
				r.busy[0][t.Spare] = append(r.busy[0][t.Spare], v.needs...)
			}
			continue
		}
		for _, s := range v.needs {
			for i := s.from; i < s.to; i++ {
				room[i]--
			}
		}
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b *Value) int { return cmp.Compare(a.pos, b.pos) })
	return list
}

// free is the registers of a list in which no variable stays that the region has nothing to do with. The variables of its class begin with first.
func (r *Region) free(list []int, t *Target, first ir.Var) []int {
	list = slices.Clone(list)
	for v := first; v < first+32; v++ {
		if p := t.Pin(v); p >= 0 && !r.used[v] {
			list = slices.DeleteFunc(list, func(reg int) bool { return reg == p })
		}
	}
	return list
}

// take notes that the spare register is in use at a position.
func (r *Region) take(pos int) {
	if n := len(r.taken); n > 0 && r.taken[n-1].to >= pos {
		r.taken[n-1].to = pos + 2
		return
	}
	r.taken = append(r.taken, span{pos, pos + 2})
}

func class(v *Value) int {
	if v.Float() {
		return 1
	}
	return 0
}

// choose gives v a register that is free in some spans, if there is one.
func (r *Region) choose(v *Value, spans []span, t *Target) bool {
	busy := &r.busy[class(v)]
	free := func(reg int, spans []span) bool {
		return reg >= 0 && !overlap(busy[reg], spans) && (reg != t.Spare || v.Float() || !overlap(r.taken, spans))
	}
	try := func(reg int) bool {
		if !free(reg, spans) {
			return false
		}
		v.Reg = reg
		busy[reg] = append(busy[reg], spans...)
		return true
	}
	for _, p := range v.feeds {
		if p.Reg >= 0 && class(p) == class(v) && try(p.Reg) {
			return true
		}
	}
	for _, a := range v.Args {
		if a.Reg >= 0 && class(a) == class(v) && try(a.Reg) {
			return true
		}
	}
	list := t.Int
	if v.Float() {
		list = t.Float
	}
	// What will meet it in a phi should find the same register free.
	for _, p := range r.partners(v) {
		for _, reg := range append([]int{t.Pin(v.Var), t.Pin(p.Var)}, list...) {
			if free(reg, p.needs) && try(reg) {
				if v.Kind == Computed && len(v.feeds) == 1 {
					p.Reg = reg
					busy[reg] = append(busy[reg], p.needs...)
				}
				return true
			}
		}
	}
	// Where the region is entered and left there is nothing to move for what is in its own place. A temporary is in nobody's way elsewhere.
	if v.Kind != Computed || v.Block.Depth == 0 || len(v.lives) != len(v.needs) {
		if try(t.Pin(v.Var)) {
			return true
		}
	}
	for _, p := range v.feeds {
		if try(t.Pin(p.Var)) {
			return true
		}
	}
	if v.Kind == Computed {
		for _, a := range v.Arg {
			if a != nil && a.Reg >= 0 && class(a) == class(v) && try(a.Reg) {
				return true
			}
		}
	}
	for _, u := range v.users {
		if u.Reg >= 0 && class(u) == class(v) && try(u.Reg) {
			return true
		}
	}
	// Best is one that the instruction that it ends in, or those that end in it, can have too: a chain of operations stays in one register then.
	chain := r.chain(v)
	best, most := -1, -1
	for i := -1; i < len(list); i++ {
		reg := t.Spare
		if i >= 0 {
			reg = list[i]
		} else if v.Float() {
			continue
		}
		if !free(reg, spans) {
			continue
		}
		n := 0
		for _, o := range chain {
			if free(reg, o.needs) {
				n++
			}
		}
		if n > most {
			best, most = reg, n
		}
	}
	return try(best)
}

// chain is the instructions beside v, as operands and users, that would be in the same register by choice and have none yet.
func (r *Region) chain(v *Value) (list []*Value) {
	add := func(o *Value) {
		if o.Reg < 0 && len(o.needs) > 0 && class(o) == class(v) && !o.IsConst() && !overlap(o.needs, v.needs) {
			list = append(list, o)
		}
	}
	for _, u := range v.users {
		add(u)
	}
	if v.Kind == Computed {
		for i, a := range v.Arg {
			if a != nil && (i == 0 || i == 1 && commutes(v.Op)) {
				add(a)
			}
		}
	}
	return list
}

// partners is phis that v is an argument of, or arguments of the phi v, that have no register yet and are not needed where v is. There are none
// once every value that needs a register has asked for one, and v asks for one for longer.
func (r *Region) partners(v *Value) (list []*Value) {
	if r.chosen {
		return nil
	}
	add := func(p *Value) {
		if p.Reg < 0 && len(p.needs) > 0 && class(p) == class(v) && !p.IsConst() && !overlap(p.needs, v.needs) {
			list = append(list, p)
		}
	}
	for _, p := range v.feeds {
		add(p)
	}
	for _, a := range v.Args {
		add(a)
	}
	return list
}

// keep finds where v is for the states that have it.
func (r *Region) keep(v *Value, t *Target, slots [][]span) bool {
	if v.Var == internal && v.Kind == Entered { // filled on the way in, in memory
		return r.private(v, t, slots)
	}
	atHome := v.given() && t.Pin(v.Var) < 0
	if v.Reg >= 0 {
		if slices.Equal(v.needs, v.lives) {
			v.Whole = true
			return true
		}
		if atHome && r.home(v, slots) {
			return true // it is there anyway
		}
		if v.IsConst() {
			return true
		}
		busy := &r.busy[class(v)][v.Reg]
		rest := *busy
		others := make([]span, 0, len(rest))
		own := v.needs
		for _, s := range rest {
			if !slices.Contains(own, s) {
				others = append(others, s)
			}
		}
		if !overlap(others, v.lives) && (v.Reg != t.Spare || v.Float() || !overlap(r.taken, v.lives)) {
			v.Whole = true
			*busy = append(others, v.lives...)
			return true
		}
		// Another register may be free all the time.
		old := v.Reg
		*busy = others
		if r.choose(v, v.lives, t) {
			v.Whole = true
			return true
		}
		v.Reg, *busy = old, rest
		v.Stored = true
		if v.Narrow && r.private(v, t, slots) {
			return true // it needs no extension there
		}
		return r.home(v, slots) || r.private(v, t, slots)
	}
	if v.around() && r.home(v, slots) {
		return true
	}
	if len(v.needs) == 0 && !atHome {
		if v.IsConst() || r.choose(v, v.lives, t) {
			v.Whole = v.Reg >= 0
			return true
		}
	}
	if v.Narrow && v.Kind == Phi && v.Block.Depth > 0 && r.private(v, t, slots) {
		return true // it needs no extension there
	}
	return r.home(v, slots) || r.private(v, t, slots)
}

// around says that v goes around a loop for states only.
func (v *Value) around() bool { return v.Kind == Phi && len(v.needs) == 0 && v.Block.Depth > 0 }

// join lets v, which goes around a loop for states only, be where the value of the last turn is, so that nothing is to be moved.
func (r *Region) join(v *Value, t *Target) bool {
	busy := &r.busy[class(v)]
	for _, a := range v.Args {
		if a.Reg >= 0 && a.Whole && class(a) == class(v) && a.Reg != t.Spare && !overlap(busy[a.Reg], v.lives) {
			v.Reg, v.Whole = a.Reg, true
			busy[a.Reg] = append(busy[a.Reg], v.lives...)
			return true
		}
	}
	return false
}

// home lets v be in its variable's place, if that is its alone, and is what every state has there.
func (r *Region) home(v *Value, slots [][]span) bool {
	if v.Var >= ir.NumVars || v.Var == ir.Zero || overlap(slots[v.Var], v.lives) {
		return false
	}
	for _, e := range r.exits {
		if e.state[v.Var] != v && covers(v.lives, e.pos) {
			return false
		}
	}
	v.Home = int(v.Var)
	slots[v.Var] = append(slots[v.Var], v.lives...)
	return true
}

func (r *Region) private(v *Value, t *Target, slots [][]span) bool {
	for i := range t.Slots {
		if k := int(ir.NumVars) + i; !overlap(slots[k], v.lives) {
			v.Home = k
			slots[k] = append(slots[k], v.lives...)
			return true
		}
	}
	return false
}

// Live is the registers of a class that hold something at a position, as a mask.
func (r *Region) Live(class, pos int) (mask uint32) {
	for reg := range r.busy[class] {
		if covers(r.busy[class][reg], pos) {
			mask |= 1 << reg
		}
	}
	return mask
}

// Index is the number of an edge among those that come into its target.
func (e *Edge) Index() int { return e.index }
