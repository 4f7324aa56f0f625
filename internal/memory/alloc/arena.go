package alloc

import "unsafe"

// chunkBytes is about how much memory an arena takes from Go at a time.
const chunkBytes = 64 << 10

// Arena hands out objects that all end at once, with [Arena.Reset]. The zero value is ready; not for several goroutines at once.
type Arena[T any] struct {
	// Keep is how many bytes of objects stay with the arena when it is reset, lest the largest of all uses be kept for good. 0: all.
	Keep int

	chunk  []T   // the last one that is in use
	left   int   // objects of it that are not: the first ones
	chunks [][]T // all of them: those in use come first
	used   int   // chunks in use
	debug  arenaDebug[T]
}

// New returns an object, all zero. It is just short enough to be put in line (TestNewIsInlined) and stores no pointer, which would look each time whether the
// collector is at work. A chunk is handed out backwards, as Reset has zeroed it forwards: what it zeroed last is in the cache.
func (a *Arena[T]) New() *T {
	if a.left == 0 {
		a.next()
	}
	a.left--
	return &a.chunk[a.left]
}

// next begins another chunk.
//
//go:noinline
func (a *Arena[T]) next() {
	if a.used == len(a.chunks) {
		var x T
		a.chunks = append(a.chunks, make([]T, max(1, chunkBytes/max(1, unsafe.Sizeof(x)))))
	}
	a.chunk = a.chunks[a.used]
	a.left = len(a.chunk)
	a.used++
}

// Reset ends the life of every object. Nobody may use one afterwards. What they pointed to is not held by the arena any more.
func (a *Arena[T]) Reset() {
	for i, chunk := range a.chunks[:a.used] {
		if i == a.used-1 {
			chunk = chunk[a.left:]
		}
		clear(chunk)
	}
	var x T
	if most := a.Keep / max(1, int(unsafe.Sizeof(x))*len(a.chunk)); a.Keep > 0 && len(a.chunks) > most {
		clear(a.chunks[most:])
		a.chunks = a.chunks[:most]
	}
	a.chunk, a.left, a.used = nil, 0, 0
	a.debug.reset(a)
}
