package hart

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

func TestLoadStoreRAM(t *testing.T) {
	m := newMachine(t)
	for _, size := range []int{1, 2, 4, 8} {
		for offset := range uint64(16) { // over a page's end, and misaligned in every way
			va := ramBase + 0x1ff8 + offset
			m.poke(ramBase+0x1ff0, 0)
			for i := range uint64(4) {
				m.poke(ramBase+0x1ff0+8*i, ^uint64(0))
			}
			const v = 0x1122_3344_5566_7788
			if !m.Store(va, size, v) {
				t.Fatalf("store of %d at %#x failed", size, va)
			}
			for i := range uint64(32) {
				b, err := m.RAM.Load8(ramBase + 0x1ff0 + memory.GPA(i))
				if err != nil {
					t.Fatal(err)
				}
				want := byte(0xff)
				if k := ramBase + 0x1ff0 + i - va; k < uint64(size) {
					want = byte(uint64(v) >> (8 * k))
				}
				if b != want {
					t.Fatalf("store of %d at %#x: byte %#x is %#x, want %#x", size, va, ramBase+0x1ff0+i, b, want)
				}
			}
			mask := ^uint64(0) >> (64 - 8*size)
			if got, ok := m.Load(va, size); !ok || got != v&mask {
				t.Fatalf("load of %d at %#x: %#x", size, va, got)
			}
		}
	}
}

// A load is zero-extended, aligned or not, on one page or two.
func TestLoadIsZeroExtended(t *testing.T) {
	m := newMachine(t)
	for i := range uint64(4) {
		m.poke(ramBase+0xff0+8*i, ^uint64(0))
	}
	for _, size := range []int{1, 2, 4, 8} {
		for va := uint64(ramBase + 0xff0); va < ramBase+0x1008; va++ {
			if got, _ := m.Load(va, size); got != ^uint64(0)>>(64-8*size) {
				t.Fatalf("load of %d at %#x: %#x", size, va, got)
			}
		}
	}
}

func TestDeviceAccess(t *testing.T) {
	m := newMachine(t)
	for _, size := range []int{1, 2, 4, 8} {
		if !m.Store(devBase+8, size, 0x1122_3344_5566_7788) {
			t.Fatal("store failed")
		}
		if v, ok := m.Load(devBase+8, size); !ok || v != 0x1122_3344_5566_7788&(^uint64(0)>>(64-8*size)) {
			t.Fatalf("read %#x", v)
		}
	}
	faults := []struct {
		name  string
		f     func() bool
		cause uint64
		tval  uint64
	}{
		{"misaligned load", func() bool { _, ok := m.Load(devBase+1, 4); return ok }, riscv.CauseLoadAccess, devBase + 1},
		{"misaligned store", func() bool { return m.Store(devBase+2, 8, 0) }, riscv.CauseStoreAccess, devBase + 2},
		{"past the end", func() bool { _, ok := m.Load(devBase+64, 4); return ok }, riscv.CauseLoadAccess, devBase + 64},
		{"fetch", func() bool { _, _, ok := m.FetchPage(devBase); return ok }, riscv.CauseFetchAccess, devBase},
		{"lr", func() bool { _, ok := m.LoadReserved(devBase, 4); return ok }, riscv.CauseLoadAccess, devBase},
		{"sc", func() bool { _, ok := m.StoreConditional(devBase, 4, 0); return ok }, riscv.CauseStoreAccess, devBase},
		{"amo", func() bool { _, ok := m.AMO(AMOAdd, devBase, 4, 0); return ok }, riscv.CauseStoreAccess, devBase},
		{"amocas", func() bool { _, ok := m.CompareSwap(devBase, 8, 0, 0); return ok }, riscv.CauseStoreAccess, devBase},
		{"amocas.q", func() bool { _, ok := m.CompareSwap16(devBase, Pair{}, Pair{}); return ok }, riscv.CauseStoreAccess, devBase},
		{"cbo.zero", func() bool { return m.CBOZero(devBase) }, riscv.CauseStoreAccess, devBase},
		{"cbo.flush of nothing", func() bool { return m.CBOFlush(0x123) }, riscv.CauseStoreAccess, 0x123},
		{"past RAM", func() bool { return m.Store(ramBase+ramSize, 1, 0) }, riscv.CauseStoreAccess, ramBase + ramSize},
		{"half past RAM", func() bool { return m.Store(ramBase+ramSize-2, 4, 0) }, riscv.CauseStoreAccess, ramBase + ramSize},
		{"half before RAM", func() bool { return m.Store(ramBase-2, 4, 0) }, riscv.CauseStoreAccess, ramBase - 2},
		{"last address", func() bool { _, ok := m.Load(^uint64(0), 8); return ok }, riscv.CauseLoadAccess, ^uint64(0)},
	}
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			if c.f() {
				t.Fatal("allowed")
			}
			m.trapped(privM, c.cause, c.tval)
		})
	}
}

