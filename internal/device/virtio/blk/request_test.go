package blk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/storage"
)

const (
	diskSize    = 64 << 10
	diskSectors = diskSize / 512
	allFeatures = FeatureSegMax | FeatureBlkSize | FeatureFlush | FeatureTopology | FeatureDiscard | FeatureWriteZeroes
)

// testImage is a memory image whose behaviour tests change.
type testImage struct {
	storage.Image
	readOnly  bool
	fail      error
	flushes   int
	discarded [][2]int64
	zeroed    [][2]int64
	unmapped  bool
}

func newTestImage() *testImage {
	m := &testImage{Image: storage.NewMemory(diskSize)}
	b := make([]byte, diskSize)
	for i := range b {
		b[i] = byte(i/512 + 1)
	}
	if err := m.WritevAt([][]byte{b}, 0); err != nil {
		panic(err)
	}
	return m
}

func (m *testImage) ReadOnly() bool { return m.readOnly }

func (m *testImage) ReadvAt(bufs [][]byte, off int64) error {
	if m.fail != nil {
		return m.fail
	}
	return m.Image.ReadvAt(bufs, off)
}

func (m *testImage) Flush() error { m.flushes++; return m.fail }

func (m *testImage) Discard(off, n int64) error {
	m.discarded = append(m.discarded, [2]int64{off, n})
	return m.Image.Discard(off, n)
}

func (m *testImage) WriteZeroes(off, n int64, mayUnmap bool) error {
	m.zeroed = append(m.zeroed, [2]int64{off, n})
	m.unmapped = mayUnmap
	return m.Image.WriteZeroes(off, n, mayUnmap)
}

