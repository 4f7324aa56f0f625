package jit_test

// What is left of translations that are gone.

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// A hart that slept while translations were evicted and their tables given to other pages finds its own code.
func TestHartThatSleptThroughAnEviction(t *testing.T) {
	m := newMachine(t, 2, jit.Options{CodeSize: 4 << 20, Pages: 4})
	add := func(page uint64, n int32) {
		m.assemble(pageAt(page), func(a *asm.Assembler) {
			a.I(riscv.ADDI, asm.A0, asm.A0, n)
			a.Op(riscv.WFI)
		})
	}
	const pages = 16
	for i := range uint64(pages) {
		add(i, int32(1)<<i%2000)
	}
	for i := range uint64(pages) {
		m.run(0, pageAt(i))
		// The other hart goes round all of them, and ends anywhere, so that every table is another page's.
		for k := range pages + i {
			m.run(1, pageAt(k%pages))
		}
		m.harts[0].X[asm.A0] = 0
		m.run(0, pageAt(i))
		if got, want := m.harts[0].X[asm.A0], uint64(int32(1)<<i%2000); got != want {
			t.Errorf("page %d adds %d, not %d", i, got, want)
		}
	}
	if m.jit.Stats().Evictions < pages {
		t.Errorf("only %d evictions", m.jit.Stats().Evictions)
	}
}

// A page that has bytes of the next one in its translations is evicted; then the next one changes.
func TestNeighbourOfAnEvictedPageChanges(t *testing.T) {
	m := newMachine(t, 1, jit.Options{CodeSize: 4 << 20})
	const first, second, data = 1, 2, 3
	labels := m.assemble(pageAt(first), func(a *asm.Assembler) {
		a.Op(riscv.WFI)
		a.Space(memory.PageSize - 4 - 8 - 2)
		a.Label("crosses")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.I(riscv.ADDI, asm.A0, asm.A0, 2)
		a.I(riscv.ADDI, asm.A0, asm.A0, 4) // half of it in the second page
		a.Half(1)
		a.Label("second")
		a.Op(riscv.WFI)
		a.Label("writes")
		a.Store(riscv.SW, asm.T0, 0, asm.T1)
		a.Emit(riscv.Inst{Op: riscv.FENCE_I})
		a.Op(riscv.WFI)
	})
	m.run(0, pageAt(first)) // in the first region
	free := uint64(data)
	// Until the first region is full, but not freed: the code of the two pages is in a later one.
	m.harts[0].X[asm.GP] = ramBase + ramSize - 64
	for m.jit.Stats().Bytes < 1<<20 {
		m.assemble(pageAt(free), func(a *asm.Assembler) { bulky(a, pageAt(free+1)-8) })
		m.run(0, pageAt(free))
		free++
	}
	m.run(0, labels["second"])
	m.run(0, labels["crosses"])
	free = m.evictOne(0, free)
	// The second page is rewritten: its translations are dropped, and those that have bytes of it.
	h := m.harts[0]
	h.X[asm.T1] = pageAt(second)
	h.X[asm.T0] = m.word(pageAt(second)) & 0xffff_ffff
	m.run(0, labels["writes"])
	h.X[asm.A0] = 0
	m.run(0, labels["crosses"])
	if h.X[asm.A0] != 7 {
		t.Errorf("a0 = %d", h.X[asm.A0])
	}
}
