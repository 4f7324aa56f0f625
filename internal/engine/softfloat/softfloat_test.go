package softfloat

import "testing"

// rounds is how many samples an operation gets.
func rounds(t *testing.T) int {
	if testing.Short() {
		return 2_000
	}
	return 20_000
}

func TestSampledAgainstReference(t *testing.T) {
	const seed = 0x5eed
	for i, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			s := newSampler(seed + uint64(i))
			for range rounds(t) {
				if v := op.verdict(s.operands(op)); v != "" {
					t.Fatal(v)
				}
			}
		})
	}
}

// Every unary operation on all of binary16.
func TestUnary16Exhaustive(t *testing.T) {
	step := uint64(1)
	if testing.Short() {
		step = 17
	}
	for _, op := range operations {
		if op.in != ref16 || op.arity != 1 {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			for a := uint64(0); a < 1<<16; a += step {
				if v := op.verdict(operands{a}); v != "" {
					t.Fatal(v)
				}
			}
		})
	}
}

// Every operation of more operands on all combinations of landmarks.
func TestLandmarks(t *testing.T) {
	for _, op := range operations {
		if op.arity < 2 {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var marks []uint64
			for _, m := range op.in.landmarks() {
				marks = append(marks, m, m|op.in.signBit())
			}
			third := marks[:1]
			if op.arity == 3 {
				third = marks
				if testing.Short() {
					third = marks[:8]
				}
			}
			for _, a := range marks {
				for _, b := range marks {
					for _, c := range third {
						if v := op.verdict(operands{a, b, c}); v != "" {
							t.Fatal(v)
						}
					}
				}
			}
		})
	}
}

func TestNothingAllocates(t *testing.T) {
	s := newSampler(7)
	for _, op := range operations {
		x := s.operands(op)
		var fl Flags
		if n := testing.AllocsPerRun(10, func() { op.got(x, RNE, &fl) }); n != 0 {
			t.Errorf("%s allocates %v times", op.name, n)
		}
	}
}

// Rounding modes that do not exist must be harmless: a guest can put them into frm.
func TestReservedModesDoNotPanic(t *testing.T) {
	s := newSampler(8)
	for _, op := range operations {
		for range 200 {
			x := s.operands(op)
			for _, rm := range []Rounding{5, 6, DYN, 255} {
				var got, want Flags
				if g, w := op.got(x, rm, &got), op.got(x, RTZ, &want); g != w || got != want {
					t.Fatalf("%s(%#x), mode %d: %#x, flags %05b; truncated: %#x, flags %05b", op.name, x[:op.arity], rm, g, got, w, want)
				}
			}
		}
	}
}

func FuzzAgainstReference(f *testing.F) {
	s := newSampler(9)
	for i, op := range operations {
		x := s.operands(op)
		f.Add(uint8(i), x[0], x[1], x[2])
	}
	f.Fuzz(func(t *testing.T, i uint8, a, b, c uint64) {
		op := operations[int(i)%len(operations)]
		m := ^uint64(0) >> (64 - op.in.width)
		if v := op.verdict(operands{a & m, b & m, c & m}); v != "" {
			t.Fatal(v)
		}
	})
}
