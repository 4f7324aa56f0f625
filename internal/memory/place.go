package memory

// Where RAM comes from on the host: the size of its pages, the nodes they lie on, and whether they are there from the start.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vmproject/vm/internal/memory/numa"
)

// Placement says what the host is asked for. The zero value is pages as they come: huge ones where the host has them to spare, each
// committed when it is first touched.
type Placement struct {
	// HugePage is the size in bytes of pages from the host's pool of huge pages (hugetlbfs): 2 MiB, 1 GiB, or 0 for none. They are reserved when RAM is made, and RAM
	// cannot be mapped a second time by smaller pages.
	HugePage uint64
	// Parts are consecutive parts of RAM and where each of them lies. They add up to its size, and begin at multiples of HugePage. None: all as the process has it.
	Parts []Part
}

// Part is a part of RAM.
type Part struct {
	Size   uint64 // bytes
	Policy numa.Policy
}

// The sizes of huge pages.
const (
	huge2M = 2 << 20
	huge1G = 1 << 30
)

// check says what is wrong with a placement of size bytes.
func (p *Placement) check(size uint64) error {
	unit := uint64(PageSize)
	if p.HugePage != 0 {
		unit = p.HugePage
		if unit != huge2M && unit != huge1G {
			return fmt.Errorf("huge pages of %d bytes: there are some of 2M and of 1G", unit)
		}
		if size%unit != 0 {
			return fmt.Errorf("%d MiB of guest memory in huge pages of %d MiB: give the machine a multiple of that", size>>20, unit>>20)
		}
	}
	sum := uint64(0)
	for _, part := range p.Parts {
		if part.Size == 0 || part.Size%unit != 0 || part.Size > size-sum {
			return fmt.Errorf("a part of %d bytes of guest memory: parts are multiples of %d bytes and add up to all of it, %d", part.Size, unit, size)
		}
		sum += part.Size
	}
	if len(p.Parts) > 0 && sum != size {
		return fmt.Errorf("parts of guest memory of %d bytes together: it has %d", sum, size)
	}
	return nil
}

// apply gives the parts of a fresh mapping their policies.
func (p *Placement) apply(mem []byte) error {
	for _, part := range p.Parts {
		if err := part.Policy.Apply(mem[:part.Size]); err != nil {
			return err
		}
		mem = mem[part.Size:]
	}
	return nil
}

// prefaultChunk is how many bytes one thread commits at a time: of the largest pages, one.
const prefaultChunk = huge1G / 8

// Prefault commits all of RAM now, on as many threads as there are processors, so that the guest's first touch of a page costs it nothing and a host without memory
// to spare says so. progress, if it is not nil, is told now and then how many bytes are there, by one goroutine at a time. No guest may run.
func (r *RAM) Prefault(ctx context.Context, progress func(done uint64)) error {
	chunk := max(uint64(prefaultChunk), r.huge)
	size := r.Size()
	var next, done atomic.Uint64
	var failed atomic.Pointer[error]
	var telling sync.Mutex
	var threads sync.WaitGroup
	for range min(uint64(runtime.GOMAXPROCS(0)), (size+chunk-1)/chunk) {
		threads.Go(func() {
			for failed.Load() == nil && ctx.Err() == nil {
				at := next.Add(chunk) - chunk
				if at >= size {
					return
				}
				// In pieces, so that progress is steady and a stop is heard.
				piece := max(uint64(huge2M*8), r.huge)
				for end := min(at+chunk, size); at < end && ctx.Err() == nil; at += piece {
					mem := r.mem[at:min(at+piece, end)]
					if err := populate(mem); err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
					done.Add(uint64(len(mem)))
					if progress != nil && telling.TryLock() {
						progress(done.Load())
						telling.Unlock()
					}
				}
			}
		})
	}
	threads.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("committing %d MiB of guest memory: %w: give the machine less, or leave --prefault out", size>>20, *err)
	}
	if progress != nil && ctx.Err() == nil {
		progress(size)
	}
	return ctx.Err()
}

// errNoHugePages is why there are none.
var errNoHugePages = errors.New("the host's pool has too few of them")
