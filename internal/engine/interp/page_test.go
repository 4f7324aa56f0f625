package interp

import (
	"math"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// encode is one instruction as a word.
func encode(t *testing.T, i riscv.Inst) uint32 {
	t.Helper()
	raw, err := riscv.Encode(i)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Code that stores over code sees the old instruction until FENCE.I, and the new one after it.
func TestSelfModifyingCode(t *testing.T) {
	for name, base := range map[string]uint64{"in one page": ramBase, "patch across two pages": ramBase + 4096 - 22 - 8} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.assemble(base, func(a *asm.Assembler) {
				a.La(asm.T0, "patch")
				a.Call("patch")
				a.Mv(asm.A1, asm.A0)
				a.Store(riscv.SW, asm.T1, 0, asm.T0)
				a.Op(riscv.FENCE_I)
				a.Call("patch")
				a.Op(riscv.WFI)
				a.Half(1) // so that what follows may cross a page
				a.Label("patch")
				a.I(riscv.ADDI, asm.A0, asm.Zero, 1)
				a.Ret()
			})
			m.X[asm.T1] = uint64(encode(t, riscv.Inst{Op: riscv.ADDI, Rd: asm.A0, Imm: 2}))
			m.run(100)
			if m.X[asm.A1] != 1 || m.X[asm.A0] != 2 {
				t.Errorf("before and after: %d %d", m.X[asm.A1], m.X[asm.A0])
			}
		})
	}
}

// What another hart or a device has written is seen after a FENCE.I too.
func TestForeignWrites(t *testing.T) {
	m := newMachine(t)
	m.assemble(ramBase, func(a *asm.Assembler) {
		a.Label("loop")
		a.I(riscv.ADDI, asm.A0, asm.Zero, 1)
		a.Op(riscv.WFI)
		a.Op(riscv.FENCE_I)
		a.J("loop")
	})
	m.run(10)
	raw := encode(t, riscv.Inst{Op: riscv.ADDI, Rd: asm.A0, Imm: 2})
	if err := m.ram.Store32(ramBase, raw); err != nil {
		t.Fatal(err)
	}
	m.run(10)
	if m.X[asm.A0] != 2 {
		t.Errorf("a0 = %d", m.X[asm.A0])
	}
}

// An instruction of which only one half is on a page that may be executed.
func TestCrossingFault(t *testing.T) {
	m := newMachine(t)
	const end = ramBase + ramSize
	m.write(end-2, []byte{0x13, 0x05}) // the lower half of addi
	m.PC = end - 2
	m.Mtvec = ramBase
	if exit, exited := m.in.RunFor(1); exited {
		t.Fatalf("exit %v", exit)
	}
	if m.Mcause != riscv.CauseFetchAccess || m.Mepc != end-2 || m.Mtval != end || m.Instret != 0 {
		t.Errorf("cause %d, epc %#x, tval %#x, %d retired", m.Mcause, m.Mepc, m.Mtval, m.Instret)
	}
}

// Instructions that cross a page work whatever they are: branches both ways, jumps, pc-relative ones.
func TestCrossingInstructions(t *testing.T) {
	m := newMachine(t)
	const at = ramBase + 4096 - 2
	for _, c := range []struct {
		i    riscv.Inst
		pc   uint64
		want uint64 // of x10
	}{
		{riscv.Inst{Op: riscv.ADDI, Rd: 10, Imm: 5}, at + 4, 5},
		{riscv.Inst{Op: riscv.AUIPC, Rd: 10, Imm: 4096}, at + 4, at + 4096},
		{riscv.Inst{Op: riscv.BEQ, Imm: -64}, at - 64, 0},
		{riscv.Inst{Op: riscv.BEQ, Imm: 64}, at + 64, 0},
		{riscv.Inst{Op: riscv.BNE, Imm: 64}, at + 4, 0},
		{riscv.Inst{Op: riscv.JAL, Rd: 10, Imm: -8}, at - 8, at + 4},
		{riscv.Inst{Op: riscv.JALR, Rd: 10, Rs1: 11, Imm: 8}, ramBase + 8, at + 4},
		{riscv.Inst{Op: riscv.LD, Rd: 10, Rs1: 12}, at + 4, 99},
		{riscv.Inst{Op: riscv.DIV, Rd: 10, Rs1: 11}, at + 4, ones},
	} {
		raw := encode(t, c.i)
		m.write(at, []byte{byte(raw), byte(raw >> 8), byte(raw >> 16), byte(raw >> 24)})
		m.store64(scratch, 99)
		for range 2 {
			m.X[10], m.X[11], m.X[12], m.PC = 0, ramBase, scratch, at
			m.step()
			if m.PC != c.pc || m.X[10] != c.want {
				t.Errorf("%v: pc %#x, want %#x; x10 %#x, want %#x", c.i, m.PC, c.pc, m.X[10], c.want)
			}
		}
	}
}

