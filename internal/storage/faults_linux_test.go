package storage

// Hosts that fail: whatever a call of an image file answers, an error, less than was asked for, no space, try again, the guest is told of what was not done, and nothing
// that was acknowledged is lost.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

var (
	faultSeed = flag.Uint64("seed", 1, "first seed of TestFaults")
	faultRuns = flag.Int("runs", 12, "seeds of each kind of image in TestFaults")
	faultOps  = flag.Int("ops", 300, "requests of each run of TestFaults")
)

const (
	faultSector       = 512 // bytes
	sectorsPerCluster = 8   // of the images with the largest clusters
)

// faultyImage is an image on hosts that fail.
type faultyImage struct {
	Image
	o     Options
	file  *file // that is written
	host  *faultyHost
	below *faultyHost // of what a snapshot is over; nil otherwise
	raw   bool        // there is nothing between requests and calls
}

// onFaultyHost lets calls of a file fail.
func onFaultyHost(t *testing.T, rng *rand.Rand, f *file, path string) *faultyHost {
	h := &faultyHost{t: t, rng: rng, dsync: f.dsync, align: 1, touched: map[int64]bool{}}
	if f.direct != nil {
		h.align = f.direct.align
	}
	var err error
	if h.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.file.Close() })
	h.settle()
	f.intercept = h.intercept
	return h
}

// openFaulty opens an image whose file's host fails.
func openFaulty(t *testing.T, rng *rand.Rand, o Options) faultyImage {
	f, err := openFile(o.Path, !o.Snapshot, o.Cache, nil)
	if err != nil {
		t.Skip(err) // a file system without direct access
	}
	if f.direct != nil && rng.IntN(2) == 0 {
		f.direct = makeDirect(directAlign) // of more than a sector: requests are about parts of blocks
	}
	img, err := f.image(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := onFaultyHost(t, rng, f, o.Path)
	raw := FormatOf(o.Path) == FormatRaw
	if !o.Snapshot {
		h.advice = !raw
		if !raw {
			h.align = max(h.align, faultSector) // no host stops in the midst of an entry of a table
		}
		return faultyImage{img, o, f, h, nil, raw}
	}
	s, err := newSnapshot(img)
	if err != nil {
		t.Fatal(err)
	}
	return faultyImage{s, o, s.top, onFaultyHost(t, rng, s.top, fmt.Sprintf("/proc/self/fd/%d", s.top.fd)), h, raw}
}

// failures are those of all its hosts.
func (f *faultyImage) failures() int {
	n := f.host.failures()
	if f.below != nil {
		n += f.below.failures()
	}
	return n
}

// now asks for a request at once, or does not, and then for what could not be served so by way of what waits.
func now(img Image, rng *rand.Rand, at func(Prompt, [][]byte, int64) (bool, error), wait func(Image, [][]byte, int64) error, bufs [][]byte, off int64) error {
	if p, ok := img.(Prompt); ok && rng.IntN(2) == 0 {
		if done, err := at(p, bufs, off); done {
			return err
		}
	}
	return wait(img, bufs, off)
}

// versions are what a sector may hold. What was written when is told by the number that fills it; 0 is zeros.
type versions []uint32

// pattern fills a sector with a version.
func pattern(b []byte, sector int, v uint32) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint32(b[i:], v)
		binary.LittleEndian.PutUint32(b[i+4:], uint32(sector+1)*min(v, 1))
	}
}

// allow says whether each byte of a sector is that of one of the versions: a write that fails may end anywhere.
func (v versions) allow(sector int, b []byte) bool {
	left := len(b)
	seen := make([]bool, len(b))
	want := make([]byte, len(b))
	for _, version := range v {
		pattern(want, sector, version)
		for i := range b {
			if !seen[i] && b[i] == want[i] {
				seen[i] = true
				left--
			}
		}
	}
	return left == 0
}

// add is with one more.
func (v versions) add(more ...uint32) versions {
	v = slices.Clone(v)
	for _, m := range more {
		if !slices.Contains(v, m) {
			v = append(v, m)
		}
	}
	return v
}

// expectation is what is known of each sector.
type expectation struct {
	read  []versions // it may be read as
	disk  []versions // it may be after a power cut
	loose []bool     // it may be read as anything
}

// changed notes a request that makes a range what a version is, or, when it failed, may have done so.
func (e *expectation) changed(first, n int, err error, durable bool, to ...uint32) {
	for i := first; i < first+n; i++ {
		if err != nil || len(to) > 1 {
			e.read[i] = e.read[i].add(to...)
		} else {
			e.read[i] = to
			e.loose[i] = false
		}
		if e.disk[i] = e.disk[i].add(to...); durable {
			e.disk[i] = e.read[i]
		}
	}
}

// flushed notes a flush that was acknowledged.
func (e *expectation) flushed() { copy(e.disk, e.read) }

