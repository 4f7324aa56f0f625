package board

// What a machine did, for --stats.

import (
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// Stats counts what happened on all harts since the machine was made.
type Stats struct {
	Engine       string
	Instructions uint64                  // retired
	Exceptions   [32]uint64              // by cause
	Interrupts   [16]uint64              // by cause
	Exits        [engine.NumExits]uint64 // of the engine to the board
	Walks, Fills uint64                  // page-table walks; TLB entries made
	Fences       uint64                  // remote fences served
	Report       []engine.Section        // what the engine says of itself
}

// Stats adds up the harts. Call it when Run has returned.
func (b *Board) Stats() Stats {
	var s Stats
	for _, c := range b.cpus {
		s.Engine = c.engine.Name()
		s.Instructions += c.retired
		for i, n := range c.Stats.Exceptions {
			s.Exceptions[i] += n
		}
		for i, n := range c.Stats.Interrupts {
			s.Interrupts[i] += n
		}
		for i, n := range c.exits {
			s.Exits[i] += n
		}
		s.Walks += c.Stats.Walks
		s.Fills += c.Stats.Fills
		s.Fences += c.Stats.Fences
		if r, ok := c.engine.(engine.Reporter); ok && s.Report == nil {
			s.Report = r.Report()
		}
	}
	return s
}

// exceptions and interrupts name the causes.
var exceptions = map[uint64]string{
	riscv.CauseFetchMisaligned: "misaligned fetch",
	riscv.CauseFetchAccess:     "instruction access fault",
	riscv.CauseIllegal:         "illegal instruction",
	riscv.CauseBreakpoint:      "breakpoint",
	riscv.CauseLoadMisaligned:  "misaligned load",
	riscv.CauseLoadAccess:      "load access fault",
	riscv.CauseStoreMisaligned: "misaligned store",
	riscv.CauseStoreAccess:     "store access fault",
	riscv.CauseEcallU:          "ecall from U",
	riscv.CauseEcallS:          "ecall from S",
	riscv.CauseEcallM:          "ecall from M",
	riscv.CauseFetchPageFault:  "instruction page fault",
	riscv.CauseLoadPageFault:   "load page fault",
	riscv.CauseStorePageFault:  "store page fault",
}

var interrupts = map[uint64]string{
	riscv.IntSSoftware: "S software interrupt",
	riscv.IntMSoftware: "M software interrupt",
	riscv.IntSTimer:    "S timer interrupt",
	riscv.IntMTimer:    "M timer interrupt",
	riscv.IntSExternal: "S external interrupt",
	riscv.IntMExternal: "M external interrupt",
}

// causeName is what mcause or scause says, in words.
func causeName(cause uint64) string {
	names := exceptions
	if cause&riscv.CauseInterrupt != 0 {
		names, cause = interrupts, cause&^riscv.CauseInterrupt
	}
	if name, ok := names[cause]; ok {
		return name
	}
	return fmt.Sprintf("cause %d", cause)
}

// String is a table, one figure a line.
func (s Stats) String() string {
	var b strings.Builder
	line := func(name string, n uint64) {
		if n != 0 {
			fmt.Fprintf(&b, "  %-28s %15d\n", name, n)
		}
	}
	line("page-table walks", s.Walks)
	line("TLB fills", s.Fills)
	line("remote fences", s.Fences)
	b.WriteString("traps\n")
	for cause, n := range s.Exceptions {
		line(causeName(uint64(cause)), n)
	}
	for cause, n := range s.Interrupts {
		line(causeName(uint64(cause)|riscv.CauseInterrupt), n)
	}
	b.WriteString("exits\n")
	for e, n := range s.Exits {
		line(engine.Exit(e).String(), n)
	}
	for _, section := range s.Report {
		b.WriteString(section.Name + "\n")
		for _, f := range section.Figures {
			fmt.Fprintf(&b, "  %-28s %15s\n", f.Name, f.Value)
		}
	}
	return b.String()
}
