package jit_test

// The optimizing tier beside the interpreter: everything that begins a block becomes a region.

import (
	"fmt"
	"math"
	"math/bits"
	"testing"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	host "github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/lockstep"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// regionSettings are sizes of regions and hosts.
func regionSettings() []jit.Options {
	o := jit.Options{CodeSize: 16 << 20, Tier: jit.TierOptimized}
	var list []jit.Options
	for _, guest := range []int{1, 3, 20, 0} {
		o.Region.Guest, o.Count = guest, guest == 20
		list = append(list, o)
	}
	mirrored := o
	mirrored.Mirror = jit.MirrorAlways
	list = append(list, mirrored)
	mirrored.Without = host.HasFSGSBASE | host.HasArchPrctl // the host of these tests may have neither in the first place
	list = append(list, mirrored)
	o.Without = ^host.Feature(0)
	list = append(list, o)
	o.Without = host.HasFMA | host.HasBMI1 | host.HasBMI2
	return append(list, o)
}

func TestLockStepOptimized(t *testing.T) {
	for _, o := range regionSettings() {
		t.Run(fmt.Sprintf("%d instructions without %v, mirrors %d", o.Region.Guest, o.Without, o.Mirror), func(t *testing.T) {
			r := &lockstep.Runner{New: newEngine(t, o), Steps: steps(), MemoryEvery: *stepFlag}
			if err := r.RunSeeds(firstSeed(t), programs()/16); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLockStepOptimizedUserLevel(t *testing.T) {
	for _, o := range regionSettings() {
		t.Run(fmt.Sprintf("%d instructions without %v, mirrors %d", o.Region.Guest, o.Without, o.Mirror), func(t *testing.T) {
			seed := firstSeed(t)
			r := &lockstep.Runner{New: newEngine(t, o), Steps: steps(), MemoryEvery: *stepFlag}
			defer r.Close()
			for done := 0; done < programs()/16; done += lockstep.Batch {
				img, err := difftest.Build(difftest.GenerateMany(seed+uint64(done), lockstep.Batch, difftest.All))
				if err != nil {
					t.Fatal(err)
				}
				if err := r.RunImage(img); err != nil {
					t.Fatalf("programs of seeds from %d: %v", seed+uint64(done), err)
				}
			}
		})
	}
}

// A loop that two harts run becomes a region while they run it, computes what it computed before, and is made again when its code changes.
func TestHotLoop(t *testing.T) {
	m := newMachine(t, 2, jit.Options{CodeSize: 8 << 20, Tier: jit.TierAuto, Region: jit.RegionOptions{Every: 1, Threshold: 1}})
	const turns = 3_000_000
	program := func(shift int32) {
		m.assemble(pageAt(1), func(a *asm.Assembler) {
			a.Li(asm.T0, turns)
			a.Li(asm.A0, 1)
			a.Label("turn")
			a.I(riscv.SLLIW, asm.A1, asm.A0, shift)
			a.I(riscv.SRLIW, asm.A2, asm.A0, 32-shift)
			a.R(riscv.OR, asm.A1, asm.A1, asm.A2) // a rotation
			a.R(riscv.ADDW, asm.A0, asm.A1, asm.T0)
			a.I(riscv.ADDI, asm.T0, asm.T0, -1)
			a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
			a.Op(riscv.FENCE_I)
			a.Op(riscv.WFI)
		})
	}
	for _, shift := range []int32{5, 13} {
		want := uint32(1)
		for n := uint32(turns); n > 0; n-- {
			want = bits.RotateLeft32(want, int(shift)) + n
		}
		program(shift)
		m.harts[0].FenceI()
		m.harts[1].FenceI()
		before := m.jit.Stats().Regions
		for try := 0; ; try++ {
			m.runAll(nil, pageAt(1), pageAt(1))
			for id, h := range m.harts {
				if got := h.X[asm.A0]; got != uint64(int32(want)) {
					t.Fatalf("rotating by %d, hart %d has %#x, want %#x", shift, id, got, int32(want))
				}
			}
			if m.jit.Stats().Regions > before && try > 0 {
				break
			}
			if try == 100 {
				t.Fatal("the loop never becomes a region")
			}
		}
	}
}

// A comparison that compilers make quiet, by saving and restoring fflags around it, leaves them as they were whatever it compares.
func TestQuietComparison(t *testing.T) {
	values := []uint64{0, 1 << 63, 1, 0x3ff0_0000_0000_0000, 0xbff0_0000_0000_0000, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000,
		0x7ff0_0000_0000_0001, 0xfff8_0000_0000_1234, 0xfff4_0000_0000_0000}
	for _, op := range []riscv.Op{riscv.FLT_D, riscv.FLE_D} {
		for _, over := range []uint8{asm.A5, asm.A4} { // into the register of the saved flags, too
			m := newMachine(t, 1, jit.Options{CodeSize: 8 << 20, Tier: jit.TierOptimized})
			m.assemble(pageAt(1), func(a *asm.Assembler) {
				a.CSR(riscv.CSRRW, 0, riscv.CSRFflags, asm.A2)
				a.R1(riscv.FMV_D_X, asm.FA0, asm.A0)
				a.R1(riscv.FMV_D_X, asm.FA1, asm.A1)
				a.CSR(riscv.CSRRS, asm.A4, riscv.CSRFflags, 0)
				a.R(op, asm.A5, asm.FA0, asm.FA1)
				a.CSR(riscv.CSRRW, 0, riscv.CSRFflags, asm.A4)
				a.Mv(over, asm.A5)
				a.CSR(riscv.CSRRS, asm.A6, riscv.CSRFflags, 0)
				a.Op(riscv.WFI)
			})
			h := m.harts[0]
			for _, x := range values {
				for _, y := range values {
					for _, flags := range []uint64{0, 1, 16, 31} {
						h.Mstatus |= hart.MstatusFS
						h.X[asm.A0], h.X[asm.A1], h.X[asm.A2] = x, y, flags
						m.run(0, pageAt(1))
						fx, fy := math.Float64frombits(x), math.Float64frombits(y)
						want := uint64(0)
						if fx < fy || op == riscv.FLE_D && fx == fy {
							want = 1
						}
						if h.X[asm.A5] != want || h.X[asm.A6] != flags || h.Fflags != flags {
							t.Fatalf("%v of %#x and %#x with fflags %#x: %d, fflags %#x and %#x", op, x, y, flags, h.X[asm.A5], h.X[asm.A6], h.Fflags)
						}
					}
				}
			}
			if m.jit.Stats().Regions == 0 {
				t.Error("it is no region")
			}
		}
	}
}
