// Package selftest runs small guest programs through each engine of this host and checks what they compute. It needs no download:
// the programs (programs.go) are assembled from the project's own instruction table, and what they must compute is computed
// again in Go. `vm doctor` prints the verdicts; they are also a first test for a new engine.
package selftest

import (
	"fmt"
	"io"
	"time"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

const (
	base    = memory.GPA(0x8000_0000)
	ramSize = 1 << 20  // bytes
	scratch = 0x8_0000 // offset in RAM of the memory that programs may use
)

// Result is what one engine made of one program.
type Result struct {
	Engine       string
	Program      string
	Instructions uint64
	Elapsed      time.Duration
	Err          error // nil: it computed what it must
	// Skipped is why the engine cannot run on this host. There is nothing else then.
	Skipped error
}

// MIPS is the speed in millions of instructions a second.
func (r Result) MIPS() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Instructions) / r.Elapsed.Seconds() / 1e6
}

// Run runs every program through every engine. rounds is how often a program goes around its loop, at least 1; limit is how long
// one may take.
func Run(rounds int64, limit time.Duration) []Result {
	var results []Result
	for _, e := range engines.All() {
		for _, p := range programs {
			results = append(results, runOne(e, p, rounds, limit))
		}
	}
	return results
}

func runOne(e engines.Engine, p program, rounds int64, limit time.Duration) Result {
	r := Result{Engine: e.Name, Program: p.name}
	if e.Try != nil {
		if _, r.Skipped = e.Try(); r.Skipped != nil {
			return r
		}
	}
	h, err := load(p, rounds)
	if err != nil {
		r.Err = err
		return r
	}
	defer h.RAM.Close()
	defer h.Close()
	machine := e.Make(engines.Options{Harts: 1})(h)
	if c, ok := machine.(io.Closer); ok {
		defer c.Close()
	}
	stop := time.AfterFunc(limit, h.RequestStop)
	defer stop.Stop()

	start := time.Now()
	exit := machine.Run()
	r.Elapsed = time.Since(start)
	r.Instructions = h.Instret
	want := p.Want(uint64(rounds))
	switch {
	case exit == engine.ExitStop:
		r.Err = fmt.Errorf("it did not end within %s; pc is %#x", limit, h.PC)
	case exit != engine.ExitWFI:
		r.Err = fmt.Errorf("it ended by %v at pc %#x, not by wfi", exit, h.PC)
	case h.X[asm.A1] != 0:
		r.Err = fmt.Errorf("it trapped: mcause %#x, mepc %#x, mtval %#x", h.Mcause, h.Mepc, h.Mtval)
	case h.X[asm.A0] != want:
		r.Err = fmt.Errorf("it computed %#x, not %#x", h.X[asm.A0], want)
	}
	return r
}

// load makes a hart that stands before a program's first instruction.
func load(p program, rounds int64) (*hart.Hart, error) {
	code, err := assemble(p, rounds)
	if err != nil {
		return nil, fmt.Errorf("assemble: %w", err)
	}
	ram, err := memory.NewRAM(base, ramSize)
	if err != nil {
		return nil, err
	}
	h, err := hart.New(hart.Config{RAM: ram, Bus: &device.Bus{}, Clock: timebase.New(), PMP: hart.MaxPMP})
	if err != nil {
		ram.Close()
		return nil, err
	}
	if err := ram.Write(base, code); err != nil {
		h.Close()
		ram.Close()
		return nil, err
	}
	h.Reset(uint64(base))
	return h, nil
}

// assemble puts a program between what every program needs: floating point on, a trap handler that says so in a1, s0 = rounds,
// s1 = scratch memory, and a wfi at the end.
func assemble(p program, rounds int64) ([]byte, error) {
	a := asm.New(uint64(base))
	a.La(asm.T0, "trapped")
	a.CSR(riscv.CSRRW, asm.Zero, csrMtvec, asm.T0)
	a.Li(asm.T0, hart.MstatusFS)
	a.CSR(riscv.CSRRS, asm.Zero, csrMstatus, asm.T0)
	a.Li(asm.S0, rounds)
	a.Li(asm.S1, int64(base)+scratch)
	a.Li(asm.A0, 0)
	a.Li(asm.A1, 0)
	p.Code(a)
	a.Label("done")
	a.Op(riscv.WFI)
	a.J("done")
	a.Align(4)
	a.Label("trapped")
	a.Li(asm.A1, 1)
	a.J("done")
	return a.Bytes()
}

// CSR numbers, Privileged §2.2.
const (
	csrMstatus = 0x300
	csrMtvec   = 0x305
	csrMepc    = 0x341
	csrMcause  = 0x342
)
