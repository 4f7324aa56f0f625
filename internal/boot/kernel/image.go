package kernel

// The RISC-V Linux Image (Linux, Documentation/arch/riscv/boot-image-header.rst): 64 bytes of header, then the kernel as it
// sits in memory. The first two words are code; in an EFI stub the same bytes read "MZ", and a PE header follows.

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/boot/unpack"
)

// Offsets in the header; every field is little-endian.
const (
	imageHeaderSize = 0x40
	imageTextOffset = 0x08 // u64: distance from the start of RAM
	imageMemSize    = 0x10 // u64: size in memory, bss included
	imageFlags      = 0x18 // u64: bit 0 set means a big-endian kernel
	imageMagic2     = 0x38 // "RSC\x05"
	imagePEOffset   = 0x3c // u32: offset of the PE header, when the file begins with "MZ"
)

func isImage(head []byte) bool {
	return len(head) >= imageHeaderSize && string(head[imageMagic2:imageMagic2+4]) == "RSC\x05"
}

func (f *File) parseImage(head []byte, limit uint64) error {
	f.Kind = Image
	le := binary.LittleEndian
	f.offset = le.Uint64(head[imageTextOffset:])
	f.size = le.Uint64(head[imageMemSize:])
	switch {
	case le.Uint64(head[imageFlags:])&1 != 0:
		return errors.New("it is a big-endian kernel; this machine is little-endian")
	case f.size == 0:
		return errors.New("its header gives no image size: a kernel older than Linux 5.3 cannot be placed safely")
	case f.offset%Align != 0 || f.offset > 1<<40:
		return fmt.Errorf("its header asks for text offset %#x, which is not a multiple of 2 MiB", f.offset)
	}
	if err := checkFits(f.size, limit); err != nil {
		return err
	}
	end, err := peEnd(head)
	if err != nil {
		return err
	}
	// A compressed file that is cut off is found out by its decoder.
	if f.Packing == unpack.Raw && uint64(f.payload.Size()) < end {
		return fmt.Errorf("%w: it is %d bytes long and its sections end at %d", ErrTruncated, f.payload.Size(), end)
	}
	return nil
}

// Offsets in a PE/COFF header (Microsoft PE Format), from the "PE\0\0" signature.
const (
	peMachine      = 4  // u16
	peSections     = 6  // u16: how many
	peOptionalSize = 20 // u16
	peOptional     = 24
	peSectionSize  = 40
	peRawSize      = 16 // in a section header, u32: bytes in the file
	peRawOffset    = 20 // u32: where they are
)

// peHeader is the PE header of a file that begins with "MZ", or nil.
func peHeader(head []byte) []byte {
	if len(head) < imageHeaderSize || string(head[:2]) != "MZ" {
		return nil
	}
	off := uint64(binary.LittleEndian.Uint32(head[imagePEOffset:]))
	if off+peOptional > uint64(len(head)) || string(head[off:off+4]) != "PE\x00\x00" {
		return nil
	}
	return head[off:]
}

// peEnd is where the last section of an EFI stub ends in the file; zero when head has no PE header.
func peEnd(head []byte) (uint64, error) {
	pe := peHeader(head)
	if pe == nil {
		return 0, nil
	}
	le := binary.LittleEndian
	if m := le.Uint16(pe[peMachine:]); m != peRISCV64 {
		return 0, foreignMachine(peMachines[m], fmt.Sprintf("an EFI program for PE machine %#x", m))
	}
	at := peOptional + int(le.Uint16(pe[peOptionalSize:]))
	var end uint64
	for range le.Uint16(pe[peSections:]) {
		if at+peSectionSize > len(pe) {
			return 0, fmt.Errorf("%w inside its section table", ErrTruncated)
		}
		end = max(end, uint64(le.Uint32(pe[at+peRawOffset:]))+uint64(le.Uint32(pe[at+peRawSize:])))
		at += peSectionSize
	}
	return end, nil
}
