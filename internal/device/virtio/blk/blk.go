// Package blk is the virtio block device (virtio 1.3 §5.2): the requests of a guest, checked and carried to a
// [storage.Image].
//
// Guest memory goes straight to the image's reads and writes; nothing is copied and, once running, nothing allocated.
//
//	request.go  a chain taken apart; check.go: whether it may be carried out
//	job.go      neighbours become one read or write
//	server.go   a queue served, by the hart that notifies: what waits for nothing is done at once
//	worker.go   a few goroutines from DRIVER_OK to reset, for what may take time; backlog.go: what waits for them
//	flights.go  what the host does while nobody waits for it, where the image has that
//	limit.go    bytes and requests a second; pacer.go: what waits for that
//
// Requests run side by side and are completed as they finish: the text promises no order (§5.2.6). A flush makes durable every write completed before it
// was offered, because it reaches the image after they did.
package blk

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/storage"
)

// Sector is a position or length on the disk in units of 512 bytes, whatever the size of a logical block (§5.2.4).
type Sector uint64

const (
	sectorShift = 9
	sectorSize  = 1 << sectorShift
)

func (s Sector) bytes() int64 { return int64(s) << sectorShift }

// Feature bits (§5.2.3).
const (
	FeatureSegMax      = uint64(1) << 2  // seg_max is valid
	FeatureRO          = uint64(1) << 5  // the disk is read-only
	FeatureBlkSize     = uint64(1) << 6  // blk_size is valid
	FeatureFlush       = uint64(1) << 9  // writes may be cached until flushed
	FeatureTopology    = uint64(1) << 10 // the topology fields are valid
	FeatureMQ          = uint64(1) << 12 // num_queues is valid
	FeatureDiscard     = uint64(1) << 13
	FeatureWriteZeroes = uint64(1) << 14
)

// Limits that the configuration space tells the driver.
const (
	queueSize = 256
	maxQueues = 64
	segMax    = queueSize - 2 // data buffers in one request: the header and the status take one each

	physicalBlock = 4096 // bytes; what the host's page cache and file systems work in

	maxDiscardSegments     = 16              // ranges in one request
	maxDiscardSectors      = Sector(1) << 22 // in one range: 2 GiB
	maxWriteZeroesSegments = 1
	maxWriteZeroesSectors  = Sector(1) << 17 // 64 MiB: a host without the means has to write them out
)

// Layout of the configuration space (§5.2.4).
const (
	cfgCapacity          = 0
	cfgSegMax            = 12
	cfgBlkSize           = 20
	cfgPhysicalBlockExp  = 24
	cfgMinIOSize         = 26 // in logical blocks
	cfgNumQueues         = 34
	cfgMaxDiscard        = 36
	cfgMaxDiscardSeg     = 40
	cfgDiscardAlignment  = 44 // in sectors
	cfgMaxWriteZeroes    = 48
	cfgMaxWriteZeroesSeg = 52
	cfgWriteZeroesUnmap  = 56
	cfgSize              = 60
)

// idSize is the length in bytes of the identity a driver can ask for (§5.2.6).
const idSize = 20

// Options are what a device has besides its image.
type Options struct {
	Sector int          // logical block in bytes: 512 (the default) or 4096
	Queues int          // 1 (the default) to 64; a driver uses one a hart
	Limits Limits       // at first; see SetLimits
	ID     string       // at most 20 bytes reach the guest, which shows it as the serial number
	Log    *slog.Logger // where the host's I/O errors go; nil discards
}

// Device is one disk. It implements [virtio.Device].
type Device struct {
	img      storage.Image
	block    int64 // logical block, bytes
	capacity Sector
	queues   int
	offered  uint64
	config   [cfgSize]byte
	id       [idSize]byte
	log      *slog.Logger
	failed   atomic.Bool // an I/O error was logged
	limiter  limiter

	live atomic.Pointer[session] // between Activate and Reset, which the transport calls one at a time
}

