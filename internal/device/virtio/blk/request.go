package blk

// Requests: what a chain asks for (virtio 1.3 §5.2.6), the checks it must pass, and its way to the image.
//
// The guest may change a chain's bytes while it is looked at, so whatever decides something is copied once and judged by the copy.

import (
	"encoding/binary"

	"github.com/vmproject/vm/internal/device/virtio"
)

// Request types.
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13
)

// status is the byte that ends a request.
type status uint8

const (
	statusOK    status = 0
	statusIOErr status = 1
	statusUnsup status = 2
)

// kind is one type of request.
type kind struct {
	do      func(d *Device, r *request) error
	out, in bool   // it may carry data for the device, for the driver
	changes bool   // it is refused on a read-only disk, and durable at once without FeatureFlush
	needs   uint64 // the feature it comes with
}

// kinds are the requests by type; the others are not supported.
var kinds = [...]kind{
	typeIn:          {do: (*Device).read, in: true},
	typeOut:         {do: (*Device).write, out: true, changes: true},
	typeFlush:       {do: (*Device).flush},
	typeGetID:       {do: (*Device).getID, in: true},
	typeDiscard:     {do: (*Device).discard, out: true, changes: true, needs: FeatureDiscard},
	typeWriteZeroes: {do: (*Device).writeZeroes, out: true, changes: true, needs: FeatureWriteZeroes},
}

const (
	headerSize  = 16 // type le32, reserved le32, sector le64
	segmentSize = 16 // sector le64, number of sectors le32, flags le32

	segmentUnmap = 1 << 0
)

// request is one request taken apart.
type request struct {
	typ         uint32
	sector      Sector
	out, in     [][]byte // data, without header and status
	outLen      int64
	inLen       int64
	block       int64 // unit in bytes of positions and lengths
	segments    [maxDiscardSegments]segment
	segmentData [maxDiscardSegments * segmentSize]byte
}

// segment is one range of a discard or write-zeroes request.
type segment struct {
	off, n int64 // bytes
	flags  uint32
}

// refusal is an error for which the device, not the host, is to answer.
type refusal status

func (refusal) Error() string { return "refused" }

const (
	invalid     = refusal(statusIOErr)
	unsupported = refusal(statusUnsup)
)

// serve carries out the request in c and returns how many bytes of its writable part are defined: all of them.
// Preconditions: c has a writable part; r is used by one request at a time.
func (r *request) serve(d *Device, features uint64, c *virtio.Chain) uint32 {
	end := r.parseStatus(c)
	err := error(invalid)
	if r.parseHeader(c) {
		err = d.execute(features, r)
	}
	st := statusOK
	if err != nil {
		// The status lies behind the data and the used length covers both: leave nothing undefined in between.
		for _, b := range r.in {
			clear(b)
		}
		st = d.statusOf(err)
	}
	*end = byte(st)
	return uint32(r.inLen) + 1
}

// parseStatus splits the last writable byte from the data before it.
func (r *request) parseStatus(c *virtio.Chain) *byte {
	last := len(c.Writable) - 1
	b := c.Writable[last]
	end := &b[len(b)-1]
	r.in = c.Writable
	if len(b) == 1 {
		r.in = r.in[:last]
	} else {
		r.in[last] = b[:len(b)-1]
	}
	r.inLen = total(r.in)
	return end
}

// parseHeader splits the header from the data behind it; the driver may cut both anywhere (§2.7.4.1).
func (r *request) parseHeader(c *virtio.Chain) bool {
	var h [headerSize]byte
	n := 0
	r.out = c.Readable
	for n < headerSize && len(r.out) > 0 {
		m := copy(h[n:], r.out[0])
		if n += m; m == len(r.out[0]) {
			r.out = r.out[1:]
		} else {
			r.out[0] = r.out[0][m:]
		}
	}
	r.outLen = total(r.out)
	r.typ = binary.LittleEndian.Uint32(h[0:])
	r.sector = Sector(binary.LittleEndian.Uint64(h[8:]))
	return n == headerSize
}

