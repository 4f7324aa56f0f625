// Package rtc is the goldfish real-time clock (device tree: google,goldfish-rtc): nanoseconds since 1970 with one alarm.
//
// The guest's clock is the host's wall clock plus what the guest has set it ahead or back. The alarm follows the wall clock
// too: when the host's is changed it may ring up to an hour late, the interval at which it looks again.
package rtc

import (
	"sync"
	"time"

	"github.com/vmproject/vm/internal/device"
)

// Size is the size in bytes of the register block.
const Size = 0x1000

// Registers, each 4 bytes (the goldfish virtual hardware documentation).
const (
	regTimeLow     = 0x00 // reading it latches the high half; writing it sets the low half of the time
	regTimeHigh    = 0x04
	regAlarmLow    = 0x08 // writing it arms the alarm
	regAlarmHigh   = 0x0c
	regIRQEnabled  = 0x10
	regClearAlarm  = 0x14
	regAlarmStatus = 0x18
	regClearIRQ    = 0x1c
)

// maxWait bounds one wait of the alarm: the wall clock may be changed meanwhile.
const maxWait = time.Hour

// RTC is one clock. Its methods may be called from any goroutine.
type RTC struct {
	irq device.Line

	mu       sync.Mutex // taken before the interrupt controller's
	ahead    int64      // nanoseconds the guest's clock is ahead of the host's
	timeHigh uint32     // latched by reading regTimeLow
	alarm    uint64     // nanoseconds since 1970
	armed    bool
	enabled  bool // the alarm may interrupt
	ringing  bool // the alarm has gone off and was not cleared
	timer    *time.Timer
}

// New makes a clock that raises irq when its alarm goes off.
func New(irq device.Line) *RTC { return &RTC{irq: irq} }

// now is the guest's time in nanoseconds.
func (r *RTC) now() uint64 { return uint64(time.Now().UnixNano() + r.ahead) }

// Load implements [device.Device].
func (r *RTC) Load(off uint64, size int) uint64 {
	if size != 4 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch off {
	case regTimeLow:
		now := r.now()
		r.timeHigh = uint32(now >> 32)
		return now & 0xffff_ffff
	case regTimeHigh:
		return uint64(r.timeHigh)
	case regAlarmLow:
		return r.alarm & 0xffff_ffff
	case regAlarmHigh:
		return r.alarm >> 32
	case regIRQEnabled:
		return bit(r.enabled)
	case regAlarmStatus:
		return bit(r.armed)
	}
	return 0
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Store implements [device.Device].
func (r *RTC) Store(off uint64, size int, v uint64) {
	if size != 4 {
		return
	}
	v &= 0xffff_ffff
	r.mu.Lock()
	defer r.mu.Unlock()
	switch off {
	case regTimeLow:
		r.set(r.now()&^0xffff_ffff | v)
	case regTimeHigh:
		r.set(r.now()&0xffff_ffff | v<<32)
	case regAlarmLow:
		r.alarm = r.alarm&^0xffff_ffff | v
		r.armed = true
		r.wait()
	case regAlarmHigh:
		r.alarm = r.alarm&0xffff_ffff | v<<32
	case regIRQEnabled:
		r.enabled = v&1 != 0
		r.interrupt()
	case regClearAlarm:
		r.disarm()
	case regClearIRQ:
		r.ringing = false
		r.interrupt()
	}
}

// Reset implements [device.Resetter]. The time the guest set stays, as it would behind a battery.
func (r *RTC) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disarm()
	r.alarm, r.timeHigh, r.enabled, r.ringing = 0, 0, false, false
	r.interrupt()
}

func (r *RTC) interrupt() { r.irq.Set(r.enabled && r.ringing) }

func (r *RTC) set(now uint64) {
	r.ahead = int64(now) - time.Now().UnixNano()
	if r.armed {
		r.wait()
	}
}

func (r *RTC) disarm() {
	r.armed = false
	if r.timer != nil {
		r.timer.Stop()
	}
}

// wait rings an armed alarm that is due, or sets the timer for it.
func (r *RTC) wait() {
	now := r.now()
	if r.alarm <= now {
		r.disarm()
		r.ringing = true
		r.interrupt()
		return
	}
	d := time.Duration(min(r.alarm-now, uint64(maxWait)))
	if r.timer == nil {
		r.timer = time.AfterFunc(d, r.fire)
	} else {
		r.timer.Reset(d)
	}
}

// fire runs on the timer's goroutine. The alarm may have been moved or disarmed since.
func (r *RTC) fire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.armed {
		r.wait()
	}
}
