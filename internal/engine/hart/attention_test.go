package hart

// The protocol of attention.go, under the race detector: harts that fence each other while they run, sleep, stop and close.

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
	"github.com/vmproject/vm/internal/timebase"
)

func newHarts(t *testing.T, n int) []*Hart {
	t.Helper()
	ram := newRAM(t)
	clock := timebase.New()
	harts := make([]*Hart, n)
	for i := range harts {
		h, err := New(Config{ID: uint64(i), RAM: ram, Bus: &device.Bus{}, Clock: clock, PMP: MaxPMP})
		if err != nil {
			t.Fatal(err)
		}
		h.OpenPMP()
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		harts[i] = h
	}
	return harts
}

// stale puts an entry into the TLB that only a fence takes away. The caller owns the hart.
func stale(h *Hart) *mmu.Bank {
	h.TLB.SwitchSatp(mmu.ModeSv39<<60 | 1)
	b := &h.TLB.Banks[h.TLB.Select(mmu.ModeSv39<<60|1, mmu.ViewU, h.Bank)]
	b.FillLoad(0x1000, 1)
	return b
}

var fenceAll = FenceRequest{Flush: mmu.Flush{}}

func TestPollIsNeededBeforeTheFirstInstruction(t *testing.T) {
	for name, quit := range map[string]func(h *Hart){
		"new":   func(*Hart) {},
		"leave": func(h *Hart) { h.Poll(); h.Leave() },
		"reset": func(h *Hart) { h.Poll(); h.Reset(0) },
		"stop":  func(h *Hart) { h.Poll(); h.RequestStop(); h.Poll() },
		"park":  func(h *Hart) { h.Poll(); h.RequestStop(); h.Park(); h.Poll() },
	} {
		h := newHarts(t, 1)[0]
		quit(h)
		if atomic.LoadUint32(&h.Attention) == 0 {
			t.Errorf("%s: an engine would run without a poll", name)
		}
		if h.Poll() != PollContinue || atomic.LoadUint32(&h.Attention) != 0 {
			t.Errorf("%s: attention %#x after the poll", name, h.Attention)
		}
	}
}

// Fences on a hart that does not run are done at once, by the hart that asks.
func TestFenceOnAHartThatDoesNotRun(t *testing.T) {
	for name, quit := range map[string]func(h *Hart){
		"never started": func(*Hart) {},
		"left":          func(h *Hart) { h.Poll(); h.Leave() },
		"stopped":       func(h *Hart) { h.RequestStop(); h.Poll() },
	} {
		t.Run(name, func(t *testing.T) {
			harts := newHarts(t, 2)
			from, to := harts[0], harts[1]
			from.Poll()
			bank := stale(to)
			quit(to)
			gen := to.FenceIGen
			RemoteFence(from, harts, fenceAll)
			if bank.Filled != 0 {
				t.Error("the translation is still there")
			}
			RemoteFence(nil, harts[1:], FenceRequest{Instruction: true})
			if to.FenceIGen != gen+1 {
				t.Error("FENCE.I did not reach it")
			}
		})
	}
	t.Run("closed", func(t *testing.T) {
		harts := newHarts(t, 2)
		if err := harts[1].Close(); err != nil {
			t.Fatal(err)
		}
		RemoteFence(harts[0], harts, fenceAll)
		harts[1].SetPending(riscv.IntMSoftware, true)
		harts[1].RequestStop()
	})
}

func TestFenceOnOneself(t *testing.T) {
	h := newHarts(t, 1)[0]
	h.Poll()
	bank := stale(h)
	RemoteFence(h, []*Hart{h}, fenceAll)
	if bank.Filled != 0 {
		t.Error("the translation is still there")
	}
}

func TestFenceWaitsForARunningHart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		harts := newHarts(t, 2)
		from, to := harts[0], harts[1]
		from.Poll()
		to.Poll()
		bank := stale(to)
		var returned atomic.Bool
		go func() {
			RemoteFence(from, harts, fenceAll)
			returned.Store(true)
		}()
		synctest.Wait()
		if returned.Load() || bank.Filled == 0 {
			t.Fatal("did not wait for the hart")
		}
		if atomic.LoadUint32(&to.Attention)&attnFence == 0 {
			t.Fatal("the hart is not told")
		}
		to.Poll()
		synctest.Wait()
		if !returned.Load() || bank.Filled != 0 {
			t.Fatal("not done after the poll")
		}
	})
}

