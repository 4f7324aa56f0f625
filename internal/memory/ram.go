package memory

// RAM, the one contiguous region of guest memory: how it is reached by code that does not trust the guest.
//
// Accesses of 2, 4 and 8 bytes that are naturally aligned are single-copy atomic with respect to every hart, which is what
// RVWMO asks of RAM and what virtio rings rely on. Nothing here allocates.

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// RAM is a contiguous range of guest physical memory. Its methods may be called from any goroutine.
type RAM struct {
	base GPA
	mem  []byte // the host mapping; page aligned, never moved until Close
	fd   int    // of the file that mem is a mapping of, or -1
	code *CodeMap
}

// NewRAM maps size bytes of zeroed guest memory at base. Both must be multiples of [PageSize]. The host commits pages
// when the guest first touches them.
func NewRAM(base GPA, size uint64) (*RAM, error) {
	if base&PageMask != 0 || size&PageMask != 0 || size == 0 {
		return nil, fmt.Errorf("guest RAM of %d bytes at %#x: base and size must be non-zero multiples of %d", size, uint64(base), PageSize)
	}
	mem, fd, err := mapRAM(size)
	if err != nil {
		return nil, fmt.Errorf("mapping %d MiB of guest RAM: %w", size>>20, err)
	}
	r := &RAM{base: base, mem: mem, fd: fd}
	if r.code, err = newCodeMap(base, size); err != nil {
		_ = r.unmap()
		return nil, fmt.Errorf("mapping the code map of %d MiB of guest RAM: %w", size>>20, err)
	}
	return r, nil
}

// Close unmaps the memory. No hart or device may run afterwards. Closing it again does nothing.
func (r *RAM) Close() error {
	if r.mem == nil {
		return nil
	}
	return errors.Join(r.unmap(), r.code.close())
}

func (r *RAM) unmap() error {
	err := unmapMemory(r.mem)
	if r.fd >= 0 {
		err = errors.Join(err, closeFile(r.fd))
	}
	r.mem, r.fd = nil, -1
	return err
}

// File is the descriptor of the file that RAM is a shared mapping of, from its start: pages can be mapped elsewhere too, until Close. ok is
// false where the host has no such file.
func (r *RAM) File() (fd int, ok bool) { return r.fd, r.fd >= 0 }

// Code says which pages have translated code. The methods of RAM that write note it; who writes through Slice does so itself.
func (r *RAM) Code() *CodeMap { return r.code }

// Base is the first guest physical address.
func (r *RAM) Base() GPA { return r.base }

// Size is the length in bytes.
func (r *RAM) Size() uint64 { return uint64(len(r.mem)) }

// End is the first guest physical address past the RAM.
func (r *RAM) End() GPA { return r.base + GPA(len(r.mem)) }

// Contains says whether all of [a, a+n) is RAM.
func (r *RAM) Contains(a GPA, n uint64) bool {
	off := uint64(a - r.base)
	size := uint64(len(r.mem))
	return off <= size && n <= size-off
}

// Slice is a view of guest memory for DMA: no copy, and the guest may change it at any time.
func (r *RAM) Slice(a GPA, n uint64) ([]byte, error) {
	if !r.Contains(a, n) {
		return nil, &RangeError{a, n}
	}
	off := uint64(a - r.base)
	return r.mem[off : off+n : off+n], nil
}

// HostBase is the host address of the first byte. Host address = HostBase + (GPA - Base).
func (r *RAM) HostBase() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(r.mem))) }

// ptr is the host address of n bytes at a, or nil when they are not all RAM.
func (r *RAM) ptr(a GPA, n uint64) unsafe.Pointer {
	if !r.Contains(a, n) {
		return nil
	}
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(r.mem)), uint64(a-r.base))
}

// Each accessor reads or writes little-endian memory, atomically when naturally aligned. The error is a *[RangeError].

// Load8 reads 1 byte at a.
func (r *RAM) Load8(a GPA) (uint8, error) {
	p := r.ptr(a, 1)
	if p == nil {
		return 0, &RangeError{a, 1}
	}
	return *(*uint8)(p), nil
}

// Store8 writes 1 byte at a.
func (r *RAM) Store8(a GPA, v uint8) error {
	p := r.ptr(a, 1)
	if p == nil {
		return &RangeError{a, 1}
	}
	*(*uint8)(p) = v
	r.code.Note(a, 1)
	return nil
}

// Load16 reads 2 bytes at a.
func (r *RAM) Load16(a GPA) (uint16, error) {
	p := r.ptr(a, 2)
	if p == nil {
		return 0, &RangeError{a, 2}
	}
	return *(*uint16)(p), nil
}

// Store16 writes 2 bytes at a.
func (r *RAM) Store16(a GPA, v uint16) error {
	p := r.ptr(a, 2)
	if p == nil {
		return &RangeError{a, 2}
	}
	*(*uint16)(p) = v
	r.code.Note(a, 2)
	return nil
}

// Load32 reads 4 bytes at a.
func (r *RAM) Load32(a GPA) (uint32, error) {
	p := r.ptr(a, 4)
	if p == nil {
		return 0, &RangeError{a, 4}
	}
	return *(*uint32)(p), nil
}

// Store32 writes 4 bytes at a.
func (r *RAM) Store32(a GPA, v uint32) error {
	p := r.ptr(a, 4)
	if p == nil {
		return &RangeError{a, 4}
	}
	*(*uint32)(p) = v
	r.code.Note(a, 4)
	return nil
}

// Load64 reads 8 bytes at a.
func (r *RAM) Load64(a GPA) (uint64, error) {
	p := r.ptr(a, 8)
	if p == nil {
		return 0, &RangeError{a, 8}
	}
	return *(*uint64)(p), nil
}

// Store64 writes 8 bytes at a.
func (r *RAM) Store64(a GPA, v uint64) error {
	p := r.ptr(a, 8)
	if p == nil {
		return &RangeError{a, 8}
	}
	*(*uint64)(p) = v
	r.code.Note(a, 8)
	return nil
}

// Read copies len(p) bytes at a into p.
func (r *RAM) Read(a GPA, p []byte) error {
	s, err := r.Slice(a, uint64(len(p)))
	if err != nil {
		return err
	}
	copy(p, s)
	return nil
}

// Write copies p to guest memory at a.
func (r *RAM) Write(a GPA, p []byte) error {
	s, err := r.Slice(a, uint64(len(p)))
	if err != nil {
		return err
	}
	copy(s, p)
	r.code.Note(a, uint64(len(p)))
	return nil
}

// CompareAndSwap64 replaces old by new in the aligned 8 bytes at a, atomically, and says whether it did: how a page-table
// walker updates the accessed and dirty bits (Privileged 1.13 §12.3.1).
func (r *RAM) CompareAndSwap64(a GPA, old, new uint64) (bool, error) {
	p := r.ptr(a, 8)
	if p == nil || a&7 != 0 {
		return false, &RangeError{a, 8}
	}
	if !atomic.CompareAndSwapUint64((*uint64)(p), old, new) {
		return false, nil
	}
	r.code.Note(a, 8)
	return true, nil
}
