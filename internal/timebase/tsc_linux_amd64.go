package timebase

// Whether the time-stamp counter of this host can be trusted, and looks at it.

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// rdtsc reads the counter, not before the loads before it have been done.
//
//go:noescape
func rdtsc() uint64

//go:noescape
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// began is the first reading, taken as the process starts: by the time that a machine is made, enough has passed.
var (
	processStart = time.Now()
	began        = look()
)

// look takes the best of a few readings: the one between whose two looks at the counter the least was counted.
func look() reading {
	best := reading{doubt: ^uint64(0)}
	for range 16 {
		before := rdtsc()
		host := time.Since(processStart)
		if width := rdtsc() - before; width/2 < best.doubt {
			best = reading{before + width/2, host, width / 2}
		}
	}
	return best
}

// tscMul is calibrate's result for this process.
var tscMul = sync.OnceValues(func() (uint64, error) {
	if err := trusted(os.ReadFile); err != nil {
		return 0, err
	}
	return calibrate(began, look, time.Sleep)
})

// trusted says why the counter is not to be used. It has to have one rate for ever, on all processors alike: the processor promises
// the former, and the kernel, which compares the processors, tells that it believes both by using the counter for its own clock.
func trusted(readFile func(string) ([]byte, error)) error {
	const (
		powerManagement = 0x8000_0007
		invariantTSC    = 1 << 8 // EDX
		hypervisor      = 1 << 31
	)
	if most, _, _, _ := cpuid(0x8000_0000, 0); most < powerManagement {
		return errors.New("the processor does not say that its time-stamp counter is invariant")
	}
	if _, _, _, edx := cpuid(powerManagement, 0); edx&invariantTSC == 0 {
		return errors.New("the processor's time-stamp counter is not invariant")
	}
	source, err := readFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(source))
	if name != "tsc" && name != "kvm-clock" && !strings.HasPrefix(name, "hyperv") {
		return fmt.Errorf("the host's own clock is %s, not the time-stamp counter", name)
	}
	// Suspended to RAM, a computer forgets the counter, and the guest's time would go back by days. A virtual host is not suspended
	// like that, though most offer it.
	sleep, _ := readFile("/sys/power/mem_sleep")
	if _, _, ecx, _ := cpuid(1, 0); ecx&hypervisor == 0 && strings.Contains(string(sleep), "[deep]") {
		return errors.New("the host may be suspended to RAM, which clears the time-stamp counter")
	}
	return nil
}
