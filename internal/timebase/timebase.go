// Package timebase is the machine's clock: the 10 MHz counter behind mtime, the time CSR and every timer compare register.
//
// There is one [Clock] a machine. It follows the host's monotonic clock, so the guest's time passes while the guest sleeps, or the
// processor's time-stamp counter (tsc.go), which is the same but for a few millionths; or it is moved by hand (manual.go).
package timebase

import (
	"sync"
	"time"
)

// Frequency of the counter in ticks a second (the device tree's timebase-frequency).
const Frequency = 10_000_000

const tick = time.Second / Frequency

// Clock counts ticks since it was made. Safe for concurrent use.
type Clock struct {
	start  time.Time
	tsc    TSCParams // Mul is 0 in a clock that does not follow the time-stamp counter
	manual *manual   // nil in a clock that is not moved by hand
}

// New starts a clock at zero that follows the host's monotonic clock as package time has it: a fake one in a synctest bubble.
func New() *Clock { return &Clock{start: time.Now()} }

// Now is the present count in ticks.
func (c *Clock) Now() uint64 {
	if c.tsc.Mul != 0 {
		return c.tsc.at(rdtsc())
	}
	if c.manual != nil {
		return c.manual.now.Load()
	}
	return uint64(time.Since(c.start) / tick)
}

// Alarm calls a function each time the clock reaches a deadline. Safe for concurrent use.
type Alarm struct {
	clock *Clock
	f     func()

	mu       sync.Mutex
	timer    *time.Timer
	deadline uint64 // ticks; meaningful while armed
	armed    bool
	waker
}

// NewAlarm makes an alarm that is not set. f runs on its own goroutine and must not block for long; it may call Set.
func (c *Clock) NewAlarm(f func()) *Alarm { return &Alarm{clock: c, f: f} }

// Set arms the alarm for a deadline in ticks, replacing an earlier one. A deadline in the past fires at once; a deadline
// of all ones never fires, by the convention of mtimecmp and stimecmp (Privileged 1.13 §3.2.1).
func (a *Alarm) Set(deadline uint64) {
	if m := a.clock.manual; m != nil {
		m.set(a, deadline)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.armed = deadline != ^uint64(0)
	if !a.armed {
		return
	}
	a.deadline = deadline
	d := a.until(deadline)
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.fire)
	} else {
		a.timer.Reset(d)
	}
	a.wake(d) // after that, or the runtime could look too early
}

// until is the wait for a deadline, at most an hour: fire looks again. It does so, too, when the host's timer, which knows nothing of
// the time-stamp counter, was a little early.
func (a *Alarm) until(deadline uint64) time.Duration {
	now := a.clock.Now()
	if deadline <= now {
		return 0
	}
	return time.Duration(min(deadline-now, uint64(time.Hour/tick))) * tick
}

func (a *Alarm) fire() {
	a.mu.Lock()
	if !a.armed {
		a.mu.Unlock()
		return
	}
	if d := a.until(a.deadline); d > 0 {
		a.timer.Reset(d)
		a.wake(d)
		a.mu.Unlock()
		return
	}
	a.armed = false
	a.mu.Unlock()
	a.f()
}

// Stop disarms the alarm.
func (a *Alarm) Stop() { a.Set(^uint64(0)) }
