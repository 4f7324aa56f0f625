package virtio_test

import (
	"errors"
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory"
)

func each(t *testing.T, f func(t *testing.T, kind virtiotest.Kind)) {
	t.Run("mmio", func(t *testing.T) { f(t, virtiotest.MMIO) })
	t.Run("pci", func(t *testing.T) { f(t, virtiotest.PCI) })
}

func TestNegotiation(t *testing.T) {
	const own = 1<<5 | 1<<40
	for _, c := range []struct {
		name   string
		accept uint64
		ok     bool
	}{
		{"all that is offered", own | virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc | virtio.FeatureRingPacked, true},
		{"only what is needed", virtio.FeatureVersion1, true},
		{"nothing, as small kernels do", 0, true},
		{"a low bit not offered", virtio.FeatureVersion1 | 1<<6, false},
		{"a high bit not offered", virtio.FeatureVersion1 | 1<<41, false},
		{"access to the platform's address translation", virtio.FeatureVersion1 | 1<<33, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, kind virtiotest.Kind) {
				dev := &echo{features: own}
				d := virtiotest.New(t, dev, kind)
				if d.DeviceType() != virtio.TypeRNG {
					t.Errorf("device type %d", d.DeviceType())
				}
				d.SetStatus(virtio.StatusAcknowledge)
				d.SetStatus(virtio.StatusAcknowledge | virtio.StatusDriver)
				d.Accept(c.accept)
				d.SetStatus(d.Status() | virtio.StatusFeaturesOK)
				if got := d.Status()&virtio.StatusFeaturesOK != 0; got != c.ok {
					t.Fatalf("FEATURES_OK is %v", got)
				}
				d.Accept(0xFFFF) // too late
				d.SetStatus(d.Status() | virtio.StatusDriverOK)
				if got := d.Status()&virtio.StatusDriverOK != 0; got != c.ok {
					t.Errorf("DRIVER_OK is %v", got)
				}
				if c.ok && (dev.activated != 1 || dev.accepted != c.accept) {
					t.Errorf("activated %d times with %#x", dev.activated, dev.accepted)
				}
				if !c.ok && dev.activated != 0 {
					t.Error("activated")
				}
			})
		})
	}
}

func TestStatus(t *testing.T) {
	each(t, func(t *testing.T, kind virtiotest.Kind) {
		dev := &echo{}
		d := virtiotest.New(t, dev, kind)
		d.SetStatus(virtio.StatusDriverOK) // out of order
		if d.Status() != 0 || dev.activated != 0 {
			t.Errorf("status %#x after DRIVER_OK alone", d.Status())
		}
		d.SetStatus(virtio.StatusNeedsReset)
		if d.Status() != 0 {
			t.Errorf("status %#x: the driver set NEEDS_RESET", d.Status())
		}
		d.Start(virtio.FeatureVersion1)
		d.SetStatus(d.Status()) // no second activation
		d.SetStatus(virtio.StatusDriverOK)
		if d.Status() != 0xF || dev.activated != 1 {
			t.Errorf("status %#x, activated %d times", d.Status(), dev.activated)
		}
		d.SetStatus(0xF | virtio.StatusFailed)
		if d.Status() != 0xF|virtio.StatusFailed {
			t.Errorf("status %#x after FAILED", d.Status())
		}
		resets := dev.resets
		d.SetStatus(0)
		if d.Status() != 0 || dev.resets != resets+1 || d.Line.Level() {
			t.Errorf("status %#x, %d resets, line %v after a reset", d.Status(), dev.resets-resets, d.Line.Level())
		}
		d.Notify(0) // nobody there
		d.Notify(1000)
		if dev.notified != 0 {
			t.Error("notified after a reset")
		}
		if d.QueueMax(0) != 256 || d.QueueMax(1) != 0 || d.QueueMax(0xFFFF) != 0 {
			t.Error("queue sizes after a reset")
		}
	})
}

