package virtio_test

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory"
)

// desc is a descriptor of either ring format.
type desc struct {
	addr  memory.GPA
	n     uint32
	flags uint16
	next  uint16 // split
	id    uint16 // packed
}

const (
	next     = 1
	write    = 2
	indirect = 4
	avail    = 1 << 7
	used     = 1 << 15

	ringSize = 8
	good     = virtiotest.RAMBase + 0x10_0000 // a buffer
	table    = virtiotest.RAMBase + 0x20_0000 // an indirect table
	ramEnd   = virtiotest.RAMBase + virtiotest.RAMSize
)

func (e desc) put(t *testing.T, ram *memory.RAM, base memory.GPA, i int, last uint32) {
	t.Helper()
	a := base + memory.GPA(i*16)
	must(t, ram.Store64(a, uint64(e.addr)))
	must(t, ram.Store32(a+8, e.n))
	must(t, ram.Store32(a+12, last))
}

func (e desc) putSplit(t *testing.T, ram *memory.RAM, base memory.GPA, i int) {
	t.Helper()
	e.put(t, ram, base, i, uint32(e.flags)|uint32(e.next)<<16)
}

func (e desc) putPacked(t *testing.T, ram *memory.RAM, base memory.GPA, i int) {
	t.Helper()
	e.put(t, ram, base, i, uint32(e.id)|uint32(e.flags)<<16)
}

// broken checks that the device asks for a reset, takes nothing more, and works again after the reset.
func broken(t *testing.T, dev *echo, d *virtiotest.Driver, features uint64) {
	t.Helper()
	if d.Status()&virtio.StatusNeedsReset == 0 {
		t.Errorf("status %#x: NEEDS_RESET is clear", d.Status())
	}
	if isr := d.Interrupts(); isr&2 == 0 {
		t.Errorf("interrupt status %#x: no configuration change", isr)
	}
	if _, _, ok := d.Queue(0).Used(); ok {
		t.Error("a used buffer from a broken ring")
	}
	d.Notify(0)
	if c, ok := dev.queues[0].Next(); ok {
		t.Errorf("a chain from a broken queue: %v", c)
	}
	stale := dev.queues[0]
	d.Start(features)
	in := d.In(4)
	if n := d.Queue(0).Do(d.Out([]byte("ping")), in); n != 4 || string(d.Bytes(in)) != "ping" {
		t.Errorf("after the reset: %d bytes, %q", n, d.Bytes(in))
	}
	stale.Done(new(virtio.Chain), 0) // a late completion reaches no ring
	if _, _, ok := d.Queue(0).Used(); ok {
		t.Error("a completion from before the reset reached the ring")
	}
}

