// Package kernel reads the files a machine starts from: Linux Images, ELF files and flat firmware binaries.
//
// A file is opened and recognised first ([Open], [OpenFirmware]), which says how much guest memory it wants; then the
// board decides where everything goes; then [File.Load] writes it straight into guest RAM, unpacking on the way. The files
// are not trusted: everything they say is checked against their own size and against the memory.
package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vmproject/vm/internal/boot/unpack"
	"github.com/vmproject/vm/internal/memory"
)

// Kind is what a file holds once it is unpacked.
type Kind uint8

const (
	Image Kind = iota // a RISC-V Linux Image, with or without EFI stub
	ELF               // an ELF64 RISC-V executable
	Flat              // bytes without a header, entered at the first
)

func (k Kind) String() string {
	switch k {
	case Image:
		return "Linux Image"
	case ELF:
		return "ELF executable"
	case Flat:
		return "flat binary"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Align is the alignment in bytes that RISC-V Linux asks of its load address (a leaf of the second page-table level).
const Align = 2 << 20

// headSize is how much of an unpacked file is looked at to recognise it: enough for every header in this package.
const headSize = 4096

// ErrTruncated reports a file that ends before its headers say it does.
var ErrTruncated = unpack.ErrTruncated

// File is a kernel or firmware file that has been recognised. It is not safe for concurrent use.
type File struct {
	Name    string // as given, for messages
	Kind    Kind
	Packing unpack.Format // how it is compressed

	payload *io.SectionReader // what is compressed: the file, or the part of it that EFI zboot wraps
	close   func() error

	size   uint64 // bytes from the load address to the end of everything it needs, bss included
	offset uint64 // Image: text_offset, the wanted distance from the start of RAM
	elf    *elfFile
}

// Loaded says where a file went.
type Loaded struct {
	Entry      memory.GPA
	Start, End memory.GPA            // [Start, End) is everything it occupies, bss included
	Symbols    map[string]memory.GPA // tohost and fromhost, when an ELF has them
}

// Open recognises a kernel: an Image or an ELF file, plain, compressed, or wrapped as EFI zboot. limit bounds, in bytes,
// what it may unpack to: the size of the guest's memory. Close it.
func Open(path string, limit uint64) (*File, error) { return openPath(path, limit, false) }

// OpenFirmware recognises firmware: an ELF file, or else a flat binary. limit is as for [Open]. Close it.
func OpenFirmware(path string, limit uint64) (*File, error) { return openPath(path, limit, true) }

func openPath(path string, limit uint64, firmware bool) (*File, error) {
	what := "kernel"
	if firmware {
		what = "firmware"
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the %s: %w", what, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	var k *File
	if err == nil {
		k, err = parse(path, f, st.Size(), limit, firmware)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	k.close = f.Close
	return k, nil
}

// Close closes the underlying file.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// parse recognises size bytes at r.
func parse(name string, r io.ReaderAt, size int64, limit uint64, firmware bool) (*File, error) {
	f := &File{Name: name, payload: io.NewSectionReader(r, 0, size)}
	if size == 0 {
		return nil, errors.New("the file is empty")
	}
	head, err := f.head()
	if err != nil {
		return nil, err
	}
	if firmware && !bytes.HasPrefix(head, elfMagic) {
		return f, f.parseFlat(size, limit)
	}
	if isZboot(head) {
		if f.payload, f.Packing, err = openZboot(head, r, size); err != nil {
			return nil, err
		}
	} else {
		f.Packing = unpack.Detect(head)
	}
	if f.Packing != unpack.Raw {
		if head, err = f.head(); err != nil {
			return nil, err
		}
	}
	switch {
	case bytes.HasPrefix(head, elfMagic):
		err = f.parseELF(limit)
	case isImage(head):
		err = f.parseImage(head, limit)
	default:
		err = foreign(head)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// open starts reading the unpacked bytes from the beginning.
func (f *File) open() (io.ReadCloser, error) {
	if _, err := f.payload.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return unpack.NewReader(f.Packing, f.payload)
}

// head is the beginning of the unpacked bytes, headSize or less.
func (f *File) head() ([]byte, error) {
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	return head[:n], nil
}

func (f *File) parseFlat(size int64, limit uint64) error {
	f.Kind = Flat
	f.size = uint64(size)
	return checkFits(f.size, limit)
}

// checkFits refuses what can never be loaded into limit bytes of memory.
func checkFits(size, limit uint64) error {
	if size > limit {
		return fmt.Errorf("it needs %s and the machine has %s of memory: give it more with --memory", MiB(size), MiB(limit))
	}
	return nil
}

// MiB prints a size for people, rounded up.
func MiB(n uint64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1<<10-1)>>10)
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}

// Fixed says whether the file can only go where it was linked, whatever address it is given.
func (f *File) Fixed() bool { return f.Kind == ELF && !f.elf.relocatable() }

// TextOffset is where an Image wants to be, in bytes from the start of RAM; zero for everything else.
func (f *File) TextOffset() uint64 { return f.offset }

// Size is how much memory the file occupies from its first byte to its last, bss included.
func (f *File) Size() uint64 { return f.size }

// Span is the guest memory [start, end) that the file occupies when it is loaded at the address: at itself unless the
// file is Fixed.
func (f *File) Span(at memory.GPA) (start, end memory.GPA) {
	if f.Fixed() {
		at = memory.GPA(f.elf.low)
	}
	return at, at + memory.GPA(f.size)
}

// Load writes the file into ram at the address, or where it was linked if it is Fixed.
func (f *File) Load(ram *memory.RAM, at memory.GPA) (*Loaded, error) {
	l, err := f.load(ram, at)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", f.Name, err)
	}
	return l, nil
}

func (f *File) load(ram *memory.RAM, at memory.GPA) (*Loaded, error) {
	start, end := f.Span(at)
	dst, err := ram.Slice(start, f.size)
	if err != nil {
		hint := "give the machine more with --memory"
		if start < ram.Base() {
			hint = "it is made for another machine, or is a program for Linux"
		}
		return nil, fmt.Errorf("it occupies %#x-%#x and memory is %#x-%#x: %s", uint64(start), uint64(end), uint64(ram.Base()), uint64(ram.End()), hint)
	}
	if f.Kind == ELF {
		return f.elf.load(dst, start)
	}
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	n, err := io.ReadFull(r, dst)
	switch err {
	case nil: // all of it is file, or the file is longer than its header says
		var more [1]byte
		if k, _ := r.Read(more[:]); k > 0 {
			return nil, fmt.Errorf("it holds more than the %d bytes its header speaks of", f.size)
		}
	case io.EOF, io.ErrUnexpectedEOF: // the rest is bss
		clear(dst[n:])
	default:
		return nil, err
	}
	return &Loaded{Entry: start, Start: start, End: end}, nil
}
