package plan

import (
	"slices"
	"testing"
)

var plans = []Plan{
	{Seed: 1, Sector: 512, Sectors: 96 << 11, Unit: 1},
	{Seed: 2, Sector: 512, Sectors: 96 << 11, Unit: 8},
	{Seed: 3, Sector: 4096, Sectors: 96 << 8, Unit: 1},
	{Seed: 4, Sector: 512, Files: true},
}

// What a batch does is the same each time, fits the disk and the guest's buffers, and nothing of it meets anything else of it.
func TestBatches(t *testing.T) {
	for _, p := range plans {
		var kinds [len(kindNames)]int
		limit := p.Sectors
		if p.Files {
			limit = Slots
		}
		for b := uint64(1); b <= 3000; b++ {
			ops := p.Batch(b)
			if len(ops) == 0 || len(ops) > 1<<opBits || !slices.Equal(ops, p.Batch(b)) {
				t.Fatalf("%+v: batch %d has %d operations, or others each time", p, b, len(ops))
			}
			for i, op := range ops {
				kinds[op.Kind]++
				switch {
				case op.First < 0 || op.Count < 1 || op.First+op.Count > limit:
					t.Fatalf("%+v: batch %d: %+v is not on the disk", p, b, op)
				case !p.Files && (op.First%p.Unit != 0 || op.Count%p.Unit != 0):
					t.Fatalf("%+v: batch %d: %+v is no multiple of the unit", p, b, op)
				case op.Kind == Write && op.Count*int64(p.Sector) > mostWritten:
					t.Fatalf("%+v: batch %d: %+v does not fit the guest's buffer", p, b, op)
				case op.Kind == Write && (op.To != Version(b, i) || op.To.Batch() != b):
					t.Fatalf("%+v: batch %d: operation %d makes %v", p, b, i, op.To)
				case meets(ops[:i], op):
					t.Fatalf("%+v: batch %d: operation %d meets one before it", p, b, i)
				}
			}
		}
		if kinds[Write] == 0 || kinds[Punch] == 0 || !p.Files && (kinds[Zero] == 0 || kinds[Discard] == 0) {
			t.Errorf("%+v: there are none of some kind: %v", p, kinds)
		}
	}
}

// A sector is told from one of another place, seed or version, and from one that is damaged anywhere.
func TestRead(t *testing.T) {
	for _, size := range []int{512, 4096} {
		p := Plan{Seed: 7, Sector: size}
		b := make([]byte, size)
		if c := p.Read(b, 3); c != Nothing {
			t.Errorf("zeros are %v", c)
		}
		const written = Content(0x123)
		p.Fill(b, written, 3)
		if c := p.Read(b, 3); c != written {
			t.Errorf("%v was written, and %v is read", written, c)
		}
		if c := p.Read(b, 4); c != Torn {
			t.Errorf("at another place it is %v", c)
		}
		other := p
		other.Seed++
		if c := other.Read(b, 3); c != Torn {
			t.Errorf("with another seed it is %v", c)
		}
		for i := range b {
			b[i] ^= 1
			if c := p.Read(b, 3); c != Torn {
				t.Errorf("with byte %d changed it is %v", i, c)
			}
			b[i] ^= 1
		}
		newer := make([]byte, size)
		p.Fill(newer, written+16, 3)
		for cut := 64; cut < size; cut += 64 {
			if c := p.Read(append(slices.Clone(newer[:cut]), b[cut:]...), 3); c != Torn {
				t.Errorf("of two versions, cut at %d, it is %v", cut, c)
			}
		}
		clear(b[size-4:])
		clear(b[:8])
		if c := p.Read(b, 3); c != Torn {
			t.Errorf("without its ends it is %v", c)
		}
	}
}
