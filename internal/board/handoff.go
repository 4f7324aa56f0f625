package board

// The doorbell: how firmware without an SBI of its own, U-Boot built for M-mode, gets to Linux.
//
// Linux runs in S-mode and calls an SBI; U-Boot in M-mode starts it in M-mode and offers none (under QEMU this pair does not
// work). Here U-Boot starts a few instructions instead (package boot puts them into a legacy image that it finds by itself),
// and they store the address of the device tree to the doorbell. The board then stops every hart, becomes the firmware, and
// lets the hart that rang enter the kernel in S-mode, the others stopped as HSM has it.

import (
	"github.com/vmproject/vm/internal/memory"
)

// doorbell is the register: a store of 8 bytes at offset 0.
type doorbell struct{ board *Board }

// Load implements device.Device.
func (d *doorbell) Load(uint64, int) uint64 { return 0 }

// Store implements device.Device.
func (d *doorbell) Store(off uint64, size int, v uint64) {
	// Once: the kernel that was handed to does not ring.
	if off == 0 && size == 8 && d.board.entry.Handoff != 0 && !d.board.underSBI {
		d.board.End(Outcome{Kind: handedOff, dtb: memory.GPA(v)})
	}
}

// takeOver is what follows a ring: every hart has stopped, the boot goes on.
func (b *Board) takeOver(dtb memory.GPA) {
	boot := b.cpus[0]
	for _, c := range b.cpus {
		if pc := memory.GPA(c.PC); pc&^memory.PageMask == b.entry.HandoffPage {
			boot = c // its own store stopped it there; if several came this far, any will do
			break
		}
	}
	b.log.Info("firmware handed the machine over", "hart", boot.ID)
	b.enterSBI(boot, b.entry.Handoff, dtb)
}
