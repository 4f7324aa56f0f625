package balloon_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/balloon"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory"
)

const (
	inflate, deflate = 0, 1

	base  = virtiotest.RAMBase
	page  = memory.PageSize
	pages = virtiotest.RAMSize / page
)

// start makes a balloon and its driver, in memory that is not zero.
func start(t testing.TB, kind virtiotest.Kind, features uint64) (*balloon.Device, *virtiotest.Driver) {
	t.Helper()
	dev, d := attach(t, kind)
	d.Start(features | virtio.FeatureVersion1)
	return dev, d
}

func attach(t testing.TB, kind virtiotest.Kind) (dev *balloon.Device, d *virtiotest.Driver) {
	t.Helper()
	d = virtiotest.NewOf(t, func(ram *memory.RAM) virtio.Device {
		dev = balloon.New(ram, nil)
		return dev
	}, kind)
	for p := range uint64(pages) {
		if err := d.RAM.Store64(base+memory.GPA(p*page), ^p); err != nil {
			t.Fatal(err)
		}
	}
	return dev, d
}

// list is a buffer of page frame numbers.
func list(d *virtiotest.Driver, frames ...memory.GPA) virtiotest.Buf {
	var b []byte
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(f/page))
	}
	return d.Out(b)
}

// kept says that a page is as start left it; else it is zero.
func kept(t testing.TB, d *virtiotest.Driver, a memory.GPA) bool {
	t.Helper()
	v, err := d.RAM.Load64(a)
	if err != nil || v != 0 && v != ^(uint64(a-base)/page) {
		t.Fatalf("the page at %#x holds %#x, %v", uint64(a), v, err)
	}
	return v != 0
}

func TestInflateAndDeflate(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		dev, d := start(t, kind, ring)
		if d.DeviceType() != virtio.TypeBalloon {
			t.Errorf("device type %d", d.DeviceType())
		}
		at := d.Alloc(8*page, page)
		d.RAM.Code().Watch(at + page)
		if n := d.Queue(inflate).Do(list(d, at+page, at+2*page), list(d, at+5*page, at+page)); n != 0 {
			t.Errorf("%d bytes written to a list", n)
		}
		for p, want := range []bool{true, false, false, true, true, false, true, true} {
			if kept(t, d, at+memory.GPA(p)*page) != want {
				t.Errorf("page %d is there: %v", p, !want)
			}
		}
		if dev.Given() != 3*page {
			t.Errorf("%d bytes in the balloon", dev.Given())
		}
		if got := d.RAM.Code().TakeChanged(); len(got) != 1 || got[0] != at+page {
			t.Errorf("pages of changed code: %x", got)
		}
		d.Queue(deflate).Do(list(d, at+page, at+3*page, at+5*page))
		if dev.Given() != page {
			t.Errorf("%d bytes in the balloon after two pages came out", dev.Given())
		}
		// A page that came out can go in again, with what was written to it meanwhile.
		if err := d.RAM.Store64(at+page, 1); err != nil {
			t.Fatal(err)
		}
		d.Queue(inflate).Do(list(d, at+page))
		if v, _ := d.RAM.Load64(at + page); v != 0 || dev.Given() != 2*page {
			t.Errorf("after it went in again, %#x, and %d bytes in the balloon", v, dev.Given())
		}
		d.SetStatus(0)
		if dev.Given() != 0 {
			t.Errorf("%d bytes in the balloon after a reset", dev.Given())
		}
	})
}

