package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

func TestTraps(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		name  string
		inst  riscv.Inst
		priv  uint64
		cause uint64
		tval  uint64
	}{
		{"ecall from U", riscv.Inst{Op: riscv.ECALL}, riscv.PrivU, riscv.CauseEcallU, 0},
		{"ecall from S", riscv.Inst{Op: riscv.ECALL}, riscv.PrivS, riscv.CauseEcallS, 0},
		{"ecall from M", riscv.Inst{Op: riscv.ECALL}, riscv.PrivM, riscv.CauseEcallM, 0},
		{"ebreak", riscv.Inst{Op: riscv.EBREAK}, riscv.PrivU, riscv.CauseBreakpoint, ramBase},
		{"c.ebreak", riscv.Inst{Op: riscv.C_EBREAK}, riscv.PrivM, riscv.CauseBreakpoint, ramBase},
		{"mret from S", riscv.Inst{Op: riscv.MRET}, riscv.PrivS, riscv.CauseIllegal, 0x3020_0073},
		{"sret from U", riscv.Inst{Op: riscv.SRET}, riscv.PrivU, riscv.CauseIllegal, 0x1020_0073},
		{"wfi from U", riscv.Inst{Op: riscv.WFI}, riscv.PrivU, riscv.CauseIllegal, 0x1050_0073},
		{"sfence.vma from U", riscv.Inst{Op: riscv.SFENCE_VMA}, riscv.PrivU, riscv.CauseIllegal, 0x1200_0073},
		{"sfence.w.inval from U", riscv.Inst{Op: riscv.SFENCE_W_INVAL}, riscv.PrivU, riscv.CauseIllegal, 0x1800_0073},
		{"csrr mstatus from S", riscv.Inst{Op: riscv.CSRRS, Rd: 10, Imm: riscv.CSRMstatus}, riscv.PrivS, riscv.CauseIllegal, 0x3000_2573},
		{"csrw cycle", riscv.Inst{Op: riscv.CSRRW, Rs1: 10, Imm: riscv.CSRCycle}, riscv.PrivM, riscv.CauseIllegal, 0xc005_1073},
		{"cbo.zero from U", riscv.Inst{Op: riscv.CBO_ZERO, Rs1: 10}, riscv.PrivU, riscv.CauseIllegal, 0x0045_200f},
	} {
		m.Reset(ramBase)
		m.OpenPMP()
		m.Mtvec = ramBase + 0x100
		m.SetPriv(c.priv)
		if m.exec(c.inst) || m.Mcause != c.cause || m.Mtval != c.tval || m.Mepc != ramBase || m.PC != ramBase+0x100 || m.Priv != riscv.PrivM {
			t.Errorf("%s: cause %d, tval %#x, epc %#x, pc %#x, priv %d", c.name, m.Mcause, m.Mtval, m.Mepc, m.PC, m.Priv)
		}
	}
}

// minstret counts what retires: not what traps, nor an ecall, and a write is what the next instruction reads.
func TestInstret(t *testing.T) {
	m := newMachine(t)
	m.assemble(ramBase, func(a *asm.Assembler) {
		a.La(asm.T0, "handler")                          // 1, 2
		a.CSR(riscv.CSRRW, 0, riscv.CSRMtvec, asm.T0)    // 3
		a.CSR(riscv.CSRRS, asm.A0, riscv.CSRMinstret, 0) // 4: reads 3
		a.Op(riscv.ECALL)                                // traps
		a.Load(riscv.LD, asm.T1, 0, asm.Zero)            // traps
		a.Word(0)                                        // traps
		a.CSR(riscv.CSRRS, asm.A1, riscv.CSRMinstret, 0) // 4 + 3 * 4 = 16 have retired
		a.Li(asm.T1, 100)
		a.CSR(riscv.CSRRW, asm.A2, riscv.CSRMinstret, asm.T1) // reads 18
		a.CSR(riscv.CSRRS, asm.A3, riscv.CSRMinstret, 0)      // reads 100
		a.CSR(riscv.CSRRS, asm.A4, riscv.CSRMinstret, 0)      // reads 101
		a.Op(riscv.WFI)
		a.Align(4)
		a.Label("handler")
		a.CSR(riscv.CSRRS, asm.T2, riscv.CSRMepc, 0)
		a.I(riscv.ADDI, asm.T2, asm.T2, 4)
		a.CSR(riscv.CSRRW, 0, riscv.CSRMepc, asm.T2)
		a.Op(riscv.MRET)
	})
	m.run(100)
	for i, want := range []uint64{3, 16, 18, 100, 101} {
		if got := m.X[10+i]; got != want {
			t.Errorf("reading %d of minstret: %d, want %d", i, got, want)
		}
	}
	if m.Instret != 22 {
		t.Errorf("%d instructions retired, want 22", m.Instret)
	}
}

