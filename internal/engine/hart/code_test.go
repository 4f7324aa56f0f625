package hart

// How stores reach the code map: no store to a watched page goes unnoted, and only the first one is slow.

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

func TestStoresNoteCode(t *testing.T) {
	const page = ramBase + 0x5000
	for name, store := range map[string]func(m *machine) bool{
		"store":      func(m *machine) bool { return m.Store(page+8, 4, 1) },
		"misaligned": func(m *machine) bool { return m.Store(page+9, 8, 1) },
		"crossing":   func(m *machine) bool { return m.Store(page-2, 4, 1) },
		"amo":        func(m *machine) bool { _, ok := m.AMO(AMOAdd, page, 8, 1); return ok },
		"amocas":     func(m *machine) bool { _, ok := m.CompareSwap(page, 8, 0, 1); return ok },
		"amocas.q":   func(m *machine) bool { _, ok := m.CompareSwap16(page, Pair{}, Pair{}); return ok },
		"sc": func(m *machine) bool {
			m.LoadReserved(page, 8)
			_, ok := m.StoreConditional(page, 8, 1)
			return ok
		},
		"cbo.zero": func(m *machine) bool { return m.CBOZero(page) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.RAM.Code().Watch(page)
			m.Load(page, 8)
			m.FetchPage(page)
			if m.RAM.Code().Changed() != 0 {
				t.Error("a read changed it")
			}
			if !store(m) {
				t.Fatal("trapped")
			}
			if l := m.RAM.Code().TakeChanged(); !slices.Equal(l, []memory.GPA{page}) {
				t.Errorf("changed: %x", l)
			}
			if m.TLB.Banks[m.DataBank].Store[mmu.DataIndex(page)].Tag != page {
				t.Error("the next store is as slow")
			}
		})
	}
}

// A page that PMP or a device splits has no entry, so that every store to it comes by.
func TestStoresBesideADeviceNoteCode(t *testing.T) {
	m := newMachine(t)
	page := memory.GPA(overlay) &^ memory.PageMask
	for range 2 {
		m.RAM.Code().Watch(page)
		m.Store(overlay, 8, 1)
		if m.RAM.Code().Changed() != 0 {
			t.Error("a store to the device changed RAM")
		}
		m.Store(overlay+64, 8, 1)
		if m.RAM.Code().State(page) != memory.CodeChanged {
			t.Error("not noted")
		}
		m.RAM.Code().TakeChanged()
	}
}

// A walk that sets A and D writes the page of the table.
func TestWalkNotesCode(t *testing.T) {
	m := newMachine(t)
	m.paging(privS)
	m.set(riscv.CSRMenvcfg, EnvcfgADUE)
	const va = 0x40_0000
	leaf := memory.GPA(m.mapPage(va, ramBase+0x7000, mmu.PTEV|mmu.PTER|mmu.PTEW))
	m.RAM.Code().TakeChanged()
	m.RAM.Code().Watch(leaf)
	if _, ok := m.Load(va, 8); !ok {
		t.Fatal("trapped")
	}
	if m.RAM.Code().State(leaf) != memory.CodeChanged {
		t.Error("setting A was not noted")
	}
	m.RAM.Code().Watch(leaf)
	m.Store(va, 8, 1)
	if m.RAM.Code().State(leaf) != memory.CodeChanged {
		t.Error("setting D was not noted")
	}
}

