package virtio

// Virtio over PCI (virtio 1.3 §4.1), modern devices only, with one memory BAR and INTx.
//
// MSI-X is not offered yet: the vector registers read as NO_VECTOR. When it is, it adds a capability, a table in a second BAR
// and a vector for each queue, and signals.queueInterrupt picks the vector; nothing else changes.

import (
	"encoding/binary"
	"log/slog"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/memory"
)

// PCI identifiers (§4.1.2).
const (
	pciVendor     = 0x1AF4
	pciDeviceBase = 0x1040 // plus the device type
	pciCapVendor  = 0x09
	noVector      = 0xFFFF
)

// Where the structures lie in the BAR: a page each, so that a hypervisor above could map them one by one.
const (
	pciBAR      = 4
	pciBARSize  = 0x4000
	pciCommon   = 0x0000
	pciISR      = 0x1000
	pciConfig   = 0x2000
	pciNotify   = 0x3000
	pciPage     = 0x1000
	notifyScale = 4 // queue n notifies at pciNotify + n*notifyScale
)

// Structure types (§4.1.4).
const (
	capCommon = 1
	capNotify = 2
	capISR    = 3
	capConfig = 4
	capAccess = 5 // a window to the BAR in configuration space
)

// pciClass is the class code for each device type: base class, subclass, interface.
var pciClass = map[uint32]uint32{
	TypeBlock:   0x010000,
	TypeConsole: 0x078000,
	TypeRNG:     0x00FF00,
	TypeBalloon: 0x00FF00,
}

// pciRegisters is the common configuration structure by offset (§4.1.4.3). Each takes accesses of its own width.
var pciRegisters = [0x40]register{
	0x00: {4, func(e *endpoint) uint32 { return e.devSel }, func(e *endpoint, v uint32) { e.devSel = v }},
	0x04: {4, func(e *endpoint) uint32 { return word(e.offered, e.devSel) }, nil},
	0x08: {4, func(e *endpoint) uint32 { return e.drvSel }, func(e *endpoint, v uint32) { e.drvSel = v }},
	0x0C: {4, func(e *endpoint) uint32 { return word(e.accepted, e.drvSel) }, (*endpoint).setFeatures},
	0x10: {2, loadNoVector, nil}, // config_msix_vector
	0x12: {2, func(e *endpoint) uint32 { return uint32(len(e.queues)) }, nil},
	0x14: {1, loadStatus, func(e *endpoint, v uint32) { e.setStatus(uint8(v)) }},
	0x15: {1, loadGeneration, nil},
	0x16: {2, func(e *endpoint) uint32 { return e.queueSel }, func(e *endpoint, v uint32) { e.queueSel = v }},
	0x18: {2, pciQueueSize, func(e *endpoint, v uint32) { e.setQueue(func(c *QueueConfig) { c.Size = uint16(v) }) }},
	0x1A: {2, loadNoVector, nil}, // queue_msix_vector
	0x1C: {2, queueReady, pciEnable},
	0x1E: {2, func(e *endpoint) uint32 { return e.queueSel }, nil}, // queue_notify_off
	0x20: address(false, descArea),
	0x24: address(true, descArea),
	0x28: address(false, driverArea),
	0x2C: address(true, driverArea),
	0x30: address(false, deviceArea),
	0x34: address(true, deviceArea),
}

func loadNoVector(*endpoint) uint32 { return noVector }

// pciQueueSize is the size the driver chose, at first the largest; 0 where there is no such queue.
func pciQueueSize(e *endpoint) uint32 {
	if q := e.queue(); q != nil {
		return uint32(q.cfg.Size)
	}
	return 0
}

// pciEnable: a driver must not write 0 here (§4.1.4.3.2).
func pciEnable(e *endpoint, v uint32) {
	if v == 1 {
		e.enableQueue()
	}
}

// PCI is a virtio device behind a PCI function. It implements [pci.Function].
type PCI struct{ e *endpoint }

// NewPCI makes a PCI function of a device. A nil log discards.
func NewPCI(ram *memory.RAM, dev Device, log *slog.Logger) *PCI {
	return &PCI{newEndpoint(ram, dev, nil, log)}
}

