package interp

import (
	"math"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// sv39 is a machine in S-mode whose first and last virtual pages are two pages of RAM that do not adjoin. Traps go to M-mode.
func sv39(t *testing.T) (m *machine, first, last uint64) {
	m = newMachine(t)
	first, last = ramBase+0x20_0000, ramBase+0x30_0000
	const (
		root                             = ramBase + 0x10_0000
		mid, midTop, tables, tablesOfTop = root + 0x1000, root + 0x2000, root + 0x3000, root + 0x4000
		next, leaf                       = 1, 1 | 2 | 4 | 8 | 64 | 128 // V; V R W X A D
		end                              = 511 * 8
	)
	for at, pte := range map[uint64]uint64{
		root: mid>>2 | next, root + end: midTop>>2 | next,
		mid: tables>>2 | next, midTop + end: tablesOfTop>>2 | next,
		tables: first>>2 | leaf, tablesOfTop + end: last>>2 | leaf,
	} {
		m.store64(at, pte)
	}
	m.OpenPMP()
	m.SetPriv(riscv.PrivS)
	m.WriteCSR(riscv.CSRSatp, 8<<60|root>>12)
	m.Mtvec = ramBase
	return m, first, last
}

// The address space is a circle: what begins in its last bytes goes on at zero.
func TestAddressesWrap(t *testing.T) {
	m, first, last := sv39(t)
	const top = math.MaxUint64 - 4095

	// Straight on: c.li a0, 1 ends the last page.
	m.write(last+4094, []byte{0x05, 0x45})
	m.PC = top + 4094
	m.step()
	if m.PC != 0 || m.X[10] != 1 || m.Mcause != 0 {
		t.Errorf("past the end: pc %#x, a0 %d, mcause %d", m.PC, m.X[10], m.Mcause)
	}

	// An instruction across the end: auipc a0, 1, whose result wraps as well.
	m.write(last+4094, []byte{0x17, 0x15})
	m.write(first, []byte{0, 0})
	m.PC = top + 4094
	m.step()
	if m.PC != 2 || m.X[10] != 4094 || m.Mcause != 0 {
		t.Errorf("across the end: pc %#x, a0 %#x, mcause %d", m.PC, m.X[10], m.Mcause)
	}

	// A branch and a load across it.
	m.write(last+4094, []byte{0x81, 0xc9}) // c.beqz a1, 16
	m.X[11] = 0
	m.PC = top + 4094
	m.step()
	if m.PC != 14 {
		t.Errorf("a branch: pc %#x", m.PC)
	}
	m.store64(last+4088, 0x8877_0000_0000_0000)
	m.store64(first, 0xeeee_6655_4433_2211)
	raw := encode(t, riscv.Inst{Op: riscv.LD, Rd: 10, Imm: -2})
	m.write(first+16, []byte{byte(raw), byte(raw >> 8), byte(raw >> 16), byte(raw >> 24)})
	m.PC = 16
	m.step()
	if m.X[10] != 0x6655_4433_2211_8877 || m.Mcause != 0 {
		t.Errorf("a load: %#x, mcause %d", m.X[10], m.Mcause)
	}
}

// Where nothing can be fetched, the trap says so, with the address of what is missing and that of the instruction.
func TestFetchFaults(t *testing.T) {
	const top = math.MaxUint64 - 4095
	for _, c := range []struct {
		name       string
		pc, target uint64
		tval       uint64
	}{
		{"not canonical", 0, 1 << 40, 1 << 40},
		{"not canonical, odd", 0, 1<<38 + 1, 1 << 38},
		{"the highest address of the lower half", 0, 1<<38 - 2, 1<<38 - 2},
		{"not mapped", top, 8192, 8192},
		{"second half not mapped", top, 4094, 4096},
	} {
		m, first, last := sv39(t)
		m.write(first+4094, []byte{0x13, 0x05})
		raw := encode(t, riscv.Inst{Op: riscv.JALR, Rd: 1, Rs1: 11})
		for _, page := range []uint64{first, last} {
			m.write(page, []byte{byte(raw), byte(raw >> 8), byte(raw >> 16), byte(raw >> 24)})
		}
		m.PC, m.X[11] = c.pc, c.target
		m.step()
		m.step()
		if m.Mcause != riscv.CauseFetchPageFault || m.Mtval != c.tval || m.Mepc != c.target&^1 || m.X[1] != c.pc+4 || m.Instret != 1 {
			t.Errorf("%s: cause %d, tval %#x, epc %#x, ra %#x, %d retired", c.name, m.Mcause, m.Mtval, m.Mepc, m.X[1], m.Instret)
		}
	}
}

// In M-mode, which has no pages, the same holds of the ends of RAM.
func TestFetchAccessFaults(t *testing.T) {
	for _, pc := range []uint64{0, ramBase - 2, ramBase + ramSize, 1 << 56, math.MaxUint64 - 1} {
		m := newMachine(t)
		m.PC, m.Mtvec = pc, ramBase
		m.step()
		if m.Mcause != riscv.CauseFetchAccess || m.Mtval != pc || m.Mepc != pc || m.PC != ramBase {
			t.Errorf("at %#x: cause %d, tval %#x, epc %#x", pc, m.Mcause, m.Mtval, m.Mepc)
		}
	}
	m := newMachine(t)
	m.write(ramBase+ramSize-2, []byte{0x05, 0x45}) // c.li a0, 1 is the last that RAM holds
	m.PC, m.Mtvec = ramBase+ramSize-2, ramBase
	m.step()
	m.step()
	if m.X[10] != 1 || m.Mcause != riscv.CauseFetchAccess || m.Mepc != ramBase+ramSize || m.Mtval != ramBase+ramSize {
		t.Errorf("past the end of RAM: a0 %d, cause %d, tval %#x, epc %#x", m.X[10], m.Mcause, m.Mtval, m.Mepc)
	}
}
