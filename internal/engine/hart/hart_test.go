package hart

// What the tests share: a small machine, page tables in it, and CSR access by name.

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	ramBase = 0x8000_0000
	ramSize = 4 << 20
	devBase = 0x1000_0000
	overlay = ramBase + 0x10_0040 // a device of 8 bytes over RAM, as tohost is
)

// memoryDevice is a device that remembers accesses.
type memoryDevice struct {
	mu    sync.Mutex
	reg   [64]byte
	sizes []int
}

func (d *memoryDevice) Load(off uint64, size int) (v uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes = append(d.sizes, size)
	for i := range size {
		v |= uint64(d.reg[off+uint64(i)]) << (8 * i)
	}
	return v
}

func (d *memoryDevice) Store(off uint64, size int, v uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range size {
		d.reg[off+uint64(i)] = byte(v >> (8 * i))
	}
}

type machine struct {
	*Hart
	t    testing.TB
	dev  *memoryDevice
	over *memoryDevice
	next uint64 // page that alloc gives out next
}

func newRAM(t testing.TB) *memory.RAM {
	t.Helper()
	ram, err := memory.NewRAM(ramBase, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ram.Close(); err != nil {
			t.Error(err)
		}
	})
	return ram
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{t: t, dev: &memoryDevice{}, over: &memoryDevice{}, next: ramBase + 0x20_0000}
	bus := &device.Bus{}
	for _, err := range []error{bus.Map(devBase, 64, "test", m.dev), bus.Map(overlay, 8, "tohost", m.over)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := New(Config{RAM: newRAM(t), Bus: bus, Clock: timebase.New(), PMP: MaxPMP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	m.Hart = h
	h.Mtvec = 0x8000_1000
	h.Stvec = 0x8000_2000
	h.Poll()
	return m
}

// csr reads a register as the debugger does.
func (m *machine) csr(num uint16) uint64 {
	m.t.Helper()
	v, ok := m.ReadCSR(num)
	if !ok {
		m.t.Fatalf("no CSR %s", riscv.CSRName(num))
	}
	return v
}

func (m *machine) set(num uint16, v uint64) {
	m.t.Helper()
	if !m.WriteCSR(num, v) {
		m.t.Fatalf("cannot write CSR %s", riscv.CSRName(num))
	}
}

// alloc is a fresh zeroed page.
func (m *machine) alloc() uint64 {
	p := m.next
	m.next += memory.PageSize
	return p
}

func (m *machine) poke(gpa, v uint64) {
	m.t.Helper()
	if err := m.RAM.Store64(memory.GPA(gpa), v); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) peek(gpa uint64) uint64 {
	m.t.Helper()
	v, err := m.RAM.Load64(memory.GPA(gpa))
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

// paging turns Sv39 on with empty tables and PMP open, and enters a privilege.
func (m *machine) paging(priv uint64) {
	m.OpenPMP()
	m.set(riscv.CSRSatp, mmu.ModeSv39<<60|1<<44|m.alloc()>>12)
	m.SetPriv(priv)
}

const rwx = mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEA | mmu.PTED

// mapPage maps va to gpa in the present Sv39 tables, and returns where the leaf is.
func (m *machine) mapPage(va, gpa, flags uint64) (leaf uint64) {
	table := m.Satp << 12 & (1<<56 - 1)
	for level := 2; ; level-- {
		at := table + va>>(12+9*level)&511*8
		if level == 0 {
			m.poke(at, gpa>>12<<10|flags)
			return at
		}
		if m.peek(at) == 0 {
			m.poke(at, m.alloc()>>12<<10|mmu.PTEV)
		}
		table = m.peek(at) & mmu.PTEPPN << 2
	}
}

// trapped checks that the last thing that happened is this trap, to M-mode or S-mode.
func (m *machine) trapped(to, cause, tval uint64) {
	m.t.Helper()
	gotCause, gotTval := m.Mcause, m.Mtval
	if to == riscv.PrivS {
		gotCause, gotTval = m.Scause, m.Stval
	}
	if m.Priv != to || gotCause != cause || gotTval != tval {
		m.t.Fatalf("in mode %d with cause %#x tval %#x; want mode %d cause %#x tval %#x", m.Priv, gotCause, gotTval, to, cause, tval)
	}
}

func TestStateLayout(t *testing.T) {
	m := newMachine(t)
	if uintptr(unsafe.Pointer(m.State))%memory.PageSize != 0 {
		t.Error("State is not page aligned")
	}
	if end := unsafe.Offsetof(m.State.X) + 29*unsafe.Sizeof(m.State.X[0]); end > 256 {
		t.Errorf("x28 ends at byte %d of the state: a displacement of one byte reaches 256", end)
	}
	if unsafe.Offsetof(m.State.TLB) != memory.PageSize {
		t.Errorf("the hot fields take %d bytes, %d with padding: a second page costs every hart", unsafe.Sizeof(m.State.Hot), unsafe.Offsetof(m.State.TLB))
	}
}

func TestNewRefuses(t *testing.T) {
	ram := newRAM(t)
	for _, c := range []struct {
		name string
		c    Config
	}{
		{"no RAM", Config{Bus: &device.Bus{}, Clock: timebase.New()}},
		{"no bus", Config{RAM: ram, Clock: timebase.New()}},
		{"no clock", Config{RAM: ram, Bus: &device.Bus{}}},
		{"too many PMP entries", Config{RAM: ram, Bus: &device.Bus{}, Clock: timebase.New(), PMP: 24}},
		{"odd number of PMP entries", Config{RAM: ram, Bus: &device.Bus{}, Clock: timebase.New(), PMP: 5}},
	} {
		if h, err := New(c.c); err == nil {
			t.Errorf("%s: accepted", c.name)
			_ = h.Close()
		}
	}
}

func TestReset(t *testing.T) {
	m := newMachine(t)
	m.X[5], m.F[5], m.Fflags, m.Instret = 1, 2, 3, 4
	m.OpenPMP()
	for n := range csrByNumber {
		if csrByNumber[n] != nil {
			m.WriteCSR(uint16(n), 0x0123_4567_89ab_cdef)
		}
	}
	m.SetPending(riscv.IntMExternal, true)
	m.SetPending(riscv.IntSSoftware, true)
	m.ResValid = 1
	gen := m.FenceIGen
	m.Reset(ramBase)

	if m.PC != ramBase || m.Priv != riscv.PrivM {
		t.Errorf("starts at %#x in mode %d", m.PC, m.Priv)
	}
	if m.X != [NumX]uint64{} || m.F != [32]uint64{} || m.Instret != 0 || m.ResValid != 0 {
		t.Error("registers survive a reset")
	}
	if m.FenceIGen == gen {
		t.Error("predecoded code survives a reset")
	}
	want := map[uint16]uint64{
		riscv.CSRMstatus: 0xa_0000_0000, riscv.CSRMisa: misaValue, riscv.CSRSstatus: 0x2_0000_0000,
		riscv.CSRStimecmp: ^uint64(0), riscv.CSRMip: mipMEIP,
	}
	for n, r := range csrByNumber {
		if r == nil || n == riscv.CSRTime {
			continue
		}
		if v := m.csr(uint16(n)); v != want[uint16(n)] {
			t.Errorf("%s is %#x after reset, want %#x", riscv.CSRName(uint16(n)), v, want[uint16(n)])
		}
	}
	if atomic.LoadUint32(&m.Attention) == 0 {
		t.Error("an engine would not poll before the first instruction")
	}
}

func TestResetKeepsARequestToStop(t *testing.T) {
	m := newMachine(t)
	m.RequestStop()
	m.Reset(0)
	if m.Poll() != PollStop {
		t.Error("the request is gone")
	}
}
