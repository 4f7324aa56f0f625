package blk

// The check every request passes: one function, of values that were copied from the guest once.

import "math"

// rule is what holds for one type of request. A disk's size in bytes has 63 bits: so what is forbidden to the lengths and the position of one that is on sectors keeps the
// sum of position and length from overflowing, and the capacity less that sum has bit 63 where the sum is larger.
type rule struct {
	out, in    uint64 // the bits that a length may not have: of the data for the device, for the driver
	at         Sector // the bits that a position may not have
	capacity   Sector // where the last one ends
	past       Sector // the bits that capacity less a request's end may not have: the sign, or none where there is no position
	pass, fail status // how a request ends that keeps to this, and one that does not
}

// rules are those of a disk and a driver, from DRIVER_OK to reset.
type rules [numKinds]rule

// newRules is by the device's disk and the features that the driver has accepted.
func newRules(d *Device, features uint64) (r rules) {
	// A driver that does not know of logical blocks works in sectors.
	block := uint64(sectorSize)
	if features&FeatureBlkSize != 0 {
		block = uint64(d.block)
	}
	const (
		none = ^uint64(0)
		sign = 1 << 63
	)
	for typ := range r {
		k, to := &kinds[typ], &r[typ]
		*to = rule{out: none, in: none, fail: statusIOErr}
		forbidden := uint64(0)
		if k.onSectors {
			forbidden = block - 1 | sign
			to.at, to.capacity, to.past = Sector(block>>sectorShift-1)|^Sector(math.MaxInt64>>sectorShift), d.capacity, sign
		}
		if k.out {
			to.out = forbidden
		}
		if k.in {
			to.in = forbidden
		}
		switch {
		case !k.known || features&k.needs != k.needs:
			to.pass, to.fail = statusUnsup, statusUnsup
		case k.changes && d.img.ReadOnly():
			to.pass = statusIOErr // §5.2.6.2
		}
	}
	return r
}

// check says how a request ends that is not carried out, or statusOK: by its type, its position, and the lengths in bytes of its data for the device and for
// the driver. No value makes it overflow: of two lengths one is zero, or the request fails.
func (r *rules) check(typ uint32, at Sector, out, in uint64) status {
	if typ >= numKinds {
		return statusUnsup
	}
	k := &r[typ]
	end := at + Sector((out+in)>>sectorShift)
	// One comparison for all that can be wrong, not one for each.
	st := k.pass
	if out&k.out|in&k.in|uint64(at&k.at|(k.capacity-end)&k.past) != 0 {
		st = k.fail
	}
	return st
}

// Checks has the check pass judgement on n reads of a logical block each, a multiple of 16, one of which in sixteen is past the end, and returns how many it refused. It
// is for benchmarks, which cannot see a request by itself.
func (d *Device) Checks(n int) (refused int) {
	r := newRules(d, d.offered)
	var positions [16]Sector
	for i := range positions {
		positions[i] = Sector(d.block>>sectorShift) * Sector(i)
	}
	positions[15] = d.capacity
	length := uint64(d.block)
	for range n / len(positions) {
		for i := range positions {
			if r.check(typeIn, positions[i], 0, length) != statusOK {
				refused++
			}
		}
	}
	return refused
}
