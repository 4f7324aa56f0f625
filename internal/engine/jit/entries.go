package jit

// Where translations begin, by offset in a page: a map that costs a few instructions to ask. It is asked and told for every block and every
// jump of one.

import "github.com/vmproject/vm/internal/memory"

// entries maps the offsets of a page's instructions to distances from the start of code memory; 0 stands for none. The zero value is empty.
type entries struct {
	parts [memory.PageSize / 2 / partLen]*[partLen]uint32 // a part that nothing was put into is nil
	n     int
}

// partLen is the halfwords that a part is for: translations have neighbours.
const partLen = 64

// get is the value at an even offset, 0 if there is none.
func (e *entries) get(off uint16) uint32 {
	if k := int(off / (2 * partLen)); k < len(e.parts) && e.parts[k] != nil {
		return e.parts[k][off/2%partLen]
	}
	return 0
}

// put sets the value at an even offset inside the page; it is not 0.
func (e *entries) put(off uint16, at uint32) {
	p := &e.parts[off/(2*partLen)]
	if *p == nil {
		*p = new([partLen]uint32)
	}
	v := &(*p)[off/2%partLen]
	if *v == 0 {
		e.n++
	}
	*v = at
}

// len is the number of offsets that have a value.
func (e *entries) len() int { return e.n }

// clear forgets all of them.
func (e *entries) clear() {
	for _, p := range e.parts {
		if p != nil {
			clear(p[:])
		}
	}
	e.n = 0
}

// offsets yields those that have a value, in order.
func (e *entries) offsets(yield func(off uint16) bool) {
	for k, p := range e.parts {
		if p == nil {
			continue
		}
		for i, at := range p {
			if at != 0 && !yield(uint16(2*(k*partLen+i))) {
				return
			}
		}
	}
}
