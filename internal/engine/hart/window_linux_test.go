package hart

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// at is the memory at a host address outside the Go heap.
func at[T any](addr uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))) }

func TestWindowsAreTheState(t *testing.T) {
	m := newMachine(t)
	if m.Windows != [mmu.NumBanks]uint64{} {
		t.Error("windows nobody asked for")
	}
	for i := range uint64(mmu.NumBanks) {
		w := m.Window(i)
		if w == 0 {
			t.Fatal("no window")
		}
		if w%memory.PageSize != 0 || uint64(w) != m.Windows[i] || m.Window(i) != w {
			t.Errorf("window %d at %#x, State says %#x", i, w, m.Windows[i])
		}
		x := at[uint64](w + unsafe.Offsetof(State{}.X) + 8*5)
		m.X[5] = 100 + i
		if *x != 100+i {
			t.Errorf("window %d has another x5", i)
		}
		*x = 200 + i
		if m.X[5] != 200+i {
			t.Errorf("x5 written in window %d is %d", i, m.X[5])
		}
		bank := at[mmu.Bank](w + unsafe.Offsetof(State{}.TLB) + unsafe.Offsetof(mmu.TLB{}.Banks))
		page := i << memory.PageShift
		m.TLB.Banks[i].FillLoad(page, 300+i)
		if bank.Load[mmu.DataIndex(page)] != (mmu.DataEntry{Tag: page, Host: 300 + i}) {
			t.Errorf("window %d has another bank", i)
		}
		bank.Exec[mmu.ExecEntries-1] = uint8(i + 1)
		bank.Filled = 400 + i
	}
	for i := range m.TLB.Banks {
		if b := &m.TLB.Banks[i]; b.Exec[mmu.ExecEntries-1] != uint8(i+1) || b.Filled != 400+uint64(i) {
			t.Errorf("what window %d wrote is not in bank %d", i, i)
		}
	}
}

func TestWindowsGoWithTheHart(t *testing.T) {
	m := newMachine(t)
	w := m.Window(0)
	if !mapped(t, w) {
		t.Fatal("a window is not mapped")
	}
	// Another test in parallel could map something there; there is none.
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if mapped(t, w) {
		t.Error("a window outlives its hart")
	}
}

// mapped says whether a mapping of the State of a hart starts at addr.
func mapped(t *testing.T, addr uintptr) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if start, rest, ok := strings.Cut(line, "-"); ok && parseHex(start) == addr && strings.Contains(rest, "memfd:hart") {
			return true
		}
	}
	return false
}

func parseHex(s string) (v uintptr) {
	for _, c := range s {
		v = v<<4 | uintptr(strings.IndexRune("0123456789abcdef", c))
	}
	return v
}

// Where the host gives no descriptor the hart works, without windows.
func TestNoWindows(t *testing.T) {
	m := newMachine(t)
	if err := m.mapping.forget(); err != nil {
		t.Fatal(err)
	}
	if w := m.Window(3); w != 0 || m.Windows != [mmu.NumBanks]uint64{} {
		t.Errorf("a window at %#x", w)
	}
}

// forget closes the descriptor, as if there had never been one.
func (m *mapping) forget() error {
	f := os.NewFile(uintptr(m.backing), "hart")
	m.backing = noBacking
	return f.Close()
}
