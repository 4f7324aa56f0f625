package bench

// What a run ran on, and what else ran there meanwhile.

import (
	"runtime"
	"time"

	"github.com/vmproject/vm/internal/hostinfo"
)

// hostWatch looks at the host at the start of a run and at its end.
type hostWatch struct {
	began time.Time
	times hostinfo.CPUTimes
	own   time.Duration
}

func watchHost() *hostWatch { return &hostWatch{time.Now(), hostinfo.Times(), hostinfo.OwnTime()} }

func (w *hostWatch) end() Host {
	h := DescribeHost()
	now := hostinfo.Times()
	h.Steal = now.Steal(w.times)
	if busy, ok := now.Busy(w.times); ok {
		h.Load = max((busy-(hostinfo.OwnTime()-w.own)).Seconds()/time.Since(w.began).Seconds(), 0)
	}
	return h
}

// DescribeHost is what is known of the host that this process runs on.
func DescribeHost() Host {
	d := hostinfo.Describe()
	return Host{
		CPU: d.CPU, Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Kernel: d.Kernel, Memory: d.Memory,
		Governor: d.Governor, Virtual: d.Virtual, Features: d.Features,
	}
}
