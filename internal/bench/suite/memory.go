package suite

// memory/*: guest RAM as devices, loaders and firmware reach it: through the checked accessors of package memory. The limits are the same loops over a
// slice of the Go heap.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/memory"
)

const (
	accesses    = 4096           // for one operation
	accessBytes = accesses*8 + 8 // that they may reach, the misaligned ones too
	copySpan    = 4 << 20        // bytes that copies go through
	touchPages  = 1024           // for one operation
)

func memoryGroup() []bench.Benchmark {
	var all, limits []bench.Benchmark
	for i, width := range []int{1, 2, 4, 8} {
		bits := strconv.Itoa(8 * width)
		for _, at := range []struct {
			name string
			off  int
		}{{bits, 0}, {bits + "-misaligned", 1}} {
			if width == 1 && at.off != 0 {
				continue
			}
			all = append(all,
				bench.Benchmark{Name: "memory/load/" + at.name, Unit: bench.NsPerOp, Limit: "memory/limit/load/" + at.name,
					Doc:   "Loads of guest RAM one after the other; their sum is known",
					Setup: func(*bench.Env) (bench.Instance, error) { return loadInstance(width, at.off, ramLoads[i], nil) }},
				bench.Benchmark{Name: "memory/store/" + at.name, Unit: bench.NsPerOp, Limit: "memory/limit/store/" + at.name,
					Doc:   "Stores to guest RAM one after the other; all of it is compared afterwards",
					Setup: func(*bench.Env) (bench.Instance, error) { return storeInstance(width, at.off, ramStores[i], nil) }})
			limits = append(limits,
				bench.Benchmark{Name: "memory/limit/load/" + at.name, Unit: bench.NsPerOp,
					Doc:   "Loads of a Go slice one after the other, with bounds checks; their sum is known",
					Setup: func(*bench.Env) (bench.Instance, error) { return loadInstance(width, at.off, nil, sliceLoads[i]) }},
				bench.Benchmark{Name: "memory/limit/store/" + at.name, Unit: bench.NsPerOp,
					Doc:   "Stores to a Go slice one after the other, with bounds checks; all of it is compared afterwards",
					Setup: func(*bench.Env) (bench.Instance, error) { return storeInstance(width, at.off, nil, sliceStores[i]) }})
		}
	}
	all = append(all, bench.Benchmark{Name: "memory/store/64-watched", Unit: bench.NsPerOp, Limit: "memory/limit/store/64",
		Doc:   "The stores of memory/store/64, with another page watched, as it is when a translator runs",
		Setup: func(*bench.Env) (bench.Instance, error) { return storeInstance(8, 0, watchedStores, nil) }})
	for _, c := range []struct {
		name string
		size int
	}{{"64", 64}, {"256", 256}, {"4K", 4 << 10}, {"64K", 64 << 10}, {"1M", 1 << 20}, {"64M", 64 << 20}} {
		all = append(all,
			bench.Benchmark{Name: "memory/read/" + c.name, Unit: bench.BytesPerSec, Limit: "memory/limit/copy/" + c.name,
				Doc:   "So many bytes of guest RAM are copied out, from 4 MiB in turn or all at once; the last ones are compared",
				Setup: func(*bench.Env) (bench.Instance, error) { return copyInstance(c.size, true) }},
			bench.Benchmark{Name: "memory/write/" + c.name, Unit: bench.BytesPerSec, Limit: "memory/limit/copy-in/" + c.name,
				Doc:   "So many bytes are copied into guest RAM, to 4 MiB in turn or all at once; the last ones are compared",
				Setup: func(*bench.Env) (bench.Instance, error) { return copyInstance(c.size, false) }})
		limits = append(limits, bench.Benchmark{Name: "memory/limit/copy/" + c.name, Unit: bench.BytesPerSec,
			Doc: "So many bytes are copied from one Go slice to another, from 4 MiB in turn or all at once; the last ones are compared",
			Setup: func(*bench.Env) (bench.Instance, error) {
				return copyBetweenSlices(c.size, perSecond(copies(c.size)*c.size)), nil
			}},
			bench.Benchmark{Name: "memory/limit/copy-in/" + c.name, Unit: bench.BytesPerSec,
				Doc:   "So many bytes are copied from one Go slice to another, to 4 MiB in turn or all at once; the last ones are compared",
				Setup: func(*bench.Env) (bench.Instance, error) { return copyIntoSlice(c.size), nil }})
	}
	all = append(all, bench.Benchmark{Name: "memory/touch/4K", Unit: bench.NsPerOp,
		Doc:   "The first store to each page of guest RAM, of which the host may provide many at once; all of them are read back",
		Setup: func(*bench.Env) (bench.Instance, error) { return bench.Sampled(touch), nil }})
	all = append(all, bench.Benchmark{Name: "memory/prefault", Unit: bench.BytesPerSec, Limit: "memory/limit/prefault",
		Doc: "The host commits 256 MiB of new guest RAM, on all processors", Setup: func(*bench.Env) (bench.Instance, error) { return bench.Sampled(prefault), nil }})
	limits = append(limits, bench.Benchmark{Name: "memory/limit/prefault", Unit: bench.BytesPerSec,
		Doc: "256 MiB of new guest RAM are touched page by page, by one thread", Setup: func(*bench.Env) (bench.Instance, error) { return bench.Sampled(touchAll), nil }})
	return append(all, limits...)
}

