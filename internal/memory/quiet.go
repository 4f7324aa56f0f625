package memory

// The barrier between writing guest memory and looking whether somebody watches it, and who pays for it.
//
// Such a look needs the store before it to be visible first, which is the one order that no processor keeps by itself: a full barrier, and
// three times the price of everything else in a store. So writers are of two minds. Loud, they have the barrier. Quiet, they have none, and who
// makes a page watched has to turn them loud before: by a flag, and a system call that executes a barrier on each other thread of the
// process as it runs (membarrier(2), private and expedited), which costs 2 µs, and 60 where another core is busy. While they are loud, watching
// more pages costs nothing, and a guest that boots does that by the thousand. They turn quiet by themselves after quietAfter writes in
// which nobody watched anything: those cost about what the next system call will. If not a single page is watched then, RAM is idle besides.
//
// A store is put in line with its look: if RAM is idle it looks at that and at nothing else, and otherwise at the state of its page, which is nearly always that
// nobody asks for it. That it is to be loud it finds in the same place: a detour is laid over the number of the page, and leads to two bytes before the map that
// say that the page is asked for, whichever it is. Who finds that does the rest in a function, by the flag itself.
//
// Why nothing is lost. W writes bytes, reads the flags, reads the state of the page, in this order. T, with the lock: sets the flags if they are
// not, and makes the call then; makes the page watched, which is a full barrier; and reads the bytes. Say that W finds the page not watched.
//
//   - W has read that it is to be loud, and has had its barrier: the usual argument, of two that each write, wait, and read.
//   - W has read that it may be quiet, as it was before T, or somebody before T, said otherwise. The call that followed had its barrier in W's thread
//     behind that read, or else W would have read that it is to be loud. So the bytes, written before it, are visible when the call returns, and
//     T reads later.
//   - W has read that it may be quiet, as it has been since T's page was watched, or T would have said otherwise. That was said with the
//     lock, after T: so W, which reads the state of the page after that, finds it watched. It did not.
//   - W has read that RAM is idle, and no state at all. Before T it is the second case; after T it is not idle as long as the page is watched.
//
// The flag is there twice, for stores in line as the detour. Both are set with the lock and before the call, and W goes by one of them: by the detour, if it finds
// there that it may be quiet, or else by the flag, which it reads then, after its bytes as well.
//
// The third case needs loads in order. The flag is an acquiring load. The detour is a part of the address of the state, and no host has a load before another that
// its address comes from, nor can a compiler. Behind RAM.idle nothing is read. Both are plain loads of one word, since atomic ones by
// their methods are too much to be put in line, and the compiler does not move a load over a store before it. The race detector would object, so under it RAM is never
// idle, and the detour always there.
//
// unsafe: an offset in RAM has its page's byte in the map, and one behind it. The detour makes -2 or -1 of any number, of which the
// bytes are there, and one behind.

import (
	"sync/atomic"
	"unsafe"
)

// loud is the flag as it is when set.
const loud = 1

// detour is what is laid over the number of a page when writers are loud: it leaves -2 or -1.
const detour = ^GPA(1)

// anyAsked says of the bytes of two pages that one is asked for. A store of at most 8 bytes reaches no more, and neither does a page's worth.
const anyAsked = uint32(PageAsked) | uint32(PageAsked)<<8

// quietAfter is after how many writes without a page watched writers turn quiet. At 4 ns for each barrier they have paid for one system call then.
const quietAfter = 1 << 14

// bias is how writers are disposed.
type bias struct {
	loud     atomic.Uint32 // loud or 0; changes with the lock of the map
	writes   atomic.Uint32 // that were loud since the flag was set or a page watched
	quieting atomic.Bool   // somebody is about to make writers quiet
	ram      *RAM          // whose detour and idle go with loud
}

// init makes writers loud. The map's bytes are those of whole from the second page on.
func (b *bias) init(r *RAM, whole []byte) {
	whole[PageSize-2], whole[PageSize-1] = PageAsked, PageAsked
	r.states, r.detour = unsafe.Pointer(&whole[PageSize]), detour
	b.ram = r
	b.loud.Store(loud)
}

// unasked says that n bytes at an offset in RAM are of no interest to anybody, where that takes one look: they are a page's worth at most. It is behind the barrier.
func (c *CodeMap) unasked(off, n uint64) bool {
	i := off >> PageShift
	return n <= PageSize && i < c.pages && uint32(*(*uint16)(unsafe.Add(c.ram.states, i)))&anyAsked == 0
}

// order is the barrier of a loud writer between its bytes and its look.
func (c *CodeMap) order() {
	if c.writes.Add(1)%quietAfter != 0 { // the addition is a full barrier
		return
	}
	if !c.quieting.Swap(true) {
		// Beside the writer: the first time it may take the host milliseconds.
		go func() {
			defer c.quieting.Store(false)
			if registerBarriers() == nil {
				c.beQuiet()
			}
		}()
	}
}

// beQuiet lets writers do without, unless a page has been watched just now.
func (c *CodeMap) beQuiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes.Load() >= quietAfter {
		c.loud.Store(0)
		c.ram.lead(0, c.asked == 0)
	}
}

// beLoud comes before pages are made watched. Precondition: the lock of the map is held.
func (c *CodeMap) beLoud() {
	c.writes.Store(0)
	if c.loud.Load() != 0 {
		return
	}
	c.loud.Store(loud)
	c.ram.lead(detour, false)
	if err := barrierEverywhere(); err != nil {
		panic("memory: a host that had membarrier has it no more: " + err.Error())
	}
}

// lead says where stores look from now on. Precondition: the lock of the map is held.
func (r *RAM) lead(detour GPA, idle bool) {
	if !raceDetector {
		r.detour, r.idle = detour, idle
	}
}
