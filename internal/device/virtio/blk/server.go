package blk

// Servers: one a queue. Whoever is notified takes what the ring holds, on the hart that did it, and does at once what waits for nothing: reads of what is in
// the host's page cache, everything with an image in memory. What could wait goes to the workers; and so does the rest, once a hart has done as much as nowBudget
// says. Where the image serves nothing at once, a hart only wakes a worker, which serves the queue in its place.
//
// One goroutine at a time serves a queue. Another one that is notified meanwhile leaves word, and the first looks again.

import (
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device/virtio"
)

const (
	// takeAtOnce is how many chains are taken from a ring before the first is begun.
	takeAtOnce = 32
	// nowBudget bounds what a hart does for one notification, in bytes, of which nowRequest are for each job besides its own. A MiB is some 50 us from
	// memory: no longer than a worker would take to be awake and a hart to hear of it.
	nowBudget  = 1 << 20
	nowRequest = 4 << 10
)

// server is a queue and what it takes to serve it.
type server struct {
	session *session
	queue   *virtio.Queue
	again   atomic.Bool // the ring may hold more than whoever serves has seen
	passed  atomic.Bool // pass is on its way to a worker
	pass    *job        // has no requests: it stands for the whole queue

	mu     sync.Mutex // held by whoever serves; no other is taken before it, but for the transport's at a reset
	ended  bool
	chains [takeAtOnce]*virtio.Chain
	req    request // taken apart last
	cur    *job    // being put together
	used   []virtio.Used
	budget int  // bytes that a hart may still move
	mine   *job // of the worker that serves: the last job, which it does itself behind that
}

func newServer(s *session, q *virtio.Queue) *server {
	v := &server{session: s, queue: q}
	v.pass = &job{server: v}
	v.cur = s.newJob(v)
	return v
}

// notified is called by a hart.
func (v *server) notified() {
	more := v.session.prompt == nil
	if !more {
		more, _ = v.serve(true)
	}
	if more {
		v.handOver()
	}
}

// handOver has a worker serve the queue.
func (v *server) handOver() {
	if !v.passed.Swap(true) {
		v.session.backlog.push(v.pass)
	}
}

// serveAndRun is what a worker does with a queue that was handed over.
func (v *server) serveAndRun(w *worker) {
	v.passed.Store(false)
	if _, j := v.serve(false); j != nil {
		w.run(j)
	}
}

// serve serves the queue, on a hart or not, unless somebody does. more is true where the budget was not enough; mine is what a worker is to do itself, now that
// others can serve. Nobody else but end takes mu: whoever unlocks it has to look at again.
func (v *server) serve(hart bool) (more bool, mine *job) {
	for {
		if !v.mu.TryLock() {
			// Whoever has it looks at again when it has unlocked. If that was before the store, the lock is free.
			v.again.Store(true)
			if !v.mu.TryLock() {
				return false, mine
			}
		}
		if v.again.Load() {
			v.again.Store(false)
		}
		v.budget, v.mine = nowBudget, mine
		if !v.ended {
			more = v.take(hart)
		}
		mine = v.mine
		v.mu.Unlock()
		if more || !v.again.Load() {
			return more, mine
		}
	}
}

// end waits for whoever serves, and keeps others from it.
func (v *server) end() {
	v.mu.Lock()
	v.ended = true
	v.mu.Unlock()
}

// take empties the ring, or returns true when a hart has used up its budget. mu is held.
func (v *server) take(hart bool) (more bool) {
	for !v.session.stopped() {
		n := v.queue.Take(v.chains[:])
		for _, c := range v.chains[:n] {
			if !v.req.parse(&v.session.rules, c) {
				v.session.transport.NeedsReset(errNoStatus)
				v.queue.Done(c, 0)
				continue
			}
			if !v.cur.add(&v.req) {
				v.start(hart)
				v.cur.add(&v.req)
			}
		}
		if len(v.cur.reqs) > 0 {
			v.start(hart)
		}
		v.queue.DoneAll(v.used)
		v.used = v.used[:0]
		if n < len(v.chains) {
			return false
		}
		if hart && v.budget <= 0 {
			return true
		}
	}
	return false
}

// start begins with the job that has been put together: does it, or leaves it to somebody. mu is held.
func (v *server) start(hart bool) {
	s, j := v.session, v.cur
	switch {
	case s.dev.limiter.on.Load() && !s.pacer.admit(j):
	case hart && v.budget > 0:
		v.budget -= int(j.bytes) + nowRequest
		if j.runNow(s) {
			v.used = append(v.used, j.used...)
			j.reset()
			return
		}
		s.backlog.push(j)
	case hart:
		s.backlog.push(j)
	default:
		if v.mine != nil {
			s.backlog.push(v.mine)
		}
		v.mine = j
	}
	v.cur = s.newJob(v)
}
