package blk

// Flights: jobs that the host works on while no worker waits for them, where the image has transfers of that kind. A job that is alone is a worker's, which hears of its
// end sooner; beside others it takes off. What does not come back whole goes to a worker, who does it again and knows what to tell the driver.

import (
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/storage"
)

// maxFlights is how many there are at a time: more than disks and host queues make use of.
const maxFlights = 128

// flights are those of a session.
type flights struct {
	transfers storage.Transfers // nil where there are none
	free      chan int          // numbers of jobs
	jobs      [maxFlights]*job
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
	t, err := img.Transfers(maxFlights)
	if err != nil {
		s.dev.log.Debug("this disk's requests each wait for the host", "reason", err)
		return
	}
	f.transfers, f.free = t, make(chan int, maxFlights)
	for id := range maxFlights {
		f.free <- id
	}
	f.ended.Go(func() { f.tower(s) })
}

// takeOff begins a job. False is for what is to be run by somebody.
func (f *flights) takeOff(s *session, j *job) bool {
	r := &j.reqs[0]
	if f.transfers == nil || j.back || !r.onSectors() || r.typ != typeIn && s.features&FeatureFlush == 0 {
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
	if f.transfers.Begin(id, r.typ != typeIn, bufs, off) {
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
	var ended [maxFlights]storage.Ended
	w := worker{session: s}
	for {
		n := f.transfers.Wait(ended[:])
		if n == 0 {
			return
		}
		for _, e := range ended[:n] {
			j := f.land(e.ID)
			switch {
			case e.Whole:
				j.finish(statusOK)
				w.keep(j)
			case s.stopped(): // there are no workers any more; a part of the guest's memory may have been written
				j.finish(statusIOErr)
				w.keep(j)
			default:
				j.back = true
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
	_ = f.transfers.Close() // nothing is in it
	f.ended.Wait()
}
