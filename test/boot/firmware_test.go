package boot

// Firmware in M-mode instead of the built-in SBI, followed by the kernel.

import (
	"strings"
	"testing"
)

func TestFirmware(t *testing.T) {
	const opensbi, uboot = "/usr/lib/riscv64-linux-gnu/opensbi/generic/", "/usr/lib/u-boot/"
	for _, c := range []struct {
		name, bios, pkg, banner string
		args                    []string
	}{
		{"OpenSBI fw_dynamic", opensbi + "fw_dynamic.bin", "opensbi", "OpenSBI v", nil},
		{"OpenSBI fw_dynamic ELF, 2 harts", opensbi + "fw_dynamic.elf", "opensbi", "OpenSBI v", []string{"--cpus", "2"}},
		{"OpenSBI fw_jump", opensbi + "fw_jump.bin", "opensbi", "OpenSBI v", nil},
		{"U-Boot", uboot + "qemu-riscv64/u-boot.bin", "u-boot-qemu", "U-Boot 20", nil},
		{"U-Boot ELF, 2 harts", uboot + "qemu-riscv64/uboot.elf", "u-boot-qemu", "U-Boot 20", []string{"--cpus", "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tool(t, c.bios, c.pkg)
			args := append([]string{"run", "--bios", c.bios, "--log-level", "debug"}, c.args...)
			r := vm(t, nil, append(args, "--", "sh", "-c", "uname -m; nproc")...)
			harts := "1"
			if c.args != nil {
				harts = "2"
			}
			r.expect(t, 0, "riscv64\n"+harts+"\n")
			if !strings.Contains(r.stderr, c.banner) {
				t.Fatalf("no banner %q in the serial log:\n%s", c.banner, r.stderr)
			}
		})
	}
}
