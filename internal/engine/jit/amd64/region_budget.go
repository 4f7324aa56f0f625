package amd64

// Regions: what has retired in one block is taken from the budget in another, as far as that saves instructions. What a block has not taken yet is carried over to
// those that it leads to; where ways meet, all carry the same.

import "github.com/vmproject/vm/internal/engine/jit/opt"

// plan finds how much is carried over to where ways meet: what has retired on the shortest of them, and nothing to where a loop begins.
func (e *regionEmitter) plan() {
	const enough = 4 // each time is nearer to what is best; any is right
	pending := map[*opt.Block]int{}
	for range enough {
		for _, b := range e.r.Blocks[1:] {
			least := -1
			for _, d := range b.In {
				if d.Back || d.From == e.r.Entry || b.Landing || b.Before(d.From) {
					least = 0
				} else if n := max(pending[d.From]-d.Less, 0); least < 0 || n < least {
					least = n
				}
			}
			e.carry[b] = least
			pending[b] = least + b.Guest
			for _, d := range b.Out {
				if n, known := e.carry[d.To]; known && len(b.Out) > 1 && e.settles(d) {
					pending[b] = min(pending[b], n+d.Less)
				}
			}
		}
	}
}

// before is how much is taken from the budget before an edge.
func (e *regionEmitter) before(d *opt.Edge) int { return d.From.Guest - d.Less - e.carry[d.To] }

// joins says that an edge leads where ways meet, or to what has its code already: what is carried over there is planned.
func joins(d *opt.Edge) bool {
	return d.To != nil && !d.Back && (len(d.To.In) > 1 || d.To.Before(d.From))
}

// settles says that what has retired is taken from the budget before an edge is chosen: it leads where ways meet, and not out of a loop.
func (e *regionEmitter) settles(d *opt.Edge) bool { return joins(d) && d.To.Depth >= d.From.Depth }

// carryOver lets blocks that are reached from b only take what has retired from the budget. (All of b has: only ways out of the region have less.)
func (e *regionEmitter) carryOver(b *opt.Block) {
	for _, d := range b.Out {
		if d.To != nil && !d.Back && !joins(d) {
			e.carry[d.To] = b.Guest - e.deducted
		}
	}
}
