package sbi

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	ramBase = 0x8000_0000
	ramSize = 1 << 20
	entry   = ramBase + 0x1000
)

// testConsole is a console in memory.
type testConsole struct {
	in, out bytes.Buffer
	err     error
}

func (c *testConsole) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	return c.out.Write(p)
}

func (c *testConsole) TryRead(p []byte) int {
	n, _ := c.in.Read(p)
	return n
}

// machine is harts and RAM without an engine: calls are made by setting registers.
type machine struct {
	*SBI
	harts   []*hart.Hart
	ram     *memory.RAM
	console testConsole
	resets  []string
}

func newMachine(t testing.TB, harts int) *machine {
	t.Helper()
	m := &machine{}
	var err error
	if m.ram, err = memory.NewRAM(ramBase, ramSize); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.ram.Close() })
	clock := timebase.New()
	for i := range harts {
		h, err := hart.New(hart.Config{ID: uint64(i), RAM: m.ram, Bus: &device.Bus{}, Clock: clock, PMP: hart.MaxPMP})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		m.harts = append(m.harts, h)
	}
	m.SBI, err = New(Config{Harts: m.harts, RAM: m.ram, Console: &m.console, Reset: func(k ResetKind, r ResetReason) {
		m.resets = append(m.resets, k.String())
		if r == SystemFailure {
			m.resets = append(m.resets, "failure")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.start(t, 0)
	return m
}

// start starts a hart the way a board does.
func (m *machine) start(t testing.TB, id int) {
	t.Helper()
	if !m.Start(id, entry, 0x1234) || !m.AwaitStart(m.harts[id], nil) {
		t.Fatalf("hart %d does not start", id)
	}
}

// call makes a call from a hart and returns a0, a1.
func (m *machine) call(h *hart.Hart, eid, fid uint64, a ...uint64) (err int64, value uint64) {
	copy(h.X[10:16], []uint64{0, 0, 0, 0, 0, 0})
	copy(h.X[10:16], a)
	h.X[16], h.X[17] = fid, eid
	h.FirmwareTrap = hart.Trap{Cause: riscv.CauseEcallS}
	m.Trap(h)
	return int64(h.X[10]), h.X[11]
}

func (m *machine) pending(h *hart.Hart, bit uint) bool {
	v, _ := h.ReadCSR(riscv.CSRMip)
	return v>>bit&1 != 0
}

const (
	eidBase = 0x10
	eidTime = 0x54494d45
	eidIPI  = 0x735049
	eidRF   = 0x52464e43
	eidHSM  = 0x48534d
	eidSRST = 0x53525354
	eidDBCN = 0x4442434e
)

func TestSetupState(t *testing.T) {
	m := newMachine(t, 2)
	h := m.harts[0]
	if h.PC != entry || h.X[10] != 0 || h.X[11] != 0x1234 || h.Priv != riscv.PrivS || !h.Firmware || h.Satp != 0 {
		t.Errorf("PC %#x a0 %#x a1 %#x priv %d firmware %v satp %#x", h.PC, h.X[10], h.X[11], h.Priv, h.Firmware, h.Satp)
	}
	for num, want := range map[uint16]uint64{
		riscv.CSRMideleg:    1<<1 | 1<<5 | 1<<9,
		riscv.CSRMcounteren: 0xffff_ffff,
		riscv.CSRMenvcfg:    7<<61 | 0xf0,
	} {
		if v, _ := h.ReadCSR(num); v != want {
			t.Errorf("%s = %#x, want %#x", riscv.CSRName(num), v, want)
		}
	}
	// Everything S-mode can handle is delegated, the call to the firmware is not.
	for _, c := range []uint{riscv.CauseIllegal, riscv.CauseBreakpoint, riscv.CauseEcallU, riscv.CauseLoadAccess, riscv.CauseStorePageFault} {
		if h.Medeleg>>c&1 == 0 {
			t.Errorf("exception %d is not delegated", c)
		}
	}
	if h.Medeleg>>riscv.CauseEcallS&1 != 0 {
		t.Error("ECALL from S-mode is delegated")
	}
	// PMP is open: S-mode can load and store.
	if !h.Store(ramBase+8, 8, 7) {
		t.Error("S-mode cannot store")
	}
	if v, ok := h.Load(ramBase+8, 8); !ok || v != 7 {
		t.Error("S-mode cannot load")
	}
}

func TestCalls(t *testing.T) {
	const all = ^uint64(0)
	tests := []struct {
		name     string
		eid, fid uint64
		a        []uint64
		err      int64
		value    uint64
	}{
		{"spec version", eidBase, 0, nil, 0, 0x200_0000},
		{"implementation", eidBase, 1, nil, 0, implementationID},
		{"implementation version", eidBase, 2, nil, 0, 1},
		{"probe TIME", eidBase, 3, []uint64{eidTime}, 0, 1},
		{"probe a legacy extension", eidBase, 3, []uint64{8}, 0, 1},
		{"probe PMU", eidBase, 3, []uint64{0x504d55}, 0, 0},
		{"probe nonsense", eidBase, 3, []uint64{9}, 0, 0},
		{"mvendorid", eidBase, 4, nil, 0, 0},
		{"base without function", eidBase, 7, nil, errNotSupported, 0},
		{"huge function", eidBase, 1<<31 + 3, nil, errNotSupported, 0},
		{"upper half of EID and FID counts for nothing", 0xffff_ffff_0000_0010, 0xffff_ffff_0000_0000, nil, 0, 0x200_0000},
		{"PMU", 0x504d55, 0, nil, errNotSupported, 0},
		{"SUSP", 0x53555350, 0, nil, errNotSupported, 0},
		{"nonsense", 0xdead_beef, 1, nil, errNotSupported, 0},
		{"set timer", eidTime, 0, []uint64{1 << 60}, 0, 0},
		{"IPI to nobody", eidIPI, 0, []uint64{0, 77}, 0, 0},
		{"IPI to a hart that is not there", eidIPI, 0, []uint64{4, 0}, errInvalidParam, 0},
		{"IPI to one that is and one that is not", eidIPI, 0, []uint64{3, 1}, errInvalidParam, 0},
		{"IPI with a base too high", eidIPI, 0, []uint64{1, 2}, errInvalidParam, 0},
		{"IPI with a base that wraps", eidIPI, 0, []uint64{4, all - 1}, errInvalidParam, 0},
		{"FENCE.I everywhere", eidRF, 0, []uint64{0, all}, 0, 0},
		{"SFENCE.VMA of everything", eidRF, 1, []uint64{3, 0, 0, 0}, 0, 0},
		{"SFENCE.VMA with size -1", eidRF, 1, []uint64{2, 0, 0x1000, all}, 0, 0},
		{"SFENCE.VMA of a page", eidRF, 1, []uint64{1, 1, 0x1000, 0x1000}, 0, 0},
		{"SFENCE.VMA that wraps", eidRF, 1, []uint64{1, 0, all - 0xfff, 0x2000}, errInvalidAddress, 0},
		{"SFENCE.VMA of the last page", eidRF, 1, []uint64{1, 0, all - 0xfff, 0x1000}, 0, 0},
		{"SFENCE.VMA of no bytes", eidRF, 1, []uint64{1, 0, 0x1000, 0}, 0, 0},
		{"SFENCE.VMA elsewhere", eidRF, 1, []uint64{8, 0, 0, 0}, errInvalidParam, 0},
		{"SFENCE.VMA with ASID", eidRF, 2, []uint64{3, 0, 0x1000, 0x1000, 5}, 0, 0},
		{"HFENCE.GVMA", eidRF, 4, []uint64{1, 0, 0, 0}, errNotSupported, 0},
		{"status of a started hart", eidHSM, 2, []uint64{0}, 0, uint64(Started)},
		{"status of a stopped hart", eidHSM, 2, []uint64{1}, 0, uint64(Stopped)},
		{"status of no hart", eidHSM, 2, []uint64{2}, errInvalidParam, 0},
		{"start no hart", eidHSM, 0, []uint64{2, entry, 0}, errInvalidParam, 0},
		{"start outside RAM", eidHSM, 0, []uint64{1, 0x1000, 0}, errInvalidAddress, 0},
		{"start at an odd address", eidHSM, 0, []uint64{1, entry + 1, 0}, errInvalidAddress, 0},
		{"start twice", eidHSM, 0, []uint64{0, entry, 0}, errAlreadyAvailable, 0},
		{"start", eidHSM, 0, []uint64{1, entry, 0}, 0, 0},
		{"reserved suspend type", eidHSM, 3, []uint64{1, entry, 0}, errInvalidParam, 0},
		{"platform's suspend type", eidHSM, 3, []uint64{0x9000_0000, entry, 0}, errInvalidParam, 0},
		{"suspend with a bad address", eidHSM, 3, []uint64{0x8000_0000, 0, 0}, errInvalidAddress, 0},
		{"reserved reset type", eidSRST, 0, []uint64{3, 0}, errInvalidParam, 0},
		{"reserved reset reason", eidSRST, 0, []uint64{0, 2}, errInvalidParam, 0},
		{"vendor's reset type", eidSRST, 0, []uint64{0xf000_0000, 0}, errInvalidParam, 0},
		{"write outside RAM", eidDBCN, 0, []uint64{2, ramBase + ramSize - 1, 0}, errInvalidParam, 0},
		{"write above the address space", eidDBCN, 0, []uint64{2, ramBase, 1}, errInvalidParam, 0},
		{"write of everything", eidDBCN, 0, []uint64{all, ramBase, 0}, errInvalidParam, 0},
		{"write of nothing", eidDBCN, 0, []uint64{0, ramBase, 0}, 0, 0},
		{"long write is cut", eidDBCN, 0, []uint64{ramSize, ramBase, 0}, 0, maxConsole},
		{"read outside RAM", eidDBCN, 1, []uint64{1, 0, 0}, errInvalidParam, 0},
		{"read without input", eidDBCN, 1, []uint64{1, ramBase, 0}, 0, 0},
		{"write byte", eidDBCN, 2, []uint64{'x'}, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, 2)
			h := m.harts[0]
			err, value := m.call(h, tt.eid, tt.fid, tt.a...)
			if err != tt.err || value != tt.value {
				t.Errorf("error %d value %#x, want %d, %#x", err, value, tt.err, tt.value)
			}
			if h.PC != entry+4 {
				t.Errorf("PC %#x, want that behind the ECALL", h.PC)
			}
			if len(m.resets) != 0 {
				t.Errorf("the machine was reset: %v", m.resets)
			}
		})
	}
}

func TestTimer(t *testing.T) {
	m := newMachine(t, 1)
	h := m.harts[0]
	m.call(h, eidTime, 0, 0)
	h.Poll()
	if !m.pending(h, riscv.IntSTimer) {
		t.Error("a timer in the past does not fire")
	}
	m.call(h, eidTime, 0, 1<<62)
	if m.pending(h, riscv.IntSTimer) {
		t.Error("a timer in the future is pending")
	}
}

func TestIPI(t *testing.T) {
	m := newMachine(t, 3)
	m.start(t, 1)
	for _, tt := range []struct {
		mask, base uint64
		want       []int
	}{{2, 0, []int{1}}, {1, 1, []int{1}}, {3, 0, []int{0, 1}}, {0, ^uint64(0), []int{0, 1}}, {4, 0, nil}} { // hart 2 is stopped
		if err, _ := m.call(m.harts[0], eidIPI, 0, tt.mask, tt.base); err != 0 {
			t.Errorf("mask %#x base %#x: %d", tt.mask, tt.base, err)
		}
		for i, h := range m.harts {
			if got := m.pending(h, riscv.IntSSoftware); got != slices.Contains(tt.want, i) {
				t.Errorf("mask %#x base %#x: pending on hart %d: %v", tt.mask, tt.base, i, got)
			}
			h.SetPending(riscv.IntSSoftware, false)
		}
	}
}

func TestFencesReachTheirHarts(t *testing.T) {
	m := newMachine(t, 2)
	before := []uint64{m.harts[0].FenceIGen, m.harts[1].FenceIGen}
	m.call(m.harts[0], eidRF, 0, 2, 0)
	if m.harts[0].FenceIGen != before[0] || m.harts[1].FenceIGen == before[1] {
		t.Error("FENCE.I for hart 1 went elsewhere")
	}
	m.call(m.harts[0], eidRF, 0, 0, ^uint64(0))
	if m.harts[0].FenceIGen == before[0] {
		t.Error("FENCE.I for all left out the caller")
	}
}

// TestHartsFenceEachOther has every hart, each on its goroutine, send fences and interrupts to all the others at once.
func TestHartsFenceEachOther(t *testing.T) {
	const n = 4
	m := newMachine(t, n)
	var all sync.WaitGroup
	for i := range n {
		if i != 0 {
			m.start(t, i)
		}
	}
	for _, h := range m.harts {
		all.Go(func() {
			defer h.Leave()
			for k := range uint64(200) {
				h.Poll()
				m.call(h, eidRF, k%3, 0, ^uint64(0), k<<12, 0x1000, k)
				m.call(h, eidIPI, 0, 1<<n-1, 0)
			}
		})
	}
	all.Wait()
}

func TestHSM(t *testing.T) {
	m := newMachine(t, 2)
	boot, second := m.harts[0], m.harts[1]
	started := make(chan bool)
	go func() { started <- m.AwaitStart(second, nil) }()
	if err, _ := m.call(boot, eidHSM, 0, 1, entry+0x100, 0x5678); err != 0 {
		t.Fatalf("start: %d", err)
	}
	if !<-started {
		t.Fatal("the hart did not start")
	}
	if second.PC != entry+0x100 || second.X[10] != 1 || second.X[11] != 0x5678 || second.Priv != riscv.PrivS {
		t.Errorf("started at %#x with a0 %#x, a1 %#x", second.PC, second.X[10], second.X[11])
	}
	if _, st := m.call(boot, eidHSM, 2, 1); st != uint64(Started) {
		t.Errorf("status %d", st)
	}
	m.call(second, eidHSM, 1)
	if _, st := m.call(boot, eidHSM, 2, 1); st != uint64(Stopped) {
		t.Errorf("status %d after it stopped itself", st)
	}
	cancel := make(chan struct{})
	go func() { started <- m.AwaitStart(second, cancel) }()
	close(cancel)
	if <-started {
		t.Error("a stopped hart started on its own")
	}
	// A start that nobody has acted on yet is pending, and a second one is refused.
	m.call(boot, eidHSM, 0, 1, entry, 0)
	if _, st := m.call(boot, eidHSM, 2, 1); st != uint64(StartPending) {
		t.Errorf("status %d", st)
	}
	if err, _ := m.call(boot, eidHSM, 0, 1, entry, 0); err != errAlreadyAvailable {
		t.Errorf("second start: %d", err)
	}
	m.SBI.Reset()
	for i := range m.harts {
		if m.State(i) != Stopped {
			t.Errorf("hart %d is %d after a reset", i, m.State(i))
		}
	}
}

func TestConcurrentStartsOnlyOneWins(t *testing.T) {
	m := newMachine(t, 3)
	m.start(t, 1)
	var won [2]int64
	var all sync.WaitGroup
	for i := range won {
		all.Go(func() { won[i], _ = m.call(m.harts[i], eidHSM, 0, 2, entry, uint64(i)) })
	}
	all.Wait()
	if won != [2]int64{0, errAlreadyAvailable} && won != [2]int64{errAlreadyAvailable, 0} {
		t.Errorf("results %v", won)
	}
}

func TestSuspend(t *testing.T) {
	for _, kind := range []uint64{suspendRetentive, suspendNonRetentive} {
		m := newMachine(t, 2)
		h := m.harts[0]
		h.Mie = 1 << riscv.IntSSoftware
		h.WriteCSR(riscv.CSRSatp, 8<<60|0x80000)
		h.Mstatus |= hart.MstatusSIE
		done := make(chan struct{})
		go func() {
			m.call(h, eidHSM, 3, kind, entry+0x200, 99)
			close(done)
		}()
		for m.State(0) != Suspended { // the other hart's view; no time is assumed
			continue
		}
		h.SetPending(riscv.IntSSoftware, true)
		<-done
		if m.State(0) != Started {
			t.Errorf("state %d", m.State(0))
		}
		if kind == suspendRetentive {
			if h.PC != entry+4 || h.X[10] != 0 || h.Satp == 0 {
				t.Errorf("retentive: PC %#x a0 %d satp %#x", h.PC, h.X[10], h.Satp)
			}
		} else if h.PC != entry+0x200 || h.X[10] != 0 || h.X[11] != 99 || h.Satp != 0 || h.Mstatus&hart.MstatusSIE != 0 {
			t.Errorf("non-retentive: PC %#x a0 %d a1 %d satp %#x", h.PC, h.X[10], h.X[11], h.Satp)
		}
	}
}

func TestSystemReset(t *testing.T) {
	for _, tt := range []struct {
		eid, kind, reason uint64
		want              string
	}{{eidSRST, 0, 0, "shutdown"}, {eidSRST, 1, 0, "cold reboot"}, {eidSRST, 2, 1, "warm reboot failure"}, {8, 0, 0, "shutdown"}} {
		m := newMachine(t, 1)
		m.call(m.harts[0], tt.eid, 0, tt.kind, tt.reason)
		if got := strings.Join(m.resets, " "); got != tt.want {
			t.Errorf("reset %d %d: %q, want %q", tt.kind, tt.reason, got, tt.want)
		}
		if m.harts[0].PC != entry {
			t.Error("the guest goes on")
		}
	}
}

func TestDebugConsole(t *testing.T) {
	m := newMachine(t, 1)
	h := m.harts[0]
	if err := m.ram.Write(ramBase+100, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err, n := m.call(h, eidDBCN, 0, 5, ramBase+100, 0); err != 0 || n != 5 {
		t.Errorf("write: %d, %d", err, n)
	}
	m.call(h, eidDBCN, 2, 0x100|'!')
	m.call(h, 1, 0, '\n')
	if got := m.console.out.String(); got != "hello!\n" {
		t.Errorf("console has %q", got)
	}
	m.console.in.WriteString("abc")
	if err, n := m.call(h, eidDBCN, 1, 2, ramBase+200, 0); err != 0 || n != 2 {
		t.Errorf("read: %d, %d", err, n)
	}
	if v, _ := m.ram.Load32(ramBase + 200); v != 'a'|'b'<<8 {
		t.Errorf("read %#x", v)
	}
	if c, _ := m.call(h, 2, 0); c != 'c' {
		t.Errorf("getchar: %d", c)
	}
	if c, _ := m.call(h, 2, 0); c != -1 {
		t.Errorf("getchar without input: %d", c)
	}
	m.console.err = errors.New("gone")
	for fid, a := range [][]uint64{0: {5, ramBase, 0}, 2: {'x'}} {
		if a == nil {
			continue
		}
		if err, _ := m.call(h, eidDBCN, uint64(fid), a...); err != errFailed {
			t.Errorf("function %d on a broken console: %d", fid, err)
		}
	}
}

// slowConsole is one whose Write lasts until told.
type slowConsole struct {
	testConsole
	entered, release chan struct{}
}

func (c *slowConsole) Write(p []byte) (int, error) {
	close(c.entered)
	<-c.release
	return len(p), nil
}

// A hart that waits for the console does not make others wait for it.
func TestFenceOnAHartInASlowConsole(t *testing.T) {
	for name, call := range map[string][]uint64{
		"write":      {eidDBCN, 0, 5, ramBase, 0},
		"write byte": {eidDBCN, 2, 'x'},
		"putchar":    {1, 0, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, 2)
			m.start(t, 1)
			c := &slowConsole{entered: make(chan struct{}), release: make(chan struct{})}
			m.cfg.Console = c
			for _, h := range m.harts {
				h.Poll() // as an engine does: they count as running
			}
			done := make(chan struct{})
			go func() {
				m.call(m.harts[0], call[0], call[1], call[2:]...)
				close(done)
			}()
			<-c.entered
			if err, _ := m.call(m.harts[1], eidRF, 0, 1, 0); err != 0 {
				t.Errorf("fence: %d", err)
			}
			close(c.release)
			<-done
		})
	}
}

