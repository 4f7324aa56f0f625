package hostio

// A File for tests that remembers what reaches it, and fails when told to.

import (
	"errors"
	"sync"
)

// ErrInjected is what a failing call returns.
var ErrInjected = errors.New("injected failure")

const sector = 512 // bytes

// Call is one change of a Recorder's file.
type Call struct {
	Off  int64
	Data []byte // written
	Size int64  // of the file, by Truncate; -1 for others
	Hole int64  // bytes, by Punch
	Sync bool
}

// Recorder passes everything to File and notes what changes it. Its fields may be set between calls.
type Recorder struct {
	File
	mu     sync.Mutex
	Calls  []Call // when Record is set
	Record bool
	N      int64 // calls so far, those that fail included
	// FailAt makes the call of that number fail, counted from 1; FailFor says how many calls from then on, at least one.
	FailAt, FailFor int64
	// Torn makes a failing write leave its first half, in whole sectors, which devices write whole or not at all.
	Torn bool
}

// fails counts a call.
func (r *Recorder) fails() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.N++
	return r.FailAt != 0 && r.N >= r.FailAt && r.N < r.FailAt+max(r.FailFor, 1)
}

func (r *Recorder) note(c Call) {
	if !r.Record {
		return
	}
	r.mu.Lock()
	r.Calls = append(r.Calls, c)
	r.mu.Unlock()
}

// ReadvAt implements [File].
func (r *Recorder) ReadvAt(bufs [][]byte, off int64) error {
	if r.fails() {
		return ErrInjected
	}
	return r.File.ReadvAt(bufs, off)
}

// WritevAt implements [File].
func (r *Recorder) WritevAt(bufs [][]byte, off int64) error {
	var all []byte
	for _, b := range bufs {
		all = append(all, b...)
	}
	if r.fails() {
		if r.Torn && len(all) > sector {
			all = all[:len(all)/2&^(sector-1)]
			if r.File.WritevAt([][]byte{all}, off) == nil {
				r.note(Call{Off: off, Data: all, Size: -1})
			}
		}
		return ErrInjected
	}
	r.note(Call{Off: off, Data: all, Size: -1})
	return r.File.WritevAt(bufs, off)
}

// Sync implements [File].
func (r *Recorder) Sync() error {
	if r.fails() {
		return ErrInjected
	}
	err := r.File.Sync()
	r.note(Call{Sync: true, Size: -1})
	return err
}

// Truncate implements [File].
func (r *Recorder) Truncate(size int64) error {
	if r.fails() {
		return ErrInjected
	}
	r.note(Call{Size: size})
	return r.File.Truncate(size)
}

// Punch implements [File].
func (r *Recorder) Punch(off, n int64) error {
	if r.fails() {
		return ErrInjected
	}
	r.note(Call{Off: off, Hole: n, Size: -1})
	return r.File.Punch(off, n)
}

// Apply does to f what a call did.
func (c Call) Apply(f File) error {
	switch {
	case c.Sync:
		return nil
	case c.Size >= 0:
		return f.Truncate(c.Size)
	case c.Hole > 0:
		return f.Punch(c.Off, c.Hole)
	}
	return f.WritevAt([][]byte{c.Data}, c.Off)
}
