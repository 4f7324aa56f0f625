package main

// That what is wrong with a disk would be found: a checker that finds nothing proves nothing.

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/test/crash/plan"
)

// testDisk is a raw image to which the batches of a plan were written, as far as the guest would have come: all of the last but one, and half of the last.
func testDisk(t *testing.T, batches uint64) (storage.Image, *disk) {
	t.Helper()
	d, err := newDisk(t.Context(), kinds[0], t.TempDir(), 5)
	if err != nil {
		t.Fatal(err)
	}
	img, err := storage.Open(storage.Options{Path: d.path, Format: d.format, Sector: d.sector})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	for b := uint64(1); b <= batches; b++ {
		ops := d.plan.Batch(b)
		if b == batches {
			ops = ops[:len(ops)/2]
		}
		for _, op := range ops {
			apply(t, img, d.plan, op)
		}
	}
	return img, d
}

func apply(t *testing.T, img storage.Image, p plan.Plan, op plan.Op) {
	t.Helper()
	b := make([]byte, op.Count*int64(p.Sector))
	if op.Kind == plan.Write {
		for i := range op.Count {
			p.Fill(b[i*int64(p.Sector):(i+1)*int64(p.Sector)], op.To, op.First+i)
		}
	}
	if err := img.WritevAt([][]byte{b}, op.First*int64(p.Sector)); err != nil {
		t.Fatal(err)
	}
}

// lastWrite is the last operation of the acknowledged batches that still is what its sectors hold.
func lastWrite(d *disk, acknowledged uint64) plan.Op {
	for b := acknowledged; b > 0; b-- {
		for _, op := range d.plan.Batch(b) {
			if op.Kind == plan.Write && d.holds[op.First] == op.To && d.may[op.First] == op.To {
				return op
			}
		}
	}
	panic("no write is left")
}

func TestFaultsAreFound(t *testing.T) {
	const batches = 30
	for _, c := range []struct {
		name         string
		acknowledged uint64
		damage       func(t *testing.T, img storage.Image, d *disk)
		want         string // in the error; empty: none
	}{
		{"nothing", batches - 1, nil, ""},
		{"more is there than can be", batches - 3, nil, "should hold"},
		{"an acknowledged write is lost", batches - 1, func(t *testing.T, img storage.Image, d *disk) {
			op := lastWrite(d, batches-1)
			op.Count, op.Kind = 1, plan.Zero
			apply(t, img, d.plan, op)
		}, "holds nothing, and should hold write"},
		{"an older write is back", batches - 1, func(t *testing.T, img storage.Image, d *disk) {
			op := lastWrite(d, batches-1)
			op.Count, op.To = 1, plan.Version(1, 0)
			apply(t, img, d.plan, op)
		}, "holds write 0 of batch 1, and should hold write"},
		{"a sector is torn", batches - 1, func(t *testing.T, img storage.Image, d *disk) {
			off := lastWrite(d, batches-1).First * int64(d.sector)
			if err := img.WritevAt([][]byte{make([]byte, d.sector/2)}, off); err != nil {
				t.Fatal(err)
			}
		}, "holds something torn"},
		{"a write is somewhere else", batches - 1, func(t *testing.T, img storage.Image, d *disk) {
			op, b := lastWrite(d, batches-1), make([]byte, d.sector)
			d.plan.Fill(b, op.To, op.First+1)
			if err := img.WritevAt([][]byte{b}, op.First*int64(d.sector)); err != nil {
				t.Fatal(err)
			}
		}, "holds something torn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img, d := testDisk(t, batches)
			d.killed(c.acknowledged)
			if c.damage != nil {
				c.damage(t, img, d)
			}
			if err := img.Close(); err != nil {
				t.Fatal(err)
			}
			err := d.look(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// What was seen once stays: of what was under way when the machine was killed, one outcome is the disk's from then on.
func TestHistory(t *testing.T) {
	p := plan.Plan{Seed: 9, Files: true}
	for b := uint64(1); ; b++ {
		ops := p.Batch(b)
		if ops[0].Kind != plan.Write {
			continue
		}
		h := newHistory(p, 0)
		h.next = b
		h.killed(b - 1) // nothing of it was acknowledged
		slot, to := ops[0].First, ops[0].To
		if h.next != b+1 {
			t.Errorf("the next machine begins with batch %d, and %d was under way", h.next, b)
		}
		if h.found(slot, plan.Torn) == nil || h.found(slot, to+1) == nil {
			t.Error("something else than before and after is right")
		}
		if err := h.found(slot, to); err != nil {
			t.Error(err)
		}
		if h.found(slot, plan.Nothing) == nil {
			t.Error("what was seen may go back")
		}
		h.holds[slot] = plan.Anything
		if err := h.found(slot, plan.Torn); err != nil {
			t.Errorf("discarded: %v", err)
		}
		return
	}
}

func TestReadFile(t *testing.T) {
	p := plan.Plan{Seed: 3, Sector: 512, Files: true}
	c := plan.Version(4, 2)
	text := make([]byte, p.FileSectors(c)*512)
	for i := range p.FileSectors(c) {
		p.Fill(text[i*512:(i+1)*512], c, i)
	}
	for _, f := range []struct {
		name string
		text []byte
		want plan.Content
	}{
		{"whole", text, c},
		{"none", nil, plan.Nothing},
		{"short", text[:len(text)-512], plan.Torn},
		{"zeros at its end", append(append([]byte{}, text[:len(text)-512]...), make([]byte, 512)...), plan.Torn},
		{"all zeros", make([]byte, len(text)), plan.Torn},
		{"a part of a sector", text[:100], plan.Torn},
	} {
		if got := readFile(p, f.text); got != f.want {
			t.Errorf("%s: %v, want %v", f.name, got, f.want)
		}
	}
}

// A new image of each kind is what its history says, in the eyes of all that look at it.
func TestKindsCanBeMade(t *testing.T) {
	for _, k := range kinds {
		if k.ext4 {
			continue // needs e2fsprogs
		}
		t.Run(k.name, func(t *testing.T) {
			d, err := newDisk(t.Context(), k, t.TempDir(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(d.path) != "."+k.format || !strings.Contains(d.option(), "cache="+k.cache) {
				t.Errorf("%s", d.option())
			}
			if err := d.look(t.Context()); err != nil {
				t.Errorf("a new image: %v", err)
			}
			if err := d.end(t.Context(), tools{}); err != nil {
				t.Errorf("a new image: %v", err)
			}
		})
	}
}

func TestDoomIsOfTheSeed(t *testing.T) {
	early := 0
	for i := range uint64(200) {
		a, b := draw(rand.New(rand.NewPCG(1, i))), draw(rand.New(rand.NewPCG(1, i)))
		if a != b || a.lines > mostLines || a.after > mostBoot {
			t.Errorf("%+v and %+v", a, b)
		}
		if a.lines == 0 {
			early++
		}
	}
	if early == 0 || early > 60 {
		t.Errorf("%d of 200 do not wait for a line", early)
	}
}
