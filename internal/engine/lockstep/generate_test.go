package lockstep

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
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
	var things things
	r.Steps = func(*rand.Rand) uint64 {
		h := r.tested.side.Hart
		if raw, ok := codeAt(h.RAM, viewOf(h)); ok {
			i := riscv.Decode(raw)
			executed[place{i.Op, h.Priv}]++
			things.note(h, i.Expand())
		} else {
			things.note(h, riscv.Inst{})
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
	t.Logf("%+v\n%+v", s, things.seen)
	for v, i := reflect.ValueOf(things.seen), 0; i < v.NumField(); i++ {
		if v.Field(i).Uint() < 20 {
			t.Errorf("%s: %d times", v.Type().Field(i).Name, v.Field(i).Uint())
		}
	}
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

// things counts what the issue asks programs for, beyond single instructions.
type things struct {
	seen struct {
		PageCrossingLoads, PageCrossingStores   uint64
		PageCrossingInstructions                uint64
		StoresToCode, StoresToCodeThenFenceI    uint64 // of all, those with a FENCE.I in the next few instructions
		StoresToPageTables, SpaceSwitches       uint64
		SuccessfulSC, FailedSC, ReservationsMet uint64 // the last: an SC that follows an LR to the same address
		TrapsInMidBlock, InterruptsInMidBlock   uint64 // at least two instructions after the last jump
		IndirectJumps, Returns                  uint64
		FloatingPointOff                        uint64
	}

	last        riscv.Inst // executed before
	pc          uint64
	satp, traps uint64
	interrupts  uint64
	straight    int // instructions since the last jump
	sinceStore  int // instructions since a store to code
	reserved    uint64
}

// note looks at the instruction that h is about to execute.
func (s *things) note(h *hart.Hart, i riscv.Inst) {
	n := &s.seen
	traps, interrupts := uint64(0), uint64(0)
	for _, c := range h.Stats.Exceptions {
		traps += c
	}
	for _, c := range h.Stats.Interrupts {
		interrupts += c
	}
	switch {
	case traps != s.traps || interrupts != s.interrupts:
		if s.straight >= 2 && traps != s.traps {
			n.TrapsInMidBlock++
		}
		if s.straight >= 2 && interrupts != s.interrupts {
			n.InterruptsInMidBlock++
		}
		s.straight = 0
	case h.PC != s.pc+uint64(s.last.Len):
		s.straight = 0
	default:
		s.straight++
		if s.last.Op == riscv.SC_W || s.last.Op == riscv.SC_D {
			if s.last.Rd != 0 && h.X[s.last.Rd] == 0 {
				n.SuccessfulSC++
			} else {
				n.FailedSC++
			}
		}
	}
	s.traps, s.interrupts = traps, interrupts
	if h.Satp != s.satp {
		n.SpaceSwitches++
	}
	s.satp, s.last, s.pc = h.Satp, i, h.PC
	if h.Mstatus&hart.MstatusFS == 0 {
		n.FloatingPointOff++
	}
	if i.Len == 4 && h.PC&memory.PageMask == memory.PageSize-2 {
		n.PageCrossingInstructions++
	}
	if s.sinceStore--; s.sinceStore > 0 && i.Op == riscv.FENCE_I {
		n.StoresToCodeThenFenceI++
		s.sinceStore = 0
	}

	size := map[riscv.Op]uint64{riscv.LD: 8, riscv.LW: 4, riscv.LWU: 4, riscv.LH: 2, riscv.LHU: 2, riscv.FLD: 8, riscv.FLW: 4}[i.Op]
	address := h.X[i.Rs1] + uint64(int64(i.Imm))
	if address&memory.PageMask+size > memory.PageSize {
		n.PageCrossingLoads++
	}
	size = map[riscv.Op]uint64{riscv.SD: 8, riscv.SW: 4, riscv.SH: 2, riscv.SB: 1, riscv.FSD: 8, riscv.FSW: 4}[i.Op]
	if address&memory.PageMask+size > memory.PageSize {
		n.PageCrossingStores++
	}
	if size != 0 {
		page := (address - windowVA) / memory.PageSize
		switch {
		case address-pageAt(codePage) < codePages*memory.PageSize, page < codeSupervisor+codePages:
			n.StoresToCode++
			s.sinceStore = 6
		case address-pageAt(tablePage) < (codePage-tablePage)*memory.PageSize:
			n.StoresToPageTables++
		}
	}
	switch i.Op {
	case riscv.LR_W, riscv.LR_D:
		s.reserved = h.X[i.Rs1]
	case riscv.SC_W, riscv.SC_D:
		if h.X[i.Rs1] == s.reserved {
			n.ReservationsMet++
		}
	case riscv.JALR:
		if i.Rd == 0 && i.Rs1 == 1 {
			n.Returns++
		} else {
			n.IndirectJumps++
		}
	}
}
