package opt

// Phis that are the same value. Where a loop copies variables around (h = g; g = f; ...) compilers leave some of them in two registers, of which one
// is dead: each would go around the loop on its own, for states. They differ only in what they were on the way in, of which it is
// assumed that it was the same (Region.Checks): a region is entered at its head, where a turn has nearly always made them so.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// MergePhis makes one of phis that are the same.
func (r *Region) MergePhis() {
	for changed := true; changed; {
		changed = false
		for _, b := range r.Blocks {
			for i, p := range b.Phis {
				for _, q := range b.Phis[:i] {
					if q.forward == nil && r.mergePhi(p, q) {
						changed = true
						break
					}
				}
			}
		}
		r.trivialPhis()
	}
}

// mergePhi lets p be q, if they are the same or may be assumed to be.
func (r *Region) mergePhi(p, q *Value) bool {
	if p.Float() != q.Float() {
		return false
	}
	assumed := -1
	for i, a := range p.Args {
		a, o := a.find(), q.Args[i].find()
		if a == o || a == p && o == q || a == q && o == p {
			continue
		}
		if p.Block.In[i].From != r.Entry || r.Guest < minSink || a.Kind != Entered || o.Kind != Entered || a.Float() {
			return false
		}
		assumed = i
	}
	if assumed >= 0 {
		in := ir.Inst{Op: ir.Add, Width: ir.W64, Flags: ir.UseImm}
		same := &Value{Inst: in, Kind: Computed, Var: p.Var, Reg: -1, Home: -1, Arg: [3]*Value{q.Args[assumed].find()}}
		entry, other := p.Args[assumed].find(), q.Args[assumed].find()
		r.Checks = append(r.Checks, Check{entry, same})
		if r.assumed[entry] { // then of the other as well, which stays
			delete(r.assumed, entry)
			r.assumed[other] = true
		}
	}
	p.forward = q
	return true
}