const prefaultBytes = 256 << 20

// prefault commits new RAM for each operation.
func prefault(ctx context.Context, n int) (float64, error) {
	return committing(n, func(ram *memory.RAM) error { return ram.Prefault(ctx, nil) })
}

func touchAll(_ context.Context, n int) (float64, error) {
	return committing(n, func(ram *memory.RAM) error {
		for at := ram.Base(); at < ram.End(); at += memory.PageSize {
			if err := ram.Store8(at, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

func committing(n int, commit func(*memory.RAM) error) (float64, error) {
	var took time.Duration
	for range n {
		ram, err := memory.NewRAM(ramBase, prefaultBytes)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		err = commit(ram)
		took += time.Since(began)
		if err := errors.Join(err, ram.Close()); err != nil {
			return 0, err
		}
	}
	return perSecond(prefaultBytes)(n, max(took, 1)), nil
}

// pattern fills memory so that no two accesses side by side are alike.
func pattern(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8 + 3)
	}
}

// loadInstance measures loads of some width, of RAM or of a slice: whichever function there is.
func loadInstance(width, off int, ofRAM func(*memory.RAM, memory.GPA) (uint64, error), ofSlice func([]byte) uint64) (bench.Instance, error) {
	ram, err := memory.NewRAM(ramBase, 1<<20)
	if err != nil {
		return nil, err
	}
	b := make([]byte, accessBytes)
	pattern(b)
	if err := ram.Write(ramBase, b); err != nil {
		return nil, closeAll(err, ram.Close)
	}
	b = b[off:]
	var want, sum uint64
	for i := range accesses {
		for k := range width {
			want += uint64(b[i*width+k]) << (8 * k)
		}
	}
	work := func(n int) error {
		sum = 0
		for range n {
			v, err := ofRAM(ram, ramBase+memory.GPA(off))
			if err != nil {
				return err
			}
			sum += v
		}
		return nil
	}
	if ofSlice != nil {
		work = func(n int) error {
			sum = 0
			for range n {
				sum += ofSlice(b)
			}
			return nil
		}
	}
	return checked(nanoseconds(accesses), work, func(n int) error {
		if sum != want*uint64(n) {
			return fmt.Errorf("the sum is %#x, not %#x", sum, want*uint64(n))
		}
		return nil
	}, ram.Close), nil
}

// ramLoads are the loops over RAM, by width. Each is written out, so that nothing stands between it and the accessor, and goes by the address, as
// those over a slice go by the index.
var ramLoads = []func(*memory.RAM, memory.GPA) (uint64, error){
	func(r *memory.RAM, a memory.GPA) (sum uint64, err error) {
		for end := a + accesses; a < end; a++ {
			v, err := r.Load8(a)
			if err != nil {
				return 0, err
			}
			sum += uint64(v)
		}
		return sum, nil
	},
	func(r *memory.RAM, a memory.GPA) (sum uint64, err error) {
		for end := a + 2*accesses; a < end; a += 2 {
			v, err := r.Load16(a)
			if err != nil {
				return 0, err
			}
			sum += uint64(v)
		}
		return sum, nil
	},
	func(r *memory.RAM, a memory.GPA) (sum uint64, err error) {
		for end := a + 4*accesses; a < end; a += 4 {
			v, err := r.Load32(a)
			if err != nil {
				return 0, err
			}
			sum += uint64(v)
		}
		return sum, nil
	},
	func(r *memory.RAM, a memory.GPA) (sum uint64, err error) {
		for end := a + 8*accesses; a < end; a += 8 {
			v, err := r.Load64(a)
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	},
}

// sliceLoads are the same over a slice.
var sliceLoads = []func([]byte) uint64{
	func(b []byte) (sum uint64) {
		for i := range accesses {
			sum += uint64(b[i])
		}
		return sum
	},
	func(b []byte) (sum uint64) {
		for i := range accesses {
			sum += uint64(binary.LittleEndian.Uint16(b[2*i:]))
		}
		return sum
	},
	func(b []byte) (sum uint64) {
		for i := range accesses {
			sum += uint64(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return sum
	},
	func(b []byte) (sum uint64) {
		for i := range accesses {
			sum += binary.LittleEndian.Uint64(b[8*i:])
		}
		return sum
	},
}

// storeInstance measures stores of some width, to RAM or to a slice. The value is the number of the access, and that of the operation times step.
func storeInstance(width, off int, toRAM func(*memory.RAM, memory.GPA, uint64) error, toSlice func([]byte, uint64)) (bench.Instance, error) {
	ram, err := memory.NewRAM(ramBase, 1<<20)
	if err != nil {
		return nil, err
	}
	b := make([]byte, accessBytes)
	work := func(n int) error {
		for i := range uint64(n) {
			if err := toRAM(ram, ramBase+memory.GPA(off), i*step); err != nil {
				return err
			}
		}
		return nil
	}
	if toSlice != nil {
		work = func(n int) error {
			for i := range uint64(n) {
				toSlice(b[off:], i*step)
			}
			return nil
		}
	}
	return checked(nanoseconds(accesses), work, func(n int) error {
		got := b
		if toSlice == nil {
			if err := ram.Read(ramBase, got); err != nil {
				return err
			}
		}
		first := uint64(n-1) * step
		for i := range uint64(accesses) {
			for k := range width {
				if v := got[off+int(i)*width+k]; v != byte((first+i)>>(8*k)) {
					return fmt.Errorf("byte %d of store %d is %#x, not %#x", k, i, v, byte((first+i)>>(8*k)))
				}
			}
		}
		return nil
	}, ram.Close), nil
}

var ramStores = []func(*memory.RAM, memory.GPA, uint64) error{
	func(r *memory.RAM, a memory.GPA, v uint64) error {
		for end := a + accesses; a < end; a++ {
			if err := r.Store8(a, uint8(v)); err != nil {
				return err
			}
			v++
		}
		return nil
	},
	func(r *memory.RAM, a memory.GPA, v uint64) error {
		for end := a + 2*accesses; a < end; a += 2 {
			if err := r.Store16(a, uint16(v)); err != nil {
				return err
			}
			v++
		}
		return nil
	},
	func(r *memory.RAM, a memory.GPA, v uint64) error {
		for end := a + 4*accesses; a < end; a += 4 {
			if err := r.Store32(a, uint32(v)); err != nil {
				return err
			}
			v++
		}
		return nil
	},
	func(r *memory.RAM, a memory.GPA, v uint64) error {
		for end := a + 8*accesses; a < end; a += 8 {
			if err := r.Store64(a, v); err != nil {
				return err
			}
			v++
		}
		return nil
	},
}

// watchedStores watches the last page before it stores: what it stores to is not watched.
func watchedStores(r *memory.RAM, a memory.GPA, v uint64) error {
	if last := r.End() - memory.PageSize; r.Code().State(last) != memory.CodeWatched {
		r.Code().Watch(last)
	}
	return ramStores[3](r, a, v)
}

var sliceStores = []func([]byte, uint64){
	func(b []byte, v uint64) {
		for i := range accesses {
			b[i] = uint8(v)
			v++
		}
	},
	func(b []byte, v uint64) {
		for i := range accesses {
			binary.LittleEndian.PutUint16(b[2*i:], uint16(v))
			v++
		}
	},
	func(b []byte, v uint64) {
		for i := range accesses {
			binary.LittleEndian.PutUint32(b[4*i:], uint32(v))
			v++
		}
	},
	func(b []byte, v uint64) {
		for i := range accesses {
			binary.LittleEndian.PutUint64(b[8*i:], v)
			v++
		}
	},
}

// copies is how many of a size are one operation: as many as are 64 KiB, and one at least.
func copies(size int) int { return max(1, 64<<10/size) }

// The loops of copies step from place to place: with the place divided out of a number, a copy of 64 bytes was a quarter division, and what was compared
// was how well that went with what is around it.

// lastAt is where the last of n copies is.
func lastAt(n, size int) int { return (n - 1) * size % spanOf(size) }

// spanOf is how many bytes copies of a size go through.
func spanOf(size int) int { return max(copySpan, size) }

// copyInstance measures copies of a size out of RAM, or into it.
func copyInstance(size int, out bool) (bench.Instance, error) {
	ram, err := memory.NewRAM(ramBase, uint64(spanOf(size)))
	if err != nil {
		return nil, err
	}
	b := make([]byte, spanOf(size))
	pattern(b)
	if out {
		err = ram.Write(ramBase, b)
	} else {
		clear(b[:size])
		err = ram.Write(ramBase, make([]byte, len(b))) // as touched as it will be
	}
	if err != nil {
		return nil, closeAll(err, ram.Close)
	}
	p := make([]byte, size)
	each, end := copies(size), ram.End()
	work := func(n int) error { // written out, as loads and stores are
		a := ram.Base()
		for range n * each {
			if err := ram.Write(a, p); err != nil {
				return err
			}
			if a += memory.GPA(size); a == end {
				a = ram.Base()
			}
		}
		return nil
	}
	if out {
		work = func(n int) error {
			a := ram.Base()
			for range n * each {
				if err := ram.Read(a, p); err != nil {
					return err
				}
				if a += memory.GPA(size); a == end {
					a = ram.Base()
				}
			}
			return nil
		}
	}
	return checked(perSecond(each*size), work, func(n int) error {
		last := lastAt(n*each, size)
		if out {
			if !bytes.Equal(p, b[last:last+size]) {
				return errors.New("what was read is not what is there")
			}
			clear(p)
			return nil
		}
		s, err := ram.Slice(ramBase+memory.GPA(last), uint64(size))
		if err == nil && !bytes.Equal(p, s) {
			err = errors.New("what was written is not there")
		}
		for i := range p { // for the next time
			p[i]++
		}
		return err
	}, ram.Close), nil
}

// copyBetweenSlices is the limit of those out of RAM.
func copyBetweenSlices(size int, v value) bench.Instance {
	b, p := make([]byte, spanOf(size)), make([]byte, size)
	pattern(b)
	each := copies(size)
	return checked(v, func(n int) error {
		at := 0
		for range n * each {
			copy(p, b[at:])
			if at += size; at == len(b) {
				at = 0
			}
		}
		return nil
	}, func(n int) error {
		last := lastAt(n*each, size)
		if !bytes.Equal(p, b[last:last+size]) {
			return errors.New("what was copied is not what is there")
		}
		clear(p)
		return nil
	})
}

// copyIntoSlice is that of those into RAM: what changes is as much memory as there, of which the host's caches have to own each line.
func copyIntoSlice(size int) bench.Instance {
	b, p := make([]byte, spanOf(size)), make([]byte, size)
	for i := range b {
		b[i] = 1 // as touched as it will be
	}
	each := copies(size)
	return checked(perSecond(each*size), func(n int) error {
		at := 0
		for range n * each {
			copy(b[at:], p)
			if at += size; at == len(b) {
				at = 0
			}
		}
		return nil
	}, func(n int) error {
		if last := lastAt(n*each, size); !bytes.Equal(p, b[last:last+size]) {
			return errors.New("what was copied is not there")
		}
		for i := range p { // for the next time
			p[i]++
		}
		return nil
	})
}

// touch touches pages for the first time, in new RAM for each operation.
func touch(ctx context.Context, n int) (float64, error) {
	var took time.Duration
	for range n {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		d, err := touchNew()
		if err != nil {
			return 0, err
		}
		took += d
	}
	return nanoseconds(touchPages)(n, max(took, 1)), nil
}

func touchNew() (took time.Duration, err error) {
	ram, err := memory.NewRAM(ramBase, touchPages<<memory.PageShift)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ram.Close()) }()
	began := time.Now()
	for i := range memory.GPA(touchPages) {
		if err := ram.Store64(ramBase+i<<memory.PageShift, uint64(i)+1); err != nil {
			return 0, err
		}
	}
	took = time.Since(began)
	for i := range memory.GPA(touchPages) {
		v, err := ram.Load64(ramBase + i<<memory.PageShift)
		if err != nil {
			return 0, err
		}
		if v != uint64(i)+1 {
			return 0, fmt.Errorf("page %d holds %d", i, v)
		}
	}
	return took, nil
}
