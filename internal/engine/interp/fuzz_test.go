package interp

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Any bytes as code, in any privilege: no panic, and no more instructions than asked for.
func FuzzExecute(f *testing.F) {
	f.Add([]byte{0x13, 0x05, 0x15, 0x00, 0x6f, 0xf0, 0xdf, 0xff}, uint8(0))
	f.Add([]byte{0x73, 0x00, 0x20, 0x30, 0x0f, 0x10, 0x00, 0x00}, uint8(3))
	f.Add([]byte{0x73, 0x10, 0x05, 0x18, 0x73, 0x00, 0x00, 0x12}, uint8(1))
	f.Fuzz(func(t *testing.T, code []byte, mode uint8) {
		m := newMachine(t)
		m.in = NewSize(m.Hart, 3)
		at := uint64(ramBase + 4096 - 64) // the code soon crosses a page
		if len(code) > 4096 {
			code = code[:4096]
		}
		m.write(at, code)
		m.OpenPMP()
		for r := 1; r < 32; r++ {
			m.X[r] = scratch + uint64(r)*8
		}
		m.Mtvec, m.Stvec = at, at+4
		m.Medeleg = 0xb1ff & uint64(mode) << 4
		m.PC = at
		m.SetPriv([]uint64{riscv.PrivU, riscv.PrivS, riscv.PrivM, riscv.PrivM}[mode&3])
		const budget = 5000
		for left := uint64(budget); left > 0; {
			before := m.Instret
			if _, exited := m.in.RunFor(left); !exited {
				break
			}
			// WFI, or stuck: both are exits, and the budget is what retired. The reset stands for the board.
			if m.Stuck() {
				break
			}
			used := m.Instret - before
			if used > left {
				t.Fatalf("%d instructions retired of %d", used, left)
			}
			left -= max(used, 1)
		}
		if m.Instret > budget {
			t.Fatalf("%d instructions retired of %d", m.Instret, budget)
		}
		if m.X[0] != 0 {
			t.Fatal("x0 was written")
		}
	})
}
