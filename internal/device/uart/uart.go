// Package uart is the 16550A serial port (device tree: ns16550a, reg-shift 0, reg-io-width 1).
//
// The line is infinitely fast: a byte the guest sends is on the wire at once, a byte that arrives waits for no further one.
// The two ends of the wire that are slow are the host's. Output goes through [output], a bounded buffer with its own
// goroutine: while it is full the transmitter is not empty, and the guest waits as it would for a slow line. Input is taken
// only as fast as the guest empties the receive FIFO, so nothing is lost.
//
// After the 16550A as National Semiconductor and TI (TL16C550C) document it.
package uart

import (
	"context"
	"io"
	"sync"

	"github.com/vmproject/vm/internal/device"
)

// Size is the size in bytes of the register block.
const Size = 8

// Registers, by offset.
const (
	regData = 0 // RBR (read), THR (write); DLL with DLAB
	regIER  = 1 // DLM with DLAB
	regIIR  = 2 // FCR (write)
	regLCR  = 3
	regMCR  = 4
	regLSR  = 5
	regMSR  = 6
	regSCR  = 7
)

// Interrupt enable register.
const (
	ierReceived    = 1 << 0
	ierTransmitted = 1 << 1
	ierLineStatus  = 1 << 2
	ierModemStatus = 1 << 3
	ierMask        = 0x0f
)

// Interrupt identification register: causes, highest priority first.
const (
	iirLineStatus  = 0x06
	iirReceived    = 0x04
	iirTimeout     = 0x0c
	iirTransmitted = 0x02
	iirModemStatus = 0x00
	iirNone        = 0x01
	iirFIFO        = 0xc0
)

// FIFO control register.
const (
	fcrEnable  = 1 << 0
	fcrClearRX = 1 << 1
	fcrTrigger = 6 // shift of the 2-bit trigger level
)

const lcrDLAB = 1 << 7

// Modem control register.
const (
	mcrDTR  = 1 << 0
	mcrRTS  = 1 << 1
	mcrOut1 = 1 << 2
	mcrOut2 = 1 << 3
	mcrLoop = 1 << 4
	mcrMask = 0x1f
)

// Line status register.
const (
	lsrDataReady = 1 << 0
	lsrOverrun   = 1 << 1
	lsrTHREmpty  = 1 << 5
	lsrTEmpty    = 1 << 6
)

// Modem status register: levels in the high half, what changed since the last read in the low half.
const (
	msrTrailRI = 1 << 2
	msrCTS     = 1 << 4
	msrDSR     = 1 << 5
	msrRI      = 1 << 6
	msrDCD     = 1 << 7
)

const fifoDepth = 16

// triggers are the receive FIFO trigger levels by FCR bits 7:6.
var triggers = [4]int{1, 4, 8, 14}

// UART is one serial port. Its methods may be called from any goroutine.
type UART struct {
	irq device.Line
	out *output

	mu                 sync.Mutex // taken before the output's own and before the interrupt controller's
	ier, fcr, lcr, mcr uint8
	scr, dll, dlm      uint8
	msr                uint8
	overrun            bool // LSR bit 1
	sent               bool // a transmitter-empty interrupt is due
	full               bool // the output had no room when last asked: wake the guest when it has
	rx                 [fifoDepth]byte
	rxHead, rxLen      int

	space chan struct{} // capacity 1: there may be room for input again
}

// New makes a port that raises irq and sends to w, on a goroutine of its own that Close ends. A nil w discards.
func New(irq device.Line, w io.Writer) *UART {
	u := &UART{irq: irq, space: make(chan struct{}, 1)}
	u.powerOn()
	u.out = newOutput(w, u.room)
	return u
}

// Drain waits until what the guest has sent has been written, and returns the first error of the writer if there was one.
// It gives up when ctx ends: a writer that blocks must not keep the machine from stopping.
func (u *UART) Drain(ctx context.Context) error { return u.out.drain(ctx) }

// Print sends p behind what the guest has sent, for firmware that serves the console in the guest's stead. While the output's buffer is
// full it waits, until stop is closed; it returns how much of p was taken.
func (u *UART) Print(p []byte, stop <-chan struct{}) int { return u.out.print(p, stop) }

// Close ends the port's goroutine after its present write. It does not wait; call Drain before for the last bytes.
func (u *UART) Close() error {
	u.out.close()
	return nil
}

func (u *UART) powerOn() {
	u.ier, u.fcr, u.lcr, u.mcr, u.scr, u.dll, u.dlm = 0, 0, 0, 0, 0, 0, 0
	u.msr = msrCTS | msrDSR | msrDCD
	u.overrun, u.sent, u.full = false, false, false
	u.rxHead, u.rxLen = 0, 0
}

// Reset implements [device.Resetter]. Output already sent still reaches the writer.
func (u *UART) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.powerOn()
	u.wakeInput()
	u.irq.Set(false)
}

// Load implements [device.Device]. Registers are bytes; a wider access reads the one at its offset.
func (u *UART) Load(off uint64, _ int) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return uint64(u.load(off))
}

