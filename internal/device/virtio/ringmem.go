package virtio

// Ring memory: how the device reads and writes the fields it shares with harts that run at the same time.
//
// The order that matters is between a ring index (or a packed descriptor's flags) and what it publishes. Go has no 16-bit
// atomics, so index fields are reached through the aligned 32-bit word that holds them, with sync/atomic: its loads acquire
// and its stores release, and all of them together are sequentially consistent, which is also the store-load order that
// notification suppression needs (publish the event index, then look at the ring again, §2.7.10, §2.8.10). The stores are swaps,
// the same instruction on amd64: under the race detector a store only releases, and a load may pass it.
//
//   - A load of the containing word sees the 16-bit field as one value: an aligned word access on amd64 and arm64 is never
//     torn at a halfword. The other half is ignored.
//   - A store of a whole word is used only where both halves are the device's own (used.flags and used.idx; a packed
//     descriptor's id and flags while the device owns it; the packed device event structure).
//   - The one field whose neighbour may be anybody's, avail_event of the split ring, takes a plain aligned 16-bit store, which
//     is single-copy atomic on both hosts, then [fence].
//
// All else (descriptors, ring entries) is read by plain loads after the acquiring load, each field once into a variable.
//
// Safety of the unsafe pointers: a ring area is a slice of guest RAM, which is mapped outside the Go heap, page aligned and
// never moved; the offset is checked against the slice by indexing it; and the containing word of any in-range halfword lies
// within the same page, so within RAM.

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// area is one part of a ring in guest memory.
type area []byte

// load16 is an acquiring load of the aligned 16-bit field at off.
func (a area) load16(off int) uint16 {
	p := uintptr(unsafe.Pointer(&a[off]))
	shift := (p & 2) * 8
	return uint16(atomic.LoadUint32((*uint32)(unsafe.Add(unsafe.Pointer(&a[off]), -int(p&2)))) >> shift)
}

// load32 is an acquiring load of the aligned word at off.
func (a area) load32(off int) uint32 { return atomic.LoadUint32((*uint32)(unsafe.Pointer(&a[off]))) }

// store32 is a releasing store of the aligned word at off.
func (a area) store32(off int, v uint32) { atomic.SwapUint32((*uint32)(unsafe.Pointer(&a[off])), v) }

// store16 is an ordered store of the aligned 16-bit field at off whose neighbour belongs to someone else.
func (a area) store16(off int, v uint16) {
	*(*uint16)(unsafe.Pointer(&a[off])) = v
	fence()
}

// get16 and get32 are plain little-endian loads, put32 a plain store.
func (a area) get16(off int) uint16    { return binary.LittleEndian.Uint16(a[off:]) }
func (a area) get32(off int) uint32    { return binary.LittleEndian.Uint32(a[off:]) }
func (a area) put32(off int, v uint32) { binary.LittleEndian.PutUint32(a[off:], v) }

// descriptor is the one with number i: one check of the range for all its fields.
func (a area) descriptor(i int) *[descSize]byte { return (*[descSize]byte)(a[i*descSize:]) }

// fence orders what came before against any atomic load that follows. A read-modify-write is a full barrier on amd64. On arm64
// it releases what came before it, and a following acquiring load does not move above a release. The word is nobody's: only
// the instruction matters, and the compiler keeps atomics.
func fence() {
	var word atomic.Uint32
	word.Add(0)
}
