package blk

// Servers: one a queue. Whoever is notified takes what the ring holds, on the hart that did it, and does at once what waits for nothing: reads of what is in
// the host's page cache, everything with an image in memory. What could wait goes to the workers; and so does the rest, once a hart has done as much as nowBudget
// says. Where the image serves nothing at once, a hart only wakes a worker, which serves the queue in its place; unless the host makes transfers that nobody waits for
// (flights.go) and is at none: then the hart begins what the ring holds, which saves waking anybody.
//
// One goroutine at a time serves a queue. Another one that is notified meanwhile leaves word, and the first looks again.
//
// Locked instructions are most of what a small request costs besides its bytes. So the queue's own lock guards who serves it, too, and whoever serves keeps it from the ring
// and back for a single request that is small; for more it is unlocked, as others have to give back what they have done.

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
	// lockedBytes is how large a chain may be that is served with the queue locked: a page and what is around it, less than a microsecond.
	lockedBytes = 4<<10 + 512
)

// server is a queue and what it takes to serve it.
type server struct {
	session *session
	queue   *virtio.Queue
	passed  atomic.Bool // pass is on its way to a worker
	pass    *job        // has no requests: it stands for the whole queue

	// Guarded by the queue's lock, inside of which the pacer's and the backlog's are taken, and which is taken inside the transport's at a reset.
	serving bool // somebody does, and has what follows for himself
	again   bool // who serves may not have seen all that the ring holds
	ended   bool
	rested  sync.Cond // it has ended, and nobody serves any more

	chains [takeAtOnce]*virtio.Chain
	cur    *job // being put together
	used   []virtio.Used
	budget int  // bytes that a hart may still move
	mine   *job // of the worker that serves: the last job, which it does itself behind that
}

func newServer(s *session, q *virtio.Queue) *server {
	v := &server{session: s, queue: q}
	v.rested.L = q
	v.pass = &job{server: v}
	v.cur = s.newJob(v)
	return v
}

// notified is called by a hart.
func (v *server) notified() {
	s := v.session
	if s.prompt == nil && (!s.flights.some() || s.flights.aloft.Load() > 0) {
		v.handOver()
	} else if more, _ := v.serve(true); more {
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
	_, j := v.serve(false)
	if f := &v.session.flights; j != nil && (f.aloft.Load() == 0 || !f.takeOff(v.session, j, true)) {
		w.run(j)
	}
}

// serve serves the queue, on a hart or not, unless somebody does. more is true where the budget was not enough; mine is what a worker is to do itself, now that
// others can serve.
func (v *server) serve(hart bool) (more bool, mine *job) {
	v.queue.Lock()
	if v.serving {
		v.again = true
		v.queue.Unlock()
		return false, nil
	}
	v.serving, v.again = true, true
	for v.again && !more && !v.ended {
		v.again = false
		v.budget = nowBudget
		more = v.take(hart)
	}
	mine, v.mine = v.mine, nil
	v.serving = false
	if v.ended {
		v.rested.Broadcast()
	}
	v.queue.Unlock()
	return more, mine
}

// end waits for whoever serves, and keeps others from it.
func (v *server) end() {
	v.queue.Lock()
	v.ended = true
	for v.serving {
		v.rested.Wait()
	}
	v.queue.Unlock()
}

// take empties the ring, or returns true when a hart has used up its budget. The queue is locked, and may be unlocked meanwhile.
func (v *server) take(hart bool) (more bool) {
	for !v.ended {
		n := v.queue.TakeLocked(v.chains[:])
		if n == 0 {
			return false
		}
		if n == 1 && v.chains[0].Bytes() <= lockedBytes {
			v.begin(v.chains[:1], hart)
		} else {
			v.queue.Unlock()
			v.begin(v.chains[:n], hart)
			v.queue.Lock()
		}
		v.queue.DoneLocked(v.used)
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

// begin makes jobs of chains and begins with them. What is done then is in used.
func (v *server) begin(chains []*virtio.Chain, hart bool) {
	for _, c := range chains {
		r := v.cur.room()
		if !r.parse(&v.session.rules, c) {
			v.session.transport.NeedsReset(errNoStatus)
			v.used = append(v.used, virtio.Used{Chain: c})
			continue
		}
		if !v.cur.add() {
			next := *r // start may empty the job and leave it here
			v.start(hart)
			*v.cur.room() = next
			v.cur.add()
		}
	}
	if len(v.cur.reqs) > 0 {
		v.start(hart)
	}
}

// start begins with the job that has been put together: does it, or leaves it to somebody.
func (v *server) start(hart bool) {
	s, j := v.session, v.cur
	switch {
	case s.dev.limiter.on.Load() && !s.pacer.admit(j):
	case hart && v.budget > 0:
		v.budget -= int(j.bytes) + nowRequest
		if s.flights.takeOff(s, j, false) {
			break
		}
		if s.prompt != nil && j.runNow(s) {
			if len(v.used) == 0 {
				v.used, j.used = j.used, v.used
			} else {
				v.used = append(v.used, j.used...)
			}
			j.reset()
			return
		}
		s.backlog.push(j)
	case hart:
		s.backlog.push(j)
	default:
		if v.mine != nil && !s.flights.takeOff(s, v.mine, true) {
			s.backlog.push(v.mine)
		}
		v.mine = j
	}
	v.cur = s.newJob(v)
}
