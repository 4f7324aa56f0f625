package hostinfo

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Describe looks at this host.
func Describe() Description {
	cpu := fields(readFile("/proc/cpuinfo"))
	d := Description{CPU: cpuFact().Value, Kernel: readFile("/proc/sys/kernel/osrelease"), Governor: readFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")}
	if n, err := strconv.ParseUint(strings.TrimSuffix(fields(readFile("/proc/meminfo"))["MemTotal"], " kB"), 10, 64); err == nil {
		d.Memory = n << 10
	}
	flags := processorFlags(cpu)
	if runtime.GOARCH == "amd64" {
		d.Features, _ = x86Features(flags)
	}
	if slices.Contains(flags, "hypervisor") {
		d.Virtual = "a hypervisor"
	}
	if name := readFile("/sys/class/dmi/id/sys_vendor"); name != "" && d.Virtual != "" {
		d.Virtual += " (" + name + ")"
	}
	return d
}

// OwnTime is how long processors have been busy for this process and for those that it has started and seen end.
func OwnTime() (d time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			d += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return d
}

// Times reads /proc/stat.
func Times() (t CPUTimes) {
	line, _, _ := strings.Cut(readFile("/proc/stat"), "\n")
	const idle, wait, steal = 4, 5, 8
	for i, word := range strings.Fields(line) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || i > steal { // the name; guests' time is in the users' already
			continue
		}
		t.Total += n
		switch i {
		case idle, wait:
			t.Idle += n
		case steal:
			t.Stolen = n
		}
	}
	return t
}
