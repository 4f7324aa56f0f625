package virtio_test

import (
	"slices"
	"sync"

	"github.com/vmproject/vm/internal/device/virtio"
)

// echo is a device that copies what is readable to what is writable, at once or when told to.
type echo struct {
	sizes    []uint16
	features uint64
	hold     bool // keep chains in held instead of answering

	mu        sync.Mutex
	queues    []*virtio.Queue
	accepted  uint64
	transport virtio.Transport
	held      []*virtio.Chain
	config    [16]byte
	activated int
	resets    int
	notified  int
}

func (e *echo) Type() uint32     { return virtio.TypeRNG }
func (e *echo) Features() uint64 { return e.features }

func (e *echo) Queues() []uint16 {
	if e.sizes == nil {
		return []uint16{256}
	}
	return e.sizes
}

func (e *echo) ConfigLoad(off uint64, p []byte) {
	clear(p)
	if off < uint64(len(e.config)) {
		copy(p, e.config[off:])
	}
}

func (e *echo) ConfigStore(off uint64, p []byte) {
	if off < uint64(len(e.config)) {
		copy(e.config[off:], p)
	}
}

func (e *echo) Activate(features uint64, queues []*virtio.Queue, t virtio.Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accepted, e.queues, e.transport = features, queues, t
	e.activated++
}

func (e *echo) Notify(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notified++
	e.run(e.queues[n])
}

func (e *echo) run(q *virtio.Queue) {
	for {
		c, ok := q.Next()
		if !ok {
			return
		}
		if e.hold {
			e.held = append(e.held, c)
			continue
		}
		q.Done(c, copyChain(c))
	}
}

// copyChain returns the number of bytes it wrote.
func copyChain(c *virtio.Chain) uint32 {
	var n uint32
	w, at := 0, 0
	for _, r := range c.Readable {
		for len(r) > 0 && w < len(c.Writable) {
			k := copy(c.Writable[w][at:], r)
			r, at, n = r[k:], at+k, n+uint32(k)
			if at == len(c.Writable[w]) {
				w, at = w+1, 0
			}
		}
	}
	return n
}

func (e *echo) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resets++
	e.queues = nil
	e.held = slices.Delete(e.held, 0, len(e.held))
}
