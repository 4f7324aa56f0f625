package hart

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// everyCSR is the registers that the machine's extensions ask for, written out by number, not taken from the table.
func everyCSR() map[uint16]bool {
	want := map[uint16]bool{}
	add := func(first, last uint16) {
		for n := first; n <= last; n++ {
			want[n] = true
		}
	}
	add(0x001, 0x003) // fflags frm fcsr
	add(0xc00, 0xc1f) // cycle time instret hpmcounter3..31
	for _, n := range []uint16{
		0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180,
		0xf11, 0xf12, 0xf13, 0xf14, 0xf15,
		0x300, 0x301, 0x302, 0x303, 0x304, 0x305, 0x306, 0x30a, 0x340, 0x341, 0x342, 0x343, 0x344,
		0x3a0, 0x3a2, 0x3a4, 0x3a6, 0x3a8, 0x3aa, 0x3ac, 0x3ae,
		0xb00, 0xb02, 0x320,
	} {
		want[n] = true
	}
	add(0x3b0, 0x3ef) // pmpaddr0..63
	add(0xb03, 0xb1f) // mhpmcounter3..31
	add(0x323, 0x33f) // mhpmevent3..31
	return want
}

func TestWhichCSRsExist(t *testing.T) {
	want := everyCSR()
	m := newMachine(t)
	m.DirtyFP()
	m.set(riscv.CSRMcounteren, ^uint64(0))
	m.set(riscv.CSRScounteren, ^uint64(0))
	m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
	for n := range uint16(1 << 12) {
		for _, priv := range []uint64{privU, privS, privM} {
			for _, write := range []bool{false, true} {
				m.SetPriv(priv)
				m.Mcause = ^uint64(0)
				_, ok := m.CSR(CSRSet, n, 0, write)
				legal := want[n] && uint64(n>>8&3) <= priv && !(write && n>>10 == 3)
				if ok != legal {
					t.Errorf("CSR %#x (%s) in mode %d, write %v: legal is %v", n, riscv.CSRName(n), priv, write, ok)
				}
				if !ok && m.Mcause != riscv.CauseIllegal {
					t.Errorf("CSR %#x: cause %#x", n, m.Mcause)
				}
			}
		}
	}
}

// What a register holds after all ones, and after all zeros, were written.
func TestWARL(t *testing.T) {
	const ones = ^uint64(0)
	cases := []struct {
		num         uint16
		ones, zeros uint64
	}{
		{riscv.CSRMisa, 2<<62 | 0x14112f, 2<<62 | 0x14112f},
		{riscv.CSRMstatus, 0x8000_000a_007e_79aa, 0xa_0000_0000},
		{riscv.CSRSstatus, 0x8000_0002_000c_6122, 0x2_0000_0000},
		{riscv.CSRMedeleg, 0xb3ff, 0},
		{riscv.CSRMideleg, 0x222, 0},
		{riscv.CSRMie, 0xaaa, 0},
		{riscv.CSRMip, 0x222, 0},
		{riscv.CSRMtvec, ones &^ 2, 0},
		{riscv.CSRStvec, ones &^ 2, 0},
		{riscv.CSRMepc, ones &^ 1, 0},
		{riscv.CSRSepc, ones &^ 1, 0},
		{riscv.CSRMcause, ones, 0},
		{riscv.CSRScause, ones, 0},
		{riscv.CSRMtval, ones, 0},
		{riscv.CSRStval, ones, 0},
		{riscv.CSRMscratch, ones, 0},
		{riscv.CSRSscratch, ones, 0},
		{riscv.CSRMcounteren, 0xffff_ffff, 0},
		{riscv.CSRScounteren, 0xffff_ffff, 0},
		{riscv.CSRMcountinhibit, 5, 0},
		{riscv.CSRMenvcfg, 0xe000_0000_0000_00f1, 0},
		{riscv.CSRSenvcfg, 0xf1, 0},
		{riscv.CSRStimecmp, ones, 0},
		{riscv.CSRMhpmcounter3, 0, 0},
		{riscv.CSRMhpmevent31, 0, 0},
		{riscv.CSRPmpaddr0, 1<<54 - 1, 0},
		{riscv.CSRPmpaddr0 + 16, 0, 0},
		{riscv.CSRPmpcfg0 + 4, 0, 0},
		{riscv.CSRFflags, 31, 0},
		{riscv.CSRFrm, 7, 0},
		{riscv.CSRFcsr, 255, 0},
	}
	for _, c := range cases {
		m := newMachine(t)
		m.set(c.num, 0)
		m.set(c.num, ones)
		if got := m.csr(c.num); got != c.ones {
			t.Errorf("%s holds %#x after ones, want %#x", riscv.CSRName(c.num), got, c.ones)
		}
		m.set(c.num, 0)
		if got := m.csr(c.num); got != c.zeros {
			t.Errorf("%s holds %#x after zeros, want %#x", riscv.CSRName(c.num), got, c.zeros)
		}
	}
}