func TestFenceOnAParkedHart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		harts := newHarts(t, 2)
		from, to := harts[0], harts[1]
		from.Poll()
		to.Poll()
		bank := stale(to)
		done := make(chan struct{})
		go func() {
			to.Park()
			close(done)
		}()
		synctest.Wait()
		RemoteFence(from, harts, fenceAll)
		if bank.Filled != 0 {
			t.Error("the translation is still there")
		}
		select {
		case <-done:
			t.Error("a fence woke the hart")
		default:
		}
		to.RequestStop()
		<-done
	})
}

// A hart that goes to sleep, leaves or stops first serves whoever waits for it.
func TestLeavingServesTheQueue(t *testing.T) {
	for name, quit := range map[string]func(h *Hart){
		"leave": (*Hart).Leave,
		"stop":  func(h *Hart) { h.RequestStop(); h.Poll() },
		"park":  func(h *Hart) { h.RequestStop(); h.Park() },
		"reset": func(h *Hart) { h.Reset(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				harts := newHarts(t, 2)
				harts[0].Poll()
				harts[1].Poll()
				done := make(chan struct{})
				go func() {
					RemoteFence(harts[0], harts, fenceAll)
					close(done)
				}()
				synctest.Wait()
				quit(harts[1])
				<-done
			})
		})
	}
}

// Two harts that fence each other, each waiting for the other, both get through.
func TestHartsFenceEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		harts := newHarts(t, 3)
		for _, h := range harts {
			h.Poll()
		}
		var wg sync.WaitGroup
		for _, h := range harts {
			wg.Go(func() {
				for range 50 {
					RemoteFence(h, harts, fenceAll)
				}
				h.Leave()
			})
		}
		wg.Wait()
	})
}

// Everything at once: harts that run, sleep and fence, interrupts from outside, and an end.
func TestProtocolUnderLoad(t *testing.T) {
	const rounds = 300
	harts := newHarts(t, 4)
	var running, finished sync.WaitGroup
	for _, h := range harts {
		h.Mie = mipMSIP
		h.Mtvec = memory.PageSize // an interrupt is taken, and changes nothing that matters here
		running.Add(1)
		finished.Go(func() {
			fences, stopped := 0, false
			for !stopped {
				switch h.Poll() {
				case PollStop:
					stopped = true
					continue
				case PollFirmware:
					t.Error("no firmware here")
				}
				bank := stale(h)
				if fences < rounds {
					fences++
					RemoteFence(h, harts, fenceAll)
					if bank.Filled != 0 {
						t.Error("a fence on oneself left the translation")
					}
					if fences == rounds {
						running.Done()
					}
				}
				if fences%3 == 0 {
					h.Park()
					h.SetPriv(privS) // what firmware does before the hart runs again
					h.WriteCSR(riscv.CSRSatp, mmu.ModeSv39<<60|uint64(fences))
					h.OpenPMP()
					h.SetPriv(privM)
				}
				h.SetPending(riscv.IntMSoftware, false)
				runtime.Gosched()
			}
		})
	}
	quit := make(chan struct{})
	var outside sync.WaitGroup
	outside.Go(func() {
		for {
			for _, h := range harts {
				h.SetPending(riscv.IntMSoftware, true)
			}
			RemoteFence(nil, harts[:2], FenceRequest{Instruction: true})
			select {
			case <-quit:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	running.Wait()
	for _, h := range harts {
		h.RequestStop()
	}
	finished.Wait()
	close(quit)
	outside.Wait()
}

// A stop reaches harts that wait for each other's fences, and nobody is left waiting for one that has stopped.
func TestStopDuringFences(t *testing.T) {
	for range 50 {
		harts := newHarts(t, 3)
		var wg sync.WaitGroup
		for _, h := range harts {
			wg.Go(func() {
				for h.Poll() != PollStop {
					RemoteFence(h, harts, fenceAll)
				}
			})
		}
		for _, h := range harts {
			h.RequestStop()
		}
		wg.Wait()
	}
}

func TestRequestStopIsKeptUntilItIsSeen(t *testing.T) {
	h := newHarts(t, 1)[0]
	h.RequestStop()
	h.Park()
	if h.Poll() != PollStop {
		t.Fatal("not stopped")
	}
	if h.Poll() != PollContinue {
		t.Fatal("stopped twice")
	}
}

// The firmware is called before the hart stops: the instruction has not completed.
func TestFirmwareComesBeforeStop(t *testing.T) {
	h := newHarts(t, 1)[0]
	h.Firmware = true
	h.SetPriv(privS)
	h.Poll()
	h.Ecall()
	h.RequestStop()
	if h.Poll() != PollFirmware {
		t.Fatal("no firmware")
	}
	if h.Poll() != PollStop {
		t.Fatal("no stop")
	}
}
