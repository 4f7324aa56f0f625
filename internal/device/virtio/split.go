package virtio

// The split ring (virtio 1.3 §2.7): a descriptor table, an available ring the driver writes, a used ring the device writes.

import (
	"encoding/binary"
	"errors"

	"github.com/vmproject/vm/internal/memory"
)

// Offsets within the available and used rings.
const (
	availFlags = 0
	availIdx   = 2
	availRing  = 4 // 2 bytes an entry, then used_event
	usedFlags  = 0 // always 0: see splitRing
	usedRing   = 4 // 8 bytes an entry, then avail_event

	availNoInterrupt = 1
)

// splitRing never sets VIRTQ_USED_F_NO_NOTIFY: the flag is a hint (§2.7.7), and the drivers whose notifications are worth
// saving negotiate the event index. So used.flags stays zero and shares a word with used.idx.
type splitRing struct {
	ram               *memory.RAM
	desc, avail, used area
	size              uint16
	indirect          bool
	eventIdx          bool

	nextAvail uint16 // index of the next available entry to take
	seenAvail uint16 // the last avail.idx read: entries before it are ours to read
	nextUsed  uint16 // what used.idx is going to be
	published uint16 // used.idx
}

func newSplitRing(ram *memory.RAM, cfg QueueConfig, features uint64) (ring, error) {
	n := uint64(cfg.Size)
	if n == 0 || n > MaxQueueSize || n&(n-1) != 0 {
		return nil, errors.New("size is not a power of two")
	}
	r := &splitRing{
		ram: ram, size: cfg.Size,
		indirect: features&FeatureIndirectDesc != 0,
		eventIdx: features&FeatureEventIdx != 0,
	}
	// The event fields are there only with FeatureEventIdx.
	var event uint64
	if r.eventIdx {
		event = 2
	}
	var err error
	if r.desc, err = ringArea(ram, "descriptor table", cfg.Desc, n*descSize, descSize); err != nil {
		return nil, err
	}
	if r.avail, err = ringArea(ram, "available ring", cfg.Driver, availRing+n*2+event, 2); err != nil {
		return nil, err
	}
	if r.used, err = ringArea(ram, "used ring", cfg.Device, usedRing+n*8+event, 4); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *splitRing) ready() (bool, error) {
	if r.nextAvail != r.seenAvail {
		return true, nil
	}
	return r.look()
}

func (r *splitRing) next(c *Chain) error {
	head := r.avail.get16(availRing + 2*int(r.nextAvail&(r.size-1)))
	if head >= r.size {
		return errHeadRange
	}
	r.nextAvail++
	c.id = head
	return r.walk(c, head)
}

// look reads avail.idx, and where there is nothing new asks for a notification and reads it again: the driver may have added a
// buffer, and found notifications off, between the first read and the request.
func (r *splitRing) look() (bool, error) {
	idx := r.avail.load16(availIdx)
	if idx == r.nextAvail {
		if !r.eventIdx {
			return false, nil
		}
		r.used.store16(usedRing+8*int(r.size), r.nextAvail)
		if idx = r.avail.load16(availIdx); idx == r.nextAvail {
			return false, nil
		}
	}
	// Chains taken and not yet returned plus those waiting can never exceed the ring; this also bounds the chains in flight.
	if idx-r.nextUsed > r.size {
		return false, errAvailJump
	}
	r.seenAvail = idx
	return true, nil
}

// walk follows a chain from head through the descriptor table, and through one indirect table where it ends in one.
func (r *splitRing) walk(c *Chain, head uint16) error {
	table, n := r.desc, int(r.size)
	inside := false
	i := int(head)
	for steps := 0; ; steps++ {
		if steps == n {
			return errLoop
		}
		d := table.descriptor(i)
		addr, length := binary.LittleEndian.Uint64(d[0:]), binary.LittleEndian.Uint32(d[8:])
		flags, next := binary.LittleEndian.Uint16(d[12:]), int(binary.LittleEndian.Uint16(d[14:]))
		if flags&descIndirect != 0 {
			switch {
			case inside:
				return errIndirectTwice
			case !r.indirect:
				return errIndirectOff
			case flags&descNext != 0:
				return errIndirectNext
			}
			t, err := indirectTable(r.ram, addr, length, max(n, maxIndirect))
			if err != nil {
				return err
			}
			table, n, inside = t, len(t)/descSize, true
			i, steps = 0, -1
			continue
		}
		if err := c.add(r.ram, addr, length, flags); err != nil {
			return err
		}
		if flags&descNext == 0 {
			return nil
		}
		if next >= n {
			return errNextRange
		}
		i = next
	}
}

func (r *splitRing) put(c *Chain, written uint32) {
	e := usedRing + 8*int(r.nextUsed&(r.size-1))
	r.used.put32(e, uint32(c.id))
	r.used.put32(e+4, written)
	r.nextUsed++
}

func (r *splitRing) publish() bool {
	n := r.nextUsed - r.published
	r.published = r.nextUsed
	// One word: flags (zero) and idx. Releases the entries and the data, and orders the suppression read below after itself.
	r.used.store32(usedFlags, uint32(r.nextUsed)<<16)
	if r.eventIdx {
		// §2.7.7.2: interrupt when idx passes used_event.
		return r.nextUsed-r.avail.load16(availRing+2*int(r.size))-1 < n
	}
	return r.avail.load16(availFlags)&availNoInterrupt == 0
}
