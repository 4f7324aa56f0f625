package device

// The bus: a sorted table of address ranges. It is filled before any hart runs and read without locks afterwards.

import (
	"fmt"
	"sort"

	"github.com/vmproject/vm/internal/memory"
)

// Bus maps guest physical addresses to devices. Map is for assembly time only; Load and Store are safe for concurrent use.
type Bus struct {
	regions []region // sorted by base, not overlapping
}

type region struct {
	base, end memory.GPA // [base, end)
	name      string
	dev       Device
}

// Map places a device of size bytes at base. Overlap with another device is an error. A device may lie over RAM: it wins.
func (b *Bus) Map(base memory.GPA, size uint64, name string, dev Device) error {
	end := base + memory.GPA(size)
	if size == 0 || end < base {
		return fmt.Errorf("device %s at %#x: size %#x does not fit the address space", name, uint64(base), size)
	}
	i := sort.Search(len(b.regions), func(i int) bool { return b.regions[i].end > base })
	if i < len(b.regions) && b.regions[i].base < end {
		o := b.regions[i]
		return fmt.Errorf("device %s at %#x-%#x overlaps %s at %#x-%#x", name, uint64(base), uint64(end), o.name, uint64(o.base), uint64(o.end))
	}
	b.regions = append(b.regions, region{})
	copy(b.regions[i+1:], b.regions[i:])
	b.regions[i] = region{base, end, name, dev}
	return nil
}

// Each calls f for every device, by address.
func (b *Bus) Each(f func(base memory.GPA, size uint64, name string, dev Device)) {
	for _, r := range b.regions {
		f(r.base, uint64(r.end-r.base), r.name, r.dev)
	}
}

// find is the region that holds all of [a, a+size), or nil.
func (b *Bus) find(a memory.GPA, size uint64) *region {
	lo, hi := 0, len(b.regions)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if b.regions[m].end > a {
			hi = m
		} else {
			lo = m + 1
		}
	}
	if lo == len(b.regions) {
		return nil
	}
	r := &b.regions[lo]
	if a < r.base || size > uint64(r.end-a) {
		return nil
	}
	return r
}

// Covers says whether any device lies in [a, a+size): such an address is not plain RAM.
func (b *Bus) Covers(a memory.GPA, size uint64) bool {
	i := sort.Search(len(b.regions), func(i int) bool { return b.regions[i].end > a })
	return i < len(b.regions) && b.regions[i].base < a+memory.GPA(size)
}

// Load reads size bytes (1, 2, 4, 8) at a; ok is false where there is no device: an access fault to the guest.
func (b *Bus) Load(a memory.GPA, size int) (v uint64, ok bool) {
	r := b.find(a, uint64(size))
	if r == nil {
		return 0, false
	}
	return r.dev.Load(uint64(a-r.base), size), true
}

// Store writes size bytes at a; it returns false where there is no device: an access fault to the guest.
func (b *Bus) Store(a memory.GPA, size int, v uint64) bool {
	r := b.find(a, uint64(size))
	if r == nil {
		return false
	}
	r.dev.Store(uint64(a-r.base), size, v)
	return true
}

// Reset resets every device that has state.
func (b *Bus) Reset() {
	for _, r := range b.regions {
		if d, ok := r.dev.(Resetter); ok {
			d.Reset()
		}
	}
}
