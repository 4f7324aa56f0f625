package hart

// Whatever a guest asks of a hart, in whatever order, the hart stays a legal one and nothing panics.

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

func FuzzGuest(f *testing.F) {
	f.Add([]byte{0, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Add([]byte{4, 0, 0, 0, 3, 1, 8, 8, 8, 8, 8, 8, 14, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		m := newMachine(t)
		m.OpenPMP()
		for len(script) >= 12 {
			op, arg := script[0], script[1]
			num := binary.LittleEndian.Uint16(script[2:])
			v := binary.LittleEndian.Uint64(script[4:])
			script = script[12:]
			// Half of the addresses are near something.
			va := v
			if arg&0x80 != 0 {
				va = []uint64{ramBase, ramBase + ramSize - 8, devBase, overlay - 4}[arg>>5&3] + v%4096
			}
			size := 1 << (arg & 3)
			wide := 4 << (arg & 1)
			before := m.Instret
			switch op % 24 {
			case 0:
				m.Load(va, size)
			case 1:
				m.Store(va, size, v)
			case 2:
				m.FetchPage(va &^ 1)
			case 3:
				m.Fetch16(va &^ 1)
			case 4, 5, 6, 7:
				m.CSR(CSRKind(arg%3), num, v, arg&4 != 0)
			case 8:
				m.LoadReserved(va, wide)
			case 9:
				m.StoreConditional(va, wide, v)
			case 10:
				m.AMO(AMOOp(arg>>1%9), va, wide, v)
			case 11:
				m.CompareSwap(va, wide, v, ^v)
			case 12:
				m.CompareSwap16(va, Pair{v, v}, Pair{})
			case 13:
				m.MRET()
			case 14:
				m.SRET()
			case 15:
				m.WFI()
			case 16:
				m.SFENCE(va, v, arg&1 != 0, arg&2 != 0)
			case 17:
				m.Ecall()
			case 18:
				m.Ebreak()
			case 19:
				m.SetPending(uint(arg%64), v&1 != 0)
			case 20:
				m.CBOZero(va)
			case 21:
				m.CBOInval(va)
			case 22:
				m.IllegalInstruction(uint32(v))
			case 23:
				m.FenceI()
			}
			m.Instret = before + 1
			m.Poll()
			m.check()
		}
	})
}

// check says what is always true of a hart between two instructions.
func (m *machine) check() {
	m.t.Helper()
	if m.Priv == 2 || m.Priv > riscv.PrivM || m.Mstatus&MstatusMPP == 2<<mppShift {
		m.t.Fatalf("mode %d, mstatus %#x", m.Priv, m.Mstatus)
	}
	if m.X[0] != 0 || m.Mstatus&^(mstatusWritable|mstatusFixed) != 0 || m.Mstatus&mstatusFixed != mstatusFixed {
		m.t.Fatalf("x0 %#x, mstatus %#x", m.X[0], m.Mstatus)
	}
	if !mmu.ValidMode(mmu.Mode(m.Satp)) {
		m.t.Fatalf("satp %#x", m.Satp)
	}
	for _, b := range []uint64{m.Bank, m.DataBank} {
		k := m.TLB.Keys[b]
		satp := m.Satp
		if !mmu.View(k.View).Translated() {
			satp = 0
		} else if k.Shared != 0 {
			satp = satp >> 60 << 60
		}
		if k.Valid == 0 || k.Satp != satp || m.TLB.Current[k.View] != b {
			m.t.Fatalf("bank %d is that of %+v, satp is %#x", b, k, m.Satp)
		}
	}
	if mmu.View(m.TLB.Keys[m.Bank].View) != m.view(m.Priv) {
		m.t.Fatalf("mode %d fetches through view %d", m.Priv, m.TLB.Keys[m.Bank].View)
	}
	if m.InterruptWaiting == 0 && atomic.LoadUint32(&m.Attention)&attnInterrupt == 0 && m.pending()&m.Mie != 0 {
		m.t.Fatalf("pending %#x, mie %#x, and nothing says so", m.pending(), m.Mie)
	}
	// No entry reaches outside RAM, or a page that a device lies over.
	ram := uint64(uintptr(m.host))
	for i := range m.TLB.Banks {
		b := &m.TLB.Banks[i]
		if b.Filled == 0 {
			continue
		}
		for _, table := range [][mmu.DataEntries]mmu.DataEntry{b.Load, b.Store} {
			for slot, e := range table {
				if off := e.Host - ram; e.Tag != mmu.EmptyTag(uint64(slot)) && (off > ramSize-memory.PageSize || off == (overlay-ramBase)&^memory.PageMask) {
					m.t.Fatalf("entry %+v is at offset %#x of RAM", e, off)
				}
			}
		}
	}
}
