package opt

// Sums of several numbers. A program adds them one after the other in the order of its source; a round of a hash function adds what it has long had and what the
// round before has just made, and as long as the latter comes early, each addition waits for it. Sums of 32 bits may be made in any order: what is there first is
// added first.

import (
	"cmp"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
)

// minSum is how many numbers a sum has, at least, that is looked at.
const minSum = 4

// sums says that v adds two numbers of 32 bits.
func (v *Value) sums() bool {
	return movable(v) && v.Op == ir.Add && v.Width == ir.W32 && !v.Has(ir.UseImm)
}

// Associate orders sums.
func (r *Region) Associate() {
	u := r.uses()
	for _, b := range r.Blocks {
		if b.Depth == 0 && !r.Straight || b == r.Entry {
			continue
		}
		part := map[*Value]bool{} // what only another sum of the block wants
		for _, v := range b.Values {
			if !v.sums() {
				continue
			}
			for _, a := range v.Arg[:2] {
				if a.sums() && u.only(b, a) {
					part[a] = true
				}
			}
		}
		if len(part) == 0 {
			continue
		}
		// How many operations each value takes from what comes in from other blocks and from memory: addresses do not wait, as a rule.
		depth := map[*Value]int{}
		var sums []*Value
		for _, v := range b.Values {
			if !movable(v) {
				continue
			}
			depth[v] = 1
			for _, a := range v.Arg {
				if a != nil {
					depth[v] = max(depth[v], depth[a]+1)
				}
			}
			if v.sums() && !part[v] && (part[v.Arg[0]] || part[v.Arg[1]]) {
				associate(v, part, depth)
				sums = append(sums, v)
			}
		}
		b.gather(sums, part, u)
	}
}

// only says that an instruction of the block is all that wants v, which can stand right before it.
func (u *uses) only(b *Block, v *Value) bool {
	return movable(v) && v.Block == b && u.times[v] == 1 && !u.fixed[v]
}

// gather puts what only a sum wants in front of it, in the order in which it is added: each number lives for one addition then. That is worth it for sums of three, and for
// those that stay as they were.
func (b *Block) gather(sums []*Value, part map[*Value]bool, u *uses) {
	away := map[*Value]bool{}
	before := map[*Value][]*Value{}
	for _, sum := range slices.Backward(sums) {
		if away[sum] { // with what it wants
			continue
		}
		var emit func(v *Value)
		emit = func(v *Value) {
			for _, first := range []bool{true, false} { // sums, of which one register is left
				for _, a := range v.Arg {
					if a != nil && part[a] == first && u.only(b, a) {
						emit(a)
						away[a] = true
						before[sum] = append(before[sum], a)
					}
				}
			}
		}
		emit(sum)
	}
	out := make([]*Value, 0, len(b.Values))
	for _, v := range b.Values {
		if !away[v] {
			out = append(append(out, before[v]...), v)
		}
	}
	b.Values = out
}

// associate makes the sum of what its parts are sums of, the shallowest first, if that makes it shallower.
func associate(v *Value, part map[*Value]bool, depth map[*Value]int) {
	var numbers, inner []*Value
	var collect func(s *Value)
	collect = func(s *Value) {
		for _, a := range s.Arg[:2] {
			if part[a] {
				inner = append(inner, a)
				collect(a)
			} else {
				numbers = append(numbers, a)
			}
		}
	}
	collect(v)
	if len(numbers) < minSum {
		return
	}
	byDepth := func(x, y *Value) int { return cmp.Compare(depth[x], depth[y]) }
	slices.SortStableFunc(numbers, byDepth)
	// First only what would come of it.
	list := make([]int, len(numbers))
	for i, n := range numbers {
		list[i] = depth[n]
	}
	for len(list) > 1 {
		d := max(list[0], list[1]) + 1
		list = list[2:]
		at, _ := slices.BinarySearch(list, d+1) // behind its equals
		list = slices.Insert(list, at, d)
	}
	if list[0] >= depth[v] {
		return
	}
	for _, s := range append(inner, v) {
		s.Arg[0], s.Arg[1] = numbers[0], numbers[1]
		depth[s] = max(depth[s.Arg[0]], depth[s.Arg[1]]) + 1
		numbers = numbers[2:]
		at, _ := slices.BinarySearchFunc(numbers, depth[s]+1, func(n *Value, d int) int { return cmp.Compare(depth[n], d) })
		numbers = slices.Insert(numbers, at, s)
	}
}