// What is wrong in a list is passed over, and the rest is done.
func TestListsOfAnything(t *testing.T) {
	dev, d := start(t, virtiotest.PCI, 0)
	at := d.Alloc(2*page, page)
	in, out := d.Queue(inflate), d.Queue(deflate)
	in.Do(list(d, 0, base-page, base+virtiotest.RAMSize, 0xFFFF_FFFF*page))
	out.Do(list(d, 0, at, 0xFFFF_FFFF*page))
	in.Do(d.In(64)) // no list at all
	in.Do(d.Out([]byte{1, 2, 3}))
	if dev.Given() != 0 {
		t.Fatalf("%d bytes in the balloon", dev.Given())
	}
	// A number in two buffers, and a half one behind it.
	number := binary.LittleEndian.AppendUint32(nil, uint32(at/page))
	in.Do(d.Out(number[:1]), d.Out(append(number[1:4:4], 9, 9)))
	if dev.Given() != page || kept(t, d, at) {
		t.Errorf("%d bytes in the balloon, of a list in parts", dev.Given())
	}
	// A list that is too long is cut.
	long := d.Alloc(1<<20, page)
	var bufs []virtiotest.Buf
	for range 32 {
		bufs = append(bufs, virtiotest.Buf{Addr: long, Len: 1 << 20})
	}
	in.Do(bufs...)
	if d.Status()&virtio.StatusNeedsReset != 0 {
		t.Error("the device needs a reset")
	}
}

// Free pages are reported on the queue that the specification has for it, and on the one that Linux counts up to.
func TestReports(t *testing.T) {
	for _, queue := range []int{2, 4} {
		dev, d := start(t, virtiotest.PCI, balloon.FeatureReporting)
		at := d.Alloc(16*page, page)
		log, err := d.RAM.TrackDirty(func() {})
		if err != nil {
			t.Fatal(err)
		}
		in := func(a memory.GPA, n uint32) virtiotest.Buf { return virtiotest.Buf{Addr: a, Len: n, Write: true} }
		d.Queue(queue).Do(in(at+page, 2*page), in(at+6*page-8, page+16), in(at+8*page+1, page), in(at+10*page, page))
		dirty := log.Take(nil)
		log.Stop()
		for p := range memory.GPA(16) {
			free := p == 1 || p == 2 || p == 6 || p == 10
			if kept(t, d, at+p*page) == free {
				t.Errorf("queue %d: page %d is there: %v", queue, p, free)
			}
			if free && !dirty.Has(uint64(at+p*page-base)/page) {
				t.Errorf("queue %d: page %d is not among those that were written", queue, p)
			}
		}
		if dev.Given() != 0 {
			t.Error("reports count as given")
		}
	}
}

func TestReportsThatWereNotAgreedOn(t *testing.T) {
	_, d := start(t, virtiotest.PCI, 0)
	at := d.Alloc(page, page)
	d.Queue(4).Do(virtiotest.Buf{Addr: at, Len: page, Write: true})
	if !kept(t, d, at) {
		t.Error("memory is gone that nobody gave")
	}
}

// The wish of the host reaches a driver, before it starts and when it changes, and a driver's answer is kept until a reset.
func TestConfiguration(t *testing.T) {
	for _, kind := range []virtiotest.Kind{virtiotest.MMIO, virtiotest.PCI} {
		dev, d := attach(t, kind)
		dev.SetTarget(3 * page)
		d.Start(virtio.FeatureVersion1)
		if n := d.Config(0, 4); n != 3 {
			t.Errorf("%d pages are wished for", n)
		}
		generation := d.Generation()
		dev.SetTarget(balloon.MaxBytes)
		d.WaitConfig()
		if n := d.Config(0, 4); n != 1<<32-1 || d.Generation() == generation {
			t.Errorf("%d pages are wished for", n)
		}
		d.SetConfig(0, 4, 7) // the host's, not the driver's
		d.SetConfig(4, 4, 5)
		d.SetConfig(6, 4, 5)
		d.SetConfig(4, 1, 9)
		if a, b, c := d.Config(0, 4), d.Config(4, 4), d.Config(8, 4); a != 1<<32-1 || b != 5 || c != 0 {
			t.Errorf("configuration %d, %d, %d", a, b, c)
		}
		d.SetStatus(0)
		if a, b := d.Config(0, 4), d.Config(4, 4); a != 1<<32-1 || b != 0 {
			t.Errorf("after a reset, %d and %d", a, b)
		}
	}
}

