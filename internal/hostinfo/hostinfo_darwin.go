package hostinfo

// macOS: what sysctl tells. There is no translator for it yet, so little of it matters.

import "golang.org/x/sys/unix"

func sysctl(name string) string {
	if v, err := unix.Sysctl(name); err == nil {
		return v
	}
	return unknown
}

func kernelRelease() string { return ", Darwin " + sysctl("kern.osrelease") }

func cpuFact() Fact { return Fact{Name: "processor", Value: sysctl("machdep.cpu.brand_string")} }

func featureFacts() []Fact { return nil }

func memoryFact() Fact {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return Fact{Name: "memory", Value: unknown}
	}
	return Fact{Name: "memory", Value: mib(n)}
}

func hugePages() Fact { return Fact{Name: "huge pages", Value: "no"} }

func numaNodes() Fact { return Fact{Name: "NUMA nodes", Value: "1"} }

func kvm() Fact { return Fact{Name: "KVM", Value: "no", Note: "Linux only"} }

func jitMemory() Fact {
	return Fact{Name: "JIT memory", Value: "not tried", Note: "machines are interpreted on this host"}
}
