// Package blk is the virtio block device (virtio 1.3 §5.2): the requests of a guest, checked and carried to a
// [storage.Image].
//
// Guest memory goes straight to the image's reads and writes; nothing is copied and, once running, nothing allocated.
// Requests run on a few goroutines that live from DRIVER_OK to reset (worker.go), side by side and completed as they
// finish: the text promises no order (§5.2.6). A flush makes durable every write completed before it was offered, because it
// reaches the image after they did.
package blk

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"

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
	FeatureDiscard     = uint64(1) << 13
	FeatureWriteZeroes = uint64(1) << 14
)

// Limits that the configuration space tells the driver.
const (
	queueSize = 256
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
	ID     string       // at most 20 bytes reach the guest, which shows it as the serial number
	Log    *slog.Logger // where the host's I/O errors go; nil discards
}

// Device is one disk. It implements [virtio.Device].
type Device struct {
	img      storage.Image
	block    int64 // logical block, bytes
	capacity Sector
	offered  uint64
	config   [cfgSize]byte
	id       [idSize]byte
	log      *slog.Logger
	failed   atomic.Bool // an I/O error was logged

	live *session // between Activate and Reset; guarded by the transport, which calls one method at a time
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{
		img: img, block: int64(o.Sector), capacity: Sector(img.Size() >> sectorShift), log: o.Log,
		offered: FeatureSegMax | FeatureBlkSize | FeatureFlush | FeatureTopology,
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
func (d *Device) Queues() []uint16 { return []uint16{queueSize} }

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
	if len(queues) > 0 && queues[0] != nil {
		d.live = d.start(features, queues[0], t)
	}
}

// Notify implements [virtio.Device].
func (d *Device) Notify(int) {
	if d.live != nil {
		d.live.wake()
	}
}

// Reset implements [virtio.Device]. It waits for the requests the host is working on; those not begun are dropped.
func (d *Device) Reset() {
	if d.live != nil {
		d.live.end()
		d.live = nil
	}
}