func TestHostileSplitRings(t *testing.T) {
	for _, c := range []struct {
		name     string
		ring     []desc
		indirect []desc
		avail    []uint16 // heads; default 0
		idx      uint16   // avail.idx; default the number of heads
		off      uint64   // features taken away
	}{
		{name: "loop of one", ring: []desc{{addr: good, n: 8, flags: next}}},
		{name: "loop of two", ring: []desc{{addr: good, n: 8, flags: next, next: 1}, {addr: good, n: 8, flags: next}}},
		{name: "next outside", ring: []desc{{addr: good, n: 8, flags: next, next: ringSize}}},
		{name: "next far outside", ring: []desc{{addr: good, n: 8, flags: next, next: 0xFFFF}}},
		{name: "head outside", ring: []desc{{addr: good, n: 8}}, avail: []uint16{ringSize}},
		{name: "zero length", ring: []desc{{addr: good}}},
		{name: "past the end", ring: []desc{{addr: ramEnd - 4, n: 8}}},
		{name: "before the start", ring: []desc{{addr: virtiotest.RAMBase - 1, n: 8}}},
		{name: "address wraps", ring: []desc{{addr: ^memory.GPA(0) - 3, n: 8}}},
		{name: "length of all ones", ring: []desc{{addr: good, n: ^uint32(0)}}},
		{name: "nowhere", ring: []desc{{addr: 0, n: 8, flags: write}}},
		{name: "readable after writable", ring: []desc{{addr: good, n: 8, flags: write | next, next: 1}, {addr: good, n: 8}}},
		{name: "indirect not negotiated", ring: []desc{{addr: table, n: 16, flags: indirect}}, indirect: []desc{{addr: good, n: 8}}, off: virtio.FeatureIndirectDesc},
		{name: "indirect with next", ring: []desc{{addr: table, n: 16, flags: indirect | next, next: 1}, {addr: good, n: 8}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "indirect in indirect", ring: []desc{{addr: table, n: 16, flags: indirect}}, indirect: []desc{{addr: table, n: 16, flags: indirect}}},
		{name: "indirect of no size", ring: []desc{{addr: table, n: 0, flags: indirect}}},
		{name: "indirect of odd size", ring: []desc{{addr: table, n: 24, flags: indirect}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "indirect of vast size", ring: []desc{{addr: table, n: 1 << 20, flags: indirect}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "indirect outside memory", ring: []desc{{addr: ramEnd, n: 16, flags: indirect}}},
		{name: "indirect loop", ring: []desc{{addr: table, n: 32, flags: indirect}}, indirect: []desc{{addr: good, n: 8, flags: next, next: 1}, {addr: good, n: 8, flags: next}}},
		{name: "indirect next outside", ring: []desc{{addr: table, n: 16, flags: indirect}}, indirect: []desc{{addr: good, n: 8, flags: next, next: 1}}},
		{name: "indirect out of order", ring: []desc{{addr: good, n: 8, flags: write | next, next: 1}, {addr: table, n: 16, flags: indirect}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "avail jumps", ring: []desc{{addr: good, n: 8}}, idx: ringSize + 1},
		{name: "avail jumps back", ring: []desc{{addr: good, n: 8}}, idx: 0xFFFF},
		{name: "one chain twice as often as fits", ring: []desc{{addr: good, n: 8}}, avail: make([]uint16, ringSize), idx: 2 * ringSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			features := (virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx) &^ c.off
			dev := &echo{sizes: []uint16{ringSize}}
			d := virtiotest.New(t, dev, virtiotest.MMIO)
			d.Start(features)
			q := d.Queue(0)
			for i, e := range c.ring {
				e.putSplit(t, d.RAM, q.Desc, i)
			}
			for i, e := range c.indirect {
				e.putSplit(t, d.RAM, table, i)
			}
			heads := c.avail
			if heads == nil {
				heads = []uint16{0}
			}
			for i, h := range heads {
				must(t, d.RAM.Store16(q.Driver+4+memory.GPA(2*i), h))
			}
			idx := c.idx
			if idx == 0 {
				idx = uint16(len(heads))
			}
			must(t, d.RAM.Store16(q.Driver+2, idx))
			d.Notify(0)
			broken(t, dev, d, features)
		})
	}
}

func TestHostilePackedRings(t *testing.T) {
	loop := make([]desc, ringSize) // every slot says there is more
	for i := range loop {
		loop[i] = desc{addr: good, n: 8, flags: next | avail}
	}
	for _, c := range []struct {
		name     string
		ring     []desc
		indirect []desc
		off      uint64
	}{
		{name: "a chain round the ring", ring: loop},
		{name: "zero length", ring: []desc{{addr: good, flags: avail}}},
		{name: "past the end", ring: []desc{{addr: ramEnd - 4, n: 8, flags: avail}}},
		{name: "address wraps", ring: []desc{{addr: ^memory.GPA(0) - 3, n: 8, flags: avail}}},
		{name: "length of all ones", ring: []desc{{addr: good, n: ^uint32(0), flags: avail}}},
		{name: "readable after writable", ring: []desc{{addr: good, n: 8, flags: write | next | avail}, {addr: good, n: 8, flags: avail}}},
		{name: "indirect not negotiated", ring: []desc{{addr: table, n: 16, flags: indirect | avail}}, indirect: []desc{{addr: good, n: 8}}, off: virtio.FeatureIndirectDesc},
		{name: "indirect with next", ring: []desc{{addr: table, n: 16, flags: indirect | next | avail}, {addr: good, n: 8, flags: avail}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "indirect in indirect", ring: []desc{{addr: table, n: 16, flags: indirect | avail}}, indirect: []desc{{addr: table, n: 16, flags: indirect}}},
		{name: "indirect of no size", ring: []desc{{addr: table, n: 0, flags: indirect | avail}}},
		{name: "indirect of odd size", ring: []desc{{addr: table, n: 17, flags: indirect | avail}}, indirect: []desc{{addr: good, n: 8}}},
		{name: "indirect outside memory", ring: []desc{{addr: ramEnd - 16, n: 32, flags: indirect | avail}}},
		{name: "indirect out of order", ring: []desc{{addr: table, n: 32, flags: indirect | avail}}, indirect: []desc{{addr: good, n: 8, flags: write}, {addr: good, n: 8}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			features := (virtio.FeatureVersion1 | virtio.FeatureRingPacked | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx) &^ c.off
			dev := &echo{sizes: []uint16{ringSize}}
			d := virtiotest.New(t, dev, virtiotest.PCI)
			d.Start(features)
			for i, e := range c.ring {
				e.putPacked(t, d.RAM, d.Queue(0).Desc, i)
			}
			for i, e := range c.indirect {
				e.putPacked(t, d.RAM, table, i)
			}
			d.Notify(0)
			broken(t, dev, d, features)
		})
	}
}

// A driver that makes slots of a packed ring available again before the device has used them.
func TestHostilePackedRingOfferedTwice(t *testing.T) {
	features := virtio.FeatureVersion1 | virtio.FeatureRingPacked
	dev := &echo{sizes: []uint16{ringSize}, hold: true}
	d := virtiotest.New(t, dev, virtiotest.MMIO)
	d.Start(features)
	for _, flags := range []uint16{avail, used} { // the second turn of the ring has the bits inverted
		for i := range ringSize {
			desc{addr: good, n: 8, flags: flags}.putPacked(t, d.RAM, d.Queue(0).Desc, i)
		}
		d.Notify(0)
	}
	if len(dev.held) != ringSize {
		t.Errorf("the device took %d chains", len(dev.held))
	}
	dev.hold = false
	broken(t, dev, d, features)
}

// A guest that rewrites its rings while the device reads them: every chain is still sound, and the device ends in one of two
// states, at work or in need of a reset.
func TestHostileRingsChangeUnderTheReader(t *testing.T) {
	for _, packed := range []uint64{0, virtio.FeatureRingPacked} {
		features := virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx | packed
		dev := &echo{sizes: []uint16{ringSize}, hold: true}
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(features)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			// Values that a ring is likely to take for good ones, over the rings of every round and one indirect table.
			rng := rand.New(rand.NewPCG(1, packed))
			words := []uint32{0, 1, 8, 16, 32, uint32(good), uint32(table), uint32(ramEnd - 8), next, next | write, indirect,
				avail << 16, (avail | next) << 16, (avail | indirect) << 16, used << 16, 0x00010001, 0xFFFFFFFF}
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := virtiotest.RAMBase + memory.GPA(rng.IntN(1024)*4)
				if rng.IntN(4) == 0 {
					a = table + memory.GPA(rng.IntN(16)*4)
				}
				if err := d.RAM.Store32(a, words[rng.IntN(len(words))]); err != nil {
					t.Error(err)
				}
			}
		}()
		for resets := 0; resets < 300; {
			runtime.Gosched()
			d.Notify(0)
			if len(dev.held) > ringSize {
				t.Fatalf("%d chains in flight", len(dev.held))
			}
			for _, c := range dev.held {
				checkChain(t, c)
				dev.queues[0].Done(c, 1)
			}
			dev.held = dev.held[:0]
			if d.Status()&virtio.StatusNeedsReset != 0 {
				resets++
				d.Negotiate(features)
				d.SetQueue(0, ringSize, virtiotest.RAMBase, virtiotest.RAMBase+0x100, virtiotest.RAMBase+0x200)
				d.SetStatus(d.Status() | virtio.StatusDriverOK)
			}
		}
		close(stop)
		<-stopped
	}
}

// Chains of more than 2^32 bytes are forbidden (§2.7.5.2): they would wrap the length a device reports.
func TestHostileTotalLength(t *testing.T) {
	d := virtiotest.New(t, &echo{}, virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | virtio.FeatureIndirectDesc)
	q := d.Queue(0)
	const n = (1 << 32 / virtiotest.RAMSize) + 1
	for i := range n {
		e := desc{addr: virtiotest.RAMBase, n: virtiotest.RAMSize, flags: next, next: uint16(i + 1)}
		if i == n-1 {
			e.flags = 0
		}
		e.putSplit(t, d.RAM, table, i)
	}
	desc{addr: table, n: n * 16, flags: indirect}.putSplit(t, d.RAM, q.Desc, 0)
	must(t, d.RAM.Store16(q.Driver+2, 1))
	d.Notify(0)
	if d.Status()&virtio.StatusNeedsReset == 0 {
		t.Error("not refused")
	}
}

func TestHostileQueuePlacement(t *testing.T) {
	const base = virtiotest.RAMBase
	for _, c := range []struct {
		name   string
		packed bool
		size   uint16
		areas  [3]memory.GPA
	}{
		{"size zero", false, 0, [3]memory.GPA{base, base + 0x1000, base + 0x2000}},
		{"size not a power of two", false, 7, [3]memory.GPA{base, base + 0x1000, base + 0x2000}},
		{"size over the maximum", false, 512, [3]memory.GPA{base, base + 0x4000, base + 0x8000}},
		{"table misaligned", false, 8, [3]memory.GPA{base + 8, base + 0x1000, base + 0x2000}},
		{"available misaligned", false, 8, [3]memory.GPA{base, base + 0x1001, base + 0x2000}},
		{"used misaligned", false, 8, [3]memory.GPA{base, base + 0x1000, base + 0x2002}},
		{"table outside", false, 8, [3]memory.GPA{0, base + 0x1000, base + 0x2000}},
		{"table past the end", false, 8, [3]memory.GPA{ramEnd - 64, base + 0x1000, base + 0x2000}},
		{"available past the end", false, 8, [3]memory.GPA{base, ramEnd - 16, base + 0x2000}},
		{"used past the end", false, 8, [3]memory.GPA{base, base + 0x1000, ramEnd - 64}},
		{"used at the top", false, 8, [3]memory.GPA{base, base + 0x1000, ^memory.GPA(0) - 63}},
		{"packed, size zero", true, 0, [3]memory.GPA{base, base + 0x1000, base + 0x2000}},
		{"packed, ring misaligned", true, 8, [3]memory.GPA{base + 4, base + 0x1000, base + 0x2000}},
		{"packed, ring past the end", true, 8, [3]memory.GPA{ramEnd - 64, base + 0x1000, base + 0x2000}},
		{"packed, driver event misaligned", true, 8, [3]memory.GPA{base, base + 0x1002, base + 0x2000}},
		{"packed, device event outside", true, 8, [3]memory.GPA{base, base + 0x1000, ramEnd}},
	} {
		t.Run(c.name, func(t *testing.T) {
			features := virtio.FeatureVersion1
			if c.packed {
				features |= virtio.FeatureRingPacked
			}
			for _, kind := range []virtiotest.Kind{virtiotest.MMIO, virtiotest.PCI} {
				dev := &echo{}
				d := virtiotest.New(t, dev, kind)
				d.Negotiate(features)
				d.SetQueue(0, c.size, c.areas[0], c.areas[1], c.areas[2])
				d.SetStatus(d.Status() | virtio.StatusDriverOK)
				if d.Status()&virtio.StatusNeedsReset == 0 {
					t.Error("not refused")
				}
				d.Notify(0)
				if dev.activated != 0 || dev.notified != 0 {
					t.Error("the device was activated")
				}
			}
		})
	}
}

// Legal, if odd: direct descriptors before an indirect one (§2.7.5.3.2), an indirect table at an odd address, a table larger than
// the queue, a packed ring that is no power of two.
func TestUnusualButLegal(t *testing.T) {
	t.Run("direct then indirect", func(t *testing.T) {
		for _, packed := range []bool{false, true} {
			features := virtio.FeatureVersion1 | virtio.FeatureIndirectDesc
			if packed {
				features |= virtio.FeatureRingPacked
			}
			dev := &echo{sizes: []uint16{ringSize}, hold: true}
			d := virtiotest.New(t, dev, virtiotest.MMIO)
			d.Start(features)
			q := d.Queue(0)
			const tableSize = 4 * ringSize
			if packed {
				desc{addr: good, n: 8, flags: next | avail}.putPacked(t, d.RAM, q.Desc, 0)
				desc{addr: table + 1, n: tableSize * 16, flags: indirect | avail, id: 5}.putPacked(t, d.RAM, q.Desc, 1)
				for i := range tableSize {
					desc{addr: good, n: 8, flags: write}.putPacked(t, d.RAM, table+1, i)
				}
			} else {
				desc{addr: good, n: 8, flags: next, next: 3}.putSplit(t, d.RAM, q.Desc, 0)
				desc{addr: table + 1, n: tableSize * 16, flags: indirect | write}.putSplit(t, d.RAM, q.Desc, 3)
				for i := range tableSize {
					e := desc{addr: good, n: 8, flags: write | next, next: uint16(i + 1)}
					if i == tableSize-1 {
						e.flags = write
					}
					e.putSplit(t, d.RAM, table+1, i)
				}
				must(t, d.RAM.Store16(q.Driver+2, 1))
			}
			d.Notify(0)
			if len(dev.held) != 1 || len(dev.held[0].Readable) != 1 || len(dev.held[0].Writable) != tableSize {
				t.Fatalf("packed %v: status %#x, chains %v", packed, d.Status(), dev.held)
			}
		}
	})
	t.Run("packed ring of 5", func(t *testing.T) {
		d := virtiotest.New(t, &echo{}, virtiotest.PCI)
		features := virtio.FeatureVersion1 | virtio.FeatureRingPacked | virtio.FeatureEventIdx
		d.Negotiate(features)
		q := d.AddQueue(0, 5)
		d.SetStatus(d.Status() | virtio.StatusDriverOK)
		for range 20 {
			if n := q.Do(d.Out([]byte("abc")), d.In(1), d.In(8)); n != 3 {
				t.Fatalf("%d bytes", n)
			}
		}
	})
}
