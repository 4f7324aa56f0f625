package interp

// The bare machine the tests run on: RAM, one hart, the interpreter.

import (
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	ramBase = 0x8000_0000
	ramSize = 16 << 20
	scratch = ramBase + 1<<20 // where tests of loads and stores point
)

type machine struct {
	*hart.Hart
	ram *memory.RAM
	bus *device.Bus
	in  *Interp
	tb  testing.TB
}

// newMachine is a machine in M-mode at ramBase, with floating point on.
func newMachine(tb testing.TB) *machine {
	tb.Helper()
	ram, err := memory.NewRAM(ramBase, ramSize)
	if err != nil {
		tb.Fatal(err)
	}
	bus := new(device.Bus)
	h, err := hart.New(hart.Config{RAM: ram, Bus: bus, Clock: timebase.New(), PMP: 16})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
		if err := ram.Close(); err != nil {
			tb.Error(err)
		}
	})
	h.Reset(ramBase)
	h.Mstatus |= hart.MstatusFS
	return &machine{Hart: h, ram: ram, bus: bus, in: New(h), tb: tb}
}

// write puts bytes into RAM, and makes the hart see them as code.
func (m *machine) write(a uint64, b []byte) {
	m.tb.Helper()
	if err := m.ram.Write(memory.GPA(a), b); err != nil {
		m.tb.Fatal(err)
	}
	m.FenceI()
}

// assemble puts the program that f writes at base, and the pc there.
func (m *machine) assemble(base uint64, f func(a *asm.Assembler)) map[string]uint64 {
	m.tb.Helper()
	m.PC = base
	return m.assembleAt(base, base, f)
}

// assembleAt puts the program that f writes, for the virtual address va, at the physical address pa.
func (m *machine) assembleAt(pa, va uint64, f func(a *asm.Assembler)) map[string]uint64 {
	m.tb.Helper()
	a := asm.New(va)
	f(a)
	code, err := a.Bytes()
	if err != nil {
		m.tb.Fatal(err)
	}
	m.write(pa, code)
	return a.Labels()
}

// step executes one instruction.
func (m *machine) step() {
	m.tb.Helper()
	if exit, exited := m.in.RunFor(1); exited {
		m.tb.Fatalf("exit %v at %#x", exit, m.PC)
	}
}

// exec executes the one instruction i at ramBase; it says whether it retired.
func (m *machine) exec(i riscv.Inst) bool {
	m.tb.Helper()
	raw, err := riscv.Encode(i)
	if err != nil {
		m.tb.Fatal(err)
	}
	return m.execRaw(raw)
}

// execRaw is exec of an encoding.
func (m *machine) execRaw(raw uint32) bool {
	m.tb.Helper()
	m.write(ramBase, []byte{byte(raw), byte(raw >> 8), byte(raw >> 16), byte(raw >> 24)})
	m.PC = ramBase
	before := m.Instret
	m.step()
	return m.Instret == before+1
}

// run executes until WFI, in at most limit instructions.
func (m *machine) run(limit uint64) {
	m.tb.Helper()
	exit, exited := m.in.RunFor(limit)
	if !exited || exit != engine.ExitWFI {
		m.tb.Fatalf("no WFI in %d instructions (exit %v, %v): pc %#x, mcause %#x, mepc %#x, mtval %#x", limit, exit, exited,
			m.PC, m.Mcause, m.Mepc, m.Mtval)
	}
}

func (m *machine) load64(a uint64) uint64 {
	m.tb.Helper()
	v, err := m.ram.Load64(memory.GPA(a))
	if err != nil {
		m.tb.Fatal(err)
	}
	return v
}

func (m *machine) store64(a, v uint64) {
	m.tb.Helper()
	if err := m.ram.Store64(memory.GPA(a), v); err != nil {
		m.tb.Fatal(err)
	}
}
