package jit

// Where translations begin, by offset in a page. It is asked and told for every block and every jump of one, and there are as many as pages
// with translations: a hash table that is small and has nothing that Go's maps have besides.

// entries maps the offsets of a page's instructions to distances from the start of code memory; 0 stands for none. The zero value is empty.
type entries struct {
	slots []uint64 // offset<<32 | distance, at the offset's hash or in the next free place behind it; 0: free. A power of two, or none
	n     int
}

const minSlots = 16

// place is where an offset is, or would be. There is a free slot.
func (e *entries) place(off uint16) *uint64 {
	mask := uint32(len(e.slots) - 1)
	for i := uint32(off) * 0x9E37_79B1 >> 16; ; i++ {
		if s := &e.slots[i&mask]; *s == 0 || uint16(*s>>32) == off {
			return s
		}
	}
}

// get is the value at an offset, 0 if there is none.
func (e *entries) get(off uint16) uint32 {
	if e.n == 0 {
		return 0
	}
	return uint32(*e.place(off))
}

// put sets the value at an offset; it is not 0.
func (e *entries) put(off uint16, at uint32) {
	if 4*(e.n+1) > 3*len(e.slots) {
		e.grow()
	}
	s := e.place(off)
	if *s == 0 {
		e.n++
	}
	*s = uint64(off)<<32 | uint64(at)
}

func (e *entries) grow() {
	old := e.slots
	e.slots = make([]uint64, max(minSlots, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			*e.place(uint16(s >> 32)) = s
		}
	}
}

// len is the number of offsets that have a value.
func (e *entries) len() int { return e.n }

// clear forgets all of them.
func (e *entries) clear() {
	clear(e.slots)
	e.n = 0
}

// offsets yields those that have a value.
func (e *entries) offsets(yield func(off uint16) bool) {
	for _, s := range e.slots {
		if s != 0 && !yield(uint16(s>>32)) {
			return
		}
	}
}
