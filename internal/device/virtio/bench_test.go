package virtio_test

import (
	"fmt"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
	"github.com/vmproject/vm/internal/memory/alloc"
)

// BenchmarkQueueRoundTrip is a request of a header, data and a status byte: offered by the driver model, notified, taken, completed
// and collected; batch of them at a time.
func BenchmarkQueueRoundTrip(b *testing.B) {
	for _, r := range []struct {
		name     string
		features uint64
	}{
		{"split", 0},
		{"packed", virtio.FeatureRingPacked},
	} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/batch=%d", r.name, batch), func(b *testing.B) {
				d := virtiotest.New(b, &sink{}, virtiotest.MMIO)
				d.Start(virtio.FeatureVersion1 | virtio.FeatureEventIdx | r.features)
				q := d.Queue(0)
				bufs := []virtiotest.Buf{d.Out(make([]byte, 16)), d.In(4096), d.In(1)}
				round := func() {
					for range batch {
						q.Add(bufs...)
					}
					q.Kick()
					for range batch {
						if _, _, ok := q.Used(); !ok {
							b.Fatal("not done")
						}
					}
				}
				for range 64 { // fill the pool
					round()
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					round()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/request")
			})
		}
	}
}

// sink completes every request at once.
type sink struct{ echo }

func (s *sink) Notify(n int) {
	for c, ok := s.queues[n].Next(); ok; c, ok = s.queues[n].Next() {
		s.queues[n].Done(c, 1)
	}
}

// The steady state of a queue does not allocate.
func TestQueueDoesNotAllocate(t *testing.T) {
	if alloc.Checked {
		t.Skip("chains are checked, which allocates")
	}
	for _, ring := range []uint64{0, virtio.FeatureRingPacked} {
		d := virtiotest.New(t, &sink{}, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | virtio.FeatureEventIdx | ring)
		q := d.Queue(0)
		bufs := []virtiotest.Buf{d.Out(make([]byte, 16)), d.In(4096), d.In(1)}
		if n := testing.AllocsPerRun(500, func() {
			q.Add(bufs...)
			q.Kick()
			q.Used()
		}); n != 0 {
			t.Errorf("features %#x: %v allocations a request", ring, n)
		}
	}
}
