package hart

import (
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
)

func TestCBOGates(t *testing.T) {
	ops := []struct {
		name string
		f    func(*machine) bool
		bits []uint64 // values of the field that enable it
	}{
		{"zero", func(m *machine) bool { return m.CBOZero(word) }, []uint64{EnvcfgCBZE}},
		{"clean", func(m *machine) bool { return m.CBOClean(word) }, []uint64{EnvcfgCBCFE}},
		{"flush", func(m *machine) bool { return m.CBOFlush(word) }, []uint64{EnvcfgCBCFE}},
		{"inval", func(m *machine) bool { return m.CBOInval(word) }, []uint64{1 << 4, 3 << 4}},
	}
	for _, op := range ops {
		for _, on := range op.bits {
			for _, menv := range []uint64{0, on, envcfgS &^ on &^ op.bits[len(op.bits)-1]} {
				for _, senv := range []uint64{0, on} {
					for _, priv := range []uint64{privU, privS, privM} {
						m := newMachine(t)
						m.OpenPMP()
						m.set(riscv.CSRMenvcfg, menv)
						m.set(riscv.CSRSenvcfg, senv)
						m.SetPriv(priv)
						want := priv == privM || menv == on && (priv == privS || senv == on)
						if got := op.f(m); got != want {
							t.Errorf("cbo.%s in mode %d, menvcfg %#x senvcfg %#x: legal is %v", op.name, priv, menv, senv, got)
						}
						if !want && m.Mcause != riscv.CauseIllegal {
							t.Errorf("cbo.%s: cause %d", op.name, m.Mcause)
						}
					}
				}
			}
		}
	}
}

func TestCBOZero(t *testing.T) {
	const block = ramBase + 0x6fc0 // the last of its page
	for _, offset := range []uint64{0, 1, 37, 63} {
		m := newMachine(t)
		for i := range uint64(10) {
			m.poke(block-8+8*i, ^uint64(0))
		}
		if !m.CBOZero(block + offset) {
			t.Fatal("trapped")
		}
		for i := range uint64(10) {
			want := uint64(0)
			if i == 0 || i == 9 {
				want = ^uint64(0)
			}
			if got := m.peek(block - 8 + 8*i); got != want {
				t.Errorf("offset %d: word %d is %#x", offset, i, got)
			}
		}
	}
}
