package opt

// Reads of fflags that only states have. Compilers save the flags before a comparison that must not signal and put them back behind it (sqrt is
// such a place in every C program). The host's register of flags knows them only when all floating point before has been done, so that reading
// it keeps one turn of a loop from beginning before another has ended: it costs more than all else in a loop over roots. But nearly always
// nothing looks at what was read.
//
// So it is read where the region is left, as long as nothing has raised flags in between. What stands behind such an operation
// and may leave is a load or store: its address is checked before the operation then, as a group, and if that fails the program goes on in
// the baseline's translation from there. In a mirrored address space, too, where no other access is checked before it is made.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// steps says that a floating-point operation may leave a region for the interpreter: the others need no state. See package amd64.
func steps(v *Value) bool {
	switch v.Op {
	case ir.FAdd, ir.FSub, ir.FMul, ir.FDiv, ir.FSqrt, ir.FMulAdd, ir.FMulSub, ir.FNegMulAdd, ir.FNegMulSub:
		return v.Has(ir.Single) || v.Rm != roundDynamic
	case ir.FSgnj, ir.FSgnjN, ir.FSgnjX, ir.FMin, ir.FMax, ir.FEq, ir.FLt, ir.FLe:
		return v.Has(ir.Single)
	case ir.FFromInt, ir.FNarrow:
		return v.Rm != roundDynamic
	case ir.FToBits, ir.FFromBits:
		return false
	}
	return true
}

const roundDynamic = 7

// raises says that an instruction may change fflags.
func raises(v *Value) bool {
	switch v.Op {
	case ir.FSgnj, ir.FSgnjN, ir.FSgnjX, ir.FToBits, ir.FFromBits, ir.FClass, ir.FConst, ir.ReadCSR:
		return false
	case ir.FLt, ir.FLe:
		return !v.Quiet
	}
	return v.Op >= ir.FAdd && v.Op <= ir.FConst || v.Op == ir.WriteCSR
}

// Stateless takes the states from instructions that do not leave, and reads of fflags from the code where only states have them.
func (r *Region) Stateless() {
	for _, b := range r.Blocks {
		for i := 0; i < len(b.Values) && !r.calls; i++ { // what is called may raise flags, too
			if read := b.Values[i]; read.Op == ir.ReadCSR && read.Imm == riscv.CSRFflags && r.lateFlags(b, i) {
				b.Values = slices.Delete(b.Values, i, i+1)
				read.sunk = true
				i--
			}
		}
	}
	for _, b := range r.Blocks {
		for _, v := range b.Values {
			if v.Kind == Computed && v.Op >= ir.FAdd && v.Op <= ir.FConst && !steps(v) {
				v.State = nil
			}
		}
	}
}

// check is an access whose address is to be checked earlier.
type check struct {
	block  *Block
	access *Value
	before *Value
}

// lateFlags says that the read of fflags that is b.Values[i] may be done in states, once it has made that so.
func (r *Region) lateFlags(b *Block, i int) bool {
	read := b.Values[i]
	compare := (*Value)(nil)
	if i+1 < len(b.Values) && b.Values[i+1].Quiet && b.Values[i+1].Arg[2] == read {
		compare = b.Values[i+1]
	}
	if compare == nil || compare.Has(ir.Single) {
		return false
	}
	// An operand that signals would raise a flag that has to be taken back: none may.
	var assumed []*Value
	for _, a := range compare.Arg[:2] {
		if !r.quiet(a, map[*Value]bool{}, &assumed) {
			return false
		}
	}
	has := func(s *State) bool { return s != nil && slices.Contains(s[:], read) }
	for _, o := range r.Blocks {
		for _, p := range o.Phis {
			if slices.Contains(p.Args, read) {
				return false
			}
		}
		for _, v := range o.Values {
			if v != compare && slices.Contains(v.Arg[:], read) {
				return false
			}
		}
		if o.Cond != nil && slices.Contains(o.Cond.Arg[:], read) {
			return false
		}
	}
	// Where flags may have been raised since.
	raised := map[*Block]bool{}
	late := func(o *Block) (from int) { // the first value of a block behind which they may
		from = 0
		if o == b {
			from = i + 1
		}
		for k := from; k < len(o.Values); k++ {
			if raises(o.Values[k]) {
				return k
			}
		}
		return -1
	}
	work := []*Block{b}
	seen := map[*Block]bool{}
	for len(work) > 0 {
		o := work[len(work)-1]
		work = work[:len(work)-1]
		out := o != b && raised[o] || late(o) >= 0
		for _, e := range o.Out {
			if e.To != nil && e.To != b && (!seen[e.To] || out && !raised[e.To]) {
				seen[e.To] = true
				raised[e.To] = raised[e.To] || out
				work = append(work, e.To)
			}
		}
	}
	var checks []check
	for _, o := range r.Blocks {
		start, at := 0, late(o)
		if o == b {
			start = i + 1
		} else if raised[o] {
			at = 0
		}
		if at < 0 {
			continue
		}
		bad := false
		o.exits(func(s *State) { bad = bad || has(s) }, func(s *State) { bad = bad || raised[o] && has(s) })
		for k, v := range o.Values[start:] {
			if k += start; k <= at && !raised[o] || !has(v.State) || v.Op >= ir.FAdd && v.Op <= ir.FConst && !steps(v) {
				continue
			}
			before := o.Values[at]
			if raised[o] || before.State == nil || slices.ContainsFunc(before.State[:], lateRead) || !checkable(v, o.Values[:at]) {
				bad = true
				break
			}
			checks = append(checks, check{o, v, before})
		}
		if bad {
			return false
		}
	}
	for _, k := range checks {
		r.checkEarly(k)
	}
	compare.Arg[2] = nil
	for _, a := range assumed {
		if !slices.Contains(r.Numbers, a) {
			r.Numbers = append(r.Numbers, a)
		}
	}
	return true
}