// The second half of a crossing instruction belongs to the address space, not to the page of the first half.
func TestCrossingFollowsTheMapping(t *testing.T) {
	m := newMachine(t)
	low := encode(t, riscv.Inst{Op: riscv.ADDI, Rd: 10, Imm: 1})
	m.write(ramBase+4096-2, []byte{byte(low), byte(low >> 8), byte(low >> 16), byte(low >> 24)})
	high := encode(t, riscv.Inst{Op: riscv.ADDI, Rd: 10, Imm: 2}) >> 16
	p := m.in.pages.enter(ramBase, m.FenceIGen)
	if s := p.cross(uint16(low >> 16)); s.imm != 1 {
		t.Errorf("immediate %d", s.imm)
	}
	if s := p.cross(uint16(high)); s.imm != 2 {
		t.Errorf("immediate %d with another second half", s.imm)
	}
}

// Pages are reused when there are as many as allowed, and execution does not notice.
func TestEviction(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		m := newMachine(t)
		m.in = NewSize(m.Hart, limit)
		const pages = 20
		m.assemble(ramBase, func(a *asm.Assembler) {
			a.Li(asm.T0, 10)
			a.J("page0")
			for p := range pages {
				a.Align(4096)
				a.Label("page" + string(rune('0'+p)))
				a.I(riscv.ADDI, asm.A0, asm.A0, 1)
				if p < pages-1 {
					a.J("page" + string(rune('0'+p+1)))
				}
			}
			a.I(riscv.ADDI, asm.T0, asm.T0, -1)
			a.B(riscv.BEQ, asm.T0, asm.Zero, "end")
			a.J("page0")
			a.Label("end")
			a.Op(riscv.WFI)
		})
		m.run(10_000)
		if m.X[asm.A0] != 10*pages {
			t.Errorf("limit %d: a0 = %d", limit, m.X[asm.A0])
		}
		if n := len(m.in.pages.ring); n != limit {
			t.Errorf("limit %d: %d pages", limit, n)
		}
	}
}

// What finds pages does not outgrow them, however far apart they lie.
func TestDistantPages(t *testing.T) {
	m := newMachine(t)
	ps := newPages(m.ram, 2)
	for round := range 3 {
		for gpa := memory.GPA(ramBase); gpa < ramBase+ramSize; gpa += leafPages << memory.PageShift {
			p := ps.enter(gpa, uint64(round))
			if p == nil || p.gpa != gpa || ps.find(gpa) != p || ps.find(gpa+memory.PageSize) != nil {
				t.Fatalf("the page at %#x: %v", gpa, p)
			}
		}
	}
	leaves := 0
	for _, l := range ps.table {
		if l != nil {
			leaves++
		}
	}
	if leaves != 2 || len(ps.ring) != 2 {
		t.Errorf("%d leaves for %d pages", leaves, len(ps.ring))
	}
}

// The harts of a machine share what one may have.
func TestPagesOfAMachine(t *testing.T) {
	for harts := 1; harts <= 8; harts++ {
		if n := Pages(harts); n < 100 || n*harts*pageCost > Budget {
			t.Errorf("%d harts: %d pages each", harts, n)
		}
	}
}

// A page that PMP divides is executed without being predecoded, up to where it may be.
func TestDividedPage(t *testing.T) {
	m := newMachine(t)
	labels := m.assemble(ramBase+8192-64, func(a *asm.Assembler) {
		a.Li(asm.T0, 3)
		a.Label("loop")
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
		a.Label("last")
		a.Nop()
		a.Label("end")
	})
	// Entry 0: everything below the end of the code may be done, top of range; nothing else may be by U-mode.
	m.WriteCSR(riscv.CSRPmpaddr0, labels["end"]>>2)
	m.WriteCSR(riscv.CSRPmpcfg0, 0x0f)
	m.SetPriv(riscv.PrivU)
	m.Mtvec = ramBase
	for range 100 {
		if m.Priv == riscv.PrivM {
			break
		}
		m.step()
	}
	if m.Mcause != riscv.CauseFetchAccess || m.Mepc != labels["end"] || m.X[asm.A0] != 3 || m.Instret != 11 {
		t.Errorf("cause %d, epc %#x, want %#x; a0 %d; %d retired", m.Mcause, m.Mepc, labels["end"], m.X[asm.A0], m.Instret)
	}
	if p := m.in.pages.find(ramBase + 4096); p != nil {
		t.Error("the page was predecoded")
	}
}

