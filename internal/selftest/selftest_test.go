package selftest

import (
	"testing"
	"time"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

func TestEveryEngineComputesEveryProgram(t *testing.T) {
	for _, rounds := range []int64{1, 2, 1000} {
		for _, r := range Run(rounds, time.Minute) {
			if r.Skipped != nil {
				t.Logf("%s cannot run here: %v", r.Engine, r.Skipped)
				continue
			}
			if r.Err != nil {
				t.Errorf("%s, %s, %d rounds: %v", r.Engine, r.Program, rounds, r.Err)
			}
			if r.Instructions == 0 {
				t.Errorf("%s, %s: no instructions were counted", r.Engine, r.Program)
			}
		}
	}
}

// sloth is an engine that does nothing, wrongly.
type sloth struct{ exit engine.Exit }

func (sloth) Name() string       { return "sloth" }
func (s sloth) Run() engine.Exit { return s.exit }

func TestAWrongEngineIsFoundOut(t *testing.T) {
	for _, exit := range []engine.Exit{engine.ExitStop, engine.ExitWFI, engine.ExitFirmware} {
		e := engines.Engine{Name: "sloth", Make: func(engines.Options) func(*hart.Hart) engine.Engine {
			return func(*hart.Hart) engine.Engine { return sloth{exit} }
		}}
		for _, p := range programs {
			if r := runOne(e, p, 3, time.Minute); r.Err == nil {
				t.Errorf("%s, %v: no error", p.name, exit)
			}
		}
	}
}

func TestATrapIsReported(t *testing.T) {
	p := program{"trap", Program{func(a *asm.Assembler) { a.Op(riscv.EBREAK) }, func(uint64) uint64 { return 0 }}}
	e, err := engines.Lookup("interp")
	if err != nil {
		t.Fatal(err)
	}
	if r := runOne(e, p, 1, time.Minute); r.Err == nil {
		t.Error("no error")
	}
}

func TestMIPS(t *testing.T) {
	r := Result{Instructions: 3e6, Elapsed: 2 * time.Second}
	if r.MIPS() != 1.5 || (Result{}).MIPS() != 0 {
		t.Errorf("%v, %v", r.MIPS(), (Result{}).MIPS())
	}
}
