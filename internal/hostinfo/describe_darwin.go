package hostinfo

import (
	"time"

	"golang.org/x/sys/unix"
)

// Describe looks at this host.
func Describe() Description {
	n, _ := unix.SysctlUint64("hw.memsize") // 0 is unknown
	return Description{CPU: cpuFact().Value, Kernel: sysctl("kern.osrelease"), Memory: n}
}

// OwnTime is not asked for here.
func OwnTime() time.Duration { return 0 }

// Times are not known here.
func Times() CPUTimes { return CPUTimes{} }