// A guest gives away all of its memory, the rings and the list itself with it, or reports it as free: the device goes on with what there is, and after a
// reset all is well.
func TestGivesEverything(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		dev, d := start(t, kind, ring|balloon.FeatureReporting)
		var all []memory.GPA
		for p := range memory.GPA(pages) {
			all = append(all, base+p*page)
		}
		const last = base + (pages-1)*page
		for _, give := range []func(){
			func() { d.Queue(inflate).Add(list(d, all...)) },
			func() { d.Queue(4).Add(virtiotest.Buf{Addr: base, Len: virtiotest.RAMSize, Write: true}) },
		} {
			if err := d.RAM.Store64(last, ^uint64(pages-1)); err != nil {
				t.Fatal(err)
			}
			give()
			for n := range 5 {
				d.Notify(n)
			}
			for kept(t, d, last) {
				runtime.Gosched()
			}
			for n := range 5 {
				d.Notify(n) // of rings that are nothing but zeroes
			}
			d.SetStatus(0)
			if dev.Given() != 0 {
				t.Errorf("%d bytes in the balloon after a reset", dev.Given())
			}
			d.Start(ring | balloon.FeatureReporting)
		}
		at := d.Alloc(page, page)
		if d.Queue(inflate).Do(list(d, at)); dev.Given() != page {
			t.Errorf("%d bytes in the balloon of the next driver", dev.Given())
		}
	})
}

// Resets while requests wait: what was given before is not in the next balloon.
func TestResets(t *testing.T) {
	dev, d := start(t, virtiotest.MMIO, 0)
	at := d.Alloc(64*page, page)
	for range 50 {
		for p := range memory.GPA(64) {
			d.Queue(inflate).Add(list(d, at+p*page))
		}
		d.Queue(inflate).Kick()
		d.SetStatus(0)
		if dev.Given() != 0 {
			t.Fatalf("%d bytes in the balloon after a reset", dev.Given())
		}
		d.Start(virtio.FeatureVersion1)
	}
}

// FuzzRequests sends requests of any shape to any queue: each comes back, and a report takes what it names and nothing else.
func FuzzRequests(f *testing.F) {
	f.Add(uint8(inflate), uint32(0), uint32(8), []byte{0, 0, 8, 0, 1, 0, 8, 0})
	f.Add(uint8(deflate), uint32(4096), uint32(4096), []byte{255, 255, 255, 255})
	f.Add(uint8(4), uint32(1), uint32(12288), []byte{})
	f.Fuzz(func(t *testing.T, queue uint8, off, n uint32, data []byte) {
		dev, d := start(t, virtiotest.MMIO, balloon.FeatureReporting)
		q := int(queue % 5)
		// The part of memory that requests may name is apart from the rings.
		at := d.Alloc(1<<20, page)
		bufs := []virtiotest.Buf{}
		if q < 2 {
			for i := range data { // numbers of frames in that part, mostly
				if i%4 == 3 && data[i] < 128 {
					binary.LittleEndian.PutUint32(data[i-3:], uint32(at/page)+binary.LittleEndian.Uint32(data[i-3:])%256)
				}
			}
			if len(data) > 0 {
				bufs = append(bufs, d.Out(data[:min(len(data), 65536)]))
			}
		}
		off %= 1 << 20
		if n %= 1<<20 - off; n > 0 {
			bufs = append(bufs, virtiotest.Buf{Addr: at + memory.GPA(off), Len: n, Write: q >= 2})
		}
		if q < 2 && len(data)%4 != 0 {
			return // numbers out of step may be of the rings' frames
		}
		if len(bufs) == 0 {
			return
		}
		d.Queue(q).Do(bufs...)
		if dev.Given() > virtiotest.RAMSize {
			t.Fatalf("%d bytes in the balloon", dev.Given())
		}
		for p := uint32(0); q >= 2 && p < 1<<20; p += page {
			if free := p >= off && p+page <= off+n; kept(t, d, at+memory.GPA(p)) == free {
				t.Fatalf("page %#x of a report of %#x+%#x is there: %v", p, off, n, free)
			}
		}
	})
}
