package difftest

// Many programs in one static Linux executable, which starts quickly and says little: for each program, code that loads its
// registers, the program, and code that stores the registers and writes them and the window of memory to standard output.

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// Where the image lies. Code is writable, for programs that modify it.
const (
	codeBase = 0x10_0000
	dataBase = 0x80_0000

	page = 4096
)

// A program's block of data: two pages, with the window across their boundary and the registers after it. gp points at the
// boundary all the time.
const (
	blockSize = 2 * page
	windowAt  = page - MemSize/2
	xAt       = page + MemSize/2
	fAt       = xAt + 32*8
	fcsrAt    = fAt + 32*8
	dumpSize  = fcsrAt + 8 - windowAt
)

// Linux system calls (asm-generic/unistd.h).
const (
	sysWrite = 64
	sysExit  = 93
)

// Image is an executable of several programs.
type Image struct {
	Programs []*Program
	Entry    uint64
	Code     []byte // at CodeBase
	CodeBase uint64
	Data     []byte // at DataBase
	DataBase uint64
	Starts   []uint64 // address of each program's code
}

// Build lays programs out.
func Build(programs []*Program) (*Image, error) {
	img := &Image{Programs: programs, CodeBase: codeBase, DataBase: dataBase, Entry: codeBase}
	img.Data = make([]byte, len(programs)*blockSize)
	a := asm.New(codeBase)
	for i, p := range programs {
		block := img.Data[i*blockSize:][:blockSize]
		gp := uint64(dataBase + i*blockSize + page)
		copy(block[windowAt:], p.Mem[:])
		for r := range p.X {
			x := p.X[r]
			if r == regSP || r == regGP || r == regS0 {
				x += gp - MemSize/2
			}
			binary.LittleEndian.PutUint64(block[xAt+8*r:], x)
			binary.LittleEndian.PutUint64(block[fAt+8*r:], p.F[r])
		}
		binary.LittleEndian.PutUint64(block[fcsrAt:], p.FCSR)

		// Every load is in reach of gp, and so is every store at the end: programs leave it alone.
		a.Li(regGP, int64(gp))
		a.Load(riscv.LD, asm.T0, fcsrAt-page, regGP)
		a.CSR(riscv.CSRRW, 0, riscv.CSRFcsr, asm.T0)
		for r := range uint8(32) {
			a.Load(riscv.FLD, r, fAt-page+8*int32(r), regGP)
		}
		for r := uint8(1); r < 32; r++ {
			if r != regGP {
				a.Load(riscv.LD, r, xAt-page+8*int32(r), regGP)
			}
		}
		img.Starts = append(img.Starts, a.PC())
		a.Data(p.Code...)
		for r := uint8(1); r < 32; r++ {
			a.Store(riscv.SD, r, xAt-page+8*int32(r), regGP)
		}
		for r := range uint8(32) {
			a.Store(riscv.FSD, r, fAt-page+8*int32(r), regGP)
		}
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRFcsr, 0)
		a.Store(riscv.SD, asm.T0, fcsrAt-page, regGP)
		a.Li(asm.A7, sysWrite)
		a.Li(asm.A0, 1)
		a.I(riscv.ADDI, asm.A1, regGP, windowAt-page)
		a.Li(asm.A2, dumpSize)
		a.Op(riscv.ECALL)
	}
	a.Li(asm.A7, sysExit)
	a.Li(asm.A0, 0)
	a.Op(riscv.ECALL)
	code, err := a.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assembling an image of %d programs: %w", len(programs), err)
	}
	if codeBase+len(code) > dataBase {
		return nil, errors.New("too many programs for one image")
	}
	img.Code = code
	return img, nil
}

// Results takes apart what the image has written: the results of its programs, of fewer if it was cut short.
func Results(output []byte) []*Result {
	var results []*Result
	for ; len(output) >= dumpSize; output = output[dumpSize:] {
		r := new(Result)
		copy(r.Mem[:], output)
		for i := range r.X {
			r.X[i] = binary.LittleEndian.Uint64(output[xAt-windowAt+8*i:])
			r.F[i] = binary.LittleEndian.Uint64(output[fAt-windowAt+8*i:])
		}
		r.X[0] = 0 // not stored
		r.FCSR = binary.LittleEndian.Uint64(output[fcsrAt-windowAt:])
		results = append(results, r)
	}
	return results
}

// ELF is the image as an ELF64 executable (System V ABI, chapters 4 and 5; RISC-V ELF psABI §8): a file header and two
// loadable segments.
func (img *Image) ELF() []byte {
	const (
		headerSize  = 64
		programSize = 56
		flagsCodeRW = 7 // read, write, execute
		flagsData   = 6
		floatDouble = 4 // EF_RISCV_FLOAT_ABI_DOUBLE
		rvc         = 1 // EF_RISCV_RVC
	)
	le := binary.LittleEndian
	codeAt := uint64(page) // file offsets are congruent to addresses modulo the page size
	dataAt := codeAt + uint64(len(img.Code)+page-1)&^(page-1)

	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0} // 64 bits, little-endian, version 1, System V
	b = le.AppendUint16(b, 2)                                            // executable
	b = le.AppendUint16(b, 243)                                          // RISC-V
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, img.Entry)
	b = le.AppendUint64(b, headerSize) // program headers follow
	b = le.AppendUint64(b, 0)          // no section headers
	b = le.AppendUint32(b, rvc|floatDouble)
	b = le.AppendUint16(b, headerSize)
	b = le.AppendUint16(b, programSize)
	b = le.AppendUint16(b, 2)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	segment := func(flags uint32, offset, addr uint64, n int) {
		b = le.AppendUint32(b, 1) // load
		b = le.AppendUint32(b, flags)
		b = le.AppendUint64(b, offset)
		b = le.AppendUint64(b, addr)
		b = le.AppendUint64(b, addr)
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, uint64(n))
		b = le.AppendUint64(b, page)
	}
	segment(flagsCodeRW, codeAt, img.CodeBase, len(img.Code))
	segment(flagsData, dataAt, img.DataBase, len(img.Data))
	b = append(b, make([]byte, codeAt-uint64(len(b)))...)
	b = append(b, img.Code...)
	b = append(b, make([]byte, dataAt-uint64(len(b)))...)
	return append(b, img.Data...)
}