// A device that lies over RAM wins, for its bytes only, and keeps its page out of the TLB.
func TestDeviceOverRAM(t *testing.T) {
	m := newMachine(t)
	for range 2 {
		if !m.Store(overlay, 8, 0x55) || !m.Store(overlay+8, 8, 0x66) || !m.Store(overlay-0x40, 4, 0x77) {
			t.Fatal("store failed")
		}
	}
	if m.over.reg[0] != 0x55 || m.peek(overlay) != 0 || m.peek(overlay+8) != 0x66 || m.peek(overlay-0x40) != 0x77 {
		t.Fatal("stores went astray")
	}
	if v, ok := m.Load(overlay, 8); !ok || v != 0x55 {
		t.Fatalf("read %#x", v)
	}
	page := uint64(overlay &^ memory.PageMask)
	bank := &m.TLB.Banks[m.DataBank]
	if bank.Store[mmu.DataIndex(page)].Tag == page || bank.Load[mmu.DataIndex(page)].Tag == page {
		t.Fatal("the page has a TLB entry")
	}
	if _, whole, ok := m.FetchPage(page); !ok || whole {
		t.Fatal("the page can be fetched from, but not cached")
	}
	if v, ok := m.Fetch16(page); !ok || v != 0x77 {
		t.Fatalf("fetched %#x", v)
	}
	if _, ok := m.Fetch16(overlay); ok {
		t.Fatal("fetched from the device")
	}
}

