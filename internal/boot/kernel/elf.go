package kernel

// ELF64 executables: kernels (vmlinux), firmware, and the test programs that end through tohost.
//
// What has a place of its own in RAM goes there. What is linked at zero, or in the upper half of the address space (a
// kernel's virtual addresses), is position independent until it turns its MMU on: it goes where it is told.

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/vmproject/vm/internal/boot/unpack"
	"github.com/vmproject/vm/internal/memory"
)

var elfMagic = []byte(elf.ELFMAG)

// maxSegments bounds the program headers of a sane file.
const maxSegments = 128

type elfFile struct {
	segments []segment
	low      uint64 // the lowest address of a segment
	size     uint64 // from low to the end of the highest segment
	entry    uint64 // in the same addresses
	symbols  map[string]uint64
}

// segment is one PT_LOAD.
type segment struct {
	addr, memSize uint64
	virt          uint64 // where its symbols believe it is
	file          *io.SectionReader
	fileSize      uint64
}

// relocatable says whether the file runs wherever it is put.
func (e *elfFile) relocatable() bool { return e.low == 0 || int64(e.low) < 0 }

func (f *File) parseELF(limit uint64) error {
	f.Kind = ELF
	src, size := io.ReaderAt(f.payload), f.payload.Size()
	if f.Packing != unpack.Raw { // segments may come in any order: unpack it first
		data, err := unpack.ReadAll(f.Packing, io.NewSectionReader(f.payload, 0, size), limit)
		if err != nil {
			return err
		}
		src, size = bytes.NewReader(data), int64(len(data))
	}
	e, err := readELF(src, size, limit)
	if err != nil {
		return err
	}
	f.elf, f.size = e, e.size
	return nil
}

// readELF checks the headers of size bytes at r and finds what has to be loaded, limit bytes at most.
func readELF(r io.ReaderAt, size int64, limit uint64) (*elfFile, error) {
	if err := checkELFHeader(r); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated ELF file: %w", err)
	}
	e, err := readSegments(f, r, size, limit)
	if err != nil {
		return nil, err
	}
	// A damaged symbol table is no reason to refuse what would run without one.
	e.symbols = readSymbols(f)
	return e, nil
}

