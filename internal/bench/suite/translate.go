package suite

// jit/*: what translating costs: time and code by the number of guest instructions, and how long a machine takes until it is as fast as it gets.
//
// The first tier translates pages of straight code, in blocks whose size the translator's options bound. The second one only takes loops, so it is
// given loops of those sizes. Both are a usual mixture of instructions, always the same. What the translations computed is compared with the interpreter.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/selftest"
)

// instructionBytes is the size of each instruction of the programs here: none is compressed.
const instructionBytes = 4

// blockSizes are in guest instructions.
var blockSizes = []struct {
	name string
	size int
}{{"small", 8}, {"medium", 32}, {"large", 128}}

func translateGroup() []bench.Benchmark {
	var all []bench.Benchmark
	for _, tier := range []struct {
		variant
		doc  string
		make func(size int) (*translation, error)
	}{
		{baseline, "straight code in blocks", straight},
		{optimized, "hot loops, each a region", hotLoops},
	} {
		for _, b := range blockSizes {
			of := tier.doc + " of at most " + strconv.Itoa(b.size) + " instructions; the result is that of the interpreter"
			all = append(all,
				bench.Benchmark{Name: "jit/compile/" + tier.name + "/" + b.name, Unit: bench.NsPerOp,
					Doc: "Time to translate a guest instruction of " + of,
					Setup: func(*bench.Env) (bench.Instance, error) {
						return translating(tier.make, b.size, translated.timePerInstruction)
					}},
				bench.Benchmark{Name: "jit/code/" + tier.name + "/" + b.name, Unit: bench.PerByte,
					Doc: "Host code for a byte of guest code, of " + of,
					Setup: func(*bench.Env) (bench.Instance, error) {
						return translating(tier.make, b.size, translated.bytesPerByte)
					}})
		}
	}
	for _, v := range []variant{baseline, auto} {
		all = append(all, bench.Benchmark{Name: "jit/peak/" + v.name, Unit: bench.Seconds, Whole: true,
			Doc:   "From the first instruction of a new machine until a hot loop runs within 10 % of its final rate; its result is computed again in Go",
			Setup: func(*bench.Env) (bench.Instance, error) { return peakInstance(v) }})
	}
	return all
}

// translated is what was translated.
type translated struct {
	guest, bytes uint64
	took         time.Duration
}

func (t translated) timePerInstruction() float64 {
	return float64(t.took.Nanoseconds()) / float64(t.guest)
}
func (t translated) bytesPerByte() float64 {
	return float64(t.bytes) / float64(t.guest) / instructionBytes
}

// translation is a machine with programs that are translated again and again.
type translation struct {
	*machine
	translator *jit.Engine
	entries    []uint64
	want       [][32]uint64 // the registers at the end of each
	// once translates the programs, by running them.
	once func(ctx context.Context) (translated, error)
}

// translating measures n translations of a program.
func translating(prepare func(size int) (*translation, error), size int, value func(translated) float64) (bench.Instance, error) {
	t, err := prepare(size)
	if err != nil {
		return nil, err
	}
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		var sum translated
		for range n {
			t.translator.Reset()
			t.FenceI() // with which the hart notices
			w, err := t.once(ctx)
			if err != nil {
				return 0, err
			}
			sum.guest, sum.bytes, sum.took = sum.guest+w.guest, sum.bytes+w.bytes, sum.took+w.took
		}
		if sum.guest == 0 {
			return 0, errors.New("nothing was translated")
		}
		return value(sum), nil
	}, t.close), nil
}

// newTranslation makes a machine of a variant with programs, and finds out on the interpreter what they compute in so many rounds. program says where
// they begin.
func newTranslation(v variant, o jit.Options, rounds uint64, program func(a *asm.Assembler) []uint64) (*translation, error) {
	m, err := newMachine(v, o)
	if err != nil {
		return nil, err
	}
	e, ok := m.engine.(*jit.Engine)
	if !ok {
		return nil, closeAll(bench.Unavailable("this host has no translator"), m.close)
	}
	t := &translation{machine: m, translator: e}
	if err := t.prepare(rounds, program); err != nil {
		return nil, closeAll(err, m.close)
	}
	return t, nil
}

