//go:build allocdebug

package alloc

// What is checked of objects after their release.
//
// unsafe: an object's bytes are looked at, never written, and a copy of them is no reference to anything.

import (
	"bytes"
	"fmt"
	"unsafe"
)

// quarantine is how many released objects wait at least, until one of them is handed out again.
const quarantine = 32

// Checked says that releases and uses are checked, which is work and garbage of its own: the build tag allocdebug.
const Checked = true

func bytesOf[T any](x *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(x)), unsafe.Sizeof(*x)) }

// poolDebug knows the released objects, as they were left.
type poolDebug[T any] struct{ released map[*T][]byte }

func (d *poolDebug[T]) put(x *T, poison func(*T)) {
	if _, ok := d.released[x]; ok {
		panic(fmt.Sprintf("alloc: a %T is released twice", *x))
	}
	if poison != nil {
		poison(x)
	} else {
		var zero T
		*x = zero
	}
	if d.released == nil {
		d.released = map[*T][]byte{}
	}
	d.released[x] = bytes.Clone(bytesOf(x))
}

func (d *poolDebug[T]) got(x *T) {
	if !bytes.Equal(d.released[x], bytesOf(x)) {
		panic(fmt.Sprintf("alloc: a %T was written after its release", *x))
	}
	delete(d.released, x)
}

func (d *poolDebug[T]) live(x *T) {
	if _, ok := d.released[x]; ok {
		panic(fmt.Sprintf("alloc: a %T is used after its release", *x))
	}
}

// arenaDebug has the chunks of the use before the last, which are zero and stay so.
type arenaDebug[T any] struct{ ended [][]T }

// reset takes the chunks from the arena, so that no object is there again, and looks at those it took the last time.
func (d *arenaDebug[T]) reset(a *Arena[T]) {
	for _, chunk := range d.ended {
		for i := range chunk {
			if len(bytes.Trim(bytesOf(&chunk[i]), "\x00")) != 0 {
				panic(fmt.Sprintf("alloc: a %T was written after its arena was reset", chunk[i]))
			}
		}
	}
	d.ended, a.chunks = a.chunks, nil
}
