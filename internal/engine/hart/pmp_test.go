package hart

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// matches says whether entry i covers the byte at a (Privileged 1.13 §3.7.1.1): the model, a byte at a time.
func (p *pmp) matches(i int, a uint64) bool {
	switch p.cfg[i] >> 3 & 3 {
	case 1: // TOR
		lo := uint64(0)
		if i > 0 {
			lo = p.addr[i-1] * 4
		}
		return lo <= a && a < p.addr[i]*4
	case 2: // NA4
		return a/4 == p.addr[i]
	case 3: // NAPOT: yyyy...0111 is the base with 2^(ones+3) bytes
		ones := 0
		for p.addr[i]>>ones&1 != 0 {
			ones++
		}
		return a>>(ones+3) == p.addr[i]>>(ones+1)
	}
	return false
}

// model is the rule of §3.7.1.3: the lowest-numbered entry that matches any byte must match all, then its permissions count.
func (p *pmp) model(first, last uint64, acc mmu.Access, machine bool) bool {
	for i := range p.count {
		some, all := false, true
		for a := first; ; a++ {
			if p.matches(i, a) {
				some = true
			} else {
				all = false
			}
			if a == last {
				break
			}
		}
		if !some {
			continue
		}
		if !all {
			return false
		}
		if machine && p.cfg[i]>>7 == 0 {
			return true
		}
		return p.cfg[i]>>map[mmu.Access]int{mmu.Load: 0, mmu.Store: 1, mmu.Fetch: 2}[acc]&1 != 0
	}
	return machine || p.count == 0
}

func TestPMPEqualsModel(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		p := pmp{count: []int{0, 8, 16}[g.IntN(3)]}
		for i := range p.count {
			if g.IntN(3) == 0 {
				continue
			}
			p.setAddr(i, g.Uint64N(64)|1<<g.IntN(6)-1)
			p.setCfg(i, uint8(g.IntN(256)))
		}
		p.update()
		for range 20 {
			n := uint64(1) << g.IntN(4)
			first := g.Uint64N(300) &^ (n - 1)
			acc, machine := mmu.Access(g.IntN(3)), g.IntN(2) == 0
			got, partial := p.check(first, first+n-1, acc, machine)
			if want := p.model(first, first+n-1, acc, machine); got != want {
				t.Fatalf("%+v: access %d of %d bytes at %#x, machine %v: %v", p, acc, n, first, machine, got)
			}
			if got && partial {
				t.Fatal("a partial match allowed an access")
			}
		}
		// What a page check says without reserve must hold for all of its bytes.
		acc, machine := mmu.Access(g.IntN(3)), g.IntN(2) == 0
		got, partial := p.check(64, 127, acc, machine)
		for a := uint64(64); a < 128 && !partial; a++ {
			if p.model(a, a, acc, machine) != got {
				t.Fatalf("%+v: block says %v, byte %#x disagrees", p, got, a)
			}
		}
	}
}

