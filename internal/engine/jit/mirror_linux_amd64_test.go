package jit_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	host "github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mirror"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// A huge page of the guest's is mapped at once, unless there is code in it: a store to that is noticed, whichever came first.
func TestHugePageWithCode(t *testing.T) {
	for name, tier := range map[string]jit.Tier{"blocks": jit.TierBaseline, "regions": jit.TierOptimized} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 1, jit.Options{CodeSize: 8 << 20, Mirror: jit.MirrorAlways, Tier: tier})
			m.mapWindow()
			// The window is two huge pages: code and data in the first, only data in the second.
			const at, rights = ramBase + 2*mirror.Huge, mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEU | mmu.PTEA | mmu.PTED
			var err error
			for i := range uint64(2) {
				pte := (at+i*mirror.Huge)>>memory.PageShift<<mmu.PTEPPNShift | rights
				err = errors.Join(err, m.ram.Store64(memory.GPA(pageAt(megaPage)+8*i), pte))
			}
			changed, fail := riscv.Encode(riscv.Inst{Op: riscv.ADDI, Rd: uint8(asm.A3), Imm: 2})
			if err = errors.Join(err, fail); err != nil {
				t.Fatal(err)
			}
			m.assemble(at, func(a *asm.Assembler) {
				a.Label("changes")
				a.I(riscv.ADDI, asm.A3, asm.Zero, 1)
				a.R(riscv.ADD, asm.A4, asm.A4, asm.A3)
				a.B(riscv.BNE, asm.S0, asm.Zero, "end")
				a.I(riscv.ADDI, asm.S0, asm.Zero, 1)
				a.Li(asm.A1, windowVA+mirror.Huge-8)
				a.Store(riscv.SD, asm.S0, 0, asm.A1)
				a.Store(riscv.SD, asm.S0, 8, asm.A1)
				a.Load(riscv.LD, asm.A2, 8, asm.A1)
				a.Li(asm.T0, int64(changed))
				a.Li(asm.T1, windowVA)
				a.Store(riscv.SW, asm.T0, 0, asm.T1)
				a.Op(riscv.FENCE_I)
				a.J("changes")
				a.Label("end")
				a.Op(riscv.ECALL)
			})
			m.enterUser()
			x := &m.harts[0].X
			if x[asm.A2] != 1 || x[asm.A4] != 3 {
				t.Errorf("a2 is %d and a4 %d, not 1 and 3", x[asm.A2], x[asm.A4])
			}
			if v, _ := m.ram.Load64(at + mirror.Huge); v != 1 {
				t.Errorf("a store to the second page left %d", v)
			}
			if n := figures(m.engines[0].Report())["mirrored address spaces: pages mapped"]; len(n) < 3 {
				t.Errorf("%s pages were mapped", n)
			}
		})
	}
}

// Each machine has its own mirror, whichever threads they run on: one after the other on the same, and each on others than before.
func TestMirrorsOnAnyThread(t *testing.T) {
	const machines, rounds = 3, 20
	for name, without := range map[string]host.Feature{
		"all that there is": 0, "a segment that the kernel sets": host.HasFSGSBASE, "no segment": host.HasFSGSBASE | host.HasArchPrctl,
	} {
		t.Run(name, func(t *testing.T) {
			var all [machines]*machine
			for i := range all {
				all[i] = newMachine(t, 1, jit.Options{CodeSize: 4 << 20, Mirror: jit.MirrorAlways, Without: without})
				all[i].runUser(func(a *asm.Assembler) {
					a.Load(riscv.LD, asm.A1, 0, asm.A0)
					a.I(riscv.ADDI, asm.A1, asm.A1, int32(i+1))
					a.Store(riscv.SD, asm.A1, 0, asm.A0)
				})
			}
			for round := range rounds {
				for i := range all {
					m := all[(i+round)%machines]
					if round%2 == 0 {
						m.enterUser()
						continue
					}
					done := make(chan struct{})
					go func() {
						defer close(done)
						runtime.LockOSThread() // for good: the thread ends with it
						m.enterUser()
					}()
					<-done
				}
			}
			for i, m := range all {
				if got, want := m.word(pageAt(slotPage+1)), uint64((rounds+1)*(i+1)); got != want {
					t.Errorf("machine %d counted to %d, want %d", i, got, want)
				}
				if n := figures(m.engines[0].Report())["mirrored address spaces: pages mapped"]; n == "0" {
					t.Errorf("machine %d mapped nothing", i)
				}
			}
		})
	}
}

