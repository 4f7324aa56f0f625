package rtc

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmproject/vm/internal/device"
)

func read(r *RTC) uint64 {
	low := r.Load(regTimeLow, 4)
	return r.Load(regTimeHigh, 4)<<32 | low
}

func write(r *RTC, high, low uint64, v uint64) {
	r.Store(high, 4, v>>32)
	r.Store(low, 4, v&0xffff_ffff)
}

// Time in a synctest bubble is a fake clock: its sleeps take none.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(device.LineFunc(func(bool) {}))
		if got, want := read(r), uint64(time.Now().UnixNano()); got != want {
			t.Errorf("time = %d, want the host's %d", got, want)
		}
		write(r, regTimeHigh, regTimeLow, 5_000_000_000_000)
		time.Sleep(3 * time.Second)
		if got := read(r); got != 5_003_000_000_000 {
			t.Errorf("time 3 s after it was set = %d", got)
		}
		r.Load(regTimeLow, 4)
		high := r.Load(regTimeHigh, 4)
		time.Sleep(5 * time.Second) // crosses 2^32 ns
		if got := r.Load(regTimeHigh, 4); got != high {
			t.Error("the high half moved without the low half being read")
		}
		for _, c := range []struct {
			off  uint64
			size int
		}{{regTimeLow, 8}, {regTimeLow, 1}, {0x20, 4}, {Size - 4, 4}, {2, 4}} {
			if v := r.Load(c.off, c.size); v != 0 {
				t.Errorf("%d bytes at %#x read %#x", c.size, c.off, v)
			}
		}
		r.Reset()
		if got := read(r); got != 5_008_000_000_000 {
			t.Errorf("time after reset = %d", got)
		}
	})
}

func TestAlarm(t *testing.T) {
	const second = uint64(time.Second)
	for _, c := range []struct {
		name    string
		act     func(r *RTC)
		wait    time.Duration
		irq     bool
		pending bool
	}{
		{"in the future", func(r *RTC) { write(r, regAlarmHigh, regAlarmLow, read(r)+2*second) }, time.Second, false, true},
		{"due", func(r *RTC) { write(r, regAlarmHigh, regAlarmLow, read(r)+2*second) }, 2 * time.Second, true, false},
		{"past", func(r *RTC) { write(r, regAlarmHigh, regAlarmLow, 1) }, 0, true, false},
		{"days ahead", func(r *RTC) { write(r, regAlarmHigh, regAlarmLow, read(r)+86400*3*second) }, 72 * time.Hour, true, false},
		{"never", func(r *RTC) { write(r, regAlarmHigh, regAlarmLow, ^uint64(0)) }, 72 * time.Hour, false, true},
		{"cleared", func(r *RTC) {
			write(r, regAlarmHigh, regAlarmLow, read(r)+second)
			r.Store(regClearAlarm, 4, 1)
		}, 2 * time.Second, false, false},
		{"interrupt cleared", func(r *RTC) {
			write(r, regAlarmHigh, regAlarmLow, 1)
			r.Store(regClearIRQ, 4, 1)
		}, time.Second, false, false},
		{"not enabled", func(r *RTC) {
			r.Store(regIRQEnabled, 4, 0)
			write(r, regAlarmHigh, regAlarmLow, 1)
		}, 0, false, false},
		{"enabled later", func(r *RTC) {
			r.Store(regIRQEnabled, 4, 0)
			write(r, regAlarmHigh, regAlarmLow, 1)
			r.Store(regIRQEnabled, 4, 1)
		}, 0, true, false},
		{"the time is set past it", func(r *RTC) {
			write(r, regAlarmHigh, regAlarmLow, read(r)+1000*second)
			write(r, regTimeHigh, regTimeLow, read(r)+2000*second)
		}, 0, true, false},
		{"reset", func(r *RTC) {
			write(r, regAlarmHigh, regAlarmLow, read(r)+second)
			r.Reset()
		}, 2 * time.Second, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				irq := false
				r := New(device.LineFunc(func(level bool) { irq = level }))
				r.Store(regIRQEnabled, 4, 1)
				c.act(r)
				time.Sleep(c.wait)
				synctest.Wait()
				if pending := r.Load(regAlarmStatus, 4) != 0; irq != c.irq || pending != c.pending {
					t.Errorf("irq %v, alarm pending %v; want %v, %v", irq, pending, c.irq, c.pending)
				}
				r.Store(regClearAlarm, 4, 1)
			})
		})
	}
}
