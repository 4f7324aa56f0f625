package mmu

// What fences drop (Privileged 1.13 §12.2.1): never less than they must, and little more, because a guest kernel fences single
// addresses all the time and an entry that is gone costs a walk.
//
// A fence of one address drops whatever the leaf of that address backs. Entries are pages whatever the size of their leaf, so a
// bank remembers which large leaves it has entries of; a fence inside one drops every entry of the leaf's block.
//
// The translator remembers jump targets by virtual address, outside the TLB. Whatever is dropped here is left for it in
// TLB.Forget and TLB.ForgetPages, as far as a bank's Exec filter says that there can be any. So is what its mirrors (package mirror) have to drop.

import (
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
)

// leafShifts are the sizes of leaves larger than a page: NAPOT, 2 MiB, 1 GiB, 512 GiB, 256 TiB.
var leafShifts = [numLeafSizes]uint{16, 21, 30, 39, 48}

const numLeafSizes = 5

// leaves is a superset of the leaves of one size, in one half of the address space, that back entries of a bank: those in a
// range of addresses whose block number, modulo the number of bits, is in a set. The range keeps a kernel's mapping of all
// of RAM from filling the set for everybody else.
type leaves struct {
	lo, hi uint64 // of addresses, both included, of whole leaves; empty when lo > hi
	seen   [leafBits / 64]uint64
}

const leafBits = LeafBits

// The layout of Bank.Big, for generated code that does NoteBig: distances in bytes.
const (
	LeavesOfHalf = unsafe.Sizeof([numLeafSizes]leaves{}) // from one half of the address space to the other
	LeavesOf2M   = 1 * unsafe.Sizeof(leaves{})           // in a half
	LeavesOf1G   = 2 * unsafe.Sizeof(leaves{})
	LeavesLow    = unsafe.Offsetof(leaves{}.lo) // in the leaves of one size
	LeavesHigh   = unsafe.Offsetof(leaves{}.hi)
	LeavesSeen   = unsafe.Offsetof(leaves{}.seen)
	LeafBits     = 512 // of the set
)

func (l *leaves) add(va uint64, shift uint) {
	l.lo = min(l.lo, va>>shift<<shift)
	l.hi = max(l.hi, va|(1<<shift-1))
	n := va >> shift % leafBits
	l.seen[n/64] |= 1 << (n % 64)
}

func (l *leaves) has(va uint64, shift uint) bool {
	n := va >> shift % leafBits
	return l.lo <= va && va <= l.hi && l.seen[n/64]>>(n%64)&1 != 0
}

// remove takes out a leaf of which no entry is left, unless another may share its bit.
func (l *leaves) remove(va uint64, shift uint) {
	if n := va >> shift % leafBits; l.hi-l.lo < leafBits<<shift {
		l.seen[n/64] &^= 1 << (n % 64)
	}
}

// NoteBig records that one leaf of 1<<shift bytes, larger than a page, backs the entry of va.
func (b *Bank) NoteBig(va uint64, shift uint) {
	for i, s := range leafShifts {
		if s == shift {
			b.Big[va>>63][i].add(va, shift)
			b.AnyBig[va>>63] = 1
		}
	}
}

// noLeaves is Big without a leaf.
var noLeaves = func() (big [2][numLeafSizes]leaves) {
	for half := range big {
		for i := range big[half] {
			big[half][i].lo = ^uint64(0)
		}
	}
	return big
}()

// eachUsed calls a function for the slots of Load and Store that may hold something.
func (b *Bank) eachUsed(f func(slot uint64)) {
	for g, used := range b.Used {
		if used == 0 {
			continue
		}
		for i := range uint64(UsedSlots) {
			f(uint64(g)*UsedSlots + i)
		}
	}
}

// clear marks every entry invalid. Who calls it sees to TLB.Forget; Exec stays until the translator has seen that, for it says what there is to forget.
func (b *Bank) clear() {
	b.eachUsed(func(slot uint64) {
		b.Load[slot].Tag = EmptyTag(slot)
		b.Store[slot].Tag = EmptyTag(slot)
	})
	b.Used = [UsedGroups]uint8{}
	for i := range b.Fetch {
		b.Fetch[i].Tag = InvalidTag
	}
	b.Big, b.AnyBig = noLeaves, [2]uint64{}
	b.Filled = 0
}

// empty drops every entry of a bank.
func (t *TLB) empty(i uint64) {
	t.Recheck |= t.Mirrored & (1 << i)
	if b := &t.Banks[i]; b.Filled != 0 {
		b.clear()
		t.Forget |= 1 << i
	}
}

// ForgetAll makes the translator drop every remembered jump target.
func (t *TLB) ForgetAll() {
	t.Forget = 1<<NumBanks - 1
	t.ForgetCount = 0
}

// forgetPage makes the translator drop the jump targets in one page, or where there is no room all of the bank's.
func (t *TLB) forgetPage(bank, page uint64) {
	switch {
	case t.Forget>>bank&1 != 0:
	case t.ForgetCount < uint64(len(t.ForgetPages)):
		t.ForgetPages[t.ForgetCount] = ForgottenPage{bank, page}
		t.ForgetCount++
	default:
		t.Forget |= 1 << bank
	}
}

