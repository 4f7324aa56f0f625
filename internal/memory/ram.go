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
	base  GPA
	minus GPA            // base below 0: adding that is an instruction less than taking away base
	zero  unsafe.Pointer // where the host would have the guest's address 0
	// Of accesses of so many bits, and of any up to a page, the first offset that is too large; 0 once closed.
	end8, end16, end32, end64, endPage GPA
	// What a store looks at after its bytes: see quiet.go.
	states unsafe.Pointer // of the code map's byte of the first page
	detour GPA            // over the number of a page: 0, or detour while writers are loud
	idle   bool           // nobody wants to know of any store

	mem  []byte // the host mapping; page aligned, never moved until Close
	fd   int    // of the file that mem is a mapping of, or -1
	huge uint64 // Placement.HugePage
	use  framesUse
	code CodeMap
}

// NewRAM maps size bytes of zeroed guest memory at base. Both must be multiples of [PageSize]. The host commits pages
// when the guest first touches them.
func NewRAM(base GPA, size uint64) (*RAM, error) { return NewPlacedRAM(base, size, Placement{}) }

// NewPlacedRAM is NewRAM with a say in where on the host the memory lies. Its errors are one line that says what to do.
func NewPlacedRAM(base GPA, size uint64, p Placement) (*RAM, error) {
	if base&PageMask != 0 || size&PageMask != 0 || size == 0 {
		return nil, fmt.Errorf("guest RAM of %d bytes at %#x: base and size must be non-zero multiples of %d", size, uint64(base), PageSize)
	}
	if err := p.check(size); err != nil {
		return nil, err
	}
	mem, fd, err := mapRAM(size, p.HugePage)
	if err != nil {
		return nil, fmt.Errorf("mapping %d MiB of guest RAM: %w", size>>20, err)
	}
	end := GPA(size)
	r := &RAM{
		base: base, minus: -base, mem: mem, fd: fd, huge: p.HugePage, zero: unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), -base),
		end8: end, end16: end - 1, end32: end - 3, end64: end - 7, endPage: end - PageSize + 1,
	}
	if err = p.apply(mem); err != nil {
		_ = r.unmap()
		return nil, fmt.Errorf("placing guest memory on the host: %w", err)
	}
	if err = r.code.init(r); err != nil {
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
	r.end8, r.end16, r.end32, r.end64, r.endPage = 0, 0, 0, 0, 0
	return err
}

// File is the descriptor of the file that RAM is a shared mapping of, from its start: pages of 4 KiB can be mapped elsewhere too, until Close. ok is
// false where the host has no such file, or RAM is in larger pages.
func (r *RAM) File() (fd int, ok bool) { return r.fd, r.fd >= 0 && r.huge == 0 }

// Code says which pages have translated code. The methods of RAM that write note it; who writes through Slice does so itself.
func (r *RAM) Code() *CodeMap { return &r.code }

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
	if framesChecked {
		if err := r.use.check(off, n); err != nil {
			return nil, err
		}
	}
	return r.mem[off : off+n : off+n], nil
}

// HostBase is the host address of the first byte. Host address = HostBase + (GPA - Base).
func (r *RAM) HostBase() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(r.mem))) }

// Each accessor reads or writes little-endian memory, atomically when naturally aligned. The error is a *[RangeError].
//
// They are written out, and are short enough for the compiler to put them in line (TestAccessorsAreInlined): one comparison, one access, and for a
// store a look whether anybody wants to know (quiet.go). Everything else is done in a function of its own.
//
// unsafe: an address less than base + end is that many bytes before the end of the mapping, which zero + address is an address in. zero itself
// may be anywhere: it points to nothing, and never into Go's heap, from which the host keeps its mappings apart by more than an address of RAM.

// aside calls f, which is seldom needed, as asideWith does. The compiler, which counts 57 for a call where it decides what to put in line, counts a third of that for
// one of a parameter, in the hope that it will vanish: this way an accessor has room for more than the call.
func aside(f func(*RAM, GPA, uint64) error, r *RAM, a GPA, n uint64) error { return f(r, a, n) }

func asideWith(f func(*RAM, GPA, []byte) error, r *RAM, a GPA, p []byte) error { return f(r, a, p) }

// Load8 reads 1 byte at a.
func (r *RAM) Load8(a GPA) (uint8, error) {
	if a+r.minus < r.end8 {
		return *(*uint8)(unsafe.Add(r.zero, a)), nil
	}
	return 0, outside(a, 1)
}

// Store8 writes 1 byte at a.
func (r *RAM) Store8(a GPA, v uint8) error {
	off := a + r.minus
	if off < r.end8 {
		*(*uint8)(unsafe.Add(r.zero, a)) = v
		if r.idle {
			return nil
		}
		if uint32(*(*uint16)(unsafe.Add(r.states, off>>PageShift|r.detour)))&anyAsked == 0 {
			return nil
		}
	}
	return aside((*RAM).stored, r, a, 1)
}

// Load16 reads 2 bytes at a.
func (r *RAM) Load16(a GPA) (uint16, error) {
	if a+r.minus < r.end16 {
		return *(*uint16)(unsafe.Add(r.zero, a)), nil
	}
	return 0, outside(a, 2)
}

