package kernel

// Files that are something else: one line that says what, because "not a kernel" helps nobody.

import (
	"bytes"
	"debug/elf"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ForeignError reports a kernel or program for another machine.
type ForeignError struct {
	What string // "a Linux kernel for x86"
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("it is %s; this machine is 64-bit RISC-V", e.What)
}

// foreignMachine names a file for the machine arch, or says what otherwise when there is no name for it.
func foreignMachine(arch, otherwise string) error {
	if arch == "" {
		return &ForeignError{otherwise}
	}
	return &ForeignError{"a kernel for " + arch}
}

const peRISCV64 = pe.IMAGE_FILE_MACHINE_RISCV64

var peMachines = map[uint16]string{
	pe.IMAGE_FILE_MACHINE_AMD64:       "x86-64",
	pe.IMAGE_FILE_MACHINE_I386:        "32-bit x86",
	pe.IMAGE_FILE_MACHINE_ARM64:       "64-bit ARM",
	pe.IMAGE_FILE_MACHINE_ARM:         "32-bit ARM",
	pe.IMAGE_FILE_MACHINE_ARMNT:       "32-bit ARM",
	pe.IMAGE_FILE_MACHINE_LOONGARCH64: "LoongArch",
	pe.IMAGE_FILE_MACHINE_RISCV32:     "32-bit RISC-V",
}

var elfMachines = map[elf.Machine]string{
	elf.EM_X86_64: "x86-64", elf.EM_386: "32-bit x86", elf.EM_AARCH64: "64-bit ARM", elf.EM_ARM: "32-bit ARM",
	elf.EM_PPC64: "64-bit PowerPC", elf.EM_PPC: "32-bit PowerPC", elf.EM_S390: "s390", elf.EM_MIPS: "MIPS",
	elf.EM_LOONGARCH: "LoongArch", elf.EM_SPARCV9: "64-bit SPARC",
}

// signatures are files told by bytes at an offset, in the order they are tried.
var signatures = []struct {
	offset int
	magic  string
	err    error
}{
	{0x38, "ARM\x64", &ForeignError{"a Linux kernel for 64-bit ARM"}},
	{0x24, "\x18\x28\x6f\x01", &ForeignError{"a Linux kernel for 32-bit ARM"}},
	{0x202, "HdrS", &ForeignError{"a Linux kernel for x86"}},
	{0, "\x27\x05\x19\x56", errors.New("it is a U-Boot image: take the kernel out of it first (dumpimage)")},
	{0, "\xd0\x0d\xfe\xed", errors.New("it is a device tree or a U-Boot FIT image, not a kernel")},
	{0, "07070", errors.New("it is a cpio archive: an initrd goes with --initrd")},
	{0, "!<arch>\n", errors.New("it is an archive or a Debian package: take the kernel out of it first")},
	{0, "\xed\xab\xee\xdb", errors.New("it is an RPM package: take the kernel out of it first")},
	{0x101, "ustar", errors.New("it is a tar archive: take the kernel out of it first")},
	{0, "QFI\xfb", errors.New("it is a qcow2 disk image, not a kernel")},
	{0, "BC\xc0\xde", errors.New("it is LLVM bit code, not a kernel")},
}

// foreign says what a file that begins with head is, if it is not a kernel for this machine.
func foreign(head []byte) error {
	for _, s := range signatures {
		if s.offset <= len(head) && bytes.HasPrefix(head[s.offset:], []byte(s.magic)) {
			return s.err
		}
	}
	if h := peHeader(head); h != nil {
		m := binary.LittleEndian.Uint16(h[peMachine:])
		if m == peRISCV64 {
			return errors.New("it is an EFI program for RISC-V, but not a Linux kernel")
		}
		return foreignMachine(peMachines[m], fmt.Sprintf("an EFI program for PE machine %#x", m))
	}
	if len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa {
		return errors.New("it is a disk image or a boot sector, not a kernel: a disk goes with --disk")
	}
	if utf8.Valid(head[:min(len(head), 64)]) && !bytes.ContainsRune(head, 0) {
		return errors.New("it is a text file, not a kernel")
	}
	if len(head) < imageHeaderSize {
		return fmt.Errorf("%w: %d bytes are too few for a kernel", ErrTruncated, len(head))
	}
	return errors.New("it is not a kernel this machine knows: it takes a RISC-V Linux Image (plain, gzip, zstd, xz or EFI zboot) or an ELF file")
}
