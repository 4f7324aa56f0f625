package hart

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

const (
	privU = riscv.PrivU
	privS = riscv.PrivS
	privM = riscv.PrivM
)

func TestTrapEntry(t *testing.T) {
	const pc = 0x8000_4242
	cases := []struct {
		name      string
		priv      uint64
		mstatus   uint64 // beyond the fixed bits
		medeleg   uint64
		tvec      uint64
		cause     uint64
		to        uint64
		pc        uint64
		afterMask uint64 // of mstatus
		after     uint64
	}{
		{"U to M", privU, MstatusMIE, 0, 0x8000_1000, riscv.CauseLoadAccess, privM, 0x8000_1000,
			MstatusMIE | MstatusMPIE | MstatusMPP, MstatusMPIE},
		{"S to M", privS, 0, 0, 0x8000_1000, riscv.CauseEcallS, privM, 0x8000_1000,
			MstatusMIE | MstatusMPIE | MstatusMPP, privS << mppShift},
		{"M to M", privM, MstatusMIE, ^uint64(0), 0x8000_1000, riscv.CauseBreakpoint, privM, 0x8000_1000,
			MstatusMIE | MstatusMPIE | MstatusMPP, MstatusMPIE | MstatusMPP},
		{"exceptions are not vectored", privU, 0, 0, 0x8000_1001, riscv.CauseIllegal, privM, 0x8000_1000, 0, 0},
		{"U to S", privU, MstatusSIE | MstatusSPP, 1 << riscv.CauseEcallU, 0x8000_2000, riscv.CauseEcallU, privS, 0x8000_2000,
			MstatusSIE | MstatusSPIE | MstatusSPP, MstatusSPIE},
		{"S to S", privS, 0, 1 << riscv.CauseStorePageFault, 0x8000_2001, riscv.CauseStorePageFault, privS, 0x8000_2000,
			MstatusSIE | MstatusSPIE | MstatusSPP, MstatusSPP},
		{"not delegated", privS, MstatusSIE, 1 << riscv.CauseLoadPageFault, 0x8000_1000, riscv.CauseStorePageFault, privM, 0x8000_1000,
			MstatusSIE | MstatusMPP, MstatusSIE | privS<<mppShift},
		{"MPRV stays", privM, MstatusMPRV | privS<<mppShift, 0, 0x8000_1000, riscv.CauseLoadAccess, privM, 0x8000_1000,
			MstatusMPRV | MstatusMPP, MstatusMPRV | MstatusMPP},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.Mstatus |= c.mstatus
			m.set(riscv.CSRMedeleg, c.medeleg)
			m.Mtvec, m.Stvec = c.tvec, c.tvec
			m.PC = pc
			m.SetPriv(c.priv)
			m.Exception(c.cause, 0x77)
			m.trapped(c.to, c.cause, 0x77)
			epc := m.Mepc
			if c.to == privS {
				epc = m.Sepc
			}
			if epc != pc || m.PC != c.pc {
				t.Errorf("epc %#x, now at %#x; want %#x, %#x", epc, m.PC, pc, c.pc)
			}
			if m.Mstatus&c.afterMask != c.after {
				t.Errorf("mstatus %#x, want %#x of %#x", m.Mstatus, c.after, c.afterMask)
			}
		})
	}
}

func TestEveryDelegableException(t *testing.T) {
	for cause := range uint64(20) {
		for _, priv := range []uint64{privU, privS, privM} {
			m := newMachine(t)
			m.set(riscv.CSRMedeleg, ^uint64(0))
			m.SetPriv(priv)
			m.Exception(cause, 1)
			to := uint64(privM)
			if uint64(0xb3ff)>>cause&1 != 0 && priv != privM {
				to = privS
			}
			m.trapped(to, cause, 1)
		}
	}
}

