package mmu

// Walks: a table of the cases that the manual names, and a comparison with a model that follows the manual's own steps on
// generated page tables.

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/memory"
)

// tables is physical memory that holds only page-table entries.
type tables struct {
	pte      map[uint64]uint64
	noRead   map[uint64]bool // PMP forbids reading the entry
	noWrite  map[uint64]bool
	meddle   func() // runs once, before the next compare-and-swap
	swapped  int
	attempts int
}

func newTables() *tables {
	return &tables{pte: map[uint64]uint64{}, noRead: map[uint64]bool{}, noWrite: map[uint64]bool{}}
}

func (m *tables) LoadPTE(a memory.GPA) (uint64, bool) {
	return m.pte[uint64(a)], !m.noRead[uint64(a)]
}

func (m *tables) CompareAndSwapPTE(a memory.GPA, old, new uint64) (swapped, ok bool) {
	m.attempts++
	if m.noWrite[uint64(a)] {
		return false, false
	}
	if f := m.meddle; f != nil {
		m.meddle = nil
		f()
	}
	if m.pte[uint64(a)] != old {
		return false, true
	}
	m.pte[uint64(a)] = new
	m.swapped++
	return true, true
}

// bit extracts v[hi:lo], as the manual writes it.
func bit(v uint64, hi, lo int) uint64 {
	return v >> lo & (1<<(hi-lo+1) - 1)
}

// outcome is what the model says.
type outcome struct {
	pa    uint64
	fault Fault
	write map[uint64]uint64 // entries that the walk changes
}

// model is the virtual address translation process of Privileged 1.13 §12.3.2, step by step, with the additions of Sv48, Sv57,
// Svnapot (§12.5, "Svnapot") and Svpbmt. It knows nothing of how the package under test does it.
func model(m *tables, r Regime, va uint64, acc Access) outcome {
	mode := bit(r.Satp, 63, 60)
	levels := map[uint64]int{8: 3, 9: 4, 10: 5}[mode]
	vabits := map[uint64]int{8: 39, 9: 48, 10: 57}[mode]
	// "bits 63–39 must all be equal to bit 38, or else a page-fault exception will occur"
	for b := vabits; b < 64; b++ {
		if bit(va, b, b) != bit(va, vabits-1, vabits-1) {
			return outcome{fault: PageFault}
		}
	}
	// Step 1.
	a := bit(r.Satp, 43, 0) * 4096
	i := levels - 1
	for {
		// Step 2.
		vpn := bit(va, 12+9*i+8, 12+9*i)
		at := a + vpn*8
		if m.noRead[at] {
			return outcome{fault: AccessFault}
		}
		pte := m.pte[at]
		V, R, W, X := bit(pte, 0, 0), bit(pte, 1, 1), bit(pte, 2, 2), bit(pte, 3, 3)
		U, A, D := bit(pte, 4, 4), bit(pte, 6, 6), bit(pte, 7, 7)
		ppn, reserved, pbmt, n := bit(pte, 53, 10), bit(pte, 60, 54), bit(pte, 62, 61), bit(pte, 63, 63)
		// Step 3.
		if V == 0 || R == 0 && W == 1 || reserved != 0 {
			return outcome{fault: PageFault}
		}
		// Step 4.
		if R == 0 && X == 0 {
			if A != 0 || D != 0 || U != 0 || pbmt != 0 || n != 0 {
				return outcome{fault: PageFault} // "reserved for future standard use" in non-leaf entries
			}
			i--
			if i < 0 {
				return outcome{fault: PageFault}
			}
			a = ppn * 4096
			continue
		}
		// Step 3 again, for what is reserved in leaves.
		if pbmt == 3 || pbmt != 0 && !r.PBMTE {
			return outcome{fault: PageFault}
		}
		if n == 1 && (i != 0 || bit(ppn, 3, 0) != 0b1000) {
			return outcome{fault: PageFault}
		}
		// Step 5.
		if i > 0 && bit(ppn, 9*i-1, 0) != 0 {
			return outcome{fault: PageFault}
		}
		// Step 6.
		switch {
		case U == 0 && r.User:
			return outcome{fault: PageFault}
		case U == 1 && !r.User && acc == Fetch:
			return outcome{fault: PageFault} // "irrespective of the state of SUM"
		case U == 1 && !r.User && !r.SUM:
			return outcome{fault: PageFault}
		}
		// Step 7.
		readable := R == 1 || r.MXR && X == 1
		if acc == Load && !readable || acc == Store && W == 0 || acc == Fetch && X == 0 {
			return outcome{fault: PageFault}
		}
		// Step 8.
		o := outcome{write: map[uint64]uint64{}}
		if A == 0 || acc == Store && D == 0 {
			if !r.ADUE {
				return outcome{fault: PageFault}
			}
			if m.noWrite[at] {
				return outcome{fault: AccessFault}
			}
			pte |= 1 << 6
			if acc == Store {
				pte |= 1 << 7
			}
			o.write[at] = pte
		}
		// Step 9.
		o.pa = bit(va, 11, 0)
		for l := 0; l < levels; l++ {
			part := bit(ppn, 9*l+8, 9*l)
			if l == levels-1 {
				part = bit(ppn, 43, 9*l)
			}
			if l < i {
				part = bit(va, 12+9*l+8, 12+9*l)
			}
			o.pa |= part << (12 + 9*l)
		}
		if n == 1 {
			o.pa = o.pa&^0xf000 | va&0xf000
		}
		return o
	}
}

