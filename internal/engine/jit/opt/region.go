// Package opt is the optimizing tier of the translator, the half that knows no host: hot regions of a guest page in static single
// assignment form, improved, with a place for every value.
//
//	region.go    what a region is
//	find.go      which code it is: blocks of the page around a hot place, and what they call
//	unroll.go    which loops take several turns at once
//	ssa.go       its values
//	choose.go    which branches become choices
//	simplify.go  what is computed otherwise, or not at all
//	forward.go   which loads are of what was just stored
//	merge.go     which phis are the same
//	bits.go      which masks are a part of a comparison
//	search.go    which loops pass over several elements at once
//	access.go    which loads and stores share a look-up
//	reach.go     and which a comparison, in mirrored address spaces
//	flags.go     which floating point cannot leave the region, and reads of its flags
//	leave.go     what is computed only on the way out of a loop
//	sink.go      what is computed only where the region is left
//	associate.go which sums are made in another order
//	narrow.go    which values need no sign extension
//	order.go     in which order it is computed
//	live.go      where each value is needed
//	allocate.go  where it is kept
//	memory.go    what it is made of
//	print.go     all that for people
//
// A region is entered at its head, and behind calls that it makes. It is left at many places. At each of them the guest's whole state must be in its
// canonical place, so that the state there is part of the form: a State says which value each variable has. Values that only such
// states use need not be in registers, and many need no place at all.
package opt

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/memory"
)

// Source is where the code of a region comes from.
type Source struct {
	Bytes []byte // of the page: a copy, so that a region is made of one version of it
	Page  uint64 // guest physical address
	Head  uint16 // offset of the hot place
	// Known says that the code at an offset has been executed, by this machine or one before whose translations were kept. Nil: all may have been.
	Known func(off uint16) bool
	// Max is the most guest instructions of a region.
	Max int
	// Turns is how many turns of a loop may become one. 0 is as good as 1.
	Turns int
	// Unrolls: what looks like a search becomes several turns, too.
	Unrolls bool
	// Mirrored: it executes in a mirrored address space, where no access looks its address up.
	Mirrored bool
	// Loops: keep only what leads back to the head. A region without a loop is none then, but for a straight line of at most Straight instructions.
	Loops    bool
	Straight int
	// Memory is what the region is made of. Nil: Go's.
	Memory *Memory
}

// Region is a piece of code to be optimized as a whole.
type Region struct {
	Page     uint64
	Head     *Block
	Blocks   []*Block // in the order of their code; the first is Entry
	Entry    *Block   // what happens on the way in: the variables as they were
	Guest    int      // guest instructions
	UsesFP   bool
	Straight bool     // a straight line
	Fuses    bool     // has fused multiplication and addition
	Guards   []*Value // entries that are assumed to be sign-extended from 32 bits

	Cells   []*Cell  // see Share
	Reached []*Value // entries that are assumed to be in the mirror: see Compare
	Checks  []Check  // see Sink
	Numbers []*Value // entries that are assumed to be no signaling NaNs: see Stateless

	Slots    int // private places in memory that are used
	Searches int // loops that pass over several elements at once

	memory   *Memory
	values   int
	assumed  map[*Value]bool
	mirrored bool
	used     [ir.NumVars]bool
	written  [ir.NumVars]bool
	busy     [2][32][]span // by class, by register
	exits    []exit
	taken    []span // where the spare register is in use
	calls    bool   // makes calls
	waits    bool   // see Missed
	chosen   bool   // all values that instructions need have chosen
}

// Block is a basic block.
type Block struct {
	Off    int // offset in the page of its first instruction
	End    int // and behind its last
	Guest  int // guest instructions
	Insts  []ir.Inst
	Phis   []*Value
	Values []*Value
	Start  *State // behind the phis
	Final  *State

	// How it ends: by a branch, if Cond is not nil, to Out[0] if it is taken; to Out[len-1] if not.
	Cond *Value
	Out  []*Edge
	In   []*Edge
	// Call ends it, if it is not nil: a call that is made. The block behind it, a landing, follows in Blocks: all that it begins with is Returned.
	Call    *ir.Inst
	Landing bool
	Return  *ir.Inst // ends it likewise: a return to where the region knows nothing of
	Inside  *Inlined // the call that it is in, or nil
	Fenced  bool     // ends with a fence

	Depth      int
	start, end int // positions
	order      int
	mark       bool
}

