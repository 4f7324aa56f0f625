package mmu

// The software TLB: fixed-layout, pointer-free tables that engines index in line (interpreter) or from generated code.
//
// A bank belongs to one address space (the whole value of satp) at one effective privilege [View]; a handful are kept, so a
// context switch or a trap changes which bank is current, and flushes nothing. An entry is only ever made for a page where PMP,
// the page table and the bus agree on plain RAM for the whole 4 KiB, so a hit needs no further check; everything else takes the walk.
//
// What S-mode sees without SUM is mostly the same in every address space, and a kernel says so by the G bit. One bank therefore serves them
// all, as long as every leaf is global (Privileged 1.13 §12.3.1); an address space where one is not has a bank of its own from then on.
//
// A TLB belongs to whoever owns its hart's state (see package hart): nothing here is locked. What drops entries is in flush.go.

import (
	"slices"
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
)

// View is what decides, beside satp, whether a translation is allowed: the effective privilege of an access and the mstatus
// bits that loosen it. Part of a bank's identity.
type View uint8

// ViewMXR is a flag on the translated views; it changes what loads may read and nothing else.
const (
	ViewU    View = iota // U-mode, translated
	ViewS                // S-mode, translated, SUM=0
	ViewSSum             // S-mode, translated, SUM=1
	ViewM                // M-mode: no translation, the PMP rules of M-mode
	ViewBare             // S- or U-mode with satp.MODE=Bare: no translation, the PMP rules of S and U
	ViewMXR  View = 8    // flag: mstatus.MXR=1
	NumViews      = 16
)

// Translated says whether the view goes through page tables.
func (v View) Translated() bool { return v != ViewM && v != ViewBare }

// Sizes of a bank's tables, in entries; powers of two.
const (
	DataEntries  = 2048
	FetchEntries = 256
	NumBanks     = 16
	// UsedGroups is how many groups of slots a bank's Used tells apart, and UsedSlots how many slots of Load and of Store there are in one.
	UsedGroups = 64
	UsedSlots  = DataEntries / UsedGroups
	// ExecEntries is the number of bytes in a bank's filter of pages with remembered jump targets.
	ExecEntries = 4096
)

// InvalidTag is that of a fetch entry that matches no address: its low bits are those of a misaligned page.
const InvalidTag = ^uint64(0)

// EmptyTag is that of a load or store entry that matches no address, by its slot: it is a page that belongs into another slot.
func EmptyTag(slot uint64) uint64 { return (slot ^ 1) << memory.PageShift }

// NoBank in [TLB.Current] says that the bank of a view has to be looked for.
const NoBank = ^uint64(0)

// DataEntry maps one virtual page for loads or for stores.
// An access at va hits when va &^ PageMask == Tag. In one comparison with the check that it ends inside the page, n bytes hit when va ^ Tag,
// the offset in the page if it is the same, is at most PageSize - n. That is why an empty entry has the tag of a page elsewhere.
type DataEntry struct {
	Tag  uint64
	Host uint64 // host address of the page
}

// FetchEntry maps one virtual page for instruction fetch. Hits when va &^ PageMask == Tag.
type FetchEntry struct {
	Tag uint64
	GPA uint64 // guest physical address of the page
	// Table is the translator's: the host address of the page's table of translations, 0 while it is not known.
	Table uint64
	_     uint64
}

// bankTables is what a bank holds; a type of its own so that [Bank] can be padded by its size.
type bankTables struct {
	Load  [DataEntries]DataEntry
	Store [DataEntries]DataEntry
	Fetch [FetchEntries]FetchEntry

	// Exec is a filter, by [ExecIndex]: a bit says that the translator may have remembered, for this bank, jump targets in that eighth of
	// a page with that index. Its owner sets it, and only for pages that a fetch entry was made for, and empties it when it has dropped them: not
	// when the bank is emptied, for what there is to drop is known from it.
	Exec [ExecEntries]uint8
	// ExecLow and ExecHigh, both included, are the addresses that Exec speaks of; empty when ExecLow > ExecHigh.
	ExecLow, ExecHigh uint64

	// Big is which leaves larger than a page back entries, by the half of the address space (the top bit of the address: user and
	// kernel) and by size: a flush of one address drops every entry that the same leaf backs.
	Big [2][numLeafSizes]leaves
	// AnyBig is non-zero, by the half of the address space, when Big has a leaf there.
	AnyBig [2]uint64
	// Filled is non-zero when there may be a valid entry: an empty bank need not be emptied.
	Filled uint64
	// Used is non-zero for each group of slots that may have a valid entry in Load or in Store: what a fence of everything costs is by what was
	// filled since the last one, and not by the size of the tables.
	Used [UsedGroups]uint8
	// Rules are what generated code fills entries by, by Access. They are the view's, and stay when the bank is emptied.
	Rules [3]Rule

	// Mirror and Tables are the translator's, and stay when the bank is emptied: the host address of the bank's mirror (package mirror), or
	// 0 if it has none, and that of the array of tables of translations, by page of RAM, that its code is found by.
	Mirror, Tables uint64
}

