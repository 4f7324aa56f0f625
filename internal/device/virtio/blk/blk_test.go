package blk

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/storage"
)

func TestConfiguration(t *testing.T) {
	for _, c := range []struct {
		name     string
		sector   int
		readOnly bool
		exp      byte
		minIO    uint16
		discard  uint32
	}{
		{"512", 512, false, 3, 8, 1 << 22},
		{"4096", 4096, false, 0, 1, 1 << 22},
		{"read-only", 512, true, 3, 8, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newTestImage()
			m.readOnly = c.readOnly
			d := newDevice(t, m, c.sector)
			b := bytes.Repeat([]byte{0xff}, 80)
			d.ConfigLoad(0, b)
			le := binary.LittleEndian
			if got := le.Uint64(b); got != diskSectors {
				t.Errorf("capacity %d", got)
			}
			if got := le.Uint32(b[20:]); got != uint32(c.sector) {
				t.Errorf("blk_size %d", got)
			}
			if b[24] != c.exp || le.Uint16(b[26:]) != c.minIO {
				t.Errorf("topology: exponent %d, minimum %d", b[24], le.Uint16(b[26:]))
			}
			if got := le.Uint32(b[36:]); got != c.discard {
				t.Errorf("max_discard_sectors %d", got)
			}
			if !bytes.Equal(b[60:], make([]byte, 20)) {
				t.Error("past the end reads as something")
			}
			if ro := d.Features()&FeatureRO != 0; ro != c.readOnly || d.Features()&FeatureDiscard != 0 == ro {
				t.Errorf("features %#x", d.Features())
			}
			d.ConfigLoad(1<<63, b) // must not panic
		})
	}
}

// The whole way, over both transports and every kind of ring.
func TestReadWrite(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		d := virtiotest.New(t, newDevice(t, newTestImage(), 512), kind)
		d.Start(ring | allFeatures)
		q := d.Queue(0)
		want := bytes.Repeat([]byte("sector! "), 512)
		st := d.In(1)
		if n := q.Do(d.Out(header(typeOut, 8)), d.Out(want[:1000]), d.Out(want[1000:]), st); n != 1 || d.Bytes(st)[0] != 0 {
			t.Fatalf("write: %d bytes, status %d", n, d.Bytes(st)[0])
		}
		if q.Do(d.Out(header(typeFlush, 0)), st); d.Bytes(st)[0] != 0 {
			t.Fatalf("flush: status %d", d.Bytes(st)[0])
		}
		in := d.In(4096)
		if n := q.Do(d.Out(header(typeIn, 8)), in, st); n != 4097 || !bytes.Equal(d.Bytes(in), want) {
			t.Fatalf("read: %d bytes, equal %v", n, bytes.Equal(d.Bytes(in), want))
		}
		if q.Do(d.Out(header(typeDiscard, 0)), d.Out(ranges(0, 8, 0)), st); d.Bytes(st)[0] != 0 {
			t.Fatalf("discard: status %d", d.Bytes(st)[0])
		}
		if q.Do(d.Out(header(typeIn, diskSectors)), in, st); d.Bytes(st)[0] != 1 {
			t.Fatalf("read past the end: status %d", d.Bytes(st)[0])
		}
		// Many at once: all come back, each with its own data.
		reqs := map[uint16]virtiotest.Buf{}
		sectors := map[uint16]byte{}
		for i := range byte(16) {
			b := d.In(513)
			id := q.Add(d.Out(header(typeIn, 64+uint64(i))), b)
			reqs[id], sectors[id] = b, i
		}
		q.Kick()
		for range 16 {
			id, n := q.Wait()
			if b := d.Bytes(reqs[id]); n != 513 || b[0] != 64+sectors[id]+1 || b[512] != 0 {
				t.Fatalf("request %d: %d bytes, first %d, status %d", id, n, b[0], b[512])
			}
		}
	})
}

