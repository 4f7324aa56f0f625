package sbi

// System Reset Extension (SBI 2.0 §10).

import "github.com/vmproject/vm/internal/engine/hart"

var srstExtension = extension{eid: 0x5352_5354, name: "SRST", functions: []function{{"sbi_system_reset", systemReset}}}

// systemReset does not return to the guest when the arguments are good. Types and reasons of vendors are not offered.
func systemReset(s *SBI, _ *hart.Hart, a args) result {
	kind, reason := ResetKind(uint32(a[0])), ResetReason(uint32(a[1]))
	if kind > WarmReboot || reason > SystemFailure {
		return fail(errInvalidParam)
	}
	s.cfg.Reset(kind, reason)
	return result{flow: flowLeave}
}
