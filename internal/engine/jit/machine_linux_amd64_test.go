package jit_test

// Bare machines of several harts that share their translations, for tests of what lock step, which has one hart, does not see.

import (
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	ramBase = 0x8000_0000
	ramSize = 16 << 20
)

// pageAt is the address of a page of RAM.
func pageAt(n uint64) uint64 { return ramBase + n*memory.PageSize }

type machine struct {
	testing.TB
	ram     *memory.RAM
	jit     *jit.Machine
	harts   []*hart.Hart
	engines []*jit.Engine
}

func newMachine(t testing.TB, n int, o jit.Options) *machine {
	t.Helper()
	ram, err := memory.NewRAM(ramBase, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{TB: t, ram: ram}
	t.Cleanup(m.close)
	if m.jit, err = jit.NewMachine(ram, o); err != nil {
		t.Fatal(err)
	}
	clock, bus := timebase.New(), new(device.Bus)
	for id := range n {
		h, err := hart.New(hart.Config{ID: uint64(id), RAM: ram, Bus: bus, Clock: clock, PMP: 16})
		if err != nil {
			t.Fatal(err)
		}
		m.harts = append(m.harts, h)
		e, err := m.jit.New(h, 16)
		if err != nil {
			t.Fatal(err)
		}
		m.engines = append(m.engines, e)
		h.Reset(ramBase)
		h.Mstatus |= hart.MstatusFS
	}
	return m
}

func (m *machine) close() {
	for _, e := range m.engines {
		if err := e.Close(); err != nil {
			m.Error(err)
		}
	}
	for _, h := range m.harts {
		if err := h.Close(); err != nil {
			m.Error(err)
		}
	}
	if err := m.ram.Close(); err != nil {
		m.Error(err)
	}
}

// assemble puts a program into RAM, which no hart executes meanwhile, and returns its labels.
func (m *machine) assemble(at uint64, f func(a *asm.Assembler)) map[string]uint64 {
	m.Helper()
	a := asm.New(at)
	f(a)
	b, err := a.Bytes()
	if err == nil {
		err = m.ram.Write(memory.GPA(at), b)
	}
	if err != nil {
		m.Fatal(err)
	}
	return a.Labels()
}

// run runs a hart from an address to its WFI, and leaves it there.
func (m *machine) run(id int, pc uint64) {
	m.Helper()
	h := m.harts[id]
	h.PC = pc
	defer h.Leave()
	if exit := m.engines[id].Run(); exit != engine.ExitWFI || h.Mcause != 0 {
		m.Fatalf("hart %d: exit %v at %#x, mcause %d, mepc %#x", id, exit, h.PC, h.Mcause, h.Mepc)
	}
}

// Calls of the firmware, by a7; a0 is the address.
const (
	callFenceI  = 1 + iota // FENCE.I on all harts
	callFence              // SFENCE.VMA on all harts
	callFenceVA            // of one address
)

// runAll runs every hart at once in S-mode, from an address to its WFI, with the firmware calls above. Every other trap is trapped's, on the hart's
// goroutine; nil is for a test that expects none. The test fails when it takes longer than any such test may.
func (m *machine) runAll(trapped func(id int, h *hart.Hart) bool, pc ...uint64) {
	m.Helper()
	var wg sync.WaitGroup
	for id, h := range m.harts {
		h.Firmware = true
		h.OpenPMP()
		h.SetPriv(riscv.PrivS)
		h.PC = pc[id%len(pc)]
		wg.Go(func() {
			defer h.Leave()
			for {
				switch exit := m.engines[id].Run(); exit {
				case engine.ExitWFI:
					return
				case engine.ExitFirmware:
					f := hart.FenceRequest{}
					switch {
					case h.FirmwareTrap.Cause != riscv.CauseEcallS:
						if trapped == nil || !trapped(id, h) {
							m.Errorf("hart %d: trap %d at %#x, tval %#x; a0 %d, a1 %d, a2 %d", id, h.FirmwareTrap.Cause, h.PC, h.FirmwareTrap.Tval,
								h.X[asm.A0], h.X[asm.A1], h.X[asm.A2])
							m.stop()
							return
						}
						continue
					case h.X[asm.A7] == callFenceI:
						f.Instruction = true
					case h.X[asm.A7] == callFenceVA:
						f.Flush = mmu.Flush{VA: h.X[asm.A0], HasVA: true}
					}
					hart.RemoteFence(h, m.harts, f)
					h.PC += 4
				default:
					m.Errorf("hart %d: exit %v at %#x", id, exit, h.PC)
					return
				}
			}
		})
	}
	stuck := time.AfterFunc(time.Minute, m.stop)
	defer stuck.Stop()
	wg.Wait()
}

// stop ends runAll for every hart.
func (m *machine) stop() {
	for _, h := range m.harts {
		h.RequestStop()
	}
}

// bounded calls f and fails the test if more of the Go heap is in use afterwards than the translations of a machine may need.
func (m *machine) bounded(f func()) {
	m.Helper()
	const most = 32 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+most {
		m.Errorf("%d KiB of heap are in use, %d KiB before", after.HeapAlloc>>10, before.HeapAlloc>>10)
	}
	m.Logf("heap %+d KiB; %+v", (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10, m.jit.Stats())
}

// bulky is code that is long when translated, to an address from where on nothing has been written, and ends in a WFI. gp points to data.
func bulky(a *asm.Assembler, end uint64) {
	for a.PC()+8 < end {
		a.Load(riscv.LD, asm.T0, 0, asm.GP)
		a.R(riscv.MULHSU, asm.T0, asm.T1, asm.T2)
		a.AMO(riscv.AMOMAX_D, asm.T1, asm.T0, asm.GP, asm.Relaxed)
	}
	a.Op(riscv.WFI)
}

// evictOne makes a hart execute pages from n on, all of which are free, until a region of code memory has been freed; it returns the first free
// page after.
func (m *machine) evictOne(id int, n uint64) uint64 {
	m.Helper()
	m.harts[id].X[asm.GP] = ramBase + ramSize - 64
	for before := m.jit.Stats().Evictions; m.jit.Stats().Evictions == before; n++ {
		if pageAt(n+1) > ramBase+ramSize-memory.PageSize {
			m.Fatal("there is no end to code memory")
		}
		m.assemble(pageAt(n), func(a *asm.Assembler) { bulky(a, pageAt(n+1)-8) })
		m.run(id, pageAt(n))
	}
	return n
}

func (m *machine) word(at uint64) uint64 {
	m.Helper()
	b, err := m.ram.Slice(memory.GPA(at), 8)
	if err != nil {
		m.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b)
}
