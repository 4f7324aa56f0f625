package lockstepboot

// Virtio devices that work between rounds only. Whatever makes a device look at its queues, which are in RAM, goes through Activate and
// Notify; they are held back until the harts stand still.

import (
	"slices"

	"github.com/vmproject/vm/internal/device/virtio"
)

// held is a device whose work waits. Its methods are called by the one hart.
type held struct {
	virtio.Device
	activate func() // nil: not waiting
	notify   []int  // queues
}

// hold makes the devices of a board held ones.
func hold(devices []virtio.Device) (all []*held, list []virtio.Device) {
	for _, d := range devices {
		h := &held{Device: d}
		all, list = append(all, h), append(list, h)
	}
	return all, list
}

// Activate implements [virtio.Device].
func (h *held) Activate(features uint64, queues []*virtio.Queue, t virtio.Transport) {
	h.activate = func() { h.Device.Activate(features, queues, t) }
}

// Notify implements [virtio.Device].
func (h *held) Notify(n int) {
	if !slices.Contains(h.notify, n) {
		h.notify = append(h.notify, n)
	}
}

// Reset implements [virtio.Device]. It is not held back: it reads RAM, but writes nothing to it.
func (h *held) Reset() {
	h.activate, h.notify = nil, h.notify[:0]
	h.Device.Reset()
}

// waiting says whether there is work.
func (h *held) waiting() bool { return h.activate != nil || len(h.notify) > 0 }

// release hands the work to the device, which may take it up on goroutines.
func (h *held) release() {
	if h.activate != nil {
		h.activate()
	}
	for _, n := range h.notify {
		h.Device.Notify(n)
	}
	h.activate, h.notify = nil, h.notify[:0]
}
