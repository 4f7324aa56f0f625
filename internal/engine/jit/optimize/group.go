// Package optimize improves blocks of the intermediate form. It knows neither guest nor host.
package optimize

// Groups: several accesses near one base register check the TLB once.
//
// Programs save registers on the stack, walk structures and copy in strides: accesses with one base register, which does not change
// meanwhile, and offsets that are close. They nearly always lie in one page. A Group instruction in front of the first checks for all of
// them that they do and that the page may be accessed, and the accesses themselves become plain ones. Where the check fails, the
// program continues in a translation of the same code without groups, so that every access faults where it should.

import "github.com/vmproject/vm/internal/engine/jit/ir"

// maxSpan bounds the bytes from the first to the last of a group: the larger, the more often it crosses a page.
const maxSpan = 512

// Group finds groups. It returns the list with Group instructions put in; scratch is memory to build it in.
func Group(insts, scratch []ir.Inst) []ir.Inst {
	out := scratch[:0]
	busyUntil := -1 // the last member of the group that is open
	for i := range insts {
		in := &insts[i]
		if i > busyUntil && access(in.Op) && in.A != ir.Zero {
			if g, last := find(insts, i); last > i {
				out = append(out, g)
				busyUntil = last
			}
		}
		out = append(out, *in)
	}
	return out
}

func access(op ir.Op) bool {
	return op == ir.Load || op == ir.Store || op == ir.FLoad || op == ir.FStore
}

// keeps says that an instruction leaves the back end's group register alone.
func keeps(op ir.Op) bool {
	switch {
	case op <= ir.SetLTU, op == ir.Mul, op >= ir.ShiftAdd && op <= ir.ZeroIfNonzero && op != ir.OrBytes, access(op), op == ir.Branch:
		return true
	case op >= ir.FAdd && op <= ir.FConst:
		return true
	}
	return false
}

// find collects the accesses from i on that share its base, and flags them. last is the index of the last one, i if it is alone.
func find(insts []ir.Inst, i int) (g ir.Inst, last int) {
	base := insts[i].A
	lo, hi := insts[i].Imm, insts[i].Imm+insts[i].Width.Bytes()
	store := false
	last = i
	others := 0 // accesses with other bases since the last member
	for j := i; j < len(insts); j++ {
		in := &insts[j]
		if !keeps(in.Op) {
			break
		}
		if access(in.Op) {
			if in.A != base {
				if others++; others > 2 {
					break
				}
			} else {
				l, h := min(lo, in.Imm), max(hi, in.Imm+in.Width.Bytes())
				if h-l > maxSpan {
					break
				}
				lo, hi, last, others = l, h, j, 0
				store = store || in.Op == ir.Store || in.Op == ir.FStore
			}
		}
		if in.Dst == base {
			break
		}
	}
	if last == i {
		return g, i
	}
	for j := i; j <= last; j++ {
		if in := &insts[j]; access(in.Op) && in.A == base {
			in.Flags |= ir.Grouped
			in.Imm -= lo
		}
	}
	first := &insts[i]
	g = ir.Inst{Op: ir.Group, A: base, Dst: ir.None, B: ir.None, C: ir.None, Imm: lo, Raw: uint32(hi - lo), Off: first.Off, N: first.N}
	if store {
		g.Flags = ir.Signed
	}
	return g, last
}