func TestQueuesAreFixedOnceLive(t *testing.T) {
	each(t, func(t *testing.T, kind virtiotest.Kind) {
		dev := &echo{sizes: []uint16{16, 16, 16}}
		d := virtiotest.New(t, dev, kind)
		d.SetQueue(0, 16, virtiotest.RAMBase, virtiotest.RAMBase, virtiotest.RAMBase) // before FEATURES_OK: nothing
		d.Negotiate(virtio.FeatureVersion1)
		q := d.AddQueue(0, 16)
		d.SetQueue(0, 8, 0, 0, 0) // enabled already
		d.SetStatus(d.Status() | virtio.StatusDriverOK)
		d.AddQueue(1, 16) // too late
		if dev.queues[0] == nil || dev.queues[0].Size() != 16 || dev.queues[1] != nil || dev.queues[2] != nil {
			t.Fatalf("live queues: %v", dev.queues)
		}
		q.Do(d.In(1))
		d.Notify(1)
		if d.Status()&virtio.StatusNeedsReset != 0 {
			t.Error("needs a reset")
		}
	})
}

func TestConfiguration(t *testing.T) {
	each(t, func(t *testing.T, kind virtiotest.Kind) {
		dev := &echo{}
		copy(dev.config[:], "0123456789ABCDEF")
		d := virtiotest.New(t, dev, kind)
		d.Start(virtio.FeatureVersion1)
		if v := d.Config(2, 2); v != '2'|'3'<<8 {
			t.Errorf("2 bytes: %#x", v)
		}
		if v := d.Config(12, 8); v != 'C'|'D'<<8|'E'<<16|'F'<<24 {
			t.Errorf("past the end: %#x", v)
		}
		if v := d.Config(0xE00, 4); v != 0 {
			t.Errorf("far past the end: %#x", v)
		}
		d.SetConfig(4, 4, 0x64636261)
		if got := string(dev.config[3:9]); got != "3abcd8" {
			t.Errorf("after a write: %q", got)
		}
		g := d.Generation()
		dev.transport.ConfigChanged()
		if d.Generation() == g {
			t.Error("the generation stands still")
		}
		if !d.Line.Level() || d.Interrupts() != 2 || d.Line.Level() {
			t.Error("configuration change interrupt")
		}
		d.SetStatus(0)
		dev.transport.ConfigChanged() // no driver: no interrupt
		dev.transport.NeedsReset(errors.New("late"))
		if d.Line.Level() || d.Status() != 0 {
			t.Errorf("line %v, status %#x without a driver", d.Line.Level(), d.Status())
		}
	})
}

func TestMMIORegisters(t *testing.T) {
	ram := newRAM(t)
	m := virtio.NewMMIO(ram, &echo{}, device.LineFunc(func(bool) {}), nil)
	for _, c := range []struct {
		off  uint64
		size int
		want uint64
	}{
		{0x000, 4, 0x74726976}, {0x004, 4, 2}, {0x008, 4, 4},
		{0x00C, 4, 0x554D4551},                      // xv6 panics when the vendor is another
		{0x000, 1, 0}, {0x000, 8, 0}, {0x002, 4, 0}, // only aligned words
		{0x018, 4, 0}, {0x0AC, 4, 0}, {0x0B0, 4, 0xFFFFFFFF}, {0x044, 4, 0},
	} {
		if v := m.Load(c.off, c.size); v != c.want {
			t.Errorf("load %#x, %d bytes: %#x, want %#x", c.off, c.size, v, c.want)
		}
	}
	m.Store(0x014, 4, 7)
	if v := m.Load(0x010, 4); v != 0 {
		t.Errorf("features past bit 63: %#x", v)
	}
	var empty virtio.EmptyMMIO
	if empty.Load(0, 4) != 0x74726976 || empty.Load(4, 4) != 2 || empty.Load(8, 4) != 0 {
		t.Error("empty slot")
	}
}

