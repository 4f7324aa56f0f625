//go:build linux && amd64

package amd64_test

// A bench for pieces of generated code: two harts with the same state, one of which runs a program's translation and the other the
// interpreter. The whole state is compared afterwards.

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/optimize"
	"github.com/vmproject/vm/internal/engine/jit/rv64"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	floatRAM  = 0x8000_0000
	floatCode = floatRAM + 0x100
	floatData = floatRAM + 0x10_000 // two pages
	floatBase = 15                  // a5 points there in tests of straight lines
)

// floatHart is a hart and its interpreter.
type floatHart struct {
	*hart.Hart
	ram *memory.RAM
	in  *interp.Interp
}

func newFloatHart(tb testing.TB) *floatHart {
	tb.Helper()
	ram, err := memory.NewRAM(floatRAM, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	h, err := hart.New(hart.Config{RAM: ram, Bus: new(device.Bus), Clock: timebase.New()})
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
	h.Reset(floatCode)
	h.Mtvec = floatRAM + 0x800
	h.Poll()
	return &floatHart{h, ram, interp.New(h)}
}

// floatMachine is two harts: one for generated code and one for the interpreter.
type floatMachine struct {
	tb       testing.TB
	jit, ref *floatHart
	has      asm.Feature
	routines amd64.Routines
	arena    *code.Arena
	region   *code.Region
	compiler *amd64.Compiler

	raws  []uint32 // the instructions at floatCode
	entry uintptr
	ops   []ir.Op
}

func newFloatMachine(tb testing.TB, has asm.Feature) *floatMachine {
	tb.Helper()
	m := &floatMachine{tb: tb, jit: newFloatHart(tb), ref: newFloatHart(tb), has: has}
	var err error
	if m.arena, err = code.New(2<<20, 1<<20); err != nil {
		tb.Skip(err)
	}
	tb.Cleanup(func() {
		if err := m.arena.Close(); err != nil {
			tb.Error(err)
		}
	})
	m.open()
	b, _ := m.region.Alloc(64 << 10)
	if m.routines, _, err = amd64.MakeRoutines(has, b.Bytes, uintptr(b.Addr)); err != nil {
		tb.Fatal(err)
	}
	m.open() // what holds the routines stays
	m.compiler = amd64.New(has, m.routines, uintptr(m.arena.Base()))

	h := m.jit.Hart
	if h.Window(0) == 0 {
		tb.Skip("no windows on a hart's state")
	}
	stack, err := unix.Mmap(-1, 0, 4*amd64.ShadowBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(stack); err != nil {
			tb.Error(err)
		}
	})
	at := -int(uintptr(unsafe.Pointer(&stack[0])))&(amd64.ShadowBytes-1) + amd64.ShadowBytes + amd64.ShadowTop
	host, guest := m.routines.InitShadow()
	binary.LittleEndian.PutUint64(stack[at:], host)
	binary.LittleEndian.PutUint64(stack[at+8:], guest)
	for i := range h.ShadowSP {
		h.ShadowSP[i] = uint64(uintptr(unsafe.Pointer(&stack[at])))
	}
	return m
}

func (m *floatMachine) open() {
	var err error
	if m.region, err = m.arena.Open(); err != nil {
		m.tb.Fatal(err)
	}
}

// load makes the program of both harts, which ends by an illegal instruction, and its code, with groups of accesses if wanted.
func (m *floatMachine) load(group bool, insts ...riscv.Inst) {
	m.tb.Helper()
	m.raws = m.raws[:0]
	var bytes []byte
	for _, i := range insts {
		raw, err := riscv.Encode(i)
		if err != nil {
			m.tb.Fatal(err)
		}
		m.raws = append(m.raws, raw)
		bytes = binary.LittleEndian.AppendUint32(bytes, raw)
	}
	bytes = binary.LittleEndian.AppendUint32(bytes, 0)
	for _, h := range []*floatHart{m.jit, m.ref} {
		if err := h.ram.Write(floatCode, bytes); err != nil {
			m.tb.Fatal(err)
		}
		h.FenceI()
	}
	page, err := m.jit.ram.Slice(floatRAM, memory.PageSize)
	if err != nil {
		m.tb.Fatal(err)
	}
	var block ir.Block
	source := rv64.Code{Bytes: page, Page: floatRAM, MaxGuest: rv64.MaxGuest}
	rv64.Build(&block, &source, floatCode-floatRAM, false)
	m.ops = m.ops[:0]
	for _, in := range block.Insts {
		m.ops = append(m.ops, in.Op)
	}
	if group {
		block.Insts = optimize.Group(block.Insts, nil)
	}
	if m.region.Room() < 64<<10 {
		m.region.Seal()
		m.region.Free()
		m.open()
	}
	b, _ := m.region.Alloc(32 << 10)
	out, err := m.compiler.Compile(&block, b.Bytes, uintptr(b.Addr), func(int32, bool) (uintptr, bool) { return 0, false })
	if err != nil {
		m.tb.Fatal(err)
	}
	m.region.Trim(len(out.Bytes))
	m.entry = uintptr(b.Addr) + uintptr(out.Outer)
}

