package suite

// block/*: disk images as devices use them, and a request's whole way through the virtio block device.
//
// The images are small enough for the host's page cache: what is measured is this program, not the host's disks.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/device/virtio/blk"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/storage"
)

const imageBytes = 16 << 20

// backend is a kind of image.
type backend struct {
	name, doc string
	open      func(env *bench.Env) (storage.Image, error)
}

var backends = []backend{
	{"memory", "an image in memory", func(*bench.Env) (storage.Image, error) { return storage.NewMemory(imageBytes), nil }},
	{"file", "a raw image file", func(env *bench.Env) (storage.Image, error) { return openFile(env, false) }},
	{"snapshot", "a snapshot of a raw image file", func(env *bench.Env) (storage.Image, error) { return openFile(env, true) }},
}

// openFile opens a new image file. On systems that let an open file be removed, it is.
func openFile(env *bench.Env, snapshot bool) (storage.Image, error) {
	dir, err := os.MkdirTemp(env.Scratch, "block-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "image")
	content := make([]byte, imageBytes)
	pattern(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return nil, fmt.Errorf("making a disk image: %w", err)
	}
	return storage.Open(storage.Options{Path: path, Snapshot: snapshot})
}

// fill gives an image what pattern makes, where it is not there already.
func fill(img storage.Image) ([]byte, error) {
	b := make([]byte, img.Size())
	pattern(b)
	got := make([]byte, img.Size())
	if err := img.ReadvAt([][]byte{got}, 0); err != nil {
		return nil, err
	}
	if bytes.Equal(got, b) {
		return b, nil
	}
	return b, img.WritevAt([][]byte{b}, 0)
}

func blockGroup() []bench.Benchmark {
	var all []bench.Benchmark
	for _, b := range backends {
		for _, c := range []struct {
			name string
			size int
		}{{"4K", 4 << 10}, {"1M", 1 << 20}} {
			for _, do := range []struct {
				name, doc string
				make      func(storage.Image, int) (bench.Instance, error)
			}{{"read", "Reads of so many bytes from ", imageRead}, {"write", "Writes of so many bytes to ", imageWrite}} {
				all = append(all, bench.Benchmark{
					Name: "block/" + b.name + "/" + do.name + "/" + c.name, Unit: bench.BytesPerSec, Limit: "block/limit/bandwidth/" + c.name,
					Doc: do.doc + b.doc + ", in the host's page cache; the last one is compared",
					Setup: func(env *bench.Env) (bench.Instance, error) {
						img, err := b.open(env)
						if err != nil {
							return nil, err
						}
						return do.make(img, c.size)
					},
				})
			}
		}
	}
	for _, b := range backends {
		all = append(all, b.virtio(false, false)...)
	}
	all = append(all, backends[0].virtio(true, false)...) // rings and transports know nothing of images
	all = append(all, backends[0].virtio(false, true)...)
	all = append(all, backends[0].bandwidth()...)
	all = append(all, bench.Benchmark{
		Name: "block/validate", Unit: bench.NsPerOp, Doc: "The check that every request of a disk passes; which ones it refuses is known",
		Setup: func(*bench.Env) (bench.Instance, error) { return validateInstance() },
	})
	for _, l := range []struct {
		name string
		size int
		unit bench.Unit
	}{
		{"bandwidth/4K", 4 << 10, bench.BytesPerSec}, {"bandwidth/1M", 1 << 20, bench.BytesPerSec},
		{"copy/512", 512, bench.NsPerOp}, {"copy/4096", 4096, bench.NsPerOp},
	} {
		all = append(all, bench.Benchmark{
			Name: "block/limit/" + l.name, Unit: l.unit, Doc: "Copies of so many bytes in memory, from 4 MiB in turn; the last one is compared",
			Setup: func(*bench.Env) (bench.Instance, error) {
				v := perSecond(copies(l.size) * l.size)
				if l.unit == bench.NsPerOp {
					v = nanoseconds(copies(l.size))
				}
				return copyBetweenSlices(l.size, v), nil
			},
		})
	}
	return all
}

// virtio is the block device with the image, with rings of either format, over either transport.
func (b backend) virtio(packed, pci bool) []bench.Benchmark {
	var all []bench.Benchmark
	for _, sector := range []int{512, 4096} {
		for _, depth := range []int{1, 16} {
			for _, do := range []struct {
				name string
				kind uint32
			}{{"read", blkIn}, {"write", blkOut}} {
				name := "block/virtio/" + b.name + "/" + do.name + "/" + strconv.Itoa(sector)
				doc := "A request of one sector through the virtio block device, from the ring to the interrupt, "
				if depth > 1 {
					name, doc = name+"-queued", doc+"sixteen of them at a time, "
				}
				if packed {
					name, doc = name+"-packed", doc+"in a packed ring, "
				}
				if pci {
					name, doc = name+"-pci", doc+"over PCI, whose registers are reached by the bus, "
				}
				all = append(all, bench.Benchmark{
					Name: name, Unit: bench.NsPerOp, Limit: "block/limit/copy/" + strconv.Itoa(sector), Doc: doc + "with " + b.doc + "; the data is compared",
					Setup: func(env *bench.Env) (bench.Instance, error) {
						img, err := b.open(env)
						if err != nil {
							return nil, err
						}
						return virtioInstance(img, traffic{kind: do.kind, size: sector, depth: depth, packed: packed, pci: pci})
					},
				})
			}
		}
	}
	return all
}

// requestSizes are those of which the bandwidth is measured.
var requestSizes = []struct {
	name string
	size int
}{{"4K", 4 << 10}, {"16K", 16 << 10}, {"64K", 64 << 10}, {"256K", 256 << 10}, {"1M", 1 << 20}}

// bandwidth is single requests of several sizes, beside copies of the same between memory of the same kinds.
func (b backend) bandwidth() []bench.Benchmark {
	var all []bench.Benchmark
	for _, c := range requestSizes {
		for _, do := range []struct {
			name string
			kind uint32
			same string // of the limit: the slice is what the image is
			doc  string
		}{
			{"read", blkIn, "same/", "from a slice to the same place in guest RAM, one behind another there"},
			{"write", blkOut, "same-in/", "from the same place in guest RAM to a slice, one behind another there"},
		} {
			limit := "block/limit/" + do.same + c.name
			all = append(all, bench.Benchmark{
				Name: "block/virtio/" + b.name + "/" + do.name + "/bandwidth/" + c.name, Unit: bench.BytesPerSec, Limit: limit,
				Doc: "Requests of so many bytes through the virtio block device, one behind another and one at a time, with " + b.doc + "; the last one's data is compared",
				Setup: func(env *bench.Env) (bench.Instance, error) {
					img, err := b.open(env)
					if err != nil {
						return nil, err
					}
					return virtioInstance(img, traffic{kind: do.kind, size: c.size, depth: 1, walks: true})
				},
			}, bench.Benchmark{
				Name: limit, Unit: bench.BytesPerSec, Doc: "copy() of so many bytes " + do.doc + "; the last one is compared",
				Setup: func(*bench.Env) (bench.Instance, error) { return sameCopy(c.size, do.kind) },
			})
		}
	}
	return all
}

// sameCopy copies as a request of a kind does: between a slice as large as an image, where each copy is behind the one before, and the place in RAM where
// a driver has its buffer.
func sameCopy(size int, kind uint32) (bench.Instance, error) {
	ram, err := memory.NewRAM(ramBase, driverBytes)
	if err != nil {
		return nil, err
	}
	p, err := ram.Slice(bufferBase, uint64(size))
	if err != nil {
		return nil, closeAll(err, ram.Close)
	}
	b := make([]byte, imageBytes)
	pattern(b)
	work := func(n int) error {
		for i := range n {
			copy(p, b[place(i, size):])
		}
		return nil
	}
	forget := func() { clear(p) }
	if kind == blkOut {
		work = func(n int) error {
			for i := range n {
				copy(b[place(i, size):], p)
			}
			return nil
		}
		forget = func() {
			for i := range p {
				p[i]++
			}
		}
	}
	return checked(perSecond(size), work, func(n int) error {
		last := place(n-1, size)
		if !bytes.Equal(p, b[last:last+int64(size)]) {
			return errors.New("what was copied is not what is there")
		}
		forget()
		return nil
	}, ram.Close), nil
}

// validateInstance measures the check of a request.
func validateInstance() (bench.Instance, error) {
	const each = 1 << 10
	d, err := blk.New(storage.NewMemory(1<<20), blk.Options{Sector: 4096})
	if err != nil {
		return nil, err
	}
	refused := 0
	return checked(nanoseconds(each), func(n int) error {
		refused = 0
		for range n {
			refused += d.Checks(each)
		}
		return nil
	}, func(n int) error {
		if want := n * each / 16; refused != want {
			return fmt.Errorf("%d requests were refused, want %d", refused, want)
		}
		return nil
	}), nil
}

// place is where in an image the request with a number is.
func place(i, size int) int64 { return int64(i) * int64(size) % imageBytes }

func imageRead(img storage.Image, size int) (bench.Instance, error) {
	content, err := fill(img)
	if err != nil {
		return nil, closeAll(err, img.Close)
	}
	p := make([]byte, size)
	bufs := [][]byte{p}
	each := copies(size)
	return checked(perSecond(each*size), func(n int) error {
		for i := range n * each {
			if err := img.ReadvAt(bufs, place(i, size)); err != nil {
				return err
			}
		}
		return nil
	}, func(n int) error {
		last := place(n*each-1, size)
		if !bytes.Equal(p, content[last:last+int64(size)]) {
			return errors.New("what was read is not what the image holds")
		}
		clear(p)
		return nil
	}, img.Close), nil
}

func imageWrite(img storage.Image, size int) (bench.Instance, error) {
	if _, err := fill(img); err != nil {
		return nil, closeAll(err, img.Close)
	}
	p, got := make([]byte, size), make([]byte, size)
	bufs := [][]byte{p}
	each := copies(size)
	return checked(perSecond(each*size), func(n int) error {
		for i := range n * each {
			if err := img.WritevAt(bufs, place(i, size)); err != nil {
				return err
			}
		}
		return nil
	}, func(n int) error {
		if err := img.ReadvAt([][]byte{got}, place(n*each-1, size)); err != nil {
			return err
		}
		if !bytes.Equal(p, got) {
			return errors.New("what was written is not what the image holds")
		}
		for i := range p { // for the next time
			p[i]++
		}
		return nil
	}, img.Close), nil
}

// virtioInstance measures requests through the virtio block device: how much there was in a second of those that walk, and how long one takes of others.
func virtioInstance(img storage.Image, t traffic) (bench.Instance, error) {
	content, err := fill(img)
	if err != nil {
		return nil, closeAll(err, img.Close)
	}
	d, err := newDisk(img, t)
	if err != nil {
		return nil, closeAll(err, img.Close)
	}
	v := nanoseconds(t.depth)
	if t.walks {
		v = perSecond(t.size)
	}
	got, want := make([]byte, t.depth*t.size), make([]byte, t.depth*t.size)
	round := byte(0)
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		last := int64(0)
		if t.walks {
			last = place(n-1, t.size)
		}
		clear(got)
		if t.kind == blkOut {
			round++
			for i := range got {
				got[i] = byte(i) ^ round
			}
			copy(want, got)
		} else {
			copy(want, content[last:])
		}
		if err := errors.Join(d.forget(), d.ram.Write(d.buffer(0), got)); err != nil {
			return 0, err
		}
		began := time.Now()
		for i := range n {
			if t.walks {
				if err := d.seek(0, place(i, t.size)); err != nil {
					return 0, err
				}
			}
			if err := d.do(ctx); err != nil {
				return 0, err
			}
		}
		took := max(time.Since(began), 1)
		if err := d.done(); err != nil {
			return 0, err
		}
		if t.kind == blkIn {
			err = d.ram.Read(d.buffer(0), got)
		} else {
			err = img.ReadvAt([][]byte{got}, last)
		}
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("the image and guest memory differ")
		}
		return v(n, took), err
	}, d.close, img.Close), nil
}