// Edge leads from a block to another or out of the region.
type Edge struct {
	From, To *Block   // To is nil for an exit
	Off      int      // offset of the target, in the page or not
	Less     int      // instructions of From that have not retired along it
	Inside   *Inlined // the call that it leads into
	Back     bool     // to a lower or the same offset, or out of the region from a call: where the budget is checked
	index    int      // in To.In
}

// drop makes edges to blocks that are not kept exits.
func (r *Region) drop(keep func(*Block) bool) {
	for _, b := range r.Blocks {
		for _, e := range b.Out {
			if e.To != nil && !keep(e.To) {
				e.To = nil
			}
		}
	}
	r.Blocks = slices.DeleteFunc(r.Blocks, func(b *Block) bool { return !keep(b) })
}

// Extent is the code of a region: a bit for each two bytes of its page.
type Extent [memory.PageSize / 2 / 64]uint64

// Has says that the instruction at an offset is in the region.
func (x *Extent) Has(off uint16) bool { return x[off/128]>>(off/2%64)&1 != 0 }

// Extent is the code that the region is of.
func (r *Region) Extent() *Extent {
	x := &Extent{}
	for _, b := range r.Blocks {
		for off := max(b.Off, 0); off < min(b.End, memory.PageSize); off += 2 {
			x[off/128] |= 1 << (off / 2 % 64)
		}
	}
	return x
}

// connect drops what cannot be reached, adds the entry and the lists of edges that come in, and measures how deep in loops each block is.
func (r *Region) connect() {
	reached := map[*Block]bool{}
	var visit func(b *Block)
	visit = func(b *Block) {
		reached[b] = true
		for _, e := range b.Out {
			if e.To != nil && !reached[e.To] {
				visit(e.To)
			}
		}
	}
	visit(r.Head)
	r.drop(func(b *Block) bool { return reached[b] })
	r.Entry = &Block{Off: -1}
	r.Entry.Out = []*Edge{{From: r.Entry, To: r.Head, Off: r.Head.Off}}
	r.Blocks = append([]*Block{r.Entry}, r.Blocks...)
	for _, b := range r.Blocks {
		r.Guest += b.Guest
		for i := range b.Insts {
			if op := b.Insts[i].Op; op >= ir.FAdd || op == ir.FLoad || op == ir.FStore || flags(&b.Insts[i]) {
				r.UsesFP = true
			}
			if op := b.Insts[i].Op; op >= ir.FMulAdd && op <= ir.FNegMulSub {
				r.Fuses = true
			}
		}
		for _, e := range b.Out {
			switch {
			case e.To != nil:
				e.index = len(e.To.In)
				e.To.In = append(e.To.In, e)
			case b.Inside != nil || e.Inside != nil: // calls have been made by then, perhaps one that led here
				e.Back = true
			}
		}
	}
	for _, b := range r.Blocks {
		for _, e := range b.Out {
			if e.To != nil && e.Back {
				loop(e.To, b)
			}
		}
	}
}

// loop makes the blocks of a loop one deeper.
func loop(head, from *Block) {
	for b := range body(head, from) {
		b.Depth = min(b.Depth+1, 4)
	}
}

// body is the blocks of a loop: those from which a jump back to head is reached without head, and head.
func body(head, from *Block) map[*Block]bool {
	list := map[*Block]bool{head: true}
	work := []*Block{from}
	for len(work) > 0 {
		b := work[len(work)-1]
		work = work[:len(work)-1]
		if list[b] || b.Off < 0 {
			continue
		}
		list[b] = true
		for _, e := range b.In {
			work = append(work, e.From)
		}
	}
	return list
}

// Optimize makes the values of a region, improves them and finds a place for each. It is false when that is not possible.
func (r *Region) Optimize(t *Target) bool {
	r.Build(func(v ir.Var) bool { return t.Pin(v) >= 0 })
	r.Choose()
	r.Simplify()
	if r.Forward() {
		r.Simplify()
	}
	r.MergePhis()
	r.Bits()
	if r.mirrored {
		r.Search()
		r.Reach()
	} else {
		r.Share()
	}
	r.Stateless()
	r.Leave()
	r.Sink()
	r.Associate()
	r.Narrow()
	r.Order()
	if r.mirrored {
		r.Compare()
	}
	return r.Allocate(t)
}
