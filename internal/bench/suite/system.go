package suite

// system/*: what a kernel does all the time: traps and returns, CSRs, fences, atomics, switches of address spaces. The programs run in S-mode, with
// U-mode below, in Sv39.

import (
	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

func systemGroup() []bench.Benchmark {
	const ns = 1_000
	unit := bench.NsPerOp
	return guests([]guest{
		{"system/ecall", "From U-mode to the kernel and back by ecall and sret; calls are counted", unit, both, ns, 0, ecalls},
		{"system/fault", "A load that faults, and a handler that goes on behind it; faults are counted", unit, both, ns, 0, faults(false)},
		{"system/pagefault", "A load that faults, a handler that maps the page, the load again, and a fence that unmaps it; the sum of the loads is known", unit,
			both, ns, 0, faults(true)},
		{"system/csr/read", "satp is read, which the sum shows", unit, both, ns, 4, kernel(readCSRs, func(m *machine) func(uint64) uint64 {
			return func(rounds uint64) uint64 { return 4 * rounds * m.Satp }
		})},
		{"system/csr/swap", "sscratch is exchanged, which the sum of its old values shows", unit, both, ns, 4, kernel(swapCSRs, fixed(func(rounds uint64) uint64 {
			n := 4 * rounds
			return n * (n - 1) / 2
		}))},
		{"system/csr/time", "time is read, and never goes back", unit, both, ns, 4, kernel(readTimes, fixed(func(uint64) uint64 { return 0 }))},
		{"system/sfence", "sfence.vma of everything, without what it drops being used again but for the code; rounds are counted", unit, both, ns, 0,
			kernel(counted(func(a *asm.Assembler) { a.R(riscv.SFENCE_VMA, asm.Zero, asm.Zero, asm.Zero) }), fixed(count))},
		{"system/fencei", "fence.i when no code has been written; rounds are counted", unit, both, ns, 0,
			kernel(counted(func(a *asm.Assembler) { a.Op(riscv.FENCE_I) }), fixed(count))},
		{"system/lrsc", "An addition by lr and sc, tried again if it fails; the sum is in memory", unit, both, ns, 0, kernel(lrsc, fixed(count))},
		{"system/amo", "amoadd, whose sum is in memory", unit, both, ns, 4, kernel(amo, fixed(func(rounds uint64) uint64 { return 4 * rounds }))},
		{"system/switch", "satp is written to go to another address space, where the load of a page shows that it is that one", unit, both, ns, 2, switches},
	})
}

func count(rounds uint64) uint64 { return rounds }

// fixed is what a program computes on any machine.
func fixed(want func(rounds uint64) uint64) func(*machine) func(uint64) uint64 {
	return func(*machine) func(uint64) uint64 { return want }
}

// kernel loads a program that runs in S-mode, with s0 rounds of a loop and its result in a0.
func kernel(code func(a *asm.Assembler), want func(m *machine) func(rounds uint64) uint64) func(m *machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		s, err := newSpace(m, mmu.ModeSv39, nil)
		if err != nil {
			return nil, err
		}
		s.enter()
		_, err = m.load(code)
		return m.result(want(m)), err
	}
}

// counted is a loop that counts its rounds in a0.
func counted(code func(a *asm.Assembler)) func(a *asm.Assembler) {
	return func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Label("loop")
		code(a)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		loop(a, "loop")
	}
}

func readCSRs(a *asm.Assembler) {
	a.Li(asm.A0, 0)
	a.Label("loop")
	for range 4 {
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRSatp, asm.Zero)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
	}
	loop(a, "loop")
}

func swapCSRs(a *asm.Assembler) {
	a.Li(asm.A0, 0)
	a.Li(asm.T1, 0)
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSscratch, asm.T1)
	a.Label("loop")
	for range 4 {
		a.I(riscv.ADDI, asm.T1, asm.T1, 1)
		a.CSR(riscv.CSRRW, asm.T0, riscv.CSRSscratch, asm.T1)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
	}
	loop(a, "loop")
}

func readTimes(a *asm.Assembler) {
	a.Li(asm.A0, 0)
	a.Li(asm.T1, 0)
	a.Label("loop")
	for range 4 {
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRTime, asm.Zero)
		a.R(riscv.SLTU, asm.T2, asm.T0, asm.T1)
		a.R(riscv.ADD, asm.A0, asm.A0, asm.T2)
		a.Mv(asm.T1, asm.T0)
	}
	loop(a, "loop")
}

func lrsc(a *asm.Assembler) {
	a.Store(riscv.SD, asm.Zero, 0, asm.S1)
	a.Label("loop")
	a.AMO(riscv.LR_D, asm.T0, 0, asm.S1, asm.AQ)
	a.I(riscv.ADDI, asm.T0, asm.T0, 1)
	a.AMO(riscv.SC_D, asm.T1, asm.T0, asm.S1, asm.RL)
	a.B(riscv.BNE, asm.T1, asm.Zero, "loop")
	loop(a, "loop")
	a.Load(riscv.LD, asm.A0, 0, asm.S1)
}

