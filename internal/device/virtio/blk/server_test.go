package blk

// One queue, and who has it: harts that notify it at once, workers that give back, and a reset.

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/storage"
)

// mixedImage serves one request in two at once, by its place.
type mixedImage struct{ storage.Image }

func (m *mixedImage) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	if off/4096%2 != 0 {
		return false, nil
	}
	runtime.Gosched() // with the queue locked, or not
	return true, m.Image.ReadvAt(bufs, off)
}

func (m *mixedImage) WritevNow([][]byte, int64) (bool, error) { return false, nil }

// Several harts offer requests in one queue and notify it at once; some of them a hart serves, with the queue locked and without, others workers do meanwhile. Each
// request is served once, and the driver hears of all of them.
func TestHartsAndWorkersShareAQueue(t *testing.T) {
	for name, img := range map[string]func() storage.Image{
		"at once, or not":    func() storage.Image { return &mixedImage{newTestImage()} },
		"while nobody waits": func() storage.Image { return &asyncImage{Image: newTestImage()} },
	} {
		t.Run(name, func(t *testing.T) { shareAQueue(t, img) })
	}
}

func shareAQueue(t *testing.T, img func() storage.Image) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		const harts, slots, rounds = 3, 4, 150
		dev := newDevice(t, img(), 512)
		d := virtiotest.New(t, dev, kind)
		d.Start(ring&^virtio.FeatureIndirectDesc | allFeatures) // tables would use up the driver's RAM
		q := d.Queue(0)

		type slot struct {
			hart, sector   int
			header, in, st virtiotest.Buf
		}
		var mu sync.Mutex // of the driver: its side of the queue, and what follows
		offered := map[uint16]*slot{}
		var free [harts]chan *slot
		for h := range free {
			free[h] = make(chan *slot, slots)
			for i := range slots {
				size := 512
				if i == slots-1 {
					size = 16 << 10 // more than is done with the queue locked
				}
				free[h] <- &slot{hart: h, header: d.Out(header(typeIn, 0)), in: d.In(size), st: d.In(1)}
			}
		}
		fill := func(b virtiotest.Buf, c []byte) {
			if err := d.RAM.Write(b.Addr, c); err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		for h := range harts {
			all.Go(func() {
				for i := range rounds {
					s := <-free[h]
					s.sector = (h*rounds + i) * 3 % (diskSectors - 32)
					fill(s.header, header(typeIn, uint64(s.sector)))
					fill(s.in, make([]byte, s.in.Len))
					fill(s.st, []byte{0xff})
					mu.Lock()
					offered[q.Add(s.header, s.in, s.st)] = s
					mu.Unlock()
					dev.Notify(0)
				}
			})
		}
		for n := 0; n < harts*rounds; {
			mu.Lock()
			id, written, ok := q.Used()
			if !ok {
				q.Listen()
				id, written, ok = q.Used()
			}
			s := offered[id]
			if ok {
				delete(offered, id)
			}
			mu.Unlock()
			if !ok {
				d.Line.Wait()
				d.Interrupts()
				continue
			}
			n++
			if s == nil {
				t.Fatalf("request %d came back, which was not offered", id)
			}
			in := d.Bytes(s.in)
			if first, last := in[0], in[len(in)-1]; d.Bytes(s.st)[0] != 0 || written != s.in.Len+1 || first != byte(s.sector+1) || last != byte(s.sector+len(in)/512) {
				t.Fatalf("sector %d: status %d, %d bytes, from %d to %d", s.sector, d.Bytes(s.st)[0], written, first, last)
			}
			free[s.hart] <- s
		}
		all.Wait()
	})
}

// gatedImage serves reads at once, when it is let.
type gatedImage struct {
	storage.Image
	gate chan struct{}
}

func (m *gatedImage) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	<-m.gate
	return true, m.Image.ReadvAt(bufs, off)
}

func (m *gatedImage) WritevNow([][]byte, int64) (bool, error) { return false, nil }

// While a hart is at a large request the queue is not locked: another one that notifies does not wait, and what it has offered is served by the first. A reset waits
// for the first, and nothing is begun after it.
func TestServingAQueueThatIsNotLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		img := &gatedImage{newTestImage(), make(chan struct{})}
		dev := newDevice(t, img, 512)
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | allFeatures)
		synctest.Wait() // for who looks for requests from before DRIVER_OK
		q := d.Queue(0)
		large := func() { q.Add(d.Out(header(typeIn, 0)), d.In(64<<10), d.In(1)) }

		large()
		go dev.Notify(0)
		synctest.Wait()
		offer(d, q, typeIn, 7, nil)
		dev.Notify(0) // returns
		if _, _, ok := q.Used(); ok {
			t.Error("a request came back from an image that answers nothing")
		}
		img.gate <- struct{}{}
		img.gate <- struct{}{}
		synctest.Wait()
		for range 2 {
			if _, _, ok := q.Used(); !ok {
				t.Error("a request was left in the ring")
			}
		}

		large()
		go dev.Notify(0)
		synctest.Wait()
		st := offer(d, q, typeIn, 7, nil)
		dev.Notify(0)
		over := make(chan struct{})
		go func() {
			d.SetStatus(0)
			close(over)
		}()
		synctest.Wait()
		select {
		case <-over:
			t.Error("a reset did not wait for a hart that serves")
		default:
		}
		img.gate <- struct{}{}
		<-over
		synctest.Wait()
		if d.Bytes(st)[0] != 0 {
			t.Error("memory changed after a reset")
		}
	})
}