func TestWithoutConsole(t *testing.T) {
	m := newMachine(t, 1)
	m.cfg.Console = nil
	for _, eid := range []uint64{eidDBCN, 1, 2} {
		if _, v := m.call(m.harts[0], eidBase, 3, eid); v != 0 {
			t.Errorf("extension %#x is there", eid)
		}
		if err, _ := m.call(m.harts[0], eid, 0, 0); err != errNotSupported {
			t.Errorf("extension %#x: %d", eid, err)
		}
	}
}

func TestLegacyCalls(t *testing.T) {
	m := newMachine(t, 2)
	m.start(t, 1)
	h := m.harts[0]
	if err := m.ram.Store64(ramBase, 0xfff2); err != nil { // hart 1, and some that do not exist
		t.Fatal(err)
	}
	h.X[10] = 0
	for _, tt := range []struct {
		name string
		eid  uint64
		addr uint64
		want []bool
	}{{"mask", 4, ramBase, []bool{false, true}}, {"everyone", 4, 0, []bool{true, true}}} {
		if err, a1 := m.call(h, tt.eid, 99, tt.addr, 0xa1); err != 0 || a1 != 0xa1 {
			t.Errorf("%s: a0 %d, a1 %#x", tt.name, err, a1)
		}
		for i, want := range tt.want {
			if got := m.pending(m.harts[i], riscv.IntSSoftware); got != want {
				t.Errorf("%s: hart %d pending %v", tt.name, i, got)
			}
			m.call(m.harts[i], 3, 0)
			if m.pending(m.harts[i], riscv.IntSSoftware) {
				t.Errorf("%s: clear_ipi left it pending", tt.name)
			}
		}
	}
	for _, eid := range []uint64{5, 6, 7} {
		if err, _ := m.call(h, eid, 0, ramBase, 0x1000, 0x1000, 3); err != 0 {
			t.Errorf("legacy fence %d: %d", eid, err)
		}
	}
	// A mask that cannot be read is a fault of the guest's.
	pc := h.PC
	h.WriteCSR(riscv.CSRStvec, ramBase+0x4000)
	m.call(h, 4, 0, 0x10)
	if h.PC != ramBase+0x4000 || h.Scause != riscv.CauseLoadAccess || h.Stval != 0x10 || h.Sepc != pc {
		t.Errorf("PC %#x scause %d stval %#x sepc %#x", h.PC, h.Scause, h.Stval, h.Sepc)
	}
}

