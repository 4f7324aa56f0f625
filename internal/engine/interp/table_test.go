package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Every instruction of the table executes: it has a case in the hot loop or a handler. In M-mode, with everything on, none may
// trap as illegal, whatever its operands; a few trap for reasons of their own.
func TestEveryInstructionExecutes(t *testing.T) {
	m := newMachine(t)
	causes := map[riscv.Op]uint64{
		riscv.ECALL: riscv.CauseEcallM, riscv.EBREAK: riscv.CauseBreakpoint, riscv.C_EBREAK: riscv.CauseBreakpoint,
	}
	for op := riscv.Op(1); int(op) < riscv.NumOps; op++ {
		i := riscv.Decode(example(op))
		if i.Op != op {
			t.Fatalf("the example of %v is %v", op, i)
		}
		for r := 1; r < 32; r++ {
			m.X[r] = scratch
		}
		if op == riscv.WFI {
			continue // leaves the loop; TestWFI
		}
		m.Mcause = ^uint64(0)
		m.Mepc = ramBase // for MRET
		retired := m.execRaw(example(op))
		if want, traps := causes[op]; traps {
			if retired || m.Mcause != want {
				t.Errorf("%v: retired %v, cause %d, want %d", op, retired, m.Mcause, want)
			}
		} else if !retired {
			t.Errorf("%v: cause %d, tval %#x", i, m.Mcause, m.Mtval)
		}
		m.Reset(ramBase)
		m.Mstatus |= 3 << 13
	}
}

// example is an encoding of op with operands that are aligned and exist: x8, x10 and their like, small immediates, fcsr.
func example(op riscv.Op) uint32 {
	s := op.Spec()
	if op.Compressed() {
		// Operand bits from few to many, until they mean op.
		for bits := uint32(0); bits < 1<<16; bits++ {
			if raw := s.Match | bits&^s.Mask; bits&s.Mask == 0 && riscv.Decode(raw).Op == op {
				if rd := riscv.Decode(raw).Rd; rd != 0 || bits == 0 {
					return raw
				}
			}
		}
		return s.Match | 1<<7&^s.Mask
	}
	raw := s.Match | 1<<15&^s.Mask // rs1 = 1
	switch s.Format {
	case riscv.FormatCSR, riscv.FormatCSRI:
		return raw | riscv.CSRFcsr<<20
	case riscv.FormatI:
		return raw | 10<<7 // for an ori of x0 is a prefetch
	}
	return raw
}

// No op of the hot loop's memory slow path is without its size.
func TestMemoryOpsAreComplete(t *testing.T) {
	for op := riscv.Op(1); !op.Compressed(); op++ {
		f := op.Spec().Format
		if size := memoryOps[op].size; (f == riscv.FormatLoad || f == riscv.FormatStore) != (size != 0) {
			t.Errorf("%v: size %d", op, size)
		}
	}
}

// Reading a register number never leaves State.X.
func TestLowerKeepsRegistersInRange(t *testing.T) {
	for op := riscv.Op(1); int(op) < riscv.NumOps; op++ {
		s := op.Spec()
		for _, fill := range []uint32{0, ^uint32(0), 0x5555_5555, 0xaaaa_aaaa} {
			l := lower(s.Match | fill&^s.Mask)
			if l.rd > 32 || l.rs1 > 31 || l.rs2 > 31 || l.rs3 > 31 || l.step == 0 {
				t.Errorf("%v: %+v", op, l)
			}
			if l.rd == 0 && !floatDest[l.op] {
				t.Errorf("%v writes x0: %+v", op, l)
			}
		}
	}
}
