package jit

// Where the table of each page is, for generated code that makes a fetch entry.

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/memory"
)

// tables is, for each page of RAM, the host address of the page's table while the page is watched, else 0. They lie outside the Go heap,
// where generated code reads them. Machine.mu guards changes; a hart that reads one that is about to be freed has it in
// a fetch entry when it answers the fence of Machine.evict, and drops it then.
type tables struct {
	mapping []byte
	first   uint64 // guest physical address of RAM
}

func newTables(ram *memory.RAM) (tables, error) {
	if ram == nil {
		return tables{}, nil // a machine that is only tried
	}
	size := int(ram.Size() >> memory.PageShift * 8)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return tables{}, fmt.Errorf("mapping the addresses of tables: %w", err)
	}
	return tables{mem, uint64(ram.Base())}, nil
}

func (t *tables) close() error {
	mem := t.mapping
	t.mapping = nil
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

// base is the host address of the first.
func (t *tables) base() uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(t.mapping)))) }

// at is safe: the mapping is page aligned, and indexing checks its length.
func (t *tables) at(gpa uint64) *uint64 {
	return (*uint64)(unsafe.Pointer(&t.mapping[(gpa-t.first)>>memory.PageShift*8]))
}

func (t *tables) get(gpa uint64) uint64 { return atomic.LoadUint64(t.at(gpa)) }

func (t *tables) put(gpa uint64, to *table) {
	atomic.StoreUint64(t.at(gpa), uint64(uintptr(unsafe.Pointer(to))))
}
