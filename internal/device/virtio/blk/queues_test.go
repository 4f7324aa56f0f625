package blk

// Several queues at once, neighbours that become one, and what is done on a hart and what is not.

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/storage"
)

// recorder is an image that notes what reaches it, and fails where it is told to. It serves nothing at once.
type recorder struct {
	storage.Image
	bad  func(off, n int64) bool
	gate chan struct{} // nil, or what a read or a write waits for

	mu    sync.Mutex
	calls [][2]int64 // offset and length
}

func (m *recorder) call(bufs [][]byte, off int64) error {
	if m.gate != nil {
		<-m.gate
	}
	n := int64(total(bufs))
	m.mu.Lock()
	m.calls = append(m.calls, [2]int64{off, n})
	m.mu.Unlock()
	if m.bad != nil && m.bad(off, n) {
		return errors.New("a bad block")
	}
	return nil
}

func (m *recorder) ReadvAt(bufs [][]byte, off int64) error {
	return errors.Join(m.call(bufs, off), m.Image.ReadvAt(bufs, off))
}

func (m *recorder) WritevAt(bufs [][]byte, off int64) error {
	if err := m.call(bufs, off); err != nil {
		return err
	}
	return m.Image.WritevAt(bufs, off)
}

// offer makes a request of one sector available, and returns where its status will be.
func offer(d *virtiotest.Driver, q *virtiotest.Queue, typ uint32, sector uint64, data []byte) virtiotest.Buf {
	st := d.In(1)
	if typ == typeIn {
		q.Add(d.Out(header(typ, sector)), d.In(512), st)
	} else {
		q.Add(d.Out(header(typ, sector)), d.Out(data), st)
	}
	return st
}

func TestNeighboursBecomeOne(t *testing.T) {
	type ask struct {
		typ    uint32
		sector uint64
	}
	const in, out = typeIn, typeOut
	for _, c := range []struct {
		name string
		asks []ask
		want [][2]int64 // sectors
	}{
		{"reads", []ask{{in, 8}, {in, 9}, {in, 10}}, [][2]int64{{8, 3}}},
		{"writes", []ask{{out, 8}, {out, 9}, {out, 10}}, [][2]int64{{8, 3}}},
		{"a write between", []ask{{in, 8}, {out, 9}, {in, 10}}, [][2]int64{{8, 1}, {9, 1}, {10, 1}}},
		{"a gap", []ask{{out, 8}, {out, 10}, {out, 11}}, [][2]int64{{8, 1}, {10, 2}}},
		{"backwards", []ask{{out, 9}, {out, 8}}, [][2]int64{{9, 1}, {8, 1}}},
		{"the same twice", []ask{{out, 8}, {out, 8}}, [][2]int64{{8, 1}, {8, 1}}},
		{"one that is refused between", []ask{{in, 8}, {in, diskSectors}, {in, 9}}, [][2]int64{{8, 1}, {9, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				img := &recorder{Image: storage.NewMemory(diskSize)}
				d := virtiotest.New(t, newDevice(t, img, 512), virtiotest.MMIO)
				d.Start(virtio.FeatureVersion1 | allFeatures)
				synctest.Wait() // for who looks for requests from before DRIVER_OK
				q := d.Queue(0)
				for _, a := range c.asks {
					offer(d, q, a.typ, a.sector, bytes.Repeat([]byte{1}, 512))
				}
				q.Kick()
				for range c.asks {
					q.Wait()
				}
				img.mu.Lock()
				defer img.mu.Unlock()
				if len(img.calls) != len(c.want) {
					t.Fatalf("the image was called for %v, want %v", img.calls, c.want)
				}
				for _, w := range c.want { // in any order: there are several workers
					if !slices.Contains(img.calls, [2]int64{w[0] * 512, w[1] * 512}) {
						t.Errorf("the image was called for %v, want %v", img.calls, c.want)
					}
				}
			})
		})
	}
}

