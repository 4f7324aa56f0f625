package timebase

import (
	"slices"
	"testing"
)

func TestManualClock(t *testing.T) {
	c := NewManual()
	if !c.Manual() || New().Manual() {
		t.Error("clocks do not know what they are")
	}
	var fired []string
	alarm := func(name string, deadline uint64) *Alarm {
		a := c.NewAlarm(func() { fired = append(fired, name) })
		a.Set(deadline)
		return a
	}
	alarm("late", 100)
	alarm("early", 10)
	alarm("never", ^uint64(0))
	alarm("stopped", 10).Stop()
	moved := alarm("moved", 10)
	moved.Set(101)
	expect := func(now uint64, want ...string) {
		t.Helper()
		fired = nil
		c.Set(now)
		if c.Now() != now || !slices.Equal(fired, want) {
			t.Errorf("at %d: now %d, fired %q, want %q", now, c.Now(), fired, want)
		}
	}
	next := func(want uint64, set bool) {
		t.Helper()
		if at, ok := c.NextAlarm(); at != want || ok != set {
			t.Errorf("next alarm at %d, %v", at, ok)
		}
	}
	next(10, true)
	expect(9)
	expect(10, "early")
	next(100, true)
	expect(11)
	past := alarm("past", 5)
	expect(11, "past")
	expect(200, "late", "moved")
	next(0, false)
	past.Set(300)
	expect(300, "past")
}

// The function may set the alarm again.
func TestManualAlarmSetsItself(t *testing.T) {
	c := NewManual()
	count := 0
	var a *Alarm
	a = c.NewAlarm(func() { count++; a.Set(c.Now() + 10) })
	a.Set(10)
	for now := range uint64(101) {
		c.Set(now)
	}
	if count != 10 {
		t.Errorf("fired %d times", count)
	}
}
