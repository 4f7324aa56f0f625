package virtio_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

func TestRoundTripsWrapTheRing(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		d := virtiotest.New(t, &echo{}, kind)
		d.Start(ring)
		q := d.Queue(0)
		for i := range 5 * int(q.Size) {
			msg := fmt.Appendf(nil, "request %d, in two parts", i)
			a, b := d.In(7), d.In(len(msg))
			n := q.Do(d.Out(msg[:5]), d.Out(msg[5:]), a, b)
			if got := append(d.Bytes(a), d.Bytes(b)...)[:n]; !bytes.Equal(got, msg) {
				t.Fatalf("request %d: %q came back as %q", i, msg, got)
			}
		}
	})
}

func TestChainsCompleteInAnyOrder(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		dev := &echo{hold: true}
		d := virtiotest.New(t, dev, kind)
		d.Start(ring)
		q := d.Queue(0)
		for round := range 40 {
			answers := map[uint16]virtiotest.Buf{}
			want := map[uint16]string{}
			for i := range 5 {
				msg := fmt.Sprintf("round %d chain %d", round, i)
				in := d.In(len(msg))
				id := q.Add(d.Out([]byte(msg)), in)
				answers[id], want[id] = in, msg
			}
			q.Kick()
			for _, i := range []int{3, 0, 4, 1, 2} {
				c := dev.held[i]
				dev.queues[0].Done(c, copyChain(c))
			}
			dev.held = dev.held[:0]
			for range 5 {
				id, _ := q.Wait()
				if got := string(d.Bytes(answers[id])); got != want[id] {
					t.Fatalf("chain %d: %q, want %q", id, got, want[id])
				}
				delete(answers, id)
			}
			if len(answers) != 0 {
				t.Fatalf("%d chains did not come back", len(answers))
			}
		}
	})
}

func TestFullRing(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		dev := &echo{hold: true}
		d := virtiotest.New(t, dev, kind)
		d.Start(ring)
		q := d.Queue(0)
		for range 3 {
			for range q.Size {
				q.Add(d.In(8))
			}
			q.Kick()
			if len(dev.held) != int(q.Size) {
				t.Fatalf("the device took %d chains of %d", len(dev.held), q.Size)
			}
			if c, ok := dev.queues[0].Next(); ok || c != nil {
				t.Fatal("a chain from a ring that is in flight whole")
			}
			for _, c := range dev.held {
				dev.queues[0].Done(c, 1)
			}
			dev.held = dev.held[:0]
			for range q.Size {
				q.Wait()
			}
		}
		if s := d.Status(); s&virtio.StatusNeedsReset != 0 {
			t.Errorf("status %#x", s)
		}
	})
}

// With the event index, a driver that adds buffers while the device works does not notify, and one that does not listen is not
// interrupted.
func TestEventIndexSuppresses(t *testing.T) {
	for _, ring := range []uint64{0, virtio.FeatureRingPacked} {
		t.Run(fmt.Sprintf("%#x", ring), func(t *testing.T) {
			dev := &echo{hold: true}
			d := virtiotest.New(t, dev, virtiotest.MMIO)
			d.Start(virtio.FeatureVersion1 | virtio.FeatureEventIdx | ring)
			q := d.Queue(0)
			q.Listen()
			q.Add(d.In(8))
			if !q.Kick() {
				t.Fatal("no notification for the first buffer")
			}
			// The device has seen the ring empty once, at event 1, and asks about the second buffer; not about the third.
			q.Add(d.In(8))
			if !q.Kick() {
				t.Fatal("no notification after the device found the ring empty")
			}
			dev.hold = false
			live := dev.queues[0]
			c := dev.held[0]
			live.Done(c, 8)
			if !d.Line.Level() {
				t.Fatal("no interrupt for the first used buffer")
			}
			d.Interrupts()
			live.Done(dev.held[1], 8)
			if d.Line.Level() {
				t.Fatal("an interrupt the driver did not ask for")
			}
			dev.held = nil
			q.Wait()
			q.Wait()
			q.Add(d.In(8))
			q.Kick()
			q.Wait() // listens
		})
	}
}

// A flag in place of an index turns interrupts off without the event index.
func TestInterruptsOff(t *testing.T) {
	t.Run("split", func(t *testing.T) {
		d := virtiotest.New(t, &echo{}, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1)
		q := d.Queue(0)
		must(t, d.RAM.Store16(q.Driver, 1)) // VIRTQ_AVAIL_F_NO_INTERRUPT
		q.Add(d.In(8))
		q.Kick()
		if _, _, ok := q.Used(); !ok || d.Line.Level() {
			t.Error("not done, or an interrupt")
		}
	})
	t.Run("packed", func(t *testing.T) {
		d := virtiotest.New(t, &echo{}, virtiotest.MMIO)
		d.Start(virtio.FeatureVersion1 | virtio.FeatureRingPacked)
		q := d.Queue(0)
		must(t, d.RAM.Store16(q.Driver+2, 1)) // RING_EVENT_FLAGS_DISABLE
		q.Add(d.In(8))
		q.Kick()
		if _, _, ok := q.Used(); !ok || d.Line.Level() {
			t.Error("not done, or an interrupt")
		}
	})
}

// Driver and device each on a goroutine of its own, completing from yet others: for the race detector, and for lost wake-ups,
// which would hang.
func TestConcurrentCompletion(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		dev := &pool{work: make(chan *virtio.Chain)}
		d := virtiotest.New(t, dev, kind)
		d.Start(ring)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for c := range dev.work {
					dev.q.Done(c, copyChain(c))
				}
			})
		}
		q := d.Queue(0)
		out, in := d.Out(make([]byte, 64)), d.In(64)
		inFlight := 0
		for range 2000 {
			if inFlight == 16 {
				q.Wait()
				inFlight--
			}
			q.Add(out, in)
			inFlight++
			q.Kick()
		}
		for range inFlight {
			q.Wait()
		}
		d.SetStatus(0)
		close(dev.work)
		wg.Wait()
	})
}

// pool hands chains to workers.
type pool struct {
	echo
	q    *virtio.Queue
	work chan *virtio.Chain
	wake chan struct{}
	done chan struct{}
}

func (p *pool) Activate(_ uint64, queues []*virtio.Queue, _ virtio.Transport) {
	p.q = queues[0]
	p.wake, p.done = make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(p.done)
		for range p.wake {
			for c, ok := p.q.Next(); ok; c, ok = p.q.Next() {
				p.work <- c
			}
		}
	}()
}

func (p *pool) Notify(int) {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pool) Reset() {
	if p.wake != nil {
		close(p.wake)
		<-p.done
		p.wake = nil
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