// generator makes page tables that are mostly right, and wrong in every way now and then.
type generator struct{ *rand.Rand }

func (g generator) rarely() bool { return g.IntN(24) == 0 }

func (g generator) build(mode uint64) (m *tables, satp uint64, va uint64) {
	m = newTables()
	levels := int(mode) - 5
	table := uint64(g.IntN(1 << 20))
	satp = mode<<60 | g.Uint64N(1<<16)<<44 | table
	va = uint64(int64(g.Uint64()) >> (64 - (12 + 9*levels)))
	if g.rarely() {
		va ^= 1 << (12 + 9*levels + g.IntN(64-12-9*levels))
	}
	for i := levels - 1; i >= 0; i-- {
		at := table*4096 + va>>(12+9*i)&511*8
		var pte uint64
		leaf := i == 0 || g.IntN(4) == 0
		if leaf {
			pte = g.Uint64N(1<<44)<<10 | uint64(g.IntN(1<<10)) | 1
			if g.IntN(3) != 0 {
				pte |= PTER | PTEA
			}
			if g.IntN(2) == 0 {
				pte |= PTED
			}
			if g.IntN(8) != 0 {
				pte &^= (1<<(9*i) - 1) << 10 // aligned
			}
			if g.IntN(4) == 0 {
				pte |= PTEN
				if !g.rarely() {
					pte = pte&^(15<<10) | 8<<10
				}
			}
			if g.IntN(4) == 0 {
				pte |= g.Uint64N(4) << 61
			}
		} else {
			next := uint64(g.IntN(1 << 20))
			pte = next<<10 | 1 | uint64(g.IntN(4))<<8 | uint64(g.IntN(2))*PTEG
			table = next
			if g.rarely() {
				pte |= []uint64{PTEU, PTEA, PTED, PTEN, 1 << 61, 2 << 61}[g.IntN(6)]
			}
		}
		if g.rarely() {
			pte &^= PTEV
		}
		if g.rarely() {
			pte |= 1 << (54 + g.IntN(7))
		}
		m.pte[at] = pte
		if g.rarely() {
			m.noRead[at] = true
		}
		if g.rarely() {
			m.noWrite[at] = true
		}
		if leaf {
			break
		}
	}
	return m, satp, va
}

