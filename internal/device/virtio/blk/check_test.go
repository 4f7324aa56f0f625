package blk

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// hollowImage has a size and nothing else.
type hollowImage struct {
	testImage
	size int64
}

func (m *hollowImage) Size() int64 { return m.size }

func TestCheck(t *testing.T) {
	const (
		sectors = 1 << 20 // of the disk
		most    = ^uint64(0)
	)
	for _, c := range []struct {
		name     string
		block    int // 512 unless given
		features uint64
		readOnly bool
		typ      uint32
		at       Sector
		out, in  uint64
		want     status
	}{
		{name: "read", typ: typeIn, at: 7, in: 512},
		{name: "read everything", typ: typeIn, in: sectors * 512},
		{name: "read nothing", typ: typeIn},
		{name: "read nothing at the end", typ: typeIn, at: sectors},
		{name: "read nothing behind the end", typ: typeIn, at: sectors + 1, want: statusIOErr},
		{name: "read the last sector", typ: typeIn, at: sectors - 1, in: 512},
		{name: "read past the end", typ: typeIn, at: sectors - 1, in: 1024, want: statusIOErr},
		{name: "read behind the end", typ: typeIn, at: sectors, in: 512, want: statusIOErr},
		{name: "read more than everything", typ: typeIn, in: sectors*512 + 512, want: statusIOErr},
		{name: "a sector whose bytes overflow", typ: typeIn, at: 1 << 55, in: 512, want: statusIOErr},
		{name: "a sector whose end overflows", typ: typeIn, at: Sector(most), in: 512, want: statusIOErr},
		{name: "the longest length", typ: typeIn, in: most &^ 511, want: statusIOErr},
		{name: "both", typ: typeIn, at: Sector(most), in: most &^ 511, want: statusIOErr},
		{name: "half a sector", typ: typeIn, in: 256, want: statusIOErr},
		{name: "one byte more", typ: typeIn, in: 513, want: statusIOErr},
		{name: "read with data for the device", typ: typeIn, out: 512, in: 512, want: statusIOErr},
		{name: "write", typ: typeOut, at: 7, out: 512},
		{name: "write past the end", typ: typeOut, at: sectors - 1, out: 1024, want: statusIOErr},
		{name: "write that wants data", typ: typeOut, out: 512, in: 512, want: statusIOErr},
		{name: "write, read-only", readOnly: true, typ: typeOut, out: 512, want: statusIOErr},
		{name: "read, read-only", readOnly: true, typ: typeIn, in: 512},
		{name: "flush, read-only", readOnly: true, typ: typeFlush},
		{name: "a block of 4096", block: 4096, typ: typeIn, at: 8, in: 4096},
		{name: "a sector of such a block", block: 4096, typ: typeIn, at: 8, in: 512, want: statusIOErr},
		{name: "across such blocks", block: 4096, typ: typeOut, at: 4, out: 4096, want: statusIOErr},
		{name: "a sector, for a driver that does not know of blocks", block: 4096, features: FeatureFlush, typ: typeIn, at: 9, in: 512},
		{name: "flush", typ: typeFlush},
		{name: "flush with data", typ: typeFlush, out: 512, want: statusIOErr},
		{name: "flush that wants data", typ: typeFlush, in: 1, want: statusIOErr},
		{name: "get id", typ: typeGetID, in: 20},
		{name: "get id with data", typ: typeGetID, out: 1, in: 20, want: statusIOErr},
		{name: "discard", typ: typeDiscard, out: 16},
		{name: "discard that wants data", typ: typeDiscard, out: 16, in: 1, want: statusIOErr},
		{name: "discard, read-only", readOnly: true, typ: typeDiscard, out: 16, want: statusIOErr},
		{name: "discard, not negotiated", features: FeatureBlkSize, typ: typeDiscard, out: 16, want: statusUnsup},
		{name: "write zeroes, not negotiated", features: FeatureBlkSize, typ: typeWriteZeroes, out: 16, want: statusUnsup},
		{name: "a type in between", typ: 2, want: statusUnsup},
		{name: "a type behind", typ: typeWriteZeroes + 1, out: 16, want: statusUnsup},
		{name: "the last type", typ: 1<<32 - 1, want: statusUnsup},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &hollowImage{testImage{readOnly: c.readOnly}, sectors * 512}
			if c.features == 0 {
				c.features = allFeatures
			}
			r := newRules(newDevice(t, m, c.block), c.features)
			if got := r.check(c.typ, c.at, c.out, c.in); got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
		})
	}
}

// What is a read or a write of whole blocks inside the disk is said once more in numbers that do not overflow, of disks up to the largest.
func TestCheckByNumbersWithoutEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	largest := int64(math.MaxInt64 - 4095)
	for _, size := range []int64{4096, 1 << 20, 1<<40 + 4096, largest} {
		for _, block := range []int{512, 4096} {
			r := newRules(newDevice(t, &hollowImage{size: size}, block), allFeatures)
			// Something near an edge, or anything.
			edges := []uint64{0, uint64(size), uint64(size) >> sectorShift, 1 << 54, 1 << 55, 1 << 62, 1 << 63, uint64(block), uint64(block) >> sectorShift}
			number := func() uint64 {
				switch rng.IntN(4) {
				case 0:
					return rng.Uint64() >> rng.IntN(64)
				case 1:
					return edges[rng.IntN(len(edges))]
				}
				return edges[rng.IntN(len(edges))] + uint64(rng.IntN(33)-16)*uint64(block)
			}
			passed := 0
			for range 20_000 {
				at, n := number(), number()
				if rng.IntN(2) == 0 {
					at = uint64(size)>>sectorShift - n>>sectorShift
				}
				first := new(big.Int).Lsh(new(big.Int).SetUint64(at), sectorShift)
				end := new(big.Int).Add(first, new(big.Int).SetUint64(n))
				want := statusIOErr
				if n%uint64(block) == 0 && at%(uint64(block)>>sectorShift) == 0 && end.Cmp(big.NewInt(size)) <= 0 {
					want = statusOK
					passed++
				}
				if got := r.check(typeIn, Sector(at), 0, n); got != want {
					t.Fatalf("a disk of %d bytes: status %d of %#x bytes from sector %#x, want %d", size, got, n, at, want)
				}
				if got := r.check(typeOut, Sector(at), n, 0); got != want {
					t.Fatalf("a disk of %d bytes: status %d of a write of %#x bytes from sector %#x, want %d", size, got, n, at, want)
				}
				if got := r.check(typeFlush, Sector(at), 0, 0); got != statusOK {
					t.Fatalf("status %d of a flush at %#x", got, at)
				}
			}
			if passed < 100 {
				t.Errorf("a disk of %d bytes in blocks of %d: %d passed", size, block, passed)
			}
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	r := newRules(newDevice(b, &hollowImage{size: 1 << 30}, 4096), allFeatures)
	b.ReportAllocs()
	var bad status
	for b.Loop() {
		for i := range Sector(1000) { // the loop of testing takes as long as the check
			bad |= r.check(typeIn, i<<3, 0, 4096)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/check")
	if bad != statusOK {
		b.Fatal(bad)
	}
}
