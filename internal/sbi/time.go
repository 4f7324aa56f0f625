package sbi

// Timer Extension (SBI 2.0 §6). The harts have Sstc, so a timer of the firmware is the supervisor's own stimecmp: STIP
// follows the comparison, and a new value clears it.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

var timeExtension = extension{eid: 0x5449_4d45, name: "TIME", functions: []function{{"sbi_set_timer", setTimer}}}

func setTimer(_ *SBI, h *hart.Hart, a args) result {
	if !h.WriteCSR(riscv.CSRStimecmp, a[0]) {
		return fail(errNotSupported)
	}
	return ok(0)
}
