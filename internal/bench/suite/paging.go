package suite

// Page tables of bare machines.

import (
	"fmt"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// userVA is where U-mode has its program.
const userVA = 0x1_0000

// What leaves allow.
const (
	leafRW     = mmu.PTEV | mmu.PTER | mmu.PTEW | mmu.PTEA | mmu.PTED
	leafKernel = leafRW | mmu.PTEX | mmu.PTEG
	leafUserX  = mmu.PTEV | mmu.PTER | mmu.PTEX | mmu.PTEU | mmu.PTEA
)

// levelShift is log2 of the bytes that a leaf of a level maps: 4 KiB, 2 MiB, 1 GiB.
func levelShift(level int) uint { return memory.PageShift + 9*uint(level) }

// space is an address space in the making. RAM is at its own address in it, for S-mode, as one leaf of 1 GiB.
type space struct {
	m      *machine
	mode   uint64
	levels int
	root   memory.GPA
	next   *memory.GPA // the next free page for a table, for all spaces of a machine
}

// newSpace makes an address space. next is nil for the first of a machine.
func newSpace(m *machine, mode uint64, next *memory.GPA) (*space, error) {
	if next == nil {
		next = new(memory.GPA)
		*next = tableBase
	}
	s := &space{m: m, mode: mode, levels: 3 + int(mode-mmu.ModeSv39), next: next}
	s.root = s.table()
	_, err := s.put(uint64(ramBase), ramBase, 2, leafKernel)
	return s, err
}

func (s *space) table() memory.GPA {
	t := *s.next
	*s.next += memory.PageSize
	return t
}

func pte(at memory.GPA, flags uint64) uint64 {
	return uint64(at)>>memory.PageShift<<mmu.PTEPPNShift | flags
}

// put maps va to at by a leaf of a level, and returns where the leaf is.
func (s *space) put(va uint64, at memory.GPA, level int, flags uint64) (memory.GPA, error) {
	table := s.root
	for l := s.levels - 1; ; l-- {
		entry := table + memory.GPA(va>>levelShift(l)&511*8)
		if l == level {
			return entry, s.m.RAM.Store64(entry, pte(at, flags))
		}
		v, err := s.m.RAM.Load64(entry)
		if err != nil {
			return 0, err
		}
		if v&mmu.PTEV == 0 {
			v = pte(s.table(), mmu.PTEV)
			if err := s.m.RAM.Store64(entry, v); err != nil {
				return 0, fmt.Errorf("out of room for page tables: %w", err)
			}
		}
		table = memory.GPA(v & mmu.PTEPPN >> mmu.PTEPPNShift << memory.PageShift)
	}
}

// satp is that of the space with an ASID.
func (s *space) satp(asid uint64) uint64 {
	return s.mode<<60 | asid<<44 | uint64(s.root)>>memory.PageShift
}

// user gives the machine a program in U-mode of the space, and a kernel, to which it traps: its code begins with the handler.
func (m *machine) user(s *space, kernel, program func(a *asm.Assembler)) error {
	if _, err := s.put(userVA, userBase, 0, leafUserX); err != nil {
		return err
	}
	labels, err := m.load(func(a *asm.Assembler) {
		a.Align(4)
		a.Label("handler")
		kernel(a)
	})
	if err != nil {
		return err
	}
	_, err = m.write(userBase, userVA, program)
	m.Stvec, m.entry, m.priv = labels["handler"], userVA, riscv.PrivU
	return err
}

// enter makes it the space that the program begins in, in S-mode, with exceptions of S- and U-mode delegated to S-mode.
func (s *space) enter() {
	m := s.m
	m.Medeleg = 1<<riscv.CauseEcallU | 1<<riscv.CauseLoadPageFault | 1<<riscv.CauseStorePageFault
	m.WriteCSR(riscv.CSRMcounteren, 7)
	m.WriteCSR(riscv.CSRScounteren, 7)
	m.WriteCSR(riscv.CSRSatp, s.satp(1))
	m.priv = riscv.PrivS
}
