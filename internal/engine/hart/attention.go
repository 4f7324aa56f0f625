package hart

// How other goroutines reach a hart: interrupts, fences from other harts, requests to stop; and how the hart sleeps.
//
// # The protocol
//
// A hart belongs to one goroutine. Another one that wants something leaves a record of it (a bit of wires, a request in the
// mailbox), then sets a bit of State.Attention, then puts a token into park. The owner sees Attention at the
// next opportunity and calls Poll, which clears a bit before it looks at the record the bit stands for: what is recorded
// later sets the bit again, so nothing is lost. Tokens mean "look again", never more: whoever waits checks the records before
// and after waiting, so one left over or one taken by the wrong wait does no harm.
//
// A hart is running or not. It starts to run in Poll, when attnResume is set, and ceases to in Leave, Park, Reset and
// when Poll answers PollStop, all of which set attnResume again: an engine therefore passes through Poll before the first
// instruction of a run. While a hart does not run, its TLB and FenceIGen belong to whoever holds mu; its owner, too, changes them
// only so, and only through WriteCSR, SetPriv and OpenPMP, with which firmware prepares a hart. That is what lets fences on
// a sleeping, stopped or never started hart be done at once, by the hart that asks for them.
//
// A fence on a running hart is queued and waited for. The hart that waits serves the fences others ask of it meanwhile,
// so two harts may fence each other; and a hart that ceases to run first serves its queue, so that nobody waits for it. Hence
// the one rule for a hart's owner: in bounded time, poll or leave. Whoever stops calling an engine's Run for good
// or for long, for whatever reason but PollStop, calls Leave.
//
// Locks: mu is a leaf. No two harts' mu are ever held together, and nothing is waited for with one held.

import (
	"sync/atomic"

	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// The bits of State.Attention.
const (
	attnResume    uint32 = 1 << iota // the hart does not count as running yet
	attnFence                        // the mailbox holds requests
	attnStop                         // somebody wants the hart to stop
	attnInterrupt                    // an interrupt may have become deliverable
	attnFirmware                     // a trap waits for the firmware, in FirmwareTrap
)

// PollResult is what an engine does after Poll.
type PollResult uint8

const (
	// PollContinue: go on at PC, which may be that of a trap handler now.
	PollContinue PollResult = iota
	// PollStop: leave Run. The hart does not count as running any more.
	PollStop
	// PollFirmware: leave Run; FirmwareTrap says why. The hart still counts as running: come back soon, or call Leave.
	PollFirmware
)

// FenceRequest is what one hart asks of another: whatever of FENCE.I (Instruction), HasUnstore, UnstoreAll and Forget is set, and if
// none of them is, SFENCE.VMA of Flush.
type FenceRequest struct {
	Instruction bool
	Flush       mmu.Flush

	// HasUnstore: every store to the page of RAM at the guest physical address Unstore shall come by locate once more.
	HasUnstore bool
	Unstore    memory.GPA
	// UnstoreAll: so shall every store to any page.
	UnstoreAll bool
	// Forget: the translator shall drop every jump target it remembers.
	Forget bool
}

// fenceRequest is a FenceRequest under way. It is in the mailboxes of its targets until they have acknowledged it.
type fenceRequest struct {
	FenceRequest
	remaining atomic.Int32  // targets that have not acknowledged
	done      chan struct{} // gets one token when remaining becomes 0; capacity 1
}

// ack is called once for each target, when it can no longer act on what the fence drops.
func (r *fenceRequest) ack() {
	if r.remaining.Add(-1) == 0 {
		r.done <- struct{}{}
	}
}

// mailbox is guarded by Hart.mu.
type mailbox struct {
	running bool
	closed  bool            // State is gone
	queue   []*fenceRequest // only while running; at most one from each other hart
}

// wake lets whoever waits on behalf of the hart look again.
func (h *Hart) wake() {
	select {
	case h.park <- struct{}{}:
	default:
	}
}

// raise sets attention bits from any goroutine.
func (h *Hart) raise(bits uint32) {
	h.mu.Lock()
	if !h.remote.closed {
		atomic.OrUint32(&h.Attention, bits)
	}
	h.mu.Unlock()
	h.wake()
}

// attend sets attention bits from the goroutine of the hart.
func (h *Hart) attend(bits uint32) { atomic.OrUint32(&h.Attention, bits) }

// Poll does what Attention asks for: it serves remote fences, takes a pending interrupt, reports a firmware trap or a request
// to stop, in this order of urgency: firmware, stop, interrupt. PC is that of the next instruction.
func (h *Hart) Poll() PollResult {
	for {
		switch a := atomic.LoadUint32(&h.Attention); {
		case a == 0:
			return PollContinue
		case a&(attnResume|attnFence) != 0:
			h.mu.Lock()
			if !h.remote.running {
				h.updateWalkOpen()
			}
			h.remote.running = true
			h.serve()
			atomic.AndUint32(&h.Attention, ^(attnResume | attnFence))
			h.mu.Unlock()
		case a&attnFirmware != 0:
			atomic.AndUint32(&h.Attention, ^attnFirmware)
			return PollFirmware
		case a&attnStop != 0:
			atomic.AndUint32(&h.Attention, ^attnStop)
			h.Leave()
			return PollStop
		default:
			atomic.AndUint32(&h.Attention, ^attnInterrupt)
			h.Interrupt()
		}
	}
}

// Leave makes the hart count as not running until the next Poll. The caller is the hart's goroutine.
func (h *Hart) Leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.remote.closed {
		h.settle()
	}
}

