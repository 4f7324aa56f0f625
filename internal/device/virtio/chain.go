package virtio

// Chains: one request as a device sees it, and the checks every buffer passes on its way in.

import (
	"errors"
	"fmt"
	"math"

	"github.com/vmproject/vm/internal/memory"
)

// Chain is one request: a descriptor chain resolved to guest memory. The guest may change the bytes at any time, so what a
// device decides on it copies first. A chain belongs to the device from Queue.Next until Queue.Done.
type Chain struct {
	Readable [][]byte // what the driver sends, in order; no slice is empty
	Writable [][]byte // what the device fills, in order; all after the readable part (§2.7.4.2)

	id    uint16 // head descriptor (split) or buffer id (packed), for the used ring
	descs uint16 // ring slots the chain takes (packed ring)
	bytes uint64 // total length so far

	writes []memory.Span // where Writable is: a device may cut that up
}

// Descriptor flags, the same in both ring formats (virtio 1.3 §2.7.5, §2.8.13).
const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4
)

const descSize = 16

// maxIndirect is how many buffers an indirect table may name where the queue is smaller than that. The text limits a chain
// to the queue size (§2.7.5.3.1), yet Linux goes by the device's own segment limit; this is what one preadv takes.
const maxIndirect = 1024

// What a driver can do wrong in a ring.
var (
	errZeroLength    = errors.New("virtio: a descriptor of length zero")
	errTooLong       = errors.New("virtio: a descriptor chain of more than 2^32 bytes")
	errOrder         = errors.New("virtio: a readable descriptor after a writable one")
	errLoop          = errors.New("virtio: a descriptor chain that loops or is longer than its queue")
	errNextRange     = errors.New("virtio: a next field outside the descriptor table")
	errIndirectOff   = errors.New("virtio: an indirect descriptor, which was not negotiated")
	errIndirectNext  = errors.New("virtio: an indirect descriptor with a next one")
	errIndirectTwice = errors.New("virtio: an indirect descriptor inside an indirect table")
	errIndirectSize  = errors.New("virtio: an indirect table whose size is zero, too large or not a multiple of 16")
	errAvailJump     = errors.New("virtio: more buffers made available than the queue holds")
	errHeadRange     = errors.New("virtio: an available entry outside the descriptor table")
)

// Places is where Writable is in guest memory, in order: for a device to which the memory itself is the request. Not to be kept.
func (c *Chain) Places() []memory.Span { return c.writes }

// Bytes is the length of both parts together, as taken from the ring.
func (c *Chain) Bytes() uint64 { return c.bytes }

func (c *Chain) reset() {
	// The backing arrays stay: what they still point to is guest memory, nothing the collector holds for them.
	c.Readable, c.Writable = c.Readable[:0], c.Writable[:0]
	c.writes = c.writes[:0]
	c.id, c.descs, c.bytes = 0, 0, 0
}

// add appends one buffer, as a descriptor gives it.
func (c *Chain) add(ram *memory.RAM, addr uint64, n uint32, flags uint16) error {
	if n == 0 {
		return errZeroLength
	}
	c.bytes += uint64(n)
	if c.bytes > math.MaxUint32 {
		return errTooLong
	}
	b, err := ram.Slice(memory.GPA(addr), uint64(n))
	if err != nil {
		return notThere(err)
	}
	if flags&descWrite != 0 {
		c.Writable = append(c.Writable, b)
		c.writes = append(c.writes, memory.Span{At: memory.GPA(addr), N: uint64(n)})
		return nil
	}
	if len(c.Writable) != 0 {
		return errOrder
	}
	c.Readable = append(c.Readable, b)
	return nil
}

func notThere(err error) error {
	return fmt.Errorf("virtio: a descriptor names memory that is not there: %w", err)
}

// indirectTable is the guest memory of an indirect table (§2.7.5.3, §2.8.19), checked.
func indirectTable(ram *memory.RAM, addr uint64, n uint32, limit int) ([]byte, error) {
	if n == 0 || n%descSize != 0 || uint64(n)/descSize > uint64(limit) {
		return nil, errIndirectSize
	}
	b, err := ram.Slice(memory.GPA(addr), uint64(n))
	if err != nil {
		return nil, fmt.Errorf("virtio: an indirect table is not in memory: %w", err)
	}
	return b, nil
}
