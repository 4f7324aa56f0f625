package suite

// The two transports of a virtio device with one queue, as its driver sees them (virtio 1.3 §4.1, §4.2). What is over PCI is reached as a guest reaches it: by the
// bus, and the window of the host bridge.

import (
	"fmt"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// transport is the way to a device.
type transport interface {
	// start sets the device up, with a queue that lies where descBase, availBase and usedBase are.
	start(features, entries uint64) error
	// notify says that the queue has something new.
	notify()
	// acknowledge lowers the interrupt.
	acknowledge()
	// reset ends the device's work.
	reset()
}

// connect puts a device behind one of the transports.
func connect(ram *memory.RAM, dev virtio.Device, irq device.Line, overPCI bool) (transport, error) {
	if !overPCI {
		return mmioTransport{virtio.NewMMIO(ram, dev, irq, nil)}, nil
	}
	bus := new(device.Bus)
	at, err := plug(bus, virtio.NewPCI(ram, dev, nil), irq)
	return pciTransport{bus, at}, err
}

const driverReady = virtio.StatusAcknowledge | virtio.StatusDriver | virtio.StatusFeaturesOK

// bringUp is what both have in common of start: the steps up to a device that works (§3.1.1).
func bringUp(setStatus func(uint64), status func() uint64, negotiate, queue func()) error {
	setStatus(0)
	setStatus(virtio.StatusAcknowledge | virtio.StatusDriver)
	negotiate()
	setStatus(driverReady)
	queue()
	setStatus(driverReady | virtio.StatusDriverOK)
	if s := status(); s != driverReady|virtio.StatusDriverOK {
		return fmt.Errorf("the device's status is %#x", s)
	}
	return nil
}

// Registers of virtio-mmio.
const (
	mmioDriverFeatures    = 0x020
	mmioDriverFeaturesSel = 0x024
	mmioQueueSel          = 0x030
	mmioQueueSize         = 0x038
	mmioQueueReady        = 0x044
	mmioQueueNotify       = 0x050
	mmioInterruptStatus   = 0x060
	mmioInterruptACK      = 0x064
	mmioStatus            = 0x070
	mmioQueueDesc         = 0x080
	mmioQueueDriver       = 0x090
	mmioQueueDevice       = 0x0a0
	mmioConfig            = 0x100
)

// mmioTransport implements [transport].
type mmioTransport struct{ dev *virtio.MMIO }

func (t mmioTransport) start(features, entries uint64) error {
	set := func(reg, v uint64) { t.dev.Store(reg, 4, v) }
	return bringUp(func(s uint64) { set(mmioStatus, s) }, func() uint64 { return t.dev.Load(mmioStatus, 4) }, func() {
		for i := range uint64(2) {
			set(mmioDriverFeaturesSel, i)
			set(mmioDriverFeatures, features>>(32*i)&0xffff_ffff)
		}
	}, func() {
		set(mmioQueueSel, 0)
		set(mmioQueueSize, entries)
		set(mmioQueueDesc, uint64(descBase))
		set(mmioQueueDriver, uint64(availBase))
		set(mmioQueueDevice, uint64(usedBase))
		set(mmioQueueReady, 1)
	})
}

func (t mmioTransport) notify() { t.dev.Store(mmioQueueNotify, 4, 0) }

func (t mmioTransport) acknowledge() {
	t.dev.Store(mmioInterruptACK, 4, t.dev.Load(mmioInterruptStatus, 4))
}

func (t mmioTransport) reset() { t.dev.Store(mmioStatus, 4, 0) }

// Registers of virtio-pci's common configuration.
const (
	pciDriverFeaturesSel = 0x08
	pciDriverFeatures    = 0x0c
	pciStatus            = 0x14
	pciQueueSel          = 0x16
	pciQueueSize         = 0x18
	pciQueueEnable       = 0x1c
	pciQueueDesc         = 0x20
	pciQueueDriver       = 0x28
	pciQueueDevice       = 0x30
)

// pciTransport implements [transport].
type pciTransport struct {
	bus *device.Bus
	at  structures
}

func (t pciTransport) set(reg memory.GPA, size int, v uint64) {
	t.bus.Store(t.at[structureCommon]+reg, size, v)
}

func (t pciTransport) start(features, entries uint64) error {
	status := func() uint64 {
		v, _ := t.bus.Load(t.at[structureCommon]+pciStatus, 1) // where nothing answers it is not what is expected
		return v
	}
	return bringUp(func(s uint64) { t.set(pciStatus, 1, s) }, status, func() {
		for i := range uint64(2) {
			t.set(pciDriverFeaturesSel, 4, i)
			t.set(pciDriverFeatures, 4, features>>(32*i)&0xffff_ffff)
		}
	}, func() {
		t.set(pciQueueSel, 2, 0)
		t.set(pciQueueSize, 2, entries)
		for reg, base := range map[memory.GPA]memory.GPA{pciQueueDesc: descBase, pciQueueDriver: availBase, pciQueueDevice: usedBase} {
			t.set(reg, 4, uint64(base)&0xffff_ffff)
			t.set(reg+4, 4, uint64(base)>>32)
		}
		t.set(pciQueueEnable, 2, 1)
	})
}

func (t pciTransport) notify() { t.bus.Store(t.at[structureNotify], 2, 0) }

func (t pciTransport) acknowledge() { t.bus.Load(t.at[structureISR], 1) } // reading lowers it (§4.1.4.5)

func (t pciTransport) reset() { t.set(pciStatus, 1, 0) }

// Where PCI is in the address space, as on the board.
const (
	ecamBase   = memory.GPA(0x3000_0000)
	windowBase = memory.GPA(0x4000_0000)
	windowSize = 0x4000_0000
	pciSlot    = 1
	function   = ecamBase + pciSlot<<15 // its configuration space
)

// Registers of configuration space (PCI 3.0 §6.1).
const (
	configID           = 0x00
	configCommand      = 0x04
	configBARs         = 0x10
	configCapabilities = 0x34
	commandMemory      = 2
	capabilityVendor   = 0x09
)

// Types of the structures of virtio-pci (§4.1.4).
const (
	structureCommon = 1
	structureNotify = 2
	structureISR    = 3
	structureConfig = 4
)

// structures are where a device's structures are, by type; of the notifications those of the first queue.
type structures [structureConfig + 1]memory.GPA

// plug puts a function behind a host bridge on the bus, places its BAR, and finds what is in that.
func plug(bus *device.Bus, fn pci.Function, irq device.Line) (at structures, err error) {
	host := pci.NewHost([4]device.Line{irq, irq, irq, irq})
	if err := host.Add(pciSlot, fn); err != nil {
		return at, err
	}
	if err := bus.Map(ecamBase, pci.ECAMSize, "ecam", host.ECAM()); err != nil {
		return at, err
	}
	if err := bus.Map(windowBase, windowSize, "window", host.Window(windowBase)); err != nil {
		return at, err
	}
	load := func(reg memory.GPA, size int) memory.GPA {
		v, _ := bus.Load(function+reg, size) // has just been mapped
		return memory.GPA(v)
	}
	for c := load(configCapabilities, 1); c != 0; c = load(c+1, 1) {
		kind := load(c+3, 1)
		if load(c, 1) != capabilityVendor || kind == 0 || kind >= memory.GPA(len(at)) {
			continue
		}
		bar := function + configBARs + 4*load(c+4, 1)
		bus.Store(bar, 4, uint64(windowBase))
		bus.Store(bar+4, 4, uint64(windowBase)>>32)
		at[kind] = windowBase + load(c+8, 4)
	}
	bus.Store(function+configCommand, 2, commandMemory)
	return at, nil
}
