package difftest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"

	"github.com/vmproject/vm/internal/testtool"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the first program; 0 draws one from the clock")
	countFlag = flag.Int("programs", 6000, "how many programs to compare with qemu-riscv64")
)

const batch = 100

// firstSeed is the seed of the first program of a test: any, since every run may look at new programs, but printed.
func firstSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seeds from %d; again: go test ./internal/engine/difftest -run %s -seed %d", seed, t.Name(), seed)
	return seed
}

// findQEMU is the path of qemu-riscv64. Without it the test is skipped, but not in CI.
func findQEMU(t *testing.T) string {
	t.Helper()
	return testtool.Find(t, "qemu-riscv64", "qemu-user")
}

func newInterp(h *hart.Hart) engine.Engine { return interp.New(h) }

// Every engine does what qemu-riscv64 does: with programs of everything that user mode has, among it NaNs and their payloads, denormals, all
// rounding modes, and the edges of conversions (values.go).
func TestAgainstQEMU(t *testing.T) {
	qemu := findQEMU(t)
	seed := firstSeed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for done := 0; done < *countFlag; done += batch {
		n := min(batch, *countFlag-done)
		img, err := Build(GenerateMany(seed+uint64(done), n, QEMU))
		if err != nil {
			t.Fatal(err)
		}
		want, err := RunQEMU(ctx, qemu, img)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range engines.All() {
			got, err := RunEngine(img, e.Make(engines.Options{Harts: 1}))
			if err != nil {
				t.Error(err)
			}
			if err := compare(img, got, want); err != nil {
				t.Fatalf("engine %s: %v", e.Name, err)
			}
		}
	}
}

// counter is the interpreter, and says how many instructions have retired.
type counter struct {
	*interp.Interp
	h       *hart.Hart
	retired uint64
}

func (c *counter) Run() engine.Exit {
	defer func() { c.retired = c.h.Instret }()
	return c.Interp.Run()
}

// disturber runs the interpreter a few instructions at a time, with room for very few pages. In between it makes it forget what it
// knows of code and of addresses, or has an interrupt wait for the next instruction.
type disturber struct {
	counter
	rand *rand.Rand
}

func (d *disturber) Run() engine.Exit {
	defer func() { d.retired = d.h.Instret }()
	d.h.Mie = 1 << riscv.IntMSoftware
	for {
		switch d.rand.IntN(8) {
		case 0:
			d.h.FenceI()
		case 1:
			d.h.TLB.FlushAll()
		case 2:
			d.h.SetPending(riscv.IntMSoftware, true)
		}
		exit, exited := d.RunFor(1 + d.rand.Uint64N(7))
		switch {
		case exit == engine.ExitFirmware && d.h.FirmwareTrap.Cause == riscv.CauseInterrupt|riscv.IntMSoftware:
			d.h.SetPending(riscv.IntMSoftware, false) // and on from where it came
		case exited:
			return exit
		}
	}
}

// Where the interpreter stops and starts again, what it has forgotten meanwhile, and what interrupts it, makes no difference:
// not to results, and not to the count of instructions.
func TestInterpreterDisturbed(t *testing.T) {
	seed := firstSeed(t)
	for n := range uint64(4) {
		img, err := Build(GenerateMany(seed+n*batch, batch, All))
		if err != nil {
			t.Fatal(err)
		}
		plain, disturbed := new(counter), &disturber{rand: rand.New(rand.NewPCG(seed, n))}
		want, err := RunEngine(img, func(h *hart.Hart) engine.Engine {
			*plain = counter{Interp: interp.New(h), h: h}
			return plain
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := RunEngine(img, func(h *hart.Hart) engine.Engine {
			disturbed.counter = counter{Interp: interp.NewSize(h, 2), h: h}
			return disturbed
		})
		if err != nil {
			t.Error(err)
		}
		if err := compare(img, got, want); err != nil {
			t.Fatal(err)
		}
		if disturbed.retired != plain.retired {
			t.Errorf("%d instructions retired, %d when nothing disturbs", disturbed.retired, plain.retired)
		}
	}
}

func compare(img *Image, got, want []*Result) error {
	for i, p := range img.Programs {
		if i >= len(got) || i >= len(want) {
			return fmt.Errorf("program of seed %d: no result\n%s", p.Seed, p.Listing())
		}
		if d := Diff(got[i], want[i]); d != "" {
			return fmt.Errorf("program of seed %d at %#x:\n%s\n%s", p.Seed, img.Starts[i], d, p.Listing())
		}
	}
	return nil
}

// A seed means the same program for ever after: what a failure prints can be run again.
func TestGenerateIsDeterministic(t *testing.T) {
	for seed := range uint64(50) {
		a, b := Generate(seed, QEMU), Generate(seed, QEMU)
		if string(a.Code) != string(b.Code) || a.X != b.X || a.F != b.F || a.Mem != b.Mem || a.FCSR != b.FCSR {
			t.Fatalf("seed %d makes two programs", seed)
		}
		if a.Len() < 100 {
			t.Errorf("seed %d makes a program of only %d instructions", seed, a.Len())
		}
	}
}

// A fragment leaves the registers alone that it is asked to keep.
func TestFragmentsKeepRegisters(t *testing.T) {
	const keep = 1<<1 | 1<<25 | 1<<26 | 1<<27
	f := NewFragments(rand.New(rand.NewPCG(1, 2)), All, keep)
	var programs []*Program
	for seed := range uint64(100) {
		p := &Program{Seed: seed, Code: f.Piece(100, seed%2 == 0)}
		p.X[regGP] = MemSize / 2
		p.X[regSP], p.X[regS0] = FragmentPointers(MemSize / 2)
		for r := range uint64(32) {
			if keep>>r&1 != 0 {
				p.X[r] = seed + r
			}
		}
		programs = append(programs, p)
	}
	img, err := Build(programs)
	if err != nil {
		t.Fatal(err)
	}
	results, err := RunEngine(img, newInterp)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		for n := range r.X {
			if keep>>n&1 != 0 && r.X[n] != programs[i].X[n] {
				t.Fatalf("fragment %d writes x%d\n%s", i, n, programs[i].Listing())
			}
		}
	}
}

// Every operation that programs may use is used.
func TestGenerateCoversTheTable(t *testing.T) {
	used := map[riscv.Op]bool{}
	for seed := range uint64(600) {
		p := Generate(seed, All)
		for off := 0; off < len(p.Code); {
			i := riscv.Decode(p.word(off))
			used[i.Op] = true
			off += int(i.Len)
		}
	}
	for op := riscv.Op(1); int(op) < riscv.NumOps; op++ {
		switch op {
		case riscv.ECALL, riscv.EBREAK, riscv.C_EBREAK, riscv.C_ADDI16SP:
			continue // for they leave the program, or write sp
		}
		if All.has(op.Spec().Ext) && !used[op] {
			t.Errorf("no program uses %v", op)
		}
	}
}
