package mmu

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/memory"
)

const (
	satpA = ModeSv39<<60 | 1<<44 | 0x100
	satpB = ModeSv39<<60 | 2<<44 | 0x200
)

func hits(e DataEntry, va, n uint64) bool { return va^e.Tag <= memory.PageSize-n }

func TestTagRefusesWhatCrosses(t *testing.T) {
	e := DataEntry{Tag: 0x5000}
	for _, n := range []uint64{1, 2, 4, 8} {
		for va := uint64(0x4ff0); va < 0x6010; va++ {
			want := va>>12 == 5 && va&memory.PageMask <= memory.PageSize-n
			if hits(e, va, n) != want {
				t.Fatalf("access of %d bytes at %#x: hit is %v", n, va, !want)
			}
		}
	}
}

func TestEmptyTagMatchesNothingThatComesToItsSlot(t *testing.T) {
	for slot := range uint64(DataEntries) {
		for _, high := range []uint64{0, 1 << 22, 1 << 63, 0xffff_ffff_ffc0_0000} {
			for _, off := range []uint64{0, 1, memory.PageMask} {
				va := high | slot<<memory.PageShift | off
				if e := (DataEntry{Tag: EmptyTag(DataIndex(va))}); hits(e, va, 1) || va&^memory.PageMask == e.Tag {
					t.Fatalf("the empty tag of slot %d matches %#x", slot, va)
				}
			}
		}
	}
}

func TestSelectKeepsBanksOverContextSwitches(t *testing.T) {
	tlb := new(TLB)
	tlb.Init()
	a := tlb.Select(satpA, ViewU, NoBank)
	tlb.Banks[a].FillLoad(0x1000, 7)
	tlb.SwitchSatp(satpB)
	b := tlb.Select(satpB, ViewU, NoBank)
	if a == b {
		t.Fatal("two address spaces share a bank")
	}
	tlb.SwitchSatp(satpA)
	if got := tlb.Select(satpA, ViewU, NoBank); got != a || tlb.Banks[got].Load[DataIndex(0x1000)] != (DataEntry{0x1000, 7}) {
		t.Fatal("the first address space lost its entries")
	}
	m := tlb.Select(satpA, ViewM, NoBank)
	tlb.SwitchSatp(satpB)
	if got := tlb.Select(satpB, ViewM, NoBank); got != m {
		t.Fatal("M-mode depends on satp")
	}
}

func TestSelectTakesTheOldestBankAndNotTheKeptOne(t *testing.T) {
	tlb := new(TLB)
	tlb.Init()
	keep := tlb.Select(satpA, ViewS, NoBank)
	tlb.Banks[keep].FillLoad(0x1000, 7)
	for i := range uint64(3 * NumBanks) {
		tlb.SwitchSatp(satpB + i)
		got := tlb.Select(satpB+i, ViewU, keep)
		if got == keep {
			t.Fatalf("switch %d took the bank in use", i)
		}
		if tlb.Banks[got].Filled != 0 {
			t.Fatalf("switch %d got a bank with somebody else's entries", i)
		}
		tlb.Banks[got].FillLoad(0x1000, i)
	}
	// The youngest of them are still there, and Current never names a bank that has changed hands.
	last := uint64(3*NumBanks - 1)
	tlb.SwitchSatp(satpB + last)
	if got := tlb.Select(satpB+last, ViewU, keep); tlb.Banks[got].Load[DataIndex(0x1000)].Host != last {
		t.Fatal("the youngest bank is gone")
	}
}

func TestSelectForgetsTheCurrentBankItTakes(t *testing.T) {
	tlb := new(TLB)
	tlb.Init()
	m := tlb.Select(0, ViewM, NoBank)
	for i := range uint64(NumBanks) {
		tlb.SwitchSatp(satpA + i)
		tlb.Select(satpA+i, ViewU, NoBank)
	}
	if tlb.Current[ViewM] != NoBank {
		t.Fatalf("ViewM still names bank %d", m)
	}
	if got := tlb.Select(0, ViewM, NoBank); View(tlb.Keys[got].View) != ViewM {
		t.Fatal("ViewM got a bank of another view")
	}
}

