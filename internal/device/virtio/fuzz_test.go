package virtio_test

import (
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

// FuzzQueue lets the fuzzer write the rings and the tables they lead to: the first bytes pick the format, the rest is laid over guest
// memory from the descriptor area on. Whatever it holds, the device takes a bounded number of chains, each inside RAM and readable
// before writable, and never panics.
func FuzzQueue(f *testing.F) {
	f.Add(uint8(0), uint16(1), []byte{0, 0, 0, 0x80, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint8(1), uint16(3), []byte{0, 0, 0, 0x80, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0x82, 0})
	f.Add(uint8(3), uint16(9), []byte{64, 0, 0, 0x80, 0, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0})
	f.Add(uint8(7), uint16(9), []byte{64, 0, 0, 0x80, 0, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0x84, 0})
	f.Fuzz(func(t *testing.T, mode uint8, idx uint16, data []byte) {
		features := virtio.FeatureVersion1
		if mode&1 != 0 {
			features |= virtio.FeatureRingPacked
		}
		if mode&2 != 0 {
			features |= virtio.FeatureIndirectDesc
		}
		if mode&4 != 0 {
			features |= virtio.FeatureEventIdx
		}
		dev := &echo{sizes: []uint16{ringSize}, hold: true}
		d := virtiotest.New(t, dev, virtiotest.MMIO)
		d.Start(features)
		q := d.Queue(0)
		for range 4 {
			// The driver's writes, as RAM is: overlapping descriptor area, rings and tables alike.
			if len(data) > 4096 {
				data = data[:4096]
			}
			must(t, d.RAM.Write(q.Desc, data))
			if mode&1 == 0 {
				must(t, d.RAM.Store16(q.Driver+2, idx))
			}
			d.Notify(0)
			if len(dev.held) > ringSize {
				t.Fatalf("%d chains in flight on a ring of %d", len(dev.held), ringSize)
			}
			for _, c := range dev.held {
				checkChain(t, c)
				dev.queues[0].Done(c, copyChain(c))
			}
			dev.held = dev.held[:0]
			idx += idx
		}
	})
}

func checkChain(t *testing.T, c *virtio.Chain) {
	t.Helper()
	if len(c.Readable)+len(c.Writable) == 0 {
		t.Fatal("an empty chain")
	}
	var total uint64
	for _, bufs := range [][][]byte{c.Readable, c.Writable} {
		for _, b := range bufs {
			if len(b) == 0 {
				t.Fatal("an empty buffer")
			}
			total += uint64(len(b))
		}
	}
	if total > 1<<32 {
		t.Fatalf("a chain of %d bytes", total)
	}
}
