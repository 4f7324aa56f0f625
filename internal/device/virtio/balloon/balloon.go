// Package balloon is the virtio memory balloon (virtio 1.3 §5.5): it gives memory that its guest does not use back to the host.
//
//	balloon.go    the device: what it offers, its configuration, its life
//	requests.go   what it does with a request of each queue
//
// There are two ways. The balloon proper is of a size that the host wishes for (SetTarget): the driver allocates so much of the guest's memory and says
// which page frames it got. Free page reporting (§5.5.6.7) needs nobody who wishes: a guest that has had memory free for a while offers it, and uses it again
// as it likes. The statistics (§5.5.6.3) and free page hinting (§5.5.6.5), of use to whoever moves machines, are not offered.
//
// Memory that went back is still RAM, zero and committed anew when it is touched. So the driver need not tell before it uses a page again
// (VIRTIO_BALLOON_F_MUST_TELL_HOST is not offered), and a guest that lies about what it does not use harms itself only.
package balloon

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// Feature bits (§5.5.3).
const (
	FeatureDeflateOnOOM = uint64(1) << 2 // the guest takes memory out of the balloon rather than kill a process
	FeatureReporting    = uint64(1) << 5
)

// Queues (§5.5.2). The numbers are fixed, and Linux (6.12, for one) counts only those that a device has: with neither statistics nor hints its queue
// for reports is the third. Nobody else has a use for that one here.
const (
	queueInflate   = 0
	queueDeflate   = 1
	queueReports3  = 2
	queueReports   = 4
	numQueues      = 5
	queueSize      = 128 // Linux reports 32 ranges at once
	configTarget   = 0   // num_pages (§5.5.4)
	configActual   = 4   // actual
	configSize     = 8
	unit           = 4096 // bytes of a page frame here, whatever the guest's pages are (§5.5.6)
	maxFrameNumber = 1<<32 - 1
)

// MaxBytes is the most that a balloon can hold: its frames have numbers of 32 bits.
const MaxBytes = maxFrameNumber * unit

// Device is a balloon. It implements [virtio.Device].
type Device struct {
	ram *memory.RAM
	log *slog.Logger

	target atomic.Uint32 // what the host wishes for, in units
	actual atomic.Uint32 // what the driver says there is, in units
	given  atomic.Uint64 // frames that are in it

	mu        sync.Mutex       // held for a moment only; nothing is taken inside it but what Transport has
	transport virtio.Transport // of the last Activate
	running   bool             // serve is on its goroutine
	again     bool             // there was a notification since serve last found the queues empty

	work    sync.Mutex // held while requests are served, so that Reset waits; Queue.mu is taken inside it
	queues  []*virtio.Queue
	reports bool // FeatureReporting was accepted
	frames  *memory.Frames
	warned  bool           // of memory that the host did not take
	numbers [maxBytes]byte // of a request: a copy, as the guest may change its own
}

// New makes an empty balloon of a machine's memory. A nil log discards.
func New(ram *memory.RAM, log *slog.Logger) *Device {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Device{ram: ram, log: log, frames: memory.NewFrames(ram)}
}

// SetTarget asks the guest to have so many bytes in the balloon, in multiples of 4096 up to [MaxBytes]; at any time, from any goroutine.
func (d *Device) SetTarget(bytes uint64) {
	d.target.Store(uint32(bytes / unit))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.transport != nil {
		d.transport.ConfigChanged()
	}
}

// Given is how many bytes are in the balloon: what the guest has said, less what it has taken back. Reports of free pages do not count.
func (d *Device) Given() uint64 { return d.given.Load() * unit }

// Type implements [virtio.Device].
func (d *Device) Type() uint32 { return virtio.TypeBalloon }

// Features implements [virtio.Device].
func (d *Device) Features() uint64 { return FeatureDeflateOnOOM | FeatureReporting }

// Queues implements [virtio.Device].
func (d *Device) Queues() []uint16 {
	return []uint16{queueInflate: queueSize, queueDeflate: queueSize, queueReports3: queueSize, 3: queueSize, queueReports: queueSize}
}

// ConfigLoad implements [virtio.Device].
func (d *Device) ConfigLoad(off uint64, p []byte) {
	clear(p)
	var config [configSize]byte
	binary.LittleEndian.PutUint32(config[configTarget:], d.target.Load())
	binary.LittleEndian.PutUint32(config[configActual:], d.actual.Load())
	if off < configSize {
		copy(p, config[off:])
	}
}

// ConfigStore implements [virtio.Device]: the driver says how much is in the balloon, in one access (§4.1.3.1).
func (d *Device) ConfigStore(off uint64, p []byte) {
	if off == configActual && len(p) == 4 {
		d.actual.Store(binary.LittleEndian.Uint32(p))
	}
}

// Activate implements [virtio.Device].
func (d *Device) Activate(features uint64, queues []*virtio.Queue, t virtio.Transport) {
	d.work.Lock()
	d.queues, d.reports = queues, features&FeatureReporting != 0
	d.work.Unlock()
	d.mu.Lock()
	d.transport = t
	d.mu.Unlock()
	d.Notify(queueInflate)
}

// Notify implements [virtio.Device]. To release memory takes the host a while, so it is not done here, on a hart.
func (d *Device) Notify(int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.again = true
	if !d.running {
		d.running = true
		go d.serve()
	}
}

// Reset implements [virtio.Device]: the balloon is empty, and the guest has all of its memory again.
func (d *Device) Reset() {
	d.work.Lock()
	defer d.work.Unlock()
	d.queues = nil
	d.frames.Reset()
	d.given.Store(0)
	d.actual.Store(0)
}
