// Package rng is the virtio entropy device (virtio 1.3 §5.4): it fills what the driver offers with the host's random bytes.
package rng

import (
	"crypto/rand"
	"sync"

	"github.com/vmproject/vm/internal/device/virtio"
)

// perRequest is the most bytes one request gets: a driver that asks for more gets less, as §5.4.6.2 allows, and asks again.
const perRequest = 64 << 10

const queueSize = 64

// Device is an entropy source. It implements [virtio.Device].
type Device struct {
	mu      sync.Mutex // held while a request is filled, so that Reset waits for it; Queue.mu is taken inside it
	queue   *virtio.Queue
	running bool // serve is on its goroutine
	again   bool // there was a notification since serve last found the queue empty
}

// New makes an entropy device.
func New() *Device { return new(Device) }

// Type implements [virtio.Device].
func (d *Device) Type() uint32 { return virtio.TypeRNG }

// Features implements [virtio.Device]: there are none.
func (d *Device) Features() uint64 { return 0 }

// Queues implements [virtio.Device].
func (d *Device) Queues() []uint16 { return []uint16{queueSize} }

// ConfigLoad implements [virtio.Device]: there is no configuration.
func (d *Device) ConfigLoad(_ uint64, p []byte) { clear(p) }

// ConfigStore implements [virtio.Device].
func (d *Device) ConfigStore(uint64, []byte) {}

// Activate implements [virtio.Device].
func (d *Device) Activate(_ uint64, queues []*virtio.Queue, _ virtio.Transport) {
	d.mu.Lock()
	d.queue = queues[0]
	d.mu.Unlock()
	if queues[0] != nil {
		d.Notify(0)
	}
}

// Notify implements [virtio.Device]. A guest can keep the queue full for ever, so the work is not done here, on a hart.
func (d *Device) Notify(int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.again = true
	if !d.running {
		d.running = true
		go d.serve()
	}
}

// serve fills requests until there are none.
func (d *Device) serve() {
	for d.serveOne() {
	}
}

// serveOne fills one request. It returns false when serve shall end.
func (d *Device) serveOne() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queue != nil {
		if c, ok := d.queue.Next(); ok {
			d.queue.Done(c, fill(c))
			return true
		}
	}
	d.running, d.again = d.again, false
	return d.running
}

// fill returns the number of bytes written.
func fill(c *virtio.Chain) uint32 {
	left := perRequest
	for _, b := range c.Writable {
		b = b[:min(len(b), left)]
		// Never fails: crypto/rand ends the process where the host has no randomness. It may be copied from, not kept.
		_, _ = rand.Read(b)
		left -= len(b)
	}
	return uint32(perRequest - left)
}

// Reset implements [virtio.Device].
func (d *Device) Reset() {
	d.mu.Lock()
	d.queue = nil
	d.mu.Unlock()
}
