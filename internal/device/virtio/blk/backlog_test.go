package blk

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Every job is taken once, whoever pushes and however workers look for them.
func TestBacklog(t *testing.T) {
	for _, poll := range []bool{false, true} {
		const workers, pushers, each = 3, 4, 2000
		var b backlog
		stop := make(chan struct{})
		b.init(workers, 1, stop)
		b.mayPoll = poll
		var taken atomic.Int32
		var pushing, all, working sync.WaitGroup
		all.Add(pushers * each)
		for range workers {
			working.Go(func() {
				for b.take() != nil {
					taken.Add(1)
					b.took(0) // short: nobody is woken who need not be
					all.Done()
				}
			})
		}
		for range pushers {
			pushing.Go(func() {
				for range each {
					b.push(new(job))
				}
			})
		}
		pushing.Wait()
		all.Wait()
		close(stop)
		working.Wait()
		if n := taken.Load(); n != pushers*each {
			t.Errorf("%d jobs were taken of %d", n, pushers*each)
		}
	}
}

// Jobs that take their time have a worker each; short ones share one, unless it does not come back.
func TestBacklogCallsWorkers(t *testing.T) {
	for _, c := range []struct {
		name    string
		took    time.Duration
		between time.Duration // jobs
		want    int           // workers at work
	}{
		{"slow", time.Millisecond, 0, 4},
		{"short", 0, 0, 1},
		{"short, but one that does not end", 0, time.Millisecond, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b backlog
				stop, release := make(chan struct{}), make(chan struct{})
				b.init(4, 1, stop)
				b.mayPoll = false
				for range 32 {
					b.took(c.took)
				}
				var busy atomic.Int32
				var workers sync.WaitGroup
				for range 4 {
					workers.Go(func() {
						for b.take() != nil {
							busy.Add(1)
							<-release
						}
					})
				}
				synctest.Wait()
				for range 4 {
					b.push(&job{reqs: make([]request, 1)})
					time.Sleep(c.between)
				}
				synctest.Wait()
				if n := int(busy.Load()); n != c.want {
					t.Errorf("%d workers are at work, want %d", n, c.want)
				}
				close(release)
				synctest.Wait()
				if n := busy.Load(); n != 4 {
					t.Errorf("%d jobs were done, want 4", n)
				}
				close(stop)
				workers.Wait()
			})
		})
	}
}
