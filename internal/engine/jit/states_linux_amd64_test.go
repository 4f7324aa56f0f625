package jit_test

// What a region's instructions and states want is there where they want it: made by something that is on every way to that place.

import (
	"math/rand/v2"
	"testing"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
)

// wanted is who wants values where, in a region.
type wanted struct {
	t    *testing.T
	made map[*opt.Value]*opt.Block
	over map[*opt.Block]map[*opt.Block]bool // the blocks on every way to each, and itself
}

func newWanted(t *testing.T, r *opt.Region) *wanted {
	w := &wanted{t, map[*opt.Value]*opt.Block{}, map[*opt.Block]map[*opt.Block]bool{}}
	for _, b := range r.Blocks {
		for _, list := range [][]*opt.Value{b.Phis, b.Values} {
			for _, v := range list {
				w.made[v] = b
			}
		}
		w.over[b] = map[*opt.Block]bool{}
		for _, o := range r.Blocks {
			w.over[b][o] = b != r.Entry || o == b
		}
	}
	for changed := true; changed; {
		changed = false
		for _, b := range r.Blocks[1:] {
			for o, is := range w.over[b] {
				for _, e := range b.In {
					is = is && w.over[e.From][o]
				}
				if is = is || o == b; is != w.over[b][o] {
					w.over[b][o], changed = is, true
				}
			}
		}
	}
	return w
}

// at checks a value that b wants.
func (w *wanted) at(b *opt.Block, v *opt.Value, there map[*opt.Value]bool) bool {
	switch {
	case v == nil || v.IsConst():
		return true
	case v.Sunk():
		return w.at(b, v.Arg[0], there) && w.at(b, v.Arg[1], there) && w.at(b, v.Arg[2], there)
	}
	from := w.made[v]
	return from != nil && w.over[b][from] && (from != b || there[v])
}

func (w *wanted) state(b *opt.Block, s *opt.State, there map[*opt.Value]bool) bool {
	for i, v := range s {
		if i > 0 && !w.at(b, v, there) {
			w.t.Errorf("variable %d of a state in the block at %#x: %v %v is not there", i, b.Off, v.Kind, v.Op)
			return false
		}
	}
	return true
}

// region checks all that it wants.
func (w *wanted) region(r *opt.Region) bool {
	for _, b := range r.Blocks {
		there := map[*opt.Value]bool{}
		for _, p := range b.Phis {
			there[p] = true
			for i, a := range p.Args {
				if from := b.In[i].From; !a.IsConst() && (w.made[a] == nil || !w.over[from][w.made[a]]) {
					w.t.Errorf("an argument of a phi of the block at %#x is not there", b.Off)
					return false
				}
			}
		}
		for _, v := range b.Values {
			if v.Kind != opt.Computed {
				there[v] = true
			}
		}
		for _, e := range b.In {
			if e.Back && !w.state(b, b.Start, there) {
				return false
			}
		}
		for _, v := range b.Values {
			for _, a := range v.Arg {
				if !w.at(b, a, there) {
					w.t.Errorf("an operand of %v in the block at %#x is not there", v.Op, b.Off)
					return false
				}
			}
			if v.State != nil && !w.state(b, v.State, there) {
				return false
			}
			there[v] = true
		}
		for _, e := range b.Out {
			if (e.To == nil || b.Call != nil) && !w.state(b, b.Final, there) {
				return false
			}
		}
	}
	return true
}

func TestStatesAreThere(t *testing.T) {
	regions := 0
	for _, c := range []struct {
		loop  func(*rand.Rand) ([]byte, error)
		seeds uint64
	}{{searchLoop, 150}, {integerLoop, 15}, {cipherLoop, 6}, {callLoop, 15}, {floatLoop, 6}} {
		for seed := range c.seeds {
			code, err := c.loop(rand.New(rand.NewPCG(seed, 0x57a7e)))
			if err != nil {
				t.Fatal(err)
			}
			page := make([]byte, memory.PageSize)
			copy(page, code)
			for head := 0; head < min(len(code), len(page)); head += 2 {
				s := &opt.Source{Bytes: page, Head: uint16(head), Max: 150, Turns: 1 + head/2%4, Loops: head%4 == 0, Mirrored: head%3 > 0}
				if r := opt.Find(s); r != nil && r.Optimize(amd64.RegionTarget()) {
					regions++
					if !newWanted(t, r).region(r) {
						t.Fatalf("seed %d, head %#x", seed, head)
					}
				}
			}
		}
	}
	if regions < 1000 {
		t.Errorf("%d regions", regions)
	}
}
