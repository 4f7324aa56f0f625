package virtio

// Endpoint: a device as its driver finds it, whatever the transport: feature negotiation (§2.2), the status state machine
// (§2.1), queue set-up, reset (§2.4). mmio.go and pci.go give its registers their addresses.

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/memory"
)

// endpoint holds the state behind the registers. Lock order: endpoint.mu, the device's own, Queue.mu, signals.mu.
//
// The registers of a request's way, the notification and the interrupt status, do not take mu: harts with a queue each would wait
// for one another there.
type endpoint struct {
	signals *signals
	ram     *memory.RAM
	dev     Device
	offered uint64

	live atomic.Pointer[[]*Queue] // from DRIVER_OK to reset, then nil; replaced, never changed

	mu       sync.Mutex // the other registers and all other calls into dev
	accepted uint64     // features the driver wrote
	devSel   uint32     // which 32 bits of the features the registers show
	drvSel   uint32
	queueSel uint32
	queues   []queueRegs
}

// queueRegs is one queue's registers.
type queueRegs struct {
	max  uint16
	cfg  QueueConfig
	live *Queue // set while the queue is enabled
}

func newEndpoint(ram *memory.RAM, dev Device, line device.Line, log *slog.Logger) *endpoint {
	e := &endpoint{
		signals: newSignals(line, log), ram: ram, dev: dev,
		offered: dev.Features() | ringFeatures,
	}
	for _, n := range dev.Queues() {
		if n == 0 || n > MaxQueueSize || n&(n-1) != 0 {
			panic(fmt.Sprintf("virtio: device type %d has a queue of %d entries", dev.Type(), n))
		}
		e.queues = append(e.queues, queueRegs{max: n, cfg: QueueConfig{Size: n}})
	}
	return e
}

// word is 32 bits of a feature mask.
func word(features uint64, sel uint32) uint32 {
	if sel > 1 {
		return 0
	}
	return uint32(features >> (32 * sel))
}

// setFeatures takes 32 bits of what the driver accepts; too late once FEATURES_OK is set (§2.2.1).
func (e *endpoint) setFeatures(v uint32) {
	if e.drvSel > 1 || e.signals.loadStatus()&StatusFeaturesOK != 0 {
		return
	}
	shift := 32 * e.drvSel
	e.accepted = e.accepted&^(0xFFFFFFFF<<shift) | uint64(v)<<shift
}

// setStatus is a write of the status register: zero resets, anything else adds bits.
//
// FEATURES_OK stays clear where the driver accepted what was not offered (§2.2.2). A driver that does not accept VERSION_1 is
// let through, as §6.1 allows: small teaching kernels forget it and use the modern layout all the same.
func (e *endpoint) setStatus(v uint8) {
	if v == 0 {
		e.reset()
		return
	}
	old := e.signals.loadStatus()
	add := v &^ old & (StatusAcknowledge | StatusDriver | StatusDriverOK | StatusFeaturesOK | StatusFailed)
	if add&StatusFeaturesOK != 0 && e.accepted&^e.offered != 0 {
		add &^= StatusFeaturesOK
	}
	if (old|add)&StatusFeaturesOK == 0 {
		add &^= StatusDriverOK
	}
	e.signals.addStatus(add)
	if add&StatusDriverOK != 0 && old&StatusNeedsReset == 0 {
		e.activate()
	}
}

func (e *endpoint) activate() {
	live := make([]*Queue, len(e.queues))
	for i := range e.queues {
		live[i] = e.queues[i].live
	}
	e.dev.Activate(e.accepted, slices.Clone(live), e.signals)
	e.live.Store(&live)
}

// reset is a reset by the driver or of the machine. When it returns neither device nor queues touch guest memory.
func (e *endpoint) reset() {
	e.live.Store(nil)
	e.dev.Reset()
	for i := range e.queues {
		q := &e.queues[i]
		if q.live != nil {
			q.live.stop()
		}
		*q = queueRegs{max: q.max, cfg: QueueConfig{Size: q.max}}
	}
	e.accepted, e.devSel, e.drvSel, e.queueSel = 0, 0, 0, 0
	e.signals.reset()
}