func TestReservedFieldValues(t *testing.T) {
	m := newMachine(t)
	m.set(riscv.CSRMstatus, privS<<mppShift)
	m.set(riscv.CSRMstatus, 2<<mppShift|MstatusSUM)
	if m.Mstatus&(MstatusMPP|MstatusSUM) != privS<<mppShift|MstatusSUM {
		t.Errorf("mstatus %#x after MPP=2", m.Mstatus)
	}
	for _, n := range []uint16{riscv.CSRMenvcfg, riscv.CSRSenvcfg} {
		m.set(n, 1<<4)
		m.set(n, 2<<4|EnvcfgCBZE)
		if got := m.csr(n); got != 1<<4|EnvcfgCBZE {
			t.Errorf("%s %#x after CBIE=2", riscv.CSRName(n), got)
		}
	}
	const sv48 = 9<<60 | 0xabcd<<44 | 0x123
	m.set(riscv.CSRSatp, sv48)
	for _, mode := range []uint64{1, 7, 11, 15} {
		m.set(riscv.CSRSatp, mode<<60|1)
		if got := m.csr(riscv.CSRSatp); got != sv48 {
			t.Errorf("satp %#x after mode %d", got, mode)
		}
	}
}

func TestReadModifyWrite(t *testing.T) {
	cases := []struct {
		kind  CSRKind
		write bool
		want  uint64
	}{
		{CSRWrite, true, 0x0ff0},
		{CSRSet, true, 0xfff0},
		{CSRClear, true, 0xf000},
		{CSRSet, false, 0xff00},
		{CSRClear, false, 0xff00},
	}
	for _, c := range cases {
		m := newMachine(t)
		m.Mscratch = 0xff00
		old, ok := m.CSR(c.kind, riscv.CSRMscratch, 0x0ff0, c.write)
		if !ok || old != 0xff00 || m.Mscratch != c.want {
			t.Errorf("kind %d write %v: old %#x new %#x", c.kind, c.write, old, m.Mscratch)
		}
	}
}

func TestFloatingPointCSRs(t *testing.T) {
	m := newMachine(t)
	for _, n := range []uint16{riscv.CSRFflags, riscv.CSRFrm, riscv.CSRFcsr} {
		if _, ok := m.CSR(CSRSet, n, 0, false); ok {
			t.Errorf("%s is there with FS off", riscv.CSRName(n))
		}
	}
	m.set(riscv.CSRMstatus, 1<<13) // Initial
	m.CSR(CSRSet, riscv.CSRFcsr, 0, false)
	if m.csr(riscv.CSRMstatus)&(MstatusFS|MstatusSD) != 1<<13 {
		t.Error("a read made FS dirty")
	}
	m.CSR(CSRWrite, riscv.CSRFcsr, 0b011_10101, true)
	if m.Frm != 3 || m.Fflags != 0b10101 {
		t.Errorf("frm %d fflags %#b", m.Frm, m.Fflags)
	}
	if m.csr(riscv.CSRSstatus)&(MstatusFS|MstatusSD) != MstatusFS|MstatusSD {
		t.Error("a write left FS clean")
	}
}

func TestCounterGates(t *testing.T) {
	for bit, n := range []uint16{riscv.CSRCycle, riscv.CSRTime, riscv.CSRInstret, riscv.CSRHpmcounter3, riscv.CSRHpmcounter3 + 1} {
		for _, mc := range []uint64{0, 1 << bit, ^uint64(1 << bit)} {
			for _, sc := range []uint64{0, 1 << bit, ^uint64(1 << bit)} {
				for _, priv := range []uint64{privU, privS, privM} {
					m := newMachine(t)
					m.set(riscv.CSRMcounteren, mc)
					m.set(riscv.CSRScounteren, sc)
					m.SetPriv(priv)
					_, ok := m.CSR(CSRSet, n, 0, false)
					want := priv == privM || mc == 1<<bit && (priv == privS || sc == 1<<bit)
					if ok != want {
						t.Errorf("%s in mode %d, mcounteren %#x scounteren %#x: legal is %v", riscv.CSRName(n), priv, mc, sc, ok)
					}
				}
			}
		}
	}
}

func TestCounters(t *testing.T) {
	for _, c := range []struct {
		counter, shadow uint16
		inhibit         uint64
	}{{riscv.CSRMcycle, riscv.CSRCycle, counterCY}, {riscv.CSRMinstret, riscv.CSRInstret, counterIR}} {
		m := newMachine(t)
		m.Instret = 100
		if m.csr(c.counter) != 100 {
			t.Fatal("does not count")
		}
		m.CSR(CSRWrite, c.counter, 5000, true)
		m.Instret++ // the write retires, uncounted
		if got := m.csr(c.shadow); got != 5000 {
			t.Fatalf("the instruction after the write reads %d", got)
		}
		m.Instret += 10
		m.CSR(CSRSet, riscv.CSRMcountinhibit, c.inhibit, true)
		m.Instret += 1000
		if got := m.csr(c.counter); got != 5011 {
			t.Fatalf("stopped at %d", got)
		}
		m.CSR(CSRWrite, c.counter, 7, true)
		m.Instret += 1000
		if got := m.csr(c.counter); got != 7 {
			t.Fatalf("runs while stopped: %d", got)
		}
		m.CSR(CSRClear, riscv.CSRMcountinhibit, c.inhibit, true)
		m.Instret += 3
		if got := m.csr(c.counter); got != 9 {
			t.Fatalf("%d after it went on", got)
		}
	}
}

func TestTimeFollowsTheClock(t *testing.T) {
	m := newMachine(t)
	before := m.Clock.Now()
	got := m.csr(riscv.CSRTime)
	if after := m.Clock.Now(); got < before || got > after {
		t.Errorf("time %d is not between %d and %d", got, before, after)
	}
}

func BenchmarkCSR(b *testing.B) {
	m := newMachine(b)
	b.ReportAllocs()
	for b.Loop() {
		m.CSR(CSRSet, riscv.CSRMscratch, 1, true)
	}
}
