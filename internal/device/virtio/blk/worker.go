package blk

// Workers: the goroutines that carry out what takes time, so that a hart never waits for a disk. All are alike.

import (
	"errors"
	"sync"
	"time"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/storage"
)

// workers is how many jobs the host has in flight at once.
const workers = 8

// session is the device between DRIVER_OK and reset.
type session struct {
	dev       *Device
	features  uint64
	rules     rules
	transport virtio.Transport
	servers   []*server      // by queue; nil where the driver has none
	prompt    storage.Prompt // the image, if it serves anything at once
	pacer     pacer
	flights   flights

	backlog backlog
	free    chan *job     // used ones
	stop    chan struct{} // closed at reset
	wg      sync.WaitGroup
}

var errNoStatus = errors.New("virtio disk: a request without a writable byte for its status")

func (d *Device) start(features uint64, queues []*virtio.Queue, t virtio.Transport) *session {
	chains := 0
	for _, q := range queues {
		if q != nil {
			chains += q.Size()
		}
	}
	s := &session{
		dev: d, features: features, rules: newRules(d, features), transport: t,
		free: make(chan *job, chains), stop: make(chan struct{}),
	}
	s.backlog.init(workers, len(queues), s.stop)
	s.prompt, _ = d.img.(storage.Prompt)
	s.pacer.init(s)
	s.flights.init(s)
	for _, q := range queues {
		var v *server
		if q != nil {
			v = newServer(s, q)
		}
		s.servers = append(s.servers, v)
	}
	for range workers {
		w := &worker{session: s}
		s.wg.Go(w.work)
	}
	s.wg.Go(s.pacer.run)
	for _, v := range s.servers {
		if v != nil {
			v.handOver() // there may be requests from before DRIVER_OK
		}
	}
	return s
}

// end stops everything and waits for what the host is working on. Jobs that are not begun are dropped; those that were, in vain, have failed: what they may have written
// is to be known.
func (s *session) end() {
	close(s.stop)
	for _, v := range s.servers {
		if v != nil {
			v.end()
		}
	}
	s.wg.Wait()
	s.flights.end()
	for j := s.backlog.drain(); j != nil; j = j.next {
		if j.touched {
			j.finish(statusIOErr)
			j.server.queue.DoneAll(j.used)
		}
	}
}

func (s *session) stopped() bool { return s.backlog.stopped() }

// newJob is an empty job.
func (s *session) newJob(v *server) *job {
	var j *job
	select {
	case j = <-s.free:
		j.reset()
	default:
		j = new(job)
	}
	j.server = v
	return j
}

// worker is one of the goroutines.
type worker struct {
	session *session
	scratch scratch

	// What it has done and not given back yet, of one queue.
	server *server
	used   []virtio.Used
	since  time.Time // the first of it
}

// giveBack bounds how long a worker keeps what it has done, for the driver to hear of several requests at once.
const giveBack = 30 * time.Microsecond

func (w *worker) work() {
	s, b := w.session, &w.session.backlog
	defer w.flush() // what was in the host is done, also at a reset
	for !s.stopped() {
		j := b.pop()
		if j == nil {
			w.flush() // nothing is kept while it waits: that there was a job a moment ago is no reason to
			j = b.take()
		}
		switch {
		case j == nil:
			return
		case len(j.reqs) == 0:
			w.flush()
			j.server.serveAndRun(w)
		case s.flights.takeOff(s, j, true):
		default:
			w.run(j)
		}
	}
}

// run carries out a job.
func (w *worker) run(j *job) {
	s := w.session
	if j.server != w.server || !j.short() || s.backlog.slow() {
		w.flush()
	}
	began := time.Now()
	j.run(s, &w.scratch)
	ended := time.Now()
	s.backlog.took(ended.Sub(began))
	if len(w.used) == 0 {
		w.since = ended
	}
	w.keep(j)
	if ended.Sub(w.since) > giveBack {
		w.flush()
	}
}

// keep puts a job that is done to what is given back next, which is all of one queue.
func (w *worker) keep(j *job) {
	if w.server != j.server {
		w.flush()
		w.server = j.server
	}
	w.used = append(w.used, j.used...)
	select {
	case w.session.free <- j:
	default:
	}
}

// flush gives back what has been done.
func (w *worker) flush() {
	if len(w.used) > 0 {
		w.server.queue.DoneAll(w.used)
		w.used = w.used[:0]
	}
}