func TestWalkEqualsModel(t *testing.T) {
	const rounds = 60_000
	for _, mode := range []uint64{ModeSv39, ModeSv48, ModeSv57} {
		t.Run(fmt.Sprintf("mode %d", mode), func(t *testing.T) {
			g := generator{rand.New(rand.NewPCG(mode, 2))}
			count := map[Fault]int{}
			updates := 0
			for range rounds {
				m, satp, va := g.build(mode)
				r := Regime{Satp: satp, User: g.IntN(2) == 0, SUM: g.IntN(2) == 0, MXR: g.IntN(2) == 0,
					ADUE: g.IntN(2) == 0, PBMTE: g.IntN(2) == 0}
				acc := Access(g.IntN(3))
				before := map[uint64]uint64{}
				for a, pte := range m.pte {
					before[a] = pte
				}
				want := model(m, r, va, acc)
				leaf, fault := Walk(m, &r, va, acc)
				if fault != want.fault || fault == NoFault && uint64(leaf.GPA) != want.pa {
					t.Fatalf("%+v access %d va %#x in %#x:\ngot  %#x fault %d\nwant %#x fault %d", r, acc, va, before,
						leaf.GPA, fault, want.pa, want.fault)
				}
				for a, pte := range want.write {
					before[a] = pte
				}
				for a, pte := range before {
					if m.pte[a] != pte {
						t.Fatalf("%+v access %d va %#x: entry at %#x is %#x, want %#x", r, acc, va, a, m.pte[a], pte)
					}
				}
				count[fault]++
				updates += m.swapped
			}
			for f := range AccessFault + 1 {
				if count[f] < rounds/100 {
					t.Errorf("outcome %d came up %d times in %d: the generator misses it", f, count[f], rounds)
				}
			}
			if updates < rounds/100 {
				t.Errorf("A and D were set %d times in %d", updates, rounds)
			}
		})
	}
}

// leafAt maps va by one leaf at a level, through tables at pages 1, 2, 3, ...
func leafAt(mode, va uint64, level int, pte uint64) *tables {
	m := newTables()
	table := uint64(1)
	for i := int(mode) - 6; i >= level; i-- {
		at := table<<12 | va>>(12+9*i)&511<<3
		if i == level {
			m.pte[at] = pte
			break
		}
		table++
		m.pte[at] = table<<10 | PTEV
	}
	return m
}

