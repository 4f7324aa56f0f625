package pci_test

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/memory"
)

// fake is a function that remembers what reached it.
type fake struct {
	header pci.Header
	line   device.Line
	stores []string
	resets int
}

func (f *fake) Header() pci.Header       { return f.header }
func (f *fake) Connect(line device.Line) { f.line = line }
func (f *fake) Reset()                   { f.resets++; f.line.Set(false) }

func (f *fake) Load(bar int, off uint64, size int) uint64 {
	return uint64(bar)<<32 | off
}

func (f *fake) Store(bar int, off uint64, size int, v uint64) {
	f.stores = append(f.stores, fmt.Sprintf("bar %d+%#x/%d=%#x", bar, off, size, v))
}

const (
	low  = memory.GPA(0x4000_0000)
	high = memory.GPA(0x4_0000_0000)
)

// machine is a host with one wire for each pin.
type machine struct {
	*testing.T
	host      *pci.Host
	ecam      device.Device
	low, high device.Device
	wires     [4]bool
	changes   int
}

func newMachine(t *testing.T) *machine {
	m := &machine{T: t}
	var lines [4]device.Line
	for i := range lines {
		lines[i] = device.LineFunc(func(level bool) { m.wires[i] = level; m.changes++ })
	}
	m.host = pci.NewHost(lines)
	m.ecam, m.low, m.high = m.host.ECAM(), m.host.Window(low), m.host.Window(high)
	return m
}

func (m *machine) add(slot int, f *fake) *fake {
	m.Helper()
	if err := m.host.Add(slot, f); err != nil {
		m.Fatal(err)
	}
	return f
}

func reg(slot, off int) uint64 { return uint64(slot<<15 | off) }

func (m *machine) cfg(slot, off, size int) uint64    { return m.ecam.Load(reg(slot, off), size) }
func (m *machine) set(slot, off, size int, v uint64) { m.ecam.Store(reg(slot, off), size, v) }
func (m *machine) want(what string, got, wanted uint64) {
	m.Helper()
	if got != wanted {
		m.Errorf("%s: %#x, want %#x", what, got, wanted)
	}
}

var sample = pci.Header{
	Vendor: 0x1234, Device: 0x5678, SubsystemVendor: 0x9ABC, SubsystemDevice: 0xDEF0,
	Class: 0x018002, Revision: 7, Pin: 1,
	BARs: [6]pci.BAR{
		0: {Size: 0x1000},
		2: {Size: 0x4000, Wide: true, Prefetchable: true},
		4: {Size: 0x2_0000_0000, Wide: true},
	},
	Capabilities: []pci.Capability{
		{ID: 9, Data: []byte{1, 2, 3}},
		{ID: 5, Data: []byte{0, 0, 0, 0, 0, 0}, Writable: []byte{0x01, 0, 0, 0, 0, 0xF0}},
	},
}

func TestHeader(t *testing.T) {
	m := newMachine(t)
	m.add(4, &fake{header: sample})
	for _, c := range []struct {
		off, size int
		want      uint64
	}{
		{0x00, 4, 0x56781234}, {0x00, 2, 0x1234}, {0x02, 2, 0x5678}, {0x03, 1, 0x56},
		{0x04, 2, 0}, {0x06, 2, 0x10}, {0x08, 4, 0x01800207}, {0x0E, 1, 0},
		{0x2C, 4, 0xDEF09ABC}, {0x34, 1, 0x40}, {0x3D, 1, 1}, {0x00, 8, 0x0010_0000_5678_1234},
		{0x40, 1, 9}, {0x41, 1, 0x48}, {0x42, 1, 1}, {0x44, 1, 3}, {0x48, 4, 0x0005}, {0x4C, 4, 0},
		{0x100, 4, 0}, {0xFFC, 4, 0}, // no extended capabilities
		{0x01, 2, 0xFFFF}, // misaligned
	} {
		m.want(fmt.Sprintf("register %#x/%d", c.off, c.size), m.cfg(4, c.off, c.size), c.want)
	}
	m.want("host bridge", m.cfg(0, 0, 4), 0x00081B36)
	m.want("host bridge class", m.cfg(0, 8, 4), 0x06000000)
	m.want("empty slot", m.cfg(5, 0, 4), 0xFFFFFFFF)
	m.want("empty slot, 8 bytes", m.cfg(5, 0, 8), ^uint64(0))
	m.want("function 1", m.ecam.Load(reg(4, 1<<12), 2), 0xFFFF)
	m.want("bus 1", m.ecam.Load(1<<20|reg(4, 0), 1), 0xFF)
	m.want("the last byte of the last bus", m.ecam.Load(pci.ECAMSize-1, 1), 0xFF)
}

