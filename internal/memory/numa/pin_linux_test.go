package numa

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPin(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		var before, after unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			t.Error(err)
			return
		}
		cpu := 0
		for !before.IsSet(cpu) {
			cpu++
		}
		if err := Pin([]int{cpu}); err != nil {
			t.Error(err)
			return
		}
		if err := unix.SchedGetaffinity(0, &after); err != nil || after.Count() != 1 || !after.IsSet(cpu) {
			t.Errorf("on %d processors, %v", after.Count(), err)
		}
		if err := Pin([]int{8000}); err == nil {
			t.Error("a processor that no host has was accepted")
		}
	}()
	<-done
}
