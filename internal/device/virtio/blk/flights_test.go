package blk

// Transfers that nobody waits for: that come back whole, in part or not at all, and are in the host when the machine is reset.

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/storage"
)

// asyncImage has asynchronous transfers, of which it refuses some and does some in part.
type asyncImage struct {
	storage.Image
	gate    chan bool // if not nil, a transfer ends when it is let, and is whole or not
	refuses bool      // to have transfers at all
}

type asyncTransfers struct {
	img   *asyncImage
	ended chan storage.Ended
}

func (m *asyncImage) Transfers(atOnce int) (storage.Transfers, error) {
	if m.refuses {
		return nil, errors.New("not on this host")
	}
	return &asyncTransfers{m, make(chan storage.Ended, atOnce)}, nil
}

func (a *asyncTransfers) Begin(id int, write bool, bufs [][]byte, off int64) bool {
	if a.img.gate == nil && off/512%5 == 0 {
		return false
	}
	go func() {
		whole := off/512%3 != 0
		if a.img.gate != nil {
			whole = <-a.img.gate
		}
		if !whole {
			bufs = [][]byte{bufs[0][:len(bufs[0])/2]}
		}
		var err error
		if write {
			err = a.img.WritevAt(bufs, off)
		} else {
			err = a.img.ReadvAt(bufs, off)
		}
		a.ended <- storage.Ended{ID: id, Whole: whole && err == nil}
	}()
	return true
}

func (a *asyncTransfers) Wait(into []storage.Ended) int {
	e, ok := <-a.ended
	if !ok {
		return 0
	}
	into[0] = e
	return 1
}

func (a *asyncTransfers) Close() error {
	close(a.ended)
	return nil
}

// What was written is read again, whichever way each request takes; and an image that turns out to have no transfers is one like others.
func TestFlights(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
			d := virtiotest.New(t, newDevice(t, &asyncImage{Image: newTestImage(), refuses: refuses}, 512), kind)
			d.Start(ring | allFeatures)
			q := d.Queue(0)
			const each = 8
			for round := range uint64(6) {
				out := make([]byte, 512)
				for i := range uint64(each) {
					sector := (round*each + i) * 3 % diskSectors
					for k := range out {
						out[k] = byte(sector + round)
					}
					st := d.In(1)
					if q.Do(d.Out(header(typeOut, sector)), d.Out(out), st); d.Bytes(st)[0] != 0 {
						t.Fatalf("writing sector %d: status %d", sector, d.Bytes(st)[0])
					}
				}
				in := map[uint16]virtiotest.Buf{}
				want := map[uint16]uint64{}
				for i := range uint64(each) {
					sector := (round*each + i) * 3 % diskSectors
					b := d.In(513)
					id := q.Add(d.Out(header(typeIn, sector)), b)
					in[id], want[id] = b, sector
				}
				q.Kick()
				for range each {
					id, n := q.Wait()
					if b := d.Bytes(in[id]); n != 513 || b[512] != 0 || !bytes.Equal(b[:512], bytes.Repeat([]byte{byte(want[id] + round)}, 512)) {
						t.Fatalf("reading sector %d: %d bytes, status %d, %#x...", want[id], n, b[512], b[:4])
					}
				}
			}
		})
	}
}

// A reset waits for what the host is at, of which nothing is left behind: neither a transfer, nor a translation of what a transfer has overwritten, whole or in part.
func TestResetWaitsForFlights(t *testing.T) {
	for _, whole := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			img := &asyncImage{Image: newTestImage(), gate: make(chan bool)}
			dev := newDevice(t, img, 512)
			d := virtiotest.New(t, dev, virtiotest.MMIO)
			d.Start(virtio.FeatureVersion1 | allFeatures)
			synctest.Wait()
			q := d.Queue(0)
			in, st := d.In(8192), d.In(1)
			page := (in.Addr + memory.PageSize - 1) &^ memory.PageMask
			d.RAM.Code().Watch(page)
			q.Add(d.Out(header(typeIn, 7)), in, st)
			dev.Notify(0)
			synctest.Wait()
			over := make(chan struct{})
			go func() {
				d.SetStatus(0)
				close(over)
			}()
			synctest.Wait()
			select {
			case <-over:
				t.Error("the reset did not wait")
			default:
			}
			img.gate <- whole
			<-over
			if d.RAM.Code().State(page) == memory.CodeWatched {
				t.Errorf("whole %v: code that was overwritten is there", whole)
			}
		})
	}
}
