package main

// What a disk may hold, from what was acknowledged. A history has no opinion of its own: it is given the plan's batches and what a reader finds.

import (
	"fmt"
	"slices"

	"github.com/vmproject/vm/test/crash/plan"
)

// history knows of each sector, or file, what it holds, and what else it may hold since a batch was under way when the machine was killed.
type history struct {
	plan  plan.Plan
	holds []plan.Content
	may   []plan.Content // the same as holds, but for what was under way
	next  uint64         // the first batch that did not begin yet
}

// newHistory is that of a disk whose first sectors hold plan.Base, as many as base says, and whose others hold nothing.
func newHistory(p plan.Plan, base int64) *history {
	n := p.Sectors
	if p.Files {
		n = plan.Slots
	}
	h := &history{plan: p, holds: make([]plan.Content, n), next: 1}
	for i := range base {
		h.holds[i] = plan.Base
	}
	h.may = slices.Clone(h.holds)
	return h
}

// killed takes in a life of the machine that began with batch next, of which those up to acknowledged were; less than next says none. One more may have been
// under way, in part or whole.
func (h *history) killed(acknowledged uint64) (writes int) {
	for ; h.next <= acknowledged; h.next++ {
		for _, op := range h.plan.Batch(h.next) {
			writes++
			for i := op.First; i < op.First+op.Count; i++ {
				h.holds[i], h.may[i] = op.To, op.To
			}
		}
	}
	for _, op := range h.plan.Batch(h.next) {
		for i := op.First; i < op.First+op.Count; i++ {
			h.may[i] = op.To
		}
	}
	h.next++
	return writes
}

// found judges what a reader found. From then on only that is right: the host's kernel goes on, so nothing that was seen may change.
func (h *history) found(at int64, c plan.Content) error {
	holds, may := h.holds[at], h.may[at]
	switch {
	case holds == plan.Anything || may == plan.Anything:
		h.holds[at], h.may[at] = plan.Anything, plan.Anything
		return nil
	case c == holds || c == may:
		h.holds[at], h.may[at] = c, c
		return nil
	case may != holds:
		return fmt.Errorf("%d holds %v, and should hold %v or %v", at, c, holds, may)
	}
	return fmt.Errorf("%d holds %v, and should hold %v", at, c, holds)
}

// faults are what is wrong, the first of them in words.
type faults struct {
	n     int
	first []string
}

func (f *faults) add(format string, args ...any) {
	if f.n++; len(f.first) < 5 {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// err is one line, or nil.
func (f *faults) err() error {
	if f.n == 0 {
		return nil
	}
	return fmt.Errorf("%d faults: %q", f.n, f.first)
}