func TestWalkCases(t *testing.T) {
	const (
		ok   = NoFault
		page = PageFault
		rw   = PTEV | PTER | PTEW | PTEA | PTED
		rx   = PTEV | PTER | PTEX | PTEA
		xo   = PTEV | PTEX | PTEA
	)
	ppn := func(n uint64) uint64 { return n << 10 }
	cases := []struct {
		name  string
		mode  uint64
		va    uint64
		level int
		pte   uint64
		r     Regime
		acc   Access
		fault Fault
		pa    memory.GPA
		after uint64 // the leaf afterwards, if not the same
	}{
		{name: "page", mode: ModeSv39, va: 0x12_3456_7abc, pte: ppn(0x8_1234) | rw, acc: Load, pa: 0x8123_4abc},
		{name: "highest Sv39 address of the low half", mode: ModeSv39, va: 1<<38 - 1, pte: ppn(1) | rw, acc: Load, pa: 0x1fff},
		{name: "lowest that is not canonical in Sv39", mode: ModeSv39, va: 1 << 38, pte: ppn(1) | rw, acc: Load, fault: page},
		{name: "lowest Sv39 address of the high half", mode: ModeSv39, va: ^uint64(1<<38 - 1), pte: ppn(1) | rw, acc: Load, pa: 0x1000},
		{name: "not canonical in Sv48", mode: ModeSv48, va: 1 << 47, pte: ppn(1) | rw, acc: Load, fault: page},
		{name: "canonical in Sv57", mode: ModeSv57, va: 1 << 55, pte: ppn(1) | rw, acc: Load, pa: 0x1000},
		{name: "not canonical in Sv57", mode: ModeSv57, va: 1 << 56, pte: ppn(1) | rw, acc: Load, fault: page},
		{name: "2 MiB", mode: ModeSv39, va: 0x2_3456, level: 1, pte: ppn(0x200) | rw, acc: Load, pa: 0x22_3456},
		{name: "2 MiB misaligned", mode: ModeSv39, va: 0x2_3456, level: 1, pte: ppn(0x201) | rw, acc: Load, fault: page},
		{name: "1 GiB", mode: ModeSv48, va: 0x1234_5678, level: 2, pte: ppn(0x4_0000) | rw, acc: Load, pa: 0x5234_5678},
		{name: "512 GiB", mode: ModeSv48, va: 0x11_2233_4455, level: 3, pte: ppn(1<<27) | rw, acc: Load, pa: 0x91_2233_4455},
		{name: "256 TiB misaligned", mode: ModeSv57, va: 0, level: 4, pte: ppn(1<<35) | rw, acc: Load, fault: page},
		{name: "pointer at the last level", mode: ModeSv39, va: 0, pte: ppn(1) | PTEV, acc: Load, fault: page},
		{name: "invalid", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTEV, acc: Load, fault: page},
		{name: "W without R", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTER, acc: Store, fault: page},
		{name: "W and X without R", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTER | PTEX, acc: Fetch, fault: page},
		{name: "reserved bit", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 1<<54, acc: Load, fault: page},
		{name: "RSW is software's", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 3<<8, acc: Load, pa: 0x1000},
		{name: "store to read-only", mode: ModeSv39, va: 0, pte: ppn(1) | rx | PTED, acc: Store, fault: page},
		{name: "fetch without X", mode: ModeSv39, va: 0, pte: ppn(1) | rw, acc: Fetch, fault: page},
		{name: "load of execute-only", mode: ModeSv39, va: 0, pte: ppn(1) | xo, acc: Load, fault: page},
		{name: "load of execute-only, MXR", mode: ModeSv39, va: 0, pte: ppn(1) | xo, r: Regime{MXR: true}, acc: Load, pa: 0x1000},
		{name: "user, kernel page", mode: ModeSv39, va: 0, pte: ppn(1) | rw, r: Regime{User: true}, acc: Load, fault: page},
		{name: "user, user page", mode: ModeSv39, va: 0, pte: ppn(1) | rw | PTEU, r: Regime{User: true}, acc: Load, pa: 0x1000},
		{name: "kernel, user page", mode: ModeSv39, va: 0, pte: ppn(1) | rw | PTEU, acc: Load, fault: page},
		{name: "kernel, user page, SUM", mode: ModeSv39, va: 0, pte: ppn(1) | rw | PTEU, r: Regime{SUM: true}, acc: Store, pa: 0x1000},
		{name: "kernel fetches a user page, SUM", mode: ModeSv39, va: 0, pte: ppn(1) | rx | PTEU, r: Regime{SUM: true}, acc: Fetch, fault: page},
		{name: "Svade, A clear", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTEA, acc: Load, fault: page},
		{name: "Svade, D clear, load", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTED, acc: Load, pa: 0x1000},
		{name: "Svade, D clear, store", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^PTED, acc: Store, fault: page},
		{name: "Svadu, load sets A", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^(PTEA|PTED), r: Regime{ADUE: true}, acc: Load,
			pa: 0x1000, after: ppn(1) | rw&^PTED},
		{name: "Svadu, store sets A and D", mode: ModeSv39, va: 0, pte: ppn(1) | rw&^(PTEA|PTED), r: Regime{ADUE: true}, acc: Store,
			pa: 0x1000, after: ppn(1) | rw},
		{name: "Svadu, a store that is not allowed sets nothing", mode: ModeSv39, va: 0, pte: ppn(1) | rx&^PTEA,
			r: Regime{ADUE: true}, acc: Store, fault: page},
		{name: "NAPOT", mode: ModeSv39, va: 0x1_5678, pte: ppn(0x8_0008) | rw | PTEN, acc: Load, pa: 0x8000_5678},
		{name: "NAPOT of another size", mode: ModeSv39, va: 0, pte: ppn(0x8_0004) | rw | PTEN, acc: Load, fault: page},
		{name: "NAPOT superpage", mode: ModeSv39, va: 0, level: 1, pte: ppn(0x8_0000) | rw | PTEN, acc: Load, fault: page},
		{name: "PBMT without PBMTE", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 1<<61, acc: Load, fault: page},
		{name: "PBMT NC", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 1<<61, r: Regime{PBMTE: true}, acc: Load, pa: 0x1000},
		{name: "PBMT IO", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 2<<61, r: Regime{PBMTE: true}, acc: Load, pa: 0x1000},
		{name: "PBMT reserved", mode: ModeSv39, va: 0, pte: ppn(1) | rw | 3<<61, r: Regime{PBMTE: true}, acc: Load, fault: page},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := leafAt(c.mode, c.va, c.level, c.pte)
			c.r.Satp = c.mode<<60 | 1
			leaf, fault := Walk(m, &c.r, c.va, c.acc)
			if fault != c.fault || fault == ok && leaf.GPA != c.pa {
				t.Fatalf("got %#x, fault %d; want %#x, fault %d", uint64(leaf.GPA), fault, uint64(c.pa), c.fault)
			}
			if fault != ok {
				if m.swapped != 0 {
					t.Fatal("a walk that faults changed an entry")
				}
				return
			}
			if c.after == 0 {
				c.after = c.pte
			}
			if leaf.PTE != c.after || m.swapped != 0 != (c.after != c.pte) {
				t.Fatalf("leaf is %#x, want %#x", leaf.PTE, c.after)
			}
		})
	}
}