// queue is the selected queue's registers, or nil.
func (e *endpoint) queue() *queueRegs {
	if uint64(e.queueSel) >= uint64(len(e.queues)) {
		return nil
	}
	return &e.queues[e.queueSel]
}

// setQueue changes the selected queue's registers; once it is enabled they are fixed.
func (e *endpoint) setQueue(f func(*QueueConfig)) {
	if q := e.queue(); q != nil && q.live == nil {
		f(&q.cfg)
	}
}

// setAddress replaces half of a 64-bit address.
func setAddress(a *memory.GPA, high bool, v uint32) {
	if high {
		*a = *a&0xFFFFFFFF | memory.GPA(v)<<32
	} else {
		*a = *a&^0xFFFFFFFF | memory.GPA(v)
	}
}

// enableQueue puts the selected queue to work. The ring format is known from FEATURES_OK on, and after DRIVER_OK it is too late
// (§3.1.1): otherwise nothing happens.
func (e *endpoint) enableQueue() {
	q := e.queue()
	status := e.signals.loadStatus()
	if q == nil || q.live != nil || status&StatusFeaturesOK == 0 || status&StatusDriverOK != 0 {
		return
	}
	var err error
	if q.cfg.Size > q.max {
		err = fmt.Errorf("virtio: queue %d: size %d is over %d", e.queueSel, q.cfg.Size, q.max)
	} else {
		q.live, err = newQueue(e.ram, int(e.queueSel), q.cfg, e.accepted, e.signals)
	}
	if err != nil {
		e.signals.NeedsReset(err)
	}
}

// disableQueue stops the selected queue for good: its device sees it as empty.
func (e *endpoint) disableQueue() {
	q := e.queue()
	if q == nil || q.live == nil {
		return
	}
	q.live.stop()
	q.live = nil
	if live := e.live.Load(); live != nil {
		less := slices.Clone(*live)
		less[e.queueSel] = nil
		e.live.Store(&less)
	}
}

// notify is an available buffer notification (§2.3). It is called without mu.
func (e *endpoint) notify(n uint32) {
	if live := e.live.Load(); live != nil && uint64(n) < uint64(len(*live)) && (*live)[n] != nil {
		e.dev.Notify(int(n))
	}
}

// loadConfig and storeConfig reach the device's configuration space.
func (e *endpoint) loadConfig(off uint64, size int) uint64 {
	var b [8]byte
	e.dev.ConfigLoad(off, b[:size])
	var v uint64
	for i := size - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}

func (e *endpoint) storeConfig(off uint64, size int, v uint64) {
	var b [8]byte
	for i := range size {
		b[i] = byte(v >> (8 * i))
	}
	e.dev.ConfigStore(off, b[:size])
}

// register is one register of a transport: what a read and a write of its whole width do. A nil function is a register that
// reads as zero, or ignores writes.
type register struct {
	size  int
	load  func(*endpoint) uint32
	store func(*endpoint, uint32)
}

// address makes a register for half of one of the selected queue's addresses.
func address(high bool, field func(*QueueConfig) *memory.GPA) register {
	return register{4,
		func(e *endpoint) uint32 {
			q := e.queue()
			if q == nil {
				return 0
			}
			if high {
				return uint32(*field(&q.cfg) >> 32)
			}
			return uint32(*field(&q.cfg))
		},
		func(e *endpoint, v uint32) {
			e.setQueue(func(c *QueueConfig) { setAddress(field(c), high, v) })
		},
	}
}

func descArea(c *QueueConfig) *memory.GPA   { return &c.Desc }
func driverArea(c *QueueConfig) *memory.GPA { return &c.Driver }
func deviceArea(c *QueueConfig) *memory.GPA { return &c.Device }
