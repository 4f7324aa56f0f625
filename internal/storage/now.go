package storage

// Requests that wait for nothing but memory: whoever must not be held up, a hart above all, asks for them first.

// Prompt is implemented by images that can serve some requests at once. What they cannot serve so costs little to ask for, and is asked for
// again by ReadvAt or WritevAt, by somebody who can wait.
type Prompt interface {
	// ReadvNow does what ReadvAt does, where all of it is in memory. Otherwise done is false, and bufs hold anything.
	ReadvNow(bufs [][]byte, off int64) (done bool, err error)
	// WritevNow does what WritevAt does, where that waits for no device. Otherwise done is false, and a part may have been written.
	WritevNow(bufs [][]byte, off int64) (done bool, err error)
}

// ReadvNow implements [Prompt].
func (m *memImage) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	return true, m.ReadvAt(bufs, off)
}

// WritevNow implements [Prompt].
func (m *memImage) WritevNow(bufs [][]byte, off int64) (bool, error) {
	return true, m.WritevAt(bufs, off)
}

// ReadvNow implements [Prompt]: of blocks that are all on one side.
func (s *snapshot) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	n := total(bufs)
	if err := checkRange(s.Size(), off, n); err != nil {
		return true, err
	}
	if n == 0 {
		return true, nil
	}
	one, inTop := s.run(off, off+n)
	p, ok := s.side(inTop).(Prompt)
	if !ok || one != n {
		return false, nil
	}
	return p.ReadvNow(bufs, off)
}

// WritevNow implements [Prompt]: a block may have to be copied up first.
func (s *snapshot) WritevNow([][]byte, int64) (bool, error) { return false, nil }