// unmirror makes the translator drop pages from a bank's mirror, and what is in their leaves.
func (t *TLB) unmirror(bank, first, last uint64) {
	switch bit := uint64(1) << bank; {
	case t.Mirrored&bit == 0 || (t.Drop|t.Recheck)&bit != 0:
	case t.StaleCount < uint64(len(t.Stale)):
		t.Stale[t.StaleCount] = MirroredPages{bank, first, last}
		t.StaleCount++
	default:
		t.Recheck |= bit
	}
}

// drop drops the entries of the pages from first to last, both page addresses and included.
func (t *TLB) drop(bank, first, last uint64) {
	b := &t.Banks[bank]
	size := last - first // a tag is one of the pages if it is no more than this above first, or an empty one
	pages := size>>memory.PageShift + 1
	for i, n := uint64(0), min(pages, DataEntries); i < n; i++ {
		at := (first>>memory.PageShift + i) & (DataEntries - 1)
		if b.Used[at/UsedSlots] == 0 {
			i += UsedSlots - 1 - at%UsedSlots
			continue
		}
		if e := &b.Load[at]; e.Tag-first <= size {
			e.Tag = EmptyTag(at)
		}
		if e := &b.Store[at]; e.Tag-first <= size {
			e.Tag = EmptyTag(at)
		}
	}
	for i := range min(pages, FetchEntries) {
		if e := &b.Fetch[(first>>memory.PageShift+i)&(FetchEntries-1)]; e.Tag-first <= size {
			e.Tag = InvalidTag
		}
	}
	if b.ExecLow > last|memory.PageMask || b.ExecHigh < first {
		return
	}
	if pages >= ExecEntries {
		t.Forget |= 1 << bank
		return
	}
	for i := range pages {
		if page := first + i<<memory.PageShift; b.Exec[ExecIndex(page)] != 0 {
			t.forgetPage(bank, page)
		}
	}
}

// flushPages drops what a bank knows of the pages from first to last, and of whatever else their leaves map.
func (t *TLB) flushPages(bank, first, last uint64) {
	t.unmirror(bank, first, last)
	b := &t.Banks[bank]
	done := false
	for half := range b.Big {
		for i := range b.Big[half] {
			l, shift := &b.Big[half][i], leafShifts[i]
			if l.lo > last || l.hi < first {
				continue
			}
			for n := first >> shift; n <= last>>shift; n++ {
				if lo := n << shift; l.has(lo, shift) {
					hi := (lo | (1<<shift - 1)) &^ memory.PageMask
					t.drop(bank, lo, hi)
					l.remove(lo, shift)
					done = done || lo <= first && last <= hi
				}
			}
		}
	}
	if !done {
		t.drop(bank, first, last)
	}
}

// Flush names the translations that a fence must drop (Privileged 1.13 §12.2.1, SFENCE.VMA). Without an address every
// address is meant, and without an ASID every address space, global mappings included.
type Flush struct {
	VA      uint64
	Size    uint64 // bytes from VA; 0 means one byte, that is the page of VA
	ASID    uint64
	HasVA   bool
	HasASID bool
}

// maxFlushPages is the number of pages from which emptying the banks is cheaper than looking for each page.
const maxFlushPages = 64

// Flush drops translations. It may drop more than it is asked to, never less. Views without translation are left alone:
// they hold nothing that comes from a page table.
func (t *TLB) Flush(f Flush) {
	end := f.VA
	if f.Size != 0 {
		end = f.VA + (f.Size - 1)
	}
	first, last := f.VA&^memory.PageMask, end&^memory.PageMask
	all := !f.HasVA || end < f.VA || last-first >= maxFlushPages<<memory.PageShift
	for i := range uint64(NumBanks) {
		k := &t.Keys[i]
		if k.Valid == 0 || !View(k.View).Translated() || f.HasASID && (k.Shared != 0 || ASID(k.Satp) != uint64(uint16(f.ASID))) {
			continue
		}
		if all {
			t.empty(i)
		} else if t.Banks[i].Filled != 0 || t.Mirrored>>i&1 != 0 {
			t.flushPages(i, first, last)
		}
	}
}

// DropStores drops every entry for stores to the host page at host.
func (t *TLB) DropStores(host uint64) {
	switch {
	case t.Mirrored == 0:
	case t.WatchCount < uint64(len(t.Watch)):
		t.Watch[t.WatchCount] = host
		t.WatchCount++
	default:
		t.Recheck |= t.Mirrored
	}
	for i := range t.Banks {
		b := &t.Banks[i]
		if b.Filled == 0 {
			continue
		}
		b.eachUsed(func(slot uint64) {
			if e := &b.Store[slot]; e.Host == host {
				e.Tag = EmptyTag(slot)
			}
		})
	}
}

// DropAllStores drops every entry for stores. Mirrors drop what may not be written any more.
func (t *TLB) DropAllStores() {
	t.Recheck |= t.Mirrored
	for i := range t.Banks {
		b := &t.Banks[i]
		b.eachUsed(func(slot uint64) { b.Store[slot].Tag = EmptyTag(slot) })
	}
}

// FlushAll empties every bank, those without translation too: PMP or what is behind an address has changed.
func (t *TLB) FlushAll() {
	t.Drop |= t.Mirrored
	for i := range uint64(NumBanks) {
		t.empty(i)
	}
}
