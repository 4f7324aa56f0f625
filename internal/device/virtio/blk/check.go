package blk

// The check every request passes: one function, of values that were copied from the guest once.

// rule is what holds for one type of request.
type rule struct {
	refuse    status // what all of them end with, where it is not statusOK
	out, in   uint64 // the bits that a length may not have: of the data for the device, for the driver
	onSectors bool   // its data is what the disk has from its sector on
}

// rules are those of a disk and a driver, from DRIVER_OK to reset.
type rules struct {
	kinds    [numKinds]rule
	capacity Sector
	align    Sector // the bits that a position may not have
}

// newRules is by the device's disk and the features that the driver has accepted.
func newRules(d *Device, features uint64) rules {
	// A driver that does not know of logical blocks works in sectors.
	block := uint64(sectorSize)
	if features&FeatureBlkSize != 0 {
		block = uint64(d.block)
	}
	const none = ^uint64(0)
	r := rules{capacity: d.capacity, align: Sector(block>>sectorShift - 1)}
	for typ := range r.kinds {
		k, to := &kinds[typ], &r.kinds[typ]
		to.out, to.in, to.onSectors = none, none, k.onSectors
		allowed := uint64(0)
		if k.onSectors {
			allowed = block - 1
		}
		if k.out {
			to.out = allowed
		}
		if k.in {
			to.in = allowed
		}
		switch {
		case !k.known || features&k.needs != k.needs:
			to.refuse = statusUnsup
		case k.changes && d.img.ReadOnly():
			to.refuse = statusIOErr // §5.2.6.2
		}
	}
	return r
}

// check says how a request ends that is not carried out, or statusOK: its type, its position, and the lengths in bytes of its data for the device and for the driver.
// No value makes it overflow.
func (r *rules) check(typ uint32, at Sector, out, in uint64) status {
	if typ >= numKinds {
		return statusUnsup
	}
	k := &r.kinds[typ]
	switch {
	case k.refuse != statusOK:
		return k.refuse
	case out&k.out|in&k.in != 0:
		return statusIOErr
	case k.onSectors:
		return r.place(at, Sector((out+in)>>sectorShift))
	}
	return statusOK
}

// place checks that n sectors from at are whole logical blocks inside the disk.
func (r *rules) place(at, n Sector) status {
	if at > r.capacity || n > r.capacity-at || (at|n)&r.align != 0 {
		return statusIOErr
	}
	return statusOK
}
