package hart

// The table of CSRs: what each register reads as, what a write of it leaves (WARL: illegal values change nothing or are made
// legal), and which other registers gate it (Privileged 1.13 §3.1, §12.1; "Sstc"; Unprivileged, "Zicntr", "Zihpm", "F").
//
// A register that is not here does not exist, and an access to it is illegal: triggers, stateen, mseccfg and so on.

import (
	"slices"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory/mmu"
)

const (
	// misa: MXL=64 bits; I M A F D C B S U.
	misaValue = 2<<62 | 1<<('i'-'a') | 1<<('m'-'a') | 1<<0 /* A */ | 1<<('f'-'a') | 1<<('d'-'a') | 1<<('c'-'a') |
		1<<('b'-'a') | 1<<('s'-'a') | 1<<('u'-'a')

	mstatusWritable = MstatusSIE | MstatusMIE | MstatusSPIE | MstatusMPIE | MstatusSPP | MstatusMPP | MstatusFS |
		MstatusMPRV | MstatusSUM | MstatusMXR | MstatusTVM | MstatusTW | MstatusTSR
	sstatusWritable = MstatusSIE | MstatusSPIE | MstatusSPP | MstatusFS | MstatusSUM | MstatusMXR
	sstatusReadable = sstatusWritable | MstatusVS | MstatusUXL | MstatusSD

	delegableExceptions = 1<<riscv.CauseFetchMisaligned | 1<<riscv.CauseFetchAccess | 1<<riscv.CauseIllegal |
		1<<riscv.CauseBreakpoint | 1<<riscv.CauseLoadMisaligned | 1<<riscv.CauseLoadAccess |
		1<<riscv.CauseStoreMisaligned | 1<<riscv.CauseStoreAccess | 1<<riscv.CauseEcallU | 1<<riscv.CauseEcallS |
		1<<riscv.CauseFetchPageFault | 1<<riscv.CauseLoadPageFault | 1<<riscv.CauseStorePageFault

	counterCY = 1 << 0
	counterTM = 1 << 1
	counterIR = 1 << 2

	maxFrm = 7 // three bits; the reserved rounding modes can be held
)

