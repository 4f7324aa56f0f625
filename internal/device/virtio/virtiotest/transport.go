package virtiotest

// The two transports as a driver uses them.

import (
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// Kind is a transport.
type Kind int

// The transports.
const (
	MMIO Kind = iota
	PCI
)

// Transport is the driver's view of one device.
type Transport interface {
	DeviceType() uint32
	Features() uint64
	Accept(features uint64)
	Status() uint8
	SetStatus(uint8)
	Generation() uint8
	// QueueMax is 0 where there is no such queue.
	QueueMax(n int) uint16
	// SetQueue places a queue and enables it.
	SetQueue(n int, size uint16, desc, driver, device memory.GPA)
	Notify(n int)
	// Interrupts reads the interrupt status and acknowledges it.
	Interrupts() uint8
	Config(off uint64, size int) uint64
	SetConfig(off uint64, size int, v uint64)
}

func attach(t testing.TB, ram *memory.RAM, dev virtio.Device, line *Line, kind Kind) Transport {
	t.Helper()
	if kind == MMIO {
		return mmio{virtio.NewMMIO(ram, dev, line, nil)}
	}
	const slot = 3
	var lines [4]device.Line
	for i := range lines {
		lines[i] = device.LineFunc(func(bool) { t.Error("an interrupt on the wrong wire") })
	}
	lines[pci.Wire(slot, 1)] = line
	host := pci.NewHost(lines)
	if err := host.Add(slot, virtio.NewPCI(ram, dev, nil)); err != nil {
		t.Fatal(err)
	}
	return newPCI(t, host, slot)
}

// dirty is v as a hart stores it: a register of 64 bits, of which only size bytes are meant.
func dirty(v uint64, size int) uint64 { return v | ^uint64(0)<<(8*size) }

type mmio struct{ dev device.Device }

func (m mmio) get(off uint64) uint32    { return uint32(m.dev.Load(off, 4)) }
func (m mmio) set(off uint64, v uint32) { m.dev.Store(off, 4, dirty(uint64(v), 4)) }

func (m mmio) DeviceType() uint32 { return m.get(0x008) }

func (m mmio) Features() uint64 {
	m.set(0x014, 0)
	lo := m.get(0x010)
	m.set(0x014, 1)
	return uint64(m.get(0x010))<<32 | uint64(lo)
}

func (m mmio) Accept(f uint64) {
	m.set(0x024, 0)
	m.set(0x020, uint32(f))
	m.set(0x024, 1)
	m.set(0x020, uint32(f>>32))
}

func (m mmio) Status() uint8     { return uint8(m.get(0x070)) }
func (m mmio) SetStatus(v uint8) { m.set(0x070, uint32(v)) }
func (m mmio) Generation() uint8 { return uint8(m.get(0x0FC)) }

func (m mmio) QueueMax(n int) uint16 {
	m.set(0x030, uint32(n))
	return uint16(m.get(0x034))
}

func (m mmio) SetQueue(n int, size uint16, desc, driver, dev memory.GPA) {
	m.set(0x030, uint32(n))
	m.set(0x038, uint32(size))
	for i, a := range []memory.GPA{desc, driver, dev} {
		m.set(0x080+uint64(i)*0x10, uint32(a))
		m.set(0x084+uint64(i)*0x10, uint32(a>>32))
	}
	m.set(0x044, 1)
}

func (m mmio) Notify(n int) { m.set(0x050, uint32(n)) }

func (m mmio) Interrupts() uint8 {
	v := m.get(0x060)
	m.set(0x064, v)
	return uint8(v)
}

func (m mmio) Config(off uint64, size int) uint64       { return m.dev.Load(0x100+off, size) }
func (m mmio) SetConfig(off uint64, size int, v uint64) { m.dev.Store(0x100+off, size, v) }

// function is a modern PCI device, found by its capabilities.
type function struct {
	ecam   device.Device
	base   uint64 // of its configuration space
	window device.Device

	common, isr, notify, config uint64 // offsets in the window
	scale                       uint64
}

// Where the model places the BAR.
const (
	windowBase = 0x4_0000_0000
	barAddress = windowBase + 0x10_0000
)

func newPCI(t testing.TB, host *pci.Host, slot int) *function {
	t.Helper()
	f := &function{ecam: host.ECAM(), base: uint64(slot) << 15, window: host.Window(windowBase)}
	if id := f.cfg(0, 4); id&0xFFFF != 0x1AF4 || id>>16 < 0x1040 {
		t.Fatalf("not a modern virtio function: %#x", id)
	}
	for at := f.cfg(0x34, 1); at != 0; at = f.cfg(at+1, 1) {
		if f.cfg(at, 1) != 9 {
			continue
		}
		bar, off := f.cfg(at+4, 1), f.cfg(at+8, 4)
		// Placing the BAR again for each capability does no harm.
		f.setCfg(0x10+4*bar, 4, barAddress&0xFFFFFFFF)
		f.setCfg(0x14+4*bar, 4, barAddress>>32)
		where := barAddress - windowBase + off
		switch f.cfg(at+3, 1) {
		case 1:
			f.common = where
		case 2:
			f.notify, f.scale = where, f.cfg(at+16, 4)
		case 3:
			f.isr = where
		case 4:
			f.config = where
		}
	}
	f.setCfg(4, 2, 1<<1|1<<2) // memory, bus master
	return f
}

func (f *function) cfg(off uint64, size int) uint64       { return f.ecam.Load(f.base+off, size) }
func (f *function) setCfg(off uint64, size int, v uint64) { f.ecam.Store(f.base+off, size, v) }

func (f *function) get(off uint64, size int) uint64 { return f.window.Load(f.common+off, size) }
func (f *function) set(off uint64, size int, v uint64) {
	f.window.Store(f.common+off, size, dirty(v, size))
}
func (f *function) Status() uint8                         { return uint8(f.get(0x14, 1)) }
func (f *function) SetStatus(v uint8)                     { f.set(0x14, 1, uint64(v)) }
func (f *function) Generation() uint8                     { return uint8(f.get(0x15, 1)) }
func (f *function) DeviceType() uint32                    { return uint32(f.cfg(2, 2)) - 0x1040 }
func (f *function) Interrupts() uint8                     { return uint8(f.window.Load(f.isr, 1)) }
func (f *function) Config(off uint64, size int) uint64    { return f.window.Load(f.config+off, size) }
func (f *function) SetConfig(off uint64, n int, v uint64) { f.window.Store(f.config+off, n, v) }

func (f *function) Features() uint64 {
	f.set(0x00, 4, 0)
	lo := f.get(0x04, 4)
	f.set(0x00, 4, 1)
	return f.get(0x04, 4)<<32 | lo
}

func (f *function) Accept(v uint64) {
	f.set(0x08, 4, 0)
	f.set(0x0C, 4, v&0xFFFFFFFF)
	f.set(0x08, 4, 1)
	f.set(0x0C, 4, v>>32)
}

func (f *function) QueueMax(n int) uint16 {
	f.set(0x16, 2, uint64(n))
	return uint16(f.get(0x18, 2))
}

func (f *function) SetQueue(n int, size uint16, desc, driver, dev memory.GPA) {
	f.set(0x16, 2, uint64(n))
	f.set(0x18, 2, uint64(size))
	for i, a := range []memory.GPA{desc, driver, dev} {
		f.set(0x20+uint64(i)*8, 4, uint64(a)&0xFFFFFFFF)
		f.set(0x24+uint64(i)*8, 4, uint64(a)>>32)
	}
	f.set(0x1C, 2, 1)
}

func (f *function) Notify(n int) {
	// queue_notify_off equals the queue number here, yet a driver has to ask; done at every call for plainness.
	f.set(0x16, 2, uint64(n))
	f.window.Store(f.notify+f.get(0x1E, 2)*f.scale, 2, dirty(uint64(n), 2))
}
