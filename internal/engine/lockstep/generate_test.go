package lockstep

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// A seed means the same program for ever after: what a failure prints can be run again.
func TestGenerateIsDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		a, err := Generate(seed)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Generate(seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Image, b.Image) || !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d makes two programs", seed)
		}
	}
}

// Programs get to what they are for: every operation is executed, which includes that it traps; every kind of
// trap is taken, under every paging mode; and most programs reach their end.
func TestProgramsCoverTheMachine(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes hundreds of programs")
	}
	type place struct {
		op   riscv.Op
		priv uint64
	}
	executed := map[place]uint64{}
	var spaces [16]uint64 // steps by the mode of satp, outside of M-mode
	r := &Runner{New: func(h *hart.Hart) Engine { return interp.New(h) }}
	defer r.Close()
	r.Steps = func(*rand.Rand) uint64 {
		h := r.tested.side.Hart
		if raw, ok := codeAt(h.RAM, viewOf(h)); ok {
			executed[place{riscv.Decode(raw).Op, h.Priv}]++
		}
		if h.Priv != riscv.PrivM {
			spaces[h.Satp>>60]++
		}
		return 1
	}
	r.MemoryEvery = 1 << 20
	const n = 250
	for seed := range uint64(n) {
		p, err := Generate(seed)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(p); err != nil {
			t.Fatal(err)
		}
	}
	s := &r.Stats
	t.Logf("%+v", s)
	if s.Ended < n*2/3 {
		t.Errorf("only %d of %d programs reach their end", s.Ended, n)
	}
	for _, cause := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15} {
		if s.Exceptions[cause] < 20 {
			t.Errorf("exception %d is taken %d times", cause, s.Exceptions[cause])
		}
	}
	for _, cause := range []int{1, 3, 5, 7, 9, 11} {
		if s.Interrupts[cause] < 10 {
			t.Errorf("interrupt %d is taken %d times", cause, s.Interrupts[cause])
		}
	}
	for _, mode := range []int{0, 8, 9, 10} {
		if spaces[mode] < 10000 {
			t.Errorf("only %d instructions are executed in mode %d of satp", spaces[mode], mode)
		}
	}
	for op := riscv.Op(1); int(op) < riscv.NumOps; op++ {
		if op == riscv.C_ADDI16SP {
			continue // it writes sp, which has a role
		}
		sum := uint64(0)
		for _, priv := range []uint64{riscv.PrivU, riscv.PrivS, riscv.PrivM} {
			sum += executed[place{op, priv}]
		}
		if sum == 0 {
			t.Errorf("%v is never executed", op)
		}
	}
}
