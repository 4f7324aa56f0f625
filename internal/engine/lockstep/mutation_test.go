package lockstep

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// saboteur is an interpreter that goes wrong once: at the first stop at which at instructions have retired.
type saboteur struct {
	*interp.Interp
	h    *hart.Hart
	at   uint64
	do   func(h *hart.Hart)
	done bool
}

func (s *saboteur) RunFor(n uint64) (engine.Exit, bool) {
	exit, exited := s.Interp.RunFor(n)
	if !s.done && s.h.Instret >= s.at {
		s.done = true
		s.do(s.h)
	}
	return exit, exited
}

// Whatever an engine gets wrong, once and in one place, is found at the instruction where it happens, and named.
func TestMutationsAreFound(t *testing.T) {
	const at = 777
	csr := func(num uint16, flip uint64) func(h *hart.Hart) {
		return func(h *hart.Hart) {
			v, _ := h.ReadCSR(num)
			h.WriteCSR(num, v^flip)
		}
	}
	memoryAt := func(a memory.GPA) func(h *hart.Hart) {
		return func(h *hart.Hart) {
			v, err := h.RAM.Load8(a)
			if err == nil {
				err = h.RAM.Store8(a, v^0x40)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	cases := []struct {
		name string
		do   func(h *hart.Hart)
		want string // how the first difference is named
	}{
		{"x register", func(h *hart.Hart) { h.X[23] ^= 1 << 63 }, "x23 (s7)"},
		{"x0", func(h *hart.Hart) { h.X[0] = 1 }, "x0 (zero)"},
		{"f register", func(h *hart.Hart) { h.F[9] ^= 1 }, "f9 (fs1)"},
		{"pc", func(h *hart.Hart) { h.PC += 2 }, "pc"},
		{"privilege", func(h *hart.Hart) { h.Priv ^= 1 }, "priv"},
		{"fflags", func(h *hart.Hart) { h.Fflags ^= 1 }, "fflags"},
		{"frm", func(h *hart.Hart) { h.Frm ^= 1 }, "frm"},
		{"one more retired", func(h *hart.Hart) { h.Instret++ }, ""},
		{"one less retired", func(h *hart.Hart) { h.Instret-- }, ""},
		{"many more retired", func(h *hart.Hart) { h.Instret += 1 << 40 }, ""},
		{"reservation", func(h *hart.Hart) { h.ResValid ^= 1 }, "reservation"},
		{"mstatus", func(h *hart.Hart) { h.Mstatus ^= hart.MstatusSPP }, "mstatus"},
		{"mscratch", csr(riscv.CSRMscratch, 8), "mscratch"},
		{"mepc", csr(riscv.CSRMepc, 8), "mepc"},
		{"mcause", csr(riscv.CSRMcause, 8), "mcause"},
		{"mtval", csr(riscv.CSRMtval, 1), "mtval"},
		{"mtvec", csr(riscv.CSRMtvec, 8), "mtvec"},
		{"medeleg", csr(riscv.CSRMedeleg, 1<<riscv.CauseBreakpoint), "medeleg"},
		{"mideleg", csr(riscv.CSRMideleg, 1<<riscv.IntSSoftware), "mideleg"},
		{"mie", csr(riscv.CSRMie, 1<<riscv.IntSSoftware), "mie"},
		{"mip", csr(riscv.CSRMip, 1<<riscv.IntSSoftware), "mip"},
		{"minstret", csr(riscv.CSRMinstret, 1<<20), "minstret"},
		{"sepc", csr(riscv.CSRSepc, 8), "sepc"},
		{"scause", csr(riscv.CSRScause, 8), "scause"},
		{"stval", csr(riscv.CSRStval, 8), "stval"},
		{"stvec", csr(riscv.CSRStvec, 8), "stvec"},
		{"sscratch", csr(riscv.CSRSscratch, 8), "sscratch"},
		{"satp", func(h *hart.Hart) { h.Satp ^= 1 << 44 }, "satp"},
		{"stimecmp", csr(riscv.CSRStimecmp, 1<<60), "stimecmp"},
		{"senvcfg", csr(riscv.CSRSenvcfg, hart.EnvcfgCBZE), "senvcfg"},
		{"pmpaddr", csr(riscv.CSRPmpaddr0+9, 8), "pmpaddr9"},
		{"device", func(h *hart.Hart) { h.Bus.Load(deviceBase, 4) }, "accesses to devices"},
		{"memory, data", memoryAt(memory.GPA(pageAt(dataPage) + 1234)), "memory at 0x800404d0"},
		{"memory, page table", memoryAt(memory.GPA(pageAt(tablePage) + 4095)), "memory at 0x80006ff8"},
		{"memory, last byte", memoryAt(ramBase + ramSize - 1), "memory at 0x8005fff8"},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := Generate(uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			// The registers of a program are random, but a program must be long enough.
			r := &Runner{New: func(h *hart.Hart) Engine { return interp.New(h) }}
			defer r.Close()
			for ; ; p.Seed += 1000 {
				if p, err = Generate(p.Seed); err != nil {
					t.Fatal(err)
				}
				before := r.Stats.Instructions
				if err := r.Run(p); err != nil {
					t.Fatal(err)
				}
				if r.Stats.Instructions-before > 2*at {
					break
				}
			}
			r = &Runner{New: func(h *hart.Hart) Engine { return &saboteur{Interp: interp.New(h), h: h, at: at, do: c.do} }}
			defer r.Close()
			d, ok := AsDivergence(r.Run(p))
			if !ok {
				t.Fatal("not found")
			}
			if !strings.HasPrefix(d.First(), c.want) {
				t.Errorf("the first difference is %q\n%v", d.First(), d)
			}
			if d.Before.Instret != at-1 || d.Asked > 1 {
				t.Errorf("found after instruction %d, in a step of %d; it happened after %d", d.Before.Instret, d.Asked, at-1)
			}
			if !strings.Contains(d.Error(), "\t>") {
				t.Errorf("no instruction is marked:\n%v", d)
			}
		})
	}
}

// deaf is an interpreter that does not say why it stops.
type deaf struct{ *interp.Interp }

func (d deaf) RunFor(n uint64) (engine.Exit, bool) {
	_, exited := d.Interp.RunFor(n)
	return engine.ExitStop, exited
}

func TestWrongExitIsFound(t *testing.T) {
	r := &Runner{New: func(h *hart.Hart) Engine { return deaf{interp.New(h)} }}
	defer r.Close()
	for seed := range uint64(20) {
		p, err := Generate(seed)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := AsDivergence(r.Run(p)); ok {
			return
		}
	}
	t.Error("not found")
}

// lucky goes wrong only when it is asked for many instructions: the second run, in small steps, does not show it.
type lucky struct {
	*interp.Interp
	h *hart.Hart
}

func (l lucky) RunFor(n uint64) (engine.Exit, bool) {
	exit, exited := l.Interp.RunFor(n)
	if n > 30 {
		l.h.X[20] ^= 1
	}
	return exit, exited
}

func TestDifferenceOfLongStepsIsReported(t *testing.T) {
	r := &Runner{
		New:   func(h *hart.Hart) Engine { return lucky{interp.New(h), h} },
		Steps: func(*rand.Rand) uint64 { return 31 },
	}
	defer r.Close()
	p, err := Generate(1)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := AsDivergence(r.Run(p))
	if !ok || !strings.Contains(d.Why, "not with steps of one") || !strings.HasPrefix(d.First(), "x20") {
		t.Errorf("got %v", d)
	}
}

func TestMutationOfUserLevelProgramIsFound(t *testing.T) {
	r := &Runner{New: func(h *hart.Hart) Engine {
		return &saboteur{Interp: interp.New(h), h: h, at: 5000, do: func(h *hart.Hart) { h.F[3] ^= 1 }}
	}}
	img, err := difftest.Build(difftest.GenerateMany(1, Batch, difftest.All))
	if err != nil {
		t.Fatal(err)
	}
	d, ok := AsDivergence(r.RunImage(img))
	if !ok || !strings.HasPrefix(d.First(), "f3") {
		t.Errorf("got %v", d)
	}
}

// What fails can be run again: the seeds are those of the machines' whole life.
func TestRunSeedsSaysHowToRunAgain(t *testing.T) {
	runs := 0
	r := &Runner{New: func(h *hart.Hart) Engine {
		runs++
		return &saboteur{Interp: interp.New(h), h: h, at: uint64(100 - 40*min(runs, 2)), do: func(h *hart.Hart) {
			if runs > 1 {
				h.X[5] ^= 1
			}
		}}
	}}
	d, ok := AsDivergence(r.RunSeeds(7, Batch+5))
	if want := "RunSeeds(27, 1)"; !ok || !strings.Contains(d.Error(), want) {
		t.Errorf("got %v, want %s in it", d, want)
	}
}

// forgetful goes wrong only in the second program of its life.
type forgetful struct {
	resettable
	h *hart.Hart
}

func (f forgetful) RunFor(n uint64) (engine.Exit, bool) {
	exit, exited := f.resettable.RunFor(n)
	if *f.resets == 2 {
		f.h.X[20] ^= 1
	}
	return exit, exited
}

func TestDifferenceThatNeedsTheProgramsBeforeIsReported(t *testing.T) {
	r := &Runner{New: func(h *hart.Hart) Engine { return forgetful{resettable{interp.New(h), new(int)}, h} }}
	d, ok := AsDivergence(r.RunSeeds(0, 5))
	if !ok || !strings.Contains(d.Why, "needs the programs before it") || !strings.Contains(d.Again, "RunSeeds(0, 2)") {
		t.Errorf("got %v", d)
	}
}