// Requests that leave no byte for their status break the rules.
func TestNoStatus(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		d := virtiotest.New(t, newDevice(t, newTestImage(), 512), kind)
		d.Start(ring | allFeatures)
		if n := d.Queue(0).Do(d.Out(header(typeFlush, 0))); n != 0 {
			t.Errorf("%d bytes written", n)
		}
		if d.Status()&virtio.StatusNeedsReset == 0 {
			t.Error("the device does not ask for a reset")
		}
		d.Start(ring | allFeatures)
		st := d.In(1)
		if d.Queue(0).Do(d.Out(header(typeFlush, 0)), st); d.Bytes(st)[0] != 0 {
			t.Error("the device does not work after a reset")
		}
	})
}

// slowImage holds up reads until released.
type slowImage struct {
	storage.Image
	reads   sync.WaitGroup // one for each read that has begun
	now     atomic.Int32
	most    atomic.Int32
	release chan struct{}
}

func (s *slowImage) ReadvAt(bufs [][]byte, off int64) error {
	n := s.now.Add(1)
	for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
	}
	s.reads.Done()
	<-s.release
	defer s.now.Add(-1)
	return s.Image.ReadvAt(bufs, off)
}

// Reset waits for what the host is doing and drops the rest; nothing touches guest memory afterwards.
func TestResetWithRequestsInFlight(t *testing.T) {
	const requests = 20
	img := &slowImage{Image: storage.NewMemory(diskSize), release: make(chan struct{})}
	img.reads.Add(workers)
	dev := newDevice(t, img, 512)
	d := virtiotest.New(t, dev, virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | allFeatures)
	q := d.Queue(0)
	var bufs []virtiotest.Buf
	for range requests {
		b := d.In(513)
		bufs = append(bufs, b)
		q.Add(d.Out(header(typeIn, 0)), b)
	}
	q.Kick()
	img.reads.Wait() // every worker is in the host
	if n := img.most.Load(); n != workers {
		t.Errorf("%d reads at once, want %d", n, workers)
	}
	live, reset := dev.live.Load(), make(chan struct{})
	go func() {
		dev.Reset()
		close(reset)
	}()
	<-live.stop // Reset is waiting
	select {
	case <-reset:
		t.Fatal("Reset returned with reads in flight")
	default:
	}
	close(img.release)
	<-reset
	if img.now.Load() != 0 {
		t.Error("a read is in flight after Reset")
	}
	done := 0
	for _, b := range bufs {
		p, err := d.RAM.Slice(b.Addr, uint64(b.Len))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := q.Used(); ok {
			done++
		}
		for i := range p {
			p[i] = 0xee
		}
	}
	if done != workers {
		t.Errorf("%d requests were completed, want the %d in flight", done, workers)
	}
	for _, b := range bufs {
		if p := d.Bytes(b); !bytes.Equal(p, bytes.Repeat([]byte{0xee}, len(p))) {
			t.Fatal("guest memory changed after Reset")
		}
	}
	dev.Reset()   // again
	dev.Notify(0) // and a late notification
}

// The whole round trip: ring, wake-up of a worker, image, ring, interrupt.
func BenchmarkRead4K(b *testing.B) {
	for _, c := range []struct {
		name string
		ring uint64
	}{{"split", virtio.FeatureEventIdx}, {"packed", virtio.FeatureRingPacked | virtio.FeatureEventIdx}} {
		b.Run(c.name, func(b *testing.B) {
			d := virtiotest.New(b, newDevice(b, storage.NewMemory(1<<20), 512), virtiotest.MMIO)
			d.Start(virtio.FeatureVersion1 | allFeatures | c.ring)
			q := d.Queue(0)
			bufs := []virtiotest.Buf{d.Out(header(typeIn, 8)), d.In(4096), d.In(1)}
			b.ReportAllocs()
			b.SetBytes(4096)
			for b.Loop() {
				q.Do(bufs...)
			}
		})
	}
}
