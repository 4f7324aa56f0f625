package opt

// Loops are unrolled: a few turns of the innermost become one. What goes around a loop in several variables moves on by one each turn, which costs as much
// as the work where a compiler has made a rotation of it; and the budget is looked at once in so many turns.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// maxUnrolled bounds the guest instructions of all turns.
const maxUnrolled = 240

// unroll makes copies of the loop around the head, if it is an innermost one without calls.
func (r *Region) unroll(s *Source) {
	loop := r.innermost()
	size, rest := 0, 0
	for _, b := range r.Blocks {
		if loop[b] {
			size += b.Guest
		} else {
			rest += b.Guest
		}
	}
	if size == 0 {
		return
	}
	if s.Mirrored && !s.Unrolls && searches(loop, r.Head, size) {
		r.waits = true
		return
	}
	turns := min(s.Turns, maxUnrolled/size, (s.Max-rest)/size)
	if turns < 2 {
		return
	}
	turn := make([]map[*Block]*Block, turns) // the blocks of each
	var list []*Block
	at := 0
	for k := range turn {
		turn[k] = map[*Block]*Block{}
		for i, b := range r.Blocks {
			switch {
			case !loop[b]:
			case k == 0:
				turn[k][b] = b
				at = i + 1
			default:
				c := *b
				turn[k][b] = &c
				list = append(list, &c)
			}
		}
	}
	for k := len(turn) - 1; k >= 0; k-- { // the first last: the others are made of it
		for b, c := range turn[k] {
			out := make([]*Edge, len(b.Out))
			for i, e := range b.Out {
				d := *e
				d.From = c
				switch {
				case !loop[e.To]:
				case e.To != r.Head:
					d.To = turn[k][e.To]
				case k+1 < len(turn):
					d.To, d.Back = turn[k+1][r.Head], false
				}
				out[i] = &d
			}
			c.Out = out
		}
	}
	r.Blocks = slices.Insert(r.Blocks, at, list...)
}

// innermost is the blocks of the loop around the head, nil if there is another loop in it, or a call.
func (r *Region) innermost() map[*Block]bool {
	in := map[*Block][]*Block{}
	for _, b := range r.Blocks {
		for _, e := range b.Out {
			if e.To != nil {
				in[e.To] = append(in[e.To], b)
			}
		}
	}
	loop := map[*Block]bool{}
	var work []*Block
	for _, b := range r.Blocks {
		for _, e := range b.Out {
			if e.To == r.Head && e.Back {
				work = append(work, b)
			}
		}
	}
	if len(work) == 0 {
		return nil
	}
	loop[r.Head] = true
	for len(work) > 0 {
		b := work[len(work)-1]
		work = work[:len(work)-1]
		if !loop[b] {
			loop[b] = true
			work = append(work, in[b]...)
		}
	}
	for b := range loop {
		if b.Call != nil || b.Inside != nil {
			return nil
		}
		for _, e := range b.Out {
			if e.Back && loop[e.To] && e.To != r.Head {
				return nil
			}
		}
	}
	return loop
}

// Missed says that a loop was not unrolled for Search's sake, which did not have it: the source's Unrolls lets it be.
func (r *Region) Missed() bool { return r.waits && r.Searches == 0 }

// searches says that a loop looks as if Search might have it: a few instructions that read a number, compare it, and move on by as much as that was.
func searches(loop map[*Block]bool, head *Block, size int) bool {
	last := len(head.Insts) - 1
	if size > maxSearch || last < 0 || head.Insts[last].Op != ir.Branch || head.Insts[last].Cond <= ir.NE {
		return false
	}
	branch := &head.Insts[last]
	moves := map[ir.Var]bool{} // what is moved on by 4 bytes
	for b := range loop {
		for i := range b.Insts {
			in := &b.Insts[i]
			if effects(in.Op) && in.Op != ir.Load && in != branch {
				return false
			}
			moves[in.A] = moves[in.A] || in.Op == ir.Add && in.Has(ir.UseImm) && abs(in.Imm) == 4
		}
	}
	return slices.ContainsFunc(head.Insts, func(in ir.Inst) bool {
		return in.Op == ir.Load && in.Width == ir.W32 && (in.Dst == branch.A || in.Dst == branch.B) && moves[in.A]
	})
}