var csrTable = slices.Concat([]csr{
	// Floating point.
	{num: riscv.CSRFflags, gate: fpOn,
		read:  func(h *Hart, _ uint16) uint64 { return h.Fflags },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Fflags = v & 31; h.DirtyFP() }},
	{num: riscv.CSRFrm, gate: fpOn,
		read:  func(h *Hart, _ uint16) uint64 { return h.Frm },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Frm = v & maxFrm; h.DirtyFP() }},
	{num: riscv.CSRFcsr, gate: fpOn,
		read:  func(h *Hart, _ uint16) uint64 { return h.Frm<<5 | h.Fflags },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Fflags, h.Frm = v&31, v>>5&maxFrm; h.DirtyFP() }},

	// Counters as U- and S-mode see them.
	{num: riscv.CSRCycle, gate: counterOn, read: func(h *Hart, _ uint16) uint64 { return h.csr.cycle.read(h.Instret) }},
	{num: riscv.CSRTime, gate: counterOn, read: func(h *Hart, _ uint16) uint64 { return h.Clock.Now() }},
	{num: riscv.CSRInstret, gate: counterOn, read: func(h *Hart, _ uint16) uint64 { return h.csr.instret.read(h.Instret) }},

	// Supervisor.
	{num: riscv.CSRSstatus,
		read:  func(h *Hart, _ uint16) uint64 { return h.mstatus() & sstatusReadable },
		write: func(h *Hart, _ uint16, _, v uint64) { h.setMstatus(v, sstatusWritable) }},
	{num: riscv.CSRSie,
		read:  func(h *Hart, _ uint16) uint64 { return h.Mie & h.Mideleg },
		write: func(h *Hart, _ uint16, _, v uint64) { h.setMie(v, h.Mideleg) }},
	{num: riscv.CSRSip,
		read:  func(h *Hart, _ uint16) uint64 { return h.mip() & h.Mideleg },
		write: func(h *Hart, _ uint16, base, v uint64) { h.setMip(base, v, mipSSIP&h.Mideleg) }},
	{num: riscv.CSRStvec,
		read:  func(h *Hart, _ uint16) uint64 { return h.Stvec },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Stvec = v &^ 2 }},
	{num: riscv.CSRScounteren,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.scounteren },
		write: func(h *Hart, _ uint16, _, v uint64) { h.csr.scounteren = uint64(uint32(v)) }},
	{num: riscv.CSRSenvcfg,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.senvcfg },
		write: func(h *Hart, _ uint16, _, v uint64) { h.csr.senvcfg = legalEnvcfg(h.csr.senvcfg, v&envcfgS) }},
	scratch(riscv.CSRSscratch, 0, func(h *Hart) *uint64 { return &h.Sscratch }),
	scratch(riscv.CSRSepc, 1, func(h *Hart) *uint64 { return &h.Sepc }),
	scratch(riscv.CSRScause, 0, func(h *Hart) *uint64 { return &h.Scause }),
	scratch(riscv.CSRStval, 0, func(h *Hart) *uint64 { return &h.Stval }),
	{num: riscv.CSRStimecmp,
		gate: func(h *Hart, _ uint16) bool {
			return h.Priv == riscv.PrivM || h.csr.menvcfg&EnvcfgSTCE != 0 && h.csr.mcounteren&counterTM != 0
		},
		read:  func(h *Hart, _ uint16) uint64 { return h.ticks.stimecmp },
		write: func(h *Hart, _ uint16, _, v uint64) { h.ticks.stimecmp = v; h.armTimer() }},
	{num: riscv.CSRSatp,
		gate: func(h *Hart, _ uint16) bool { return h.Priv == riscv.PrivM || h.Mstatus&MstatusTVM == 0 },
		read: func(h *Hart, _ uint16) uint64 { return h.Satp },
		write: func(h *Hart, _ uint16, _, v uint64) {
			if mmu.ValidMode(mmu.Mode(v)) && v != h.Satp {
				h.Satp = v
				h.TLB.SwitchSatp(v)
				h.updateBanks()
			}
		}},

	// Machine: information.
	constant(riscv.CSRMvendorid, 0),
	constant(riscv.CSRMarchid, 0),
	constant(riscv.CSRMimpid, 0),
	{num: riscv.CSRMhartid, read: func(h *Hart, _ uint16) uint64 { return h.ID }},
	constant(riscv.CSRMconfigptr, 0),

	// Machine: trap setup and handling.
	{num: riscv.CSRMstatus,
		read:  func(h *Hart, _ uint16) uint64 { return h.mstatus() },
		write: func(h *Hart, _ uint16, _, v uint64) { h.setMstatus(v, mstatusWritable) }},
	constant(riscv.CSRMisa, misaValue),
	{num: riscv.CSRMedeleg,
		read:  func(h *Hart, _ uint16) uint64 { return h.Medeleg },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Medeleg = v & delegableExceptions }},
	{num: riscv.CSRMideleg,
		read:  func(h *Hart, _ uint16) uint64 { return h.Mideleg },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Mideleg = v & interruptsS; h.checkInterrupts() }},
	{num: riscv.CSRMie,
		read:  func(h *Hart, _ uint16) uint64 { return h.Mie },
		write: func(h *Hart, _ uint16, _, v uint64) { h.setMie(v, interruptsAll) }},
	{num: riscv.CSRMip,
		read: func(h *Hart, _ uint16) uint64 { return h.mip() },
		// The wire of SEIP shows in a read, but must not be latched by a read-modify-write of another bit.
		base: func(h *Hart) uint64 { return h.mip()&^mipSEIP | h.csr.seip },
		write: func(h *Hart, _ uint16, base, v uint64) {
			writable := uint64(mipSSIP | mipSTIP)
			if h.csr.menvcfg&EnvcfgSTCE != 0 {
				writable = mipSSIP
			}
			h.csr.seip = v & mipSEIP
			h.setMip(base, v, writable)
		}},
	{num: riscv.CSRMtvec,
		read:  func(h *Hart, _ uint16) uint64 { return h.Mtvec },
		write: func(h *Hart, _ uint16, _, v uint64) { h.Mtvec = v &^ 2 }},
	{num: riscv.CSRMcounteren,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.mcounteren },
		write: func(h *Hart, _ uint16, _, v uint64) { h.csr.mcounteren = uint64(uint32(v)) }},
	{num: riscv.CSRMenvcfg,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.menvcfg },
		write: func(h *Hart, _ uint16, _, v uint64) { h.setMenvcfg(v) }},
	scratch(riscv.CSRMscratch, 0, func(h *Hart) *uint64 { return &h.Mscratch }),
	scratch(riscv.CSRMepc, 1, func(h *Hart) *uint64 { return &h.Mepc }),
	scratch(riscv.CSRMcause, 0, func(h *Hart) *uint64 { return &h.Mcause }),
	scratch(riscv.CSRMtval, 0, func(h *Hart) *uint64 { return &h.Mtval }),

	// Machine: counters.
	{num: riscv.CSRMcycle,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.cycle.read(h.Instret) },
		write: func(h *Hart, _ uint16, _, v uint64) { h.csr.cycle.write(h.Instret, v) }},
	{num: riscv.CSRMinstret,
		read:  func(h *Hart, _ uint16) uint64 { return h.csr.instret.read(h.Instret) },
		write: func(h *Hart, _ uint16, _, v uint64) { h.csr.instret.write(h.Instret, v) }},
	{num: riscv.CSRMcountinhibit,
		read: func(h *Hart, _ uint16) uint64 { return h.csr.mcountinhibit },
		write: func(h *Hart, _ uint16, _, v uint64) {
			h.csr.mcountinhibit = v & (counterCY | counterIR)
			h.csr.cycle.stop(h.Instret, v&counterCY != 0)
			h.csr.instret.stop(h.Instret, v&counterIR != 0)
		}},
},
	// The event counters count nothing: they can be read and written, and are zero.
	family(riscv.CSRHpmcounter3, 29, csr{gate: counterOn, read: readZero}),
	family(riscv.CSRMhpmcounter3, 29, csr{read: readZero, write: ignoreWrite}),
	family(riscv.CSRMhpmevent3, 29, csr{read: readZero, write: ignoreWrite}),

	// Physical memory protection: entries past those there are read as zero. Pmpcfg has even numbers only.
	family(riscv.CSRPmpcfg0, 16, csr{gate: func(_ *Hart, num uint16) bool { return num&1 == 0 },
		read: readPmpcfg, write: writePmpcfg}),
	family(riscv.CSRPmpaddr0, 64, csr{read: readPmpaddr, write: writePmpaddr}),
)