func TestPageFaults(t *testing.T) {
	const va = 0x40_0000
	const u = mmu.PTEU
	load := func(m *machine) bool { _, ok := m.Load(va+8, 8); return ok }
	store := func(m *machine) bool { return m.Store(va+8, 8, 1) }
	fetch := func(m *machine) bool { _, ok := m.Fetch16(va + 8); return ok }
	amo := func(m *machine) bool { _, ok := m.AMO(AMOOr, va+8, 8, 1); return ok }
	lr := func(m *machine) bool { _, ok := m.LoadReserved(va+8, 8); return ok }
	sc := func(m *machine) bool { _, ok := m.StoreConditional(va+8, 8, 0); return ok }
	clean := func(m *machine) bool { return m.CBOClean(va + 8) }
	zero := func(m *machine) bool { return m.CBOZero(va + 8) }
	cases := []struct {
		name    string
		f       func(*machine) bool
		priv    uint64
		mstatus uint64
		pte     uint64
		cause   uint64 // 0: none
	}{
		{"load, unmapped", load, privS, 0, 0, riscv.CauseLoadPageFault},
		{"store, unmapped", store, privS, 0, 0, riscv.CauseStorePageFault},
		{"fetch, unmapped", fetch, privS, 0, 0, riscv.CauseFetchPageFault},
		{"amo, unmapped", amo, privS, 0, 0, riscv.CauseStorePageFault},
		{"lr, unmapped", lr, privS, 0, 0, riscv.CauseLoadPageFault},
		{"sc, unmapped", sc, privS, 0, 0, riscv.CauseStorePageFault},
		{"cbo.clean, unmapped", clean, privS, 0, 0, riscv.CauseStorePageFault},
		{"cbo.zero, unmapped", zero, privS, 0, 0, riscv.CauseStorePageFault},
		{"load", load, privS, 0, rwx, 0},
		{"store", store, privS, 0, rwx, 0},
		{"fetch", fetch, privS, 0, rwx, 0},
		{"amo", amo, privS, 0, rwx, 0},
		{"sc", sc, privS, 0, rwx, 0},
		{"cbo.clean, read-only", clean, privS, 0, rwx &^ mmu.PTEW, 0},
		{"cbo.zero, read-only", zero, privS, 0, rwx &^ mmu.PTEW, riscv.CauseStorePageFault},
		{"amo, read-only", amo, privS, 0, rwx &^ mmu.PTEW, riscv.CauseStorePageFault},
		{"lr, read-only", lr, privS, 0, rwx &^ mmu.PTEW, 0},
		{"U loads kernel page", load, privU, 0, rwx, riscv.CauseLoadPageFault},
		{"U loads user page", load, privU, 0, rwx | u, 0},
		{"S loads user page", load, privS, 0, rwx | u, riscv.CauseLoadPageFault},
		{"S loads user page, SUM", load, privS, MstatusSUM, rwx | u, 0},
		{"S fetches user page, SUM", fetch, privS, MstatusSUM, rwx | u, riscv.CauseFetchPageFault},
		{"U with SUM", load, privU, MstatusSUM, rwx, riscv.CauseLoadPageFault},
		{"load execute-only", load, privS, 0, rwx &^ (mmu.PTER | mmu.PTEW), riscv.CauseLoadPageFault},
		{"load execute-only, MXR", load, privS, MstatusMXR, rwx &^ (mmu.PTER | mmu.PTEW), 0},
		{"M does not translate", load, privM, 0, rwx, riscv.CauseLoadAccess},
		{"MPRV as S", load, privM, MstatusMPRV | privS<<mppShift, rwx, 0},
		{"MPRV as U", load, privM, MstatusMPRV, rwx, riscv.CauseLoadPageFault},
		{"MPRV as U, user page", load, privM, MstatusMPRV, rwx | u, 0},
		{"MPRV and MXR", load, privM, MstatusMPRV | MstatusMXR | privS<<mppShift, rwx &^ (mmu.PTER | mmu.PTEW), 0},
		{"MPRV as M", load, privM, MstatusMPRV | MstatusMPP, rwx, riscv.CauseLoadAccess},
		{"MPRV does not concern fetches", fetch, privM, MstatusMPRV | privS<<mppShift, rwx, riscv.CauseFetchAccess},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.paging(privS)
			m.set(riscv.CSRMenvcfg, envcfgS)
			m.set(riscv.CSRSenvcfg, envcfgS)
			if c.pte != 0 {
				m.mapPage(va, ramBase+0x3000, c.pte)
			}
			m.set(riscv.CSRMstatus, c.mstatus)
			m.SetPriv(c.priv)
			for range 2 {
				if ok := c.f(m); ok != (c.cause == 0) {
					t.Fatalf("allowed is %v", ok)
				}
				if c.cause != 0 {
					m.trapped(privM, c.cause, va+8)
					m.set(riscv.CSRMstatus, c.mstatus)
					m.SetPriv(c.priv)
				}
			}
		})
	}
}

// A misaligned access over two pages: both are checked before either is touched, and tval is the address that fails.
func TestPageCrossing(t *testing.T) {
	const va = 0x40_0ffd
	cases := []struct {
		name          string
		first, second uint64
		store         bool
		cause, tval   uint64
	}{
		{"load", rwx, rwx, false, 0, 0},
		{"store", rwx, rwx, true, 0, 0},
		{"load, first missing", 0, rwx, false, riscv.CauseLoadPageFault, va},
		{"load, second missing", rwx, 0, false, riscv.CauseLoadPageFault, 0x40_1000},
		{"store, second read-only", rwx, rwx &^ mmu.PTEW, true, riscv.CauseStorePageFault, 0x40_1000},
		{"store, both missing", 0, 0, true, riscv.CauseStorePageFault, va},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.paging(privS)
			m.mapPage(0x40_0000, ramBase+0x5000, c.first)
			m.mapPage(0x40_1000, ramBase+0x3000, c.second) // not next to each other in memory
			m.poke(ramBase+0x5ff8, 0x8877_6655_4433_2211)
			m.poke(ramBase+0x3000, 0x00ff_eedd_ccbb_aa99)
			var ok bool
			var v uint64
			if c.store {
				ok = m.Store(va, 8, 0x0123_4567_89ab_cdef)
			} else {
				v, ok = m.Load(va, 8)
			}
			if ok != (c.cause == 0) {
				t.Fatalf("allowed is %v", ok)
			}
			if !ok {
				m.trapped(privM, c.cause, c.tval)
			}
			lo, hi := m.peek(ramBase+0x5ff8), m.peek(ramBase+0x3000)
			switch {
			case c.store && ok:
				if lo != 0xabcdef_5544332211 || hi != 0x00ffee_0123456789 {
					t.Fatalf("stored %#x %#x", lo, hi)
				}
			case lo != 0x8877_6655_4433_2211 || hi != 0x00ff_eedd_ccbb_aa99:
				t.Fatalf("memory changed: %#x %#x", lo, hi)
			case ok && v != 0xdd_ccbb_aa99_8877_66:
				t.Fatalf("loaded %#x", v)
			}
		})
	}
}

