package irqchip

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/timebase"
)

// wire remembers its level and counts its changes.
type wire struct {
	mu      sync.Mutex
	level   bool
	changes int
}

func (w *wire) Set(level bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if level != w.level {
		w.changes++
	}
	w.level = level
}

func (w *wire) high() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.level
}

func wires(n int) ([]*wire, []device.Line) {
	ws, ls := make([]*wire, n), make([]device.Line, n)
	for i := range ws {
		ws[i] = new(wire)
		ls[i] = ws[i]
	}
	return ws, ls
}

func newACLINT(harts int) (a *ACLINT, msip, mtip []*wire) {
	msip, ml := wires(harts)
	mtip, tl := wires(harts)
	return NewACLINT(timebase.New(), ml, tl), msip, mtip
}

func TestSoftwareInterrupt(t *testing.T) {
	a, msip, _ := newACLINT(2)
	for _, step := range []struct {
		name   string
		off    uint64
		size   int
		v      uint64
		level0 bool
		level1 bool
	}{
		{"only bit 0 counts", 4, 4, 0xffff_fffe, false, false},
		{"hart 1", 4, 4, 0xffff_ffff, false, true},
		{"hart 0", 0, 4, 1, true, true},
		{"8 bytes are not a register", 0, 8, 0, true, true},
		{"misaligned", 1, 4, 0, true, true},
		{"a hart that does not exist", 8, 4, 1, true, true},
		{"lowered", 4, 4, 0, true, false},
	} {
		a.Store(step.off, step.size, step.v)
		if msip[0].high() != step.level0 || msip[1].high() != step.level1 {
			t.Fatalf("%s: msip = %v %v, want %v %v", step.name, msip[0].high(), msip[1].high(), step.level0, step.level1)
		}
	}
	if got := a.Load(0, 4); got != 1 {
		t.Errorf("msip[0] reads %#x, want 1", got)
	}
	a.Reset()
	if msip[0].high() || a.Load(0, 4) != 0 {
		t.Error("msip survives reset")
	}
}

// Time in a synctest bubble is a fake clock: its sleeps take none.
func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, mtip := newACLINT(2)
		const second = timebase.Frequency
		expect := func(what string, level bool) {
			t.Helper()
			synctest.Wait()
			if mtip[1].high() != level {
				t.Fatalf("%s: mtip = %v, want %v", what, mtip[1].high(), level)
			}
		}
		if got := a.Load(0x4008, 8); got != ^uint64(0) {
			t.Errorf("mtimecmp at reset = %#x, want all ones", got)
		}
		a.Store(0x4008, 8, second)
		expect("set", false)
		time.Sleep(999 * time.Millisecond)
		expect("before the deadline", false)
		time.Sleep(time.Millisecond)
		expect("at the deadline", true)
		if got := a.Load(0xbff8, 8); got != second {
			t.Errorf("mtime = %d, want %d", got, second)
		}

		// The sequence of Privileged 1.13 §3.2.1 that sets both halves without a spurious interrupt.
		a.Store(0x4008, 4, 0xffff_ffff)
		expect("low half all ones: a deadline 7 minutes ahead", false)
		a.Store(0x400c, 4, 0)
		a.Store(0x4008, 4, 2*second)
		expect("both halves set", false)
		if got := a.Load(0x4008, 8); got != 2*second {
			t.Errorf("mtimecmp = %d, want %d", got, 2*second)
		}
		a.Store(0x400c, 4, 1)
		time.Sleep(2 * time.Second)
		expect("moved away before it fired", false)
		if lo, hi := a.Load(0x4008, 4), a.Load(0x400c, 4); lo != 2*second || hi != 1 {
			t.Errorf("mtimecmp halves = %#x %#x", lo, hi)
		}
		a.Store(0x4008, 8, 0)
		expect("a deadline in the past", true)
		a.Reset()
		expect("reset", false)
		if mtip[0].changes != 0 {
			t.Error("hart 0's timer interrupt moved")
		}
	})
}

func TestTimeIsReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _ := newACLINT(1)
		time.Sleep(time.Second)
		a.Store(0xbff8, 8, 0)
		if got := a.Load(0xbff8, 4); got != timebase.Frequency {
			t.Errorf("mtime low = %d, want %d", got, timebase.Frequency)
		}
		for off := uint64(0x4008); off < ACLINTSize; off += 0x7fc {
			if off&^7 != 0xbff8 && a.Load(off&^7, 8) != 0 {
				t.Errorf("offset %#x does not read as zero", off)
			}
		}
	})
}

func BenchmarkMTimeCmp(b *testing.B) {
	a, _, _ := newACLINT(1)
	b.ReportAllocs()
	for b.Loop() {
		a.Store(0x4000, 8, a.Load(0xbff8, 8)+timebase.Frequency)
	}
}