func TestAddressSpacesShareWhatIsGlobal(t *testing.T) {
	tlb := new(TLB)
	tlb.Init()
	global := tlb.Select(satpA, ViewS, NoBank)
	tlb.Banks[global].FillLoad(1<<63, 7)
	for _, bits := range []uint64{PTEG, 0} {
		leaf := uint64(PTEV | PTER | PTEW | PTEA | PTED)
		if r := tlb.Banks[global].Rules[Store]; (leaf|bits)&r.Mask == r.Want != (bits == PTEG) {
			t.Errorf("the rule of a shared bank for a leaf with %#x", bits)
		}
	}
	tlb.SwitchSatp(satpB)
	if got := tlb.Select(satpB, ViewS, NoBank); got != global || tlb.Current[ViewS] != global {
		t.Error("the bank is not shared")
	}
	if tlb.Select(satpB, ViewU, NoBank) == global || tlb.Select(satpB, ViewSSum, NoBank) == global {
		t.Error("views that reach user pages share it")
	}
	tlb.Flush(Flush{HasASID: true, ASID: ASID(satpB)})
	tlb.Flush(Flush{HasASID: true, ASID: ASID(satpA), HasVA: true, VA: 1 << 63})
	if tlb.Banks[global].Load[DataIndex(1<<63)].Tag != 1<<63 {
		t.Error("a fence of one address space dropped it")
	}
	// One of them turns out to have pages of its own.
	tlb.Privatize(satpB)
	own := tlb.Select(satpB, ViewS, NoBank)
	if own == global {
		t.Fatal("a private address space shares the bank")
	}
	tlb.SwitchSatp(satpA)
	if got := tlb.Select(satpA, ViewS, NoBank); got != global {
		t.Error("the others do not share it any more")
	}
	tlb.SwitchSatp(satpB)
	if tlb.Current[ViewS] != own {
		t.Error("its bank is forgotten")
	}
	tlb.SwitchSatp(satpA)
	tlb.Flush(Flush{HasVA: true, VA: 1 << 63})
	if tlb.Banks[global].Load[DataIndex(1<<63)].Tag == 1<<63 {
		t.Error("a fence of all address spaces left it")
	}
	for i := range uint64(len(tlb.Private) + 1) {
		tlb.Privatize(satpB + i)
	}
	tlb.SwitchSatp(satpA)
	if got := tlb.Select(satpA, ViewS, NoBank); got == global {
		t.Error("the list is full, and the bank still shared")
	}
}

// A rule lets through nothing that Walk does not.
func TestRulesAreStricterThanTheWalk(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 4))
	const interesting = PTEV | PTER | PTEW | PTEX | PTEU | PTEG | PTEA | PTED
	let := 0
	for range 200000 {
		view, acc := View(g.IntN(NumViews)), Access(g.IntN(3))
		pte := g.Uint64()&interesting | 5<<PTEPPNShift
		if g.IntN(8) == 0 {
			pte |= 1 << (54 + g.IntN(10))
		}
		r := rules(view, g.IntN(2) == 0)[acc]
		if pte&r.Mask != r.Want {
			continue
		}
		let++
		regime := Regime{User: view&^ViewMXR == ViewU, SUM: view&^ViewMXR == ViewSSum, MXR: view&ViewMXR != 0}
		want := uint64(PTEV | PTEA)
		if acc == Store {
			want |= PTED
		}
		if !view.Translated() || pte&want != want || pte&(PTER|PTEW) == PTEW || pte&PTEReserved != 0 ||
			!leafLegal(pte, pte&PTEPPN>>PTEPPNShift, 0, false) || !allowed(pte, &regime, acc) {
			t.Fatalf("view %d, access %d: a rule lets %#x through", view, acc, pte)
		}
	}
	if let < 1000 {
		t.Errorf("only %d leaves were let through", let)
	}
}

