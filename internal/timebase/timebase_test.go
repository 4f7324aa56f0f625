package timebase

// Time is that of testing/synctest: it passes only while every goroutine waits, and then at once.

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		if c.Now() != 0 {
			t.Errorf("starts at %d", c.Now())
		}
		time.Sleep(time.Second)
		if c.Now() != Frequency {
			t.Errorf("%d ticks in a second", c.Now())
		}
		time.Sleep(99 * time.Nanosecond)
		if c.Now() != Frequency {
			t.Error("a tick came early")
		}
		time.Sleep(time.Nanosecond)
		if c.Now() != Frequency+1 {
			t.Error("a tick is missing")
		}
	})
}

func TestAlarm(t *testing.T) {
	const second = Frequency
	cases := []struct {
		name string
		set  func(c *Clock, a *Alarm)
		at   []time.Duration // when it fires, from the start
	}{
		{"once", func(_ *Clock, a *Alarm) { a.Set(second) }, []time.Duration{time.Second}},
		{"one tick", func(_ *Clock, a *Alarm) { a.Set(1) }, []time.Duration{100}},
		{"in the past", func(_ *Clock, a *Alarm) { time.Sleep(time.Second); a.Set(5) }, []time.Duration{time.Second}},
		{"now", func(_ *Clock, a *Alarm) { a.Set(0) }, []time.Duration{0}},
		{"never", func(_ *Clock, a *Alarm) { a.Set(^uint64(0)) }, nil},
		{"stopped", func(_ *Clock, a *Alarm) { a.Set(second); a.Stop() }, nil},
		{"moved later", func(_ *Clock, a *Alarm) { a.Set(second); a.Set(2 * second) }, []time.Duration{2 * time.Second}},
		{"moved earlier", func(_ *Clock, a *Alarm) { a.Set(2 * second); a.Set(second) }, []time.Duration{time.Second}},
		{"twice", func(_ *Clock, a *Alarm) { a.Set(second); time.Sleep(time.Minute); a.Set(100 * second) },
			[]time.Duration{time.Second, 100 * time.Second}},
		{"stopped, then set", func(_ *Clock, a *Alarm) { a.Set(second); a.Stop(); a.Set(3 * second) }, []time.Duration{3 * time.Second}},
		{"further than one timer waits", func(_ *Clock, a *Alarm) { a.Set(5 * 3600 * second / 2) }, []time.Duration{150 * time.Minute}},
		{"almost never", func(_ *Clock, a *Alarm) { a.Set(^uint64(0) - 1) }, nil},
		{"within a tick", func(_ *Clock, a *Alarm) { time.Sleep(150); a.Set(2) }, []time.Duration{250}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				clock := New()
				fired := make(chan time.Duration, 10)
				a := clock.NewAlarm(func() { fired <- time.Since(start) })
				c.set(clock, a)
				time.Sleep(24 * time.Hour)
				a.Stop()
				synctest.Wait()
				close(fired)
				var got []time.Duration
				for d := range fired {
					got = append(got, d)
				}
				if len(got) != len(c.at) {
					t.Fatalf("fired at %v, want %v", got, c.at)
				}
				for i, d := range got {
					if d < c.at[i] || d >= c.at[i]+tick {
						t.Errorf("fired at %v, want %v", got, c.at)
					}
				}
			})
		})
	}
}

// The function may set the alarm again, as a periodic timer does.
func TestAlarmSetsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := New()
		count := 0
		done := make(chan struct{})
		var a *Alarm
		a = clock.NewAlarm(func() {
			if count++; count == 5 {
				close(done)
				return
			}
			a.Set(clock.Now() + Frequency)
		})
		a.Set(Frequency)
		<-done
		if clock.Now() != 5*Frequency {
			t.Errorf("five periods took %d ticks", clock.Now())
		}
	})
}

func BenchmarkNow(b *testing.B) {
	c := New()
	b.ReportAllocs()
	for b.Loop() {
		c.Now()
	}
}