func TestIOSpaceIsEmpty(t *testing.T) {
	io := pci.IO()
	io.Store(0x3F8, 1, 0)
	if v := io.Load(0x3F8, 1); v != 0xFF {
		t.Errorf("a byte reads %#x", v)
	}
	if v := io.Load(0, 4); v != 0xFFFF_FFFF {
		t.Errorf("a word reads %#x", v)
	}
}

func TestReadOnlyRegisters(t *testing.T) {
	m := newMachine(t)
	m.add(1, &fake{header: sample})
	before := map[int]uint64{}
	for off := 0; off < 0x100; off += 4 {
		before[off] = m.cfg(1, off, 4)
	}
	for off := 0; off < 0x100; off += 4 {
		m.set(1, off, 4, 0xFFFFFFFF)
	}
	writable := map[int]uint64{
		0x04: 0x0546, 0x0C: 0xFF, 0x3C: 0xFF, 0x48: 0x01 << 16, 0x4C: 0xF0 << 24,
		0x10: 0xFFFFF000, 0x18: 0xFFFFC000, 0x1C: 0xFFFFFFFF, 0x20: 0, 0x24: 0xFFFFFFFE,
	}
	for off := 0; off < 0x100; off += 4 {
		m.want(fmt.Sprintf("register %#x", off), m.cfg(1, off, 4), before[off]|writable[off])
	}
}

func TestBARSizing(t *testing.T) {
	m := newMachine(t)
	m.add(1, &fake{header: sample})
	for _, c := range []struct {
		bar  int
		want uint64
	}{
		{0, 0xFFFFF000}, {1, 0}, {2, 0xFFFFC00C}, {3, 0xFFFFFFFF}, {4, 4}, {5, 0xFFFFFFFE},
	} {
		m.set(1, 0x10+4*c.bar, 4, 0xFFFFFFFF)
		m.want(fmt.Sprintf("BAR %d", c.bar), m.cfg(1, 0x10+4*c.bar, 4), c.want)
	}
}

func TestBARsMove(t *testing.T) {
	m := newMachine(t)
	f := m.add(1, &fake{header: sample})
	m.set(1, 0x10, 4, uint64(low)+0x10_0000)
	m.set(1, 0x18, 4, 0x5000_0000)
	m.set(1, 0x1C, 4, 4)    // 0x4_5000_0000
	m.set(1, 0x24, 4, 1<<8) // the large one out of the way
	m.want("before memory is enabled", m.low.Load(0x10_0000, 4), 0xFFFFFFFF)
	m.set(1, 4, 2, 2)
	m.want("32-bit BAR", m.low.Load(0x10_0010, 4), 0x10)
	m.want("its last byte", m.low.Load(0x10_0FFF, 1), 0xFFF)
	m.want("across its end", m.low.Load(0x10_0FFE, 4), 0xFFFFFFFF)
	m.want("past its end", m.low.Load(0x10_1000, 2), 0xFFFF)
	m.want("before its start", m.low.Load(0x0F_FFFF, 1), 0xFF)
	m.want("64-bit BAR", m.high.Load(0x5000_0020, 8), 2<<32|0x20)
	m.high.Store(0x5000_0020, 2, 0xABCD)
	m.low.Store(0x9_0000, 4, 1) // nobody
	if len(f.stores) != 1 || f.stores[0] != "bar 2+0x20/2=0xabcd" {
		t.Errorf("stores %q", f.stores)
	}
	m.set(1, 0x1C, 4, 0) // into the low window
	m.want("64-bit BAR below 4 GiB", m.low.Load(0x1000_0020, 8), 2<<32|0x20)
	m.want("where it was", m.high.Load(0x5000_0020, 1), 0xFF)
	m.set(1, 0x11, 1, 0x20) // one byte of a BAR
	m.want("moved by a byte", m.low.Load(0x10_2004, 4), 4)
	m.set(1, 0x20, 4, 0)
	m.set(1, 0x24, 4, 0xFFFFFFFE) // the largest ends at the top of the address space
	m.want("at the top", m.host.Window(^memory.GPA(0)-0xFFF).Load(0xFF8, 8), 4<<32|0x1_FFFF_FFF8)
	m.set(1, 4, 2, 0)
	m.want("after memory is disabled", m.low.Load(0x10_2004, 4), 0xFFFFFFFF)
}