// A job is bounded in buffers and in bytes.
func TestMergingIsBounded(t *testing.T) {
	var j job
	add := func(at Sector, bufs, n int) bool {
		r := request{typ: typeIn, sector: at, inLen: uint64(bufs * n)}
		for range bufs {
			r.in = append(r.in, make([]byte, n))
		}
		*j.room() = r
		return j.add()
	}
	if !add(0, 200, 512) || add(200, 57, 512) || !add(200, 56, 512) || add(256, 1, 512) {
		t.Errorf("%d requests of %d buffers became one", len(j.reqs), len(j.bufs))
	}
	j.reset()
	if !add(0, 1, mergeBytes-512) || add(mergeBytes/512-1, 1, 1024) || !add(mergeBytes/512-1, 1, 512) || j.bytes != mergeBytes {
		t.Errorf("%d bytes became one", j.bytes)
	}
	j.reset()
	if !add(0, 1, 4*mergeBytes) {
		t.Error("a request by itself is refused")
	}
}

// Of requests that were done together, those fail that would have failed alone.
func TestErrorOfOneAmongNeighbours(t *testing.T) {
	for _, typ := range []uint32{typeIn, typeOut} {
		synctest.Test(t, func(t *testing.T) {
			const first, bad, n = 8, 11, 6
			mem := storage.NewMemory(diskSize)
			img := &recorder{Image: mem, bad: func(off, n int64) bool { return off <= bad*512 && bad*512 < off+n }}
			d := virtiotest.New(t, newDevice(t, img, 512), virtiotest.PCI)
			d.Start(virtio.FeatureVersion1 | allFeatures)
			synctest.Wait()
			q := d.Queue(0)
			var st []virtiotest.Buf
			for i := range n {
				st = append(st, offer(d, q, typ, uint64(first+i), bytes.Repeat([]byte{byte(i + 1)}, 512)))
			}
			q.Kick()
			for range n {
				q.Wait()
			}
			synctest.Wait()
			img.mu.Lock()
			defer img.mu.Unlock()
			if img.calls[0] != [2]int64{first * 512, n * 512} {
				t.Errorf("type %d: the first call is for %v", typ, img.calls[0])
			}
			for i, b := range st {
				want := byte(0)
				if first+i == bad {
					want = 1
				}
				if got := d.Bytes(b)[0]; got != want {
					t.Errorf("type %d: request %d ended with status %d, want %d", typ, i, got, want)
				}
			}
			if typ == typeIn {
				return
			}
			p := make([]byte, n*512)
			_ = mem.ReadvAt([][]byte{p}, first*512)
			for i := range n {
				if want := byte(i + 1); first+i != bad && p[i*512] != want {
					t.Errorf("sector %d holds %d, want %d", first+i, p[i*512], want)
				}
			}
		})
	}
}

