package opt

import "github.com/vmproject/vm/internal/memory/alloc"

// Memory is what regions are made of: their values and states, half of all that making one takes. Regions are made one after the other, and one that has
// become code is needed no more, so that the next one has its memory.
type Memory struct {
	values alloc.Arena[Value]
	states alloc.Arena[State]
}

// keptBytes of each stay: some two thousand values.
const keptBytes = 1 << 20

// Reset ends every region that was made of it.
func (m *Memory) Reset() {
	m.values.Keep, m.states.Keep = keptBytes, keptBytes
	m.values.Reset()
	m.states.Reset()
}
