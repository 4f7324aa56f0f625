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
	return v.Kind == Computed && v.Op == ir.Add && v.Width == ir.W32 && !v.Has(ir.UseImm) && v.State == nil
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
				if a.sums() && a.Block == b && u.times[a] == 1 && !u.fixed[a] {
					part[a] = true
				}
			}
		}
		if len(part) == 0 {
			continue
		}
		depth := b.depths()
		var sums []*Value
		for _, v := range b.Values {
			if v.sums() && !part[v] && (part[v.Arg[0]] || part[v.Arg[1]]) {
				associate(v, part, depth)
				sums = append(sums, v)
			}
		}
		if len(sums) > 0 {
			b.gather(sums, part, u)
		}
	}
}

// gather puts what only a sum wants in front of it, in the order in which it is added: each number lives for one addition then.
func (b *Block) gather(sums []*Value, part map[*Value]bool, u *uses) {
	away := map[*Value]bool{}
	before := map[*Value][]*Value{}
	for _, sum := range sums {
		var emit func(v *Value)
		emit = func(v *Value) {
			for _, first := range []bool{true, false} { // sums, of which a register is what they leave
				for _, a := range v.Arg {
					if a != nil && part[a] == first && movable(a) && a.Block == b && u.times[a] == 1 && !u.fixed[a] {
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

// depths is how many operations each value of the block takes from what comes in from other blocks and from memory: addresses do not wait, as a rule.
func (b *Block) depths() map[*Value]int {
	depth := map[*Value]int{}
	for _, v := range b.Values {
		if !movable(v) {
			continue
		}
		d := 0
		for _, a := range v.Arg {
			if a != nil {
				d = max(d, depth[a])
			}
		}
		depth[v] = d + 1
	}
	return depth
}

// associate makes the sum of what its parts are sums of, the shallowest first, and says whether that makes it shallower.
func associate(v *Value, part map[*Value]bool, depth map[*Value]int) bool {
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
		return false
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
		return false
	}
	for _, s := range append(inner, v) {
		s.Arg[0], s.Arg[1] = numbers[0], numbers[1]
		depth[s] = max(depth[s.Arg[0]], depth[s.Arg[1]]) + 1
		numbers = numbers[2:]
		at, _ := slices.BinarySearchFunc(numbers, depth[s]+1, func(n *Value, d int) int { return cmp.Compare(depth[n], d) })
		numbers = slices.Insert(numbers, at, s)
	}
	return true
}
