// Package difftest makes random user-level RISC-V programs and compares what different machines make of them: qemu-riscv64,
// the interpreter, the translator.
//
//	programs := difftest.GenerateMany(seed, 100, difftest.QEMU)
//	img, err := difftest.Build(programs)        // one static Linux executable
//	want, err := difftest.RunQEMU(ctx, qemu, img)
//	got, err := difftest.RunEngine(img, newEngine)
//
// A program is straight-line code with forward branches, short loops and calls, all of which end; it owns a small window of
// memory that lies across a page boundary. Its initial registers, and so its result, follow from its seed and its place in
// the image alone.
package difftest

import (
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// MemSize is the length in bytes of a program's window of memory. Its middle is a page boundary.
const MemSize = 512

// Registers with a role, which programs read but write only as the role asks.
const (
	regSP   = 2 // near the start of the window, for c.ldsp and its like
	regGP   = 3 // the middle of the window
	regLoop = 4 // counts the turns of loops
	regS0   = 8 // before the middle of the window, for c.lw and its like
)

// Program is one generated program.
type Program struct {
	Seed uint64
	Code []byte // position independent; it is entered at its start and left at its end

	// The state at its start. X[2], X[3] and X[8] are offsets from the start of the window.
	X, F [32]uint64
	FCSR uint64
	Mem  [MemSize]byte
}

// Result is the state at a program's end.
type Result struct {
	X, F [32]uint64
	FCSR uint64
	Mem  [MemSize]byte
}

// Diff says where two results differ; it is empty when they do not.
func Diff(got, want *Result) string {
	var b strings.Builder
	for i := range got.X {
		if got.X[i] != want.X[i] {
			fmt.Fprintf(&b, "x%d = %#x, want %#x\n", i, got.X[i], want.X[i])
		}
	}
	for i := range got.F {
		if got.F[i] != want.F[i] {
			fmt.Fprintf(&b, "f%d = %#x, want %#x\n", i, got.F[i], want.F[i])
		}
	}
	if got.FCSR != want.FCSR {
		fmt.Fprintf(&b, "fcsr = %#x, want %#x\n", got.FCSR, want.FCSR)
	}
	for i := range got.Mem {
		if got.Mem[i] != want.Mem[i] {
			fmt.Fprintf(&b, "mem[%d] = %#x, want %#x\n", i, got.Mem[i], want.Mem[i])
		}
	}
	return b.String()
}

// Listing is the program as assembly, each line with its offset. Bytes that are jumped over are listed as if they were code.
func (p *Program) Listing() string {
	var b strings.Builder
	for off := 0; off < len(p.Code); {
		i := riscv.Decode(p.word(off))
		fmt.Fprintf(&b, "%5x:  %s\n", off, i)
		off += int(i.Len)
	}
	return b.String()
}

// Len is the number of instructions of the program, those jumped over included.
func (p *Program) Len() (n int) {
	for off := 0; off < len(p.Code); n++ {
		off += int(riscv.Decode(p.word(off)).Len)
	}
	return n
}

func (p *Program) word(off int) (w uint32) {
	for i := 0; i < 4 && off+i < len(p.Code); i++ {
		w |= uint32(p.Code[off+i]) << (8 * i)
	}
	return w
}
