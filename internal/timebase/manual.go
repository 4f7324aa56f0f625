package timebase

// A clock that is moved by hand, for runs that must come out the same every time: time stands still between two calls of Set,
// and alarms fire inside them.

import (
	"slices"
	"sync"
	"sync/atomic"
)

// manual is the state of a clock that is moved by hand.
type manual struct {
	now atomic.Uint64

	mu    sync.Mutex // a leaf
	armed []*Alarm   // guarded by mu, as are the alarms' deadlines; in the order in which they were set
}

// NewManual makes a clock at zero that stands still until Set moves it.
func NewManual() *Clock { return &Clock{manual: new(manual)} }

// Manual says that the clock is moved by hand: an engine must ask Now, not the host, what time it is.
func (c *Clock) Manual() bool { return c.manual != nil }

// Set moves a clock made by NewManual, back too, and calls the functions of the alarms that are due, in the order in which they were
// set, on the caller's goroutine. An alarm set for the past fires at the next Set.
func (c *Clock) Set(now uint64) {
	m := c.manual
	m.now.Store(now)
	m.mu.Lock()
	var due []*Alarm
	m.armed = slices.DeleteFunc(m.armed, func(a *Alarm) bool {
		if a.deadline > now {
			return false
		}
		due = append(due, a)
		return true
	})
	m.mu.Unlock()
	for _, a := range due {
		a.f()
	}
}

// NextAlarm is the earliest deadline of the alarms of a clock made by NewManual; ok is false when none is set.
func (c *Clock) NextAlarm() (deadline uint64, ok bool) {
	m := c.manual
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, a := range m.armed {
		if i == 0 || a.deadline < deadline {
			deadline = a.deadline
		}
	}
	return deadline, len(m.armed) > 0
}

// set is Alarm.Set.
func (m *manual) set(a *Alarm, deadline uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.armed = slices.DeleteFunc(m.armed, func(b *Alarm) bool { return a == b })
	if deadline != ^uint64(0) {
		a.deadline = deadline
		m.armed = append(m.armed, a)
	}
}