// Bank is the TLB of one address space at one view. It is whole pages, so that it can be mapped on its own (hart.Hart.Window).
type Bank struct {
	bankTables
	_ [(memory.PageSize - unsafe.Sizeof(bankTables{})%memory.PageSize) % memory.PageSize]byte
}

// Key is the identity of a bank. The keys are kept apart from the banks so that looking for one touches few cache lines.
type Key struct {
	Satp    uint64 // the whole CSR; 0 for the views without translation; of a shared bank the mode
	View    uint64
	Valid   uint64 // 0: the bank belongs to nobody, and is empty
	LastUse uint64 // value of TLB.Clock, for replacement
	Shared  uint64 // 1: the bank is that of all address spaces, and has only entries of global leaves
}

// TLB is every bank of one hart. It is empty once Init has run.
type TLB struct {
	Banks [NumBanks]Bank // first, so that where the TLB is page aligned they are
	Keys  [NumBanks]Key
	// Current is, for each view under the present satp, the index of its bank, or NoBank: a trap or a return finds its bank
	// with one load.
	Current [NumViews]uint64
	Clock   uint64 // source of Key.LastUse
	// Private are address spaces whose ViewS does not share a bank, the first PrivateCount; all of them when they are more than fit.
	Private      [8]uint64
	PrivateCount uint64

	// What the translator must have dropped of its remembered jump targets before generated code runs again. It clears these.
	Forget      uint64 // bit i: everything of bank i
	ForgetPages [16]ForgottenPage
	ForgetCount uint64 // how many of ForgetPages are meant

	// Mirrored are the banks with a mirror, bit i for bank i; the translator sets it. The rest is what has to be dropped from mirrors before
	// generated code runs again. The translator clears these.
	Mirrored   uint64
	Drop       uint64            // bit i: everything; the bank may have become another address space's
	Recheck    uint64            // bit i: whatever is mapped otherwise now, or may not be written any more
	Stale      [32]MirroredPages // these
	StaleCount uint64            // how many of Stale are meant
	Watch      [16]uint64        // stores to these pages of the host, under every address
	WatchCount uint64            // how many of Watch are meant
}

// MirroredPages are the pages from First to Last, both page addresses and included, of one bank, and whatever else their leaves map.
type MirroredPages struct{ Bank, First, Last uint64 }

// ForgottenPage is one page whose jump targets are to be dropped from one bank.
type ForgottenPage struct {
	Bank uint64 // index
	Page uint64 // virtual address of the page
}

// DataIndex is the slot of a virtual address in a bank's Load and Store tables.
func DataIndex(va uint64) uint64 { return va >> memory.PageShift & (DataEntries - 1) }

// FetchIndex is the slot of a virtual address in a bank's Fetch table.
func FetchIndex(va uint64) uint64 { return va >> memory.PageShift & (FetchEntries - 1) }

// ExecIndex is the slot of a virtual address in a bank's Exec filter.
func ExecIndex(va uint64) uint64 { return va >> memory.PageShift & (ExecEntries - 1) }

// Init empties the TLB and forgets every bank.
func (t *TLB) Init() {
	for i := range t.Banks {
		b := &t.Banks[i]
		for g := range b.Used { // fresh memory is no empty table: an empty entry is not zero
			b.Used[g] = 1
		}
		b.clear()
		t.Keys[i] = Key{}
	}
	t.ForgetAll()
	t.Drop = t.Mirrored
	for v := range t.Current {
		t.Current[v] = NoBank
	}
	t.Clock, t.PrivateCount = 0, 0
}

