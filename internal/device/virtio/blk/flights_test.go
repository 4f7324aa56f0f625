package blk

// Transfers that nobody waits for: that come back whole, in part or not at all, and are in the host when the machine is reset.

import (
	"bytes"
	"errors"
	"sync/atomic"
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
	failing bool      // to have transfers
	refused bool      // it has some, and the host takes none
	held    chan bool // if not nil, reads that wait wait for it
	begun   atomic.Int32
	flushes atomic.Int32
}

func (m *asyncImage) ReadvAt(bufs [][]byte, off int64) error {
	if m.held != nil {
		<-m.held
	}
	return m.Image.ReadvAt(bufs, off)
}

func (m *asyncImage) Flush() error {
	m.flushes.Add(1)
	return m.Image.Flush()
}

type asyncTransfers struct {
	img   *asyncImage
	ended chan storage.Ended
}

func (m *asyncImage) Transfers() (storage.Transfers, error) {
	if m.failing {
		return nil, errors.New("not on this host")
	}
	return &asyncTransfers{m, make(chan storage.Ended, storage.MaxTransfers)}, nil
}

func (a *asyncTransfers) Refused() bool { return a.img.refused }

func (a *asyncTransfers) Begin(id int, write bool, bufs [][]byte, off int64, wait bool) bool {
	if a.img.gate == nil && off/512%5 == 0 {
		return false
	}
	a.img.begun.Add(1)
	go func() {
		whole := off/512%3 != 0
		if a.img.gate != nil {
			whole = <-a.img.gate
		}
		if !whole {
			bufs = [][]byte{bufs[0][:len(bufs[0])/2]}
		}
		do := a.img.Image.ReadvAt
		if write {
			do = a.img.Image.WritevAt
		}
		a.ended <- storage.Ended{ID: id, Whole: do(bufs, off) == nil && whole}
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

func (a *asyncTransfers) Stop() { close(a.ended) }

// What was written is read again, whichever way each request takes; and an image that turns out to have no transfers is one like others.
func TestFlights(t *testing.T) {
	const each, rounds = 8, 6
	for _, c := range []struct {
		failing, refused bool
		begun            int32 // at least; those that are refused, and those that are alone, are not
	}{{false, false, each * rounds}, {failing: true}, {refused: true}} {
		virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
			img := &asyncImage{Image: newTestImage(), failing: c.failing, refused: c.refused}
			d := virtiotest.New(t, newDevice(t, img, 512), kind)
			d.Start(ring | allFeatures)
			q := d.Queue(0)
			content := func(sector, round uint64) []byte { return bytes.Repeat([]byte{byte(sector + round)}, 512) }
			for round := range uint64(rounds) {
				at := func(i uint64) uint64 { return (round*each + i) * 3 / 2 % diskSectors }
				for i := range uint64(each) {
					st := d.In(1)
					if q.Do(d.Out(header(typeOut, at(i))), d.Out(content(at(i), round)), st); d.Bytes(st)[0] != 0 {
						t.Fatalf("writing sector %d: status %d", at(i), d.Bytes(st)[0])
					}
				}
				in, sectors := map[uint16]virtiotest.Buf{}, map[uint16]uint64{}
				for i := range uint64(each) {
					b := d.In(513)
					id := q.Add(d.Out(header(typeIn, at(i))), b)
					in[id], sectors[id] = b, at(i)
				}
				q.Kick()
				for range each {
					id, n := q.Wait()
					if b := d.Bytes(in[id]); n != 513 || b[512] != 0 || !bytes.Equal(b[:512], content(sectors[id], round)) {
						t.Fatalf("reading sector %d: %d bytes, status %d, %#x...", sectors[id], n, b[512], b[:4])
					}
				}
			}
			if n := img.begun.Load(); n < c.begun || c.begun == 0 && n > 0 {
				t.Errorf("%d jobs took off, want %d or more", n, c.begun)
			}
		})
	}
}

