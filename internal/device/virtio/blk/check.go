package blk

// The check every request passes: one function, of values that were copied from the guest once.

// rule is what holds for one type of request.
type rule struct {
	out, in    uint64 // the bits that a length may not have: of the data for the device, for the driver
	position   Sector // the bits that a position has: none where there is none
	never      Sector // the bits that neither a position nor a number of sectors may have: those inside a block, and farOff
	capacity   Sector // where the last one ends
	pass, fail status // how a request ends that keeps to this, and one that does not
}

// A disk's size in bytes has 63 bits. So a position with one of the bits of farOff is on none, the sum of two without does not overflow, and a capacity less such a sum
// has bit 63 where the sum is larger.
const (
	farOff   = ^(Sector(1)<<(63-sectorShift) - 1)
	anywhere = Sector(1) << 62 // a capacity that is never reached
)

// rules are those of a disk and a driver, from DRIVER_OK to reset.
type rules [numKinds]rule

// newRules is by the device's disk and the features that the driver has accepted.
func newRules(d *Device, features uint64) (r rules) {
	// A driver that does not know of logical blocks works in sectors.
	block := uint64(sectorSize)
	if features&FeatureBlkSize != 0 {
		block = uint64(d.block)
	}
	const none = ^uint64(0)
	for typ := range r {
		k, to := &kinds[typ], &r[typ]
		*to = rule{out: none, in: none, capacity: anywhere, fail: statusIOErr}
		allowed := uint64(0)
		if k.onSectors {
			allowed = block - 1
			to.position, to.never, to.capacity = ^Sector(0), Sector(block>>sectorShift-1)|farOff, d.capacity
		}
		if k.out {
			to.out = allowed
		}
		if k.in {
			to.in = allowed
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
	st := k.pass
	if out&k.out|in&k.in|uint64(k.misplaced(at&k.position, Sector((out+in)>>sectorShift))) != 0 {
		st = k.fail
	}
	return st
}

// misplaced is 0 where n sectors from at are whole logical blocks inside the disk. There is one comparison for all that can be wrong, not one for each.
func (k *rule) misplaced(at, n Sector) Sector {
	return (at|n)&k.never | (k.capacity-at-n)>>63
}

// Checks has the check pass judgement on n reads of a logical block each, one of which in sixteen is past the end, and returns how many it refused. It is for
// benchmarks, which cannot see a request by itself.
func (d *Device) Checks(n int) (refused int) {
	r := newRules(d, d.offered)
	var positions [16]Sector
	for i := range positions {
		positions[i] = Sector(d.block>>sectorShift) * Sector(i)
	}
	positions[15] = d.capacity
	for i := range uint(n) {
		if r.check(typeIn, positions[i%16], 0, uint64(d.block)) != statusOK {
			refused++
		}
	}
	return refused
}