// Store16 writes 2 bytes at a.
func (r *RAM) Store16(a GPA, v uint16) error {
	off := a + r.minus
	if off < r.end16 {
		*(*uint16)(unsafe.Add(r.zero, a)) = v
		if r.idle {
			return nil
		}
		if uint32(*(*uint16)(unsafe.Add(r.states, off>>PageShift|r.detour)))&anyAsked == 0 {
			return nil
		}
	}
	return aside((*RAM).stored, r, a, 2)
}

// Load32 reads 4 bytes at a.
func (r *RAM) Load32(a GPA) (uint32, error) {
	if a+r.minus < r.end32 {
		return *(*uint32)(unsafe.Add(r.zero, a)), nil
	}
	return 0, outside(a, 4)
}

// Store32 writes 4 bytes at a.
func (r *RAM) Store32(a GPA, v uint32) error {
	off := a + r.minus
	if off < r.end32 {
		*(*uint32)(unsafe.Add(r.zero, a)) = v
		if r.idle {
			return nil
		}
		if uint32(*(*uint16)(unsafe.Add(r.states, off>>PageShift|r.detour)))&anyAsked == 0 {
			return nil
		}
	}
	return aside((*RAM).stored, r, a, 4)
}

// Load64 reads 8 bytes at a.
func (r *RAM) Load64(a GPA) (uint64, error) {
	if a+r.minus < r.end64 {
		return *(*uint64)(unsafe.Add(r.zero, a)), nil
	}
	return 0, outside(a, 8)
}

// Store64 writes 8 bytes at a.
func (r *RAM) Store64(a GPA, v uint64) error {
	off := a + r.minus
	if off < r.end64 {
		*(*uint64)(unsafe.Add(r.zero, a)) = v
		if r.idle {
			return nil
		}
		if uint32(*(*uint16)(unsafe.Add(r.states, off>>PageShift|r.detour)))&anyAsked == 0 {
			return nil
		}
	}
	return aside((*RAM).stored, r, a, 8)
}

// outside is the error of an access. It is not put in line, so that accesses are.
//
//go:noinline
func outside(a GPA, n uint64) error { return &RangeError{a, n} }

// stored is the end of a store that somebody wants to know of, or has to have a barrier for, or that was none because it is outside.
//
//go:noinline
func (r *RAM) stored(a GPA, n uint64) error {
	if !r.Contains(a, n) {
		return outside(a, n)
	}
	r.code.Note(a, n)
	return nil
}

// Read copies len(p) bytes at a into p.
//
// In line it is up to a page of what is not the last page. It copies from an array that is longer than any slice, as that has the fewest nodes; what is copied is
// as long as p, which has been compared.
func (r *RAM) Read(a GPA, p []byte) error {
	if a+r.minus < r.endPage && len(p) <= PageSize {
		copy(p, (*[1 << 46]byte)(unsafe.Add(r.zero, a))[:])
		return nil
	}
	return asideWith((*RAM).read, r, a, p)
}

// read is a Read that is not in line.
//
//go:noinline
func (r *RAM) read(a GPA, p []byte) error {
	n := uint64(len(p))
	if !r.Contains(a, n) {
		return outside(a, n)
	}
	copy(p, unsafe.Slice((*byte)(unsafe.Add(r.zero, a)), n))
	return nil
}

// Write copies p to guest memory at a. It is in line as Read is.
func (r *RAM) Write(a GPA, p []byte) (err error) {
	off := a + r.minus
	if off < r.endPage && len(p) <= PageSize {
		copy((*[1 << 46]byte)(unsafe.Add(r.zero, a))[:], p)
		if r.idle {
			return
		}
		if uint32(*(*uint16)(unsafe.Add(r.states, off>>PageShift|r.detour)))&anyAsked == 0 {
			return
		}
	}
	return asideWith((*RAM).wrote, r, a, p)
}

// wrote is the end of a Write that somebody wants to know of or has to have a barrier for, and all of one that is not in line.
//
//go:noinline
func (r *RAM) wrote(a GPA, p []byte) error {
	n := uint64(len(p))
	if off := a + r.minus; off >= r.endPage || n > PageSize {
		if !r.Contains(a, n) {
			return outside(a, n)
		}
		copy(unsafe.Slice((*byte)(unsafe.Add(r.zero, a)), n), p)
	}
	return r.stored(a, n)
}

// CompareAndSwap64 replaces old by new in the aligned 8 bytes at a, atomically, and says whether it did: how a page-table
// walker updates the accessed and dirty bits (Privileged 1.13 §12.3.1).
func (r *RAM) CompareAndSwap64(a GPA, old, new uint64) (bool, error) {
	if a-r.base >= r.end64 || a&7 != 0 {
		return false, outside(a, 8)
	}
	if !atomic.CompareAndSwapUint64((*uint64)(unsafe.Add(r.zero, a)), old, new) {
		return false, nil
	}
	r.code.Note(a, 8)
	return true, nil
}