// quiet says that a number is no signaling NaN, if none of those are that are assumed to be none on the way in.
func (r *Region) quiet(v *Value, seen map[*Value]bool, assumed *[]*Value) bool {
	if seen[v] {
		return true
	}
	seen[v] = true
	switch v.Kind {
	case Phi:
		for _, a := range v.Args {
			if !r.quiet(a, seen, assumed) {
				return false
			}
		}
		return true
	case Entered:
		*assumed = append(*assumed, v)
		return true
	}
	switch v.Op {
	case ir.FAdd, ir.FSub, ir.FMul, ir.FDiv, ir.FSqrt, ir.FMulAdd, ir.FMulSub, ir.FNegMulAdd, ir.FNegMulSub, ir.FMin, ir.FMax, ir.FFromInt, ir.FWiden:
		return !v.Has(ir.Single) || v.Op == ir.FWiden
	case ir.FFromBits:
		return v.Arg[0] != nil && v.Arg[0].IsConst() && v.Arg[0].Imm == 0
	}
	return false
}

// lateRead says that v is a read of fflags that only states do. Nothing has been seen to of the state of an instruction that does not leave: there
// its flags may be raised already.
func lateRead(v *Value) bool { return v != nil && v.sunk && v.Op == ir.ReadCSR }

// checkable says that the address of an access, or of a group of them, is known behind some values of its block.
func checkable(v *Value, known []*Value) bool {
	if v.Kind != Computed || !access(v.Op) && v.Op != ir.Group || v.Arg[0] == nil {
		return false
	}
	at := v.Arg[0]
	if v.Op != ir.Group {
		var dist int64
		at, dist = root(at)
		if !fits(dist + v.Imm) {
			return false
		}
	}
	return !at.IsConst() && (at.Kind != Computed || at.Block != v.Block || slices.Contains(known, at))
}

// checkEarly moves a group, or makes one for an access.
func (r *Region) checkEarly(k check) {
	b, v := k.block, k.access
	g := v
	if v.Op == ir.Group {
		b.Values = slices.DeleteFunc(b.Values, func(o *Value) bool { return o == v })
	} else {
		g = r.groupOf(v)
	}
	g.Alone = false
	g.Off, g.N, g.State = k.before.Off, k.before.N, k.before.State
	b.Values = slices.Insert(b.Values, slices.Index(b.Values, k.before), g)
}

// groupOf makes a group of one access.
func (r *Region) groupOf(v *Value) *Value {
	at, dist := root(v.Arg[0])
	g := r.newValue(v.Block, Computed, internal)
	g.Inst = ir.Inst{Op: ir.Group, Imm: dist + v.Imm, Raw: uint32(v.Width.Bytes()), Dst: ir.None, A: ir.None, B: ir.None, C: ir.None}
	if isStore(v.Op) {
		g.Flags = ir.Signed
	}
	g.Arg[0] = at
	v.Arg[0], v.Imm, v.State = g, 0, nil
	v.Flags |= ir.Grouped
	return g
}
