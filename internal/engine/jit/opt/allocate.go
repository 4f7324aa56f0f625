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
	Slots    int // private places
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
		return w / float64(n)
	}
	slices.SortStableFunc(values, func(a, b *Value) int { return cmp.Compare(score(b), score(a)) })
	for _, v := range values {
		if len(v.needs) > 0 {
			r.choose(v, v.needs, t)
		}
	}
	slots := make([][]span, int(ir.NumVars)+t.Slots)
	for _, v := range values {
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

func class(v *Value) int {
	if v.Float() {
		return 1
	}
	return 0
}

// choose gives v a register that is free in some spans, if there is one.
func (r *Region) choose(v *Value, spans []span, t *Target) bool {
	busy := &r.busy[class(v)]
	try := func(reg int) bool {
		if reg < 0 || overlap(busy[reg], spans) {
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
	if try(t.Pin(v.Var)) {
		return true
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
	list := t.Int
	if v.Float() {
		list = t.Float
	}
	for _, reg := range list {
		if try(reg) {
			return true
		}
	}
	return false
}

// keep finds where v is for the states that have it.
func (r *Region) keep(v *Value, t *Target, slots [][]span) bool {
	if v.Var == internal && v.Kind == Entered { // filled on the way in, in memory
		return r.private(v, t, slots)
	}
	atHome := v.Kind == Entered && t.Pin(v.Var) < 0
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
		if !overlap(others, v.lives) {
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
		return r.home(v, slots) || r.private(v, t, slots)
	}
	if len(v.needs) == 0 && !atHome {
		if v.IsConst() || r.choose(v, v.lives, t) {
			v.Whole = v.Reg >= 0
			return true
		}
	}
	return r.home(v, slots) || r.private(v, t, slots)
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