// Svadu: a page that was only read is clean; the first store goes through the walk and sets D.
func TestDirtyBit(t *testing.T) {
	const va = 0x40_0000
	m := newMachine(t)
	m.paging(privS)
	m.set(riscv.CSRMenvcfg, EnvcfgADUE)
	leaf := m.mapPage(va, ramBase, rwx&^(mmu.PTEA|mmu.PTED))
	m.Load(va, 8)
	if m.peek(leaf)&(mmu.PTEA|mmu.PTED) != mmu.PTEA {
		t.Fatalf("entry %#x after a load", m.peek(leaf))
	}
	if m.TLB.Banks[m.DataBank].Store[mmu.DataIndex(va)].Tag == va {
		t.Fatal("a load made a store entry")
	}
	m.Store(va, 8, 0)
	if m.peek(leaf)&(mmu.PTEA|mmu.PTED) != mmu.PTEA|mmu.PTED {
		t.Fatalf("entry %#x after a store", m.peek(leaf))
	}
}

// The modes that follow each other in a system call see their own translations, and the entries survive.
func TestModesKeepTheirEntries(t *testing.T) {
	const user, kernel = 0x40_0000, 0x80_0000
	m := newMachine(t)
	m.paging(privU)
	m.mapPage(user, ramBase+0x3000, rwx|mmu.PTEU)
	m.mapPage(kernel, ramBase+0x4000, rwx)
	m.set(riscv.CSRMedeleg, ^uint64(0))
	m.Load(user, 8)
	m.PC = user
	m.Ecall()
	m.Load(kernel, 8)
	m.CSR(CSRSet, riscv.CSRSstatus, MstatusSUM, true)
	m.Load(user, 8)
	m.CSR(CSRClear, riscv.CSRSstatus, MstatusSUM, true)
	m.SRET()
	walks := m.Stats.Walks
	m.Load(user, 8)
	m.Ecall()
	m.Load(kernel, 8)
	m.CSR(CSRSet, riscv.CSRSstatus, MstatusSUM, true)
	m.Load(user, 8)
	if m.Stats.Walks != walks {
		t.Errorf("%d walks for translations that were known", m.Stats.Walks-walks)
	}
	m.CSR(CSRClear, riscv.CSRSstatus, MstatusSUM, true)
	if _, ok := m.Load(user, 8); ok {
		t.Error("SUM is still in force")
	}
}

func TestSatpSwitch(t *testing.T) {
	const va = 0x40_0000
	m := newMachine(t)
	m.paging(privS)
	m.mapPage(va, ramBase+0x3000, rwx)
	m.poke(ramBase+0x3000, 3)
	m.poke(ramBase+0x4000, 4)
	first := m.Satp
	m.set(riscv.CSRSatp, mmu.ModeSv39<<60|2<<44|m.alloc()>>12)
	m.mapPage(va, ramBase+0x4000, rwx)
	second := m.Satp
	for i := range 4 {
		for satp, want := range map[uint64]uint64{first: 3, second: 4} {
			m.CSR(CSRWrite, riscv.CSRSatp, satp, true)
			if v, _ := m.Load(va, 8); v != want {
				t.Fatalf("round %d: read %d through satp %#x", i, v, satp)
			}
		}
	}
	if m.Stats.Walks != 2 {
		t.Errorf("%d walks for two mappings", m.Stats.Walks)
	}
	m.CSR(CSRWrite, riscv.CSRSatp, 0, true)
	if v, ok := m.Load(ramBase+0x3000, 8); !ok || v != 3 {
		t.Error("Bare does not reach memory")
	}
}