func (t *translation) prepare(rounds uint64, program func(a *asm.Assembler) []uint64) (err error) {
	if _, err := t.load(func(a *asm.Assembler) { t.entries = program(a) }); err != nil {
		return err
	}
	reference, err := newMachine(interpreted, jit.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.close()) }()
	if _, err := reference.load(func(a *asm.Assembler) { program(a) }); err != nil {
		return err
	}
	for _, entry := range t.entries {
		reference.entry = entry
		if _, err := reference.run(context.Background(), rounds); err != nil {
			return err
		}
		t.want = append(t.want, [32]uint64(reference.X[:]))
	}
	return nil
}

// runOne runs a program, and says whether it has computed what the interpreter has.
func (t *translation) runOne(ctx context.Context, program int, rounds uint64) error {
	t.entry = t.entries[program]
	if _, err := t.run(ctx, rounds); err != nil {
		return err
	}
	for i, want := range t.want[program] {
		if got := t.X[i]; got != want {
			return fmt.Errorf("x%d is %#x, and %#x in the interpreter", i, got, want)
		}
	}
	return nil
}

// mixed are the registers that mix works with.
var mixed = []uint8{asm.A0, asm.A1, asm.A2, asm.A3, asm.A4, asm.A5, asm.T0, asm.T1, asm.T2, asm.S2, asm.S3, asm.S4}

// mix writes instructions as compilers do: half of them arithmetic, a third loads and stores, the rest branches that are not taken. Memory is at s1.
func mix(a *asm.Assembler, r *rand.Rand, count int) {
	reg := func() uint8 { return mixed[r.IntN(len(mixed))] }
	for range count {
		switch n := r.IntN(20); {
		case n < 6:
			a.R([]riscv.Op{riscv.ADD, riscv.SUB, riscv.XOR, riscv.AND, riscv.OR, riscv.SLTU, riscv.ADDW, riscv.MUL}[r.IntN(8)], reg(), reg(), reg())
		case n < 10:
			a.I([]riscv.Op{riscv.ADDI, riscv.ADDIW, riscv.XORI, riscv.ANDI}[r.IntN(4)], reg(), reg(), int32(r.IntN(4096)-2048))
		case n < 12:
			a.I([]riscv.Op{riscv.SLLI, riscv.SRLI, riscv.SRAI}[r.IntN(3)], reg(), reg(), int32(1+r.IntN(63)))
		case n < 16:
			a.Load([]riscv.Op{riscv.LD, riscv.LW, riscv.LBU}[r.IntN(3)], reg(), int32(8*r.IntN(64)), asm.S1)
		case n < 18:
			a.Store([]riscv.Op{riscv.SD, riscv.SW}[r.IntN(2)], reg(), int32(8*r.IntN(64)), asm.S1)
		default:
			a.Emit(riscv.Inst{Op: riscv.BLTU, Rs1: reg(), Rs2: asm.Zero, Imm: 8}) // never
		}
	}
}

// begin writes what makes the start of each run the same: the registers and the memory of mix. It returns where it is.
func begin(a *asm.Assembler) uint64 {
	at := a.PC()
	a.Li(asm.S1, int64(scratchBase))
	for i, r := range mixed {
		a.Li(r, int64(i+1)*0x1234_5678_9abc)
	}
	for i := range int32(64) {
		a.Store(riscv.SD, mixed[i%int32(len(mixed))], 8*i, asm.S1)
	}
	return at
}

// straight is 32 KiB of straight code for the first tier.
func straight(size int) (*translation, error) {
	const instructions = 8192
	t, err := newTranslation(baseline, jit.Options{MaxGuest: size}, 0, func(a *asm.Assembler) []uint64 {
		at := begin(a)
		mix(a, rand.New(rand.NewPCG(seed, step)), instructions)
		return []uint64{at}
	})
	if err != nil {
		return nil, err
	}
	t.once = func(ctx context.Context) (translated, error) {
		before := t.jit.Stats()
		if err := t.runOne(ctx, 0, 0); err != nil {
			return translated{}, err
		}
		s := t.jit.Stats()
		w := translated{guest: s.Guest - before.Guest, bytes: s.Bytes - before.Bytes, took: s.Time - before.Time}
		if w.guest < instructions {
			return translated{}, fmt.Errorf("%d instructions were translated, of %d", w.guest, instructions)
		}
		return w, nil
	}
	return t, nil
}

