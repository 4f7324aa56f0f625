package blk

// The backlog: jobs that wait for a worker, and workers that wait for a job.
//
// To wake a goroutine costs whoever does it some microseconds, which a hart has better uses for, and the job as many again. So a worker that becomes idle
// looks for the next job for a while before it sleeps, if jobs have been coming that fast: then nobody has to be woken. And where jobs are short (writes to the
// host's page cache), one worker does them all; where they take their time, one more is woken for each that waits.

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pollTime is how long a worker looks for a job before it sleeps: what a guest needs from a request to the next, with room to spare.
	pollTime = 50 * time.Microsecond
	// pollTurns is more often than it looks in that time, for clocks that stand still.
	pollTurns = 2000
	// slowJob is how long a job takes, at least, beside which more workers are woken.
	slowJob = 20 * time.Microsecond
)

// backlog is for any number of goroutines that push and workers that take.
type backlog struct {
	workers int
	mayPoll bool          // there is a processor for it
	calls   chan struct{} // one element for each worker that was called; never full
	stop    <-chan struct{}
	began   time.Time // the times below are from here

	size    atomic.Int32 // of the list
	dense   atomic.Bool  // the last job came soon after the one before
	taken   atomic.Int64 // when a worker took a job last, ns
	average atomic.Int64 // what a job takes, ns; the last ones count more
	polls   atomic.Bool  // a worker looks at size; changes with mu held

	mu          sync.Mutex // a leaf
	pushed      int64      // when a job came last, ns
	first, last *job       // linked by job.next
	asleep      int        // workers that sleep and have not been called
}

// init prepares for some workers, and for jobs from as many harts as there are queues.
func (b *backlog) init(workers, queues int, stop <-chan struct{}) {
	b.workers, b.calls, b.stop, b.began = workers, make(chan struct{}, workers), stop, time.Now()
	// Beside harts that use all processors, looking would take from them what it saves.
	b.mayPoll = runtime.GOMAXPROCS(0) > queues
	b.average.Store(int64(slowJob)) // as long as nothing is known
}

func (b *backlog) now() int64 { return int64(time.Since(b.began)) }

// slow says that jobs take their time.
func (b *backlog) slow() bool { return b.average.Load() >= int64(slowJob) }

// took says how long a job has taken.
func (b *backlog) took(d time.Duration) {
	a := b.average.Load() // that another worker does the same at the same time does no harm
	b.average.Store(a + (int64(d)-a)/4)
}

// push adds a job. It does not block.
func (b *backlog) push(j *job) {
	now := b.now()
	b.mu.Lock()
	b.dense.Store(now-b.pushed < int64(pollTime))
	b.pushed = now
	j.next = nil
	if b.last == nil {
		b.first = j
	} else {
		b.last.next = j
	}
	b.last = j
	b.size.Add(1)
	// A worker that is awake comes back for it, unless what it is at takes longer than was thought.
	if !b.polls.Load() && (b.asleep == b.workers || b.slow() || now-b.taken.Load() > int64(slowJob)) {
		b.call()
	}
	b.mu.Unlock()
}

// call wakes a worker, if one sleeps. mu is held.
func (b *backlog) call() {
	if b.asleep > 0 {
		b.asleep--
		b.calls <- struct{}{}
	}
}

// take is the next job, which is waited for; nil at the end. A worker must keep nothing back that somebody waits for.
func (b *backlog) take() *job {
	for {
		if j := b.pop(); j != nil {
			return j
		}
		if b.stopped() {
			return nil
		}
		if b.poll() {
			continue
		}
		b.mu.Lock()
		if b.first != nil {
			b.mu.Unlock()
			continue
		}
		b.asleep++
		b.mu.Unlock()
		select {
		case <-b.calls:
		case <-b.stop:
			return nil
		}
	}
}

func (b *backlog) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// pop is the next job that is there, or nil. At the end there is none.
func (b *backlog) pop() *job {
	if b.size.Load() == 0 || b.stopped() {
		return nil
	}
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.first
	if j == nil {
		return nil
	}
	if b.first = j.next; b.first == nil {
		b.last = nil
	}
	j.next = nil
	b.size.Add(-1)
	b.taken.Store(now)
	if b.first != nil && (b.slow() || !j.short()) {
		b.call()
	}
	return j
}

// drain takes away all jobs, of which it returns the first.
func (b *backlog) drain() *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.first
	b.first, b.last = nil, nil
	b.size.Store(0)
	return j
}

// poll looks for a job without sleeping, and says whether there is one.
func (b *backlog) poll() bool {
	if !b.mayPoll || !b.dense.Load() {
		return false
	}
	b.mu.Lock()
	other := b.polls.Load()
	if !other {
		b.polls.Store(true)
	}
	b.mu.Unlock()
	if other {
		return false
	}
	began := b.now()
	for range pollTurns {
		if b.size.Load() > 0 || b.now()-began >= int64(pollTime) {
			break
		}
		runtime.Gosched()
	}
	b.mu.Lock()
	b.polls.Store(false)
	b.mu.Unlock()
	return b.size.Load() > 0
}
