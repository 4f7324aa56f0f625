package mirror

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/memory"
)

// mappings counts those of all mirrors of the process, of which Linux allows a limited number.
var mappings atomic.Int64

// maxMappings leaves a quarter of what Linux allows to everybody else.
var maxMappings = sync.OnceValue(func() int64 {
	limit := int64(65530)
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			limit = n
		}
	}
	return min(limit, 1<<20) / 4 * 3
})

const noAccess = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// New reserves an empty mirror. The error says why this host has none: its RAM cannot be mapped twice, or the address space is used up.
func New(ram *memory.RAM) (*Mirror, error) {
	if _, ok := ram.File(); !ok {
		return nil, fmt.Errorf("guest RAM that can be mapped once only: %w", errors.ErrUnsupported)
	}
	space, err := unix.Mmap(-1, 0, Size+2*Reach+Huge, unix.PROT_NONE, noAccess)
	if err != nil {
		return nil, fmt.Errorf("reserving %d GiB of addresses: %w", (Size+2*Reach)>>30, err)
	}
	align := -uintptr(unsafe.Pointer(unsafe.SliceData(space))) % Huge
	return &Mirror{
		ram: ram, space: space, zero: Reach + int(align),
		pages: map[uint64]Page{}, wrote: map[memory.GPA]int{}, large: map[block]int{},
	}, nil
}

// Close gives everything back.
func (m *Mirror) Close() error {
	if m.space == nil {
		return nil
	}
	err := unix.Munmap(m.space)
	mappings.Add(-m.maps)
	*m = Mirror{}
	return err
}

// Base is the host address of address 0.
func (m *Mirror) Base() uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(m.space))) + uintptr(m.zero)
}

// Map makes n pages from the address page on those of RAM from p.GPA on; p says what else they are. All of both exist.
func (m *Mirror) Map(page uint64, p Page, n int) error {
	if mappings.Load()+2 > maxMappings() {
		return ErrFull
	}
	for at := huge(page); at < page+uint64(n)<<memory.PageShift; at += Huge {
		if _, ok := m.pages[at]; ok {
			m.Unmap(at&^hugeBit, at&^hugeBit) // as a whole, or what is not replaced would be there without being known
		}
	}
	fd, _ := m.ram.File()
	prot := unix.PROT_READ
	if p.Writable {
		prot |= unix.PROT_WRITE
	}
	const how = unix.MAP_SHARED | unix.MAP_FIXED | unix.MAP_POPULATE
	if _, err := unix.MmapPtr(fd, int64(p.GPA-m.ram.Base()), m.host(page), uintptr(n)<<memory.PageShift, prot, how); err != nil {
		m.Clear() // what was to be replaced may be gone, and nothing else may ever come there
		if errors.Is(err, unix.ENOMEM) {
			return ErrFull
		}
		return err
	}
	m.count(2)
	m.note(page, p, n)
	return nil
}

// host is the address of a page. The space is never the Go heap's, and pages below Size are in it.
func (m *Mirror) host(page uint64) unsafe.Pointer {
	return unsafe.Pointer(&m.space[m.zero+int(page&(Size-1))])
}

// Unmap takes away what is mapped from the page first to the page last, and by the leaves that they are in.
func (m *Mirror) Unmap(first, last uint64) {
	if first >= Size || len(m.pages) == 0 {
		return
	}
	first, last = m.leaves(first, min(last, Size-memory.PageSize))
	if !m.forgetAll(first, last) {
		return
	}
	n := (last-first)>>memory.PageShift + 1
	if _, err := unix.MmapPtr(-1, 0, m.host(first), uintptr(n)<<memory.PageShift, unix.PROT_NONE, noAccess|unix.MAP_FIXED); err != nil {
		m.Clear() // there is no other way, and that needs fewer mappings instead of more
		return
	}
	// Out of the middle of a mapping it makes three.
	_, before := m.pages[first-memory.PageSize]
	_, behind := m.pages[last+memory.PageSize]
	if before && behind {
		m.count(2)
		if mappings.Load() > maxMappings() {
			m.Clear()
		}
	}
}

// count notes mappings that there may be now.
func (m *Mirror) count(n int64) {
	m.maps += n
	mappings.Add(n)
}

// Clear unmaps everything. It panics if the host does not do that, as a guest that reaches pages it has given up, or worse, cannot go on.
func (m *Mirror) Clear() {
	clear(m.pages)
	clear(m.wrote)
	clear(m.large)
	if _, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(m.space)), uintptr(len(m.space)), unix.PROT_NONE, noAccess|unix.MAP_FIXED); err != nil {
		panic(fmt.Sprintf("mirror: taking away its pages: %v", err))
	}
	mappings.Add(-m.maps)
	m.maps = 0
}