// RunFor starts exactly as many instructions as it is told, wherever that ends.
func TestRunForIsExact(t *testing.T) {
	m := newMachine(t)
	labels := m.assemble(ramBase+4096-20, func(a *asm.Assembler) {
		a.Label("loop")
		for range 9 {
			a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		}
		a.J("loop") // crosses nothing, but the loop lies in two pages
	})
	for n := uint64(1); n < 50; n++ {
		m.PC, m.X[10], m.Instret = labels["loop"], 0, 0
		if _, exited := m.in.RunFor(n); exited {
			t.Fatal("exited")
		}
		if m.Instret != n || m.X[10] != n-n/10 || m.PC != labels["loop"]+n%10*4 {
			t.Errorf("after %d instructions: %d retired, a0 %d, pc +%d", n, m.Instret, m.X[10], m.PC-labels["loop"])
		}
	}
}

func TestWFI(t *testing.T) {
	m := newMachine(t)
	m.assemble(ramBase, func(a *asm.Assembler) { a.Op(riscv.WFI) })
	if exit := m.in.Run(); exit != engine.ExitWFI || m.PC != ramBase+4 || m.Instret != 1 {
		t.Errorf("exit %v, pc %#x, %d retired", exit, m.PC, m.Instret)
	}
	m.RequestStop()
	if exit := m.in.Run(); exit != engine.ExitStop || m.PC != ramBase+4 {
		t.Errorf("exit %v, pc %#x", exit, m.PC)
	}
}

// The interrupt that ends a wait is taken after the WFI, and one that mstatus holds back ends it too.
func TestWFIResumes(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		m := newMachine(t)
		labels := m.assemble(ramBase, func(a *asm.Assembler) {
			a.Op(riscv.WFI)
			a.Label("after")
			a.I(riscv.ADDI, asm.A0, asm.A0, 1)
			a.Op(riscv.WFI)
			a.Label("handler")
			a.Op(riscv.WFI)
		})
		m.Mtvec, m.Mie = labels["handler"], 1<<riscv.IntMSoftware
		if enabled {
			m.Mstatus |= hart.MstatusMIE
		}
		m.run(2)
		m.SetPending(riscv.IntMSoftware, true)
		m.Park()
		m.run(3)
		if enabled && (m.Mepc != labels["after"] || m.X[asm.A0] != 0 || m.PC != labels["handler"]+4) {
			t.Errorf("mepc %#x, a0 %d, pc %#x", m.Mepc, m.X[asm.A0], m.PC)
		}
		if !enabled && (m.Mcause != 0 || m.X[asm.A0] != 1 || m.PC != labels["handler"]) {
			t.Errorf("held back: mcause %#x, a0 %d, pc %#x", m.Mcause, m.X[asm.A0], m.PC)
		}
	}
}

