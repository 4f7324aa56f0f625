package riscv

// Control and status registers: their numbers and names (Privileged 1.13 §2.2, and the extensions that add some). Which of
// them the machine has, and what they do, is the business of package hart.
//
// The number says who may do what: bits 11:10 both 1 is read-only, bits 9:8 are the lowest privilege that may access it.

import "strconv"

const (
	// Unprivileged: floating point (F).
	CSRFflags = 0x001
	CSRFrm    = 0x002
	CSRFcsr   = 0x003

	// Unprivileged: vector, seed and table jump. The machine has none of these; disassembly names them.
	CSRVstart = 0x008
	CSRVxsat  = 0x009
	CSRVxrm   = 0x00a
	CSRVcsr   = 0x00f
	CSRSsp    = 0x011
	CSRSeed   = 0x015
	CSRJvt    = 0x017
	CSRVl     = 0xc20
	CSRVtype  = 0xc21
	CSRVlenb  = 0xc22

	// Unprivileged: counters (Zicntr, Zihpm). Hpmcounter4..31 follow.
	CSRCycle        = 0xc00
	CSRTime         = 0xc01
	CSRInstret      = 0xc02
	CSRHpmcounter3  = 0xc03
	CSRHpmcounter31 = 0xc1f

	// Supervisor.
	CSRSstatus       = 0x100
	CSRSie           = 0x104
	CSRStvec         = 0x105
	CSRScounteren    = 0x106
	CSRSenvcfg       = 0x10a
	CSRSstateen0     = 0x10c
	CSRSstateen1     = 0x10d
	CSRSstateen2     = 0x10e
	CSRSstateen3     = 0x10f
	CSRScountinhibit = 0x120
	CSRSscratch      = 0x140
	CSRSepc          = 0x141
	CSRScause        = 0x142
	CSRStval         = 0x143
	CSRSip           = 0x144
	CSRStimecmp      = 0x14d
	CSRSiselect      = 0x150
	CSRSireg         = 0x151
	CSRStopei        = 0x15c
	CSRSatp          = 0x180
	CSRScontext      = 0x5a8
	CSRScountovf     = 0xda0
	CSRStopi         = 0xdb0

	// Hypervisor. The machine has no H; disassembly names them.
	CSRVsstatus   = 0x200
	CSRVsie       = 0x204
	CSRVstvec     = 0x205
	CSRVsscratch  = 0x240
	CSRVsepc      = 0x241
	CSRVscause    = 0x242
	CSRVstval     = 0x243
	CSRVsip       = 0x244
	CSRVstimecmp  = 0x24d
	CSRVsatp      = 0x280
	CSRHstatus    = 0x600
	CSRHedeleg    = 0x602
	CSRHideleg    = 0x603
	CSRHie        = 0x604
	CSRHtimedelta = 0x605
	CSRHcounteren = 0x606
	CSRHgeie      = 0x607
	CSRHenvcfg    = 0x60a
	CSRHtval      = 0x643
	CSRHip        = 0x644
	CSRHvip       = 0x645
	CSRHtinst     = 0x64a
	CSRHgatp      = 0x680
	CSRHcontext   = 0x6a8
	CSRHgeip      = 0xe12

	// Machine: information.
	CSRMvendorid  = 0xf11
	CSRMarchid    = 0xf12
	CSRMimpid     = 0xf13
	CSRMhartid    = 0xf14
	CSRMconfigptr = 0xf15

	// Machine: trap setup and handling, configuration.
	CSRMstatus    = 0x300
	CSRMisa       = 0x301
	CSRMedeleg    = 0x302
	CSRMideleg    = 0x303
	CSRMie        = 0x304
	CSRMtvec      = 0x305
	CSRMcounteren = 0x306
	CSRMenvcfg    = 0x30a
	CSRMstateen0  = 0x30c
	CSRMstateen1  = 0x30d
	CSRMstateen2  = 0x30e
	CSRMstateen3  = 0x30f
	CSRMscratch   = 0x340
	CSRMepc       = 0x341
	CSRMcause     = 0x342
	CSRMtval      = 0x343
	CSRMip        = 0x344
	CSRMtinst     = 0x34a
	CSRMtval2     = 0x34b
	CSRMiselect   = 0x350
	CSRMireg      = 0x351
	CSRMtopei     = 0x35c
	CSRMtopi      = 0xfb0
	CSRMseccfg    = 0x747
	CSRMnscratch  = 0x740
	CSRMnepc      = 0x741
	CSRMncause    = 0x742
	CSRMnstatus   = 0x744
	CSRMcontext   = 0x7a8

	// Machine: counters. Mhpmcounter4..31 and Mhpmevent4..31 follow.
	CSRMcycle        = 0xb00
	CSRMinstret      = 0xb02
	CSRMhpmcounter3  = 0xb03
	CSRMhpmcounter31 = 0xb1f
	CSRMcountinhibit = 0x320
	CSRMcyclecfg     = 0x321
	CSRMinstretcfg   = 0x322
	CSRMhpmevent3    = 0x323
	CSRMhpmevent31   = 0x33f

	// Machine: memory protection. Pmpcfg has even numbers only on RV64; Pmpaddr1..63 follow.
	CSRPmpcfg0   = 0x3a0
	CSRPmpcfg2   = 0x3a2
	CSRPmpcfg14  = 0x3ae
	CSRPmpcfg15  = 0x3af
	CSRPmpaddr0  = 0x3b0
	CSRPmpaddr15 = 0x3bf
	CSRPmpaddr63 = 0x3ef

	// Debug and trigger.
	CSRTselect   = 0x7a0
	CSRTdata1    = 0x7a1
	CSRTdata2    = 0x7a2
	CSRTdata3    = 0x7a3
	CSRTinfo     = 0x7a4
	CSRTcontrol  = 0x7a5
	CSRDcsr      = 0x7b0
	CSRDpc       = 0x7b1
	CSRDscratch0 = 0x7b2
	CSRDscratch1 = 0x7b3
)

