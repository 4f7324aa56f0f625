package jit_test

// Guests that are wrong, or mean it badly: slow at worst, never wrong, never the end of the process, and in bounded memory. Two harts at
// once, so that they would have to wait for each other if they could for ever.

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// A loop writes over its own next instruction, each time round.
func TestCodeThatRewritesItself(t *testing.T) {
	for _, c := range []struct {
		name   string
		fenceI bool // what is written is executed
		apart  int64
	}{
		{"FENCE.I", true, 2},
		{"FENCE.I, two harts in one page", true, 0},
		{"the same bytes, without FENCE.I", false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			turns := rounds(t, 20000, 0)
			m := newMachine(t, 2, jit.Options{CodeSize: 2 << 20})
			var pcs []uint64
			for id := range uint64(2) {
				at := pageAt(programPage) + id*256
				if c.apart != 0 {
					at = pageAt(programPage + id)
				}
				pcs = append(pcs, at)
				m.assemble(at, func(a *asm.Assembler) {
					a.Li(asm.S2, turns)
					a.La(asm.S1, "changes")
					a.Load(riscv.LWU, asm.S3, 0, asm.S1)
					a.Li(asm.S4, 1<<20)
					a.Label("turn")
					if c.fenceI {
						a.R(riscv.XOR, asm.S3, asm.S3, asm.S4) // addi a0, a0, 2 or 3
					}
					a.Store(riscv.SW, asm.S3, 0, asm.S1)
					if c.fenceI {
						a.Emit(riscv.Inst{Op: riscv.FENCE_I})
					}
					a.Label("changes")
					a.I(riscv.ADDI, asm.A0, asm.A0, 2)
					a.I(riscv.ADDI, asm.S2, asm.S2, -1)
					a.B(riscv.BNE, asm.S2, asm.Zero, "turn")
					a.Op(riscv.WFI)
				})
			}
			m.bounded(func() { m.runAll(nil, pcs...) })
			for id, h := range m.harts {
				want := uint64(turns) * 2
				if c.fenceI {
					want += uint64(turns) / 2
				}
				if h.X[asm.A0] != want {
					t.Errorf("hart %d: %d, want %d", id, h.X[asm.A0], want)
				}
			}
		})
	}
}

// All of RAM is code, much more than there is room for, and harts go round and round in it.
func TestAddressSpaceFullOfCode(t *testing.T) {
	m := newMachine(t, 2, jit.Options{CodeSize: 4 << 20, Pages: 512})
	const first, last = 16, ramSize/memory.PageSize - 1
	turns := rounds(t, 30, 0)
	a := asm.New(pageAt(first))
	for a.PC() < pageAt(last)-8 {
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.R(riscv.XOR, asm.A1, asm.A1, asm.A0)
		if a.PC()%512 == 0 {
			a.U(riscv.AUIPC, asm.T0, 0) // and two blocks of it
			a.I(riscv.JALR, asm.Zero, asm.T0, 8)
		}
	}
	a.Ret()
	b, err := a.Bytes()
	if err == nil {
		err = m.ram.Write(memory.GPA(a.Base()), b)
	}
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(0)
	for i := 0; i < len(b); i += 4 {
		if riscv.Decode(uint32(b[i])|uint32(b[i+1])<<8|uint32(b[i+2])<<16|uint32(b[i+3])<<24) == (riscv.Inst{Op: riscv.ADDI, Rd: asm.A0, Rs1: asm.A0, Imm: 1, Len: 4}) {
			count++
		}
	}
	turns = max(turns/10, 2)
	m.assemble(pageAt(programPage), func(a *asm.Assembler) {
		a.Li(asm.S1, turns)
		a.Label("turn")
		a.Li(asm.T0, int64(pageAt(first)))
		a.I(riscv.JALR, asm.RA, asm.T0, 0)
		a.I(riscv.ADDI, asm.S1, asm.S1, -1)
		a.B(riscv.BNE, asm.S1, asm.Zero, "turn")
		a.Op(riscv.WFI)
	})
	m.bounded(func() { m.runAll(nil, pageAt(programPage)) })
	for id, h := range m.harts {
		if h.X[asm.A0] != count*uint64(turns) {
			t.Errorf("hart %d: %d instructions, want %d", id, h.X[asm.A0], count*uint64(turns))
		}
	}
	if m.jit.Stats().Evictions < 10 {
		t.Errorf("only %d evictions: %+v", m.jit.Stats().Evictions, m.jit.Stats())
	}
}