func TestReturns(t *testing.T) {
	const target = 0x8000_5554
	cases := []struct {
		name    string
		sret    bool
		priv    uint64
		mstatus uint64
		legal   bool
		to      uint64
		mask    uint64
		after   uint64
	}{
		{"MRET to U", false, privM, MstatusMPIE | MstatusMPRV, true, privU,
			MstatusMIE | MstatusMPIE | MstatusMPP | MstatusMPRV, MstatusMIE | MstatusMPIE},
		{"MRET to S", false, privM, privS<<mppShift | MstatusMIE | MstatusMPRV, true, privS,
			MstatusMIE | MstatusMPIE | MstatusMPP | MstatusMPRV, MstatusMPIE},
		{"MRET to M keeps MPRV", false, privM, MstatusMPP | MstatusMPRV, true, privM,
			MstatusMPP | MstatusMPRV, MstatusMPRV},
		{"MRET in S", false, privS, 0, false, 0, 0, 0},
		{"MRET in U", false, privU, 0, false, 0, 0, 0},
		{"SRET to U", true, privS, MstatusSPIE, true, privU, MstatusSIE | MstatusSPIE | MstatusSPP, MstatusSIE | MstatusSPIE},
		{"SRET to S", true, privS, MstatusSPP | MstatusSIE, true, privS, MstatusSIE | MstatusSPIE | MstatusSPP, MstatusSPIE},
		{"SRET in M clears MPRV", true, privM, MstatusSPP | MstatusMPRV, true, privS, MstatusMPRV | MstatusSPP, 0},
		{"SRET in U", true, privU, 0, false, 0, 0, 0},
		{"SRET under TSR", true, privS, MstatusTSR, false, 0, 0, 0},
		{"SRET in M under TSR", true, privM, MstatusTSR, true, privU, 0, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.Mstatus |= c.mstatus
			m.Mepc, m.Sepc = target, target
			m.PC = ramBase
			m.OpenPMP()
			m.poke(ramBase, 0x10200073) // sret
			m.SetPriv(c.priv)
			m.ResValid = 1
			ret := m.MRET
			if c.sret {
				ret = m.SRET
			}
			if ret() != c.legal {
				t.Fatalf("legal is %v", !c.legal)
			}
			if !c.legal {
				m.trapped(privM, riscv.CauseIllegal, 0x10200073)
				return
			}
			if m.Priv != c.to || m.PC != target || m.Mstatus&c.mask != c.after {
				t.Errorf("mode %d at %#x mstatus %#x; want mode %d at %#x, %#x of %#x", m.Priv, m.PC, m.Mstatus, c.to, uint64(target), c.after, c.mask)
			}
			if m.ResValid != 0 {
				t.Error("the reservation reaches over the return")
			}
		})
	}
}

// What TVM, TW and the privilege forbid. TVM and TW bind S-mode only; WFI and fences are never for U-mode.
func TestPrivilegedInstructions(t *testing.T) {
	sfence := func(m *machine) bool { return m.SFENCE(0, 0, false, false) }
	order := func(m *machine) bool { return m.SFenceOrder() }
	wfi := func(m *machine) bool { return m.WFI() }
	satp := func(m *machine) bool {
		_, ok := m.CSR(CSRSet, riscv.CSRSatp, 0, false)
		return ok
	}
	cases := []struct {
		name    string
		f       func(*machine) bool
		mstatus uint64
		legal   [4]bool // by privilege
	}{
		{"sfence.vma", sfence, 0, [4]bool{privS: true, privM: true}},
		{"sfence.vma, TVM", sfence, MstatusTVM, [4]bool{privM: true}},
		{"sfence.w.inval", order, 0, [4]bool{privS: true, privM: true}},
		{"sfence.w.inval, TVM", order, MstatusTVM, [4]bool{privS: true, privM: true}},
		{"satp", satp, 0, [4]bool{privS: true, privM: true}},
		{"satp, TVM", satp, MstatusTVM, [4]bool{privM: true}},
		{"wfi", wfi, 0, [4]bool{privS: true, privM: true}},
		{"wfi, TW", wfi, MstatusTW, [4]bool{privM: true}},
	}
	for _, c := range cases {
		for _, priv := range []uint64{privU, privS, privM} {
			t.Run(fmt.Sprintf("%s in mode %d", c.name, priv), func(t *testing.T) {
				m := newMachine(t)
				m.OpenPMP()
				m.PC = ramBase
				m.poke(ramBase, 0xdead_0073)
				m.Mstatus |= c.mstatus
				m.SetPriv(priv)
				if c.f(m) != c.legal[priv] {
					t.Fatalf("legal is %v", !c.legal[priv])
				}
				if !c.legal[priv] {
					m.trapped(privM, riscv.CauseIllegal, 0xdead_0073)
				}
			})
		}
	}
}