func TestOtherTrapsGoToSMode(t *testing.T) {
	m := newMachine(t, 1)
	h := m.harts[0]
	h.WriteCSR(riscv.CSRStvec, ramBase+0x4000)
	before := h.Medeleg
	h.FirmwareTrap = hart.Trap{Cause: riscv.CauseHardwareError, Tval: 7}
	m.Trap(h)
	if h.PC != ramBase+0x4000 || h.Scause != riscv.CauseHardwareError || h.Stval != 7 || h.Sepc != entry || h.Medeleg != before {
		t.Errorf("PC %#x scause %d stval %#x sepc %#x medeleg %#x", h.PC, h.Scause, h.Stval, h.Sepc, h.Medeleg)
	}
	h.FirmwareTrap = hart.Trap{Cause: riscv.CauseInterrupt | riscv.IntMTimer}
	m.Trap(h) // nothing to do, and no harm
}

// TestEcallReachesTheTable goes through the hart's own trap.
func TestEcallReachesTheTable(t *testing.T) {
	m := newMachine(t, 1)
	h := m.harts[0]
	h.X[10], h.X[16], h.X[17] = eidHSM, 3, eidBase
	h.Ecall()
	if h.Poll() != hart.PollFirmware {
		t.Fatal("the ECALL does not reach the firmware")
	}
	m.Trap(h)
	if h.X[10] != 0 || h.X[11] != 1 || h.PC != entry+4 {
		t.Errorf("a0 %d a1 %d PC %#x", h.X[10], h.X[11], h.PC)
	}
}