// Machine to supervisor to user and back, under Sv39, with code and data at other addresses than in RAM.
func TestPrivilegeAndPaging(t *testing.T) {
	m := newMachine(t)
	const (
		root, mid, leaf = ramBase + 0x10_0000, ramBase + 0x10_1000, ramBase + 0x10_2000
		userVA, dataVA  = 0x40_0000, 0x40_1000
		v, r, w, x, u   = 1, 2, 4, 8, 16
		a, d            = 64, 128
	)
	pte := func(pa, flags uint64) uint64 { return pa>>12<<10 | flags }
	m.store64(root, pte(mid, v))
	m.store64(root+2*8, pte(0x8000_0000, v|r|w|x|a|d)) // 1 GiB of RAM for the supervisor
	m.store64(mid+2*8, pte(leaf, v))
	m.store64(leaf, pte(ramBase+0x3000, v|r|x|u|a))
	m.store64(leaf+8, pte(ramBase+0x4000, v|r|w|u|a|d))

	m.assembleAt(ramBase+0x3000, userVA, func(a *asm.Assembler) {
		a.Li(asm.T0, dataVA)
		a.Load(riscv.LD, asm.A0, 0, asm.T0)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Store(riscv.SD, asm.A0, 8, asm.T0)
		a.U(riscv.AUIPC, asm.A1, 0)
		a.Op(riscv.ECALL)
		a.Store(riscv.SD, asm.A0, 0, asm.A1) // its own page is not writable
	})
	m.store64(ramBase+0x4000, 41)

	m.assemble(ramBase, func(a *asm.Assembler) {
		// M: delegate, open PMP, enter S.
		a.Li(asm.T0, 1<<riscv.CauseEcallU|1<<riscv.CauseStorePageFault)
		a.CSR(riscv.CSRRW, 0, riscv.CSRMedeleg, asm.T0)
		a.Li(asm.T0, -1)
		a.CSR(riscv.CSRRW, 0, riscv.CSRPmpaddr0, asm.T0)
		a.Li(asm.T0, 0x1f)
		a.CSR(riscv.CSRRW, 0, riscv.CSRPmpcfg0, asm.T0)
		a.Li(asm.T0, 1<<11) // MPP = S
		a.CSR(riscv.CSRRS, 0, riscv.CSRMstatus, asm.T0)
		a.Li(asm.T0, 1<<12)
		a.CSR(riscv.CSRRC, 0, riscv.CSRMstatus, asm.T0)
		a.La(asm.T0, "supervisor")
		a.CSR(riscv.CSRRW, 0, riscv.CSRMepc, asm.T0)
		a.Op(riscv.MRET)
		a.Label("supervisor")
		a.La(asm.T0, "handler")
		a.CSR(riscv.CSRRW, 0, riscv.CSRStvec, asm.T0)
		a.Li(asm.T0, math.MinInt64|root>>12) // Sv39
		a.CSR(riscv.CSRRW, 0, riscv.CSRSatp, asm.T0)
		a.R(riscv.SFENCE_VMA, 0, 0, 0)
		a.Li(asm.T0, userVA)
		a.CSR(riscv.CSRRW, 0, riscv.CSRSepc, asm.T0)
		a.Op(riscv.SRET)
		a.Align(4)
		a.Label("handler")
		a.CSR(riscv.CSRRS, asm.T3, riscv.CSRScause, 0)
		a.Li(asm.T4, riscv.CauseEcallU)
		a.B(riscv.BNE, asm.T3, asm.T4, "fault")
		a.CSR(riscv.CSRRS, asm.T3, riscv.CSRSepc, 0)
		a.I(riscv.ADDI, asm.T3, asm.T3, 4)
		a.CSR(riscv.CSRRW, 0, riscv.CSRSepc, asm.T3)
		a.Op(riscv.SRET)
		a.Label("fault")
		a.Op(riscv.WFI)
	})
	m.run(200)
	if m.X[asm.A0] != 42 || m.load64(ramBase+0x4008) != 42 {
		t.Errorf("a0 %d, memory %d", m.X[asm.A0], m.load64(ramBase+0x4008))
	}
	if m.Scause != riscv.CauseStorePageFault || m.Stval != m.X[asm.A1] || m.Sepc&^0xfff != userVA || m.Priv != riscv.PrivS {
		t.Errorf("scause %d, stval %#x, sepc %#x, priv %d", m.Scause, m.Stval, m.Sepc, m.Priv)
	}
	if m.Mstatus&hart.MstatusSPP != 0 {
		t.Error("SPP says that the fault came from S")
	}
}
