package mmu

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
)

// modelBank is a bank as a plain list: which pages were entered under which leaf, and where jump targets are remembered.
type modelBank struct {
	leaf map[uint64]uint // by page: shift of the leaf
	exec map[uint64]bool
}

// fill enters page into a bank and its model, as package hart does.
func (m *modelBank) fill(b *Bank, page uint64, shift uint, exec bool) {
	if shift > memory.PageShift {
		b.NoteBig(page, shift)
	}
	b.FillLoad(page, 1)
	b.FillStore(page, 1)
	b.FillFetch(page, page)
	m.leaf[page] = shift
	if exec {
		b.NoteExec(page)
		m.exec[page] = true
	}
}

func present(b *Bank, page uint64) (load, store, fetch bool) {
	return b.Load[DataIndex(page)].Tag == page, b.Store[DataIndex(page)].Tag == page, b.Fetch[FetchIndex(page)].Tag == page
}

// Leaves of every size and flushes of one page or a few, against the model: what a leaf of a flushed address backs is gone with its
// jump targets, and what is in no block of a leaf like that stays.
func TestFlushEqualsModel(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 4))
	kept, dropped, pagewise := 0, 0, 0
	tlb := new(TLB)
	for round := range 1500 {
		tlb.Init()
		satp := uint64(satpA)
		if round%2 == 0 {
			satp = ModeSv57<<60 | 1<<44
		}
		bank := tlb.Select(satp, ViewS, NoBank)
		b := &tlb.Banks[bank]
		m := modelBank{map[uint64]uint{}, map[uint64]bool{}}
		sizes := []uint{12, 12, 12, 16, 21, 30}
		if round%8 == 0 {
			sizes = append(sizes, 39, 48)
		}
		backed := map[uint64]uint{} // leaves do not overlap: the size of a region of 512 GiB is drawn once
		for range 1 + g.IntN(40) {
			region := g.Uint64N(3)
			page := region<<48 | g.Uint64N(4)<<30 | g.Uint64N(4)<<21 | g.Uint64N(512)<<12
			if g.IntN(2) == 0 {
				page |= 0xff << 56
			}
			key := page >> 21
			shift, ok := backed[key]
			if !ok {
				shift = sizes[g.IntN(len(sizes))]
				backed[key] = shift
			}
			m.fill(b, page, shift, g.IntN(3) == 0)
		}
		before := *b
		tlb.Forget, tlb.ForgetCount = 0, 0

		var f Flush
		f.HasVA = true
		for page := range m.leaf { // an address near one of them
			f.VA = page ^ g.Uint64N(1<<[]uint{1, 12, 14, 22, 31}[g.IntN(5)])
			break
		}
		if g.IntN(3) == 0 {
			f.Size = 1 + g.Uint64N(20<<12)
		}
		last := f.VA + max(f.Size, 1) - 1
		if last < f.VA {
			continue
		}
		tlb.Flush(f)

		forgotten := map[uint64]bool{}
		for _, p := range tlb.ForgetPages[:tlb.ForgetCount] {
			if p.Bank != bank {
				t.Fatalf("bank %d is in the list, flushed was %d", p.Bank, bank)
			}
			forgotten[p.Page] = true
		}
		if tlb.Forget&^(1<<bank) != 0 {
			t.Fatalf("Forget is %#x", tlb.Forget)
		}
		touches := func(page uint64, shift uint) bool {
			lo := page >> shift << shift
			hi := lo | (1<<shift - 1)
			return lo <= last && hi >= f.VA
		}
		for page, shift := range m.leaf {
			l0, s0, f0 := present(&before, page)
			l1, s1, f1 := present(b, page)
			if touches(page, shift) {
				dropped++
				if l1 || s1 || f1 {
					t.Fatalf("%+v left %#x of a leaf of 2^%d", f, page, shift)
				}
				if m.exec[page] && tlb.Forget>>bank&1 == 0 {
					pagewise++
					if !forgotten[page] {
						t.Fatalf("%+v: jump targets in %#x, leaf of 2^%d, are remembered", f, page, shift)
					}
				}
				continue
			}
			// Kept, unless it shares a block with an address flushed in a size that the bank knows leaves of.
			near := false
			for _, other := range m.leaf {
				near = near || touches(page, other)
			}
			if !near {
				kept++
				if l0 != l1 || s0 != s1 || f0 != f1 || forgotten[page] {
					t.Fatalf("%+v dropped %#x of a leaf of 2^%d; leaves are %v", f, page, shift, m.leaf)
				}
			}
		}
	}
	if kept < 1000 || dropped < 1000 || pagewise < 50 {
		t.Errorf("%d entries had to stay, %d to go, %d with their targets one by one: the generator misses something", kept, dropped, pagewise)
	}
}

