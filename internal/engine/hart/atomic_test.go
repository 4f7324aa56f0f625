package hart

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/timebase"
)

const word = ramBase + 0x6008

func TestAMO(t *testing.T) {
	const neg32, neg64 = 0xffff_fffe, ^uint64(1)
	cases := []struct {
		name     string
		op       AMOOp
		size     int
		mem, src uint64
		after    uint64
	}{
		{"swap.w", AMOSwap, 4, 1, 2, 2},
		{"swap.d", AMOSwap, 8, 1, neg64, neg64},
		{"add.w wraps", AMOAdd, 4, 0xffff_ffff, 3, 2},
		{"add.d wraps", AMOAdd, 8, ^uint64(0), 3, 2},
		{"xor.w", AMOXor, 4, 0b1100, 0b1010, 0b0110},
		{"xor.d", AMOXor, 8, 0b1100, 0b1010, 0b0110},
		{"and.w", AMOAnd, 4, 0b1100, 0b1010, 0b1000},
		{"and.d", AMOAnd, 8, 0b1100, 0b1010, 0b1000},
		{"or.w", AMOOr, 4, 0b1100, 0b1010, 0b1110},
		{"or.d", AMOOr, 8, 0b1100, 0b1010, 0b1110},
		{"min.w", AMOMin, 4, 1, neg32, neg32},
		{"min.d", AMOMin, 8, 1, neg64, neg64},
		{"max.w", AMOMax, 4, neg32, 1, 1},
		{"max.d", AMOMax, 8, neg64, 1, 1},
		{"minu.w", AMOMinU, 4, 1, neg32, 1},
		{"minu.d", AMOMinU, 8, neg64, 1, 1},
		{"maxu.w", AMOMaxU, 4, neg32, 1, neg32},
		{"maxu.d", AMOMaxU, 8, 1, neg64, neg64},
		{"the high half of a register does not count", AMOMin, 4, 5, 0xffff_ffff_0000_0003, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			mem := c.mem
			if c.size == 4 {
				mem |= 0x55 << 32 // must stay
				c.after |= 0x55 << 32
			}
			m.poke(word, mem)
			old, ok := m.AMO(c.op, word, c.size, c.src)
			if !ok || old != c.mem || m.peek(word) != c.after {
				t.Errorf("old %#x, memory %#x; want %#x, %#x", old, m.peek(word), c.mem, c.after)
			}
		})
	}
}

func TestReservations(t *testing.T) {
	cases := []struct {
		name    string
		between func(m *machine)
		va      uint64
		size    int
		fail    uint64
	}{
		{"undisturbed", func(*machine) {}, word, 8, 0},
		{"other address", func(*machine) {}, word + 8, 8, 1},
		{"other size", func(*machine) {}, word, 4, 1},
		{"memory changed", func(m *machine) { m.poke(word, 78) }, word, 8, 1},
		{"memory changed and changed back", func(m *machine) { m.poke(word, 78); m.poke(word, 77) }, word, 8, 0},
		{"a second SC", func(m *machine) { m.StoreConditional(word, 8, 77) }, word, 8, 1},
		{"an SC elsewhere", func(m *machine) { m.StoreConditional(word+8, 8, 1) }, word, 8, 1},
		{"a trap return", func(m *machine) { m.Mstatus |= MstatusMPP; m.MRET() }, word, 8, 1},
		{"another LR", func(m *machine) { m.LoadReserved(word+8, 8) }, word, 8, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.poke(word, 77)
			if v, ok := m.LoadReserved(word, 8); !ok || v != 77 {
				t.Fatal("LR failed")
			}
			c.between(m)
			before := m.peek(c.va)
			fail, ok := m.StoreConditional(c.va, c.size, 99)
			if !ok || fail != c.fail {
				t.Fatalf("fail %d", fail)
			}
			want := before
			if fail == 0 {
				want = 99
			}
			if m.peek(c.va) != want {
				t.Fatalf("memory %d, want %d", m.peek(c.va), want)
			}
		})
	}
	m := newMachine(t)
	if fail, ok := m.StoreConditional(word, 4, 1); !ok || fail != 1 {
		t.Error("an SC without LR succeeded")
	}
	m.poke(word, 0xaaaa_aaaa_bbbb_bbbb)
	m.LoadReserved(word+4, 4)
	if fail, _ := m.StoreConditional(word+4, 4, 0x1_cccc_cccc); fail != 0 || m.peek(word) != 0xcccc_cccc_bbbb_bbbb {
		t.Errorf("sc.w left %#x", m.peek(word))
	}
}

// The reservation is of physical memory: two virtual addresses of it are the same.
func TestReservationIsPhysical(t *testing.T) {
	m := newMachine(t)
	m.paging(privS)
	m.mapPage(0x40_0000, ramBase+0x3000, rwx)
	m.mapPage(0x50_0000, ramBase+0x3000, rwx)
	m.LoadReserved(0x40_0010, 8)
	if fail, ok := m.StoreConditional(0x50_0010, 8, 1); !ok || fail != 0 {
		t.Error("the alias has no reservation")
	}
}

