package alloc

import "unsafe"

// chunkBytes is about how much memory an arena takes from Go at a time.
const chunkBytes = 64 << 10

// Arena hands out objects that all end at once, with [Arena.Reset]. The zero value is ready; not for several goroutines at once.
type Arena[T any] struct {
	// Keep is how many bytes of objects stay with the arena when it is reset, lest the largest of all uses be kept for good. 0: all.
	Keep int

	rest   []T   // of the last chunk that is in use
	chunks [][]T // all of them: those in use come first
	used   int   // chunks in use
	debug  arenaDebug[T]
}

// New returns an object, all zero.
func (a *Arena[T]) New() *T {
	if len(a.rest) == 0 {
		a.next()
	}
	x := &a.rest[0]
	a.rest = a.rest[1:]
	return x
}

// next begins another chunk.
func (a *Arena[T]) next() {
	if a.used == len(a.chunks) {
		var x T
		a.chunks = append(a.chunks, make([]T, max(1, chunkBytes/max(1, unsafe.Sizeof(x)))))
	}
	a.rest = a.chunks[a.used]
	a.used++
}

// Reset ends the life of every object. Nobody may use one afterwards. What they pointed to is not held by the arena any more.
func (a *Arena[T]) Reset() {
	for i, chunk := range a.chunks[:a.used] {
		if i == a.used-1 {
			chunk = chunk[:len(chunk)-len(a.rest)]
		}
		clear(chunk)
	}
	var x T
	if most := a.Keep / max(1, int(unsafe.Sizeof(x))*len(a.first())); a.Keep > 0 && len(a.chunks) > most {
		clear(a.chunks[most:])
		a.chunks = a.chunks[:most]
	}
	a.rest, a.used = nil, 0
	a.debug.reset(a)
}

func (a *Arena[T]) first() []T {
	if len(a.chunks) == 0 {
		return nil
	}
	return a.chunks[0]
}