// Another hart changes the leaf between the walk's read and its update: the walk must look at the new entry.
func TestWalkSeesConcurrentChange(t *testing.T) {
	const before = 1<<10 | PTEV | PTER | PTEW
	cases := []struct {
		name  string
		now   uint64
		fault Fault
		after uint64
	}{
		{"unmapped", 0, PageFault, 0},
		{"made read-only", 1<<10 | PTEV | PTER, PageFault, 1<<10 | PTEV | PTER},
		{"accessed by the other", before | PTEA, NoFault, before | PTEA | PTED},
		{"moved", 2<<10 | PTEV | PTER | PTEW, NoFault, 2<<10 | PTEV | PTER | PTEW | PTEA | PTED},
		{"done by the other", before | PTEA | PTED, NoFault, before | PTEA | PTED},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := leafAt(ModeSv39, 0, 0, before)
			const at = 3 << 12 // the third table's first entry
			m.meddle = func() { m.pte[at] = c.now }
			r := Regime{Satp: ModeSv39<<60 | 1, ADUE: true}
			leaf, fault := Walk(m, &r, 0, Store)
			if fault != c.fault || m.pte[at] != c.after {
				t.Fatalf("fault %d, entry %#x; want %d, %#x", fault, m.pte[at], c.fault, c.after)
			}
			if fault == NoFault && leaf.GPA != memory.GPA(c.after&PTEPPN<<2) {
				t.Fatalf("translated to %#x", uint64(leaf.GPA))
			}
		})
	}
}

func BenchmarkWalkSv39(b *testing.B) {
	m := flat{}
	m[0], m[512] = 1<<10|PTEV, 2<<10|PTEV
	m[1024] = 5<<10 | PTEV | PTER | PTEA
	r := Regime{Satp: ModeSv39 << 60}
	b.ReportAllocs()
	for b.Loop() {
		if _, f := Walk(&m, &r, 0, Load); f != NoFault {
			b.Fatal(f)
		}
	}
}

// flat is three tables in an array.
type flat [3 * 512]uint64

func (m *flat) LoadPTE(a memory.GPA) (uint64, bool)                       { return m[a/8], true }
func (m *flat) CompareAndSwapPTE(memory.GPA, uint64, uint64) (bool, bool) { return false, false }

// FuzzWalk walks tables whose entries the fuzzer chooses, and compares with the model.
func FuzzWalk(f *testing.F) {
	f.Add(uint8(0), uint8(1), uint64(0x1234_5678), uint64(0x800), uint64(0xc00|1), uint64(0x2000_00cf), uint64(0), uint64(0), uint64(0))
	f.Add(uint8(2), uint8(0xff), ^uint64(0), uint64(1), uint64(0x2000_00cf), uint64(1), uint64(1), uint64(1), uint64(1))
	f.Fuzz(func(t *testing.T, mode, flags uint8, va, root, p0, p1, p2, p3, p4 uint64) {
		r := Regime{Satp: uint64(ModeSv39+mode%3)<<60 | root&satpPPN, User: flags&1 != 0, SUM: flags&2 != 0,
			MXR: flags&4 != 0, ADUE: flags&8 != 0, PBMTE: flags&16 != 0}
		acc := Access(flags >> 5 % 3)
		m := newTables()
		table := root & satpPPN
		for i, pte := range []uint64{p0, p1, p2, p3, p4} {
			level := int(Mode(r.Satp)) - 6 - i
			if level < 0 {
				break
			}
			m.pte[table<<12|va>>(12+9*level)&511<<3] = pte
			table = pte & PTEPPN >> PTEPPNShift
		}
		want := model(m, r, va, acc)
		leaf, fault := Walk(m, &r, va, acc)
		if fault != want.fault || fault == NoFault && uint64(leaf.GPA) != want.pa {
			t.Fatalf("got %#x fault %d, want %#x fault %d", uint64(leaf.GPA), fault, want.pa, want.fault)
		}
		for at, pte := range want.write {
			if m.pte[at] != pte {
				t.Fatalf("entry %#x, want %#x", m.pte[at], pte)
			}
		}
	})
}
