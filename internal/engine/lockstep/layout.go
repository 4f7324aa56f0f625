package lockstep

// Where things are in a generated program: RAM, and the three address spaces that its page tables make.
//
// Each space maps the window at windowVA, 2 MiB of 4 KiB pages with one table of leaves:
//
//	page   0..191  the code as U-mode has it, at a place of its own in each space: one physical page, three virtual addresses
//	page 256..     the code as S-mode has it, at the same place in all spaces
//	page 320..367  pairs of pages with any permissions, on any data page; between pairs there is nothing
//	page 384..     stacks, of U and of S
//	page 448..463  64 KiB as one NAPOT leaf
//
// and beside it, as large leaves: 2 MiB after the window that begin at the start of RAM, the devices, RAM at its own address
// (S-mode only), and in Sv39 RAM at the top of the address space.

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

const (
	ramBase  = 0x8000_0000
	ramPages = 96
	ramSize  = ramPages * memory.PageSize

	// Physical pages.
	handlerPage = 0  // 4 pages: the dispatcher and the trap handlers
	savePage    = 4  // what the handlers save and count, and the descriptors of episodes
	tablePage   = 6  // 18 pages: page tables
	codePage    = 24 // 40 pages
	codePages   = 40
	dataPage    = 64 // 16 pages, a multiple of 64 KiB
	dataPages   = 16
	stackPage   = 80 // 2 for U, 2 for S and M

	windowVA = 0x4000_0000
	largeVA  = windowVA + 2<<20
	highVA   = 1<<64 - 1<<30 // in Sv39: the last GiB

	// Pages of the window.
	codeUser       = 0 // and 64 more for each space
	codeSupervisor = 256
	pairs          = 320
	pairStride     = 4
	numPairs       = 12
	stacks         = 384
	napot          = 448
	napotPages     = 16
)

func pageAt(n uint64) uint64   { return ramBase + n*memory.PageSize }
func windowAt(n uint64) uint64 { return windowVA + n*memory.PageSize }

// space is one address space.
type space struct {
	index  uint64
	mode   uint64 // of satp
	satp   uint64
	leaves uint64 // physical address of the window's table
}

// userCode is where the space has the code for U-mode.
func (s *space) userCode() uint64 { return windowAt(codeUser + 64*s.index) }

// layout makes page tables in an image of RAM.
type layout struct {
	rand  *rand.Rand
	image []byte
	next  uint64 // the next free page for a table
	svadu bool   // the hardware sets A and D; else a leaf without them faults
}

func (l *layout) put(at, v uint64) { binary.LittleEndian.PutUint64(l.image[at-ramBase:], v) }

func (l *layout) get(at uint64) uint64 { return binary.LittleEndian.Uint64(l.image[at-ramBase:]) }

func (l *layout) table() uint64 {
	at := pageAt(l.next)
	l.next++
	return at
}

// leaf is a valid leaf for physical address pa.
func leaf(pa, flags uint64) uint64 {
	return pa>>memory.PageShift<<mmu.PTEPPNShift | flags | mmu.PTEV
}

const (
	flagsRW  = mmu.PTER | mmu.PTEW | mmu.PTEA | mmu.PTED
	flagsRX  = mmu.PTER | mmu.PTEX | mmu.PTEA
	flagsRWX = flagsRW | mmu.PTEX
)

// anyLeaf is an entry for a page of data: mostly one that S or U may use, now and then one that faults in some way.
func (l *layout) anyLeaf() uint64 {
	pa := pageAt(dataPage + l.rand.Uint64N(dataPages))
	var flags uint64
	switch n := l.rand.IntN(16); n {
	case 0:
		return 0
	case 1:
		flags = mmu.PTER | mmu.PTEA
	case 2:
		flags = mmu.PTEX | mmu.PTEA
	case 3:
		flags = mmu.PTER | mmu.PTEW | mmu.PTEA // not dirty
	case 4:
		flags = mmu.PTER | mmu.PTEW // not accessed
	case 5:
		flags = mmu.PTEW | mmu.PTEA | mmu.PTED // reserved
	case 6:
		pa = 0x2000_0000 // nothing
		flags = flagsRW
	case 7:
		pa = deviceBase
		flags = flagsRW
	case 8:
		flags = flagsRW | 1<<mmu.PTEPBMTShift // Svpbmt, or reserved without it
	case 9:
		flags = flagsRWX
	default:
		flags = flagsRW
	}
	if l.rand.IntN(5) > 1 {
		flags |= mmu.PTEU
	}
	return leaf(pa, flags)
}

