package suite

// The file that Linux loads a program from: an ELF header, one program header, and the code (System V ABI, chapters 4 and 5; RISC-V psABI §8).

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// elfBase is where the file lies in memory, headers and all.
const elfBase = 0x10000

// elfHeaders is how long the headers are; the code follows them.
const elfHeaders = 64 + 56

// elfFile is a static riscv64 program that begins with its first instruction, at elfBase+elfHeaders. It is mapped readable and executable: what it
// writes to is its stack, and what it asks the kernel for.
func elfFile(code []byte) ([]byte, error) {
	size := uint64(elfHeaders + len(code))
	const floatABIDouble, compressed = 4, 1 // e_flags: what the kernel's loader and QEMU's look at
	header := elf.Header64{
		Ident:     [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(elf.EM_RISCV),
		Version:   uint32(elf.EV_CURRENT),
		Entry:     elfBase + elfHeaders,
		Phoff:     64,
		Flags:     floatABIDouble | compressed,
		Ehsize:    64,
		Phentsize: 56,
		Phnum:     1,
	}
	load := elf.Prog64{
		Type:   uint32(elf.PT_LOAD),
		Flags:  uint32(elf.PF_R | elf.PF_X),
		Vaddr:  elfBase,
		Paddr:  elfBase,
		Filesz: size,
		Memsz:  size,
		Align:  0x1000,
	}
	var b bytes.Buffer
	for _, part := range []any{header, load, code} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