// forgotten notes that a sync has failed. Where the image is not raw, clusters that were changed since the last one are in places now that may have lost all that was
// written there, what was copied as well; the places they had are as they were, and are found when the image is opened again.
func (e *expectation) forgotten(raw bool) {
	for i := range e.read {
		e.disk[i] = e.disk[i].add(e.read[i]...)
		e.read[i] = e.disk[i]
	}
	for i := range e.read {
		cluster := e.disk[i&^(sectorsPerCluster-1):][:sectorsPerCluster]
		e.loose[i] = !raw && slices.ContainsFunc(cluster, func(v versions) bool { return len(v) > 1 })
	}
}

// check says which of the sectors from first on is none of what it may be, but for those that are loose.
func check(may []versions, loose []bool, first int, b []byte) error {
	for i := first; len(b) > 0; i++ {
		if s := b[:faultSector]; !loose[i] && !may[i].allow(i, s) {
			return fmt.Errorf("sector %d begins as version %d, not as one of %v", i, binary.LittleEndian.Uint32(s), may[i])
		}
		b = b[faultSector:]
	}
	return nil
}

// Of every kind of image and cache mode: a request succeeds when, and for raw images only when, each of its calls was carried out in the end; after a sync that failed no
// flush succeeds; what is read is what was written; and what a flush acknowledged is in the file after a close, a kill and a power cut.
func TestFaults(t *testing.T) {
	const size = 96 << 10
	runs := *faultRuns
	if testing.Short() {
		runs = min(runs, 3)
	}
	for _, c := range []struct {
		name     string
		o        CreateOptions
		snapshot bool
	}{
		{"raw.img", CreateOptions{Size: size, Sector: 512}, false},
		{"snapshot.img", CreateOptions{Size: size, Sector: 512}, true},
		{"snapshot.qcow2", CreateOptions{Size: size, Sector: 512, ClusterSize: 4096}, true},
		{"small.qcow2", CreateOptions{Size: size, Sector: 512, ClusterSize: 512}, false},
		{"usual.qcow2", CreateOptions{Size: size, Sector: 512, ClusterSize: 4096}, false},
		{"overlay.qcow2", CreateOptions{ClusterSize: 4096, Backing: "base.img"}, false},
	} {
		for _, cache := range CacheModes() {
			t.Run(c.name+" "+cache, func(t *testing.T) {
				for run := range runs {
					seed := *faultSeed + uint64(run)
					dir := t.TempDir()
					base := filepath.Join(dir, "base.img")
					content := make([]byte, size)
					for i := range size / faultSector {
						pattern(content[i*faultSector:][:faultSector], i, 1)
					}
					if err := os.WriteFile(base, content, 0o600); err != nil {
						t.Fatal(err)
					}
					o := Options{Path: create(t, filepath.Join(dir, c.name), c.o), Cache: cache, Snapshot: c.snapshot}
					if c.o.Backing == "" {
						img := mustOpen(t, Options{Path: o.Path})
						if err := errors.Join(img.WritevAt([][]byte{content}, 0), img.Close()); err != nil {
							t.Fatal(err)
						}
					}
					if err := faultRun(t, o, seed); err != nil {
						t.Fatalf("-seed %d -runs 1: %v", seed, err)
					}
				}
			})
		}
	}
}

// faultRun is one machine's life with an image that holds version 1.
func faultRun(t *testing.T, o Options, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 6))
	img := openFaulty(t, rng, o)
	img.host.steady = seed%2 == 0
	before := img.host.contents()
	if img.below != nil {
		before = img.below.contents()
	}
	sectors := img.Size() / faultSector
	e := expectation{make([]versions, sectors), make([]versions, sectors), make([]bool, sectors)}
	for i := range e.read {
		e.read[i], e.disk[i] = versions{1}, versions{1}
	}
	buffer := make([]byte, img.Size()+8192)
	buffer = buffer[-int64(addressOf(buffer))&4095:][:img.Size()]
	for step := range *faultOps {
		first := rng.IntN(len(e.read))
		n := min(1+rng.IntN(40), len(e.read)-first)
		if rng.IntN(2) == 0 { // as direct access likes it
			first &^= 7
			n = min(n+7, len(e.read)-first) &^ 7
		}
		off, b := int64(first)*faultSector, buffer[:n*faultSector]
		bufs := [][]byte{b}
		if rng.IntN(2) == 0 {
			bufs = split(rng, b)
		}
		version := uint32(step + 2)
		lost := img.host.lost
		kind := rng.IntN(16)
		var err error
		switch {
		case kind < 6:
			for i := range n {
				pattern(b[i*faultSector:][:faultSector], first+i, version)
			}
			err = now(img.Image, rng, Prompt.WritevNow, Image.WritevAt, bufs, off)
			e.changed(first, n, err, img.file.dsync && img.raw && err == nil, version)
		case kind < 8:
			err = img.WriteZeroes(off, int64(len(b)), kind == 6)
			e.changed(first, n, err, false, 0)
		case kind == 8:
			err = img.Discard(off, int64(len(b)))
			e.changed(first, n, nil, false, 0, 1)
		case kind < 11:
			if err = img.Flush(); err == nil && lost {
				return fmt.Errorf("step %d: a flush succeeded after a sync that failed", step)
			}
			if err == nil && o.Cache != CacheUnsafe {
				e.flushed()
			}
		default:
			if err = now(img.Image, rng, Prompt.ReadvNow, Image.ReadvAt, bufs, off); err != nil {
				break
			}
			if err := check(e.read, e.loose, first, b); err != nil {
				return fmt.Errorf("step %d: a read: %w", step, err)
			}
		}
		if img.host.lost && !lost {
			e.forgotten(img.raw)
		}
		n = img.failures()
		if n > 0 && err == nil {
			return fmt.Errorf("step %d: request %d: %d calls failed, and it has not", step, kind, n)
		}
		if n == 0 && err != nil && img.raw && !lost {
			return fmt.Errorf("step %d: request %d: no call failed, and it has: %w", step, kind, err)
		}
	}
	if err := img.end(seed, &e); err != nil {
		return err
	}
	if !o.Snapshot {
		return left(o, &e)
	}
	if !bytes.Equal(before, img.below.contents()) {
		return errors.New("the image under a snapshot has changed")
	}
	return nil
}

