//go:build allocdebug

package memory

// Use of a frame after it was given: who asks for a view of it for DMA gets an error, so that a driver whose buffer is in the balloon is found out by
// the device that the buffer is offered to (virtio: DEVICE_NEEDS_RESET). It is no panic, as a guest can bring it about as it likes. A view that was had
// before is not found.

import (
	"fmt"
	"sync"
)

// framesChecked says that uses of given frames are looked for, which is work and garbage of its own: the build tag allocdebug.
const framesChecked = true

// framesDebug tells the RAM what happens to its frames.
type framesDebug struct{}

func (framesDebug) give(r *RAM, frame uint64) { r.use.set(frame, true) }
func (framesDebug) take(r *RAM, frame uint64) { r.use.set(frame, false) }

func (framesDebug) reset(r *RAM) {
	r.use.mu.Lock()
	defer r.use.mu.Unlock()
	clear(r.use.given)
}

// framesUse knows the frames that are given.
type framesUse struct {
	mu    sync.Mutex // a leaf
	given map[uint64]bool
}

func (u *framesUse) set(frame uint64, given bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.given == nil {
		u.given = map[uint64]bool{}
	}
	if given {
		u.given[frame] = true
	} else {
		delete(u.given, frame)
	}
}

// check is the error of who uses n bytes of RAM at an offset.
func (u *framesUse) check(off, n uint64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n == 0 || len(u.given) == 0 {
		return nil
	}
	for i := off >> PageShift; i <= (off+n-1)>>PageShift; i++ {
		if u.given[i] {
			return fmt.Errorf("%d bytes at offset %#x of guest memory are used, and frame %#x of it is given to the host", n, off, i)
		}
	}
	return nil
}
