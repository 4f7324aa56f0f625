package hart

// Where a State lives, and the windows on it.
//
// Generated code reaches registers and TLB entries from one base register. Which bank is current changes at every trap and
// return, so that the bank's address would need a register of its own; instead there is a window for each bank: a range of
// host addresses where State up to the banks is followed by that bank alone. The offset of a register is the same in every
// window and in the State, and the offset of TLB.Banks[0] leads to the window's bank. Switching banks is switching windows.
//
// unsafe. The conversion in newState is safe: the mapping is page aligned, which satisfies the alignment of any Go type, and
// at least as long as State; State holds no Go pointers, so that the collector need not see it; and the mapping stays until
// close, after which the hart's owner has promised not to use it. Go never makes a pointer of a window's address, so no two
// Go pointers name the same memory.

import (
	"fmt"
	"unsafe"

	"github.com/vmproject/vm/internal/memory/mmu"
)

// The parts of a window.
const (
	hotSize    = unsafe.Offsetof(State{}.TLB)
	bankSize   = unsafe.Sizeof(mmu.Bank{})
	windowSize = hotSize + bankSize
)

// mapping is the host memory of a State, and its windows once they are wanted. How it is made is the host's.
type mapping struct {
	mem     []byte
	backing backing        // what mem can be mapped from again
	windows unsafe.Pointer // the first of them; nil while there are none
	failed  bool           // the host cannot
}

// newState maps a State. The host's pages are zero.
func newState() (*State, mapping, error) {
	m, err := mapShared(unsafe.Sizeof(State{}))
	if err != nil {
		return nil, mapping{}, fmt.Errorf("mapping the state of a hart: %w", err)
	}
	return (*State)(unsafe.Pointer(unsafe.SliceData(m.mem))), m, nil
}

// Window is the host address of the window whose bank is TLB.Banks[bank]; 0 on hosts that have no windows. The first call makes
// them all and fills State.Windows; they last until Close. The caller is the hart's goroutine, before Close.
func (h *Hart) Window(bank uint64) uintptr {
	m := &h.mapping
	if m.windows == nil && !m.failed {
		if err := m.open(); err != nil {
			m.failed = true
			return 0
		}
		for i := range h.Windows {
			h.Windows[i] = uint64(uintptr(m.windows) + uintptr(i)*windowSize)
		}
	}
	return uintptr(h.Windows[bank%mmu.NumBanks])
}
