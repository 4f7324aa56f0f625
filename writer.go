package vm

// The caller's writers: several goroutines of a machine write, the caller need not expect it.

import (
	"io"
	"reflect"
	"sync"
)

// exclusive is a writer that one goroutine at a time writes to.
type exclusive struct {
	mu *sync.Mutex
	w  io.Writer
}

func (e exclusive) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.w.Write(p)
}

// makeExclusive puts a lock in front of each writer, the same one where several are the same writer. Others do not wait for each
// other: who reads both ends may be busy with one.
func makeExclusive(writers ...*io.Writer) {
	var done []exclusive
	for _, p := range writers {
		if *p == nil {
			continue
		}
		e := exclusive{new(sync.Mutex), *p}
		for _, other := range done {
			if same(other.w, e.w) {
				e.mu = other.mu
			}
		}
		done = append(done, e)
		*p = e
	}
}

// same says whether a and b are the same writer. Of those that cannot be compared none is.
func same(a, b io.Writer) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
