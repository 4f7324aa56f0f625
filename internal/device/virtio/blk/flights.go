package blk

// Flights: jobs that the host works on while no worker waits for them, where the image has transfers of that kind. A hart begins them, without waiting, while nothing
// is aloft, and a worker what comes then; of what a worker finds in the ring it does the last one itself if nothing else is aloft, and hears of its end sooner so. What does
// not come back whole goes to a worker, who does it again and knows what to tell the driver.

import (
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/storage"
)

// flights are those of a session.
type flights struct {
	transfers storage.Transfers // nil where there are none
	free      chan int          // numbers of jobs
	jobs      [storage.MaxTransfers]*job
	aloft     atomic.Int32
	landed    sync.WaitGroup // of all
	ended     sync.WaitGroup // of tower
}

// init is for an image that may have transfers.
func (f *flights) init(s *session) {
	img, ok := s.dev.img.(storage.Async)
	if !ok {
		return
	}
	t, err := img.Transfers()
	if err != nil {
		s.dev.log.Debug("this disk's requests each wait for the host", "reason", err)
		return
	}
	f.transfers, f.free = t, make(chan int, storage.MaxTransfers)
	for id := range storage.MaxTransfers {
		f.free <- id
	}
	f.ended.Go(func() { f.tower(s) })
}

// some says that there may be any.
func (f *flights) some() bool { return f.transfers != nil && !f.transfers.Refused() }

// takeOff begins a job, for somebody who may have to wait for that or not. False is for what is to be run by somebody.
func (f *flights) takeOff(s *session, j *job, wait bool) bool {
	r := &j.reqs[0]
	if !f.some() || j.touched || !r.onSectors() || r.typ != typeIn && s.features&FeatureFlush == 0 {
		return false
	}
	var id int
	select {
	case id = <-f.free:
	default:
		return false
	}
	f.landed.Add(1)
	f.aloft.Add(1)
	f.jobs[id] = j
	bufs, off := j.data()
	if f.transfers.Begin(id, r.typ != typeIn, bufs, off, wait) {
		return true
	}
	f.land(id)
	f.landed.Done()
	return false
}

// land returns the job that had a number, and lets others have that.
func (f *flights) land(id int) *job {
	j := f.jobs[id]
	f.jobs[id] = nil
	f.aloft.Add(-1)
	f.free <- id
	return j
}

// tower gives back what comes back, until there is an end of it.
func (f *flights) tower(s *session) {
	var ended [storage.MaxTransfers]storage.Ended
	w := worker{session: s}
	for {
		n := f.transfers.Wait(ended[:])
		if n == 0 {
			return
		}
		for _, e := range ended[:n] {
			if j := f.land(e.ID); e.Whole {
				j.finish(statusOK)
				w.keep(j)
			} else {
				j.touched = true
				s.backlog.push(j)
			}
		}
		w.flush()
		for range n {
			f.landed.Done()
		}
	}
}

// end waits for all that is aloft. Precondition: nothing takes off any more.
func (f *flights) end() {
	if f.transfers == nil {
		return
	}
	f.landed.Wait()
	f.transfers.Stop()
	f.ended.Wait()
}
