package timebase

// A clock that follows the processor's time-stamp counter, so that generated code computes the time in line, with three instructions,
// and Go code computes the very same number.
//
// The counter's rate is measured once a process against the host's monotonic clock. After that the two are not brought together
// again: NTP may slew the host's clock by more than the error of the measurement, and a guest that cares has an NTP of its own.

import (
	"errors"
	"math/bits"
	"time"
)

// TSCParams turn a reading of the time-stamp counter into ticks: the product of the reading and Mul has 128 bits; it is shifted right by
// Shift, and Offset is added, modulo 2^64. They never change in a clock's life.
//
// RDTSC executes ahead of loads before it, so that a hart could see a time older than one that another hart read and told it
// of: an LFENCE goes before it, as in [Clock.Now].
type TSCParams struct {
	Mul    uint64
	Shift  uint // 64 as yet: the high half of the product
	Offset uint64
}

// at is the time of a reading of the counter.
func (p *TSCParams) at(tsc uint64) uint64 {
	hi, lo := bits.Mul64(tsc, p.Mul)
	if p.Shift < 64 {
		return (hi<<(64-p.Shift) | lo>>p.Shift) + p.Offset
	}
	return hi>>(p.Shift-64) + p.Offset
}

// NewTSC starts a clock at zero that follows the processor's time-stamp counter, or one as from [New] if this host has none that can
// be trusted. The first call in a process may wait for a few milliseconds when the process has only begun.
func NewTSC() *Clock {
	mul, err := tscMul()
	if err != nil {
		return New()
	}
	c := &Clock{tsc: TSCParams{Mul: mul, Shift: 64}}
	c.tsc.Offset = -c.tsc.at(rdtsc())
	return c
}

// TSC says how generated code computes what Now returns. ok is false when the clock does not follow the time-stamp counter.
func (c *Clock) TSC() (p TSCParams, ok bool) { return c.tsc, c.tsc.Mul != 0 }

// A reading is a simultaneous look at the counter and at the host's clock.
type reading struct {
	tsc  uint64
	host time.Duration
	// doubt is how far from simultaneous they may be, in counts.
	doubt uint64
}

const (
	// maxError of the measured rate. It is a bound; what comes out is mostly some ten times better.
	maxError = 25e-6
	// maxWait is how long a process waits for the bound. It is reached when a look at the host's clock takes more than a microsecond.
	maxWait = 50 * time.Millisecond
	// maxAge of the first reading: a host that has slept since has not counted alike on both.
	maxAge = time.Second
	// What a counter's frequency in Hz may be.
	minHz, maxHz = 100e6, 20e9
)

// calibrate finds the Mul of TSCParams for a Shift of 64, from a first reading and more of them.
func calibrate(first reading, look func() reading, wait func(time.Duration)) (uint64, error) {
	now := look()
	if now.host-first.host > maxAge {
		first, now = now, look()
	}
	for begin := now.host; ; now = look() {
		counts, host := now.tsc-first.tsc, now.host-first.host
		doubt := float64(first.doubt + now.doubt)
		if host > 0 && doubt <= maxError*float64(counts) {
			hz := float64(counts) / host.Seconds()
			if hz < minHz || hz > maxHz {
				return 0, errors.New("the time-stamp counter runs at an unlikely rate")
			}
			// A count is far less than a tick: the quotient, counts in ticks times 2^64, is below that.
			mul, _ := bits.Div64(uint64(host), 0, counts*uint64(tick))
			return mul, nil
		}
		if now.host-begin > maxWait {
			return 0, errors.New("the rate of the time-stamp counter cannot be measured in a short time")
		}
		wait(time.Millisecond)
	}
}