// New makes a disk of an image, whose size must be a multiple of the logical block. The image stays the caller's: close
// it after Reset, when no request is in flight.
func New(img storage.Image, o Options) (*Device, error) {
	if o.Sector == 0 {
		o.Sector = sectorSize
	}
	if o.Sector != 512 && o.Sector != 4096 {
		return nil, fmt.Errorf("virtio disk: a logical block of %d bytes is not supported: use 512 or 4096", o.Sector)
	}
	if img.Size()%int64(o.Sector) != 0 {
		return nil, fmt.Errorf("virtio disk: an image of %d bytes is not a multiple of the %d-byte logical block", img.Size(), o.Sector)
	}
	if o.Queues == 0 {
		o.Queues = 1
	}
	if o.Queues < 1 || o.Queues > maxQueues {
		return nil, fmt.Errorf("virtio disk: %d queues: use 1 to %d", o.Queues, maxQueues)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{
		img: img, block: int64(o.Sector), capacity: Sector(img.Size() >> sectorShift), queues: o.Queues, log: o.Log,
		offered: FeatureSegMax | FeatureBlkSize | FeatureFlush | FeatureTopology,
		limiter: limiter{changed: make(chan struct{}, 1)},
	}
	if err := d.SetLimits(o.Limits); err != nil {
		return nil, err
	}
	copy(d.id[:], o.ID)
	le, c := binary.LittleEndian, d.config[:]
	le.PutUint64(c[cfgCapacity:], uint64(d.capacity))
	le.PutUint32(c[cfgSegMax:], segMax)
	le.PutUint32(c[cfgBlkSize:], uint32(o.Sector))
	for o.Sector<<c[cfgPhysicalBlockExp] < physicalBlock {
		c[cfgPhysicalBlockExp]++
	}
	le.PutUint16(c[cfgMinIOSize:], uint16(physicalBlock/o.Sector))
	if o.Queues > 1 {
		d.offered |= FeatureMQ
		le.PutUint16(c[cfgNumQueues:], uint16(o.Queues))
	}
	if img.ReadOnly() {
		d.offered |= FeatureRO
		return d, nil
	}
	d.offered |= FeatureDiscard | FeatureWriteZeroes
	le.PutUint32(c[cfgMaxDiscard:], uint32(maxDiscardSectors))
	le.PutUint32(c[cfgMaxDiscardSeg:], maxDiscardSegments)
	le.PutUint32(c[cfgDiscardAlignment:], physicalBlock/sectorSize)
	le.PutUint32(c[cfgMaxWriteZeroes:], uint32(maxWriteZeroesSectors))
	le.PutUint32(c[cfgMaxWriteZeroesSeg:], maxWriteZeroesSegments)
	c[cfgWriteZeroesUnmap] = 1
	return d, nil
}

// Type implements [virtio.Device].
func (d *Device) Type() uint32 { return virtio.TypeBlock }

// Features implements [virtio.Device].
func (d *Device) Features() uint64 { return d.offered }

// Queues implements [virtio.Device].
func (d *Device) Queues() []uint16 { return slices.Repeat([]uint16{queueSize}, d.queues) }

// ConfigLoad implements [virtio.Device].
func (d *Device) ConfigLoad(off uint64, p []byte) {
	clear(p)
	if off < cfgSize {
		copy(p, d.config[off:])
	}
}

// ConfigStore implements [virtio.Device]: every field is read-only.
func (d *Device) ConfigStore(uint64, []byte) {}

// Activate implements [virtio.Device].
func (d *Device) Activate(features uint64, queues []*virtio.Queue, t virtio.Transport) {
	if slices.ContainsFunc(queues, func(q *virtio.Queue) bool { return q != nil }) {
		d.live.Store(d.start(features, queues, t))
	}
}

// Notify implements [virtio.Device].
func (d *Device) Notify(n int) {
	if s := d.live.Load(); s != nil && s.servers[n] != nil {
		s.servers[n].notified()
	}
}

// Reset implements [virtio.Device]. It waits for the requests the host is working on; those not begun are dropped.
func (d *Device) Reset() {
	if s := d.live.Swap(nil); s != nil {
		s.end()
	}
}

// SetLimits replaces the limits, with full buckets, also for requests that wait already. It may be called at any time from any goroutine. The error says
// which limits there cannot be.
func (d *Device) SetLimits(l Limits) error {
	if err := l.Check(); err != nil {
		return err
	}
	d.limiter.set(l, time.Now())
	return nil
}

// statusOf is what the driver hears of an error. The host's first one is also told to the log; a guest can provoke any number.
func (d *Device) statusOf(err error) status {
	if err == nil {
		return statusOK
	}
	if r, ok := err.(refusal); ok {
		return status(r)
	}
	if !d.failed.Swap(true) {
		d.log.Warn("disk I/O failed; the guest is told, further errors are not shown", "error", err)
	}
	return statusIOErr
}
