package uart

// The sending half: from single bytes on a hart's goroutine to batched writes on the host, without ever making a hart wait.

import (
	"context"
	"io"
	"sync"
	"time"
)

const (
	outputSize = 64 << 10 // bytes a guest may be ahead of the writer

	// Bytes come one at a time. A batch is written when it is large or has waited this long, which nobody typing notices.
	batchSize  = 4 << 10
	batchDelay = time.Millisecond
)

// output is a bounded buffer in front of a writer. put and room take its mutex only and never wait for the writer.
type output struct {
	w     io.Writer
	freed func() // called without the mutex: there may be room again

	mu      sync.Mutex
	pending []byte // what the guest sent; capacity outputSize
	writing []byte // what the goroutine has taken; the two change places
	busy    int    // len of what is being written
	eager   int    // drains under way: do not linger
	closed  bool
	err     error // the writer's first error; afterwards output is discarded

	wake chan struct{} // capacity 1: something to do at once
	some chan struct{} // capacity 1: pending is not empty
	idle chan struct{} // closed, and replaced, when everything has been written and a drain waits
	free chan struct{} // capacity 1: there may be room for a print that waits
}

func newOutput(w io.Writer, freed func()) *output {
	if w == nil {
		w = io.Discard
	}
	o := &output{
		w: w, freed: freed,
		pending: make([]byte, 0, outputSize),
		writing: make([]byte, 0, outputSize),
		wake:    make(chan struct{}, 1),
		some:    make(chan struct{}, 1),
		idle:    make(chan struct{}),
		free:    make(chan struct{}, 1),
	}
	go o.run()
	return o
}

// signal makes sure that a channel of capacity 1 holds a token.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put appends one byte, or drops it when there is no room.
func (o *output) put(b byte) { o.append([]byte{b}) }

// append takes as much of p as there is room for, and says how much that is. What can no longer be written is taken and lost.
func (o *output) append(p []byte) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil || o.closed {
		return len(p)
	}
	before := len(o.pending)
	p = p[:min(len(p), cap(o.pending)-before)]
	o.pending = append(o.pending, p...)
	if before == 0 && len(p) > 0 {
		signal(o.some)
	}
	if before < batchSize && len(o.pending) >= batchSize {
		signal(o.wake)
	}
	return len(p)
}

// print appends all of p, waiting for room if need be, and returns how much of it was taken: less than all only when stop is closed.
func (o *output) print(p []byte, stop <-chan struct{}) (n int) {
	for {
		n += o.append(p[n:])
		if n == len(p) {
			signal(o.free) // there may be room left, and another print that waits for it
			return n
		}
		select {
		case <-o.free:
		case <-stop:
			return n
		}
	}
}

// room says whether n more bytes fit.
func (o *output) room(n int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cap(o.pending)-len(o.pending) >= n
}

func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	signal(o.some)
	signal(o.wake)
	signal(o.free)
}

// drain waits until all bytes put before it have been written.
func (o *output) drain(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.eager++
	defer func() { o.eager-- }()
	for len(o.pending)+o.busy > 0 && !o.closed {
		idle := o.idle
		o.mu.Unlock()
		signal(o.wake)
		select {
		case <-idle:
		case <-ctx.Done():
		}
		o.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return o.err
}

// run is the goroutine that writes.
func (o *output) run() {
	linger := time.NewTimer(batchDelay)
	for range o.some {
		for o.batch(linger) {
		}
		o.mu.Lock()
		closed := o.closed
		o.mu.Unlock()
		if closed {
			return
		}
	}
}

// batch waits for a batch to grow, writes it, and says whether there was one.
func (o *output) batch(linger *time.Timer) bool {
	o.mu.Lock()
	if len(o.pending) > 0 && len(o.pending) < batchSize && o.eager == 0 && !o.closed {
		o.mu.Unlock()
		linger.Reset(batchDelay)
		select {
		case <-linger.C:
		case <-o.wake:
		}
		o.mu.Lock()
	}
	o.pending, o.writing = o.writing[:0], o.pending
	o.busy = len(o.writing)
	if o.busy == 0 && o.eager > 0 {
		close(o.idle)
		o.idle = make(chan struct{})
	}
	o.mu.Unlock()
	o.freed()
	signal(o.free)
	if len(o.writing) == 0 {
		return false
	}

	_, err := o.w.Write(o.writing)

	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = 0
	if err != nil && o.err == nil {
		o.err = err
		o.pending = o.pending[:0]
		signal(o.free)
	}
	return true
}
