package jit_test

// Jumps between pages, which are complete for a version of a bank: a target is what is mapped there now, and as it is after the last FENCE.I.

import (
	"errors"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

func TestJumpsBetweenPagesFollowTheMapping(t *testing.T) {
	const (
		spaces   = 3 // address spaces
		targets  = 4 // pages with code, of which each space has one behind the program
		turns    = 10
		target   = windowVA + 2*memory.PageSize
		rights   = mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEU | mmu.PTEA | mmu.PTED
		program  = slotPage
		firstRow = slotPage + 8 // of page tables: three pages a space
	)
	for name, o := range map[string]jit.Options{
		"blocks":                  {CodeSize: 8 << 20, Tier: jit.TierBaseline, Mirror: jit.MirrorAlways},
		"regions":                 {CodeSize: 8 << 20, Tier: jit.TierOptimized, Mirror: jit.MirrorAlways},
		"look-ups":                {CodeSize: 8 << 20, Tier: jit.TierBaseline, Mirror: jit.MirrorOff},
		"blocks, of two harts":    {CodeSize: 8 << 20, Tier: jit.TierBaseline, Mirror: jit.MirrorAlways},
		"blocks, little memory":   {CodeSize: 4 << 20, Pages: 4, Tier: jit.TierBaseline, Mirror: jit.MirrorAlways},
		"look-ups, little memory": {CodeSize: 4 << 20, Pages: 4, Tier: jit.TierBaseline, Mirror: jit.MirrorOff},
	} {
		t.Run(name, func(t *testing.T) {
			harts := 1
			if name == "blocks, of two harts" {
				harts = 2
			}
			m := newMachine(t, harts, o)
			var err error
			put := func(page, i, v uint64) { err = errors.Join(err, m.ram.Store64(memory.GPA(pageAt(page)+8*i), v)) }
			entry := func(page, flags uint64) uint64 { return pageAt(page)>>memory.PageShift<<mmu.PTEPPNShift | flags }
			mapped := [spaces]uint64{}
			mapTarget := func(space int, to uint64) {
				mapped[space] = to
				put(firstRow+3*uint64(space)+2, 2, entry(program+1+to, rights))
			}
			for space := range spaces {
				row := firstRow + 3*uint64(space)
				put(row, 1, entry(row+1, mmu.PTEV))
				put(row+1, 0, entry(row+2, mmu.PTEV))
				put(row+2, 0, entry(program, rights))
				mapTarget(space, uint64(space))
			}
			adds := [targets]uint64{}
			write := func(i int, n uint64) {
				adds[i] = n
				m.assemble(pageAt(program+1+uint64(i)), func(a *asm.Assembler) {
					a.I(riscv.ADDI, asm.A1, asm.A1, int32(n))
					a.I(riscv.JALR, asm.Zero, asm.RA, 0)
				})
			}
			for i := range targets {
				write(i, uint64(i)+1)
			}
			a := asm.New(windowVA)
			a.I(riscv.ADDI, asm.S0, asm.Zero, turns)
			a.Label("turn")
			a.EmitTo(riscv.Inst{Op: riscv.JAL, Rd: asm.RA}, "target")
			a.I(riscv.ADDI, asm.S0, asm.S0, -1)
			a.B(riscv.BNE, asm.S0, asm.Zero, "turn")
			a.Op(riscv.ECALL)
			a.Space(2*memory.PageSize - int(a.PC()-windowVA))
			a.Label("target")
			b, fail := a.Bytes()
			if err = errors.Join(err, fail); err != nil {
				t.Fatal(err)
			}
			err = m.ram.Write(memory.GPA(pageAt(program)), b[:memory.PageSize])
			for _, h := range m.harts {
				h.OpenPMP()
			}
			run := func(id, space int) {
				t.Helper()
				h := m.harts[id]
				h.SetPriv(riscv.PrivS)
				h.WriteCSR(riscv.CSRSatp, mmu.ModeSv39<<60|uint64(space+1)<<44|pageAt(firstRow+3*uint64(space))>>memory.PageShift)
				h.Firmware, h.PC, h.X[asm.A1] = true, windowVA, 0
				h.SetPriv(riscv.PrivU)
				m.engines[id].Run()
				h.Leave()
				if h.FirmwareTrap.Cause != riscv.CauseEcallU {
					t.Fatalf("at %#x: trap %d", h.PC, h.FirmwareTrap.Cause)
				}
				if want := turns * adds[mapped[space]]; h.X[asm.A1] != want {
					t.Fatalf("hart %d, space %d: %d, want %d", id, space, h.X[asm.A1], want)
				}
			}
			everywhere := func() {
				t.Helper()
				for range 3 {
					for space := range spaces {
						for id := range harts {
							run(id, space)
						}
					}
				}
			}
			everywhere()
			for i := range uint64(3 * targets) {
				space := int(i % spaces)
				for id := range harts {
					run(id, space) // it is the last one that the jump is complete for
				}
				mapTarget(space, i%targets)
				f := mmu.Flush{}
				if i%2 == 0 {
					f = mmu.Flush{VA: target, HasVA: true, ASID: uint64(space + 1), HasASID: true}
				}
				hart.RemoteFence(nil, m.harts, hart.FenceRequest{Flush: f})
				everywhere()
				write(int(i%targets), 20+i)
				hart.RemoteFence(nil, m.harts, hart.FenceRequest{Instruction: true})
				everywhere()
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := figures(m.engines[0].Report())["translator: between pages"]; (n == "0") != (o.Mirror == jit.MirrorOff) {
				t.Errorf("%s jumps between pages were completed", n)
			}
		})
	}
}