// The flags of fcsr and of MXCSR, in the order of the former.
var mxcsrBit = [5]uint32{1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 0}

func mxcsr(frm, fflags uint64) uint32 {
	v := uint32(0x1f80) | [4]uint32{0, 3, 1, 2}[frm&3]<<13
	for i, bit := range mxcsrBit {
		if fflags>>i&1 != 0 {
			v |= bit
		}
	}
	return v
}

func fflagsOf(mxcsr uint32) (f uint64) {
	for i, bit := range mxcsrBit {
		if mxcsr&bit != 0 {
			f |= 1 << i
		}
	}
	return f
}

// enter runs generated code until it leaves for the interpreter.
func (m *floatMachine) enter() amd64.Kind {
	h := m.jit.Hart
	target := m.entry
	h.Budget, h.Refill = 1000, 0
	for {
		h.Target = uint64(target)
		h.FPFast = 0
		if h.FPEnabled() && h.Mstatus&hart.MstatusFS == hart.MstatusFS && h.Frm < 4 {
			h.FPFast = 1
		}
		h.GuestMXCSR = mxcsr(h.Frm, h.Fflags)
		h.FetchBank = uint64(h.Window(h.Bank) + unsafe.Offsetof(hart.State{}.TLB))
		base := amd64.Base(h.Window(h.DataBank))
		kind := amd64.Kind(code.EnterDetached(code.Addr(m.routines.Enter), *(*unsafe.Pointer)(unsafe.Pointer(&base))))
		if h.FPFast != 0 {
			h.Fflags = fflagsOf(h.GuestMXCSR)
		}
		switch kind {
		case amd64.KindMissLoad, amd64.KindMissStore:
			acc := mmu.Load
			if kind == amd64.KindMissStore {
				acc = mmu.Store
			}
			place := amd64.Place(h.Scratch[0])
			if filled, _ := h.Fill(h.ExitArg, acc, place.Group()); filled {
				target = m.routines.Resume
				continue
			}
			h.ShadowSP[h.Bank] += 8
			h.PC = h.PageBase + place.Off()
			return amd64.KindStep
		}
		return kind
	}
}

// run runs the program on both harts, whose states are the same, and compares them. It says whether generated code came to the end.
func (m *floatMachine) run(what func() string) bool {
	m.tb.Helper()
	stop := uint64(floatCode + 4*len(m.raws))
	before := m.ref.Hot
	m.jit.PC, m.ref.PC = floatCode, floatCode
	for m.ref.PC >= floatCode && m.ref.PC < stop {
		m.ref.in.RunFor(1)
	}
	kind := m.enter()
	if kind != amd64.KindStep && kind != amd64.KindLink {
		m.tb.Fatalf("%s: left as %d", what(), kind)
	}
	through := m.jit.PC == stop
	left := m.jit.PC
	if !through && m.jit.Fflags&^m.ref.Fflags != 0 {
		m.tb.Errorf("%s: flags %05b before a step, %05b behind it", what(), m.jit.Fflags, m.ref.Fflags)
	}
	for m.jit.PC >= floatCode && m.jit.PC < stop {
		m.jit.in.RunFor(1)
	}
	a, b := &m.jit.Hot, &m.ref.Hot
	same := [32]uint64(a.X[:32]) == [32]uint64(b.X[:32]) && a.F == b.F && a.Fflags == b.Fflags && a.Frm == b.Frm &&
		a.PC == b.PC && a.Mstatus == b.Mstatus && a.Mcause == b.Mcause
	if !same {
		m.tb.Errorf("%s", what())
		m.tb.Logf("frm %d, left at %#x", b.Frm, left)
		for _, raw := range m.raws {
			m.tb.Logf("\t%v", riscv.Decode(raw))
		}
		for i := range 32 {
			if a.X[i] != b.X[i] || before.X[i] != b.X[i] {
				m.tb.Logf("x%d %#x becomes %#x, want %#x", i, before.X[i], a.X[i], b.X[i])
			}
		}
		for i := range 32 {
			if a.F[i] != b.F[i] || before.F[i] != b.F[i] || len(m.raws) == 1 && before.F[i] != 0 {
				m.tb.Logf("f%d %#x becomes %#x, want %#x", i, before.F[i], a.F[i], b.F[i])
			}
		}
		m.tb.Logf("flags %05b, want %05b; pc %#x, want %#x; mstatus %#x, want %#x", a.Fflags, b.Fflags, a.PC, b.PC, a.Mstatus, b.Mstatus)
		m.tb.FailNow()
	}
	return through
}

// both sets up the two harts.
func (m *floatMachine) both(set func(h *hart.State)) {
	set(m.jit.State)
	set(m.ref.State)
}