// SwitchSatp makes those banks current for the translated views that satp, which has changed, has already. They count as used.
func (t *TLB) SwitchSatp(satp uint64) {
	for v := range t.Current {
		if View(v) != ViewM && View(v) != ViewBare {
			t.Current[v] = NoBank
		}
	}
	t.Clock++
	for i := range t.Keys {
		if k := &t.Keys[i]; k.Valid != 0 && View(k.View).Translated() && k.is(t.key(satp, View(k.View))) {
			t.Current[k.View%NumViews] = uint64(i)
			k.LastUse = t.Clock
		}
	}
}

// Select returns the index of the bank of (satp, view), taking the least recently used one when there is none yet.
// keep is the index of a bank that must not be taken; satp is ignored for views without translation.
// Precondition: satp is the present satp of the hart.
func (t *TLB) Select(satp uint64, view View, keep uint64) uint64 {
	if b := t.Current[view]; b != NoBank {
		return b
	}
	return t.find(satp, view, keep)
}

// key is that of the bank of (satp, view).
func (t *TLB) key(satp uint64, view View) Key {
	k := Key{Satp: satp, View: uint64(view), Valid: 1}
	if !view.Translated() {
		k.Satp = 0
	} else if view == ViewS && !t.private(satp) {
		k.Satp, k.Shared = satp>>satpModeShift<<satpModeShift, 1
	}
	return k
}

func (k *Key) is(l Key) bool { return k.Satp == l.Satp && k.View == l.View && k.Shared == l.Shared }

func (t *TLB) private(satp uint64) bool {
	n := t.PrivateCount
	return n > uint64(len(t.Private)) || slices.Contains(t.Private[:n], satp)
}

// Privatize gives an address space a bank of its own for ViewS: a leaf that is not global has turned up. Its bank has to be selected again.
func (t *TLB) Privatize(satp uint64) {
	if t.private(satp) {
		return
	}
	if t.PrivateCount < uint64(len(t.Private)) {
		t.Private[t.PrivateCount] = satp
	}
	t.PrivateCount++
	t.Current[ViewS] = NoBank
}

func (t *TLB) find(satp uint64, view View, keep uint64) uint64 {
	want := t.key(satp, view)
	victim, oldest := uint64(0), ^uint64(0)
	found := NoBank
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.Valid != 0 && k.is(want) {
			found = uint64(i)
			break
		}
		if uint64(i) != keep && k.LastUse < oldest {
			victim, oldest = uint64(i), k.LastUse
		}
	}
	if found == NoBank {
		found = victim
		for v := range t.Current {
			if t.Current[v] == victim {
				t.Current[v] = NoBank
			}
		}
		t.empty(victim)
		t.Forget |= 1 << victim
		t.Drop |= t.Mirrored & (1 << victim)
		t.Keys[victim] = want
		t.Banks[victim].Rules = rules(view, want.Shared != 0)
	}
	t.Clock++
	t.Keys[found].LastUse = t.Clock
	t.Current[view] = found
	return found
}

// NoteExec says that a jump target at va may be remembered.
func (b *Bank) NoteExec(va uint64) {
	b.Exec[ExecIndex(va)] |= 1 << (va >> (memory.PageShift - 3) & 7)
	b.ExecLow, b.ExecHigh = min(b.ExecLow, va), max(b.ExecHigh, va)
}

// ForgetExec says that none is.
func (b *Bank) ForgetExec() {
	if b.ExecLow <= b.ExecHigh {
		clear(b.Exec[:])
	}
	b.ExecLow, b.ExecHigh = ^uint64(0), 0
}

// FillLoad makes loads of the page at va reach the page of host memory at host.
func (b *Bank) FillLoad(va, host uint64) {
	i := DataIndex(va)
	b.Load[i] = DataEntry{va &^ memory.PageMask, host}
	b.Filled, b.Used[i/UsedSlots] = 1, 1
}

// FillStore makes stores to the page at va reach the page of host memory at host.
// Precondition: the leaf that maps the page is dirty, so that no store skips setting its D bit.
func (b *Bank) FillStore(va, host uint64) {
	i := DataIndex(va)
	b.Store[i] = DataEntry{va &^ memory.PageMask, host}
	b.Filled, b.Used[i/UsedSlots] = 1, 1
}

// FillFetch makes fetches from the page at va come from the guest physical page gpa.
func (b *Bank) FillFetch(va, gpa uint64) {
	b.Fetch[FetchIndex(va)] = FetchEntry{Tag: va &^ memory.PageMask, GPA: gpa &^ memory.PageMask}
	b.Filled = 1
}