// An access beyond what a mirror has, by whichever register, is a page fault where it is, in blocks and in regions, and nothing behind it is executed. Afterwards the
// address space is as it was.
func TestBeyondTheMirror(t *testing.T) {
	bases := []uint8{asm.SP, asm.A0, asm.A2, asm.S1, asm.S2, asm.S3, asm.T6}
	for name, tier := range map[string]jit.Tier{"blocks": jit.TierBaseline, "regions": jit.TierOptimized} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 1, jit.Options{CodeSize: 8 << 20, Mirror: jit.MirrorAlways, Tier: tier})
			labels := map[string]uint64{}
			m.runUser(func(a *asm.Assembler) {
				a.Op(riscv.ECALL)
				for _, base := range bases {
					for _, op := range []riscv.Op{riscv.LD, riscv.SD} {
						a.Label(fmt.Sprint(op, base))
						a.I(riscv.ADDI, asm.A3, asm.A3, 1)
						if op == riscv.LD {
							a.Load(op, asm.A4, 8, base)
						} else {
							a.Store(op, asm.A3, 8, base)
						}
						a.I(riscv.ADDI, asm.A3, asm.A3, 1)
						a.Op(riscv.ECALL)
					}
				}
				labels = a.Labels()
			})
			h := m.harts[0]
			// access runs the access at a label and returns the trap.
			access := func(op riscv.Op, base uint8, to uint64) hart.Trap {
				for r := range uint8(31) {
					h.X[r+1] = 1000 + uint64(r)
				}
				h.X[asm.A3], h.X[base], h.PC = 0, to, labels[fmt.Sprint(op, base)]
				h.SetPriv(riscv.PrivU)
				defer h.Leave()
				if exit := m.engines[0].Run(); exit != engine.ExitFirmware {
					t.Fatalf("exit %v at %#x", exit, h.PC)
				}
				for r := range uint8(31) {
					if v := h.X[r+1]; r+1 != asm.A3 && r+1 != asm.A4 && r+1 != base && v != 1000+uint64(r) {
						t.Errorf("%v by x%d to %#x: x%d is %d, it was %d", op, base, to, r+1, v, 1000+int(r))
					}
				}
				return h.FirmwareTrap
			}
			for _, base := range bases {
				for op, cause := range map[riscv.Op]uint64{riscv.LD: riscv.CauseLoadPageFault, riscv.SD: riscv.CauseStorePageFault} {
					for _, to := range []uint64{mirror.Size - 8, mirror.Size, mirror.Size + 1<<12, 1 << 40, 1 << 47, 1<<63 - 8, 1 << 63, ^uint64(1<<47 - 1), ^uint64(mirror.Size) - 7, ^uint64(4095)} {
						at := labels[fmt.Sprint(op, base)]
						if trap := access(op, base, to); trap.Cause != cause || trap.Tval != to+8 || h.PC != at+4 || h.X[asm.A3] != 1 || h.X[base] != to {
							t.Errorf("%v by x%d to %#x: trap %+v at %#x, a3 %d, base %#x; want %d at %#x", op, base, to, trap, h.PC, h.X[asm.A3], h.X[base], cause, at+4)
						}
					}
					if trap := access(op, base, windowVA+memory.PageSize); trap.Cause != riscv.CauseEcallU || h.X[asm.A3] != 2 {
						t.Errorf("%v by x%d where there is memory: trap %+v, a3 %d", op, base, trap, h.X[asm.A3])
					}
				}
			}
		})
	}
}
