package hart

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/timebase"
)

// Whether an interrupt is taken, for every mode, enable, and delegation (Privileged 1.13 §3.1.6.1, §3.1.9).
func TestInterruptEnabling(t *testing.T) {
	for _, delegated := range []bool{false, true} {
		for _, priv := range []uint64{privU, privS, privM} {
			for _, mie := range []uint64{0, MstatusMIE} {
				for _, sie := range []uint64{0, MstatusSIE} {
					t.Run(fmt.Sprintf("delegated=%v mode=%d mstatus=%#x", delegated, priv, mie|sie), func(t *testing.T) {
						m := newMachine(t)
						to := uint64(privM)
						want := priv < privM || mie != 0
						if delegated {
							m.set(riscv.CSRMideleg, mipSSIP)
							to = privS
							want = priv < privS || priv == privS && sie != 0
						}
						m.Mstatus |= mie | sie
						m.SetPriv(priv)
						m.set(riscv.CSRMie, mipSSIP)
						m.PC = ramBase + 8
						m.SetPending(riscv.IntSSoftware, true)
						if atomic.LoadUint32(&m.Attention) == 0 {
							t.Fatal("nobody would notice")
						}
						if m.Poll() != PollContinue {
							t.Fatal("not to be continued")
						}
						if !want {
							if m.PC != ramBase+8 || m.Priv != priv {
								t.Fatal("taken")
							}
							return
						}
						m.trapped(to, riscv.CauseInterrupt|riscv.IntSSoftware, 0)
					})
				}
			}
		}
	}
}

func TestInterruptNeedsMie(t *testing.T) {
	m := newMachine(t)
	m.SetPriv(privU)
	for _, bit := range []uint{1, 3, 5, 7, 9, 11} {
		m.SetPending(bit, true)
	}
	if m.Interrupt() {
		t.Fatal("taken without being enabled in mie")
	}
	m.set(riscv.CSRMie, mipMTIP)
	m.Poll()
	m.trapped(privM, riscv.CauseInterrupt|riscv.IntMTimer, 0)
}

func TestInterruptPriorityAndVectors(t *testing.T) {
	order := []uint64{11, 3, 7, 9, 1, 5}
	for i, first := range order {
		for _, deleg := range []uint64{0, interruptsS} {
			m := newMachine(t)
			m.Mtvec, m.Stvec = 0x8000_1001, 0x8000_2001
			m.set(riscv.CSRMideleg, deleg)
			for _, n := range order[i:] {
				m.SetPending(uint(n), true)
			}
			m.set(riscv.CSRMie, interruptsAll)
			m.SetPriv(privU)
			m.Poll()
			to, at := uint64(privM), 0x8000_1000+4*first
			if deleg>>first&1 != 0 {
				to, at = privS, 0x8000_2000+4*first
			}
			m.trapped(to, riscv.CauseInterrupt|first, 0)
			if m.PC != at {
				t.Errorf("interrupt %d enters at %#x, want %#x", first, m.PC, at)
			}
		}
	}
}

