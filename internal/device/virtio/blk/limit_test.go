package blk

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/storage"
)

func TestBucket(t *testing.T) {
	type step struct {
		after time.Duration // since the one before
		spend float64
		wait  time.Duration // 0: it passes; what is larger is about how long it takes
	}
	for _, c := range []struct {
		name  string
		rate  Rate
		steps []step
	}{
		{"no limit", Rate{}, []step{{0, 1e12, 0}, {0, 1e12, 0}}},
		{"a burst and then the rate", Rate{10, 2}, []step{{0, 1, 0}, {0, 1, 0}, {0, 1, 100 * time.Millisecond}, {100 * time.Millisecond, 1, 0}, {0, 1, 100 * time.Millisecond}}},
		{"idle time fills no more than the burst", Rate{10, 2}, []step{{time.Hour, 2, 0}, {0, 1, 100 * time.Millisecond}}},
		{"a tenth of a second by itself", Rate{100, 0}, []step{{0, 10, 0}, {0, 1, 10 * time.Millisecond}, {10 * time.Millisecond, 1, 0}}},
		{"more than the burst passes, and is owed", Rate{100, 10}, []step{{0, 110, 0}, {0, 1, 1010 * time.Millisecond}, {1010 * time.Millisecond, 1, 0}, {0, 1e3, 100 * time.Millisecond}}},
		{"the clock goes back", Rate{10, 1}, []step{{0, 1, 0}, {-time.Hour, 1, 100 * time.Millisecond}, {time.Hour + 100*time.Millisecond, 1, 0}}},
		{"the largest rate", Rate{1<<63 - 1, 1<<63 - 1}, []step{{0, 1 << 40, 0}, {time.Hour, 1 << 40, 0}}},
		{"the smallest", Rate{1, 1}, []step{{0, 1e18, 0}, {0, 1, 1 << 62}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			b := newBucket(c.rate, now)
			for i, s := range c.steps {
				now = now.Add(s.after)
				w := b.wait(s.spend, now)
				if (w > 0) != (s.wait > 0) || (w-s.wait).Abs() > s.wait/1000 {
					t.Fatalf("step %d: wait %v with %v in the bucket, want %v", i, w, b.tokens, s.wait)
				}
				if w == 0 {
					b.spend(s.spend)
				}
			}
		})
	}
}

func TestLimitsAreChecked(t *testing.T) {
	for _, l := range []Limits{
		{Read: Limit{Bytes: Rate{-1, 0}}}, {Write: Limit{Requests: Rate{1, -1}}}, {Total: Limit{Bytes: Rate{0, 5}}},
	} {
		if _, err := New(storage.NewMemory(4096), Options{Limits: l}); err == nil {
			t.Errorf("%+v was accepted", l)
		}
	}
}

// limited is a driver of a disk with limits. For a bubble.
func limited(t *testing.T, l Limits) (*Device, *virtiotest.Driver) {
	dev, err := New(storage.NewMemory(diskSize), Options{Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	d := virtiotest.New(t, dev, virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | allFeatures)
	return dev, d
}

// By a clock that is the test's: how long a number of requests takes.
func TestLimits(t *testing.T) {
	const n = 20
	ops := func(r int64) Limit { return Limit{Requests: Rate{r, 1}} }
	for _, c := range []struct {
		name          string
		limits        Limits
		reads, writes time.Duration // that n of each take, one after another
	}{
		{"none", Limits{}, 0, 0},
		{"reads", Limits{Read: ops(10)}, (n - 1) * 100 * time.Millisecond, 0},
		{"writes", Limits{Write: ops(20)}, 0, (n - 1) * 50 * time.Millisecond},
		{"both together", Limits{Total: ops(10)}, (n - 1) * 100 * time.Millisecond, n * 100 * time.Millisecond},
		{"bytes", Limits{Read: Limit{Bytes: Rate{5120, 512}}}, (n - 1) * 100 * time.Millisecond, 0},
		{"the tighter one", Limits{Read: Limit{Bytes: Rate{5120, 512}, Requests: Rate{5, 1}}}, (n - 1) * 200 * time.Millisecond, 0},
		{"a burst", Limits{Read: Limit{Requests: Rate{10, 10}}}, (n - 10) * 100 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, d := limited(t, c.limits)
				q := d.Queue(0)
				began := time.Now()
				for _, k := range []struct {
					typ  uint32
					want time.Duration
				}{{typeIn, c.reads}, {typeOut, c.writes}} {
					for range n {
						offer(d, q, k.typ, 5, make([]byte, 512))
						q.Kick()
						q.Wait()
					}
					took := time.Since(began)
					if off := took - k.want; off < -time.Millisecond || off > 5*time.Millisecond {
						t.Errorf("%d requests of type %d took %v, want %v", n, k.typ, took, k.want)
					}
					began = time.Now()
				}
				if flush := d.In(1); true {
					q.Do(d.Out(header(typeFlush, 0)), flush)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("a flush took %v", took)
				}
			})
		})
	}
}

// New limits are for requests that wait already, too.
func TestLimitsChangeWhileRequestsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev, d := limited(t, Limits{Total: Limit{Requests: Rate{1, 1}}})
		q := d.Queue(0)
		for range 10 {
			offer(d, q, typeIn, 5, nil) // the same sector: they stay apart
		}
		began := time.Now()
		q.Kick()
		q.Wait()
		q.Wait()
		if took := time.Since(began); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("the second request took %v, want a second", took)
		}
		if err := dev.SetLimits(Limits{Total: Limit{Requests: Rate{-1, 0}}}); err == nil {
			t.Error("a negative limit was accepted")
		}
		began = time.Now()
		if err := dev.SetLimits(Limits{}); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			q.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("without limits the rest took %v", took)
		}
	})
}

// Nobody waits for requests that a limit holds: neither a reset nor the notification.
func TestResetDoesNotWaitForLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := limited(t, Limits{Read: Limit{Bytes: Rate{1, 1}}, Write: Limit{Requests: Rate{1, 1}}})
		began := time.Now()
		for round := range 3 {
			q := d.Queue(0)
			for i := range 8 {
				offer(d, q, uint32(i%2), 5, make([]byte, 512))
			}
			q.Kick()
			d.Start(virtio.FeatureVersion1 | allFeatures)
			if took := time.Since(began); took != 0 {
				t.Fatalf("round %d took %v", round, took)
			}
		}
	})
}
