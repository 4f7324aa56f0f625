package device

import (
	"testing"

	"github.com/vmproject/vm/internal/memory"
)

// probe notes the last access.
type probe struct {
	off  uint64
	size int
	v    uint64
	n    int
}

func (p *probe) Load(off uint64, size int) uint64 { p.off, p.size = off, size; p.n++; return off }
func (p *probe) Store(off uint64, size int, v uint64) {
	p.off, p.size, p.v = off, size, v
	p.n++
}

func (p *probe) Reset() { *p = probe{} }

func TestBusFindsTheDevice(t *testing.T) {
	var b Bus
	low, high, top := &probe{}, &probe{}, &probe{}
	for _, m := range []struct {
		base memory.GPA
		size uint64
		dev  Device
	}{{0x2000, 0x100, high}, {0x1000, 0x1000, low}, {0xffff_ffff_ffff_f000, 0xfff, top}} {
		if err := b.Map(m.base, m.size, "probe", m.dev); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		addr memory.GPA
		size int
		dev  *probe
		off  uint64
	}{
		{0x1000, 4, low, 0}, {0x1ffc, 4, low, 0xffc}, {0x2000, 8, high, 0}, {0x20f8, 8, high, 0xf8},
		{0xfff, 1, nil, 0}, {0x1ffd, 4, nil, 0}, {0x20fc, 8, nil, 0}, {0x2100, 1, nil, 0}, {0, 8, nil, 0},
		{0xffff_ffff_ffff_f000, 8, top, 0}, {0xffff_ffff_ffff_ffff, 1, nil, 0}, {0xffff_ffff_ffff_fff9, 8, nil, 0},
	} {
		v, ok := b.Load(c.addr, c.size)
		if ok != (c.dev != nil) || b.Store(c.addr, c.size, 7) != ok {
			t.Errorf("%d bytes at %#x: found %v", c.size, c.addr, ok)
			continue
		}
		if ok && (v != c.off || c.dev.off != c.off || c.dev.size != c.size || c.dev.v != 7) {
			t.Errorf("%d bytes at %#x: %+v", c.size, c.addr, c.dev)
		}
	}
	b.Reset()
	if low.n+high.n+top.n != 0 {
		t.Error("Reset left a device out")
	}
}

func TestBusRefusesOverlap(t *testing.T) {
	var b Bus
	if err := b.Map(0x1000, 0x1000, "first", &probe{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base memory.GPA
		size uint64
		ok   bool
	}{
		{0x1000, 0x1000, false}, {0x800, 0x801, false}, {0x1fff, 1, false}, {0, 0x10000, false}, {0x1800, 0x10, false},
		{0x3000, 0, false}, {0xffff_ffff_ffff_ffff, 2, false},
		{0x800, 0x800, true}, {0x2000, 0x1000, true},
	} {
		if err := b.Map(c.base, c.size, "second", &probe{}); (err == nil) != c.ok {
			t.Errorf("%#x bytes at %#x: %v", c.size, c.base, err)
		}
	}
}

func TestBusCovers(t *testing.T) {
	var b Bus
	if err := b.Map(0x1800, 0x10, "small", &probe{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr memory.GPA
		size uint64
		want bool
	}{{0x1000, 0x1000, true}, {0x1000, 0x800, false}, {0x1000, 0x801, true}, {0x180f, 1, true}, {0x1810, 0x1000, false}} {
		if got := b.Covers(c.addr, c.size); got != c.want {
			t.Errorf("[%#x, +%#x): %v", c.addr, c.size, got)
		}
	}
}

func BenchmarkBusLoad(b *testing.B) {
	var bus Bus
	for i := range 20 {
		if err := bus.Map(memory.GPA(i)<<16, 0x1000, "probe", &probe{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := memory.GPA(0); b.Loop(); i++ {
		bus.Load(i%20<<16, 4)
	}
}
