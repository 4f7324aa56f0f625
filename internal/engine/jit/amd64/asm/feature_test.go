package asm

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestHostAgreesWithLinux(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		if Host() != 0 {
			t.Errorf("%s has %v", runtime.GOARCH, Host())
		}
		return
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip(err)
	}
	_, flags, _ := strings.Cut(string(info), "\nflags")
	flags, _, _ = strings.Cut(flags, "\n")
	listed := strings.Fields(flags)
	for f, name := range map[Feature]string{
		HasBMI1: "bmi1", HasBMI2: "bmi2", HasLZCNT: "abm", HasPCLMULQDQ: "pclmulqdq", HasAVX: "avx", HasFMA: "fma", HasF16C: "f16c", HasFSGSBASE: "fsgsbase",
	} {
		// A hypervisor can make Linux deny what the processor has. That is no harm where Linux has no part in it, as in LZCNT.
		if want := slices.Contains(listed, name); Host().Has(f) != want && (want || f != HasLZCNT) {
			t.Errorf("%v: found %v, Linux says %v", f, !want, want)
		}
	}
}

func TestFeatureNames(t *testing.T) {
	for want, f := range map[string]Feature{
		"": 0, "bmi1": HasBMI1, "f16c": HasF16C, "pclmulqdq avx": VPCLMULQDQ.Needs(),
	} {
		if f.String() != want {
			t.Errorf("%q, want %q", f.String(), want)
		}
	}
	if have := HasBMI1 | HasAVX; !have.Has(HasAVX) || !have.Has(0) || have.Has(HasAVX|HasFMA) {
		t.Error("Has")
	}
}