func (u *UART) load(off uint64) uint8 {
	switch off {
	case regData:
		if u.lcr&lcrDLAB != 0 {
			return u.dll
		}
		v := u.pop()
		u.interrupt()
		return v
	case regIER:
		if u.lcr&lcrDLAB != 0 {
			return u.dlm
		}
		return u.ier
	case regIIR:
		cause := u.cause()
		if cause == iirTransmitted {
			u.sent = false // reading it acknowledges it
			u.interrupt()
		}
		if u.fcr&fcrEnable != 0 {
			cause |= iirFIFO
		}
		return cause
	case regLCR:
		return u.lcr
	case regMCR:
		return u.mcr
	case regLSR:
		v := u.lineStatus()
		u.overrun = false
		u.interrupt()
		return v
	case regMSR:
		v := u.msr
		u.msr &= 0xf0
		u.interrupt()
		return v
	case regSCR:
		return u.scr
	}
	return 0
}

// Store implements [device.Device]. Registers are bytes; a wider access writes the one at its offset.
func (u *UART) Store(off uint64, _ int, v uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.store(off, uint8(v))
	u.interrupt()
}

func (u *UART) store(off uint64, v uint8) {
	switch off {
	case regData:
		if u.lcr&lcrDLAB != 0 {
			u.dll = v
			return
		}
		u.transmit(v)
	case regIER:
		if u.lcr&lcrDLAB != 0 {
			u.dlm = v
			return
		}
		if v&ierTransmitted != 0 && u.ier&ierTransmitted == 0 && u.lineStatus()&lsrTHREmpty != 0 {
			u.sent = true
		}
		u.ier = v & ierMask
	case regIIR:
		u.control(v)
	case regLCR:
		u.lcr = v
	case regMCR:
		u.mcr = v & mcrMask
		u.modem()
		u.wakeInput()
	case regSCR:
		u.scr = v
	}
}

// control writes the FIFO control register. The transmit FIFO is always empty: its bytes are on the wire.
func (u *UART) control(v uint8) {
	if (v^u.fcr)&fcrEnable != 0 || v&(fcrEnable|fcrClearRX) == fcrEnable|fcrClearRX {
		u.rxHead, u.rxLen = 0, 0
		u.wakeInput()
	}
	if v&fcrEnable == 0 {
		v = 0 // the other bits are only programmed with the FIFOs on
	}
	u.fcr = v & (3<<fcrTrigger | fcrEnable)
}

// modem follows the inputs of the modem: those of a connected terminal, or in loopback the port's own outputs.
func (u *UART) modem() {
	level := uint8(msrCTS | msrDSR | msrDCD)
	if u.mcr&mcrLoop != 0 {
		level = 0
		for _, p := range [...]struct{ out, in uint8 }{{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOut1, msrRI}, {mcrOut2, msrDCD}} {
			if u.mcr&p.out != 0 {
				level |= p.in
			}
		}
	}
	changed := (u.msr ^ level) >> 4
	if level&msrRI != 0 {
		changed &^= msrTrailRI // only its falling edge counts
	}
	u.msr = level | u.msr&0x0f | changed
}

// transmit sends one byte. Like the chip's FIFO, it loses what the guest sends against LSR.
func (u *UART) transmit(v uint8) {
	u.sent = false
	if u.mcr&mcrLoop != 0 {
		u.loopback(v)
	} else {
		u.out.put(v)
	}
	u.sent = u.lineStatus()&lsrTHREmpty != 0
}

func (u *UART) loopback(v uint8) {
	switch depth := u.depth(); {
	case u.rxLen < depth:
		u.push(v)
	case depth == 1: // without FIFOs a new byte replaces the unread one
		u.rx[u.rxHead] = v
		u.overrun = true
	default:
		u.overrun = true
	}
}

// room runs on the output's goroutine when it has taken bytes out of the buffer.
func (u *UART) room() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.full && u.lineStatus()&lsrTHREmpty != 0 {
		u.sent = true
		u.interrupt()
	}
}

func (u *UART) lineStatus() uint8 {
	v := uint8(0)
	if u.rxLen > 0 {
		v |= lsrDataReady
	}
	if u.overrun {
		v |= lsrOverrun
	}
	// A full FIFO's worth of room is promised before the guest is told that it may send.
	u.full = u.mcr&mcrLoop == 0 && !u.out.room(fifoDepth)
	if !u.full {
		v |= lsrTHREmpty | lsrTEmpty
	}
	return v
}

// cause is the pending interrupt with the highest priority, as the IIR names it.
func (u *UART) cause() uint8 {
	switch {
	case u.ier&ierLineStatus != 0 && u.overrun:
		return iirLineStatus
	case u.ier&ierReceived != 0 && u.rxLen >= u.trigger():
		return iirReceived
	case u.ier&ierReceived != 0 && u.rxLen > 0: // the wait for further bytes is over at once
		return iirTimeout
	case u.ier&ierTransmitted != 0 && u.sent:
		return iirTransmitted
	case u.ier&ierModemStatus != 0 && u.msr&0x0f != 0:
		return iirModemStatus
	}
	return iirNone
}

func (u *UART) interrupt() { u.irq.Set(u.cause() != iirNone) }

func (u *UART) trigger() int {
	if u.fcr&fcrEnable == 0 {
		return 1
	}
	return triggers[u.fcr>>fcrTrigger]
}