// A stop reaches loops of every kind.
func TestStopReachesLoops(t *testing.T) {
	for name, f := range map[string]func(a *asm.Assembler){
		"near jump":   func(a *asm.Assembler) { a.Label("l"); a.J("l") },
		"near branch": func(a *asm.Assembler) { a.Label("l"); a.Nop(); a.B(riscv.BEQ, 0, 0, "l") },
		"indirect":    func(a *asm.Assembler) { a.U(riscv.AUIPC, asm.T0, 0); a.I(riscv.JALR, 0, asm.T0, 4) },
		"far": func(a *asm.Assembler) {
			a.Label("l")
			a.Space(0)
			a.J("m")
			a.Space(8192)
			a.Label("m")
			a.J("l")
		},
		"illegal": func(a *asm.Assembler) {
			a.U(riscv.AUIPC, asm.T0, 0)
			a.I(riscv.ADDI, asm.T0, asm.T0, 16)
			a.CSR(riscv.CSRRW, 0, riscv.CSRMtvec, asm.T0)
			a.Word(0)
			a.I(riscv.ADDI, asm.T0, asm.T0, 4) // the handler: it moves through the zeros that follow
			a.Word(0)
		},
		"wrs": func(a *asm.Assembler) {
			a.Label("l")
			a.AMO(riscv.LR_D, asm.A0, 0, asm.S0, asm.Relaxed)
			a.Op(riscv.WRS_NTO)
			a.J("l")
		},
		"trap": func(a *asm.Assembler) {
			a.U(riscv.AUIPC, asm.T0, 0)
			a.CSR(riscv.CSRRW, 0, riscv.CSRMtvec, asm.T0)
			a.Op(riscv.ECALL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.assemble(ramBase, f)
			m.X[asm.S0] = scratch
			go m.RequestStop()
			if exit := m.in.Run(); exit != engine.ExitStop {
				t.Errorf("exit %v", exit)
			}
		})
	}
}

// A page that is not executed from predecoded slots does not keep a stop out either: here an instruction that jumps to itself.
func TestStopReachesDividedPages(t *testing.T) {
	m := newMachine(t)
	m.assemble(ramBase, func(a *asm.Assembler) { a.I(riscv.JALR, 0, asm.T0, 0) })
	m.WriteCSR(riscv.CSRPmpaddr0, (ramBase+4)>>2)
	m.WriteCSR(riscv.CSRPmpcfg0, 0x0f)
	m.SetPriv(riscv.PrivU)
	m.X[asm.T0] = ramBase
	go m.RequestStop()
	if exit := m.in.Run(); exit != engine.ExitStop || m.PC != ramBase || m.Mcause != 0 {
		t.Errorf("exit %v, pc %#x, mcause %d", exit, m.PC, m.Mcause)
	}
}

// With the host as firmware, a trap that nobody else takes leaves Run with PC at the instruction.
func TestFirmware(t *testing.T) {
	m := newMachine(t)
	m.Firmware = true
	m.OpenPMP()
	m.SetPriv(riscv.PrivS)
	m.assemble(ramBase, func(a *asm.Assembler) { a.Nop(); a.Op(riscv.ECALL); a.Word(0) })
	if exit := m.in.Run(); exit != engine.ExitFirmware || m.FirmwareTrap.Cause != riscv.CauseEcallS || m.PC != ramBase+4 || m.Instret != 1 {
		t.Fatalf("exit %v, %+v, pc %#x, %d retired", exit, m.FirmwareTrap, m.PC, m.Instret)
	}
	m.PC += 4
	if exit := m.in.Run(); exit != engine.ExitFirmware || m.FirmwareTrap.Cause != riscv.CauseIllegal || m.PC != ramBase+8 {
		t.Errorf("exit %v, %+v, pc %#x", exit, m.FirmwareTrap, m.PC)
	}
}

