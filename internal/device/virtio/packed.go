package virtio

// The packed ring (virtio 1.3 §2.8): one ring of descriptors that driver and device both write, turn by turn; two flag bits of
// a descriptor, compared with each side's wrap counter, say whose turn it is.

import (
	"encoding/binary"
	"errors"

	"github.com/vmproject/vm/internal/memory"
)

const (
	packedAvail = 1 << 7
	packedUsed  = 1 << 15

	// Offsets in a descriptor. id and flags share an aligned word: it is read and written whole.
	packedLen     = 8
	packedIDFlags = 12

	// Event suppression structures (§2.8.14): offset and wrap counter in the low half, flags in the high half.
	eventDisable = 1
	eventDesc    = 2
	eventWrap    = 1 << 15
)

type packedRing struct {
	ram            *memory.RAM
	desc           area
	driver, device area // event suppression
	size           uint16
	indirect       bool
	eventIdx       bool

	availPos  uint16 // next descriptor to look at
	availWrap bool
	usedPos   uint16 // where the next used descriptor goes
	usedWrap  bool
	first     uint32 // id and flags of the next descriptor, as ready has read them
	inFlight  uint16 // descriptors taken and not yet used
	moved     uint16 // descriptors used since the driver was asked last whether it wants an interrupt
}

func newPackedRing(ram *memory.RAM, cfg QueueConfig, features uint64) (ring, error) {
	if cfg.Size == 0 || cfg.Size > MaxQueueSize {
		return nil, errors.New("size is not between 1 and 32768")
	}
	r := &packedRing{
		ram: ram, size: cfg.Size, availWrap: true, usedWrap: true,
		indirect: features&FeatureIndirectDesc != 0,
		eventIdx: features&FeatureEventIdx != 0,
	}
	var err error
	if r.desc, err = ringArea(ram, "descriptor ring", cfg.Desc, uint64(cfg.Size)*descSize, descSize); err != nil {
		return nil, err
	}
	if r.driver, err = ringArea(ram, "driver event suppression", cfg.Driver, 4, 4); err != nil {
		return nil, err
	}
	if r.device, err = ringArea(ram, "device event suppression", cfg.Device, 4, 4); err != nil {
		return nil, err
	}
	r.device.store32(0, 0) // notify always, until the event index says more
	return r, nil
}

// available says whether a descriptor with these flags was made available in the present turn of the ring.
func (r *packedRing) available(flags uint16) bool {
	return (flags&packedAvail != 0) == r.availWrap && (flags&packedUsed != 0) != r.availWrap
}

func (r *packedRing) ready() (bool, error) {
	head := int(r.availPos) * descSize
	r.first = r.desc.load32(head + packedIDFlags)
	if r.available(uint16(r.first >> 16)) {
		return true, nil
	}
	if !r.eventIdx {
		return false, nil // notifications were never turned off
	}
	event := uint32(r.availPos) | eventDesc<<16
	if r.availWrap {
		event |= eventWrap
	}
	r.device.store32(0, event)
	// The driver may have added a buffer, and found notifications off, before it could see the request.
	r.first = r.desc.load32(head + packedIDFlags)
	return r.available(uint16(r.first >> 16)), nil
}

func (r *packedRing) next(c *Chain) error { return r.walk(c, r.first) }

// walk takes the chain whose first descriptor is at availPos and has id and flags w. The acquiring load of w covers the rest of
// the chain, which the driver wrote before it (§2.8.6).
func (r *packedRing) walk(c *Chain, w uint32) error {
	for {
		if r.inFlight == r.size {
			// A driver that offers slots again before the device has used them, or a chain as long as the ring that goes on.
			return errLoop
		}
		d := r.desc.descriptor(int(r.availPos))
		addr, length, flags := binary.LittleEndian.Uint64(d[0:]), binary.LittleEndian.Uint32(d[packedLen:]), uint16(w>>16)
		r.availPos++
		if r.availPos == r.size {
			r.availPos, r.availWrap = 0, !r.availWrap
		}
		r.inFlight++
		c.descs++
		c.id = uint16(w) // that of the last descriptor counts (§2.8.6)
		if flags&descIndirect != 0 {
			if flags&descNext != 0 {
				return errIndirectNext
			}
			return r.table(c, addr, length)
		}
		if err := c.add(r.ram, addr, length, flags); err != nil {
			return err
		}
		if flags&descNext == 0 {
			return nil
		}
		w = r.desc.get32(int(r.availPos)*descSize + packedIDFlags)
	}
}

// table takes the buffers of an indirect table: all its entries in order, with no flag but WRITE (§2.8.7).
func (r *packedRing) table(c *Chain, addr uint64, length uint32) error {
	if !r.indirect {
		return errIndirectOff
	}
	t, err := indirectTable(r.ram, addr, length, max(int(r.size), maxIndirect))
	if err != nil {
		return err
	}
	table := area(t)
	for i := range len(table) / descSize {
		d := table.descriptor(i)
		a, n, flags := binary.LittleEndian.Uint64(d[0:]), binary.LittleEndian.Uint32(d[packedLen:]), binary.LittleEndian.Uint16(d[packedIDFlags+2:])
		if flags&descIndirect != 0 {
			return errIndirectTwice
		}
		if err := c.add(r.ram, a, n, flags); err != nil {
			return err
		}
	}
	return nil
}

// put makes the chain visible at once: a driver that polls need not wait for the others.
func (r *packedRing) put(c *Chain, written uint32) {
	d := int(r.usedPos) * descSize
	var flags uint32
	if r.usedWrap {
		flags = packedAvail | packedUsed
	}
	if written > 0 {
		flags |= descWrite
	}
	r.desc.put32(d+packedLen, written)
	// Releases the length and the data, and orders the suppression read of publish after itself.
	r.desc.store32(d+packedIDFlags, uint32(c.id)|flags<<16)
	r.usedPos += c.descs
	if r.usedPos >= r.size {
		r.usedPos -= r.size
		r.usedWrap = !r.usedWrap
	}
	r.inFlight -= c.descs
	r.moved += c.descs
}

func (r *packedRing) publish() bool {
	n := r.moved
	r.moved = 0
	return r.wantsInterrupt(n)
}

// wantsInterrupt reads the driver's event suppression after the used position has moved on by n descriptors.
func (r *packedRing) wantsInterrupt(n uint16) bool {
	e := r.driver.load32(0)
	switch flags := e >> 16 & 3; {
	case flags == eventDisable:
		return false
	case flags != eventDesc || !r.eventIdx:
		return true
	}
	// §2.8.10.1: interrupt when the position passes the event, both counted on the present turn of the ring.
	event := uint16(e) &^ eventWrap
	if (e&eventWrap != 0) != r.usedWrap {
		event -= r.size
	}
	return r.usedPos-event-1 < n
}
