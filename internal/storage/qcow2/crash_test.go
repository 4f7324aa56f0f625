package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/storage/hostio"
)

// crashShapes are those whose structure has most to it for their size.
var crashShapes = []shape{
	{"v3 512", CreateOptions{ClusterSize: 512, Size: 128 << 10}, 0},
	{"v3 4K backing", CreateOptions{ClusterSize: 4 << 10, Size: 256 << 10, Backing: "base", BackingFormat: "raw"}, 128 << 10},
	{"v2 512", CreateOptions{ClusterSize: 512, Size: 128 << 10, Version: 2}, 0},
}

const sectorLen = 512

func fillSector(b []byte, sector int, version uint32) {
	for i := range b {
		b[i] = byte(version>>(8*(i%4))) ^ byte(sector*(i/4%2))
	}
	if version == 0 {
		clear(b)
	}
}

// Wherever a crash cuts off what reaches the disk, and whatever of it since the last Sync is lost, the image is consistent but for leaks, what a Flush
// acknowledged is there, and every sector holds something that was written to it.
func TestCrash(t *testing.T) {
	for _, s := range crashShapes {
		for _, drop := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, writes are lost %v", s.name, drop), func(t *testing.T) { crash(t, s, drop) })
		}
	}
}

// mark says what holds when the first n calls have reached the host.
type mark struct {
	n       int
	flushed []uint32
}

func crash(t *testing.T, s shape, drop bool) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 3))
	mem := hostio.NewMemory(nil)
	if err := Create(keepOpen{mem}, s.o); err != nil {
		t.Fatal(err)
	}
	start := mem.Bytes()
	base := make([]byte, s.back) // zeros: version 0
	rec := &hostio.Recorder{File: keepOpen{mem}, Record: true}
	o := Options{Cache: 1, Backing: func(string, string) (Backing, error) { return memBacking(base), nil }}
	g, err := Open(rec, o)
	if err != nil {
		t.Fatal(err)
	}
	sectors := int(s.o.Size / sectorLen)
	now := make([]uint32, sectors)
	versions := make([][]uint32, sectors) // every version a sector had, by time
	times := make([][]int, sectors)       // and the call after which it may be there
	marks := []mark{{0, make([]uint32, sectors)}}
	set := func(i int, v uint32) {
		now[i] = v
		versions[i] = append(versions[i], v)
		times[i] = append(times[i], len(rec.Calls))
	}
	version := uint32(0)
	for range 150 {
		first := rng.IntN(sectors)
		n := min(1+rng.IntN(24), sectors-first)
		switch rng.IntN(8) {
		case 0:
			for i := first; i < first+n; i++ {
				set(i, 0)
			}
			err = g.WriteZeroes(int64(first)*sectorLen, int64(n)*sectorLen, true)
		case 1, 2:
			if err = g.Flush(); err == nil {
				marks = append(marks, mark{len(rec.Calls), append([]uint32(nil), now...)})
			}
		default:
			version++
			b := make([]byte, n*sectorLen)
			for i := range n {
				fillSector(b[i*sectorLen:(i+1)*sectorLen], first+i, version)
				set(first+i, version)
			}
			err = g.WritevAt([][]byte{b}, int64(first)*sectorLen)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for cut := 0; cut <= len(rec.Calls); cut += step {
		disk := hostio.NewMemory(bytes.Clone(start))
		synced := 0
		for i := range cut {
			if rec.Calls[i].Sync {
				synced = i
			}
		}
		for i, c := range rec.Calls[:cut] {
			if drop && i > synced && c.Size < 0 && rng.IntN(2) == 0 {
				continue
			}
			if err := c.Apply(disk); err != nil {
				t.Fatal(err)
			}
		}
		var have mark
		for _, m := range marks {
			if m.n <= cut {
				have = m
			}
		}
		if err := afterCrash(disk, o, have, cut, versions, times); err != nil {
			t.Fatalf("cut after %d of %d calls, the last flush at %d: %v", cut, len(rec.Calls), have.n, err)
		}
	}
}

func afterCrash(disk *hostio.Memory, o Options, have mark, cut int, versions [][]uint32, times [][]int) error {
	g, err := Open(disk, o)
	if err != nil {
		return err
	}
	r, err := g.Check(RepairNothing)
	if err != nil || r.Corruptions > 0 {
		return fmt.Errorf("%+v (%w)", r, err)
	}
	got := make([]byte, g.Size())
	if err := g.ReadvAt([][]byte{got}, 0); err != nil {
		return err
	}
	want := make([]byte, sectorLen)
	for i, v := range have.flushed {
		b := got[i*sectorLen : (i+1)*sectorLen]
		if fillSector(want, i, v); bytes.Equal(b, want) {
			continue
		}
		found := false
		for k, v := range versions[i] {
			if fillSector(want, i, v); times[i][k] <= cut && bytes.Equal(b, want) {
				// Newer than what was flushed: nothing older may come back.
				found = found || v > have.flushed[i] || v == 0 || have.flushed[i] == 0
			}
		}
		if !found {
			return fmt.Errorf("sector %d is neither version %d, that was flushed, nor a later one", i, v)
		}
	}
	if r, err := g.Check(RepairLeaks); err != nil || r.Leaks+r.Corruptions != 0 {
		return fmt.Errorf("after mending leaks: %+v (%w)", r, err)
	}
	return g.Close()
}

// Whichever call to the host fails, and however: nothing that was acknowledged is lost, what failed says so, and the image can be opened again.
func TestFaults(t *testing.T) {
	for _, s := range crashShapes {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, torn %v", s.name, torn), func(t *testing.T) {
				total := faults(t, s, torn, 0)
				step := int64(1)
				if testing.Short() {
					step = 7
				}
				for at := int64(1); at <= total; at += step {
					faults(t, s, torn, at)
				}
			})
		}
	}
}

