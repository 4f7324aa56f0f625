package rng_test

import (
	"bytes"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/rng"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

func TestFillsRequests(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		d := virtiotest.New(t, rng.New(), kind)
		if d.DeviceType() != virtio.TypeRNG {
			t.Errorf("device type %d", d.DeviceType())
		}
		d.Start(ring)
		q := d.Queue(0)
		seen := map[string]bool{}
		for range 100 {
			a, b := d.In(13), d.In(32)
			if n := q.Do(a, b); n != 45 {
				t.Fatalf("%d bytes of 45", n)
			}
			got := string(append(d.Bytes(a), d.Bytes(b)...))
			if seen[got] {
				t.Fatal("the same bytes twice")
			}
			seen[got] = true
		}
	})
}

func TestRequestIsBounded(t *testing.T) {
	d := virtiotest.New(t, rng.New(), virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1)
	a, b := d.In(60<<10), d.In(1<<20)
	n := d.Queue(0).Do(a, b)
	if n != 64<<10 {
		t.Fatalf("%d bytes", n)
	}
	if !bytes.Equal(d.Bytes(b)[4<<10:], make([]byte, 1<<20-4<<10)) {
		t.Error("written past what was reported")
	}
}

func TestNothingToWrite(t *testing.T) {
	d := virtiotest.New(t, rng.New(), virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1)
	if n := d.Queue(0).Do(d.Out([]byte("hello"))); n != 0 {
		t.Errorf("%d bytes written to a request that has no room", n)
	}
}

// Buffers offered before DRIVER_OK are served without a notification; a reset in between loses nothing of the next driver's.
func TestBuffersBeforeDriverOK(t *testing.T) {
	d := virtiotest.New(t, rng.New(), virtiotest.PCI)
	for range 50 {
		d.Negotiate(virtio.FeatureVersion1 | virtio.FeatureEventIdx)
		q := d.AddQueue(0, 8)
		q.Add(d.In(16))
		d.SetStatus(d.Status() | virtio.StatusDriverOK)
		if _, n := q.Wait(); n != 16 {
			t.Fatalf("%d bytes", n)
		}
		q.Add(d.In(16))
		q.Kick() // and reset at once
	}
}

func BenchmarkFill(b *testing.B) {
	d := virtiotest.New(b, rng.New(), virtiotest.MMIO)
	d.Start(virtio.FeatureVersion1 | virtio.FeatureEventIdx)
	q, in := d.Queue(0), d.In(4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		q.Do(in)
	}
}
