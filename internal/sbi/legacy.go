package sbi

// Legacy Extensions (SBI 2.0 §5): the calls of version 0.1, one extension each, which early consoles and old kernels use. They
// return in a0 only, and name harts by the virtual address of a bit mask.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

var legacyExtensions = []extension{
	legacy(0, "sbi_set_timer", setTimer),
	legacyConsole(1, "sbi_console_putchar", consoleWriteByte),
	legacyConsole(2, "sbi_console_getchar", legacyGetchar),
	legacy(3, "sbi_clear_ipi", func(_ *SBI, h *hart.Hart, _ args) result {
		h.SetPending(riscv.IntSSoftware, false)
		return ok(0)
	}),
	legacy(4, "sbi_send_ipi", legacyMask(ipiExtension.functions[0])),
	legacy(5, "sbi_remote_fence_i", legacyMask(rfenceExtension.functions[0])),
	legacy(6, "sbi_remote_sfence_vma", legacyMask(rfenceExtension.functions[1])),
	legacy(7, "sbi_remote_sfence_vma_asid", legacyMask(rfenceExtension.functions[2])),
	legacy(8, "sbi_shutdown", func(s *SBI, _ *hart.Hart, _ args) result {
		s.cfg.Reset(Shutdown, NoReason)
		return result{flow: flowLeave}
	}),
}

// legacy makes an extension whose one function returns its error in a0 and leaves a1 alone.
func legacy(eid uint32, name string, call func(*SBI, *hart.Hart, args) result) extension {
	return extension{eid: eid, name: "legacy", legacy: true, functions: []function{{name, func(s *SBI, h *hart.Hart, a args) result {
		r := call(s, h, a)
		if r.flow == flowReturn {
			r = result{value: uint64(r.err), flow: flowLegacy}
		}
		return r
	}}}}
}

func legacyConsole(eid uint32, name string, call func(*SBI, *hart.Hart, args) result) extension {
	e := legacy(eid, name, call)
	e.console = true
	return e
}

// legacyGetchar returns a byte, or -1 when there is none.
func legacyGetchar(s *SBI, _ *hart.Hart, _ args) result {
	var b [1]byte
	if s.cfg.Console.TryRead(b[:]) == 0 {
		return result{err: -1}
	}
	return result{err: int64(b[0])} // where the legacy calls return what they return
}

// legacyMask makes a call of the present version, (mask, base, ...), one that takes the virtual address of a mask, (address,
// ...), where zero means every hart. Reading the mask is a load of the guest's: if that faults, the fault is the guest's too.
func legacyMask(f function) func(*SBI, *hart.Hart, args) result {
	return func(s *SBI, h *hart.Hart, a args) result {
		mask, base := uint64(0), ^uint64(0)
		if a[0] != 0 {
			v, good := h.Load(a[0], 8)
			if !good {
				return result{flow: flowLeave} // the trap has been taken
			}
			// There are fewer than 64 harts; bits of others are for nobody.
			mask, base = v&(1<<len(s.cfg.Harts)-1), 0
		}
		return f.call(s, h, args{mask, base, a[1], a[2], a[3]})
	}
}
