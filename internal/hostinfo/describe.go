package hostinfo

// What measurements have to say of the host that they were taken on.

import "time"

// Description is a host in a few words. What cannot be found out is empty.
type Description struct {
	CPU      string
	Kernel   string
	Memory   uint64   // bytes
	Governor string   // of processor frequencies
	Virtual  string   // the hypervisor, as far as it shows
	Features []string // of the processor, that a translator uses
}

// CPUTimes is what all processors together have done since the host began, in ticks.
type CPUTimes struct{ Total, Idle, Stolen uint64 }

// tick is the length of a tick: the USER_HZ of every Linux that Go runs on.
const tick = time.Second / 100

// Steal is the share of the time since then that a hypervisor gave to others, from 0 to 1.
func (t CPUTimes) Steal(since CPUTimes) float64 {
	if t.Total <= since.Total {
		return 0
	}
	return float64(t.Stolen-since.Stolen) / float64(t.Total-since.Total)
}

// Busy is how long processors have been busy since then, all together. ok is false where that is not known.
func (t CPUTimes) Busy(since CPUTimes) (d time.Duration, ok bool) {
	return time.Duration((t.Total-t.Idle-t.Stolen)-(since.Total-since.Idle-since.Stolen)) * tick, t.Total > since.Total
}
