package irqchip

import (
	"sync"
	"testing"
)

func newPLIC(contexts int) (*PLIC, []*wire) {
	ws, ls := wires(contexts)
	return NewPLIC(ls), ws
}

// plicDriver writes the registers as a guest does.
type plicDriver struct{ *PLIC }

func (d plicDriver) setPriority(n, v uint64)  { d.Store(4*n, 4, v) }
func (d plicDriver) setThreshold(c, v uint64) { d.Store(0x20_0000+0x1000*c, 4, v) }
func (d plicDriver) claim(c uint64) uint64    { return d.Load(0x20_0004+0x1000*c, 4) }
func (d plicDriver) complete(c, n uint64)     { d.Store(0x20_0004+0x1000*c, 4, n) }
func (d plicDriver) pendingBit(n uint64) bool { return d.Load(0x1000+n/32*4, 4)>>(n%32)&1 != 0 }
func (d plicDriver) setEnable(c uint64, ns ...int) {
	for w := range 4 {
		v := uint64(0)
		for _, n := range ns {
			if n/32 == w {
				v |= 1 << (n % 32)
			}
		}
		d.Store(0x2000+0x80*c+4*uint64(w), 4, v)
	}
}

func TestPLICClaimComplete(t *testing.T) {
	p, out := newPLIC(2)
	d := plicDriver{p}
	if d.claim(0) != 0 {
		t.Fatal("claim with nothing pending is not 0")
	}
	src := p.Source(10)
	src.Set(true)
	if !d.pendingBit(10) || out[0].high() {
		t.Fatal("a disabled source of priority 0 must pend and not interrupt")
	}
	d.setEnable(1, 10)
	if out[1].high() || d.claim(1) != 0 {
		t.Fatal("priority 0 must never interrupt")
	}
	d.setPriority(10, 1)
	if !out[1].high() || out[0].high() {
		t.Fatal("only context 1 is to be notified")
	}
	if d.claim(0) != 0 {
		t.Fatal("context 0 claimed a source it has not enabled")
	}
	if got := d.claim(1); got != 10 {
		t.Fatalf("claim = %d, want 10", got)
	}
	if out[1].high() || d.pendingBit(10) || d.claim(1) != 0 {
		t.Fatal("a claimed source must not stay pending")
	}
	src.Set(false)
	src.Set(true)
	if d.pendingBit(10) {
		t.Fatal("the gateway let a second request through before completion")
	}
	d.complete(0, 10) // not enabled there: ignored
	d.complete(1, 11)
	d.complete(1, 4096)
	if d.pendingBit(10) {
		t.Fatal("a completion that must be ignored opened the gateway")
	}
	d.complete(1, 10)
	if !out[1].high() || d.claim(1) != 10 {
		t.Fatal("a level that is still high after completion must pend again")
	}
	src.Set(false)
	d.complete(1, 10)
	if out[1].high() || d.claim(1) != 0 {
		t.Fatal("a low level must not pend again")
	}
	src.Set(true)
	src.Set(false)
	if !out[1].high() || d.claim(1) != 10 {
		t.Fatal("a request already made must outlive the level")
	}
}

func TestPLICArbitration(t *testing.T) {
	for _, c := range []struct {
		name      string
		prio      map[int]uint64
		enable    []int
		threshold uint64
		notified  bool
		order     []uint64
	}{
		{"highest priority first", map[int]uint64{3: 1, 40: 7, 95: 4}, []int{3, 40, 95}, 0, true, []uint64{40, 95, 3, 0}},
		{"lowest number among equals", map[int]uint64{95: 2, 64: 2, 1: 2}, []int{1, 64, 95}, 0, true, []uint64{1, 64, 95, 0}},
		{"threshold hides but does not stop a claim", map[int]uint64{5: 3}, []int{5}, 3, false, []uint64{5, 0}},
		{"threshold below", map[int]uint64{5: 3}, []int{5}, 2, true, []uint64{5, 0}},
		{"threshold 7 masks all", map[int]uint64{5: 7}, []int{5}, 7, false, []uint64{5, 0}},
		{"disabled", map[int]uint64{5: 7, 6: 1}, []int{6}, 0, true, []uint64{6, 0}},
		{"priority keeps 3 bits", map[int]uint64{5: 9}, []int{5}, 1, false, []uint64{5, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, out := newPLIC(1)
			d := plicDriver{p}
			d.setEnable(0, c.enable...)
			d.setThreshold(0, c.threshold)
			for n, v := range c.prio {
				d.setPriority(uint64(n), v)
				p.Source(n).Set(true)
			}
			if out[0].high() != c.notified {
				t.Errorf("notified = %v, want %v", out[0].high(), c.notified)
			}
			for i, want := range c.order {
				if got := d.claim(0); got != want {
					t.Fatalf("claim %d = %d, want %d", i, got, want)
				}
			}
		})
	}
}

