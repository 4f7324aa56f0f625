package memory

// Release, the way back of guest memory to the host: what a guest says it does not use is taken out of RAM, and is committed anew, zero, when it is
// touched again. It goes on being RAM: nobody has to be told, and whoever reads or writes it meanwhile, a hart or a device at its DMA, has memory.

import (
	"errors"
	"fmt"
)

// ErrNotReleasable is the error of Release where RAM is in huge pages of the host's pool: those are reserved, and a page that went back could be
// somebody else's when the guest touches it again, which would end the process.
var ErrNotReleasable = errors.New("memory in pages of the host's pool of huge pages stays with the machine")

// Release gives the n bytes at a back to the host; both are multiples of [PageSize]. They read as zeroes afterwards, and count as written: translations of code in
// them are dropped as after any other store, and a log of written pages has them. A mirror, which maps the same file, loses them with it. On an error that is no
// *[RangeError] they may have stayed as they were, and count as written all the same.
func (r *RAM) Release(a GPA, n uint64) error {
	if !r.Contains(a, n) {
		return outside(a, n)
	}
	if (uint64(a)|n)&PageMask != 0 {
		return fmt.Errorf("releasing %d bytes of guest memory at %#x: neither is a part of a page", n, uint64(a))
	}
	if r.huge != 0 {
		return ErrNotReleasable
	}
	if n == 0 {
		return nil
	}
	err := r.punch(uint64(a-r.base), n)
	r.code.Note(a, n)
	if err != nil {
		return fmt.Errorf("releasing %d KiB of guest memory: %w", n>>10, err)
	}
	return nil
}