// To a driver that cannot flush, what has been written is durable: no write is one that nobody waits for.
func TestFlightsFlush(t *testing.T) {
	img := &asyncImage{Image: newTestImage()}
	d := virtiotest.New(t, newDevice(t, img, 512), virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | allFeatures&^FeatureFlush)
	for n := range int32(8) {
		st := d.In(1)
		d.Queue(0).Do(d.Out(header(typeOut, uint64(n))), d.Out(make([]byte, 512)), st)
		if got := img.flushes.Load(); d.Bytes(st)[0] != 0 || got != n+1 {
			t.Fatalf("%d writes, status %d: %d flushes", n+1, d.Bytes(st)[0], got)
		}
	}
}

// A reset waits for what the host is at, of which nothing is left behind: neither a transfer, nor a translation of what a transfer has overwritten, be that whole, in part
// as the reset waits, or in part before it, when all workers were busy.
func TestResetWaitsForFlights(t *testing.T) {
	for _, c := range []struct {
		name         string
		whole, early bool
	}{{"whole", true, false}, {"in part", false, false}, {"in part, before", false, true}} {
		synctest.Test(t, func(t *testing.T) {
			img := &asyncImage{Image: newTestImage(), gate: make(chan bool), held: make(chan bool)}
			dev := newDevice(t, img, 512)
			d := virtiotest.New(t, dev, virtiotest.MMIO)
			d.Start(virtio.FeatureVersion1 | allFeatures)
			synctest.Wait()
			q := d.Queue(0)
			in := d.In(8192)
			page := (in.Addr + memory.PageSize - 1) &^ memory.PageMask
			flights := 1
			if c.early {
				flights += workers // which are what the workers are busy with
			}
			for range flights - 1 {
				q.Add(d.Out(header(typeIn, 7)), d.In(512), d.In(1))
				dev.Notify(0)
				synctest.Wait()
				img.gate <- false
				synctest.Wait()
			}
			d.RAM.Code().Watch(page)
			q.Add(d.Out(header(typeIn, 7)), in, d.In(1))
			dev.Notify(0)
			synctest.Wait()
			over := make(chan struct{})
			reset := func() {
				d.SetStatus(0)
				close(over)
			}
			if c.early {
				go func() { img.gate <- false }()
				synctest.Wait()
				go reset()
				synctest.Wait()
				close(img.held)
			} else {
				go reset()
				synctest.Wait()
				select {
				case <-over:
					t.Errorf("%s: the reset did not wait", c.name)
				default:
				}
				img.gate <- c.whole
			}
			<-over
			if d.RAM.Code().State(page) == memory.CodeWatched {
				t.Errorf("%s: code that was overwritten is there", c.name)
			}
		})
	}
}

// halfImage serves nothing at once, but writes a part of it before it finds out.
type halfImage struct {
	storage.Image
	held chan bool
}

func (m *halfImage) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	bufs[0][len(bufs[0])-1] = 1
	return false, nil
}

func (m *halfImage) WritevNow([][]byte, int64) (bool, error) { return false, nil }

func (m *halfImage) ReadvAt(bufs [][]byte, off int64) error {
	<-m.held
	return m.Image.ReadvAt(bufs, off)
}

// What was served in part, and waited for a worker when the machine was reset, has overwritten code as well.
func TestResetOfWhatWasServedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		img := &halfImage{newTestImage(), make(chan bool)}
		dev := newDevice(t, img, 512)
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | allFeatures)
		synctest.Wait()
		q := d.Queue(0)
		for range workers {
			q.Add(d.Out(header(typeIn, 7)), d.In(512), d.In(1))
			dev.Notify(0)
			synctest.Wait()
		}
		in := d.In(8192)
		page := (in.Addr + memory.PageSize - 1) &^ memory.PageMask
		d.RAM.Code().Watch(page)
		q.Add(d.Out(header(typeIn, 7)), in, d.In(1))
		dev.Notify(0)
		synctest.Wait()
		over := make(chan struct{})
		go func() {
			d.SetStatus(0)
			close(over)
		}()
		synctest.Wait()
		close(img.held)
		<-over
		if d.RAM.Code().State(page) == memory.CodeWatched {
			t.Error("code that was overwritten is there")
		}
	})
}
