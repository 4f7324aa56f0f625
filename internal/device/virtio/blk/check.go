package blk

// The check every request passes: one function, of values that were copied from the guest once.

// rule is what holds for one type of request.
type rule struct {
	out, in    uint64 // the bits that a length may not have: of the data for the device, for the driver
	position   Sector // the bits that a position has: none where there is none
	align      Sector // the bits that a position and a number of sectors may not have
	capacity   Sector // where the last one ends
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
	const none = ^uint64(0)
	for typ := range r {
		k, to := &kinds[typ], &r[typ]
		*to = rule{out: none, in: none, capacity: ^Sector(0), fail: statusIOErr}
		allowed := uint64(0)
		if k.onSectors {
			allowed = block - 1
			to.position, to.align, to.capacity = ^Sector(0), Sector(block>>sectorShift-1), d.capacity
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
	if out&k.out|in&k.in != 0 || !k.place(at&k.position, Sector((out+in)>>sectorShift)) {
		return k.fail
	}
	return k.pass
}

// place says whether n sectors from at are whole logical blocks inside the disk.
func (k *rule) place(at, n Sector) bool {
	return (at|n)&k.align == 0 && n <= k.capacity && at <= k.capacity-n
}

// Checks has the check pass judgement on n reads of a logical block each, one of which in sixteen is past the end, and returns how many it refused. It is for
// benchmarks, which cannot see a request by itself.
func (d *Device) Checks(n int) (refused int) {
	r := newRules(d, d.offered)
	step := Sector(d.block >> sectorShift)
	for i := range n {
		at := step * Sector(i%16)
		if i%16 == 15 {
			at = d.capacity
		}
		if r.check(typeIn, at, 0, uint64(d.block)) != statusOK {
			refused++
		}
	}
	return refused
}
