package suite

// The two formats of virtio's rings, as far as a driver needs them that offers the same requests again and again, of three descriptors each (virtio 1.3 §2.7, §2.8).

import (
	"encoding/binary"
	"errors"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/memory"
)

// ringFormat is a format of a ring with some requests.
type ringFormat interface {
	features() uint64
	entries() uint64
	// write writes what does not change: the parts of all requests, in their order.
	write(parts []part) error
	// offer makes all requests available, when the device has done all that were.
	offer() error
	// used says that the device has done all of them.
	used() (bool, error)
}

// part is a descriptor.
type part struct {
	at    memory.GPA
	n     int
	flags uint16
}

// Flags of descriptors.
const (
	descNext  = 1
	descWrite = 2
	descAvail = 1 << 7 // of packed rings, as what follows
	descUsed  = 1 << 15
)

const partsEach = 3

// splitRing has its descriptors written once: a request is an entry of the available ring.
type splitRing struct {
	ram   *memory.RAM
	depth int    // requests, a divisor of splitSize of which it takes three
	idx   uint16 // of the available ring
}

const splitSize = 64

func (*splitRing) features() uint64 { return 0 }
func (*splitRing) entries() uint64  { return splitSize }

func (r *splitRing) write(parts []part) error {
	le := binary.LittleEndian
	desc, avail := make([]byte, 0, splitSize*16), make([]byte, 4)
	for i, p := range parts {
		desc = le.AppendUint64(desc, uint64(p.at))
		desc = le.AppendUint32(desc, uint32(p.n))
		desc = le.AppendUint16(desc, p.flags)
		desc = le.AppendUint16(desc, uint16(i+1))
	}
	for i := range splitSize {
		avail = le.AppendUint16(avail, uint16(partsEach*(i%r.depth)))
	}
	return errors.Join(r.ram.Write(descBase, desc), r.ram.Write(availBase, avail))
}

func (r *splitRing) offer() error {
	r.idx += uint16(r.depth)
	return r.ram.Store16(availBase+2, r.idx)
}

func (r *splitRing) used() (bool, error) {
	used, err := r.ram.Load16(usedBase + 2)
	return used == r.idx, err
}

// packedRing has an entry for each descriptor, so that each time its requests are offered it wraps.
type packedRing struct {
	ram   *memory.RAM
	depth int
	wrap  uint32    // 1 when the requests that are offered have their bit of availability set
	image [2][]byte // the ring by wrap, with each request used still
}

func (*packedRing) features() uint64  { return virtio.FeatureRingPacked }
func (r *packedRing) entries() uint64 { return uint64(partsEach * r.depth) }

// turn is the two bits of a descriptor that is available, or used.
func turn(wrap uint32, used bool) uint16 {
	switch {
	case used && wrap == 1:
		return descAvail | descUsed
	case used:
		return 0
	case wrap == 1:
		return descAvail
	}
	return descUsed
}

func (r *packedRing) write(parts []part) error {
	le := binary.LittleEndian
	for wrap := range r.image {
		for i, p := range parts {
			flags := p.flags | turn(uint32(wrap), false)
			if i%partsEach == 0 {
				flags = p.flags | turn(uint32(1-wrap), true)
			}
			b := le.AppendUint64(r.image[wrap], uint64(p.at))
			b = le.AppendUint32(b, uint32(p.n))
			b = le.AppendUint16(b, uint16(i/partsEach))
			r.image[wrap] = le.AppendUint16(b, flags)
		}
	}
	return nil
}

// turns is where the number and the flags are of a request's first descriptor, a word.
func turns(request int) memory.GPA { return descBase + memory.GPA(16*partsEach*request+12) }

// offer writes the flags of first descriptors last: then the device may begin.
func (r *packedRing) offer() error {
	r.wrap = 1 - r.wrap
	err := r.ram.Write(descBase, r.image[r.wrap])
	for i := range r.depth {
		err = errors.Join(err, r.ram.Store32(turns(i), uint32(i)|uint32(descNext|turn(r.wrap, false))<<16))
	}
	return err
}

func (r *packedRing) used() (bool, error) {
	for i := range r.depth {
		w, err := r.ram.Load32(turns(i))
		if err != nil || uint16(w>>16)&(descAvail|descUsed) != turn(r.wrap, true) {
			return false, err
		}
	}
	return true, nil
}
