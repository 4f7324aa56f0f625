package asm

// Constants in memory behind the code, for instructions that take no immediate: masks and numbers for SSE registers. Each value is
// kept once. FlushPool puts them down where control does not pass, Finish at the end.

type pool struct {
	words []word // of 8 bytes
	pairs []word // of 16 bytes
}

type word struct {
	lo, hi uint64
	label  Label
}

func (p *pool) reset() { p.words, p.pairs = p.words[:0], p.pairs[:0] }

// Const is memory that will hold v, 8 bytes, aligned.
func (a *Assembler) Const(v uint64) Mem { return a.constant(&a.pool.words, v, 0) }

// Const16 is memory that will hold 16 bytes, aligned, as SSE instructions want it: lo at the lower address.
func (a *Assembler) Const16(lo, hi uint64) Mem { return a.constant(&a.pool.pairs, lo, hi) }

func (a *Assembler) constant(list *[]word, lo, hi uint64) Mem {
	for _, w := range *list {
		if w.lo == lo && w.hi == hi {
			return Rel(w.label)
		}
	}
	l := a.NewLabel()
	*list = append(*list, word{lo, hi, l})
	return Rel(l)
}

// FlushPool writes the constants asked for since the last time. The code before must not run into them.
func (a *Assembler) FlushPool() {
	if len(a.pool.pairs) > 0 {
		a.Align(16)
	} else if len(a.pool.words) > 0 {
		a.Align(8)
	}
	for _, w := range a.pool.pairs {
		a.Bind(w.label)
		a.Quad(w.lo)
		a.Quad(w.hi)
	}
	for _, w := range a.pool.words {
		a.Bind(w.label)
		a.Quad(w.lo)
	}
	a.pool.reset()
}
