package storage

// The host of tests of failures, the worst that is allowed: any call may fail, do less, or be interrupted; what a sync could not write is forgotten, and that it could not is
// said once.

import (
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// faultyHost is a host between an image file and its file system. It keeps apart what is durable.
type faultyHost struct {
	t       *testing.T
	rng     *rand.Rand
	file    *os.File // the same file, through the host's cache
	dsync   bool     // writes are durable
	steady  bool     // syncs do not fail
	align   int64    // where transfers may end, bytes
	mu      sync.Mutex
	durable []byte         // what a power cut leaves at least
	touched map[int64]bool // sectors that it may lose changes of
	full    int            // so many calls more find no space
	hard    int            // failures that a guest has to be told of
	lost    bool           // a sync has failed, or a write that is one
	advice  bool           // holes and sizes are: nobody has to be told when there are none
}

// answer is how a call may end.
type answer struct {
	errno syscall.Errno
	short bool // less is done than was asked for
	soft  bool // the image goes on by itself
	torn  bool // a part is done before it fails
	weigh int
}

// answers are what calls may end with, by kind, where something is wrong.
var answers = func() map[callKind][]answer {
	again := answer{errno: syscall.EINTR, soft: true, weigh: 4}
	short := answer{short: true, soft: true, weigh: 6}
	broken := answer{errno: syscall.EIO, weigh: 1}
	torn := answer{errno: syscall.EIO, torn: true, weigh: 1}
	full := answer{errno: syscall.ENOSPC, weigh: 1}
	wait := answer{errno: syscall.EAGAIN, soft: true, weigh: 6}
	rarely := func(errno syscall.Errno) answer { return answer{errno: errno, soft: true, weigh: 1} }
	space := []answer{again, broken, full, rarely(syscall.EINVAL), rarely(syscall.EOPNOTSUPP)}
	return map[callKind][]answer{
		callRead:     {again, short, broken},
		callReadNow:  {again, short, broken, wait, rarely(syscall.EOPNOTSUPP)},
		callWrite:    {again, short, broken, torn, full},
		callWriteNow: {again, short, broken, torn, full, wait, rarely(syscall.EOPNOTSUPP)},
		callSync:     {again, broken, full},
		callPunch:    space,
		callZero:     space,
		callTruncate: {again, broken, full},
	}
}()

// pick is how a call ends: well, four times in five.
func (h *faultyHost) pick(k callKind) answer {
	if h.full > 0 && k != callRead && k != callReadNow && k != callSync {
		h.full--
		return answer{errno: syscall.ENOSPC}
	}
	if h.rng.IntN(5) != 0 || k == callSync && h.steady {
		return answer{soft: true}
	}
	all := answers[k]
	sum := 0
	for _, a := range all {
		sum += a.weigh
	}
	at := h.rng.IntN(sum)
	for _, a := range all {
		if at -= a.weigh; at < 0 {
			if a.errno == syscall.ENOSPC {
				h.full = h.rng.IntN(4)
			}
			return a
		}
	}
	panic("unreachable")
}

// intercept is an [interceptor].
func (h *faultyHost) intercept(c hostCall, do func(int64) (int64, syscall.Errno)) (int64, syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.pick(c.kind)
	if !a.soft && !(h.advice && (c.kind == callPunch || c.kind == callTruncate)) {
		h.hard++
		h.lost = h.lost || c.kind == callSync || h.dsync && c.kind == callWrite && a.errno == syscall.EIO
	}
	part := c.n
	if a.short || a.torn {
		end := c.off + 1 + h.rng.Int64N(c.n)
		if part = end&^(h.align-1) - c.off; part <= 0 {
			part = c.n
		}
	}
	if a.errno != 0 && !a.torn {
		if c.kind == callSync && !a.soft {
			h.lose()
			h.settle() // what is left is taken for clean
		}
		return 0, a.errno
	}
	n, errno := do(part)
	switch {
	case errno == syscall.EOPNOTSUPP && (c.kind == callPunch || c.kind == callZero):
		return n, errno // what the tests run on is such a file system
	case errno != 0:
		h.t.Fatalf("the test's own host: %v of %+v", errno, c)
	}
	h.note(c, n)
	return n, a.errno
}

// note notes what a call has changed.
func (h *faultyHost) note(c hostCall, n int64) {
	switch c.kind {
	case callRead, callReadNow:
		return
	case callSync:
		h.settle()
		return
	case callTruncate:
		h.durable = h.durable[:min(int64(len(h.durable)), c.off)]
		return
	case callPunch, callZero:
		n = c.n
	}
	for s := c.off / faultSector; s*faultSector < c.off+n; s++ {
		h.touched[s] = true
	}
	if h.dsync {
		h.settle()
	}
}

// settle makes the file as it is durable.
func (h *faultyHost) settle() {
	h.durable = h.contents()
	clear(h.touched)
}

func (h *faultyHost) contents() []byte {
	b, err := io.ReadAll(io.NewSectionReader(h.file, 0, 1<<40))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// lose forgets some of what is not durable.
func (h *faultyHost) lose() {
	size := int64(len(h.contents()))
	lost := slices.Sorted(func(yield func(int64) bool) {
		for s := range h.touched {
			if !yield(s) {
				return
			}
		}
	})
	for _, s := range lost {
		off := s * faultSector
		if off >= size || h.rng.IntN(2) == 0 {
			continue
		}
		b := make([]byte, min(faultSector, size-off))
		if off < int64(len(h.durable)) {
			copy(b, h.durable[off:])
		}
		if _, err := h.file.WriteAt(b, off); err != nil {
			h.t.Fatal(err)
		}
	}
}

// failures are how many of its calls have failed since it was last asked.
func (h *faultyHost) failures() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.hard
	h.hard = 0
	return n
}
