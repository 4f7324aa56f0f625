package board

// The memory map: that of QEMU's virt board, so that firmware, boot loaders and kernels built for it run unchanged.

import "github.com/vmproject/vm/internal/memory"

// Base addresses and sizes of everything but RAM's length.
const (
	sysconBase, sysconSize = memory.GPA(0x0010_0000), 0x1000
	rtcBase, rtcSize       = memory.GPA(0x0010_1000), 0x1000
	aclintBase, aclintSize = memory.GPA(0x0200_0000), 0x10000
	plicBase, plicSize     = memory.GPA(0x0C00_0000), 0x60_0000
	uartBase, uartSize     = memory.GPA(0x1000_0000), 0x100
	mmioBase, mmioStride   = memory.GPA(0x1000_1000), 0x1000
	ecamBase, ecamSize     = memory.GPA(0x3000_0000), 0x1000_0000
	pciIOBase, pciIOSize   = memory.GPA(0x0300_0000), 0x1_0000
	pci32Base, pci32Size   = memory.GPA(0x4000_0000), 0x4000_0000
	ramBase                = memory.GPA(0x8000_0000)
	pci64Min, pci64Size    = memory.GPA(0x4_0000_0000), 0x4_0000_0000
)

// Doorbell is the register of handoff.go: not on QEMU's board, in a gap between its devices.
const (
	Doorbell     = memory.GPA(0x0010_2000)
	doorbellSize = 0x1000
)

// PLIC sources.
const (
	irqMMIO = 1 // 1..8, one a slot
	irqUART = 10
	irqRTC  = 11
	irqPCI  = 32 // 32..35, INTA..INTD
)

const (
	// MaxHarts is the number of harts a machine can have.
	MaxHarts = 8
	// mmioSlots is the number of virtio-mmio transports; those without a device read as device 0, "no device".
	mmioSlots = 8
	plicNDev  = 95
)

// pci64Base places the 64-bit PCI window above RAM, aligned to its size.
func pci64Base(ramEnd memory.GPA) memory.GPA {
	base := (ramEnd + pci64Size - 1) &^ (pci64Size - 1)
	return max(base, pci64Min)
}