// faults runs a few operations with the call of that number failing, and returns how many calls there were.
func faults(t *testing.T, s shape, torn bool, at int64) int64 {
	rng := rand.New(rand.NewPCG(*seed, 4))
	mem := hostio.NewMemory(nil)
	if err := Create(keepOpen{mem}, s.o); err != nil {
		t.Fatal(err)
	}
	base := make([]byte, s.back)
	rec := &hostio.Recorder{File: keepOpen{mem}, FailAt: at, Torn: torn}
	o := Options{Cache: 1, Backing: func(string, string) (Backing, error) { return memBacking(base), nil }}
	g, err := Open(rec, o)
	if err != nil {
		if at == 0 || !errors.Is(err, hostio.ErrInjected) {
			t.Fatal(err)
		}
		return rec.N
	}
	want := make([]byte, s.o.Size)
	unsure := make([]bool, s.o.Size) // of a request that failed
	snapshots := 0
	for range 60 {
		off := rng.IntN(int(s.o.Size)/sectorLen) * sectorLen
		n := min((1+rng.IntN(24))*sectorLen, int(s.o.Size)-off)
		b := make([]byte, n)
		var err error
		touched := true
		switch k := rng.IntN(16); {
		case k == 0:
			err, touched = g.Flush(), false
		case k == 1:
			err = g.WriteZeroes(int64(off), int64(n), true)
		case k == 2:
			err, touched = g.TakeSnapshot(fmt.Sprint(snapshots)), false
			snapshots++
		default:
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			err = g.WritevAt([][]byte{b}, int64(off))
		}
		if err != nil && at == 0 {
			t.Fatal(err)
		}
		if !touched {
			continue
		}
		copy(want[off:], b)
		for i := off; i < off+n; i++ {
			unsure[i] = err != nil
		}
	}
	closed := g.Close()
	g, err = Open(keepOpen{mem}, o)
	if err != nil {
		t.Fatalf("call %d: %v", at, err)
	}
	defer g.Close()
	r, err := g.Check(RepairNothing)
	if err != nil || r.Corruptions > 0 || at == 0 && r.Leaks > 0 {
		t.Fatalf("call %d: %+v (%v)", at, r, err)
	}
	if closed != nil { // what was written after the last Flush is not promised
		return rec.N
	}
	got := make([]byte, s.o.Size)
	if err := g.ReadvAt([][]byte{got}, 0); err != nil {
		t.Fatalf("call %d: %v", at, err)
	}
	for i := range got {
		if got[i] != want[i] && !unsure[i] {
			t.Fatalf("call %d: byte %d differs", at, i)
		}
	}
	return rec.N
}