func TestFlush(t *testing.T) {
	type entry struct {
		satp  uint64
		view  View
		va    uint64
		shift uint // of the leaf
	}
	user := entry{satpA, ViewU, 0x40_0000, 12}
	cases := []struct {
		name string
		e    entry
		f    Flush
		gone bool
		kept bool // must be kept: precision that matters for speed
	}{
		{"everything", user, Flush{}, true, false},
		{"its address", user, Flush{HasVA: true, VA: 0x40_0fff}, true, false},
		{"another address", user, Flush{HasVA: true, VA: 0x40_1000}, false, true},
		{"an address with the same index", user, Flush{HasVA: true, VA: 0x40_0000 + DataEntries<<12}, false, true},
		{"its ASID", user, Flush{HasASID: true, ASID: 1}, true, false},
		{"its ASID, with bits that do not count", user, Flush{HasASID: true, ASID: 1<<16 | 1}, true, false},
		{"another ASID", user, Flush{HasASID: true, ASID: 2}, false, true},
		{"its address and ASID", user, Flush{HasVA: true, VA: 0x40_0000, HasASID: true, ASID: 1}, true, false},
		{"its address in another ASID", user, Flush{HasVA: true, VA: 0x40_0000, HasASID: true, ASID: 2}, false, true},
		{"ASID 0 is an ASID", entry{satpA &^ (0xffff << 44), ViewU, 0, 12}, Flush{HasASID: true}, true, false},
		{"range that ends at it", user, Flush{HasVA: true, VA: 0x3f_f000, Size: 0x1001}, true, false},
		{"range that ends before it", user, Flush{HasVA: true, VA: 0x3f_f000, Size: 0x1000}, false, true},
		{"range, start within the page before", user, Flush{HasVA: true, VA: 0x3f_f800, Size: 0x801}, true, false},
		{"range of a gigabyte", user, Flush{HasVA: true, VA: 0, Size: 1 << 30}, true, false},
		{"range that wraps", user, Flush{HasVA: true, VA: ^uint64(0), Size: 0x50_0000}, true, false},
		{"2 MiB leaf, first address", entry{satpA, ViewU, 0x51_2000, 21}, Flush{HasVA: true, VA: 0x40_0000}, true, false},
		{"2 MiB leaf, last address", entry{satpA, ViewU, 0x51_2000, 21}, Flush{HasVA: true, VA: 0x5f_ffff}, true, false},
		{"2 MiB leaf, past it", entry{satpA, ViewU, 0x51_2000, 21}, Flush{HasVA: true, VA: 0x60_0000}, false, true},
		{"NAPOT leaf", entry{satpA, ViewU, 0x51_2000, 16}, Flush{HasVA: true, VA: 0x51_f000}, true, false},
		{"1 GiB leaf in the high half", entry{satpA, ViewS, 0xffff_ffd8_1234_5000, 30}, Flush{HasVA: true, VA: 0xffff_ffd8_0000_0000}, true, false},
		{"high leaf, low address", entry{satpA, ViewSSum, 0xffff_ffd8_1234_5000, 30}, Flush{HasVA: true, VA: 0x1000}, false, true},
		{"bare", entry{0, ViewBare, 0x8000_0000, 12}, Flush{}, false, true},
		{"machine", entry{0, ViewM, 0x8000_0000, 12}, Flush{HasVA: true, VA: 0x8000_0000}, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tlb := new(TLB)
			tlb.Init()
			b := &tlb.Banks[tlb.Select(c.e.satp, c.e.view, NoBank)]
			b.FillLoad(c.e.va, 1)
			b.FillStore(c.e.va, 1)
			b.FillFetch(c.e.va, 0x8000_0000)
			if c.e.shift > 12 {
				b.NoteBig(c.e.va, c.e.shift)
			}
			tlb.SwitchSatp(0) // a flush reaches banks that are not current, too
			tlb.Flush(c.f)
			page := c.e.va &^ memory.PageMask
			there := [...]bool{b.Load[DataIndex(page)].Tag == page, b.Store[DataIndex(page)].Tag == page, b.Fetch[FetchIndex(page)].Tag == page}
			for i, present := range there {
				if c.gone && present || c.kept && !present {
					t.Errorf("table %d: present is %v", i, present)
				}
			}
			tlb.FlushAll()
			if b.Load[DataIndex(page)].Tag == page || b.Filled != 0 {
				t.Error("FlushAll left it")
			}
		})
	}
}

// No flush may leave an entry that its leaf's address and ASID name: random entries against a list of what was put in.
func TestFlushNeverLeavesStaleEntries(t *testing.T) {
	type mapping struct {
		bank   uint64
		satp   uint64
		va, lo uint64
		hi     uint64
	}
	g := rand.New(rand.NewPCG(1, 2))
	satps := []uint64{satpA, satpB, satpA + 1}
	for range 2000 {
		tlb := new(TLB)
		tlb.Init()
		var in []mapping
		for turn := range 90 {
			satp := satps[g.IntN(len(satps))]
			tlb.SwitchSatp(satp)
			bank := tlb.Select(satp, View(g.IntN(3)), NoBank)
			va := uint64(g.IntN(1<<12)) << 12
			if g.IntN(2) == 0 {
				va |= 0xffff_ffff << 32
			}
			shift := []uint{12, 12, 12, 16, 21}[g.IntN(5)]
			tlb.Banks[bank].FillLoad(va, 0)
			if shift > 12 {
				tlb.Banks[bank].NoteBig(va, shift)
			}
			lo := va &^ (1<<shift - 1)
			in = append(in, mapping{bank, satp, va, lo, lo + (1<<shift - 1)})
			if turn%30 != 29 {
				continue
			}
			victim := in[g.IntN(len(in))]
			f := Flush{HasVA: g.IntN(4) != 0, VA: victim.lo + g.Uint64N(victim.hi-victim.lo+1), HasASID: g.IntN(2) == 0,
				ASID: ASID(victim.satp), Size: []uint64{0, 1, 0x1000, 0x5001}[g.IntN(4)]}
			tlb.Flush(f)
			in = slices.DeleteFunc(in, func(m mapping) bool {
				last := f.VA + max(f.Size, 1) - 1
				if f.HasVA && (m.hi < f.VA || m.lo > last) || f.HasASID && (ASID(m.satp) != f.ASID || tlb.Keys[m.bank].Shared != 0) {
					return false
				}
				if tlb.Banks[m.bank].Load[DataIndex(m.va)].Tag == m.va {
					t.Fatalf("%+v left %+v", f, m)
				}
				return true
			})
		}
	}
}