// A pending interrupt that a CSR write or a return lets through asks for a poll at once.
func TestEnablingRaisesAttention(t *testing.T) {
	cases := []struct {
		name string
		prep func(m *machine)
		do   func(m *machine)
	}{
		{"mie", func(m *machine) { m.Mstatus |= MstatusMIE }, func(m *machine) { m.CSR(CSRSet, riscv.CSRMie, mipMSIP, true) }},
		{"mstatus", func(m *machine) { m.Mie = mipMSIP }, func(m *machine) { m.CSR(CSRSet, riscv.CSRMstatus, MstatusMIE, true) }},
		{"mret", func(m *machine) { m.Mie = mipMSIP; m.Mstatus |= MstatusMPIE | MstatusMPP }, func(m *machine) { m.MRET() }},
		{"mret to a lower mode", func(m *machine) { m.Mie = mipMSIP }, func(m *machine) { m.MRET() }},
		{"sret", func(m *machine) { m.Mie = mipSSIP; m.Mideleg = mipSSIP; m.SetPriv(privS) }, func(m *machine) { m.SRET() }},
		{"sie", func(m *machine) { m.Mideleg = mipSSIP; m.Mstatus |= MstatusSIE; m.SetPriv(privS) },
			func(m *machine) { m.CSR(CSRWrite, riscv.CSRSie, mipSSIP, true) }},
		{"sstatus", func(m *machine) { m.Mideleg, m.Mie = mipSSIP, mipSSIP; m.SetPriv(privS) },
			func(m *machine) { m.CSR(CSRSet, riscv.CSRSstatus, MstatusSIE, true) }},
		{"mip", func(m *machine) { m.Mie = mipSTIP; m.Mstatus |= MstatusMIE }, func(m *machine) { m.CSR(CSRSet, riscv.CSRMip, mipSTIP, true) }},
		{"mideleg", func(m *machine) { m.Mie, m.Mideleg = mipSSIP, mipSSIP; m.Mstatus |= MstatusMIE },
			func(m *machine) { m.CSR(CSRWrite, riscv.CSRMideleg, 0, true) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.SetPending(riscv.IntMSoftware, true)
			m.SetPending(riscv.IntSSoftware, true)
			c.prep(m)
			m.Poll()
			if m.Mcause|m.Scause != 0 {
				t.Fatal("taken too early")
			}
			c.do(m)
			if atomic.LoadUint32(&m.Attention)&attnInterrupt == 0 {
				t.Fatal("no attention")
			}
			m.Poll()
			if m.Mcause|m.Scause == 0 {
				t.Fatal("not taken")
			}
		})
	}
}

func TestMip(t *testing.T) {
	m := newMachine(t)
	m.set(riscv.CSRMideleg, interruptsS)
	m.SetPending(riscv.IntSExternal, true)
	old, _ := m.CSR(CSRSet, riscv.CSRMip, mipSSIP|mipSTIP|mipMSIP|mipMTIP|mipMEIP, true)
	if old != mipSEIP || m.csr(riscv.CSRMip) != mipSEIP|mipSSIP|mipSTIP {
		t.Fatalf("was %#x, is %#x", old, m.csr(riscv.CSRMip))
	}
	m.SetPending(riscv.IntSExternal, false)
	if m.csr(riscv.CSRMip)&mipSEIP != 0 {
		t.Fatal("a read-modify-write of other bits latched the wire")
	}
	m.CSR(CSRSet, riscv.CSRMip, mipSEIP, true)
	m.SetPending(riscv.IntSExternal, true)
	m.SetPending(riscv.IntSExternal, false)
	if m.csr(riscv.CSRMip)&mipSEIP == 0 {
		t.Fatal("the wire cleared the software bit")
	}
	m.CSR(CSRClear, riscv.CSRMip, mipSEIP, true)
	if m.csr(riscv.CSRMip)&mipSEIP != 0 {
		t.Fatal("software cannot clear its bit")
	}

	// sip: only SSIP is writable, and only what is delegated is there.
	m.SetPriv(privS)
	m.CSR(CSRWrite, riscv.CSRSip, mipSEIP, true)
	if got := m.csr(riscv.CSRSip); got != mipSTIP {
		t.Fatalf("sip %#x", got)
	}
	m.CSR(CSRSet, riscv.CSRSip, mipSSIP, true)
	if got := m.csr(riscv.CSRSip); got != mipSTIP|mipSSIP {
		t.Fatalf("sip %#x", got)
	}
	m.set(riscv.CSRMideleg, mipSTIP)
	if got := m.csr(riscv.CSRSip); got != mipSTIP {
		t.Fatalf("sip %#x with SSIP not delegated", got)
	}
	m.CSR(CSRWrite, riscv.CSRSip, 0, true)
	if got := m.csr(riscv.CSRMip); got != mipSTIP|mipSSIP {
		t.Fatalf("mip %#x", got)
	}
}

// An interrupt that another goroutine raises between the read and the write of a read-modify-write stays.
func TestMipWriteKeepsConcurrentInterrupt(t *testing.T) {
	m := newMachine(t)
	base := m.mip()
	m.SetPending(riscv.IntSSoftware, true)
	m.setMip(base, base|mipSTIP, mipSSIP|mipSTIP)
	if got := m.csr(riscv.CSRMip); got != mipSSIP|mipSTIP {
		t.Fatalf("mip %#x", got)
	}
}

func TestSupervisorTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.set(riscv.CSRMideleg, interruptsS)
		m.set(riscv.CSRMie, mipSTIP)
		m.set(riscv.CSRMip, mipSTIP)
		m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
		if m.csr(riscv.CSRMip)&mipSTIP != 0 {
			t.Fatal("STIP does not follow stimecmp")
		}
		m.CSR(CSRSet, riscv.CSRMip, mipSTIP, true)
		if m.csr(riscv.CSRMip)&mipSTIP != 0 {
			t.Fatal("STIP is writable under Sstc")
		}
		const ticks = timebase.Frequency / 100
		m.set(riscv.CSRStimecmp, m.Clock.Now()+ticks)
		time.Sleep(10*time.Millisecond - time.Nanosecond)
		if m.csr(riscv.CSRSip) != 0 {
			t.Fatal("early")
		}
		m.Poll()
		m.SetPriv(privU)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if m.csr(riscv.CSRSip) != mipSTIP {
			t.Fatal("late")
		}
		if atomic.LoadUint32(&m.Attention) == 0 {
			t.Fatal("nobody would notice")
		}
		m.Poll()
		m.trapped(privS, riscv.CauseInterrupt|riscv.IntSTimer, 0)

		// Moving the comparison away withdraws the interrupt; into the past raises it at once.
		m.set(riscv.CSRStimecmp, ^uint64(0))
		if m.csr(riscv.CSRSip) != 0 {
			t.Fatal("still pending")
		}
		m.SetPriv(privU)
		m.set(riscv.CSRStimecmp, m.Clock.Now())
		m.Poll()
		m.trapped(privS, riscv.CauseInterrupt|riscv.IntSTimer, 0)

		m.set(riscv.CSRMenvcfg, 0)
		if m.csr(riscv.CSRMip)&mipSTIP == 0 {
			t.Fatal("the bit that software wrote before Sstc is gone")
		}
	})
}

// The alarm of a comparison that has been moved meanwhile makes nothing pending.
func TestSupervisorTimerMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
		m.set(riscv.CSRMie, mipSTIP)
		m.SetPriv(privU)
		m.set(riscv.CSRStimecmp, m.Clock.Now()+1000)
		m.set(riscv.CSRStimecmp, m.Clock.Now()+2000)
		time.Sleep(1500 * time.Second / timebase.Frequency)
		m.raise(attnInterrupt) // as the first alarm would, had it been on its way already
		m.Poll()
		if m.Priv != privU {
			t.Fatal("taken for a comparison that is gone")
		}
	})
}

func TestSstcGates(t *testing.T) {
	for _, stce := range []uint64{0, EnvcfgSTCE} {
		for _, tm := range []uint64{0, counterTM} {
			for _, priv := range []uint64{privU, privS, privM} {
				m := newMachine(t)
				m.set(riscv.CSRMenvcfg, stce)
				m.set(riscv.CSRMcounteren, tm)
				m.SetPriv(priv)
				_, ok := m.CSR(CSRWrite, riscv.CSRStimecmp, 1<<60, true)
				want := priv == privM || priv == privS && stce != 0 && tm != 0
				if ok != want {
					t.Errorf("stimecmp in mode %d with STCE=%#x TM=%d: legal is %v", priv, stce, tm, ok)
				}
			}
		}
	}
}

func TestParkWakesForTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
		m.set(riscv.CSRMie, mipSTIP) // mstatus disables it: WFI wakes all the same
		m.set(riscv.CSRStimecmp, m.Clock.Now()+3*timebase.Frequency)
		before := time.Now()
		m.Park()
		if d := time.Since(before); d != 3*time.Second {
			t.Fatalf("slept for %v", d)
		}
		if m.Poll() != PollContinue || m.Priv != privM || m.Mcause != 0 {
			t.Fatal("an interrupt that is not enabled was taken")
		}
	})
}