func TestPMPCases(t *testing.T) {
	const (
		page  = ramBase + 0x4000
		r, rw = pmpR, pmpR | pmpW
	)
	napot := func(base, size uint64) uint64 { return base>>2 | (size>>3 - 1) }
	type entry struct {
		cfg  uint8
		addr uint64
	}
	cases := []struct {
		name    string
		entries []entry
		priv    uint64
		va      uint64
		size    int
		store   bool
		ok      bool
	}{
		{"nothing set, M", nil, privM, page, 8, true, true},
		{"nothing set, S", nil, privS, page, 8, false, false},
		{"nothing set, U", nil, privU, page, 8, false, false},
		{"open", []entry{{rw | pmpNAPOT, pmpAddrMask}}, privU, page, 8, true, true},
		{"read-only", []entry{{r | pmpNAPOT, napot(page, 0x1000)}}, privS, page, 8, false, true},
		{"read-only, store", []entry{{r | pmpNAPOT, napot(page, 0x1000)}}, privS, page, 8, true, false},
		{"read-only, store, M", []entry{{r | pmpNAPOT, napot(page, 0x1000)}}, privM, page, 8, true, true},
		{"locked, store, M", []entry{{r | pmpNAPOT | pmpLocked, napot(page, 0x1000)}}, privM, page, 8, true, false},
		{"lowest number decides", []entry{{pmpNAPOT, napot(page, 8)}, {rw | pmpNAPOT, pmpAddrMask}}, privS, page, 8, false, false},
		{"next to it", []entry{{pmpNAPOT, napot(page, 8)}, {rw | pmpNAPOT, pmpAddrMask}}, privS, page + 8, 8, false, true},
		{"half in NA4", []entry{{rw | pmpNA4, page >> 2}, {rw | pmpNAPOT, pmpAddrMask}}, privS, page, 8, false, false},
		{"half in NA4, M", []entry{{pmpNA4, page >> 2}}, privM, page, 8, false, false},
		{"all in NA4", []entry{{rw | pmpNA4, page >> 2}}, privS, page, 4, false, true},
		{"misaligned over the end", []entry{{rw | pmpNAPOT, napot(page, 16)}}, privS, page + 12, 8, false, false},
		{"TOR", []entry{{0, page >> 2}, {rw | pmpTOR, (page + 0x10) >> 2}}, privS, page + 8, 8, true, true},
		{"TOR, its top", []entry{{0, page >> 2}, {rw | pmpTOR, (page + 0x10) >> 2}}, privS, page + 0x10, 8, true, false},
		{"TOR, below", []entry{{0, page >> 2}, {rw | pmpTOR, (page + 0x10) >> 2}}, privS, page - 8, 8, true, false},
		{"TOR from zero", []entry{{rw | pmpTOR, (page + 0x10) >> 2}}, privS, page, 8, true, true},
		{"TOR, empty", []entry{{0, page >> 2}, {rw | pmpTOR, page >> 2}}, privS, page, 8, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			cfg := uint64(0)
			for i, e := range c.entries {
				m.set(riscv.CSRPmpaddr0+uint16(i), e.addr)
				cfg |= uint64(e.cfg) << (8 * i)
			}
			m.set(riscv.CSRPmpcfg0, cfg)
			m.SetPriv(c.priv)
			for round := range 2 { // the second may find a TLB entry
				var ok bool
				cause := uint64(riscv.CauseLoadAccess)
				if c.store {
					ok = m.Store(c.va, c.size, 0)
					cause = riscv.CauseStoreAccess
				} else {
					_, ok = m.Load(c.va, c.size)
				}
				if ok != c.ok {
					t.Fatalf("round %d: allowed is %v", round, ok)
				}
				if !ok {
					m.trapped(privM, cause, c.va)
					m.SetPriv(c.priv)
				}
			}
		})
	}
}

func TestPMPLocks(t *testing.T) {
	m := newMachine(t)
	m.set(riscv.CSRPmpaddr0, 0x1000)
	m.set(riscv.CSRPmpaddr0+1, 0x2000)
	m.set(riscv.CSRPmpcfg0, (pmpLocked|pmpTOR|pmpR)<<8)
	m.set(riscv.CSRPmpcfg0, 0x1f1f)
	m.set(riscv.CSRPmpaddr0, 0)
	m.set(riscv.CSRPmpaddr0+1, 0)
	if got := m.csr(riscv.CSRPmpcfg0); got != (pmpLocked|pmpTOR|pmpR)<<8|0x1f {
		t.Errorf("pmpcfg0 %#x", got)
	}
	if m.csr(riscv.CSRPmpaddr0) != 0x1000 || m.csr(riscv.CSRPmpaddr0+1) != 0x2000 {
		t.Error("a locked address was written")
	}
	m.Reset(0)
	if m.csr(riscv.CSRPmpcfg0) != 0 {
		t.Error("a lock survives a reset")
	}
}

func TestPMPConfiguration(t *testing.T) {
	for _, c := range []struct {
		name           string
		before, v, got uint8
	}{
		{"everything but the lock", 0, 0x1f, 0x1f},
		{"bits that do not exist", 0, 0x60, 0},
		{"W without R", 0, pmpW, 0},
		{"W without R, with the rest", 0, pmpNA4 | pmpW | pmpX, pmpNA4 | pmpX},
		{"W without R over permissions", 0x1f, pmpNAPOT | pmpW, pmpNAPOT},
		{"W without R that locks", pmpR | pmpW, pmpLocked | pmpTOR | pmpW, pmpLocked | pmpTOR},
		{"over a lock", pmpLocked | pmpR, 0x1f, pmpLocked | pmpR},
	} {
		m := newMachine(t)
		m.set(riscv.CSRPmpcfg2, uint64(c.before)<<56)
		m.set(riscv.CSRPmpcfg2, uint64(c.v)<<56)
		if got := m.csr(riscv.CSRPmpcfg2); got != uint64(c.got)<<56 || m.pmp.cfg[15] != c.got {
			t.Errorf("%s: pmpcfg2 %#x, entry 15 %#x, want %#x", c.name, got, m.pmp.cfg[15], c.got)
		}
	}
}

// A write of PMP takes effect on pages that the TLB knows.
func TestPMPWriteFlushes(t *testing.T) {
	m := newMachine(t)
	m.OpenPMP()
	m.SetPriv(privS)
	if _, ok := m.Load(ramBase, 8); !ok {
		t.Fatal("PMP is open")
	}
	m.set(riscv.CSRPmpcfg0, 0)
	if _, ok := m.Load(ramBase, 8); ok {
		t.Fatal("PMP is closed")
	}
}