// csrNames holds what has a name of its own; csrFamilies holds the rest.
var csrNames = map[uint16]string{
	CSRFflags:        "fflags",
	CSRFrm:           "frm",
	CSRFcsr:          "fcsr",
	CSRVstart:        "vstart",
	CSRVxsat:         "vxsat",
	CSRVxrm:          "vxrm",
	CSRVcsr:          "vcsr",
	CSRSsp:           "ssp",
	CSRSeed:          "seed",
	CSRJvt:           "jvt",
	CSRVl:            "vl",
	CSRVtype:         "vtype",
	CSRVlenb:         "vlenb",
	CSRCycle:         "cycle",
	CSRTime:          "time",
	CSRInstret:       "instret",
	CSRSstatus:       "sstatus",
	CSRSie:           "sie",
	CSRStvec:         "stvec",
	CSRScounteren:    "scounteren",
	CSRSenvcfg:       "senvcfg",
	CSRSstateen0:     "sstateen0",
	CSRSstateen1:     "sstateen1",
	CSRSstateen2:     "sstateen2",
	CSRSstateen3:     "sstateen3",
	CSRScountinhibit: "scountinhibit",
	CSRSscratch:      "sscratch",
	CSRSepc:          "sepc",
	CSRScause:        "scause",
	CSRStval:         "stval",
	CSRSip:           "sip",
	CSRStimecmp:      "stimecmp",
	CSRSiselect:      "siselect",
	CSRSireg:         "sireg",
	CSRStopei:        "stopei",
	CSRSatp:          "satp",
	CSRScontext:      "scontext",
	CSRScountovf:     "scountovf",
	CSRStopi:         "stopi",
	CSRVsstatus:      "vsstatus",
	CSRVsie:          "vsie",
	CSRVstvec:        "vstvec",
	CSRVsscratch:     "vsscratch",
	CSRVsepc:         "vsepc",
	CSRVscause:       "vscause",
	CSRVstval:        "vstval",
	CSRVsip:          "vsip",
	CSRVstimecmp:     "vstimecmp",
	CSRVsatp:         "vsatp",
	CSRHstatus:       "hstatus",
	CSRHedeleg:       "hedeleg",
	CSRHideleg:       "hideleg",
	CSRHie:           "hie",
	CSRHtimedelta:    "htimedelta",
	CSRHcounteren:    "hcounteren",
	CSRHgeie:         "hgeie",
	CSRHenvcfg:       "henvcfg",
	CSRHtval:         "htval",
	CSRHip:           "hip",
	CSRHvip:          "hvip",
	CSRHtinst:        "htinst",
	CSRHgatp:         "hgatp",
	CSRHcontext:      "hcontext",
	CSRHgeip:         "hgeip",
	CSRMvendorid:     "mvendorid",
	CSRMarchid:       "marchid",
	CSRMimpid:        "mimpid",
	CSRMhartid:       "mhartid",
	CSRMconfigptr:    "mconfigptr",
	CSRMstatus:       "mstatus",
	CSRMisa:          "misa",
	CSRMedeleg:       "medeleg",
	CSRMideleg:       "mideleg",
	CSRMie:           "mie",
	CSRMtvec:         "mtvec",
	CSRMcounteren:    "mcounteren",
	CSRMenvcfg:       "menvcfg",
	CSRMstateen0:     "mstateen0",
	CSRMstateen1:     "mstateen1",
	CSRMstateen2:     "mstateen2",
	CSRMstateen3:     "mstateen3",
	CSRMscratch:      "mscratch",
	CSRMepc:          "mepc",
	CSRMcause:        "mcause",
	CSRMtval:         "mtval",
	CSRMip:           "mip",
	CSRMtinst:        "mtinst",
	CSRMtval2:        "mtval2",
	CSRMiselect:      "miselect",
	CSRMireg:         "mireg",
	CSRMtopei:        "mtopei",
	CSRMtopi:         "mtopi",
	CSRMseccfg:       "mseccfg",
	CSRMnscratch:     "mnscratch",
	CSRMnepc:         "mnepc",
	CSRMncause:       "mncause",
	CSRMnstatus:      "mnstatus",
	CSRMcontext:      "mcontext",
	CSRMcycle:        "mcycle",
	CSRMinstret:      "minstret",
	CSRMcountinhibit: "mcountinhibit",
	CSRMcyclecfg:     "mcyclecfg",
	CSRMinstretcfg:   "minstretcfg",
	CSRTselect:       "tselect",
	CSRTdata1:        "tdata1",
	CSRTdata2:        "tdata2",
	CSRTdata3:        "tdata3",
	CSRTinfo:         "tinfo",
	CSRTcontrol:      "tcontrol",
	CSRDcsr:          "dcsr",
	CSRDpc:           "dpc",
	CSRDscratch0:     "dscratch0",
	CSRDscratch1:     "dscratch1",
}

// csrFamilies are runs of registers named after their index.
var csrFamilies = []struct {
	name        string
	number      uint16 // of the register with index from
	from, count int
}{
	{"hpmcounter", CSRHpmcounter3, 3, 29},
	{"mhpmcounter", CSRMhpmcounter3, 3, 29},
	{"mhpmevent", CSRMhpmevent3, 3, 29},
	{"pmpcfg", CSRPmpcfg0, 0, 16},
	{"pmpaddr", CSRPmpaddr0, 0, 64},
}

// CSRName returns the name of the CSR with a 12-bit number, or the number itself ("0x7c0") where it has none.
func CSRName(number uint16) string {
	if name, ok := csrNames[number]; ok {
		return name
	}
	for _, f := range csrFamilies {
		if i := int(number) - int(f.number); 0 <= i && i < f.count {
			return f.name + strconv.Itoa(f.from+i)
		}
	}
	return "0x" + strconv.FormatUint(uint64(number), 16)
}

// CSRNumber finds a CSR by the name that CSRName gives it; ok is false when there is none.
func CSRNumber(name string) (number uint16, ok bool) {
	for number := range uint16(1 << 12) {
		if CSRName(number) == name {
			return number, true
		}
	}
	return 0, false
}
