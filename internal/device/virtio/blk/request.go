package blk

// Requests: what a chain asks for (virtio 1.3 §5.2.6), taken apart, and those that are neither a read nor a write carried out.
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
	numKinds        = typeWriteZeroes + 1
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
	known     bool
	do        func(s *session, r *request, w *scratch) error // of those that job.transfer does not do
	out, in   bool                                           // it may carry data for the device, for the driver
	onSectors bool                                           // the data is the disk's
	changes   bool                                           // it is refused on a read-only disk, and durable at once without FeatureFlush
	needs     uint64                                         // the feature it comes with
}

// kinds are the requests by type; the others are not supported.
var kinds = [numKinds]kind{
	typeIn:          {known: true, in: true, onSectors: true},
	typeOut:         {known: true, out: true, onSectors: true, changes: true},
	typeFlush:       {known: true, do: (*session).flush},
	typeGetID:       {known: true, do: (*session).getID, in: true},
	typeDiscard:     {known: true, do: (*session).discard, out: true, changes: true, needs: FeatureDiscard},
	typeWriteZeroes: {known: true, do: (*session).writeZeroes, out: true, changes: true, needs: FeatureWriteZeroes},
}

const (
	headerSize  = 16 // type le32, reserved le32, sector le64
	segmentSize = 16 // sector le64, number of sectors le32, flags le32

	segmentUnmap = 1 << 0
)

// request is one request taken apart.
type request struct {
	chain   *virtio.Chain
	end     *byte // where its status goes
	typ     uint32
	verdict status // of the checks: it is carried out if that is statusOK
	sector  Sector
	out, in [][]byte // data, without header and status
	outLen  uint64
	inLen   uint64
}

// refusal is an error for which the device, not the host, is to answer.
type refusal status

func (refusal) Error() string { return "refused" }

const (
	invalid     = refusal(statusIOErr)
	unsupported = refusal(statusUnsup)
)

// parse takes a chain apart, and checks the request. ok is false where it leaves no byte for the status.
func (r *request) parse(rules *rules, c *virtio.Chain) (ok bool) {
	if len(c.Writable) == 0 {
		return false
	}
	r.chain = c
	r.parseStatus(c)
	if r.parseHeader(c) {
		r.verdict = rules.check(r.typ, r.sector, r.outLen, r.inLen)
	} else {
		r.verdict = statusIOErr
	}
	return true
}

// parseStatus splits the last writable byte from the data before it.
func (r *request) parseStatus(c *virtio.Chain) {
	last := len(c.Writable) - 1
	b := c.Writable[last]
	r.end = &b[len(b)-1]
	r.in = c.Writable
	if len(b) == 1 {
		r.in = r.in[:last]
	} else {
		r.in[last] = b[:len(b)-1]
	}
	r.inLen = total(r.in)
}

// parseHeader splits the header from the data behind it; the driver may cut both anywhere (§2.7.4.1), and seldom does.
func (r *request) parseHeader(c *virtio.Chain) bool {
	r.out = c.Readable
	if len(r.out) > 0 && len(r.out[0]) == headerSize {
		r.takeHeader((*[headerSize]byte)(r.out[0]))
		r.out = r.out[1:]
		r.outLen = total(r.out)
		return true
	}
	var h [headerSize]byte
	n := 0
	for n < headerSize && len(r.out) > 0 {
		m := copy(h[n:], r.out[0])
		if n += m; m == len(r.out[0]) {
			r.out = r.out[1:]
		} else {
			r.out[0] = r.out[0][m:]
		}
	}
	r.takeHeader(&h)
	r.outLen = total(r.out)
	return n == headerSize
}

// takeHeader reads each field once.
func (r *request) takeHeader(h *[headerSize]byte) {
	r.typ = binary.LittleEndian.Uint32(h[0:])
	r.sector = Sector(binary.LittleEndian.Uint64(h[8:]))
}