// A page unmaps itself, and is then unmapped when it is called; the handler brings it back.
func TestPagesUnmappedUnderTheCode(t *testing.T) {
	turns := rounds(t, 3000, 0)
	m := newMachine(t, 2, jit.Options{CodeSize: 2 << 20})
	m.mapWindow()
	pte := func(id uint64) uint64 {
		return pageAt(slotPage+id)>>memory.PageShift<<mmu.PTEPPNShift | mmu.PTEV | mmu.PTER | mmu.PTEX | mmu.PTEA
	}
	leaf := func(id uint64) memory.GPA { return memory.GPA(pageAt(leafPage) + 8*id) }
	var pcs []uint64
	for id := range uint64(2) {
		// Both harts' pages have the same physical page's worth of code, at addresses of their own.
		m.assemble(pageAt(slotPage+id), func(a *asm.Assembler) {
			a.I(riscv.ADDI, asm.A0, asm.A0, 1)
			a.Store(riscv.SD, asm.Zero, 0, asm.S1)
			a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA, Rs1: asm.S2})
			a.I(riscv.ADDI, asm.A0, asm.A0, 1) // faults
			a.Ret()
		})
		pcs = append(pcs, pageAt(programPage+id))
		m.assemble(pcs[id], func(a *asm.Assembler) {
			enterSpace(a)
			a.Li(asm.S1, int64(leaf(id)))
			a.Li(asm.S2, int64(windowVA+id*memory.PageSize))
			a.Li(asm.S3, turns)
			a.Label("turn")
			a.Store(riscv.SD, asm.Zero, 0, asm.S1)
			a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA})
			a.I(riscv.JALR, asm.RA, asm.S2, 0) // faults
			a.I(riscv.ADDI, asm.S3, asm.S3, -1)
			a.B(riscv.BNE, asm.S3, asm.Zero, "turn")
			a.Op(riscv.WFI)
		})
	}
	var faults [2]int64
	m.bounded(func() {
		m.runAll(func(id int, h *hart.Hart) bool {
			f := h.FirmwareTrap
			va := windowVA + uint64(id)*memory.PageSize
			if f.Cause != riscv.CauseFetchPageFault || f.Tval != h.PC || h.PC != va && h.PC != va+12 {
				return false
			}
			faults[id]++
			return m.ram.Store64(leaf(uint64(id)), pte(uint64(id))) == nil
		}, pcs...)
	})
	for id, h := range m.harts {
		if faults[id] != 2*turns || h.X[asm.A0] != uint64(2*turns) {
			t.Errorf("hart %d: %d faults, a0 = %d, of %d turns", id, faults[id], h.X[asm.A0], turns)
		}
	}
}

// Random bytes all over RAM, executed in S-mode by harts that write where they like: to their code, to each other's, to what they take for
// page tables. There is nothing to compare with; the machine has to survive.
func TestRandomBytesEverywhere(t *testing.T) {
	seed := firstSeed(t)
	m := newMachine(t, 2, jit.Options{CodeSize: 2 << 20, Pages: 256})
	random := rand.New(rand.NewPCG(seed, 1))
	mem, err := m.ram.Slice(ramBase, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(mem); i += 8 {
		v := random.Uint64()
		for k := range 8 {
			mem[i+k] = byte(v >> (8 * k))
		}
	}
	starts := rounds(t, 20000, 0)
	var traps [2]uint64
	m.bounded(func() {
		done := make(chan error, len(m.harts))
		for id, h := range m.harts {
			go func() {
				defer h.Leave()
				random := rand.New(rand.NewPCG(seed, uint64(2+id)))
				address := func() uint64 { return ramBase + random.Uint64N(ramSize) }
				for range starts {
					h.Reset(address() &^ 1)
					h.Firmware = true
					h.OpenPMP()
					h.SetPriv(riscv.PrivS)
					h.Mstatus |= hart.MstatusFS
					for i := 1; i < 32; i++ {
						h.X[i] = address()
					}
					m.engines[id].RunFor(1 + random.Uint64N(500))
				}
				traps[id] = h.Stats.Exceptions[riscv.CauseIllegal]
				done <- nil
			}()
		}
		limit := time.After(time.Minute)
		for range m.harts {
			select {
			case <-done:
			case <-limit:
				panic(fmt.Sprintf("harts hang; seed %d", seed))
			}
		}
	})
	t.Logf("illegal instructions: %v", traps)
}