// end ends a machine in one of three ways.
func (f *faultyImage) end(seed uint64, e *expectation) error {
	lost := f.host.lost
	switch how := seed % 3; {
	case how == 0: // it is closed
		err := f.Close()
		n := f.failures()
		switch flushes := !f.o.Snapshot && f.o.Cache != CacheUnsafe; {
		case err == nil && (n > 0 || lost && flushes):
			return fmt.Errorf("%d calls failed, %v a sync before, and closing has not", n, lost)
		case err == nil:
			e.flushed()
		case f.host.lost && !lost:
			e.forgotten(f.raw)
		}
		return nil
	case how == 1 && f.o.Cache != CacheUnsafe: // the power is cut
		f.host.lose()
	case f.raw: // it is killed: what reached the host's cache is there
		e.flushed()
	}
	return f.file.f.Close()
}

// left checks what a machine has left.
func left(o Options, e *expectation) error {
	img, err := Open(Options{Path: o.Path, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("what is left: %w", err)
	}
	defer img.Close()
	if q, ok := img.(*qcow2.Image); ok {
		if r, err := q.Check(qcow2.RepairNothing); err != nil || r.Corruptions > 0 {
			return fmt.Errorf("the check of what is left: %+v (%w)", r, err)
		}
	}
	b := make([]byte, img.Size())
	if err := img.ReadvAt([][]byte{b}, 0); err != nil {
		return fmt.Errorf("what is left: %w", err)
	}
	if err := check(e.disk, make([]bool, len(e.disk)), 0, b); err != nil {
		return fmt.Errorf("what is left: %w", err)
	}
	return nil
}

// A host tells of what it could not write once, one of the syncs that are in flight: none of the others acknowledges anything.
func TestSyncsSideBySide(t *testing.T) {
	f := mustOpen(t, Options{Path: imageFile(t, 8192)}).(*file)
	entered, release := make(chan struct{}, 4), make(chan struct{}) // room for all calls there are, also where it fails
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	first := true
	var mu sync.Mutex
	f.intercept = func(hostCall, func(int64) (int64, syscall.Errno)) (int64, syscall.Errno) {
		mu.Lock()
		slow := first
		first = false
		mu.Unlock()
		entered <- struct{}{}
		if slow {
			<-release
			return 0, syscall.EIO
		}
		return 0, 0
	}
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- f.Flush() }()
		<-entered
	}
	select { // the second has its answer from the host, and must not give it on
	case err := <-results:
		t.Fatalf("a flush did not wait for the one beside it: %v", err)
	default:
	}
	let()
	for range 2 {
		if err := <-results; !errors.Is(err, syscall.EIO) {
			t.Errorf("error %v", err)
		}
	}
	if err := f.Flush(); !errors.Is(err, syscall.EIO) {
		t.Errorf("afterwards: error %v", err)
	}
	f.intercept = nil
}

// A write through the host's cache that could not be made durable ends all flushes, as the host may have told it of another's.
func TestWriteThroughFails(t *testing.T) {
	f := mustOpen(t, Options{Path: imageFile(t, 8192), Cache: CacheWritethrough}).(*file)
	for _, c := range []struct {
		errno syscall.Errno
		flush error
	}{{syscall.ENOSPC, nil}, {syscall.EIO, syscall.EIO}} {
		f.intercept = func(hostCall, func(int64) (int64, syscall.Errno)) (int64, syscall.Errno) { return 0, c.errno }
		if err := f.WritevAt([][]byte{make([]byte, 512)}, 0); !errors.Is(err, c.errno) {
			t.Errorf("error %v", err)
		}
		f.intercept = nil
		if err := f.Flush(); !errors.Is(err, c.flush) {
			t.Errorf("a flush after %v: %v", c.errno, err)
		}
	}
}