// A comparison that Park finds due is taken at the next Poll, though its alarm has not rung yet.
func TestParkFindsTheTimerDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
		m.set(riscv.CSRMideleg, interruptsS)
		m.set(riscv.CSRMie, mipSTIP)
		m.SetPriv(privU)
		m.set(riscv.CSRStimecmp, m.Clock.Now()+10)
		m.ticks.alarm.Stop()
		time.Sleep(time.Second)
		m.Park()
		m.Poll()
		m.trapped(privS, riscv.CauseInterrupt|riscv.IntSTimer, 0)
	})
}

func TestParkWakes(t *testing.T) {
	cases := []struct {
		name string
		do   func(m *machine)
		want bool
	}{
		{"enabled interrupt", func(m *machine) { m.SetPending(riscv.IntMExternal, true) }, true},
		{"interrupt that mie disables", func(m *machine) { m.SetPending(riscv.IntSExternal, true) }, false},
		{"stop", func(m *machine) { m.RequestStop() }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.set(riscv.CSRMie, mipMEIP)
				awake := false
				done := make(chan struct{})
				go func() {
					m.Park()
					awake = true
					close(done)
				}()
				synctest.Wait()
				if awake {
					t.Fatal("did not sleep")
				}
				c.do(m)
				synctest.Wait()
				if awake != c.want {
					t.Fatalf("awake is %v", awake)
				}
				m.RequestStop()
				<-done
			})
		})
	}
}

// InterruptWaiting says that something enabled is pending, or Attention does.
func TestInterruptWaiting(t *testing.T) {
	m := newMachine(t)
	look := func(what string, want bool) {
		t.Helper()
		if m.InterruptWaiting != 0 != want {
			t.Errorf("%s: InterruptWaiting is %#x", what, m.InterruptWaiting)
		}
	}
	m.SetPending(riscv.IntMTimer, true)
	if atomic.LoadUint32(&m.Attention) == 0 {
		t.Error("nobody would look")
	}
	m.Poll()
	look("not enabled in mie", false)
	m.set(riscv.CSRMie, mipMTIP)
	look("enabled, mstatus.MIE clear", true)
	m.Poll()
	look("looked again", true)
	m.set(riscv.CSRMie, mipMSIP)
	look("disabled", false)
	m.SetPending(riscv.IntMSoftware, true)
	m.Poll()
	look("came while enabled", true)
	m.SetPending(riscv.IntMSoftware, false)
	m.SetPending(riscv.IntMSoftware, true) // raises again, though the hart never saw it go
	if atomic.LoadUint32(&m.Attention) == 0 {
		t.Error("nobody would look")
	}
	m.SetPending(riscv.IntMSoftware, false)
	m.Poll()
	look("gone", false)
	m.set(riscv.CSRMie, mipSSIP)
	m.set(riscv.CSRMip, mipSSIP)
	look("set by software", true)
	m.set(riscv.CSRMip, 0)
	look("cleared by software", false)
	m.set(riscv.CSRMip, mipSSIP)
	m.set(riscv.CSRMideleg, mipSSIP)
	m.SetPriv(privS)
	m.Mstatus &^= MstatusSIE
	look("delegated, sstatus.SIE clear", true)
	m.Reset(0)
	look("reset", false)
}

// A timer that comes due is seen by whatever looks first: its alarm, or a read of mip.
func TestInterruptWaitingForTheTimer(t *testing.T) {
	clock := timebase.NewManual()
	h, err := New(Config{RAM: newRAM(t), Bus: &device.Bus{}, Clock: clock, PMP: MaxPMP})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Hart: h, t: t}
	defer h.Close()
	m.Poll()
	m.set(riscv.CSRMenvcfg, EnvcfgSTCE)
	m.set(riscv.CSRMie, mipSTIP)
	m.set(riscv.CSRStimecmp, 100)
	if m.Poll(); m.InterruptWaiting != 0 {
		t.Error("early")
	}
	clock.Set(100)
	m.csr(riscv.CSRMip)
	if m.InterruptWaiting == 0 {
		t.Error("a read of mip saw it and did not say so")
	}
	m.set(riscv.CSRStimecmp, 200)
	if m.InterruptWaiting != 0 {
		t.Error("moved, and still there")
	}
	clock.Set(200)
	if m.Poll(); m.InterruptWaiting == 0 {
		t.Error("not there when it is due")
	}
}