func total(bufs [][]byte) int64 {
	n := int64(0)
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// execute checks the request's shape and does it.
func (d *Device) execute(features uint64, r *request) error {
	if r.typ >= uint32(len(kinds)) {
		return unsupported
	}
	k := &kinds[r.typ]
	switch {
	case k.do == nil || features&k.needs != k.needs:
		return unsupported
	case !k.out && r.outLen != 0, !k.in && r.inLen != 0:
		return invalid
	case k.changes && d.img.ReadOnly():
		return invalid // §5.2.6.2
	}
	// A driver that does not know of logical blocks works in sectors.
	r.block = sectorSize
	if features&FeatureBlkSize != 0 {
		r.block = d.block
	}
	if err := k.do(d, r); err != nil {
		return err
	}
	if k.changes && features&FeatureFlush == 0 {
		return d.img.Flush() // §5.2.6.2: a driver that cannot flush gets a write-through cache
	}
	return nil
}

// statusOf is what the driver hears of an error. The host's first one is also told to the log; a guest can provoke any number.
func (d *Device) statusOf(err error) status {
	if r, ok := err.(refusal); ok {
		return status(r)
	}
	if !d.failed.Swap(true) {
		d.log.Warn("disk I/O failed; the guest is told, further errors are not shown", "error", err)
	}
	return statusIOErr
}

// place is the range of n bytes at a sector in the image, whole logical blocks inside the disk.
func (d *Device) place(r *request, at Sector, n int64) (off int64, err error) {
	if at > d.capacity || n > (d.capacity-at).bytes() {
		return 0, invalid
	}
	if off = at.bytes(); off%r.block != 0 || n%r.block != 0 {
		return 0, invalid
	}
	return off, nil
}

func (d *Device) read(r *request) error {
	off, err := d.place(r, r.sector, r.inLen)
	if err != nil {
		return err
	}
	return d.img.ReadvAt(r.in, off)
}

func (d *Device) write(r *request) error {
	off, err := d.place(r, r.sector, r.outLen)
	if err != nil {
		return err
	}
	return d.img.WritevAt(r.out, off)
}

func (d *Device) flush(*request) error { return d.img.Flush() }

func (d *Device) getID(r *request) error {
	id := d.id[:]
	for _, b := range r.in {
		n := copy(b, id)
		id = id[n:]
		clear(b[n:])
	}
	return nil
}

func (d *Device) discard(r *request) error {
	segments, err := d.parseSegments(r, maxDiscardSegments, maxDiscardSectors, 0)
	if err != nil {
		return err
	}
	for i := range segments {
		if err := d.img.Discard(segments[i].off, segments[i].n); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) writeZeroes(r *request) error {
	segments, err := d.parseSegments(r, maxWriteZeroesSegments, maxWriteZeroesSectors, segmentUnmap)
	if err != nil {
		return err
	}
	for i := range segments {
		s := &segments[i]
		if err := d.img.WriteZeroes(s.off, s.n, s.flags&segmentUnmap != 0); err != nil {
			return err
		}
	}
	return nil
}

// parseSegments copies and checks the ranges of a request, all before the first is acted on. An unknown flag is not supported
// (§5.2.6.2).
func (d *Device) parseSegments(r *request, most int, limit Sector, flags uint32) ([]segment, error) {
	if r.outLen == 0 || r.outLen%segmentSize != 0 || r.outLen > int64(most*segmentSize) {
		return nil, invalid
	}
	data := r.segmentData[:0]
	for _, b := range r.out {
		data = append(data, b...)
	}
	segments := r.segments[:len(data)/segmentSize]
	for i := range segments {
		b := data[i*segmentSize:]
		n := Sector(binary.LittleEndian.Uint32(b[8:]))
		off, err := d.place(r, Sector(binary.LittleEndian.Uint64(b)), n.bytes())
		if err != nil {
			return nil, err
		}
		if n > limit {
			return nil, invalid
		}
		segments[i] = segment{off, n.bytes(), binary.LittleEndian.Uint32(b[12:])}
		if segments[i].flags&^flags != 0 {
			return nil, unsupported
		}
	}
	return segments, nil
}