func TestOverlappingBARs(t *testing.T) {
	m := newMachine(t)
	m.add(2, &fake{header: pci.Header{BARs: [6]pci.BAR{1: {Size: 0x1000}}}, line: device.LineFunc(func(bool) {})})
	m.add(1, &fake{header: pci.Header{BARs: [6]pci.BAR{0: {Size: 0x1000}}}, line: device.LineFunc(func(bool) {})})
	for slot := range 3 {
		m.set(slot, 0x10, 4, uint64(low))
		m.set(slot, 0x14, 4, uint64(low))
		m.set(slot, 4, 2, 2)
	}
	m.want("the lower slot answers", m.low.Load(8, 8), 8)
}

func TestINTx(t *testing.T) {
	m := newMachine(t)
	withPin := func(pin uint8) pci.Header { h := sample; h.Pin = pin; return h }
	a := m.add(1, &fake{header: withPin(1)}) // wire 1
	b := m.add(5, &fake{header: withPin(1)}) // wire 1
	c := m.add(3, &fake{header: withPin(3)}) // wire 1
	d := m.add(4, &fake{header: withPin(4)}) // wire 3
	for i, x := range []struct{ slot, pin, wire int }{{1, 1, 1}, {5, 1, 1}, {3, 3, 1}, {4, 4, 3}, {0, 1, 0}, {31, 2, 0}} {
		if w := pci.Wire(x.slot, uint8(x.pin)); w != x.wire {
			t.Errorf("%d: slot %d pin %d is on wire %d", i, x.slot, x.pin, w)
		}
	}
	wires := func(what string, want ...bool) {
		t.Helper()
		if m.wires != [4]bool(want) {
			t.Errorf("%s: wires %v", what, m.wires)
		}
	}
	a.line.Set(true)
	a.line.Set(true)
	b.line.Set(true)
	c.line.Set(true)
	wires("three on one wire", false, true, false, false)
	d.line.Set(true)
	wires("and one on another", false, true, false, true)
	a.line.Set(false)
	c.line.Set(false)
	wires("one left", false, true, false, true)
	m.want("status of the one", m.cfg(5, 6, 2), 0x18)
	m.want("status of another", m.cfg(1, 6, 2), 0x10)
	m.want("with the command register", m.cfg(5, 4, 4), 0x180000)
	m.want("a byte of it", m.cfg(5, 6, 1), 0x18)
	m.set(5, 4, 2, 0x400)
	wires("disabled", false, false, false, true)
	m.want("status while disabled", m.cfg(5, 6, 2), 0x18)
	b.line.Set(false)
	b.line.Set(true)
	wires("still disabled", false, false, false, true)
	m.set(5, 5, 1, 0)
	wires("enabled again", false, true, false, true)
	m.changes = 0
	m.ecam.(device.Resetter).Reset()
	wires("after a reset", false, false, false, false)
	if m.changes != 2 || a.resets != 1 || d.resets != 1 {
		t.Errorf("%d changes, resets %d, %d", m.changes, a.resets, d.resets)
	}
}

func TestReset(t *testing.T) {
	m := newMachine(t)
	m.add(1, &fake{header: sample})
	m.set(1, 0x10, 4, uint64(low))
	m.set(1, 4, 2, 0x402)
	m.set(1, 0x4F, 1, 0xFF)
	m.ecam.(device.Resetter).Reset()
	m.want("command", m.cfg(1, 4, 2), 0)
	m.want("BAR", m.cfg(1, 0x10, 4), 0)
	m.want("capability", m.cfg(1, 0x4C, 4), 0)
	m.want("decoding", m.low.Load(0, 4), 0xFFFFFFFF)
}

