package hart

// Which interrupts are pending, and which of them is taken (Privileged 1.13 §3.1.6.1, §3.1.9, §12.1.3).
//
// mip has three sources. wires holds the bits that are driven from outside (MSIP, MTIP, SEIP, MEIP from the interrupt
// controllers) and the two that software may write (SSIP, STIP), atomically, because a firmware on another goroutine sets those
// too. The software half of SEIP is apart, since the wire is ORed into what a read sees. With Sstc, STIP is neither: it is
// whether time has reached stimecmp.

import (
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/timebase"
)

// Bits of mip and mie.
const (
	mipSSIP = 1 << riscv.IntSSoftware
	mipMSIP = 1 << riscv.IntMSoftware
	mipSTIP = 1 << riscv.IntSTimer
	mipMTIP = 1 << riscv.IntMTimer
	mipSEIP = 1 << riscv.IntSExternal
	mipMEIP = 1 << riscv.IntMExternal

	interruptsS   = mipSSIP | mipSTIP | mipSEIP // what mideleg can delegate
	interruptsAll = interruptsS | mipMSIP | mipMTIP | mipMEIP

	softwarePending = mipSSIP | mipSTIP // the bits of wires that a reset clears
)

// interruptOrder is decreasing priority.
var interruptOrder = [...]uint64{
	riscv.IntMExternal, riscv.IntMSoftware, riscv.IntMTimer,
	riscv.IntSExternal, riscv.IntSSoftware, riscv.IntSTimer,
}

// SetPending drives a bit of mip: one of the machine-level wires, the wire that is ORed into SEIP, SSIP, or STIP where the
// firmware keeps the supervisor's timer (STIP has no effect while Sstc is enabled). Safe for concurrent use, on any goroutine.
func (h *Hart) SetPending(bit uint, level bool) {
	mask := uint64(1) << bit & interruptsAll
	if !level {
		h.wires.And(^mask)
		return
	}
	if h.wires.Or(mask)&mask == 0 {
		h.raise(attnInterrupt)
	}
}

// timerCompare is Sstc's comparator.
type timerCompare struct {
	alarm    *timebase.Alarm
	stimecmp uint64
	due      bool // as of the last refresh, time >= stimecmp. It stays so until stimecmp is written
}

// never as a compare value means that no interrupt is wanted.
const never = ^uint64(0)

func (t *timerCompare) reset() { t.stimecmp, t.due = never, false }

// refresh brings due up to date.
func (t *timerCompare) refresh(clock *timebase.Clock, menvcfg uint64) {
	if !t.due && menvcfg&EnvcfgSTCE != 0 && t.stimecmp != never {
		t.due = clock.Now() >= t.stimecmp
	}
}

// armTimer follows a change of stimecmp or of menvcfg.STCE.
func (h *Hart) armTimer() {
	t := &h.ticks
	t.due = false
	t.refresh(h.Clock, h.csr.menvcfg)
	if h.csr.menvcfg&EnvcfgSTCE != 0 && !t.due {
		t.alarm.Set(t.stimecmp)
	} else {
		t.alarm.Stop()
	}
	h.checkInterrupts()
}

// pending is mip, with due as of the last refresh.
func (h *Hart) pending() uint64 {
	p := h.wires.Load() | h.csr.seip
	if h.csr.menvcfg&EnvcfgSTCE != 0 {
		p &^= mipSTIP
		if h.ticks.due {
			p |= mipSTIP
		}
	}
	return p
}

// deliverable is the set of pending interrupts that would trap now, all of the same level.
func (h *Hart) deliverable() uint64 {
	p := h.pending() & h.Mie
	if p == 0 {
		return 0
	}
	if m := p &^ h.Mideleg; m != 0 && (h.Priv < riscv.PrivM || h.Mstatus&MstatusMIE != 0) {
		return m
	}
	if h.Priv < riscv.PrivS || h.Priv == riscv.PrivS && h.Mstatus&MstatusSIE != 0 {
		return p & h.Mideleg
	}
	return 0
}

// lookInterrupts brings InterruptWaiting up to date. It follows whatever may have changed mie or, on the hart's goroutine,
// what is pending; what others change is in Attention until the hart looks.
func (h *Hart) lookInterrupts() { h.InterruptWaiting = h.pending() & h.Mie }

// checkInterrupts asks for a Poll if one of the conditions that a CSR write or a return changed lets an interrupt through.
func (h *Hart) checkInterrupts() {
	h.lookInterrupts()
	if h.deliverable() != 0 {
		h.attend(attnInterrupt)
	}
}

// Interrupt takes the pending interrupt with the highest priority that is enabled, if there is one, and says so. PC is that
// of the next instruction. Engines call Poll, which calls this.
func (h *Hart) Interrupt() bool {
	h.ticks.refresh(h.Clock, h.csr.menvcfg)
	h.lookInterrupts()
	d := h.deliverable()
	for _, n := range interruptOrder {
		if d>>n&1 != 0 {
			h.Stats.Interrupts[n]++
			h.trap(riscv.CauseInterrupt|n, 0, h.Mideleg>>n&1 != 0)
			return true
		}
	}
	return false
}
