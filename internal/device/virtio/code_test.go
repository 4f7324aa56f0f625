package virtio_test

import (
	"slices"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory"
)

// What a device writes to a page of code is noted by the time the driver hears of it: the buffers, wherever they cross pages, and
// the rings.
func TestWritesToCodeAreNoted(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		d := virtiotest.New(t, &echo{}, kind)
		d.Start(ring)
		q := d.Queue(0)
		in, out := d.In(3*memory.PageSize), d.Out(make([]byte, 3*memory.PageSize))
		code := d.RAM.Code()
		inside := func(page memory.GPA) bool { return page+memory.PageSize > in.Addr && page < in.Addr+memory.GPA(in.Len) }
		for page := d.RAM.Base(); page < d.RAM.End(); page += memory.PageSize {
			if inside(page) {
				code.Watch(page)
			}
		}
		q.Do(out, in)
		var want []memory.GPA
		for page := in.Addr &^ memory.PageMask; inside(page); page += memory.PageSize {
			want = append(want, page)
		}
		if got := code.TakeChanged(); !slices.Equal(got, want) {
			t.Errorf("changed: %x, want %x", got, want)
		}
		for page := d.RAM.Base(); page < d.RAM.End(); page += memory.PageSize {
			code.Watch(page)
		}
		q.Do(d.Out([]byte{1}), d.In(1))
		if n := len(code.TakeChanged()); n < 2 {
			t.Errorf("%d pages changed: the used ring is in none", n)
		}
		log, err := d.RAM.TrackDirty(func() {})
		if err != nil {
			t.Fatal(err)
		}
		q.Do(out, in)
		dirty := log.Take(nil)
		for page := in.Addr &^ memory.PageMask; inside(page); page += memory.PageSize {
			if !dirty.Has(uint64(page-d.RAM.Base()) >> memory.PageShift) {
				t.Errorf("the page at %#x was written and is not in the log", uint64(page))
			}
		}
		log.Stop()
	})
}
