package suite

// The driver's side of a virtio block device: as much as it takes to keep it busy (virtio 1.3 §2.7, §5.2.6).
//
// Offering a request is made as cheap as its ring allows (ring_format.go), so that what is measured is the device. An interrupt ends the wait for it, as it
// would a guest's.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/blk"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/storage"
)

// Where things are in the RAM of the driver.
const (
	descBase    = ramBase
	availBase   = ramBase + 0x1000
	usedBase    = ramBase + 0x2000
	headerBase  = ramBase + 0x3000
	statusBase  = ramBase + 0x4000
	bufferBase  = ramBase + 0x1_0000
	driverBytes = 4 << 20
)

// Types of requests.
const (
	blkIn  = 0
	blkOut = 1
)

// disk is a block device and its driver, for one goroutine, with some requests of one kind: request i is about the sectors from i times its size.
type disk struct {
	ram   *memory.RAM
	dev   transport
	irq   interrupt
	ring  ringFormat
	depth int // requests at a time
	size  int // bytes of a request
}

// traffic is what a disk is asked for, and how.
type traffic struct {
	kind        uint32 // type of the requests
	size, depth int    // bytes of a request, and how many there are at a time
	walks       bool   // one at a time, from the image's start to its end and again; otherwise always the same
	packed      bool   // in a packed ring
	pci         bool   // over PCI
}

func newDisk(img storage.Image, t traffic) (*disk, error) {
	dev, err := blk.New(img, blk.Options{Sector: min(t.size, 4096)})
	if err != nil {
		return nil, err
	}
	ram, err := memory.NewRAM(ramBase, driverBytes)
	if err != nil {
		return nil, err
	}
	d := &disk{ram: ram, irq: interrupt{wake: make(chan struct{}, 1)}, ring: &splitRing{ram: ram, depth: t.depth}, depth: t.depth, size: t.size}
	if t.packed {
		d.ring = &packedRing{ram: ram, depth: t.depth}
	}
	if d.dev, err = connect(ram, dev, device.LineFunc(d.irq.set), t.pci); err != nil {
		return nil, closeAll(err, ram.Close)
	}
	if err := d.requests(t.kind); err != nil {
		return nil, closeAll(err, ram.Close)
	}
	// Without flushes to ask for, each write would be one.
	if err := d.dev.start(virtio.FeatureVersion1|blk.FeatureFlush|d.ring.features(), d.ring.entries()); err != nil {
		return nil, closeAll(err, d.close)
	}
	return d, nil
}

// requests writes the headers and the ring.
func (d *disk) requests(kind uint32) error {
	le := binary.LittleEndian
	var header []byte
	var parts []part
	data := uint16(descNext)
	if kind == blkIn {
		data |= descWrite
	}
	for i := range d.depth {
		parts = append(parts, part{headerBase + memory.GPA(16*i), 16, descNext}, part{d.buffer(i), d.size, data}, part{statusBase + memory.GPA(i), 1, descWrite})
		header = le.AppendUint32(header, kind)
		header = le.AppendUint32(header, 0)
		header = le.AppendUint64(header, uint64(i*d.size/512))
	}
	return errors.Join(d.ram.Write(headerBase, header), d.ring.write(parts))
}

func (d *disk) buffer(i int) memory.GPA { return bufferBase + memory.GPA(i*d.size) }

// interrupt is a wire that somebody waits for, who does not sleep if it has been raised already.
type interrupt struct {
	raised, waits atomic.Bool
	wake          chan struct{} // capacity 1: it was raised while somebody waited
}

func (i *interrupt) set(level bool) {
	if !level {
		return
	}
	i.raised.Store(true)
	if i.waits.Load() {
		select {
		case i.wake <- struct{}{}:
		default:
		}
	}
}

// wait returns when it has been raised since the last time.
func (i *interrupt) wait(ctx context.Context) error {
	if i.raised.Swap(false) {
		return nil
	}
	i.waits.Store(true)
	defer i.waits.Store(false)
	for !i.raised.Swap(false) {
		select {
		case <-i.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// do makes all requests, and returns when the device has done them.
func (d *disk) do(ctx context.Context) error {
	if err := d.ring.offer(); err != nil {
		return err
	}
	d.dev.notify()
	for {
		if err := d.irq.wait(ctx); err != nil {
			return err
		}
		d.dev.acknowledge()
		if used, err := d.ring.used(); err != nil || used {
			return err
		}
	}
}

// seek has request i be about another place of the image, in bytes.
func (d *disk) seek(i int, off int64) error {
	return d.ram.Store64(headerBase+memory.GPA(16*i+8), uint64(off/512))
}

// forget makes it visible that a request has not been done.
func (d *disk) forget() error {
	for i := range d.depth {
		if err := d.ram.Store8(statusBase+memory.GPA(i), 0xff); err != nil {
			return err
		}
	}
	return nil
}

// done says that the device reported success of every request.
func (d *disk) done() error {
	for i := range d.depth {
		s, err := d.ram.Load8(statusBase + memory.GPA(i))
		if err != nil {
			return err
		}
		if s != 0 {
			return fmt.Errorf("the status of request %d is %d", i, s)
		}
	}
	return nil
}

// close ends the device, which must not outlive the memory. The image stays the caller's.
func (d *disk) close() error {
	d.dev.reset()
	return d.ram.Close()
}