// space makes a space with number i.
func (l *layout) space(i uint64) *space {
	s := &space{index: i, mode: mmu.ModeSv39 + l.rand.Uint64N(3)}
	if l.rand.IntN(2) == 0 {
		s.mode = mmu.ModeSv39
	}
	root := l.table()
	s.satp = s.mode<<60 | (i+1)<<44 | root>>memory.PageShift
	gigas := root // the table of 1 GiB leaves
	for range s.mode - mmu.ModeSv39 {
		below := l.table()
		l.put(gigas, leaf(below, 0))
		gigas = below
	}
	user := uint64(l.rand.IntN(2)) * mmu.PTEU
	l.put(gigas, leaf(0, flagsRW|user))
	megas := l.table()
	l.put(gigas+8, leaf(megas, 0))
	l.put(gigas+16, leaf(ramBase, flagsRWX|uint64(l.rand.IntN(2))*mmu.PTEG))
	if s.mode == mmu.ModeSv39 {
		l.put(gigas+511*8, leaf(ramBase, flagsRWX))
	}
	s.leaves = l.table()
	l.put(megas, leaf(s.leaves, 0))
	large := uint64(mmu.PTER | mmu.PTEW | mmu.PTEA | mmu.PTED)
	switch l.rand.IntN(4) {
	case 0:
		large = mmu.PTER | mmu.PTEA
	case 1:
		large |= mmu.PTEU
	}
	l.put(megas+8, leaf(ramBase, large))

	for n := range uint64(codePages) {
		pa := pageAt(codePage + n)
		flags := uint64(flagsRWX)
		switch l.rand.IntN(6) {
		case 0:
			flags = flagsRX
		case 1:
			flags = mmu.PTEX | mmu.PTEA
		case 2:
			if l.svadu {
				flags &^= mmu.PTED | mmu.PTEA
			}
		}
		l.put(s.leaves+8*(codeUser+64*i+n), leaf(pa, flags|mmu.PTEU))
		flags = flagsRWX
		if l.rand.IntN(8) == 0 {
			flags = flagsRX
		}
		l.put(s.leaves+8*(codeSupervisor+n), leaf(pa, flags))
	}
	for n := range uint64(numPairs) {
		l.put(s.leaves+8*(pairs+pairStride*n), l.anyLeaf())
		l.put(s.leaves+8*(pairs+pairStride*n+1), l.anyLeaf())
	}
	for n := range uint64(4) {
		u := uint64(0)
		if n < 2 {
			u = mmu.PTEU
		}
		l.put(s.leaves+8*(stacks+n), leaf(pageAt(stackPage+n), flagsRW|u))
	}
	flags := flagsRW | uint64(l.rand.IntN(2))*mmu.PTEU
	for n := range uint64(napotPages) {
		// The low bits of the number say how large the leaf is: 64 KiB.
		l.put(s.leaves+8*(napot+n), leaf(pageAt(dataPage+8), flags|mmu.PTEN))
	}
	return s
}

// gp is a page boundary for a program's window of data, which the mode can mostly reach, and the stack for it.
func (l *layout) gp(s *space, priv uint64, translated bool) (gp, stack uint64) {
	boundary := 1 + l.rand.Uint64N(dataPages-1)
	if !translated {
		return pageAt(dataPage + boundary), pageAt(stackPage + 4)
	}
	stack = windowAt(stacks + 4)
	if priv == riscv.PrivU {
		stack = windowAt(stacks + 2)
	}
	switch n := l.rand.IntN(10); {
	case n == 0:
		return windowAt(napot + 1 + l.rand.Uint64N(napotPages-1)), stack
	case n == 1:
		return largeVA + pageAt(dataPage+boundary) - ramBase, stack
	case n == 2 && priv == riscv.PrivS:
		return pageAt(dataPage + boundary), stack
	case n == 3 && priv == riscv.PrivS && s.mode == mmu.ModeSv39:
		return highAt(pageAt(dataPage + boundary)), stack
	}
	// A pair that works, mostly.
	pair := l.rand.Uint64N(numPairs)
	for range 3 {
		works := func(pte uint64) bool { return pte&flagsRW == flagsRW && pte&mmu.PTEU != 0 == (priv == riscv.PrivU) }
		if works(l.get(s.leaves+8*(pairs+pairStride*pair))) && works(l.get(s.leaves+8*(pairs+pairStride*pair+1))) {
			break
		}
		pair = l.rand.Uint64N(numPairs)
	}
	return windowAt(pairs + pairStride*pair + 1), stack
}

// highAt is where the last GiB has a physical address.
func highAt(pa uint64) uint64 { return pa - ramBase + highVA }