func TestTable(t *testing.T) {
	seen := make(map[string]uint32)
	for eid, e := range extensions {
		if e.eid != eid || e.legacy != (eid < 9) || e.legacy && len(e.functions) != 1 {
			t.Errorf("extension %#x: %+v", eid, e)
		}
		for fid, f := range e.functions {
			key := e.name + " " + f.name
			if first, twice := seen[key]; twice || !strings.HasPrefix(f.name, "sbi_") || f.call == nil {
				t.Errorf("%s, function %d of %#x and %#x", key, fid, eid, first)
			}
			seen[key] = eid
		}
	}
}

func TestNewChecks(t *testing.T) {
	m := newMachine(t, 2)
	good := m.cfg
	for name, edit := range map[string]func(*Config){
		"no harts":    func(c *Config) { c.Harts = nil },
		"no RAM":      func(c *Config) { c.RAM = nil },
		"no reset":    func(c *Config) { c.Reset = nil },
		"wrong order": func(c *Config) { c.Harts = []*hart.Hart{c.Harts[1], c.Harts[0]} },
	} {
		c := good
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHotCallsDoNotAllocate(t *testing.T) {
	m := newMachine(t, 2)
	m.start(t, 1)
	h := m.harts[0]
	for name, f := range map[string]func(){
		"timer": func() { m.call(h, eidTime, 0, 1<<60) },
		"IPI":   func() { m.call(h, eidIPI, 0, 3, 0) },
		"fence": func() { m.call(h, eidRF, 1, 3, 0, 0x1000, 0x1000) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations a call", name, n)
		}
	}
}

func BenchmarkSetTimer(b *testing.B) {
	m := newMachine(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		m.call(m.harts[0], eidTime, 0, 1<<60)
	}
}

// FuzzCall makes calls with any arguments: no panic, no wait, and no address that is believed.
func FuzzCall(f *testing.F) {
	f.Add(uint64(eidDBCN), uint64(0), uint64(5), uint64(ramBase), uint64(0), uint64(0))
	f.Add(uint64(eidDBCN), uint64(1), ^uint64(0), uint64(ramBase)-1, uint64(1), uint64(0))
	f.Add(uint64(eidRF), uint64(2), uint64(3), ^uint64(0), ^uint64(0), ^uint64(0))
	f.Add(uint64(4), uint64(0), uint64(ramBase+ramSize-4), uint64(0), uint64(0), uint64(0))
	f.Add(uint64(eidHSM), uint64(0), uint64(1), uint64(entry), uint64(0), uint64(0))
	m := newMachine(f, 2)
	f.Fuzz(func(t *testing.T, eid, fid, a0, a1, a2, a3 uint64) {
		if uint32(eid) == eidHSM && uint32(fid) == 3 {
			return // waits, as it should
		}
		m.console.out.Reset()
		m.call(m.harts[0], eid, fid, a0, a1, a2, a3)
		m.SBI.Reset()
		m.start(t, 0)
	})
}