// An interrupt that a CSR write makes deliverable is taken before the next instruction.
func TestInterruptAfterCSRWrite(t *testing.T) {
	m := newMachine(t)
	labels := m.assemble(ramBase, func(a *asm.Assembler) {
		a.La(asm.T0, "handler")
		a.CSR(riscv.CSRRW, 0, riscv.CSRMtvec, asm.T0)
		a.Li(asm.T0, 1<<riscv.IntMSoftware)
		a.CSR(riscv.CSRRW, 0, riscv.CSRMie, asm.T0)
		a.CSR(riscv.CSRRSI, 0, riscv.CSRMstatus, hart.MstatusMIE)
		a.Label("next")
		a.Li(asm.A0, 1)
		a.Op(riscv.WFI)
		a.Align(4)
		a.Label("handler")
		a.CSR(riscv.CSRRS, asm.A1, riscv.CSRMepc, 0)
		a.CSR(riscv.CSRRS, asm.A2, riscv.CSRMcause, 0)
		a.Op(riscv.WFI)
	})
	m.SetPending(riscv.IntMSoftware, true)
	m.run(100)
	if m.X[10] != 0 || m.X[11] != labels["next"] || m.X[12] != riscv.CauseInterrupt|riscv.IntMSoftware {
		t.Errorf("a0 %d, mepc %#x, want %#x, mcause %#x", m.X[10], m.X[11], labels["next"], m.X[12])
	}
}

// CSR instructions as such: what is read, and what counts as a write.
func TestCSRInstructions(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct {
		op        riscv.Op
		rs1       uint8 // x11 holds 0x0f
		old, want uint64
	}{
		{riscv.CSRRW, 11, 0x3c, 0x0f}, {riscv.CSRRS, 11, 0x3c, 0x3f}, {riscv.CSRRC, 11, 0x3c, 0x30},
		{riscv.CSRRS, 0, 0x3c, 0x3c}, {riscv.CSRRC, 0, 0x3c, 0x3c}, {riscv.CSRRW, 0, 0x3c, 0},
		{riscv.CSRRWI, 31, 0x3c, 0x1f}, {riscv.CSRRSI, 3, 0x3c, 0x3f}, {riscv.CSRRCI, 4, 0x3c, 0x38}, {riscv.CSRRWI, 0, 0x3c, 0},
	} {
		m.X[10], m.X[11], m.Mscratch = 0, 0x0f, c.old
		if !m.exec(riscv.Inst{Op: c.op, Rd: 10, Rs1: c.rs1, Imm: riscv.CSRMscratch}) || m.X[10] != c.old || m.Mscratch != c.want {
			t.Errorf("%v %d: read %#x, left %#x, want %#x", c.op, c.rs1, m.X[10], m.Mscratch, c.want)
		}
	}
	// Source and destination may be one register.
	m.X[11], m.Mscratch = 5, 6
	m.exec(riscv.Inst{Op: riscv.CSRRW, Rd: 11, Rs1: 11, Imm: riscv.CSRMscratch})
	if m.X[11] != 6 || m.Mscratch != 5 {
		t.Errorf("a swap: %d %d", m.X[11], m.Mscratch)
	}
	// A set or clear of nothing is no write, and so allowed in a read-only register.
	if !m.exec(riscv.Inst{Op: riscv.CSRRS, Rd: 10, Imm: riscv.CSRMhartid}) || m.X[10] != 0 {
		t.Errorf("csrr mhartid traps: %d", m.Mcause)
	}
	if m.exec(riscv.Inst{Op: riscv.CSRRSI, Rd: 10, Rs1: 1, Imm: riscv.CSRMhartid}) {
		t.Error("csrsi mhartid does not trap")
	}
}

func TestHints(t *testing.T) {
	m := newMachine(t)
	for name, raw := range map[string]uint32{
		"pause": 0x0100_000f, "fence": 0x0ff0_000f, "fence.tso": 0x8330_000f, "wrs.nto": 0x00d0_0073, "wrs.sto": 0x01d0_0073,
		"fence with reserved fields": 0x1238_0f8f, "ntl.p1": 0x0020_0033, "c.ntl.all": 0x9016,
	} {
		m.X = [hart.NumX]uint64{}
		if !m.execRaw(raw) || m.X != [hart.NumX]uint64{} {
			t.Errorf("%s: cause %d", name, m.Mcause)
		}
	}
}
