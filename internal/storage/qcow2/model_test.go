package qcow2

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vmproject/vm/internal/storage/hostio"
)

var (
	ops  = flag.Int("ops", 2000, "operations of each model test")
	seed = flag.Uint64("seed", 1, "seed of the model tests")
)

// memBacking is a backing file in memory.
type memBacking []byte

func (m memBacking) ReadvAt(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		off += int64(copy(b, m[off:]))
	}
	return nil
}
func (m memBacking) Size() int64  { return int64(len(m)) }
func (m memBacking) Close() error { return nil }

// shape is a kind of image to test.
type shape struct {
	name string
	o    CreateOptions
	back int // bytes of the backing file
}

var shapes = []shape{
	{"v3 512", CreateOptions{ClusterSize: 512, Size: 300<<10 + 512}, 0},
	{"v3 4K", CreateOptions{ClusterSize: 4 << 10, Size: 3 << 20}, 0},
	{"v3 64K", CreateOptions{Size: 8<<20 + 4096}, 0},
	{"v2 4K", CreateOptions{ClusterSize: 4 << 10, Size: 3 << 20, Version: 2}, 0},
	{"v2 4K backing", CreateOptions{ClusterSize: 4 << 10, Size: 2 << 20, Version: 2, Backing: "base", BackingFormat: "raw"}, 1<<20 + 1536},
	{"v3 512 backing", CreateOptions{ClusterSize: 512, Size: 256 << 10, Backing: "base", BackingFormat: "raw"}, 100<<10 + 512},
	{"v3 64K backing", CreateOptions{Size: 4 << 20, Backing: "base", BackingFormat: "raw"}, 5 << 20},
	{"v3 4K zstd", CreateOptions{ClusterSize: 4 << 10, Size: 2 << 20, Compression: Zstd}, 0},
	{"v3 4K refcounts of 1 byte", CreateOptions{ClusterSize: 4 << 10, Size: 2 << 20, RefcountBits: 8}, 0},
	{"v3 512 refcounts of 64 bits", CreateOptions{ClusterSize: 512, Size: 200 << 10, RefcountBits: 64}, 0},
	{"v3 4K refcounts of 1 bit", CreateOptions{ClusterSize: 4 << 10, Size: 2 << 20, RefcountBits: 1}, 0},
	{"v3 2M", CreateOptions{ClusterSize: 2 << 20, Size: 20 << 20}, 0},
}

// model is an image and what it should hold.
type model struct {
	t     testing.TB
	rng   *rand.Rand
	shape shape
	f     hostio.File
	g     *Image
	base  []byte
	want  []byte
	snaps map[string][]byte
	cache int64
}

// keepOpen is a file that outlives images.
type keepOpen struct{ hostio.File }

func (keepOpen) Close() error { return nil }

func newModel(t testing.TB, s shape, f hostio.File, seed uint64) *model {
	t.Helper()
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 2)), shape: s, f: keepOpen{f}, want: make([]byte, s.o.Size), snaps: map[string][]byte{}}
	m.base = make([]byte, s.back)
	for i := range m.base {
		m.base[i] = byte(m.rng.Uint32())
	}
	copy(m.want, m.base)
	if err := Create(m.f, s.o); err != nil {
		t.Fatal(err)
	}
	m.cache = 4 * max(s.o.ClusterSize, 4096) // small: evictions happen
	m.open()
	return m
}

func (m *model) options() Options {
	return Options{Cache: m.cache, Backing: func(string, string) (Backing, error) { return memBacking(m.base), nil }}
}

