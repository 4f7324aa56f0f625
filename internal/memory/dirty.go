package memory

// DirtyLog, which pages have been written: what a snapshot or a migration needs to know to copy a page again, and no others.
//
// It asks by a bit of each page, as a translator does (CodeMap): a page that is clean has no fast path for stores in any hart, neither an entry of a
// TLB nor a page of a mirror that can be written, so that the first store comes by and makes it dirty; the ones after that are as fast as ever, and generated code is
// what it was. Devices and loaders note what they have written as they always do. The page, not the byte, is what is known.
//
// Nothing is lost. Take makes a dirty page clean, with every writer turned loud first (quiet.go), takes away the harts' fast paths, and waits for that; only then does its
// caller read the page. A store of before is in what the caller reads; one of later finds the page clean, and is in the next log.

import (
	"errors"
	"math/bits"
	"sync"
)

// DirtyLog is which pages of RAM have been written since they were last asked for. Its methods may be called from any goroutine that is no hart's.
type DirtyLog struct {
	mu      sync.Mutex // outside of CodeMap.mu; one Take at a time
	ram     *RAM
	unstore func()
	stopped bool
}

// Bitmap is a bit for each page of RAM, from its base on.
type Bitmap []uint64

// Has says that the bit of page i is set.
func (b Bitmap) Has(i uint64) bool { return b[i/64]>>(i%64)&1 != 0 }

// Count is how many are.
func (b Bitmap) Count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// TrackDirty begins a log: no page is dirty. unstore makes every hart's next store to any page come by the CodeMap, and returns when that is so (hart.FenceRequest); it
// is called on the caller's goroutine. RAM has one log at a time.
func (r *RAM) TrackDirty(unstore func()) (*DirtyLog, error) {
	c := &r.code
	c.mu.Lock()
	was := c.logging
	c.logging = true
	c.mu.Unlock()
	if was {
		return nil, errors.New("the pages of guest memory that are written are logged already: stop that log first")
	}
	d := &DirtyLog{ram: r, unstore: unstore}
	d.Take(nil)
	return d, nil
}

// Take returns the pages that were written since the last call, or since the log began, and makes them clean. What has been stored to them is there when it returns. The
// bitmap is into, if that is large enough. A log that is stopped has none.
func (d *DirtyLog) Take(into Bitmap) Bitmap {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &d.ram.code
	n := int((c.pages + 63) / 64)
	if cap(into) < n {
		into = make(Bitmap, n)
	}
	into = into[:n]
	clear(into)
	if d.stopped {
		return into
	}
	any := false
	c.mu.Lock()
	c.beLoud()
	for i := range c.pages {
		if c.get(i)&pageClean == 0 {
			c.set(i, pageClean, pageClean)
			into[i/64] |= 1 << (i % 64)
			any = true
		}
	}
	c.mu.Unlock()
	if any {
		d.unstore()
	}
	return into
}

// Stop ends the log. Stopping again does nothing.
func (d *DirtyLog) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.stopped = true
	c := &d.ram.code
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.pages {
		if c.get(i)&pageClean != 0 {
			c.set(i, pageClean, 0)
		}
	}
	c.logging = false
}