// Page tables are read and written with S-mode's permissions, whatever the access that needs them.
func TestPMPOfPageTables(t *testing.T) {
	const va = 0x40_0000
	for _, c := range []struct {
		cfg   uint8
		pte   uint64
		acc   mmu.Access
		cause uint64
	}{
		{0, rwx, mmu.Load, riscv.CauseLoadAccess},
		{0, rwx, mmu.Store, riscv.CauseStoreAccess},
		{0, rwx, mmu.Fetch, riscv.CauseFetchAccess},
		{pmpR, rwx, mmu.Load, 0},
		{pmpR, rwx &^ mmu.PTEA, mmu.Load, riscv.CauseLoadAccess},
		{pmpR, rwx &^ mmu.PTED, mmu.Store, riscv.CauseStoreAccess},
		{pmpR, rwx &^ mmu.PTEA, mmu.Fetch, riscv.CauseFetchAccess},
		{pmpR | pmpW, rwx &^ mmu.PTEA, mmu.Fetch, 0},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			m := newMachine(t)
			m.paging(privS)
			m.set(riscv.CSRMenvcfg, EnvcfgADUE)
			leaf := m.mapPage(va, ramBase, c.pte)
			m.set(riscv.CSRPmpaddr0+1, pmpAddrMask)
			m.set(riscv.CSRPmpaddr0, leaf>>2|1<<9-1) // the page of the leaf
			m.set(riscv.CSRPmpcfg0, uint64(pmpNAPOT|c.cfg)|0x1f<<8)
			switch c.acc {
			case mmu.Load:
				m.Load(va, 8)
			case mmu.Store:
				m.Store(va, 8, 0)
			default:
				m.FetchPage(va)
			}
			if m.Mcause != c.cause {
				t.Errorf("cause %d", m.Mcause)
			}
		})
	}
}

// PMPOpen is what check says of every page of RAM, for every access.
func TestPMPOpenEqualsCheck(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 8))
	opened := 0
	m := newMachine(t)
	for range 3000 {
		m.pmp.reset()
		for i := range 8 {
			cfg := uint64(g.IntN(256))
			if g.IntN(3) != 0 {
				cfg |= pmpR | pmpW | pmpX
			}
			cfg &^= pmpLocked
			// Page-aligned and now and then not, from nothing to more than RAM.
			addr := (ramBase + g.Uint64N(ramSize*2) - ramSize/2) >> 2
			switch {
			case cfg&pmpA == pmpNAPOT:
				ones := 9 + g.IntN(16)
				addr = addr>>ones<<ones | (1<<ones - 1) ^ 1<<ones>>1*uint64(g.IntN(2))
			case g.IntN(8) != 0:
				addr &^= memory.PageMask >> 2
			}
			m.pmp.setAddr(i, addr)
			m.pmp.setCfg(i, uint8(cfg))
		}
		if g.IntN(2) == 0 { // as firmware does, under what it protects
			m.pmp.setAddr(7, pmpAddrMask)
			m.pmp.setCfg(7, pmpNAPOT|pmpR|pmpW|pmpX)
		}
		m.pmpChanged()
		want := uint64(1)
		for page := uint64(ramBase); page < ramBase+ramSize; page += memory.PageSize {
			for _, acc := range []mmu.Access{mmu.Fetch, mmu.Load, mmu.Store} {
				if allowed, _ := m.pmp.check(page, page|memory.PageMask, acc, false); !allowed {
					want = 0
				}
			}
		}
		if m.PMPOpen != want {
			t.Fatalf("PMPOpen is %d, want %d: %+v", m.PMPOpen, want, m.pmp.ranges[:m.pmp.active])
		}
		opened += int(want)
	}
	if opened < 100 {
		t.Errorf("open %d times: the generator misses it", opened)
	}
}

func TestPMPOpenFollows(t *testing.T) {
	m := newMachine(t)
	if m.PMPOpen != 0 {
		t.Error("open with no entry on")
	}
	m.OpenPMP()
	if m.PMPOpen != 1 {
		t.Error("OpenPMP did not open it")
	}
	m.set(riscv.CSRPmpcfg0, 0)
	if m.PMPOpen != 0 {
		t.Error("open after entry 0 went")
	}
	m.OpenPMP()
	m.Reset(0)
	if m.PMPOpen != 0 {
		t.Error("open after a reset")
	}
	h, err := New(Config{RAM: m.RAM, Bus: m.Bus, Clock: m.Clock})
	if err != nil {
		t.Fatal(err)
	}
	if h.PMPOpen != 1 {
		t.Error("not open on a hart without PMP")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