func total(bufs [][]byte) uint64 {
	n := uint64(0)
	for _, b := range bufs {
		n += uint64(len(b))
	}
	return n
}

// onSectors says that it is a read or a write that is to be carried out.
func (r *request) onSectors() bool { return r.verdict == statusOK && kinds[r.typ].onSectors }

// data is what a read or a write moves.
func (r *request) data() ([][]byte, uint64) {
	if r.typ == typeOut {
		return r.out, r.outLen
	}
	return r.in, r.inLen
}

// finish writes the status, and returns what goes back to the driver: all of its writable part is defined.
func (r *request) finish(st status) virtio.Used {
	if st != statusOK {
		// The status lies behind the data and the used length covers both: leave nothing undefined in between.
		for _, b := range r.in {
			clear(b)
		}
	}
	*r.end = byte(st)
	return virtio.Used{Chain: r.chain, Written: uint32(r.inLen) + 1}
}

// scratch is room for one request at a time.
type scratch struct {
	segments [maxDiscardSegments]segment
	data     [maxDiscardSegments * segmentSize]byte
}

// segment is one range of a discard or write-zeroes request.
type segment struct {
	off, n int64 // bytes
	flags  uint32
}

// execute does a request that has passed the checks and is neither a read nor a write.
func (s *session) execute(r *request, w *scratch) error {
	k := &kinds[r.typ]
	if err := k.do(s, r, w); err != nil {
		return err
	}
	return s.settle(k)
}

// settle ends a request of a kind that has been carried out (§5.2.6.2): a driver that cannot flush gets a write-through cache.
func (s *session) settle(k *kind) error {
	if k.changes && s.features&FeatureFlush == 0 {
		return s.dev.img.Flush()
	}
	return nil
}

func (s *session) flush(*request, *scratch) error { return s.dev.img.Flush() }

func (s *session) getID(r *request, _ *scratch) error {
	id := s.dev.id[:]
	for _, b := range r.in {
		n := copy(b, id)
		id = id[n:]
		clear(b[n:])
	}
	return nil
}

func (s *session) discard(r *request, w *scratch) error {
	segments, err := s.parseSegments(r, w, maxDiscardSegments, maxDiscardSectors, 0)
	if err != nil {
		return err
	}
	for i := range segments {
		if err := s.dev.img.Discard(segments[i].off, segments[i].n); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) writeZeroes(r *request, w *scratch) error {
	segments, err := s.parseSegments(r, w, maxWriteZeroesSegments, maxWriteZeroesSectors, segmentUnmap)
	if err != nil {
		return err
	}
	for i := range segments {
		g := &segments[i]
		if err := s.dev.img.WriteZeroes(g.off, g.n, g.flags&segmentUnmap != 0); err != nil {
			return err
		}
	}
	return nil
}

// parseSegments copies and checks the ranges of a request, all before the first is acted on. An unknown flag is not supported
// (§5.2.6.2).
func (s *session) parseSegments(r *request, w *scratch, most int, limit Sector, flags uint32) ([]segment, error) {
	if r.outLen == 0 || r.outLen%segmentSize != 0 || r.outLen > uint64(most*segmentSize) {
		return nil, invalid
	}
	data := w.data[:0]
	for _, b := range r.out {
		data = append(data, b...)
	}
	segments := w.segments[:len(data)/segmentSize]
	for i := range segments {
		b := data[i*segmentSize:]
		at, n := Sector(binary.LittleEndian.Uint64(b)), Sector(binary.LittleEndian.Uint32(b[8:]))
		if n > limit || s.rules.check(typeOut, at, uint64(n.bytes()), 0) != statusOK {
			return nil, invalid
		}
		segments[i] = segment{at.bytes(), n.bytes(), binary.LittleEndian.Uint32(b[12:])}
		if segments[i].flags&^flags != 0 {
			return nil, unsupported
		}
	}
	return segments, nil
}