func TestForget(t *testing.T) {
	start := func() (*TLB, uint64, *Bank) {
		tlb := new(TLB)
		tlb.Init()
		if tlb.Forget != 1<<NumBanks-1 {
			t.Fatal("Init leaves jump targets")
		}
		bank := tlb.Select(satpA, ViewU, NoBank)
		tlb.Forget = 0
		return tlb, bank, &tlb.Banks[bank]
	}
	t.Run("a page without jump targets", func(t *testing.T) {
		tlb, _, b := start()
		b.FillFetch(0x1000, 0)
		tlb.Flush(Flush{HasVA: true, VA: 0x1000})
		if tlb.Forget != 0 || tlb.ForgetCount != 0 {
			t.Error("something is recorded")
		}
	})
	t.Run("a page with them, fetch entry or not", func(t *testing.T) {
		tlb, bank, b := start()
		b.FillFetch(0x1000, 0)
		b.NoteExec(0x1000)
		b.FillFetch(0x1000+FetchEntries<<12, 0) // takes its slot
		tlb.Flush(Flush{HasVA: true, VA: 0x1abc})
		if tlb.Forget != 0 || tlb.ForgetCount != 1 || tlb.ForgetPages[0] != (ForgottenPage{bank, 0x1000}) {
			t.Errorf("recorded %v, %#x", tlb.ForgetPages[:tlb.ForgetCount], tlb.Forget)
		}
		if b.Exec[ExecIndex(0x1000)] == 0 {
			t.Error("the filter forgot")
		}
	})
	t.Run("more pages than the list holds", func(t *testing.T) {
		tlb, bank, b := start()
		b.FillFetch(0, 0)
		for i := range b.Exec {
			b.NoteExec(uint64(i) << memory.PageShift)
		}
		for va := range uint64(17) {
			tlb.Flush(Flush{HasVA: true, VA: va << 12})
		}
		if tlb.Forget != 1<<bank || tlb.ForgetCount != 16 {
			t.Errorf("Forget %#x, %d pages", tlb.Forget, tlb.ForgetCount)
		}
	})
	t.Run("a gigabyte", func(t *testing.T) {
		tlb, bank, b := start()
		b.NoteBig(0, 30)
		b.FillFetch(0x5000, 0)
		b.NoteExec(0x5000)
		tlb.Flush(Flush{HasVA: true, VA: 0x1000})
		if tlb.Forget != 1<<bank {
			t.Errorf("Forget %#x", tlb.Forget)
		}
	})
	t.Run("an emptied bank", func(t *testing.T) {
		for name, f := range map[string]func(*TLB){
			"flush":    func(tlb *TLB) { tlb.Flush(Flush{}) },
			"flushall": func(tlb *TLB) { tlb.FlushAll() },
			"taken": func(tlb *TLB) {
				for i := range uint64(2 * NumBanks) {
					tlb.SwitchSatp(satpB + i)
					tlb.Select(satpB+i, ViewU, NoBank)
				}
			},
		} {
			tlb, bank, b := start()
			b.FillFetch(0x1000, 0)
			b.NoteExec(0x1000)
			f(tlb)
			if tlb.Forget>>bank&1 == 0 {
				t.Errorf("%s: Forget %#x", name, tlb.Forget)
			}
			if b.Exec[ExecIndex(0x1000)] == 0 || b.ExecLow > 0x1000 || b.ExecHigh < 0x1000 {
				t.Errorf("%s: the filter does not say any more what there is to forget", name)
			}
		}
	})
	t.Run("an empty bank", func(t *testing.T) {
		tlb, _, _ := start()
		tlb.Flush(Flush{})
		tlb.Flush(Flush{HasVA: true})
		tlb.FlushAll()
		if tlb.Forget != 0 || tlb.ForgetCount != 0 {
			t.Error("something is recorded")
		}
	})
}

// A kernel whose linear mapping is of large leaves must not pay for it where it maps pages.
func TestPagesBesideLargeLeavesArePrecise(t *testing.T) {
	const linear, vmalloc = 0xffff_ffd6_0000_0000, 0xffff_ffc8_0000_0000
	tlb := new(TLB)
	tlb.Init()
	b := &tlb.Banks[tlb.Select(satpA, ViewS, NoBank)]
	for i := range uint64(512) {
		b.NoteBig(linear+i<<21, 21)
	}
	b.FillLoad(vmalloc, 1)
	b.FillLoad(vmalloc+0x1000, 1)
	b.NoteBig(0x20_0000, 21)
	b.FillLoad(0x62_0000, 1)
	b.FillLoad(0x62_1000, 1)
	tlb.Flush(Flush{HasVA: true, VA: vmalloc})
	tlb.Flush(Flush{HasVA: true, VA: 0x62_0000})
	if l, _, _ := present(b, vmalloc+0x1000); !l {
		t.Error("a flush in vmalloc space dropped its neighbour")
	}
	if l, _, _ := present(b, 0x62_1000); !l {
		t.Error("a flush of a user's page dropped its neighbour")
	}
}

// A bank is mapped on its own, so it is whole pages.
func TestBanksArePages(t *testing.T) {
	tlb := new(TLB)
	if n, at := unsafe.Sizeof(tlb.Banks[0]), unsafe.Offsetof(tlb.Banks); n%memory.PageSize != 0 || at != 0 {
		t.Errorf("a bank is %#x bytes, the first at %#x", n, at)
	}
}

func BenchmarkFlush(b *testing.B) {
	for name, f := range map[string]struct {
		fill  func(*Bank)
		flush Flush
	}{
		"page":          {func(b *Bank) { b.FillLoad(0x1000, 1) }, Flush{HasVA: true, VA: 0x1000}},
		"page in 2M":    {func(b *Bank) { b.FillLoad(0x1000, 1); b.NoteBig(0x1000, 21) }, Flush{HasVA: true, VA: 0x1000}},
		"page in 1G":    {func(b *Bank) { b.FillLoad(0x1000, 1); b.NoteBig(0x1000, 30) }, Flush{HasVA: true, VA: 0x1000}},
		"address space": {func(b *Bank) { b.FillLoad(0x1000, 1) }, Flush{}},
	} {
		b.Run(name, func(b *testing.B) {
			tlb := new(TLB)
			tlb.Init()
			bank := &tlb.Banks[tlb.Select(satpA, ViewU, NoBank)]
			b.ReportAllocs()
			for b.Loop() {
				f.fill(bank)
				tlb.Flush(f.flush)
			}
		})
	}
}