const (
	hotCount        = 8
	hotInstructions = 100_000         // that a loop executes in a run, about: some refills of the budget
	hotPatience     = 5 * time.Second // for a loop to become a region
)

// hotLoops are loops for the second tier, each in a page of its own, that are run until they have become regions.
func hotLoops(size int) (*translation, error) {
	rounds := uint64(hotInstructions / size)
	// Not the first sample: the place that it is of may have no translation yet, and is not asked for again.
	o := jit.Options{Region: jit.RegionOptions{Every: 1, Threshold: 2}, Mirror: jit.MirrorOff}
	t, err := newTranslation(auto, o, rounds, func(a *asm.Assembler) (entries []uint64) {
		r := rand.New(rand.NewPCG(seed, step))
		for i := range hotCount {
			a.Align(memory.PageSize)
			entries = append(entries, begin(a))
			label := "loop" + strconv.Itoa(i)
			a.Label(label)
			mix(a, r, size-2)
			loop(a, label)
			a.J("end")
		}
		a.Label("end")
		a.Op(riscv.WFI)
		return entries
	})
	if err != nil {
		return nil, err
	}
	t.once = func(ctx context.Context) (translated, error) {
		before := t.jit.Stats()
		for i := range t.entries {
			for began := time.Now(); t.jit.Stats().Regions-before.Regions <= uint64(i); {
				if time.Since(began) > hotPatience {
					return translated{}, fmt.Errorf("loop %d does not become a region", i)
				}
				if err := t.runOne(ctx, i, rounds); err != nil {
					return translated{}, err
				}
			}
			if err := t.runOne(ctx, i, rounds); err != nil { // in the region
				return translated{}, err
			}
		}
		s := t.jit.Stats()
		return translated{guest: s.RegionGuest - before.RegionGuest, bytes: s.RegionBytes - before.RegionBytes, took: s.RegionTime - before.RegionTime}, nil
	}
	return t, nil
}

const (
	peakRounds = 2_000 // of the loop, in a slice that its rate is taken of
	peakTime   = 300 * time.Millisecond
	peakWindow = 5   // slices whose median has to be fast
	peakShare  = 0.9 // of the final rate
)

// peakInstance measures new machines.
func peakInstance(v variant) (bench.Instance, error) {
	// Whether there can be one.
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	translates := m.jit != nil
	if err := m.close(); err != nil {
		return nil, err
	}
	if !translates {
		return nil, bench.Unavailable("this host has no translator")
	}
	want := selftest.Integer.Want(peakRounds)
	var taken []peakSlice
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		sum := time.Duration(0)
		for range n {
			var err error
			if taken, err = peakRun(ctx, v, want, taken[:0]); err != nil {
				return 0, err
			}
			sum += timeToPeak(taken)
		}
		return sum.Seconds() / float64(n), nil
	}), nil
}

// peakSlice is a run of the loop.
type peakSlice struct {
	end  time.Duration // since the machine began
	took time.Duration
}

func peakRun(ctx context.Context, v variant, want uint64, s []peakSlice) (_ []peakSlice, err error) {
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if _, err := m.load(selftest.Integer.Code); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		took, err := m.run(ctx, peakRounds)
		if err != nil {
			return nil, err
		}
		end := time.Since(began)
		if got := m.X[asm.A0]; got != want {
			return nil, fmt.Errorf("%d rounds computed %#x, not %#x", peakRounds, got, want)
		}
		if s = append(s, peakSlice{end, took}); end > peakTime && len(s) > 3*peakWindow {
			return s, nil
		}
	}
}

// timeToPeak is the end of the first slice from which the median of some is about as fast as that of the last third of all.
func timeToPeak(s []peakSlice) time.Duration {
	final := medianTook(s[len(s)*2/3:])
	for i := range s[:len(s)-peakWindow] {
		if peakShare*float64(medianTook(s[i:i+peakWindow])) <= float64(final) {
			return s[i].end
		}
	}
	return s[len(s)-1].end
}

func medianTook(s []peakSlice) time.Duration {
	took := make([]time.Duration, 0, len(s))
	for _, one := range s {
		took = append(took, one.took)
	}
	slices.Sort(took)
	return took[len(took)/2]
}
