package opt

// What only the way out of a loop wants is computed there: the pointers and counters of all turns but the last of an unrolled loop, and those that a compiler
// keeps beside the ones that it compares. Each such way gets a block of its own for it.

import "slices"

// Leave moves such values.
func (r *Region) Leave() {
	var wanted map[*Value]bool // by something else
	var last map[*Value]*Block // with an instruction that needs it
	leaves := func(e *Edge) bool {
		return e.To != nil && !e.Back && e.Less == 0 && e.Inside == nil && e.From.Inside == nil && e.From.Call == nil && !e.To.Landing && e.To.Depth < e.From.Depth
	}
	for i, b := range r.Blocks {
		b.order = i
	}
	collect := func() {
		wanted, last = map[*Value]bool{}, map[*Value]*Block{}
		use := func(v *Value, b *Block) {
			for _, a := range v.Arg {
				if a != nil {
					wanted[a], last[a] = true, b
				}
			}
		}
		for _, b := range r.Blocks {
			for _, v := range b.Values {
				use(v, b)
			}
			if b.Cond != nil {
				use(b.Cond, b)
			}
			for _, p := range b.Phis {
				for i, a := range p.Args {
					if !leaves(b.In[i]) {
						wanted[a] = true
					}
				}
			}
		}
	}
	collect()
	// there says that all that v is computed of is there behind b, too, but for one that stays for longer in the place of v.
	there := func(v *Value, b *Block) bool {
		missing := 0
		for _, o := range v.Arg {
			if o != nil && !o.IsConst() && (last[o] == nil || !b.Before(last[o])) {
				missing++
			}
		}
		return missing < 2
	}
	for _, b := range slices.Clone(r.Blocks) {
		for i, in := range b.In {
			if !leaves(in) {
				continue
			}
			var out *Block
			moved := map[*Value]*Value{}
			for _, p := range b.Phis {
				v := p.Args[i]
				if wanted[v] || !sinkable(v) || v.Block.Depth < in.From.Depth || !there(v, in.From) {
					continue
				}
				if out == nil {
					out = r.split(in)
				}
				n := moved[v]
				if n == nil {
					n = r.newValue(out, Computed, v.Var)
					n.Inst, n.Arg = v.Inst, v.Arg
					out.Values = append(out.Values, n)
					moved[v] = n
				}
				p.Args[i] = n
			}
		}
	}
}

// split puts a block on an edge.
func (r *Region) split(e *Edge) *Block {
	b := &Block{Off: e.Off, Depth: e.To.Depth, Start: e.From.Final, Final: e.From.Final}
	out := &Edge{From: b, To: e.To, Off: e.Off, index: e.index}
	e.To.In[e.index] = out
	b.In, b.Out = []*Edge{e}, []*Edge{out}
	at := slices.Index(r.Blocks, e.To)
	if at < slices.Index(r.Blocks, e.From) {
		at = len(r.Blocks)
	}
	r.Blocks = slices.Insert(r.Blocks, at, b)
	e.To, e.index = b, 0
	return b
}
