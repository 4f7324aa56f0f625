package timebase

import (
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func newTSC(t testing.TB) *Clock {
	c := NewTSC()
	if _, ok := c.TSC(); !ok {
		_, err := tscMul()
		t.Skip(err)
	}
	return c
}

// The arithmetic that generated code repeats.
func TestTSCParams(t *testing.T) {
	for _, p := range []TSCParams{
		{1 << 56, 64, 0}, {1<<64 - 1, 64, 5}, {0x00d1_b717_58e2_1965, 64, 1<<64 - 12345}, {1 << 31, 32, 7}, {12345, 20, 1<<64 - 1}, {1<<64 - 1, 70, 3}, {3, 0, 1},
	} {
		for _, tsc := range []uint64{0, 1, 255, 256, 1 << 32, 1<<63 + 12345, 1<<64 - 1} {
			want := new(big.Int).Mul(new(big.Int).SetUint64(tsc), new(big.Int).SetUint64(p.Mul))
			want.Rsh(want, p.Shift)
			want.Add(want, new(big.Int).SetUint64(p.Offset))
			want.And(want, new(big.Int).SetUint64(math.MaxUint64))
			if got := p.at(tsc); got != want.Uint64() {
				t.Errorf("%+v: at(%#x) = %#x, want %#x", p, tsc, got, want)
			}
		}
	}
}

func TestOnlyTSCClocksHaveParams(t *testing.T) {
	for _, c := range []*Clock{New(), NewManual()} {
		if p, ok := c.TSC(); ok {
			t.Errorf("%+v", p)
		}
	}
}

// What generated code computes is what Now returns.
func TestTSCIsNow(t *testing.T) {
	c := newTSC(t)
	p, _ := c.TSC()
	for range 1000 {
		before := c.Now()
		in := p.at(rdtsc())
		if after := c.Now(); in < before || in > after {
			t.Fatalf("%d is not from %d to %d", in, before, after)
		}
	}
}

// The clock begins at zero, somewhere within a tick, and keeps to the host's, between two looks at which each of its times is taken.
func TestTSCRate(t *testing.T) {
	before := time.Now()
	c := newTSC(t)
	after := time.Now()
	const run = 100 * time.Millisecond
	for n := 0; ; n++ {
		low := time.Since(after)
		now := time.Duration(c.Now()) * tick
		high := time.Since(before)
		if err := time.Duration(2 * maxError * float64(high)); now < low-err-tick || now > high+err+tick {
			t.Fatalf("after %v to %v the clock says %v (reading %d)", low, high, now, n)
		}
		if low > run {
			t.Logf("after %v to %v the clock says %v (reading %d)", low, high, now, n)
			return
		}
	}
}

// A hart that was told a time sees none that is earlier.
func TestTSCIsMonotonicAcrossThreads(t *testing.T) {
	c := newTSC(t)
	var told atomic.Uint64
	var harts sync.WaitGroup
	for range 4 {
		harts.Go(func() {
			for range 200_000 {
				before := told.Load()
				now := c.Now()
				if now < before {
					t.Errorf("%d after %d", now, before)
					return
				}
				for before < now && !told.CompareAndSwap(before, now) {
					before = told.Load()
				}
			}
		})
	}
	harts.Wait()
}

func TestTSCAlarmIsNeverEarly(t *testing.T) {
	c := newTSC(t)
	fired := make(chan uint64)
	a := c.NewAlarm(func() { fired <- c.Now() })
	for d := uint64(1); d <= 1<<16; d *= 4 {
		deadline := c.Now() + d
		a.Set(deadline)
		if at := <-fired; at < deadline {
			t.Errorf("fired at %d, set for %d", at, deadline)
		}
	}
}

// A host is a clock and a counter for calibrate.
type host struct {
	hz    float64
	now   time.Duration
	doubt uint64
	skew  int64 // counts by which every second look is wrong
	looks int
}

func (h *host) look() reading {
	h.now += 10 * time.Microsecond
	h.looks++
	return reading{uint64(h.hz*h.now.Seconds()) + uint64(h.skew)*uint64(h.looks%2), h.now, h.doubt}
}

func (h *host) wait(d time.Duration) { h.now += d }

func TestCalibrate(t *testing.T) {
	for _, c := range []struct {
		name   string
		host   host
		before time.Duration // between the first look and the rest
		most   time.Duration // that it may take
		ok     bool
	}{
		{"GHz", host{hz: 2.4e9, doubt: 60}, 5 * time.Millisecond, 20 * time.Microsecond, true},
		{"process begins", host{hz: 2.4e9, doubt: 60}, 0, 4 * time.Millisecond, true},
		{"looks that are off by all of their doubt", host{hz: 3e9, doubt: 100, skew: 100}, 0, 4 * time.Millisecond, true},
		{"slow looks", host{hz: 1e9, doubt: 400}, 0, 40 * time.Millisecond, true},
		{"slow counter", host{hz: 150e6, doubt: 4}, 0, 4 * time.Millisecond, true},
		{"process is old", host{hz: 3e9, doubt: 60}, 3 * time.Hour, 4 * time.Millisecond, true},
		{"very slow looks", host{hz: 1e9, doubt: 4000}, 0, 60 * time.Millisecond, false},
		{"stopped counter", host{hz: 0, doubt: 0}, 5 * time.Millisecond, 60 * time.Millisecond, false},
		{"no counter of a processor", host{hz: 1e6, doubt: 0}, 5 * time.Millisecond, time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := c.host
			first := h.look()
			h.wait(c.before)
			begin := h.now
			mul, err := calibrate(first, h.look, h.wait)
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if took := h.now - begin; took > c.most {
				t.Errorf("takes %v", took)
			}
			if err != nil {
				return
			}
			want := Frequency / h.hz * (1 << 64)
			if wrong := float64(mul)/want - 1; math.Abs(wrong) > maxError {
				t.Errorf("wrong by %.1f millionths", wrong*1e6)
			}
		})
	}
}

func BenchmarkNowTSC(b *testing.B) {
	c := newTSC(b)
	b.ReportAllocs()
	for b.Loop() {
		c.Now()
	}
}