func newQueues(t testing.TB, img storage.Image, queues int) *Device {
	t.Helper()
	d, err := New(img, Options{Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every queue works, over both transports and all rings.
func TestQueues(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		const queues = 5
		dev := newQueues(t, newTestImage(), queues)
		if dev.Features()&FeatureMQ == 0 || len(dev.Queues()) != queues {
			t.Fatalf("features %#x, %d queues", dev.Features(), len(dev.Queues()))
		}
		var n [2]byte
		if dev.ConfigLoad(34, n[:]); n != [2]byte{queues, 0} {
			t.Errorf("num_queues is %v", n)
		}
		d := virtiotest.New(t, dev, kind)
		d.Start(ring | allFeatures | FeatureMQ)
		for i := range queues {
			in, st := d.In(512), d.In(1)
			if d.Queue(i).Do(d.Out(header(typeIn, uint64(10+i))), in, st); d.Bytes(st)[0] != 0 || d.Bytes(in)[0] != byte(11+i) {
				t.Errorf("queue %d: status %d, data %d", i, d.Bytes(st)[0], d.Bytes(in)[0])
			}
		}
	})
}

func TestQueueNumbers(t *testing.T) {
	for _, n := range []int{-1, maxQueues + 1} {
		if _, err := New(storage.NewMemory(4096), Options{Queues: n}); err == nil {
			t.Errorf("%d queues were accepted", n)
		}
	}
	if d := newQueues(t, storage.NewMemory(4096), 1); d.Features()&FeatureMQ != 0 {
		t.Error("one queue is announced as several")
	}
}

// Reset waits for what is in flight of every queue; afterwards nothing touches guest memory, and the device works again.
func TestResetWithSeveralQueuesBusy(t *testing.T) {
	const queues, each = 3, 6
	img := &recorder{Image: storage.NewMemory(diskSize), gate: make(chan struct{})}
	dev := newQueues(t, img, queues)
	d := virtiotest.New(t, dev, virtiotest.PCI)
	d.Start(virtio.FeatureVersion1 | allFeatures | FeatureMQ)
	var st []virtiotest.Buf
	for i := range queues {
		for k := range each {
			st = append(st, offer(d, d.Queue(i), typeIn, uint64(2*k), nil))
		}
	}
	for i := range queues {
		d.Queue(i).Kick()
	}
	img.gate <- struct{}{} // one is through, others are in the host or wait
	go close(img.gate)
	d.SetStatus(0)
	for _, b := range st {
		p, err := d.RAM.Slice(b.Addr, 1)
		if err != nil {
			t.Fatal(err)
		}
		p[0] = 0xee
	}
	img.mu.Lock()
	calls := len(img.calls)
	img.mu.Unlock()
	for i := range queues {
		dev.Notify(i) // late
	}
	for _, b := range st {
		if d.Bytes(b)[0] != 0xee {
			t.Fatal("guest memory changed after the reset")
		}
	}
	if len(img.calls) != calls {
		t.Error("the image was used after the reset")
	}
	d.Start(virtio.FeatureVersion1 | allFeatures | FeatureMQ)
	for i := range queues {
		b := d.In(1)
		if d.Queue(i).Do(d.Out(header(typeFlush, 0)), b); d.Bytes(b)[0] != 0 {
			t.Errorf("queue %d does not work after a reset", i)
		}
	}
}

// A ring that breaks the rules stops its device, whichever queue it is.
func TestHostileRingOnAnyQueue(t *testing.T) {
	const queues = 4
	for bad := range queues {
		dev := newQueues(t, newTestImage(), queues)
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | allFeatures | FeatureMQ)
		q := d.Queue(bad)
		p, err := d.RAM.Slice(q.Driver, 6)
		if err != nil {
			t.Fatal(err)
		}
		p[2], p[3], p[4], p[5] = 1, 0, 0xff, 0xff // avail.idx 1, and a head outside the table
		d.Notify(bad)
		d.WaitConfig()
		if d.Status()&virtio.StatusNeedsReset == 0 {
			t.Errorf("queue %d: the device does not ask for a reset", bad)
		}
		d.Start(virtio.FeatureVersion1 | allFeatures | FeatureMQ)
		b := d.In(1)
		if d.Queue(bad).Do(d.Out(header(typeFlush, 0)), b); d.Bytes(b)[0] != 0 {
			t.Errorf("queue %d does not work after a reset", bad)
		}
	}
}

// promptImage serves at once what it is told to.
type promptImage struct {
	storage.Image
	now     atomic.Bool
	atOnce  atomic.Int32
	waiting atomic.Int32
}

func (m *promptImage) ReadvNow(bufs [][]byte, off int64) (bool, error) {
	if !m.now.Load() {
		return false, nil
	}
	m.atOnce.Add(1)
	return true, m.Image.ReadvAt(bufs, off)
}

func (m *promptImage) WritevNow([][]byte, int64) (bool, error) { return false, nil }

func (m *promptImage) ReadvAt(bufs [][]byte, off int64) error {
	m.waiting.Add(1)
	return m.Image.ReadvAt(bufs, off)
}