// Unstore takes the fast path away under every address and in every bank, and nothing else.
func TestUnstore(t *testing.T) {
	m := newMachine(t)
	m.paging(privS)
	const page, other = ramBase + 0x5000, ramBase + 0x6000
	type where struct{ bank, va uint64 }
	var gone, kept []where
	store := func(va uint64, to *[]where) {
		t.Helper()
		if !m.Store(va, 8, 1) {
			t.Fatal("trapped")
		}
		if _, ok := m.Load(va, 8); !ok {
			t.Fatal("trapped")
		}
		*to = append(*to, where{m.DataBank, va})
	}
	entry := func(w where) (load, store bool) {
		b, at := &m.TLB.Banks[w.bank], mmu.DataIndex(w.va)
		return b.Load[at].Tag == w.va, b.Store[at].Tag == w.va
	}
	m.mapPage(0x10_0000, page, rwx)
	m.mapPage(0x30_1000, page, rwx)
	m.mapPage(0x30_2000, other, rwx)
	for asid := range uint64(4) {
		m.set(riscv.CSRSatp, m.Satp&^(0xffff<<44)|asid<<44)
		store(0x10_0000, &gone)
		store(0x30_1000, &gone)
		store(0x30_2000, &kept)
	}
	m.SetPriv(privM)
	store(page, &gone)
	store(other, &kept)

	gen := m.FenceIGen
	RemoteFence(m.Hart, []*Hart{m.Hart}, FenceRequest{HasUnstore: true, Unstore: page + 0x123})
	RemoteFence(m.Hart, []*Hart{m.Hart}, FenceRequest{HasUnstore: true, Unstore: 0x1000}) // no RAM: nothing to do
	for _, w := range gone {
		if load, store := entry(w); !load || store {
			t.Errorf("bank %d at %#x: load entry %v, store entry %v", w.bank, w.va, load, store)
		}
	}
	for _, w := range kept {
		if load, store := entry(w); !load || !store {
			t.Errorf("bank %d at %#x, another page: load entry %v, store entry %v", w.bank, w.va, load, store)
		}
	}
	if m.FenceIGen != gen {
		t.Error("it was taken for a FENCE.I")
	}
	m.RAM.Code().Watch(page)
	store(page, &gone)
	if m.RAM.Code().State(page) != memory.CodeChanged {
		t.Error("the next store was not noted")
	}
}

func TestForgetFence(t *testing.T) {
	harts := newHarts(t, 2)
	harts[0].Poll()
	bank := stale(harts[1])
	for _, h := range harts {
		h.TLB.Forget = 0
	}
	RemoteFence(harts[0], harts, FenceRequest{Forget: true})
	for _, h := range harts {
		if h.TLB.Forget != 1<<mmu.NumBanks-1 {
			t.Errorf("hart %d: Forget is %#x", h.ID, h.TLB.Forget)
		}
	}
	if bank.Filled == 0 {
		t.Error("it flushed")
	}
}

// The whole of it: harts that store to a page over and over, through their fast paths, and a translator that watches and reads
// it. When the page is watched and unstored, what the translator read is what is there, or the change is in the list.
func TestWatchingAPageThatIsStoredTo(t *testing.T) {
	const page = ramBase + 0x5000
	harts := newHarts(t, 3)
	stop := make(chan struct{})
	ended := make(chan struct{}, 2)
	for i, h := range harts[1:] {
		go func() {
			defer func() { h.Leave(); ended <- struct{}{} }()
			va := uint64(page + 64*(i+1))
			for n := uint64(0); ; n++ {
				h.Poll()
				if b := &h.TLB.Banks[h.DataBank]; b.Store[mmu.DataIndex(va)].Tag == va&^memory.PageMask {
					atomic.StoreUint64((*uint64)(h.hostOf(memory.GPA(va))), n) // as generated code does
				} else if !h.Store(va, 8, n) {
					t.Error("trapped")
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	code := harts[0].RAM.Code()
	read := func() (v [2]uint64) {
		for i := range v {
			v[i] = atomic.LoadUint64((*uint64)(harts[0].hostOf(memory.GPA(page + 64*(i+1)))))
		}
		return v
	}
	harts[0].Poll()
	noted, rounds := 0, 300
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		code.TakeChanged()
		code.Watch(page)
		RemoteFence(harts[0], harts, FenceRequest{HasUnstore: true, Unstore: page})
		saw := read()
		for range 50 {
			now := read()
			if code.State(page) == memory.CodeChanged {
				noted++
				break
			}
			if now != saw && code.State(page) != memory.CodeChanged {
				t.Fatalf("read %v, now %v, and nothing is noted", saw, now)
			}
		}
	}
	harts[0].Leave()
	close(stop)
	for range 2 {
		<-ended
	}
	if noted == 0 {
		t.Log("no store fell into a watch; nothing was tested")
	}
}