// settle serves what is queued and marks the hart as not running. Precondition: mu is held, and the caller owns the hart.
func (h *Hart) settle() {
	h.serve()
	h.remote.running = false
	atomic.OrUint32(&h.Attention, attnResume)
}

// Park waits until an interrupt that mie enables is pending, whatever mstatus says (Privileged 1.13 §3.3.3), or until somebody
// requests a stop. It uses no CPU time, and the hart does not count as running. The caller is the hart's goroutine.
func (h *Hart) Park() {
	h.Leave()
	defer h.checkInterrupts() // the timer may be due before its alarm says so
	for {
		h.ticks.refresh(h.Clock, h.csr.menvcfg)
		if h.pending()&h.Mie != 0 || atomic.LoadUint32(&h.Attention)&attnStop != 0 {
			return
		}
		<-h.park
	}
}

// RequestStop makes the engine leave Run, and Park return, soon. The request stays until a Poll has answered PollStop. Safe
// for concurrent use.
func (h *Hart) RequestStop() { h.raise(attnStop) }

// prepare calls f, which changes the hart's TLB, on the goroutine of the hart, running or not.
func (h *Hart) prepare(f func()) {
	if !h.remote.running { // nobody but this goroutine changes it
		h.mu.Lock()
		defer h.mu.Unlock()
	}
	f()
}

// FenceI makes the hart fetch what has been stored so far (FENCE.I).
func (h *Hart) FenceI() { h.FenceIGen++ }

// RemoteFence makes every target, and from itself where it is one of them, act on a fence, and returns when they have: none
// of them uses a translation or an instruction from before the fence any more. from is the hart on whose goroutine it is
// called; nil when the caller is no hart.
func RemoteFence(from *Hart, targets []*Hart, f FenceRequest) {
	others := int32(0)
	for _, t := range targets {
		if t != from {
			others++
			continue
		}
		t.mu.Lock()
		t.apply(f)
		t.mu.Unlock()
	}
	if others == 0 {
		return
	}
	var req *fenceRequest
	var wake chan struct{}
	if from != nil {
		req, wake = &from.fence, from.park
	} else {
		req = &fenceRequest{done: make(chan struct{}, 1)}
	}
	req.FenceRequest = f
	req.remaining.Store(others)
	for _, t := range targets {
		if t != from {
			t.post(req)
		}
	}
	for {
		select {
		case <-req.done:
			return
		case <-wake: // never when from is nil
			from.mu.Lock()
			from.serve()
			from.mu.Unlock()
		}
	}
}

// post hands a request to the hart, or does it for the hart when that does not run.
func (h *Hart) post(req *fenceRequest) {
	h.mu.Lock()
	if h.remote.running {
		h.remote.queue = append(h.remote.queue, req)
		atomic.OrUint32(&h.Attention, attnFence)
		h.mu.Unlock()
		h.wake()
		return
	}
	if !h.remote.closed {
		h.apply(req.FenceRequest)
	}
	h.mu.Unlock()
	req.ack()
}

// serve acts on every queued request and acknowledges it. Precondition: mu is held, and the caller owns the hart.
func (h *Hart) serve() {
	for i, req := range h.remote.queue {
		h.apply(req.FenceRequest)
		req.ack()
		h.remote.queue[i] = nil
		h.Stats.Fences++
	}
	h.remote.queue = h.remote.queue[:0]
}

func (h *Hart) apply(f FenceRequest) {
	if f.Instruction {
		h.FenceIGen++
	}
	if f.HasUnstore {
		h.unstore(f.Unstore)
	}
	if f.UnstoreAll {
		h.TLB.DropAllStores()
	}
	if f.Forget {
		h.TLB.ForgetAll()
	}
	if !f.Instruction && !f.HasUnstore && !f.UnstoreAll && !f.Forget {
		h.TLB.Flush(f.Flush)
	}
}

// unstore drops the TLB entries for stores to a page of RAM, in every bank and under every address it has.
func (h *Hart) unstore(page memory.GPA) {
	if !h.RAM.Contains(page, 1) {
		return
	}
	h.TLB.DropStores(uint64(uintptr(h.hostOf(page &^ memory.PageMask))))
}
