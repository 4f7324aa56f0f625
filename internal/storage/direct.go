package storage

// Reads and writes past the host's page cache (cache=none). Such transfers must begin and end at multiples of what the file's device
// wants, in memory and on the disk. A request that does goes straight through; others go by way of an aligned buffer from a pool, and a
// write of a part of a block reads the rest of it first.
//
// Concurrency: a write of a part of a block holds mu exclusively, as it writes back bytes that are not its own; writes of whole blocks share it.

import (
	"errors"
	"io"
	"sync"
	"unsafe"
)

// direct is what cache=none adds to a file.
type direct struct {
	align int64 // bytes; a power of two
	mu    sync.RWMutex
	pool  sync.Pool // of *[]byte, aligned, of bounceSize
	async io.Closer // the image's Transfers, once there are any
}

const bounceSize = 1 << 20

func makeDirect(align int64) *direct {
	d := &direct{align: align}
	d.pool.New = func() any {
		b := make([]byte, bounceSize+align)
		skip := -int64(addressOf(b)) & (align - 1)
		b = b[skip : skip+bounceSize : skip+bounceSize]
		return &b
	}
	return d
}

// addressOf is where a buffer lies. It only decides whether the buffer may be used as it is.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// aligned says whether a request can go straight to the file.
func (d *direct) aligned(bufs [][]byte, off int64) bool {
	bits := off
	for _, b := range bufs {
		bits |= int64(len(b)) | int64(addressOf(b))
	}
	return bits&(d.align-1) == 0
}

// read fills bufs from off. Where the file ends before them it is io.ErrUnexpectedEOF.
func (d *direct) read(f *file, bufs [][]byte, off int64) error {
	if d.aligned(bufs, off) {
		return f.readv(bufs, off)
	}
	p := d.pool.Get().(*[]byte)
	defer d.pool.Put(p)
	for end := off + total(bufs); off < end; {
		from := off &^ (d.align - 1)
		n := min(end-from, bounceSize)
		have, err := d.fill(f, (*p)[:(n+d.align-1)&^(d.align-1)], from)
		if err != nil {
			return err
		}
		if int64(have) < n {
			return io.ErrUnexpectedEOF
		}
		bufs = scatter(bufs, (*p)[off-from:n])
		off = from + n
	}
	return nil
}

// fill reads whole blocks, or what the file has of them.
func (d *direct) fill(f *file, b []byte, off int64) (int, error) {
	n, err := f.readUpTo(b, off)
	clear(b[n:])
	return n, err
}

// write writes bufs at off.
func (d *direct) write(f *file, bufs [][]byte, off int64) error {
	if d.aligned(bufs, off) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return f.writev(bufs, off)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pool.Get().(*[]byte)
	defer d.pool.Put(p)
	for end := off + total(bufs); off < end; {
		from := off &^ (d.align - 1)
		n := min(end-from, bounceSize)
		b := (*p)[:(n+d.align-1)&^(d.align-1)]
		if off != from {
			if _, err := d.fill(f, b[:d.align], from); err != nil {
				return err
			}
		}
		if last := int64(len(b)) - d.align; n&(d.align-1) != 0 && (last != 0 || off == from) {
			if _, err := d.fill(f, b[last:], from+last); err != nil {
				return err
			}
		}
		bufs = gather(b[off-from:n], bufs)
		if err := f.writev([][]byte{b}, from); err != nil {
			return err
		}
		off = from + n
	}
	return nil
}

// scatter copies b into the first of bufs, and returns what is left of them.
func scatter(bufs [][]byte, b []byte) [][]byte {
	return each(bufs, len(b), func(part []byte) { b = b[copy(part, b):] })
}

// gather fills b from the first of bufs, and returns what is left of them.
func gather(b []byte, bufs [][]byte) [][]byte {
	return each(bufs, len(b), func(part []byte) { b = b[copy(b, part):] })
}

// each calls do for the first n bytes of bufs, and returns the rest.
func each(bufs [][]byte, n int, do func([]byte)) [][]byte {
	for n > 0 {
		part := bufs[0]
		if len(part) > n {
			do(part[:n])
			rest := append([][]byte{part[n:]}, bufs[1:]...)
			return rest
		}
		do(part)
		n -= len(part)
		bufs = bufs[1:]
	}
	return bufs
}

// directImage is a raw image with cache=none. It implements [Image].
type directImage struct{ f *file }

// ReadvAt implements [Image].
func (d directImage) ReadvAt(bufs [][]byte, off int64) error {
	if err := checkRange(d.f.size, off, total(bufs)); err != nil {
		return err
	}
	return d.f.direct.read(d.f, bufs, off)
}

// WritevAt implements [Image].
func (d directImage) WritevAt(bufs [][]byte, off int64) error {
	if err := d.f.writable(off, total(bufs)); err != nil {
		return err
	}
	return d.f.direct.write(d.f, bufs, off)
}

// WriteZeroes implements [Image]. Where the host cannot zero a range, zeros are written.
func (d directImage) WriteZeroes(off, n int64, mayUnmap bool) error {
	if err := d.f.writable(off, n); err != nil || n == 0 {
		return err
	}
	d.f.direct.mu.Lock()
	err := errors.ErrUnsupported
	if mayUnmap {
		err = d.f.punch(off, n)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = d.f.zero(off, n)
	}
	d.f.direct.mu.Unlock()
	for ; errors.Is(err, errors.ErrUnsupported) && n > 0; off, n = off+int64(len(zeroes)), n-int64(len(zeroes)) {
		if e := d.f.direct.write(d.f, [][]byte{zeroes[:min(n, int64(len(zeroes)))]}, off); e != nil {
			return e
		}
	}
	if n <= 0 {
		return nil
	}
	return err
}

// Flush implements [Image].
func (d directImage) Flush() error { return d.f.Flush() }

// Discard implements [Image].
func (d directImage) Discard(off, n int64) error { return d.f.Discard(off, n) }

// Size implements [Image].
func (d directImage) Size() int64 { return d.f.size }

// ReadOnly implements [Image].
func (d directImage) ReadOnly() bool { return d.f.readOnly }

// Sector is the logical sector in bytes that the image was made for.
func (d directImage) Sector() int { return d.f.sector }

// Close implements [Image].
func (d directImage) Close() error {
	var err error
	if a := d.f.direct.async; a != nil {
		err = a.Close()
	}
	return errors.Join(err, d.f.Close())
}
