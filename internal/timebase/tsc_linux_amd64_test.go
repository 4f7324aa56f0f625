package timebase

import (
	"io/fs"
	"testing"
)

// The counter is trusted only where the kernel uses it.
func TestTrusted(t *testing.T) {
	files := map[string]string{}
	read := func(name string) ([]byte, error) {
		if s, ok := files[name]; ok {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	}
	if trusted(read) == nil {
		t.Error("trusted without knowing the kernel's clock")
	}
	const name = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
	files[name] = "tsc\n"
	if err := trusted(read); err != nil {
		t.Skip(err) // this processor's is not
	}
	for source, want := range map[string]bool{
		"tsc\n": true, "kvm-clock\n": true, "hyperv_clocksource_tsc_page\n": true, "hpet\n": false, "acpi_pm\n": false, "tsc-early\n": false, "": false,
	} {
		files[name] = source
		if got := trusted(read) == nil; got != want {
			t.Errorf("%q: trusted is %v", source, got)
		}
	}
}