func TestPLICRegisters(t *testing.T) {
	p, _ := newPLIC(16)
	for _, c := range []struct {
		name     string
		off      uint64
		size     int
		v, reads uint64
	}{
		{"priority", 4 * 95, 4, ^uint64(0), 7},
		{"priority of source 0", 0, 4, 7, 0},
		{"priority past the last source", 4 * 96, 4, 7, 0},
		{"pending is read-only", 0x1000, 4, ^uint64(0), 0},
		{"enable, source 0 does not exist", 0x2000, 4, ^uint64(0), 0xffff_fffe},
		{"enable, last word", 0x2008 + 15*0x80, 4, ^uint64(0), 0xffff_ffff},
		{"enable past the last source", 0x200c, 4, ^uint64(0), 0},
		{"enable of a context that does not exist", 0x2000 + 16*0x80, 4, 2, 0},
		{"threshold", 0x20_0000 + 15*0x1000, 4, 0xff, 7},
		{"context that does not exist", 0x20_0000 + 16*0x1000, 4, 1, 0},
		{"hole in a context", 0x20_0008, 4, 1, 0},
		{"1 byte", 4, 1, 1, 0},
		{"8 bytes", 8, 8, 1, 0},
		{"misaligned", 5, 4, 1, 0},
		{"last word of the block", PLICSize - 4, 4, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.Store(c.off, c.size, c.v)
			if got := p.Load(c.off, c.size); got != c.reads {
				t.Errorf("reads %#x, want %#x", got, c.reads)
			}
		})
	}
}

func TestPLICReset(t *testing.T) {
	p, out := newPLIC(1)
	d := plicDriver{p}
	d.setEnable(0, 1, 2)
	d.setPriority(1, 1)
	d.setPriority(2, 1)
	p.Source(1).Set(true)
	p.Source(2).Set(true)
	d.claim(0)
	p.Reset()
	if out[0].high() || d.pendingBit(2) || p.Load(4, 4) != 0 || p.Load(0x2000, 4) != 0 {
		t.Fatal("state survives reset")
	}
	d.setEnable(0, 1)
	d.setPriority(1, 1)
	p.Source(1).Set(true)
	if d.claim(0) != 1 {
		t.Fatal("a gateway stayed shut over reset")
	}
}

// Every request is claimed exactly once although two contexts compete for it.
func TestPLICConcurrentClaims(t *testing.T) {
	p, _ := newPLIC(2)
	d := plicDriver{p}
	const n = 95
	for i := 1; i <= n; i++ {
		d.setPriority(uint64(i), uint64(1+i%7))
	}
	for c := range uint64(2) {
		for w := range uint64(3) {
			p.Store(0x2000+0x80*c+4*w, 4, 0xffff_ffff)
		}
	}
	var wg sync.WaitGroup
	var got [2][]uint64
	for i := 1; i <= n; i++ {
		p.Source(i).Set(true)
	}
	for c := range got {
		wg.Go(func() {
			for {
				id := d.claim(uint64(c))
				if id == 0 {
					return
				}
				got[c] = append(got[c], id)
				p.Source(int(id)).Set(false)
				d.complete(uint64(c), id)
			}
		})
	}
	wg.Wait()
	seen := map[uint64]int{}
	for _, ids := range got {
		for _, id := range ids {
			seen[id]++
		}
	}
	for id := uint64(1); id <= n; id++ {
		if seen[id] != 1 {
			t.Errorf("source %d claimed %d times", id, seen[id])
		}
	}
}

func FuzzPLIC(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 4, 1, 0, 0x20, 4, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		p, out := newPLIC(4)
		for len(ops) >= 6 {
			off := (uint64(ops[0]) | uint64(ops[1])<<8 | uint64(ops[2])<<16) % PLICSize
			size := 1 << (ops[3] & 3)
			switch v := uint64(ops[4]) | uint64(ops[5])<<8; ops[3] >> 2 & 3 {
			case 0:
				p.Load(off, size)
			case 1:
				p.Store(off, size, v*0x10001)
			default:
				p.Source(1 + int(v%PLICSources)).Set(ops[3]&0x10 != 0)
			}
			ops = ops[6:]
		}
		for c, w := range out {
			want := false
			for n := uint(1); n <= PLICSources; n++ {
				want = want || p.pending.has(n) && p.contexts[c].enable.has(n) && p.priority[n] > p.contexts[c].threshold
			}
			if w.high() != want {
				t.Fatalf("context %d: wire %v, registers say %v", c, w.high(), want)
			}
		}
	})
}

func BenchmarkPLICInterrupt(b *testing.B) {
	p, _ := newPLIC(16)
	d := plicDriver{p}
	d.setPriority(10, 1)
	d.setEnable(1, 10)
	src := p.Source(10)
	b.ReportAllocs()
	for b.Loop() {
		src.Set(true)
		id := d.claim(1)
		src.Set(false)
		d.complete(1, id)
	}
}

func BenchmarkPLICSourceUnchanged(b *testing.B) {
	p, _ := newPLIC(16)
	src := p.Source(10)
	b.ReportAllocs()
	for b.Loop() {
		src.Set(false)
	}
}
