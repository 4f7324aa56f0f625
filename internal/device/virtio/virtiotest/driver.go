// Package virtiotest is the driver's side of virtio, for tests: it negotiates with a device over either transport, builds split
// and packed rings in guest RAM, offers buffers and collects them again.
//
//	d := virtiotest.New(t, dev, virtiotest.PCI)
//	d.Start(virtio.FeatureVersion1 | virtio.FeatureRingPacked)
//	n := d.Queue(0).Do(d.Out(request), d.In(512)) // bytes the device wrote
//
// It keeps the rules of virtio 1.3; a test that wants to break them writes to the rings itself, at the addresses a [Queue] shows.
// A Driver and its queues are for one goroutine; the device may answer from any.
package virtiotest

import (
	"slices"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// Where the model's RAM is, and how large.
const (
	RAMBase = memory.GPA(0x8000_0000)
	RAMSize = 16 << 20
)

// Driver drives one device.
type Driver struct {
	Transport
	RAM  *memory.RAM
	Line *Line // the device's interrupt

	t        testing.TB
	next     memory.GPA // first unused byte of RAM
	features uint64
	queues   []*Queue
	config   int // configuration change interrupts seen and not yet waited for
}

// New puts a device behind a transport, with its own guest RAM.
func New(t testing.TB, dev virtio.Device, kind Kind) *Driver {
	t.Helper()
	return NewOf(t, func(*memory.RAM) virtio.Device { return dev }, kind)
}

// NewOf is New for a device that is made of RAM.
func NewOf(t testing.TB, make func(*memory.RAM) virtio.Device, kind Kind) *Driver {
	t.Helper()
	ram, err := memory.NewRAM(RAMBase, RAMSize)
	if err != nil {
		t.Fatal(err)
	}
	d := &Driver{RAM: ram, Line: newLine(), t: t, next: RAMBase}
	d.Transport = attach(t, ram, make(ram), d.Line, kind)
	t.Cleanup(func() {
		d.SetStatus(0) // the device must not outlive the memory
		if err := ram.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Each runs a test with every transport and ring format. The function gets the features to pass to [Driver.Start].
func Each(t *testing.T, f func(t *testing.T, kind Kind, ring uint64)) {
	for _, k := range []struct {
		name string
		kind Kind
	}{{"mmio", MMIO}, {"pci", PCI}} {
		for _, r := range []struct {
			name     string
			features uint64
		}{
			{"split", 0},
			{"split-event", virtio.FeatureEventIdx},
			{"split-event-indirect", virtio.FeatureEventIdx | virtio.FeatureIndirectDesc},
			{"packed", virtio.FeatureRingPacked},
			{"packed-event", virtio.FeatureRingPacked | virtio.FeatureEventIdx},
			{"packed-event-indirect", virtio.FeatureRingPacked | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc},
		} {
			t.Run(k.name+"/"+r.name, func(t *testing.T) { f(t, k.kind, virtio.FeatureVersion1|r.features) })
		}
	}
}

// Negotiate accepts features and goes as far as FEATURES_OK (§3.1.1).
func (d *Driver) Negotiate(features uint64) {
	d.t.Helper()
	d.SetStatus(0)
	if s := d.Status(); s != 0 {
		d.t.Fatalf("status is %#x after a reset", s)
	}
	d.SetStatus(virtio.StatusAcknowledge)
	d.SetStatus(virtio.StatusAcknowledge | virtio.StatusDriver)
	d.Accept(features)
	d.SetStatus(d.Status() | virtio.StatusFeaturesOK)
	if d.Status()&virtio.StatusFeaturesOK == 0 {
		d.t.Fatalf("the device refused features %#x of %#x", features, d.Features())
	}
	d.features, d.queues = features, nil
}

// Start negotiates, sets up every queue with at most 64 entries, and goes live. With FeatureIndirectDesc, requests of more than
// one buffer use an indirect table.
func (d *Driver) Start(features uint64) {
	d.t.Helper()
	d.Negotiate(features)
	for n := 0; d.QueueMax(n) != 0; n++ {
		d.AddQueue(n, min(d.QueueMax(n), 64))
	}
	d.SetStatus(d.Status() | virtio.StatusDriverOK)
}

// AddQueue sets up the next queue, number n. Between [Driver.Negotiate] and DRIVER_OK.
func (d *Driver) AddQueue(n int, size uint16) *Queue {
	q := newQueue(d, n, size)
	d.SetQueue(n, size, q.Desc, q.Driver, q.Device)
	d.queues = append(d.queues, q)
	return q
}

// Queue is virtqueue n.
func (d *Driver) Queue(n int) *Queue { return d.queues[n] }

// Alloc takes n bytes of guest RAM for good.
func (d *Driver) Alloc(n, align uint64) memory.GPA {
	d.t.Helper()
	a := memory.GPA((uint64(d.next) + align - 1) &^ (align - 1))
	if !d.RAM.Contains(a, n) {
		d.t.Fatal("virtiotest: out of guest RAM")
	}
	d.next = a + memory.GPA(n)
	return a
}

// Buf is one buffer of a request.
type Buf struct {
	Addr  memory.GPA
	Len   uint32
	Write bool // for the device to write
}

// Out is a buffer with data for the device.
func (d *Driver) Out(p []byte) Buf {
	d.t.Helper()
	a := d.Alloc(uint64(len(p)), 8)
	if err := d.RAM.Write(a, p); err != nil {
		d.t.Fatal(err)
	}
	return Buf{a, uint32(len(p)), false}
}

// In is a buffer of n bytes for the device to fill.
func (d *Driver) In(n int) Buf {
	d.t.Helper()
	return Buf{d.Alloc(uint64(n), 8), uint32(n), true}
}

// Bytes is a copy of what a buffer holds.
func (d *Driver) Bytes(b Buf) []byte {
	d.t.Helper()
	p, err := d.RAM.Slice(b.Addr, uint64(b.Len))
	if err != nil {
		d.t.Fatal(err)
	}
	return slices.Clone(p)
}

// acknowledge takes the pending interrupts.
func (d *Driver) acknowledge() {
	if d.Interrupts()&2 != 0 {
		d.config++
	}
}

// WaitConfig blocks until there was a configuration change interrupt since the last call.
func (d *Driver) WaitConfig() {
	for d.config == 0 {
		d.Line.Wait()
		d.acknowledge()
	}
	d.config = 0
}

// Line is an interrupt wire that a test can wait for.
type Line struct {
	mu    sync.Mutex
	cond  sync.Cond
	level bool
}

func newLine() *Line {
	l := new(Line)
	l.cond.L = &l.mu
	return l
}

// Set implements device.Line.
func (l *Line) Set(level bool) {
	l.mu.Lock()
	l.level = level
	l.mu.Unlock()
	l.cond.Broadcast()
}

// Level is the present level.
func (l *Line) Level() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.level
}

// Wait blocks until the line is high.
func (l *Line) Wait() {
	l.mu.Lock()
	for !l.level {
		l.cond.Wait()
	}
	l.mu.Unlock()
}