func (m *model) open() {
	m.t.Helper()
	g, err := Open(m.f, m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	m.g = g
}

// step does one operation, and says what.
func (m *model) step() (string, error) {
	size := len(m.want)
	off := m.rng.IntN(size/512) * 512
	n := min((m.rng.IntN(60)+1)*512, size-off)
	if m.rng.IntN(10) == 0 {
		n = min(m.rng.IntN(size)&^511, size-off)
	}
	switch k := m.rng.IntN(200); {
	case k < 70:
		b := make([]byte, n)
		for i := 0; i < n; i += 16 {
			b[i] = byte(m.rng.Uint32())
		}
		copy(m.want[off:], b)
		return fmt.Sprintf("write %d at %d", n, off), m.g.WritevAt(m.split(b), int64(off))
	case k < 140:
		got := bytes.Repeat([]byte{0xee}, n)
		err := m.g.ReadvAt(m.split(got), int64(off))
		if err == nil && !bytes.Equal(got, m.want[off:off+n]) {
			err = errors.New("contents differ")
		}
		return fmt.Sprintf("read %d at %d", n, off), err
	case k < 155:
		clear(m.want[off : off+n])
		return fmt.Sprintf("zero %d at %d", n, off), m.g.WriteZeroes(int64(off), int64(n), k&1 == 0)
	case k < 170:
		err := m.g.Discard(int64(off), int64(n))
		if err == nil { // any contents are right: take those that are there
			err = m.g.ReadvAt([][]byte{m.want[off : off+n]}, int64(off))
		}
		return fmt.Sprintf("discard %d at %d", n, off), err
	case k < 182:
		return "flush", m.g.Flush()
	case k < 186:
		return "reopen", m.reopen()
	case k < 190:
		name := fmt.Sprint("s", m.rng.IntN(4))
		err := m.g.TakeSnapshot(name)
		if _, there := m.snaps[name]; there != (err != nil) && m.shape.o.RefcountBits != 1 {
			return "snapshot " + name, fmt.Errorf("there already: %v: %w", there, err)
		}
		if err == nil {
			m.snaps[name] = bytes.Clone(m.want)
		}
		return "snapshot " + name, nil
	case k < 193:
		for name, b := range m.snaps {
			m.want = bytes.Clone(b)
			return "apply " + name, m.g.ApplySnapshot(name)
		}
	case k < 196:
		for name := range m.snaps {
			delete(m.snaps, name)
			return "delete " + name, m.g.DeleteSnapshot(name)
		}
	case k < 198 && len(m.snaps) == 0:
		to := max((size+(m.rng.IntN(200)-100)*512)&^511, 4096)
		if to > int(m.shape.o.Size)*2 {
			to = int(m.shape.o.Size)
		}
		if to < size {
			m.want = m.want[:to:to]
		} else {
			m.want = append(m.want, make([]byte, to-size)...)
			copy(m.want[size:], m.base[min(size, len(m.base)):])
		}
		if err := m.g.Resize(int64(to)); err != nil {
			return "resize", err
		}
		if to > size { // what a backing file shows where the disk was cut is not promised
			return "resize", m.g.ReadvAt([][]byte{m.want[size:]}, int64(size))
		}
		return "resize", nil
	case k < 199:
		r, err := m.g.Check(RepairNothing)
		if err == nil && r.Corruptions+r.Leaks > 0 {
			err = fmt.Errorf("%+v", r)
		}
		return "check", err
	}
	return "nothing", nil
}

func (m *model) reopen() error {
	err := m.g.Close()
	if err == nil {
		m.g, err = Open(m.f, m.options())
	}
	return err
}

// split cuts b at random places.
func (m *model) split(b []byte) [][]byte {
	var bufs [][]byte
	for len(b) > 0 {
		n := m.rng.IntN(min(len(b), 30000) + 1)
		bufs = append(bufs, b[:n:n])
		b = b[n:]
	}
	return bufs
}

// verify compares everything.
func (m *model) verify() error {
	got := make([]byte, len(m.want))
	if err := m.g.ReadvAt([][]byte{got}, 0); err != nil {
		return err
	}
	if !bytes.Equal(got, m.want) {
		return errors.New("contents differ")
	}
	return nil
}

// Every image behaves as an array of bytes does, and is consistent, whatever is done to it; qemu-img agrees.
func TestModel(t *testing.T) {
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Logf("seed %d", *seed)
			mem := hostio.NewMemory(nil)
			m := newModel(t, s, mem, *seed)
			var log []string
			n := *ops
			if testing.Short() {
				n /= 10
			}
			if s.o.ClusterSize > 1<<20 { // their checks and copies take long
				n /= 10
			}
			for i := range n {
				what, err := m.step()
				if log = append(log, what); err != nil {
					t.Fatalf("step %d, %s: %v; before it: %q", i, what, err, log[max(0, len(log)-12):])
				}
			}
			if err := m.verify(); err != nil {
				t.Fatal(err)
			}
			if err := m.reopen(); err != nil {
				t.Fatal(err)
			}
			if err := m.verify(); err != nil {
				t.Fatal(err)
			}
			r, err := m.g.Check(RepairNothing)
			if err != nil || r.Corruptions+r.Leaks != 0 {
				t.Fatalf("%+v (%v)", r, err)
			}
			if err := m.g.Close(); err != nil {
				t.Fatal(err)
			}
			qemuAgrees(t, mem.Bytes(), m.base, m.want)
		})
	}
}

// qemuAgrees has qemu-img check an image and read it.
func qemuAgrees(t testing.TB, image, base, want []byte) {
	t.Helper()
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Log("qemu-img is not here: its opinion is missing (.ci/tools installs it)")
		return
	}
	dir := t.TempDir()
	path, raw := filepath.Join(dir, "image"), filepath.Join(dir, "raw")
	for name, b := range map[string][]byte{"image": image, "base": base} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(qemu, "check", "-f", "qcow2", path).CombinedOutput(); err != nil {
		t.Errorf("qemu-img check: %v\n%s", err, out)
	}
	if out, err := exec.Command(qemu, "convert", "-f", "qcow2", "-O", "raw", path, raw).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img convert: %v\n%s", err, out)
	}
	got, err := os.ReadFile(raw)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("qemu-img reads other contents (%v)", err)
	}
}
