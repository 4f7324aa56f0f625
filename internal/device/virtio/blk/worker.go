package blk

// Workers: the goroutines that carry requests out, so that a hart never waits for a disk.
//
// All are alike. One that is woken takes what the queue holds, passes on all requests but the last, and does that one
// itself: a lone request costs one wake-up, several run side by side.

import (
	"errors"
	"sync"

	"github.com/vmproject/vm/internal/device/virtio"
)

// workers is how many requests the host has in flight at once.
const workers = 8

// session is the device between DRIVER_OK and reset.
type session struct {
	dev       *Device
	features  uint64
	queue     *virtio.Queue
	transport virtio.Transport

	kick  chan struct{}      // capacity 1: the queue may hold requests
	ready chan *virtio.Chain // taken from the queue, waiting for a worker
	stop  chan struct{}      // closed at reset
	wg    sync.WaitGroup
}

var errNoStatus = errors.New("virtio disk: a request without a writable byte for its status")

func (d *Device) start(features uint64, q *virtio.Queue, t virtio.Transport) *session {
	s := &session{
		dev: d, features: features, queue: q, transport: t,
		kick: make(chan struct{}, 1), ready: make(chan *virtio.Chain, workers), stop: make(chan struct{}),
	}
	for range workers {
		w := &worker{session: s}
		s.wg.Go(w.run)
	}
	s.wake() // there may be requests from before DRIVER_OK
	return s
}

func (s *session) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// end stops the workers and waits for them.
func (s *session) end() {
	close(s.stop)
	s.wg.Wait()
}

func (s *session) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// worker is one goroutine, with room for the request it is at.
type worker struct {
	*session
	req request
}

func (w *worker) run() {
	for !w.stopped() {
		select {
		case <-w.stop:
		case c := <-w.ready:
			w.do(c)
		case <-w.kick:
			w.take()
		}
	}
}

// take empties the queue.
func (w *worker) take() {
	c, ok := w.queue.Next()
	for ok && !w.stopped() {
		next, more := w.queue.Next()
		if !more {
			w.do(c)
			c, ok = w.queue.Next()
			continue
		}
		select {
		case w.ready <- c:
		default: // the others are busy
			w.do(c)
		}
		c = next
	}
}

// do carries out one request and gives it back.
func (w *worker) do(c *virtio.Chain) {
	if len(c.Writable) == 0 {
		w.transport.NeedsReset(errNoStatus)
		w.queue.Done(c, 0)
		return
	}
	w.queue.Done(c, w.req.serve(w.dev, w.features, c))
}
