//go:build amd64 || arm64 || riscv64

package storage

// Transfers that nobody waits for, against a byte array; and what they leave to the call that waits.

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	asyncAtOnce = 16
	asyncPart   = 64 << 10 // of the image, for each transfer at a time
)

// openAsync opens an image that has transfers, with memory as guests have it.
func openAsync(t *testing.T) (d directImage, tr Transfers, mem []byte) {
	img, err := Open(Options{Path: create(t, filepath.Join(t.TempDir(), "disk"), CreateOptions{Size: asyncAtOnce * asyncPart}), Cache: CacheNone})
	if err != nil && strings.Contains(err.Error(), "use another cache mode") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	d = img.(directImage)
	if tr, err = d.Transfers(); err != nil {
		t.Skip(err) // a kernel without them
	}
	if mem, err = unix.Mmap(-1, 0, asyncAtOnce*asyncPart, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	if err := d.WritevAt([][]byte{mem}, 0); err != nil { // file systems wait for room
		t.Fatal(err)
	}
	return d, tr, mem
}

// Reads and writes in scattered buffers, as many at a time as there may be, begun by several goroutines. What the host does not take is done by waiting.
func TestTransfersEqualModel(t *testing.T) {
	d, tr, mem := openAsync(t)
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	align := int(d.f.direct.align)
	var ended [asyncAtOnce]chan bool
	for i := range ended {
		ended[i] = make(chan bool, 1)
	}
	go func() {
		var e [asyncAtOnce]Ended
		for {
			n := tr.Wait(e[:])
			if n == 0 {
				return
			}
			for _, e := range e[:n] {
				ended[e.ID] <- e.Whole
			}
		}
	}()
	var all sync.WaitGroup
	var whole atomic.Int32
	for id := range asyncAtOnce {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(id)))
			model := make([]byte, asyncPart)
			base := id * asyncPart
			for range rounds {
				off := rng.IntN(asyncPart/align) * align
				n := (1 + rng.IntN((asyncPart-off)/align)) * align
				b := mem[base : base+n : base+n]
				var bufs [][]byte
				for rest := b; len(rest) > 0; {
					k := min(len(rest), (1+rng.IntN(4))*align)
					bufs, rest = append(bufs, rest[:k]), rest[k:]
				}
				write := rng.IntN(2) == 0
				if write {
					for i := range b {
						b[i] = byte(rng.Uint32())
					}
					copy(model[off:], b)
				} else {
					clear(b)
				}
				at := int64(base + off)
				if tr.Begin(id, write, bufs, at, rng.IntN(2) == 0) && <-ended[id] {
					whole.Add(1)
				} else {
					do := d.ReadvAt
					if write {
						do = d.WritevAt
					}
					if err := do(bufs, at); err != nil {
						t.Error(err)
						return
					}
				}
				if !bytes.Equal(b, model[off:off+n]) {
					t.Errorf("%d bytes at %d: not what was written", n, at)
					return
				}
			}
		})
	}
	all.Wait()
	tr.Stop()
	if n := whole.Load(); tr.Refused() {
		t.Skip("this file system has none")
	} else if n < int32(asyncAtOnce*rounds/2) {
		t.Errorf("of %d transfers %d were whole", asyncAtOnce*rounds, n)
	}
}

// What is not for the host to take is refused, and begins nothing; what did not come out whole says so; and who is told to stop does, without an end for the next one.
func TestTransfersRefuse(t *testing.T) {
	d, tr, mem := openAsync(t)
	page := mem[:4096:4096]
	for name, c := range map[string]struct {
		write bool
		bufs  [][]byte
		off   int64
	}{
		"nothing":              {false, nil, 0},
		"past the end":         {false, [][]byte{page}, asyncAtOnce * asyncPart},
		"below the start":      {true, [][]byte{page}, -4096},
		"a part of a block":    {true, [][]byte{page[:100]}, 0},
		"inside a block":       {false, [][]byte{page}, 100},
		"memory inside a page": {true, [][]byte{mem[1:4097]}, 0},
		"too many buffers": {false, func() (b [][]byte) {
			for range vectorLen + 1 {
				b = append(b, page)
			}
			return b
		}(), 0},
	} {
		if tr.Begin(0, c.write, c.bufs, c.off, true) {
			t.Errorf("%s: it was begun", name)
		}
	}
	d.f.direct.mu.Lock() // a part of a block is being written
	if tr.Begin(0, true, [][]byte{page}, 0, true) {
		t.Error("a write was begun beside that of a part of a block")
	}
	d.f.direct.mu.Unlock()

	var e [1]Ended
	for _, answer := range []struct {
		moved int64
		errno syscall.Errno
		whole bool
	}{{0, syscall.EIO, false}, {512, 0, false}, {0, 0, false}, {4096, 0, true}} {
		d.f.intercept = func(hostCall, func(int64) (int64, syscall.Errno)) (int64, syscall.Errno) {
			return answer.moved, answer.errno
		}
		if !tr.Begin(0, true, [][]byte{page}, 0, true) {
			t.Skip("this file system has none")
		}
		if tr.Wait(e[:]) != 1 || e[0].Whole != answer.whole {
			t.Errorf("%v: whole is %v", answer, e[0].Whole)
		}
	}
	d.f.intercept = nil
	if !d.f.direct.mu.TryLock() {
		t.Error("a write that has ended keeps others from parts of blocks")
	} else {
		d.f.direct.mu.Unlock()
	}

	for range 3 { // by one user after the other
		over := make(chan int)
		go func() { over <- tr.Wait(e[:]) }()
		tr.Stop()
		if n := <-over; n != 0 {
			t.Errorf("stopped, %d transfers have ended", n)
		}
		if again, err := d.Transfers(); again != tr || err != nil {
			t.Errorf("the image has others now: %v", err)
		}
	}
}

// A write where the file has no room yet would have to wait for some: who must not wait hears that nothing was done, or all of it.
func TestTransfersDoNotWait(t *testing.T) {
	d, tr, mem := openAsync(t)
	if err := d.WriteZeroes(0, asyncPart, true); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []bool{false, true} {
		page := mem[:4096:4096]
		for i := range page {
			page[i] = byte(i)
		}
		var e [1]Ended
		if !tr.Begin(0, true, [][]byte{page}, 0, wait) {
			t.Skip("this file system has none")
		}
		if tr.Wait(e[:]) != 1 || wait && !e[0].Whole {
			t.Fatalf("wait %v: %+v", wait, e)
		}
		got := make([]byte, 4096)
		if err := d.ReadvAt([][]byte{got}, 0); err != nil {
			t.Fatal(err)
		}
		if zero := bytes.Equal(got, make([]byte, 4096)); e[0].Whole != bytes.Equal(got, page) || !e[0].Whole && !zero {
			t.Errorf("wait %v, whole %v: something else was written", wait, e[0].Whole)
		}
	}
}

// Writes that each wait for the disk are none of these, as it has to be known whose fault a failure is.
func TestNoTransfersWriteThrough(t *testing.T) {
	d, _, _ := openAsync(t)
	d.f.dsync = true
	if _, err := d.Transfers(); err == nil {
		t.Error("there are some")
	}
	d.f.dsync = false
}