func amo(a *asm.Assembler) {
	a.Store(riscv.SD, asm.Zero, 0, asm.S1)
	a.Li(asm.T1, 1)
	a.Label("loop")
	for range 4 {
		a.AMO(riscv.AMOADD_D, asm.Zero, asm.T1, asm.S1, asm.AQRL)
	}
	loop(a, "loop")
	a.Load(riscv.LD, asm.A0, 0, asm.S1)
}

// ecalls is a program in U-mode that calls a kernel, which counts in a0 and ends the program when a7 says so.
func ecalls(m *machine) (verdict, error) {
	s, err := newSpace(m, mmu.ModeSv39, nil)
	if err != nil {
		return nil, err
	}
	s.enter()
	return m.result(count), m.user(s, func(a *asm.Assembler) {
		a.B(riscv.BNE, asm.A7, asm.Zero, "end")
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRSepc, asm.Zero)
		a.I(riscv.ADDI, asm.T0, asm.T0, 4)
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSepc, asm.T0)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Op(riscv.SRET)
	}, func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Li(asm.A7, 0)
		a.Label("loop")
		a.Op(riscv.ECALL)
		loop(a, "loop")
		a.Li(asm.A7, 1)
		a.Op(riscv.ECALL)
	})
}

// faults is a program whose loads fault. Either the handler, which counts in a0, goes on behind them, or it maps the page, whose leaf is at s2.
func faults(maps bool) func(m *machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		s, err := newSpace(m, mmu.ModeSv39, nil)
		if err != nil {
			return nil, err
		}
		leaf, err := s.put(dataVA, dataBase, 0, 0)
		if err != nil {
			return nil, err
		}
		s.enter()
		if err := store(m, dataBase, 8, 1); err != nil {
			return nil, err
		}
		labels, err := m.load(func(a *asm.Assembler) {
			a.Li(asm.A0, 0)
			a.Li(asm.S2, int64(leaf))
			a.Li(asm.S3, dataVA)
			a.Li(asm.S4, int64(pte(dataBase, leafRW)))
			a.Label("loop")
			a.Load(riscv.LD, asm.T1, 0, asm.S3)
			if maps {
				a.R(riscv.ADD, asm.A0, asm.A0, asm.T1)
				a.Store(riscv.SD, asm.Zero, 0, asm.S2)
				a.R(riscv.SFENCE_VMA, asm.Zero, asm.S3, asm.Zero)
			}
			loop(a, "loop")
			a.J("end")
			a.Align(4)
			a.Label("handler")
			if maps {
				a.Store(riscv.SD, asm.S4, 0, asm.S2)
			} else {
				a.CSR(riscv.CSRRS, asm.T0, riscv.CSRSepc, asm.Zero)
				a.I(riscv.ADDI, asm.T0, asm.T0, 4)
				a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSepc, asm.T0)
				a.I(riscv.ADDI, asm.A0, asm.A0, 1)
			}
			a.Op(riscv.SRET)
			a.Label("end")
			a.Op(riscv.WFI)
		})
		m.Stvec = labels["handler"]
		return m.result(func(rounds uint64) uint64 {
			if maps {
				return rounds * word(0)
			}
			return rounds
		}), err
	}
}

// switches is a program that goes to and fro between two address spaces, which have another page at the same address.
func switches(m *machine) (verdict, error) {
	var spaces [2]*space
	var next *memory.GPA
	for i := range spaces {
		s, err := newSpace(m, mmu.ModeSv39, next)
		if err != nil {
			return nil, err
		}
		spaces[i], next = s, s.next
		if _, err := s.put(dataVA, dataBase+memory.GPA(i)*memory.PageSize, 0, leafRW); err != nil {
			return nil, err
		}
	}
	spaces[0].enter()
	if err := store(m, dataBase, memory.PageSize, 2); err != nil {
		return nil, err
	}
	_, err := m.load(func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Li(asm.S2, dataVA)
		for i, s := range spaces {
			a.Li(asm.S3+uint8(i), int64(s.satp(uint64(1+i))))
		}
		a.Label("loop")
		for i := range spaces {
			a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSatp, asm.S3+uint8(i))
			a.Load(riscv.LD, asm.T0, 0, asm.S2)
			if i == 0 {
				a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
			} else {
				a.R(riscv.XOR, asm.A0, asm.A0, asm.T0)
			}
		}
		loop(a, "loop")
	})
	return m.result(func(rounds uint64) (x uint64) {
		for range rounds {
			x = x + word(0) ^ word(1)
		}
		return x
	}), err
}