// Header implements [pci.Function].
func (p *PCI) Header() pci.Header {
	kind := p.e.dev.Type()
	h := pci.Header{
		Vendor: pciVendor, Device: uint16(pciDeviceBase + kind),
		SubsystemVendor: pciVendor, SubsystemDevice: 0x1100, // 0x40 and above says modern (§4.1.2.1)
		Class: pciClass[kind], Revision: 1, Pin: 1,
	}
	h.BARs[pciBAR] = pci.BAR{Size: pciBARSize, Wide: true, Prefetchable: true}
	scale := binary.LittleEndian.AppendUint32(nil, notifyScale)
	access := structure(capAccess, 0, 0, make([]byte, 4))
	access.Writable = make([]byte, len(access.Data))
	for _, span := range [][2]int{{accessBAR, accessBAR + 1}, {accessOffset, accessData + 4}} {
		for i := span[0]; i < span[1]; i++ {
			access.Writable[i] = 0xFF
		}
	}
	access.Load, access.Store = p.accessLoad, p.accessStore
	h.Capabilities = []pci.Capability{
		structure(capCommon, pciCommon, uint32(len(pciRegisters)), nil),
		structure(capISR, pciISR, 1, nil),
		structure(capConfig, pciConfig, pciPage, nil),
		structure(capNotify, pciNotify, uint32(len(p.e.queues)*notifyScale), scale),
		access,
	}
	return h
}

// Offsets in a structure's capability, from the byte after the link.
const (
	accessBAR    = 2
	accessOffset = 6
	accessLength = 10
	accessData   = 14
)

// structure is the capability that points to one structure in the BAR (§4.1.4).
func structure(kind byte, off, length uint32, extra []byte) pci.Capability {
	d := make([]byte, accessData, accessData+len(extra))
	d[0] = byte(2 + accessData + len(extra)) // cap_len counts the ID and the link
	d[1] = kind
	d[accessBAR] = pciBAR
	binary.LittleEndian.PutUint32(d[accessOffset:], off)
	binary.LittleEndian.PutUint32(d[accessLength:], length)
	return pci.Capability{ID: pciCapVendor, Data: append(d, extra...)}
}

// accessLoad and accessStore let firmware that has not placed the BAR reach it through configuration space (§4.1.4.9).
func (p *PCI) accessLoad(d []byte, off, n int) {
	if at, size, ok := accessTarget(d, off, n); ok {
		v := p.Load(pciBAR, at, size)
		binary.LittleEndian.PutUint32(d[accessData:], uint32(v))
	}
}

func (p *PCI) accessStore(d []byte, off, n int) {
	if at, size, ok := accessTarget(d, off, n); ok {
		p.Store(pciBAR, at, size, uint64(binary.LittleEndian.Uint32(d[accessData:])))
	}
}

// accessTarget is the access an access to pci_cfg_data stands for, where it is one.
func accessTarget(d []byte, off, n int) (at uint64, size int, ok bool) {
	at = uint64(binary.LittleEndian.Uint32(d[accessOffset:]))
	length := binary.LittleEndian.Uint32(d[accessLength:])
	ok = off+n > accessData && d[accessBAR] == pciBAR &&
		(length == 1 || length == 2 || length == 4) && at%uint64(length) == 0 && at+uint64(length) <= pciBARSize
	return at, int(length), ok
}

// Connect implements [pci.Function].
func (p *PCI) Connect(intx device.Line) { p.e.signals.line = intx }

// Load implements [pci.Function].
func (p *PCI) Load(_ int, off uint64, size int) uint64 {
	e := p.e
	at := off % pciPage
	if off == pciISR {
		return uint64(e.signals.acknowledge(0xFF)) // reading clears (§4.1.4.5)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch off - at {
	case pciCommon:
		if size == 8 { // the text asks for two accesses of 32 bits; be lenient
			return e.loadCommon(at, 4) | e.loadCommon(at+4, 4)<<32
		}
		return e.loadCommon(at, size)
	case pciConfig:
		return e.loadConfig(at, size)
	}
	return 0
}

// Store implements [pci.Function].
func (p *PCI) Store(_ int, off uint64, size int, v uint64) {
	v &= ^uint64(0) >> (64 - 8*size)
	e := p.e
	at := off % pciPage
	if off-at == pciNotify {
		if at%notifyScale == 0 {
			e.notify(uint32(at / notifyScale))
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch off - at {
	case pciCommon:
		if size == 8 {
			e.storeCommon(at, 4, uint32(v))
			e.storeCommon(at+4, 4, uint32(v>>32))
			return
		}
		e.storeCommon(at, size, uint32(v))
	case pciConfig:
		e.storeConfig(at, size, v)
	}
}

func (e *endpoint) loadCommon(at uint64, size int) uint64 {
	if at < uint64(len(pciRegisters)) {
		if r := &pciRegisters[at]; r.size == size && r.load != nil {
			return uint64(r.load(e))
		}
	}
	return 0
}

func (e *endpoint) storeCommon(at uint64, size int, v uint32) {
	if at < uint64(len(pciRegisters)) {
		if r := &pciRegisters[at]; r.size == size && r.store != nil {
			r.store(e, v)
		}
	}
}

// Reset implements [pci.Function].
func (p *PCI) Reset() {
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	p.e.reset()
}
