package virtio

// Virtio over MMIO (virtio 1.3 §4.2): one page of registers a device, one interrupt wire.

import (
	"log/slog"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/memory"
)

// MMIOSize is the size in bytes of one device's registers: 256 bytes of the transport's, then configuration space.
const MMIOSize = 0x1000

// Registers that do not take the transport's mutex.
const (
	mmioNotify    = 0x050
	mmioInterrupt = 0x060
	mmioAck       = 0x064
)

const (
	mmioMagic   = 0x74726976 // "virt"
	mmioVersion = 2
	mmioConfig  = 0x100
	vendorID    = 0x554D4551 // that of QEMU: the text leaves it open, and xv6's driver wants to see this one
)

// mmioRegisters by offset / 4 (§4.2.2). All are 32 bits wide.
var mmioRegisters = [mmioConfig / 4]register{
	0:         {4, func(*endpoint) uint32 { return mmioMagic }, nil},
	0x004 / 4: {4, func(*endpoint) uint32 { return mmioVersion }, nil},
	0x008 / 4: {4, func(e *endpoint) uint32 { return e.dev.Type() }, nil},
	0x00C / 4: {4, func(*endpoint) uint32 { return vendorID }, nil},
	0x010 / 4: {4, func(e *endpoint) uint32 { return word(e.offered, e.devSel) }, nil}, // DeviceFeatures
	0x014 / 4: {4, nil, func(e *endpoint, v uint32) { e.devSel = v }},
	0x020 / 4: {4, nil, (*endpoint).setFeatures}, // DriverFeatures
	0x024 / 4: {4, nil, func(e *endpoint, v uint32) { e.drvSel = v }},
	0x030 / 4: {4, nil, func(e *endpoint, v uint32) { e.queueSel = v }},
	0x034 / 4: {4, mmioQueueMax, nil},      // QueueSizeMax
	0x038 / 4: {4, nil, mmioQueueSize},     // QueueSize
	0x044 / 4: {4, queueReady, mmioEnable}, // QueueReady
	0x070 / 4: {4, loadStatus, func(e *endpoint, v uint32) { e.setStatus(uint8(v)) }},
	0x080 / 4: address(false, descArea),
	0x084 / 4: address(true, descArea),
	0x090 / 4: address(false, driverArea),
	0x094 / 4: address(true, driverArea),
	0x0A0 / 4: address(false, deviceArea),
	0x0A4 / 4: address(true, deviceArea),
	// No shared memory regions: length and base read as all ones (§4.2.2.1).
	0x0B0 / 4: {4, allOnes, nil},
	0x0B4 / 4: {4, allOnes, nil},
	0x0B8 / 4: {4, allOnes, nil},
	0x0BC / 4: {4, allOnes, nil},
	0x0FC / 4: {4, loadGeneration, nil},
}

func allOnes(*endpoint) uint32          { return ^uint32(0) }
func loadStatus(e *endpoint) uint32     { return uint32(e.signals.loadStatus()) }
func loadGeneration(e *endpoint) uint32 { return uint32(e.signals.loadGeneration()) }

func mmioQueueMax(e *endpoint) uint32 {
	if q := e.queue(); q != nil {
		return uint32(q.max)
	}
	return 0
}

func mmioQueueSize(e *endpoint, v uint32) {
	// What does not fit into 16 bits becomes zero, which enabling refuses.
	if v > MaxQueueSize {
		v = 0
	}
	e.setQueue(func(c *QueueConfig) { c.Size = uint16(v) })
}

func queueReady(e *endpoint) uint32 {
	if q := e.queue(); q != nil && q.live != nil {
		return 1
	}
	return 0
}

func mmioEnable(e *endpoint, v uint32) {
	switch v {
	case 0:
		e.disableQueue()
	case 1:
		e.enableQueue()
	}
}

// MMIO is a virtio device behind memory-mapped registers. It implements [device.Device] and [device.Resetter].
type MMIO struct{ e *endpoint }

// NewMMIO puts a device behind [MMIOSize] bytes of registers. A nil log discards.
func NewMMIO(ram *memory.RAM, dev Device, line device.Line, log *slog.Logger) *MMIO {
	return &MMIO{newEndpoint(ram, dev, line, log)}
}

// Load implements [device.Device].
func (m *MMIO) Load(off uint64, size int) uint64 {
	if off == mmioInterrupt && size == 4 {
		return uint64(m.e.signals.pending())
	}
	return m.load(off, size)
}

// load is of the registers that take the mutex.
func (m *MMIO) load(off uint64, size int) uint64 {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	if off >= mmioConfig {
		return m.e.loadConfig(off-mmioConfig, size)
	}
	if r := mmioRegister(off, size); r != nil && r.load != nil {
		return uint64(r.load(m.e))
	}
	return 0
}

// Store implements [device.Device].
func (m *MMIO) Store(off uint64, size int, v uint64) {
	if size == 4 {
		switch off {
		case mmioNotify:
			m.e.notify(uint32(v))
			return
		case mmioAck:
			m.e.signals.acknowledge(uint32(v))
			return
		}
	}
	m.store(off, size, v)
}

// store is of the registers that take the mutex.
func (m *MMIO) store(off uint64, size int, v uint64) {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	if off >= mmioConfig {
		m.e.storeConfig(off-mmioConfig, size, v)
		return
	}
	if r := mmioRegister(off, size); r != nil && r.store != nil {
		r.store(m.e, uint32(v))
	}
}

// mmioRegister is the register at off; only aligned accesses of 32 bits reach one (§4.2.2.2).
func mmioRegister(off uint64, size int) *register {
	if size != 4 || off%4 != 0 {
		return nil
	}
	return &mmioRegisters[off/4]
}

// Reset implements [device.Resetter].
func (m *MMIO) Reset() {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	m.e.reset()
}

// EmptyMMIO is a slot without a device: device ID 0, which drivers pass over (§4.2.2.1).
type EmptyMMIO struct{}

// Load implements [device.Device].
func (EmptyMMIO) Load(off uint64, size int) uint64 {
	switch {
	case size != 4:
		return 0
	case off == 0x000:
		return mmioMagic
	case off == 0x004:
		return mmioVersion
	case off == 0x00C:
		return vendorID
	}
	return 0
}

// Store implements [device.Device].
func (EmptyMMIO) Store(uint64, int, uint64) {}