// checkELFHeader says what an ELF file is for, before anything else of it is believed.
func checkELFHeader(r io.ReaderAt) error {
	var h [64]byte
	if n, err := r.ReadAt(h[:], 0); n < len(h) {
		if err == io.EOF || err == nil {
			return fmt.Errorf("%w: an ELF header has 64 bytes, and there are %d", ErrTruncated, n)
		}
		return err
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if elf.Data(h[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	typ, machine := elf.Type(order.Uint16(h[16:])), elf.Machine(order.Uint16(h[18:]))
	switch {
	case machine != elf.EM_RISCV && elfMachines[machine] != "":
		return &ForeignError{"an ELF file for " + elfMachines[machine]}
	case machine != elf.EM_RISCV:
		return &ForeignError{"an ELF file for " + machine.String()}
	case elf.Class(h[elf.EI_CLASS]) != elf.ELFCLASS64:
		return &ForeignError{"an ELF file for 32-bit RISC-V"}
	case elf.Data(h[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return &ForeignError{"an ELF file for big-endian RISC-V"}
	case typ == elf.ET_REL:
		return errors.New("it is an ELF object or a kernel module, not linked")
	case typ == elf.ET_CORE:
		return errors.New("it is an ELF core dump")
	case order.Uint16(h[56:]) > maxSegments:
		return fmt.Errorf("it is an ELF file with %d program headers, more than the %d allowed", order.Uint16(h[56:]), maxSegments)
	}
	return nil
}

func readSegments(f *elf.File, r io.ReaderAt, size int64, limit uint64) (*elfFile, error) {
	var loads []*elf.Prog
	virtual := false // go by virtual addresses
	for _, p := range f.Progs {
		switch {
		case p.Type == elf.PT_INTERP:
			return nil, errors.New("it is a dynamically linked program for Linux, not a kernel")
		case p.Type != elf.PT_LOAD || p.Memsz == 0:
			continue
		case p.Filesz > p.Memsz:
			return nil, fmt.Errorf("damaged ELF file: a segment has %d bytes in the file and %d in memory", p.Filesz, p.Memsz)
		case p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off:
			return nil, fmt.Errorf("%w: it is %d bytes long, and a segment of %d bytes begins at %d", ErrTruncated, size, p.Filesz, p.Off)
		}
		loads = append(loads, p)
		// The physical addresses of a kernel for the upper half are offsets, or copies of the virtual ones, or some of
		// both; the distances between its virtual addresses are what it relies on.
		virtual = virtual || int64(p.Vaddr) < 0
	}
	if len(loads) == 0 {
		return nil, errors.New("it is an ELF file with nothing to load")
	}
	e := &elfFile{low: ^uint64(0)}
	var high uint64
	for _, p := range loads {
		addr := p.Paddr
		if virtual {
			addr = p.Vaddr
		}
		end := addr + p.Memsz
		if end < addr {
			return nil, fmt.Errorf("damaged ELF file: a segment of %#x bytes at %#x wraps around", p.Memsz, addr)
		}
		e.low, high = min(e.low, addr), max(high, end)
		e.segments = append(e.segments, segment{addr, p.Memsz, p.Vaddr, io.NewSectionReader(r, int64(p.Off), int64(p.Filesz)), p.Filesz})
	}
	var ok bool
	if e.entry, ok = e.physical(f.Entry); !ok {
		return nil, fmt.Errorf("damaged ELF file: its entry point %#x is in none of its segments", f.Entry)
	}
	e.size = high - e.low
	if err := checkFits(e.size, limit); err != nil {
		return nil, err
	}
	return e, nil
}

// physical takes a virtual address, as entry points and symbols are, to where its segment is loaded.
func (e *elfFile) physical(virt uint64) (uint64, bool) {
	for _, s := range e.segments {
		if virt-s.virt < s.memSize {
			return virt - s.virt + s.addr, true
		}
	}
	return 0, false
}

// wanted are the symbols of the host-target interface: where a test program leaves its verdict.
var wanted = []string{"tohost", "fromhost"}

// readSymbols finds the wanted symbols. It walks the raw table: a kernel with debug information has hundreds of thousands.
func readSymbols(f *elf.File) map[string]uint64 {
	table := f.SectionByType(elf.SHT_SYMTAB)
	if table == nil || uint64(table.Link) >= uint64(len(f.Sections)) {
		return nil
	}
	strings := f.Sections[table.Link]
	if (table.Flags|strings.Flags)&elf.SHF_COMPRESSED != 0 {
		return nil // no linker does this; a bomb might
	}
	symbols, err := table.Data()
	if err != nil {
		return nil
	}
	names, err := strings.Data()
	if err != nil {
		return nil
	}
	found := make(map[string]uint64)
	for ; len(symbols) >= elf.Sym64Size; symbols = symbols[elf.Sym64Size:] {
		name := uint64(binary.LittleEndian.Uint32(symbols))
		for _, w := range wanted {
			if name+uint64(len(w)) < uint64(len(names)) && string(names[name:name+uint64(len(w))]) == w && names[name+uint64(len(w))] == 0 {
				found[w] = binary.LittleEndian.Uint64(symbols[8:])
			}
		}
	}
	return found
}

// load copies the segments into dst, which is the guest memory at start for everything from low on.
func (e *elfFile) load(dst []byte, start memory.GPA) (*Loaded, error) {
	at := func(addr uint64) memory.GPA { return start + memory.GPA(addr-e.low) }
	for _, s := range e.segments {
		off := s.addr - e.low
		mem := dst[off : off+s.memSize]
		if n, err := s.file.ReadAt(mem[:s.fileSize], 0); uint64(n) < s.fileSize {
			return nil, fmt.Errorf("reading the segment for %#x: %w", s.addr, err)
		}
		clear(mem[s.fileSize:])
	}
	l := &Loaded{Entry: at(e.entry), Start: start, End: start + memory.GPA(e.size)}
	for name, virt := range e.symbols {
		addr, ok := e.physical(virt)
		if !ok {
			continue
		}
		if l.Symbols == nil {
			l.Symbols = make(map[string]memory.GPA)
		}
		l.Symbols[name] = at(addr)
	}
	return l, nil
}
