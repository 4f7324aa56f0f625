package vm

// The balloon: guest memory that goes back to the host.

import (
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/device/virtio/balloon"
	"github.com/vmproject/vm/internal/memory"
)

// SetBalloon asks the guest to give so many bytes of its memory to the host, in all, a multiple of 4096 and at most Config.Memory; 0 asks it to take
// everything back. It returns at once, and the guest gives what it can in its own time (virtio 1.3 §5.5.6): less than was asked for where its programs
// need the memory, nothing without a driver. What is asked for holds over the guest's reboots. It may be called before Run.
//
// The error is that the machine was made without Config.Balloon, or that there is no such number of bytes.
func (m *Machine) SetBalloon(bytes uint64) error {
	dev := m.board.Balloon
	if dev == nil {
		return errors.New("this machine has no balloon: make it with Config.Balloon")
	}
	if most := min(m.cfg.Memory, balloon.MaxBytes); bytes%memory.PageSize != 0 || bytes > most {
		return fmt.Errorf("a balloon of %d bytes: the machine can give %d MiB, in multiples of %d bytes", bytes, most>>20, memory.PageSize)
	}
	dev.SetTarget(bytes)
	return nil
}

// Balloon is how many bytes of its memory the guest has given because of SetBalloon, and not taken back. What it gives by itself, as it has it
// free, does not count. 0 without Config.Balloon.
func (m *Machine) Balloon() uint64 {
	if dev := m.board.Balloon; dev != nil {
		return dev.Given()
	}
	return 0
}
