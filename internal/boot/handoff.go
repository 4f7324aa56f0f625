package boot

// What one stage leaves for the next. Firmware of different kinds looks for its next stage in different ways, and nobody
// has to say which kind a file is: everything that any of them looks at is there.
//
//   - OpenSBI FW_DYNAMIC takes the address from a structure that a2 points to.
//   - OpenSBI FW_JUMP jumps to a fixed address; when the kernel is too long to be there, a jump to it is.
//   - U-Boot in M-mode runs `bootm` on what /chosen/riscv,kernel-start says: a legacy image. U-Boot provides no SBI, so the
//     image holds a few instructions that hand the machine to the host's, by a store to a register called the doorbell.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/vmproject/vm/internal/memory"
)

// struct fw_dynamic_info (OpenSBI, docs/firmware/fw_dynamic.md and include/sbi/fw_dynamic.h): six 64-bit words.
const (
	dynamicMagic   = 0x4942_534f // "OSBI"
	dynamicVersion = 2
	dynamicNextS   = 1 // next_mode: S-mode
)

// Where things are in the handoff page.
const (
	dynamicAt = 0
	ubootAt   = 0x100
	shimAt    = 0x800 // where U-Boot copies the image's contents to
)

const trampolineSize = 8 // bytes

// DynamicInfo is the address of the structure for FW_DYNAMIC: what a2 holds when firmware is entered.
func (l *Layout) DynamicInfo() memory.GPA { return l.Handoff.Start + dynamicAt }

// UBootImage is where U-Boot finds its image: what riscv,kernel-start and riscv,kernel-end say.
func (l *Layout) UBootImage() Range {
	start := l.Handoff.Start + ubootAt
	return Range{start, start + memory.GPA(len(ubootImage(0, 0)))}
}

// WriteHandoff writes what firmware needs in order to find the kernel, whose entry point is entry; 0 means there is none.
// doorbell is the address of a 64-bit register: a store of the device tree's address to it asks the host to be the firmware
// from then on, and to enter the kernel in S-mode on the hart that booted, with the other harts stopped. 0 means there is
// no such register, and U-Boot finds no image.
func (l *Layout) WriteHandoff(ram *memory.RAM, entry, doorbell memory.GPA) error {
	page, err := ram.Slice(l.Handoff.Start, l.Handoff.Size())
	if err != nil || len(page) < memory.PageSize {
		return fmt.Errorf("writing the handoff page: it is %#x-%#x: %w", uint64(l.Handoff.Start), uint64(l.Handoff.End), err)
	}
	clear(page)
	if entry == 0 {
		return nil
	}
	for i, v := range []uint64{dynamicMagic, dynamicVersion, uint64(entry), dynamicNextS, 0 /* options */, 0 /* boot hart */} {
		binary.LittleEndian.PutUint64(page[dynamicAt+8*i:], v)
	}
	if doorbell != 0 {
		copy(page[ubootAt:shimAt], ubootImage(l.Handoff.Start+shimAt, doorbell))
	}
	if l.Jump != 0 {
		return ram.Write(l.Jump, trampoline(l.Jump, entry))
	}
	return nil
}

// trampoline is code at address at that jumps to entry, which may be 2 GiB away. It changes only t0.
func trampoline(at, entry memory.GPA) []byte {
	d := uint32(entry - at)
	hi := (d + 0x800) & 0xffff_f000
	lo := d - hi
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, 0x00000297|hi)        // auipc t0, hi
	return binary.LittleEndian.AppendUint32(b, 0x00028067|lo<<20) // jalr  zero, lo(t0)
}

// shim is what U-Boot enters as a kernel: a0 is the hart's id, a1 the address of the device tree. U-Boot sends every hart
// here; the register takes the first store, and no hart comes back from the loop.
func shim(doorbell memory.GPA) []byte {
	var b []byte
	for _, inst := range []uint32{
		0x00000297, // auipc t0, 0
		0x0182b283, // ld    t0, 24(t0)
		0x00b2b023, // sd    a1, 0(t0)
		0x10500073, // wfi
		0xffdff06f, // j     .-4
		0,          // aligns the address of the doorbell
	} {
		b = binary.LittleEndian.AppendUint32(b, inst)
	}
	return binary.LittleEndian.AppendUint64(b, uint64(doorbell))
}

// ubootImage is the shim in U-Boot's legacy image format (U-Boot, include/image.h): 64 bytes of big-endian header with two
// checksums, then the contents, to be copied to load and entered there.
func ubootImage(load, doorbell memory.GPA) []byte {
	const (
		magic      = 0x2705_1956
		osLinux    = 5
		archRISCV  = 26
		typeKernel = 2
		compNone   = 0
		headerCRC  = 4 // offset; computed with zero there
		nameAt     = 32
	)
	body := shim(doorbell)
	h := make([]byte, 64)
	for i, v := range []uint32{magic, 0, 0 /* time */, uint32(len(body)), uint32(load), uint32(load), crc32.ChecksumIEEE(body),
		osLinux<<24 | archRISCV<<16 | typeKernel<<8 | compNone} {
		binary.BigEndian.PutUint32(h[4*i:], v)
	}
	copy(h[nameAt:], "Linux")
	binary.BigEndian.PutUint32(h[headerCRC:], crc32.ChecksumIEEE(h))
	return append(h, body...)
}
