package sbi

// Base Extension (SBI 2.0 §4).

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
)

const (
	specVersion = 2 << 24 // 2.0: the major number in bits 30:24
	// implementationID tells implementations apart; the specification keeps a list of numbers, and "vm" is not on it.
	implementationID      = 0x766d
	implementationVersion = 1
)

var baseExtension = extension{eid: 0x10, name: "BASE", functions: []function{
	{"sbi_get_spec_version", func(*SBI, *hart.Hart, args) result { return ok(specVersion) }},
	{"sbi_get_impl_id", func(*SBI, *hart.Hart, args) result { return ok(implementationID) }},
	{"sbi_get_impl_version", func(*SBI, *hart.Hart, args) result { return ok(implementationVersion) }},
	{"sbi_probe_extension", probeExtension},
	{"sbi_get_mvendorid", machineCSR(riscv.CSRMvendorid)},
	{"sbi_get_marchid", machineCSR(riscv.CSRMarchid)},
	{"sbi_get_mimpid", machineCSR(riscv.CSRMimpid)},
}}

func probeExtension(s *SBI, _ *hart.Hart, a args) result {
	if s.extension(uint32(a[0])) == nil {
		return ok(0)
	}
	return ok(1)
}

func machineCSR(num uint16) func(*SBI, *hart.Hart, args) result {
	return func(_ *SBI, h *hart.Hart, _ args) result {
		v, _ := h.ReadCSR(num)
		return ok(v)
	}
}
