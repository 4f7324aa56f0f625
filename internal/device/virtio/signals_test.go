package virtio

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmproject/vm/internal/device"
)

// Whoever raises and acknowledges interrupts at once, the wire is what the interrupt status says when they are done.
func TestWireFollowsInterruptStatus(t *testing.T) {
	for round := range uint64(500) {
		var wire atomic.Bool
		s := newSignals(device.LineFunc(wire.Store), nil)
		var all sync.WaitGroup
		for i := range uint64(4) {
			all.Go(func() {
				r := rand.New(rand.NewPCG(round, i))
				for range 200 {
					switch r.IntN(4) {
					case 0:
						s.raise(isrConfig)
					case 1:
						s.queueInterrupt(0)
					case 2:
						s.acknowledge(isrQueue)
					default:
						s.acknowledge(0xff)
					}
				}
			})
		}
		all.Wait()
		if high := s.pending() != 0; wire.Load() != high {
			t.Fatalf("round %d: the interrupt status is %#x and the wire %v", round, s.pending(), wire.Load())
		}
	}
}
