package jit

// What a hart remembers of translations: for each TLB bank a jump cache and a shadow stack (package amd64, control.go). Both hold host
// addresses, and both are right only as long as the bank's fetch translations are: hart.State.TLB says what has to be forgotten.

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// jump is an entry of a jump cache. An empty one has the address 0, so that fresh memory is an empty cache, but for the first, where 0
// would be: no instruction has an odd address.
type jump struct{ va, code uint64 }

const noJump = 1

type jumpCache [amd64.JumpEntries]jump

// shadow is a shadow stack. Few are deep: the host provides what is used.
type shadow [amd64.ShadowBytes / 8]uint64

// memories is what is mapped for a hart. Page aligned, so that the stacks, which come first, are aligned to their size.
type memories struct {
	shadows [mmu.NumBanks]shadow
	jumps   [mmu.NumBanks]jumpCache
}

type remembered struct {
	mapping []byte
	ahead   sync.WaitGroup // of the jump caches of the banks that are used first, half of them, and the tops of the stacks: the host provides them beside the hart
	*memories
	used        uint64 // bit i: generated code may have used the jump cache of bank i since it was cleared
	host, guest uint64 // the frame at the end of a shadow stack
}

// open maps the memory of a hart, and tells its state where it is.
//
// The conversion is safe: the mapping is aligned to a shadow stack and longer than memories by what the alignment takes, holds no Go
// pointers, and stays until close.
func (r *remembered) open(h *hart.Hart, routines *amd64.Routines) error {
	const align = amd64.ShadowBytes
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(memories{}))+align, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("mapping the jump caches of a hart: %w", err)
	}
	r.mapping = mem
	start := -int(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) & (align - 1)
	r.memories = (*memories)(unsafe.Pointer(&mem[start]))
	const shadows, jumps, top = unsafe.Offsetof(memories{}.shadows), unsafe.Offsetof(memories{}.jumps), 32 << 10
	mem = mem[start:]
	r.ahead.Go(func() {
		code.Populate(mem[jumps : jumps+unsafe.Sizeof(memories{}.jumps)/2])
		for i := range uintptr(mmu.NumBanks) {
			code.Populate(mem[shadows+(i+1)*amd64.ShadowBytes-top : shadows+(i+1)*amd64.ShadowBytes])
		}
	})
	r.host, r.guest = routines.InitShadow()
	for i := range mmu.NumBanks {
		h.JumpCaches[i] = uint64(uintptr(unsafe.Pointer(&r.jumps[i])))
	}
	return nil
}

func (r *remembered) close() error {
	mem := r.mapping
	if mem == nil {
		return nil
	}
	r.ahead.Wait()
	r.mapping, r.memories = nil, nil
	return unix.Munmap(mem)
}

// forget does what h.TLB asks for.
func (r *remembered) forget(h *hart.Hart) {
	t := &h.TLB
	for i := range mmu.NumBanks {
		if t.Forget>>i&1 != 0 {
			r.forgetBank(h, i)
		}
	}
	for _, p := range t.ForgetPages[:t.ForgetCount] {
		if t.Forget>>p.Bank&1 == 0 {
			r.forgetPage(h, p)
		}
	}
	t.Forget, t.ForgetCount = 0, 0
}

func (r *remembered) forgetBank(h *hart.Hart, i int) {
	b := &h.TLB.Banks[i]
	jumps := &r.jumps[i]
	if r.used>>i&1 != 0 {
		for i, rows := range notedRows(b) {
			for ; rows != 0; rows &= rows - 1 {
				first := (64*i + bits.TrailingZeros64(rows)) * jumpRow
				clear(jumps[first : first+jumpRow])
			}
		}
		r.used &^= 1 << i
	}
	jumps[0].va = noJump
	b.ForgetExec()
	for k := range b.Fetch {
		b.Fetch[k].Table = 0
	}
	r.forgetReturns(h, i)
}

// jumpRow is how many entries of a jump cache the jump targets of an eighth of a page have. They are side by side, and the rows of a page are in order; pages that
// are a multiple of rowPages apart have the same.
const (
	eighth   = memory.PageSize / 8
	jumpRow  = eighth / 2
	rowPages = amd64.JumpEntries / jumpRow / 8
)

// notedRows are the rows of a bank's jump cache that may hold anything, a bit each: what Exec says of all pages that have the same rows.
func notedRows(b *mmu.Bank) (rows [rowPages / 8]uint64) {
	if b.ExecLow > b.ExecHigh {
		return rows
	}
	// Programs and their libraries are so far apart that it is the whole filter, mostly zeros.
	const chunk = rowPages * memory.PageSize
	first, last := b.ExecLow/chunk, b.ExecHigh/chunk
	for n := range min(last-first+1, mmu.ExecEntries/rowPages) {
		at := (first + n) * rowPages % mmu.ExecEntries
		for i := range rows {
			rows[i] |= binary.LittleEndian.Uint64(b.Exec[at+8*uint64(i):])
		}
	}
	return rows
}

// use notes which banks generated code can get to: the present one, and by traps and returns those of the same address space.
func (r *remembered) use(h *hart.Hart) {
	t := &h.TLB
	r.used |= 1<<(h.Bank%mmu.NumBanks) | 1<<(t.Current[mmu.ViewU]%64) | 1<<(t.Current[mmu.ViewS]%64)
}

// forgetReturns empties the shadow stack of a bank.
func (r *remembered) forgetReturns(h *hart.Hart, i int) {
	s := &r.shadows[i]
	s[amd64.ShadowTop/8], s[amd64.ShadowTop/8+1] = r.host, r.guest
	h.ShadowSP[i] = uint64(uintptr(unsafe.Pointer(&s[amd64.ShadowTop/8])))
}

// makeRoom empties the shadow stack of a bank if there is little left of it, but for the host's return address that may be on top.
func (r *remembered) makeRoom(h *hart.Hart, i uint64) {
	at := h.ShadowSP[i] % amd64.ShadowBytes
	if at >= amd64.ShadowRoom {
		return
	}
	s := &r.shadows[i]
	top := s[at/8]
	r.forgetReturns(h, int(i))
	if at%16 != 0 {
		s[amd64.ShadowTop/8-1] = top
		h.ShadowSP[i] -= 8
	}
}

func (r *remembered) forgetPage(h *hart.Hart, p mmu.ForgottenPage) {
	jumps := &r.jumps[p.Bank%mmu.NumBanks]
	for noted := h.TLB.Banks[p.Bank%mmu.NumBanks].Exec[mmu.ExecIndex(p.Page)]; noted != 0; noted &= noted - 1 {
		first := amd64.JumpIndex(p.Page+uint64(bits.TrailingZeros8(noted))*eighth) &^ (jumpRow - 1)
		entries := jumps[first : first+jumpRow]
		for i := range entries {
			if j := &entries[i]; j.va&^memory.PageMask == p.Page {
				*j = jump{}
			}
		}
	}
	if jumps[0].va == 0 {
		jumps[0].va = noJump
	}
	r.forgetReturns(h, int(p.Bank%mmu.NumBanks))
}