// Hooks see the bytes they are for, whatever the width of the access.
func TestCapabilityHooks(t *testing.T) {
	m := newMachine(t)
	var seen []string
	h := sample
	h.Capabilities = []pci.Capability{{
		ID: 5, Data: []byte{0, 0, 1, 2, 3, 4}, Writable: []byte{0, 0, 0xFF, 0xFF, 0xFF, 0xFF},
		Load: func(d []byte, off, n int) {
			seen = append(seen, fmt.Sprintf("load %d+%d", off, n))
			d[5]++
		},
		Store: func(d []byte, off, n int) { seen = append(seen, fmt.Sprintf("store %d+%d of %v", off, n, d)) },
	}}
	m.add(1, &fake{header: h})
	m.want("first word", m.cfg(1, 0x40, 4), 0x0005)
	m.want("second word", m.cfg(1, 0x44, 4), 0x06030201)
	m.set(1, 0x46, 2, 0xBBAA)
	m.cfg(1, 0x40, 1) // the ID alone
	m.cfg(1, 0x48, 4) // past it
	want := "[load 0+2 load 2+4 store 4+2 of [0 0 1 2 170 187]]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("hooks saw %s, want %s", got, want)
	}
}

func TestAddRefuses(t *testing.T) {
	m := newMachine(t)
	m.add(1, &fake{header: sample})
	bars := func(b ...pci.BAR) (h pci.Header) { copy(h.BARs[:], b); return h }
	for _, c := range []struct {
		name   string
		slot   int
		header pci.Header
	}{
		{"the bridge's slot", 0, pci.Header{}},
		{"slot 32", 32, pci.Header{}},
		{"a slot that is taken", 1, pci.Header{}},
		{"pin 5", 2, pci.Header{Pin: 5}},
		{"a BAR of 8 bytes", 2, bars(pci.BAR{Size: 8})},
		{"a BAR of 24 bytes", 2, bars(pci.BAR{Size: 24})},
		{"a narrow BAR of 4 GiB", 2, bars(pci.BAR{Size: 1 << 32})},
		{"a wide BAR over another", 2, bars(pci.BAR{Size: 16, Wide: true}, pci.BAR{Size: 16})},
		{"a wide BAR at the end", 2, pci.Header{BARs: [6]pci.BAR{5: {Size: 16, Wide: true}}}},
		{"too many capabilities", 2, pci.Header{Capabilities: []pci.Capability{{Data: make([]byte, 100)}, {Data: make([]byte, 100)}}}},
		{"a mask of another length", 2, pci.Header{Capabilities: []pci.Capability{{Data: make([]byte, 4), Writable: make([]byte, 3)}}}},
	} {
		if err := m.host.Add(c.slot, &fake{header: c.header}); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	for slot := 2; slot < pci.Slots; slot++ {
		m.add(slot, &fake{header: sample})
	}
}

// FuzzECAM makes accesses of any kind: a byte of operation and size, four of offset, eight of value each.
func FuzzECAM(f *testing.F) {
	f.Add([]byte{0, 0x10, 0x80, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := newMachine(t)
		m.add(1, &fake{header: sample})
		for ; len(ops) >= 13; ops = ops[13:] {
			size := 1 << (ops[0] >> 1 & 3)
			var off, v uint64
			for i := range 4 {
				off |= uint64(ops[1+i]) << (8 * i)
			}
			for i := range 8 {
				v |= uint64(ops[5+i]) << (8 * i)
			}
			dev, span := m.ecam, uint64(pci.ECAMSize)
			if ops[0]&8 != 0 {
				dev, span = m.low, 1<<30
			}
			off %= span - 7
			if ops[0]&1 == 0 {
				dev.Store(off, size, v)
			} else if got := dev.Load(off, size); size < 8 && got>>(8*size) != 0 {
				// The fake answers with more than asked; the window passes it on.
				if ops[0]&8 == 0 {
					t.Fatalf("%d bytes at %#x: %#x", size, off, got)
				}
			}
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	var lines [4]device.Line
	for i := range lines {
		lines[i] = device.LineFunc(func(bool) {})
	}
	host := pci.NewHost(lines)
	ecam, window := host.ECAM(), host.Window(low)
	for slot := 1; slot <= 6; slot++ {
		if err := host.Add(slot, &fake{header: pci.Header{BARs: [6]pci.BAR{{Size: 0x1000}}}}); err != nil {
			b.Fatal(err)
		}
		ecam.Store(reg(slot, 0x10), 4, uint64(low)+uint64(slot)<<12)
		ecam.Store(reg(slot, 4), 2, 2)
	}
	b.ReportAllocs()
	for b.Loop() {
		window.Load(6<<12|8, 4)
	}
}