func newDevice(t testing.TB, img storage.Image, sector int) *Device {
	t.Helper()
	d, err := New(img, Options{Sector: sector, ID: "disk-7"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func header(typ uint32, sector uint64) []byte {
	h := binary.LittleEndian.AppendUint32(nil, typ)
	h = binary.LittleEndian.AppendUint32(h, 0)
	return binary.LittleEndian.AppendUint64(h, sector)
}

func ranges(words ...uint64) []byte { // sector, number, flags
	var b []byte
	for i := 0; i < len(words); i += 3 {
		b = binary.LittleEndian.AppendUint64(b, words[i])
		b = binary.LittleEndian.AppendUint32(b, uint32(words[i+1]))
		b = binary.LittleEndian.AppendUint32(b, uint32(words[i+2]))
	}
	return b
}

// chain makes a request of out and of inLen bytes for the device, cut at random when rng is given.
func chain(rng *rand.Rand, out []byte, in []byte) *virtio.Chain {
	cut := func(b []byte) (bufs [][]byte) {
		for len(b) > 0 {
			n := len(b)
			if rng != nil {
				n = 1 + rng.IntN(n)
			}
			bufs = append(bufs, b[:n:n])
			b = b[n:]
		}
		return bufs
	}
	return &virtio.Chain{Readable: cut(out), Writable: cut(in)}
}

// serve carries out one request as a worker does.
func serve(d *Device, features uint64, c *virtio.Chain) uint32 {
	s := &session{dev: d, features: features, rules: newRules(d, features)}
	var j job
	if !j.room().parse(&s.rules, c) {
		panic("no status")
	}
	j.add()
	j.run(s, new(scratch))
	return j.used[0].Written
}

func TestRequests(t *testing.T) {
	data := bytes.Repeat([]byte{0xd0}, 8192)
	for _, c := range []struct {
		name     string
		sector   int
		features uint64
		readOnly bool
		out      []byte
		data     []byte // for the device
		in       int    // bytes for the driver, without the status
		want     status
		check    func(m *testImage, in []byte) bool
	}{
		{name: "read", out: header(typeIn, 3), in: 1024, check: func(_ *testImage, in []byte) bool {
			return in[0] == 4 && in[511] == 4 && in[512] == 5 && in[1023] == 5
		}},
		{name: "read nothing", out: header(typeIn, 0)},
		{name: "read the last sector", out: header(typeIn, diskSectors-1), in: 512},
		{name: "read past the end", out: header(typeIn, diskSectors-1), in: 1024, want: statusIOErr},
		{name: "read far away", out: header(typeIn, 1<<63), in: 512, want: statusIOErr},
		{name: "read at the sector that overflows", out: header(typeIn, 1<<55), in: 512, want: statusIOErr},
		{name: "read half a sector", out: header(typeIn, 0), in: 256, want: statusIOErr},
		{name: "read with data", out: header(typeIn, 0), data: data[:512], in: 512, want: statusIOErr},
		{name: "read a 4K block", sector: 4096, out: header(typeIn, 8), in: 4096},
		{name: "read a sector of a 4K block", sector: 4096, out: header(typeIn, 8), in: 512, want: statusIOErr},
		{name: "read across 4K blocks", sector: 4096, out: header(typeIn, 1), in: 4096, want: statusIOErr},
		{name: "read a sector of a 4K block, unaware", sector: 4096, features: FeatureFlush, out: header(typeIn, 9), in: 512},
		{name: "short header", out: header(typeIn, 0)[:15], in: 512, want: statusIOErr},
		{name: "no header", in: 512, want: statusIOErr},

		{name: "write", out: header(typeOut, 5), data: data[:1024], check: func(m *testImage, _ []byte) bool {
			b := make([]byte, 4*512)
			_ = m.ReadvAt([][]byte{b}, 4*512)
			return b[511] == 5 && b[512] == 0xd0 && b[3*512-1] == 0xd0 && b[3*512] == 8 && m.flushes == 0
		}},
		{name: "write through", features: FeatureBlkSize, out: header(typeOut, 5), data: data[:512],
			check: func(m *testImage, _ []byte) bool { return m.flushes == 1 }},
		{name: "write past the end", out: header(typeOut, diskSectors), data: data[:512], want: statusIOErr},
		{name: "write half a sector", out: header(typeOut, 0), data: data[:100], want: statusIOErr},
		{name: "write that wants data", out: header(typeOut, 0), data: data[:512], in: 512, want: statusIOErr},
		{name: "write to a read-only disk", readOnly: true, out: header(typeOut, 0), data: data[:512], want: statusIOErr,
			check: func(m *testImage, _ []byte) bool {
				b := make([]byte, 512)
				_ = m.ReadvAt([][]byte{b}, 0)
				return b[0] == 1
			}},

		{name: "flush", out: header(typeFlush, 0), check: func(m *testImage, _ []byte) bool { return m.flushes == 1 }},
		{name: "flush with data", out: header(typeFlush, 0), data: data[:512], want: statusIOErr},

		{name: "get id", out: header(typeGetID, 0), in: 20, check: func(_ *testImage, in []byte) bool {
			return bytes.Equal(in, append([]byte("disk-7"), make([]byte, 14)...))
		}},
		{name: "get id, short", out: header(typeGetID, 0), in: 4, check: func(_ *testImage, in []byte) bool { return string(in) == "disk" }},
		{name: "get id, long", out: header(typeGetID, 0), in: 64, check: func(_ *testImage, in []byte) bool {
			return bytes.Equal(in, append([]byte("disk-7"), make([]byte, 58)...))
		}},

		{name: "discard", out: header(typeDiscard, 0), data: ranges(8, 8, 0, 32, 16, 0), check: func(m *testImage, _ []byte) bool {
			return len(m.discarded) == 2 && m.discarded[0] == [2]int64{4096, 4096} && m.discarded[1] == [2]int64{16384, 8192}
		}},
		{name: "discard with unmap", out: header(typeDiscard, 0), data: ranges(8, 8, 1), want: statusUnsup},
		{name: "discard, second range outside", out: header(typeDiscard, 0), data: ranges(0, 8, 0, diskSectors, 1, 0), want: statusIOErr,
			check: func(m *testImage, _ []byte) bool { return len(m.discarded) == 0 }},
		{name: "discard, overflow", out: header(typeDiscard, 0), data: ranges(1<<64-1, 2, 0), want: statusIOErr},
		{name: "discard without ranges", out: header(typeDiscard, 0), want: statusIOErr},
		{name: "discard, half a range", out: header(typeDiscard, 0), data: ranges(0, 8, 0)[:15], want: statusIOErr},
		{name: "discard, too many ranges", out: header(typeDiscard, 0), data: make([]byte, 17*16), want: statusIOErr},
		{name: "discard, 4K blocks", sector: 4096, out: header(typeDiscard, 0), data: ranges(1, 8, 0), want: statusIOErr},
		{name: "discard, not negotiated", features: FeatureFlush, out: header(typeDiscard, 0), data: ranges(0, 8, 0), want: statusUnsup},
		{name: "discard on a read-only disk", readOnly: true, out: header(typeDiscard, 0), data: ranges(0, 8, 0), want: statusIOErr},

		{name: "write zeroes", out: header(typeWriteZeroes, 0), data: ranges(8, 8, 0), check: func(m *testImage, _ []byte) bool {
			return len(m.zeroed) == 1 && m.zeroed[0] == [2]int64{4096, 4096} && !m.unmapped
		}},
		{name: "write zeroes, unmap", out: header(typeWriteZeroes, 0), data: ranges(8, 8, 1),
			check: func(m *testImage, _ []byte) bool { return m.unmapped }},
		{name: "write zeroes, unknown flag", out: header(typeWriteZeroes, 0), data: ranges(8, 8, 2), want: statusUnsup},
		{name: "write zeroes past the end", out: header(typeWriteZeroes, 0), data: ranges(120, 9, 0), want: statusIOErr},
		{name: "write zeroes, two ranges", out: header(typeWriteZeroes, 0), data: ranges(0, 1, 0, 1, 1, 0), want: statusIOErr},

		{name: "secure erase", out: header(14, 0), data: ranges(0, 8, 0), want: statusUnsup},
		{name: "a hole in the table", out: header(2, 0), want: statusUnsup},
		{name: "unknown", out: header(^uint32(0), 0), in: 512, want: statusUnsup},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) { // the layout of the buffers must not matter
				var rng *rand.Rand
				if seed > 0 {
					rng = rand.New(rand.NewPCG(seed, 0))
				}
				m := newTestImage()
				m.readOnly = c.readOnly
				d := newDevice(t, m, c.sector)
				features := c.features
				if features == 0 {
					features = allFeatures
				}
				in := bytes.Repeat([]byte{0xaa}, c.in+1)
				n := serve(d, features, chain(rng, append(bytes.Clone(c.out), c.data...), in))
				if got := status(in[c.in]); got != c.want || int(n) != len(in) {
					t.Fatalf("status %d, %d bytes written; want %d, %d", got, n, c.want, len(in))
				}
				if c.check != nil && !c.check(m, in[:c.in]) {
					t.Error("the request was not carried out as asked")
				}
				if c.want != statusOK && !bytes.Equal(in[:c.in], make([]byte, c.in)) {
					t.Error("a failed request left data undefined")
				}
			}
		})
	}
}

