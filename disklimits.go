package vm

// Limits of disks: what they may move, and how often.

import (
	"fmt"

	"github.com/vmproject/vm/internal/device/virtio/blk"
)

// Rate is a limit with a burst: a token bucket.
type Rate struct {
	PerSecond int64 // 0: no limit
	Burst     int64 // how much passes at once after a quiet time; 0: what a tenth of a second allows
}

// DiskLimit limits one direction. A request larger than the burst passes when the whole burst is there, and is paid for afterwards.
type DiskLimit struct {
	Bytes, Requests Rate
}

// DiskLimits are what a disk may do: reads; writes, discards and write-zeroes, of which the last two move no bytes; and all of them together. Flushes are free.
// Requests that a limit holds back delay nothing else: neither the guest's other work nor the machine's end.
type DiskLimits struct {
	Read, Write, Total DiskLimit
}

func (l *DiskLimits) device() blk.Limits {
	rate := func(r Rate) blk.Rate { return blk.Rate(r) }
	limit := func(d DiskLimit) blk.Limit { return blk.Limit{Bytes: rate(d.Bytes), Requests: rate(d.Requests)} }
	return blk.Limits{Read: limit(l.Read), Write: limit(l.Write), Total: limit(l.Total)}
}

// SetDiskLimits replaces the limits of a disk, by its place in Config.Disks from 0, also of requests that wait already. It may be called from any
// goroutine, before and while the machine runs.
func (m *Machine) SetDiskLimits(disk int, l DiskLimits) error {
	if disk < 0 || disk >= len(m.blocks) {
		return fmt.Errorf("there is no disk %d: the machine has %d, counted from 0", disk, len(m.blocks))
	}
	return m.blocks[disk].SetLimits(l.device())
}
