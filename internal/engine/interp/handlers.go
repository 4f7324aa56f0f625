package interp

// The table of everything that has no case in the hot loop.

import "github.com/vmproject/vm/internal/engine/riscv"

// handler executes one instruction. State.PC is its address and State.Instret exact when it is called; see flow for what it
// may answer. Where it does not trap and does not leave, the program counter is not its business.
type handler func(in *Interp, s *slot) flow

// handlers is by slot.op. What has neither a handler nor a case in exec is illegal; a test walks the table of instructions to
// see that nothing is so by oversight.
var handlers = makeHandlers()

func makeHandlers() (table [numOps]handler) {
	for op := range table {
		table[op] = (*Interp).illegal
	}
	for _, group := range []map[riscv.Op]handler{integerHandlers, floatHandlers, atomicHandlers, systemHandlers} {
		for op, h := range group {
			table[op] = h
		}
	}
	return table
}

// floatDest says which ops have an f register as their destination.
var floatDest = func() (table [riscv.NumOps]bool) {
	for op := range table {
		rd, _, _, _ := riscv.Op(op).Operands()
		table[op] = rd == riscv.FloatReg
	}
	return table
}()