func TestTrapValues(t *testing.T) {
	const pc = ramBase + 0x3002
	cases := []struct {
		name  string
		f     func(m *machine)
		cause uint64
		tval  uint64
	}{
		{"ecall from U", func(m *machine) { m.SetPriv(privU); m.Ecall() }, riscv.CauseEcallU, 0},
		{"ecall from S", func(m *machine) { m.SetPriv(privS); m.Ecall() }, riscv.CauseEcallS, 0},
		{"ecall from M", func(m *machine) { m.Ecall() }, riscv.CauseEcallM, 0},
		{"ebreak", func(m *machine) { m.Ebreak() }, riscv.CauseBreakpoint, pc},
		{"illegal, told", func(m *machine) { m.IllegalInstruction(0xffff_ffff) }, riscv.CauseIllegal, 0xffff_ffff},
		{"illegal, 4 bytes of memory", func(m *machine) {
			m.poke(pc&^7, 0x1234_5673_0000)
			m.CSR(CSRWrite, 0x123, 0, true)
		}, riscv.CauseIllegal, 0x5673 | 0x1234<<16},
		{"illegal, 2 bytes of memory", func(m *machine) {
			m.poke(pc&^7, 0x1234_5672_0000)
			m.CSR(CSRWrite, 0x123, 0, true)
		}, riscv.CauseIllegal, 0x5672},
		{"illegal, memory gone", func(m *machine) { m.PC = 0x100; m.CSR(CSRWrite, 0x123, 0, true) }, riscv.CauseIllegal, 0},
		{"load access", func(m *machine) { m.Load(0x123, 1) }, riscv.CauseLoadAccess, 0x123},
		{"store access", func(m *machine) { m.Store(0x120, 8, 0) }, riscv.CauseStoreAccess, 0x120},
		{"fetch access", func(m *machine) { m.FetchPage(0x124) }, riscv.CauseFetchAccess, 0x124},
		{"amo misaligned", func(m *machine) { m.AMO(AMOAdd, ramBase+2, 4, 0) }, riscv.CauseStoreMisaligned, ramBase + 2},
		{"lr misaligned", func(m *machine) { m.LoadReserved(ramBase+4, 8) }, riscv.CauseLoadMisaligned, ramBase + 4},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.OpenPMP()
			m.PC = pc
			c.f(m)
			m.trapped(privM, c.cause, c.tval)
		})
	}
}

func TestFirmwareTakesWhatMModeWould(t *testing.T) {
	m := newMachine(t)
	m.Firmware = true
	m.set(riscv.CSRMedeleg, 1<<riscv.CauseEcallU)
	m.SetPriv(privU)
	m.PC = ramBase + 0x10
	m.Ecall()
	m.trapped(privS, riscv.CauseEcallU, 0) // delegated: none of the firmware's business
	if m.Poll() != PollContinue {
		t.Fatal("the firmware is called for a delegated trap")
	}

	pc := m.PC
	m.Ecall()
	if m.Priv != privS || m.PC != pc || m.Mcause != 0 {
		t.Fatal("the trap was delivered")
	}
	if m.Poll() != PollFirmware || m.FirmwareTrap != (Trap{riscv.CauseEcallS, 0}) {
		t.Fatalf("firmware trap %+v", m.FirmwareTrap)
	}
	if m.Poll() != PollContinue {
		t.Fatal("reported twice")
	}
	m.Load(0x10, 8)
	if m.Poll() != PollFirmware || m.FirmwareTrap != (Trap{riscv.CauseLoadAccess, 0x10}) {
		t.Fatalf("firmware trap %+v", m.FirmwareTrap)
	}
}

func TestStuck(t *testing.T) {
	cases := []struct {
		name  string
		setup func(m *machine)
		stuck bool
	}{
		{"no handler", func(m *machine) { m.Mtvec, m.PC = 0, 0 }, true},
		{"handler elsewhere", func(m *machine) { m.PC = 0 }, false},
		{"not yet, interrupts on", func(m *machine) { m.Mtvec, m.PC = 0, 0; m.Mstatus |= MstatusMIE }, false},
		{"S-mode, firmware in the guest", func(m *machine) {
			m.set(riscv.CSRMedeleg, ^uint64(0))
			m.Stvec, m.PC = 0, 0
			m.SetPriv(privS)
		}, false},
		{"S-mode, firmware in the host", func(m *machine) {
			m.Firmware = true
			m.set(riscv.CSRMedeleg, ^uint64(0))
			m.Stvec, m.PC = 0, 0
			m.SetPriv(privS)
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			c.setup(m)
			if _, _, ok := m.FetchPage(m.PC); ok {
				t.Fatal("fetch from nothing")
			}
			if m.Stuck() != c.stuck || (atomic.LoadUint32(&m.Attention)&attnStop != 0) != c.stuck {
				t.Errorf("stuck is %v, want %v", m.Stuck(), c.stuck)
			}
			m.Reset(0)
			if m.Stuck() {
				t.Error("still stuck after a reset")
			}
		})
	}
}
