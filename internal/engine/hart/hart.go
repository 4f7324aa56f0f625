// Package hart is one RISC-V hart without its loop: the architectural state, the CSRs, traps, privilege, the slow paths of
// memory accesses, and how other goroutines reach a hart that is running. An engine (package interp, later the translator)
// supplies the loop.
//
// # Conventions between a hart and its engine
//
//   - State.PC is the address of the instruction being executed, and State.Instret the number of instructions retired before
//     it, whenever a method is called.
//   - A method that returns ok=false has already taken the trap: the CSRs are set and PC is the handler's address. The engine
//     does not retire the instruction and goes back to its dispatch. A method that returns ok=true leaves PC to the engine,
//     which retires the instruction, except for [Hart.MRET] and [Hart.SRET], which set it.
//   - State.Attention has to be looked at before the first instruction of a run, after every method that returned false,
//     after every CSR access that writes, after MRET and SRET, and otherwise in bounded time (taken branches do).
//     When it is not zero, the engine calls [Hart.Poll] with PC at the next instruction, and does what that says.
//   - State.Bank, DataBank and the modes may have changed after a trap, CSR write, MRET, SRET or Poll.
//
// # Firmware
//
// With [Hart.Firmware] set the host is the firmware: the hart never enters M-mode. A trap that M-mode would have to take is
// not delivered; it is left in [Hart.FirmwareTrap] with PC at the instruction, and Poll answers [PollFirmware]. The firmware
// reads and writes State on the hart's goroutine, changes modes and CSRs through [Hart.WriteCSR] and [Hart.SetPriv], and moves PC itself.
package hart

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// MaxPMP is the largest number of PMP entries a hart can have.
const MaxPMP = 16

// Config says what a hart is connected to.
type Config struct {
	ID    uint64
	RAM   *memory.RAM
	Bus   *device.Bus
	Clock *timebase.Clock
	PMP   int // PMP entries, 0 to MaxPMP; a multiple of 8
}

// Trap is one exception or interrupt: what mcause and mtval would hold.
type Trap struct {
	Cause uint64 // with bit 63 set for an interrupt
	Tval  uint64
}

// Hart is one hart, made by [New]. Its methods belong to the goroutine that runs the hart, except where they say otherwise.
type Hart struct {
	*State
	ID    uint64
	RAM   *memory.RAM
	Bus   *device.Bus
	Clock *timebase.Clock

	// Firmware makes the host the firmware; see the package comment. Set before the hart runs.
	Firmware bool
	// FirmwareTrap is the trap of the last PollFirmware.
	FirmwareTrap Trap

	// Stats counts since New.
	Stats Stats

	mapping mapping        // what State lives in; see window.go
	host    unsafe.Pointer // host address of the first byte of RAM

	csr   registers
	pmp   pmp
	ticks timerCompare
	wires atomic.Uint64 // bits of mip; see interrupt.go
	stuck atomic.Bool

	fence fenceRequest  // this hart's own request of others
	park  chan struct{} // wake-up token, capacity 1

	mu     sync.Mutex // a leaf: nothing else is locked or waited for under it
	remote mailbox    // guarded by mu, which also guards Attention against Close; see attention.go
}

// Stats counts what happened to a hart.
type Stats struct {
	Exceptions [32]uint64 // by cause
	Interrupts [16]uint64 // by cause
	Walks      uint64     // page-table walks
	Fills      uint64     // TLB entries made
	Fences     uint64     // remote fences served
}

// New makes a hart in its reset state, with PC 0.
func New(c Config) (*Hart, error) {
	if c.RAM == nil || c.Bus == nil || c.Clock == nil {
		return nil, errors.New("a hart needs RAM, a bus and a clock")
	}
	if c.PMP < 0 || c.PMP > MaxPMP || c.PMP%8 != 0 {
		return nil, fmt.Errorf("a hart has 0, 8 or %d PMP entries, not %d", MaxPMP, c.PMP)
	}
	ram, err := c.RAM.Slice(c.RAM.Base(), c.RAM.Size())
	if err != nil {
		return nil, err
	}
	st, mapping, err := newState()
	if err != nil {
		return nil, err
	}
	h := &Hart{
		State: st, ID: c.ID, RAM: c.RAM, Bus: c.Bus, Clock: c.Clock,
		mapping: mapping, host: unsafe.Pointer(unsafe.SliceData(ram)),
		park: make(chan struct{}, 1),
	}
	h.RAMBase, h.RAMSize, h.RAMHost = uint64(c.RAM.Base()), c.RAM.Size(), uint64(c.RAM.HostBase())
	h.CodeMap = uint64(c.RAM.Code().Base())
	h.fence.done = make(chan struct{}, 1)
	h.pmp.count = c.PMP
	h.ticks.alarm = c.Clock.NewAlarm(func() { h.raise(attnInterrupt) })
	h.Reset(0)
	return h, nil
}

// Close releases the state. No goroutine may run the hart any more; SetPending, RequestStop and RemoteFence of others may
// still come and do nothing.
func (h *Hart) Close() error {
	h.ticks.alarm.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.remote.closed {
		return nil
	}
	h.settle()
	h.remote.closed = true
	m := h.mapping
	h.State, h.mapping = nil, mapping{failed: true}
	return m.close()
}

// Reset puts the hart into M-mode at pc with every register, CSR, TLB entry and software-writable interrupt bit as after
// power-on (Privileged 1.13 §3.4); wires keep their level. A request to stop is kept. No goroutine may run the hart meanwhile.
func (h *Hart) Reset(pc uint64) {
	h.ticks.alarm.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.settle()
	stop := atomic.LoadUint32(&h.Attention) & attnStop
	gen := h.FenceIGen
	h.X, h.F = [NumX]uint64{}, [32]uint64{}
	h.PC = pc
	h.Priv = riscv.PrivM
	h.Fflags, h.Frm = 0, 0
	h.Instret, h.FenceIGen = 0, gen+1
	h.ResValid, h.ResAddr, h.ResValue, h.ResSize = 0, 0, 0, 0
	h.Mstatus, h.Mepc, h.Mcause, h.Mtval, h.Mtvec, h.Mscratch = mstatusFixed, 0, 0, 0, 0, 0
	h.Sepc, h.Scause, h.Stval, h.Stvec, h.Sscratch, h.Satp = 0, 0, 0, 0, 0, 0
	h.Medeleg, h.Mideleg, h.Mie = 0, 0, 0
	h.csr = registers{}
	h.ticks.reset()
	h.pmp.reset()
	h.updatePMPOpen()
	h.updateWalkFlags()
	h.InterruptWaiting = 0 // mie is
	h.wires.And(^uint64(softwarePending))
	h.FirmwareTrap = Trap{}
	h.stuck.Store(false)
	h.TLB.Init()
	h.updateBanks()
	atomic.StoreUint32(&h.Attention, attnResume|attnInterrupt|stop)
}

// Stuck says that the hart can never get out of the trap handler it is in, because fetching the handler's first instruction
// traps to that same instruction again: a guest that jumped into the void. The hart has then requested its own stop.
// Safe for concurrent use.
func (h *Hart) Stuck() bool { return h.stuck.Load() }

// FPEnabled says whether floating-point instructions and CSRs are legal: mstatus.FS is not Off.
func (h *Hart) FPEnabled() bool { return h.Mstatus&MstatusFS != 0 }

// DirtyFP notes that floating-point state was written: mstatus.FS becomes Dirty.
func (h *Hart) DirtyFP() { h.Mstatus |= MstatusFS }