func TestHostError(t *testing.T) {
	m := newTestImage()
	m.fail = errors.New("cable pulled")
	d := newDevice(t, m, 512)
	for range 2 {
		in := make([]byte, 513)
		if serve(d, allFeatures, chain(nil, header(typeIn, 0), in)); status(in[512]) != statusIOErr {
			t.Errorf("status %d", in[512])
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		size   int64
		sector int
	}{{4096, 1024}, {4096 + 512, 4096}, {100, 512}} {
		if _, err := New(storage.NewMemory(c.size), Options{Sector: c.sector}); err == nil {
			t.Errorf("an image of %d bytes in sectors of %d was accepted", c.size, c.sector)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for typ := range uint32(15) {
		f.Add(append(header(typ, 3), ranges(1, 2, 0)...), uint16(513), uint64(1), uint64(allFeatures), false)
	}
	f.Add(append(header(typeOut, 0), make([]byte, 4096)...), uint16(1), uint64(2), uint64(0), true)
	f.Fuzz(func(t *testing.T, out []byte, in uint16, cuts, features uint64, large bool) {
		if in == 0 {
			in = 1 // a chain without a status does not get this far
		}
		m := newTestImage()
		sector := 512
		if large {
			sector = 4096
		}
		d := newDevice(t, m, sector)
		p := bytes.Repeat([]byte{0xaa}, int(in))
		n := serve(d, features&d.Features(), chain(rand.New(rand.NewPCG(cuts, 0)), out, p))
		if n != uint32(in) || p[in-1] > byte(statusUnsup) {
			t.Fatalf("%d of %d bytes written, status %d", n, in, p[in-1])
		}
		for _, rs := range [][][2]int64{m.discarded, m.zeroed} {
			for _, r := range rs {
				if r[0] < 0 || r[1] < 0 || r[0]+r[1] > diskSize {
					t.Fatalf("range %v reached the image", r)
				}
			}
		}
	})
}