// What can be done at once has been when the notification returns; what cannot is a worker's.
func TestDoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		img := &promptImage{Image: newTestImage().Image}
		dev := newDevice(t, img, 512)
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | allFeatures)
		synctest.Wait() // for who looks for requests from before DRIVER_OK
		q := d.Queue(0)
		st := offer(d, q, typeIn, 3, nil)
		q.Kick()
		q.Wait()
		if img.atOnce.Load() != 0 || img.waiting.Load() != 1 || d.Bytes(st)[0] != 0 {
			t.Errorf("%d at once, %d by a worker, status %d", img.atOnce.Load(), img.waiting.Load(), d.Bytes(st)[0])
		}
		img.now.Store(true)
		st = offer(d, q, typeIn, 3, nil)
		q.Kick()
		if _, _, ok := q.Used(); !ok || d.Bytes(st)[0] != 0 || img.waiting.Load() != 1 {
			t.Error("a request that waits for nothing was not done at once")
		}
		st = offer(d, q, typeIn, diskSectors, nil)
		q.Kick()
		if _, _, ok := q.Used(); !ok || d.Bytes(st)[0] != 1 {
			t.Error("a request that is refused was not done at once")
		}
	})
}

// A hart does a bounded amount for one notification, and workers the rest.
func TestHartDoesABoundedAmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, n = 512 << 10, 8 // together more than nowBudget
		img := &promptImage{Image: storage.NewMemory(n * size)}
		img.now.Store(true)
		d := virtiotest.New(t, newDevice(t, img, 512), virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | allFeatures)
		synctest.Wait()
		q, in := d.Queue(0), d.In(size)
		for i := range n {
			q.Add(d.Out(header(typeIn, uint64((n-1-i)*size/512))), in, d.In(1)) // backwards: they stay apart
		}
		q.Kick()
		if got := img.atOnce.Load(); got == 0 || got > 3 {
			t.Errorf("%d of %d were done at once", got, n)
		}
		for range n {
			q.Wait()
		}
		if img.atOnce.Load()+img.waiting.Load() != n {
			t.Errorf("%d at once, %d by workers, of %d", img.atOnce.Load(), img.waiting.Load(), n)
		}
	})
}

// Harts that notify queues of their own and one together, all at once.
func TestManyHarts(t *testing.T) {
	const harts, rounds = 4, 200
	dev := newQueues(t, newTestImage(), harts)
	var served atomic.Int32
	img := dev.img
	dev.img = &countImage{img, &served}
	d := virtiotest.New(t, dev, virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | allFeatures | FeatureMQ)
	for range rounds {
		for i := range harts {
			offer(d, d.Queue(i), typeIn, uint64(i), nil)
		}
		var all sync.WaitGroup
		for i := range harts {
			all.Go(func() { dev.Notify(i) })
			all.Go(func() { dev.Notify(0) })
		}
		all.Wait()
		for i := range harts {
			d.Queue(i).Wait()
		}
	}
	if n := served.Load(); n != harts*rounds {
		t.Errorf("%d requests were served, want %d", n, harts*rounds)
	}
}

// A driver that offers nothing more hears of all it has offered, however the workers take the jobs from under each other: none waits for the next job with
// a request kept back that it has done.
func TestNothingIsKeptBack(t *testing.T) {
	d := virtiotest.New(t, newQueues(t, &turns{newTestImage()}, 1), virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | allFeatures)
	q := d.Queue(0)
	var requests [12][]virtiotest.Buf
	for i := range requests { // backwards, with a sector between: they stay apart
		requests[i] = []virtiotest.Buf{d.Out(header(typeIn, uint64(2*(len(requests)-1-i)))), d.In(512), d.In(1)}
	}
	for range 10000 {
		for _, bufs := range requests {
			q.Add(bufs...)
		}
		q.Kick()
		for range requests {
			q.Wait()
		}
	}
}

// turns is an image that lets others run while it reads, and serves nothing at once.
type turns struct{ storage.Image }

func (m *turns) ReadvAt(bufs [][]byte, off int64) error {
	for range 40 {
		runtime.Gosched()
	}
	return m.Image.ReadvAt(bufs, off)
}

// countImage counts reads.
type countImage struct {
	storage.Image
	n *atomic.Int32
}

func (m *countImage) ReadvAt(bufs [][]byte, off int64) error {
	m.n.Add(1)
	return m.Image.ReadvAt(bufs, off)
}