func TestSfence(t *testing.T) {
	const va = 0x40_0000
	for _, c := range []struct {
		name           string
		va, asid       uint64
		hasVA, hasASID bool
		seen           uint64
	}{
		{"all", 0, 0, false, false, 4},
		{"address", va + 5, 0, true, false, 4},
		{"ASID", 0, 1, false, true, 4},
		{"both", va, 1, true, true, 4},
		{"not canonical", 1 << 50, 0, true, false, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.paging(privS)
			m.mapPage(va, ramBase+0x3000, rwx)
			m.poke(ramBase+0x3000, 3)
			m.poke(ramBase+0x4000, 4)
			m.Load(va, 8)
			m.mapPage(va, ramBase+0x4000, rwx)
			if !m.SFENCE(c.va, c.asid, c.hasVA, c.hasASID) {
				t.Fatal("illegal")
			}
			if v, _ := m.Load(va, 8); v != c.seen {
				t.Errorf("read %d", v)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	const va = 0x40_0000
	m := newMachine(t)
	m.paging(privU)
	m.mapPage(va, ramBase+0x3000, rwx|mmu.PTEU)
	m.poke(ramBase+0x3ff8, 0x1234_5678_9abc_def0)
	gpa, whole, ok := m.FetchPage(va + 0xffe)
	if gpa != ramBase+0x3000 || !whole || !ok {
		t.Fatalf("%#x whole %v ok %v", uint64(gpa), whole, ok)
	}
	if e := m.TLB.Banks[m.Bank].Fetch[mmu.FetchIndex(va)]; e != (mmu.FetchEntry{Tag: va, GPA: ramBase + 0x3000}) {
		t.Fatalf("entry %+v", e)
	}
	if v, ok := m.Fetch16(va + 0xffe); !ok || v != 0x1234 {
		t.Fatalf("fetched %#x", v)
	}
	// The second half of an instruction that crosses: the address is that of the half, epc that of the instruction.
	m.PC = va + 0xffe
	if _, ok := m.Fetch16(va + 0x1000); ok {
		t.Fatal("fetched from an unmapped page")
	}
	m.trapped(privM, riscv.CauseFetchPageFault, va+0x1000)
	if m.Mepc != va+0xffe {
		t.Fatalf("epc %#x", m.Mepc)
	}
}

// A page with a PMP boundary inside can be executed up to it, parcel by parcel.
func TestFetchWithPMPInsideThePage(t *testing.T) {
	m := newMachine(t)
	m.set(riscv.CSRPmpaddr0, (ramBase+0x100)>>2)
	m.set(riscv.CSRPmpcfg0, pmpTOR|pmpR|pmpX)
	m.SetPriv(privS)
	if _, whole, ok := m.FetchPage(ramBase + 0xfe); !ok || whole {
		t.Fatal("not fetched, or cached")
	}
	if _, ok := m.Fetch16(ramBase + 0xfe); !ok {
		t.Fatal("not fetched")
	}
	if _, ok := m.Fetch16(ramBase + 0x100); ok {
		t.Fatal("fetched past the boundary")
	}
	m.trapped(privM, riscv.CauseFetchAccess, ramBase+0x100)
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	const va = 0x40_0000
	m := newMachine(t)
	m.paging(privS)
	m.mapPage(va, ramBase+0x3000, rwx)
	m.set(riscv.CSRMedeleg, ^uint64(0))
	for name, f := range map[string]func(){
		"load":       func() { m.Load(va+1, 8) },
		"miss":       func() { m.TLB.FlushAll(); m.Load(va, 8) },
		"fault":      func() { m.Load(va+0x1000, 8) },
		"no RAM":     func() { m.Load(devBase+4096, 8) },
		"csr":        func() { m.CSR(CSRSet, riscv.CSRSscratch, 1, true) },
		"trap":       func() { m.Ecall(); m.SRET() },
		"interrupt":  func() { m.SetPending(3, true); m.Poll(); m.SetPending(3, false) },
		"sfence":     func() { m.SFENCE(va, 0, true, false) },
		"amo":        func() { m.AMO(AMOMaxU, va, 8, 1) },
		"amocas.q":   func() { m.CompareSwap16(va, Pair{}, Pair{}) },
		"wild walks": func() { m.SetPriv(privS); m.set(riscv.CSRSatp, mmu.ModeSv57<<60|1<<43); m.Load(va, 8) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkTranslate(b *testing.B) {
	const va = 0x40_0000
	paged := func(b *testing.B) *machine {
		m := newMachine(b)
		m.paging(privS)
		for i := range uint64(2) { // both pages share a slot of the TLB
			m.mapPage(va+i*mmu.DataEntries*memory.PageSize, ramBase+0x3000+i*memory.PageSize, rwx)
		}
		return m
	}
	b.Run("hit", func(b *testing.B) {
		m := paged(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := m.Load(va, 8); !ok {
				b.Fatal("fault")
			}
		}
	})
	b.Run("miss", func(b *testing.B) {
		m := paged(b)
		b.ReportAllocs()
		for i := uint64(0); b.Loop(); i++ {
			if _, ok := m.Load(va+i%2*mmu.DataEntries*memory.PageSize, 8); !ok {
				b.Fatal("fault")
			}
		}
	})
	b.Run("misaligned", func(b *testing.B) {
		m := paged(b)
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := m.Load(va+1, 8); !ok {
				b.Fatal("fault")
			}
		}
	})
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("satp switch between %d spaces", n+1), func(b *testing.B) {
			m := paged(b)
			satp := m.Satp
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.CSR(CSRWrite, riscv.CSRSatp, satp+uint64(i%(n+1))<<44, true)
			}
		})
	}
	b.Run("trap and return", func(b *testing.B) {
		m := paged(b)
		m.set(riscv.CSRMedeleg, ^uint64(0))
		m.SetPriv(privU)
		b.ReportAllocs()
		for b.Loop() {
			m.Ecall()
			m.SRET()
		}
	})
}

// One leaf backs the entries of many pages: a fence for any address of it drops them all.
func TestSfenceOfLargePages(t *testing.T) {
	const va, size = 0x4000_0000, 2 << 20
	for _, c := range []struct {
		name  string
		flags uint64
		level int
		fence uint64
	}{
		{"2 MiB", rwx, 1, va + size - 1},
		{"64 KiB", rwx | mmu.PTEN | 8<<10, 0, va + 0xf000},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.paging(privS)
			leaf := m.mapPage(va+0x5000, ramBase, c.flags)
			if c.level == 1 {
				// The entry that points to the last table becomes the leaf itself.
				leaf = m.peek((m.Satp<<12)&(1<<56-1)+va>>30*8)&mmu.PTEPPN<<2 + va>>21&511*8
				m.poke(leaf, ramBase>>12<<10|c.flags)
			}
			m.poke(ramBase+0x5000, 55)
			if v, ok := m.Load(va+0x5000, 8); !ok || v != 55 {
				t.Fatalf("loaded %d", v)
			}
			m.poke(leaf, 0)
			m.SFENCE(c.fence, 0, true, false)
			if _, ok := m.Load(va+0x5000, 8); ok {
				t.Error("the page is still there")
			}
		})
	}
}

// What menvcfg says of page tables holds from the write on.
func TestMenvcfgFlushes(t *testing.T) {
	const va = 0x40_0000
	m := newMachine(t)
	m.paging(privS)
	m.set(riscv.CSRMenvcfg, EnvcfgPBMTE)
	m.mapPage(va, ramBase, rwx|1<<mmu.PTEPBMTShift)
	if _, ok := m.Load(va, 8); !ok {
		t.Fatal("PBMT is not enabled")
	}
	m.set(riscv.CSRMenvcfg, 0)
	if _, ok := m.Load(va, 8); ok {
		t.Fatal("PBMT is still enabled")
	}
}