// family is count registers with consecutive numbers that are all like row.
func family(first uint16, count int, row csr) []csr {
	rows := make([]csr, count)
	for i := range rows {
		rows[i] = row
		rows[i].num = first + uint16(i)
	}
	return rows
}

// constant is a register whose value never changes. A write is legal and does nothing, unless the number is that of a
// read-only register.
func constant(num uint16, v uint64) csr {
	r := csr{num: num, read: func(*Hart, uint16) uint64 { return v }}
	if !csrReadOnly(num) {
		r.write = ignoreWrite
	}
	return r
}

// scratch is a register that holds what is written, but for the bits of zero.
func scratch(num uint16, zero uint64, field func(*Hart) *uint64) csr {
	return csr{num: num,
		read:  func(h *Hart, _ uint16) uint64 { return *field(h) },
		write: func(h *Hart, _ uint16, _, v uint64) { *field(h) = v &^ zero }}
}

func readZero(*Hart, uint16) uint64             { return 0 }
func ignoreWrite(*Hart, uint16, uint64, uint64) {}

func fpOn(h *Hart, _ uint16) bool { return h.FPEnabled() }

// counterOn is the gate of cycle, time, instret and hpmcounter3..31.
func counterOn(h *Hart, num uint16) bool {
	bit := uint64(1) << (num & 31)
	return (h.Priv == riscv.PrivM || h.csr.mcounteren&bit != 0) && (h.Priv != riscv.PrivU || h.csr.scounteren&bit != 0)
}

