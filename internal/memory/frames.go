package memory

// Frames, the page frames that a guest has given to the host: an allocator whose objects are the guest's, and which hands them to the host. A frame is one bit,
// and giving or taking one is a few instructions; what it costs the host to have the memory is paid for many at a time, by Release.
//
// A guest may give what it goes on using: a page table, a ring, the buffer that a device writes. Nothing follows from the bit for anybody who uses
// memory: see release.go. Only a build with the tag allocdebug looks, and refuses a device a buffer in a frame that is given (frames_debug_on.go).

import "math/bits"

// Frames is a set of page frames of a RAM. Its methods belong to one goroutine at a time and, but for NewFrames, allocate nothing. A frame is named by any address
// in it.
type Frames struct {
	ram    *RAM
	base   GPA
	frames uint64 // of RAM
	sets   []frameSet
	lo, hi uint64 // the sets with fresh frames are among those from lo to hi
	debug  framesDebug
}

// frameSet is 64 neighbours, a bit each.
type frameSet struct {
	given uint64
	fresh uint64 // those of given that the host has not got yet
}

// NewFrames makes an empty set: 64 KiB for each GiB of RAM.
func NewFrames(r *RAM) *Frames {
	f := &Frames{ram: r, base: r.base, frames: r.Size() >> PageShift}
	f.sets = make([]frameSet, (f.frames+63)/64)
	f.lo = uint64(len(f.sets))
	return f
}

// Give adds a frame, which the host has after the next Release. It returns false, and changes nothing, if it was given already or is not RAM.
func (f *Frames) Give(a GPA) bool {
	i := uint64(a-f.base) >> PageShift
	if i >= f.frames {
		return false
	}
	at, bit := i/64, uint64(1)<<(i%64)
	set := &f.sets[at]
	if set.given&bit != 0 {
		return false
	}
	set.given |= bit
	set.fresh |= bit
	f.lo, f.hi = min(f.lo, at), max(f.hi, at)
	f.debug.give(f.ram, i)
	return true
}

// Take takes a frame back. It returns false, and changes nothing, if it was not given.
func (f *Frames) Take(a GPA) bool {
	i := uint64(a-f.base) >> PageShift
	if i >= f.frames {
		return false
	}
	set, bit := &f.sets[i/64], uint64(1)<<(i%64)
	if set.given&bit == 0 {
		return false
	}
	set.given &^= bit
	set.fresh &^= bit
	f.debug.take(f.ram, i)
	return true
}

// Count is how many frames are given. It looks at all of them: whoever wants to know often counts what Give and Take answer, which costs those nothing.
func (f *Frames) Count() (n uint64) {
	for i := range f.sets {
		n += uint64(bits.OnesCount64(f.sets[i].given))
	}
	return n
}

// Reset takes all frames back at once. The memory that the host has got comes again as it is touched.
func (f *Frames) Reset() {
	clear(f.sets)
	f.lo, f.hi = uint64(len(f.sets)), 0
	f.debug.reset(f.ram)
}

// Release gives the memory of all frames that were given since the last call to the host, neighbours in one call to it. The error is that of the first
// [RAM.Release] that had one; the others were done.
func (f *Frames) Release() (err error) {
	var start, end uint64 // of a run of frames
	flush := func() {
		if e := f.ram.Release(f.base+GPA(start<<PageShift), (end-start)<<PageShift); err == nil {
			err = e
		}
	}
	for w := f.lo; w <= f.hi && w < uint64(len(f.sets)); w++ {
		for word := f.sets[w].fresh; word != 0; {
			first := uint64(bits.TrailingZeros64(word))
			n := uint64(bits.TrailingZeros64(^(word >> first)))
			word &^= (1<<n - 1) << first // all of it where n is 64
			if at := w*64 + first; at != end || start == end {
				if start != end {
					flush()
				}
				start = at
			}
			end = w*64 + first + n
		}
		f.sets[w].fresh = 0
	}
	if start != end {
		flush()
	}
	f.lo, f.hi = uint64(len(f.sets)), 0
	return err
}