func TestCompareSwap(t *testing.T) {
	m := newMachine(t)
	m.poke(word, 0x1111_1111_ffff_fff0)
	if old, ok := m.CompareSwap(word, 4, 0xffff_ffff_ffff_fff0, 7); !ok || old != 0xffff_fff0 || m.peek(word) != 0x1111_1111_0000_0007 {
		t.Errorf("amocas.w: old %#x memory %#x", old, m.peek(word))
	}
	if old, _ := m.CompareSwap(word, 4, 8, 9); old != 7 || m.peek(word) != 0x1111_1111_0000_0007 {
		t.Errorf("amocas.w stored though memory differs: %#x", m.peek(word))
	}
	if old, _ := m.CompareSwap(word, 8, 0x1111_1111_0000_0007, 3); old != 0x1111_1111_0000_0007 || m.peek(word) != 3 {
		t.Errorf("amocas.d: %#x", m.peek(word))
	}
	const quad = ramBase + 0x7010
	m.poke(quad, 1)
	m.poke(quad+8, 2)
	for _, c := range []struct{ cmp, swap, after Pair }{
		{Pair{1, 3}, Pair{9, 9}, Pair{1, 2}},
		{Pair{3, 2}, Pair{9, 9}, Pair{1, 2}},
		{Pair{1, 2}, Pair{5, 6}, Pair{5, 6}},
	} {
		old, ok := m.CompareSwap16(quad, c.cmp, c.swap)
		if !ok || old != (Pair{1, 2}) || m.peek(quad) != c.after.Lo || m.peek(quad+8) != c.after.Hi {
			t.Errorf("amocas.q %+v: old %+v, memory %d %d", c, old, m.peek(quad), m.peek(quad+8))
		}
	}
	if _, ok := m.CompareSwap16(quad+8, Pair{}, Pair{}); ok {
		t.Error("amocas.q at 8 bytes")
	}
	m.trapped(privM, riscv.CauseStoreMisaligned, quad+8)
}

// A misaligned atomic is that before it is anything else.
func TestMisalignedAtomicsOfUnmappedMemory(t *testing.T) {
	m := newMachine(t)
	m.paging(privS)
	m.StoreConditional(0x1002, 4, 0)
	m.trapped(privM, riscv.CauseStoreMisaligned, 0x1002)
}

// Harts that add to one word by every means there is lose no addition.
func TestAtomicsAcrossHarts(t *testing.T) {
	const rounds = 2000
	ram := newRAM(t)
	add := []func(h *Hart){
		func(h *Hart) { h.AMO(AMOAdd, word, 8, 1) },
		func(h *Hart) {
			for {
				v, _ := h.LoadReserved(word, 8)
				if fail, _ := h.StoreConditional(word, 8, v+1); fail == 0 {
					return
				}
			}
		},
		func(h *Hart) {
			for {
				v, _ := h.Load(word, 8)
				if old, _ := h.CompareSwap(word, 8, v, v+1); old == v {
					return
				}
			}
		},
	}
	var wg sync.WaitGroup
	for id, f := range add {
		h, err := New(Config{ID: uint64(id), RAM: ram, Bus: &device.Bus{}, Clock: timebase.New(), PMP: MaxPMP})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		wg.Go(func() {
			for range rounds {
				f(h)
			}
		})
	}
	wg.Wait()
	if v, err := ram.Load64(word); err != nil || v != rounds*uint64(len(add)) {
		t.Errorf("the sum is %d", v)
	}
}

// 16 bytes change at once: nobody ever sees halves of two values.
func TestCompareSwap16IsAtomic(t *testing.T) {
	const quad, rounds = ramBase + 0x7000, 2000
	ram := newRAM(t)
	var wg sync.WaitGroup
	for id := range uint64(3) {
		h, err := New(Config{ID: id, RAM: ram, Bus: &device.Bus{}, Clock: timebase.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		wg.Go(func() {
			g := rand.New(rand.NewPCG(id, 0))
			old := Pair{}
			for range rounds {
				v := g.Uint64()
				for {
					seen, _ := h.CompareSwap16(quad, old, Pair{v, ^v})
					if seen != (Pair{}) && seen.Lo != ^seen.Hi {
						t.Errorf("torn: %#x %#x", seen.Lo, seen.Hi)
						return
					}
					if seen == old {
						break
					}
					old = seen
					runtime.Gosched()
				}
				old = Pair{v, ^v}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAMO(b *testing.B) {
	m := newMachine(b)
	b.ReportAllocs()
	for b.Loop() {
		m.AMO(AMOAdd, word, 8, 1)
	}
}

func BenchmarkBarrier(b *testing.B) {
	for b.Loop() {
		Barrier()
	}
}