// mstatus is State.Mstatus with SD, which says that FS is Dirty.
func (h *Hart) mstatus() uint64 {
	ms := h.Mstatus
	if ms&MstatusFS == MstatusFS {
		ms |= MstatusSD
	}
	return ms
}

// setMstatus writes the fields of mask.
func (h *Hart) setMstatus(v, mask uint64) {
	if v&MstatusMPP == 2<<mppShift {
		mask &^= MstatusMPP // no such privilege
	}
	h.Mstatus = h.Mstatus&^mask | v&mask
	h.updateBanks()
	h.checkInterrupts()
}

func (h *Hart) setMie(v, mask uint64) {
	h.Mie = h.Mie&^mask | v&mask
	h.checkInterrupts()
}

// mip is the pending interrupts as of now.
func (h *Hart) mip() uint64 {
	h.ticks.refresh(h.Clock, h.csr.menvcfg)
	h.lookInterrupts()
	return h.pending()
}

// setMip changes the bits of mask in which v differs from base. It leaves the others to whoever sets them meanwhile on another
// goroutine: an interprocessor interrupt that comes between the read and the write must not be lost.
func (h *Hart) setMip(base, v, mask uint64) {
	h.wires.Or(v &^ base & mask)
	h.wires.And(^(base &^ v & mask))
	h.checkInterrupts()
}

// legalEnvcfg is v with CBIE taken from old if it is the reserved value.
func legalEnvcfg(old, v uint64) uint64 {
	if v&EnvcfgCBIE == 2<<4 {
		v = v&^EnvcfgCBIE | old&EnvcfgCBIE
	}
	return v
}

func (h *Hart) setMenvcfg(v uint64) {
	old := h.csr.menvcfg
	h.csr.menvcfg = legalEnvcfg(old, v&envcfgM)
	h.updateWalkFlags()
	changed := old ^ h.csr.menvcfg
	if changed&(EnvcfgADUE|EnvcfgPBMTE) != 0 {
		h.TLB.Flush(mmu.Flush{})
	}
	if changed&EnvcfgSTCE != 0 {
		h.armTimer()
	}
}

// pmpEntry is the first entry of an even pmpcfg register; it holds eight.
func pmpEntry(num uint16) int { return int(num-riscv.CSRPmpcfg0) * 4 }

func readPmpcfg(h *Hart, num uint16) uint64 {
	first, v := pmpEntry(num), uint64(0)
	for i := range 8 {
		if first+i < h.pmp.count {
			v |= uint64(h.pmp.cfg[first+i]) << (8 * i)
		}
	}
	return v
}

func writePmpcfg(h *Hart, num uint16, _, v uint64) {
	first := pmpEntry(num)
	for i := range 8 {
		if first+i < h.pmp.count {
			h.pmp.setCfg(first+i, uint8(v>>(8*i)))
		}
	}
	h.pmpChanged()
}

func readPmpaddr(h *Hart, num uint16) uint64 {
	if i := int(num - riscv.CSRPmpaddr0); i < h.pmp.count {
		return h.pmp.addr[i]
	}
	return 0
}

func writePmpaddr(h *Hart, num uint16, _, v uint64) {
	if i := int(num - riscv.CSRPmpaddr0); i < h.pmp.count {
		h.pmp.setAddr(i, v)
		h.pmpChanged()
	}
}