// MMIO lets a driver take a queue down again (QueueReady = 0).
func TestMMIOQueueDisable(t *testing.T) {
	dev := &echo{}
	ram := newRAM(t)
	m := virtio.NewMMIO(ram, dev, device.LineFunc(func(bool) {}), nil)
	for _, w := range [][2]uint64{
		{0x070, 1}, {0x070, 3}, {0x024, 1}, {0x020, 1}, {0x070, 11},
		{0x038, 8}, {0x080, 0x80000000}, {0x090, 0x80001000}, {0x0A0, 0x80002000}, {0x044, 1}, {0x070, 15},
	} {
		m.Store(w[0], 4, w[1])
	}
	if m.Load(0x044, 4) != 1 || dev.queues[0] == nil {
		t.Fatal("the queue is not up")
	}
	m.Store(0x044, 4, 0)
	if m.Load(0x044, 4) != 0 {
		t.Fatal("the queue is still up")
	}
	must(t, ram.Store64(0x80000000, 0x80003000))
	must(t, ram.Store64(0x80000008, 8))
	must(t, ram.Store16(0x80001002, 1))
	m.Store(0x050, 4, 0)
	if _, ok := dev.queues[0].Next(); ok || dev.notified != 0 {
		t.Error("a queue that was taken down still works")
	}
}

func newRAM(t *testing.T) *memory.RAM {
	t.Helper()
	ram, err := memory.NewRAM(0x8000_0000, 1<<20)
	must(t, err)
	t.Cleanup(func() { must(t, ram.Close()) })
	return ram
}

// The window in configuration space reaches the registers before any BAR is placed (§4.1.4.9).
func TestPCIConfigurationAccess(t *testing.T) {
	var lines [4]device.Line
	for i := range lines {
		lines[i] = device.LineFunc(func(bool) {})
	}
	host := pci.NewHost(lines)
	must(t, host.Add(1, virtio.NewPCI(newRAM(t), &echo{}, nil)))
	ecam := host.ECAM()
	const fn = 1 << 15
	capAt := uint64(0)
	for at := ecam.Load(fn+0x34, 1); at != 0; at = ecam.Load(fn+at+1, 1) {
		if ecam.Load(fn+at, 1) == 9 && ecam.Load(fn+at+3, 1) == 5 {
			capAt = fn + at
		}
	}
	if capAt == 0 {
		t.Fatal("no such capability")
	}
	access := func(bar, off, n uint64) {
		ecam.Store(capAt+4, 1, bar)
		ecam.Store(capAt+8, 4, off)
		ecam.Store(capAt+12, 4, n)
	}
	access(4, 0x14, 1) // device_status
	ecam.Store(capAt+16, 1, 1)
	ecam.Store(capAt+16, 1, 3)
	if v := ecam.Load(capAt+16, 1); v != 3 {
		t.Errorf("device_status %#x", v)
	}
	access(4, 0x12, 2) // num_queues
	if v := ecam.Load(capAt+16, 4) & 0xFFFF; v != 1 {
		t.Errorf("num_queues %d", v)
	}
	for _, bad := range [][3]uint64{{0, 0x14, 1}, {4, 0x14, 3}, {4, 0x14, 0}, {4, 0x15, 2}, {4, 0x4000, 4}, {4, 0xFFFFFFFF, 4}, {4, 0x14, 8}, {4, 0, 0xFFFFFFFF}} {
		access(bad[0], bad[1], bad[2])
		ecam.Store(capAt+16, 4, 0)
		ecam.Load(capAt+16, 4)
	}
	access(4, 0x14, 1)
	if v := ecam.Load(capAt+16, 1); v != 3 {
		t.Errorf("device_status %#x after accesses that are not allowed", v)
	}
}

// No access, of whatever size and place, panics.
func TestAnyRegisterAccess(t *testing.T) {
	dev := &echo{sizes: []uint16{8, 8}}
	ram := newRAM(t)
	m := virtio.NewMMIO(ram, dev, device.LineFunc(func(bool) {}), nil)
	p := virtio.NewPCI(ram, dev, nil)
	p.Connect(device.LineFunc(func(bool) {}))
	for _, v := range []uint64{0, 1, 8, 0xF, 0x8000_0000, ^uint64(0)} {
		for _, size := range []int{1, 2, 4, 8} {
			for off := uint64(0); off+uint64(size) <= 0x1000; off++ {
				m.Store(off, size, v)
				m.Load(off, size)
			}
			for off := uint64(0); off+uint64(size) <= 0x4000; off++ {
				p.Store(4, off, size, v)
				p.Load(4, off, size)
			}
		}
	}
}
