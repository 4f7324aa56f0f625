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
	done := 0 // instructions that are in out
	for i := 0; i < len(insts); i++ {
		in := &insts[i]
		if kinds[in.Op]&access == 0 || in.A == ir.Zero {
			continue
		}
		if g, last := find(insts, i); last > i {
			out = append(append(out, insts[done:i]...), g)
			done, i = i, last
		}
	}
	return append(out, insts[done:]...)
}

// kind is a set of what matters of an operation here.
type kind uint8

const (
	access kind = 1 << iota // of memory, by a register and an offset
	keeps                   // leaves the back end's group register alone
)

// Keeps says that an operation leaves the back end's group register alone, and that what follows it is reached by it only.
func Keeps(op ir.Op) bool { return kinds[op]&keeps != 0 }

var kinds = func() (k [ir.NumOps]kind) {
	for op := range ir.NumOps {
		switch {
		case op == ir.Load || op == ir.Store || op == ir.FLoad || op == ir.FStore:
			k[op] = access | keeps
		case op <= ir.SetLTU, op == ir.Mul, op >= ir.ShiftAdd && op <= ir.ZeroIfNonzero && op != ir.OrBytes, op == ir.Branch,
			op >= ir.FAdd && op <= ir.FConst:
			k[op] = keeps
		}
	}
	return k
}()

// find collects the accesses from i on that share its base, and flags them. last is the index of the last one, i if it is alone.
func find(insts []ir.Inst, i int) (g ir.Inst, last int) {
	base := insts[i].A
	lo, hi := insts[i].Imm, insts[i].Imm+insts[i].Width.Bytes()
	store := false
	last = i
	others := 0 // accesses with other bases since the last member
	for j := i; j < len(insts); j++ {
		in := &insts[j]
		k := kinds[in.Op]
		if k&keeps == 0 {
			break
		}
		if k&access != 0 {
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
		if in := &insts[j]; kinds[in.Op]&access != 0 && in.A == base {
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
