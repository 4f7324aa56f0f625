package boot

// What a real kernel finds in the machine.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Linux reports the extensions that it was told of and probed.
func TestExtensions(t *testing.T) {
	r := vm(t, nil, "run", "--mmu", "sv57", "--", "sh", "-c", "grep -E '^(isa|mmu)' /proc/cpuinfo")
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	for _, want := range []string{"rv64imafdc", "zicbom", "zicboz", "zicntr", "zicond", "zihintntl", "zihintpause", "zihpm", "zimop",
		"zacas", "zawrs", "zfa", "zfhmin", "zcb", "zcmop", "zba", "zbb", "zbc", "zbs", "sstc", "svinval", "svnapot", "svpbmt", "sv57"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %s in:\n%s", want, r.stdout)
		}
	}
}

// Each paging mode boots.
func TestPagingModes(t *testing.T) {
	for _, c := range []struct{ mode, flag, value string }{
		{"sv39", "-a", ""}, {"sv39", "-a", "no4lvl"}, {"sv48", "-a", "no5lvl"}, {"sv39", "--mmu", "sv39"}, {"sv48", "--mmu", "sv48"}, {"sv57", "--mmu", "sv57"},
	} {
		t.Run(c.flag+c.value, func(t *testing.T) {
			vm(t, nil, "run", c.flag, c.value, "--", "sh", "-c", "grep mmu /proc/cpuinfo").expect(t, 0, "mmu\t\t: "+c.mode+"\n")
		})
	}
}

// The kernel's tests of its ciphers, which a boot is spared and modules that come later are not, pass: they are long computations with known results. They go on
// after the boot; a cipher that is being tested has a larva, and one that failed stays unknown.
func TestCiphers(t *testing.T) {
	const disabled = "alg: self-tests disabled\n"
	vm(t, nil, "run", "--", "sh", "-c", "cat /sys/module/cryptomgr/parameters/notests; dmesg | grep -o 'alg: .*'").expect(t, 0, "N\n"+disabled)
	r := vm(t, nil, "run", "-a", "cryptomgr.notests=0", "--", "sh", "-c", "while grep -q larval /proc/crypto; do sleep 0.1; done; dmesg | grep 'alg: '; cat /proc/crypto")
	if r.code != 0 || strings.Contains(r.stdout, disabled) || strings.Contains(r.stdout, "failed") || strings.Contains(r.stdout, "selftest     : unknown") {
		t.Errorf("status %d, %s%s", r.code, r.stderr, r.stdout)
	}
	if n := strings.Count(r.stdout, "selftest     : passed"); n < 20 {
		t.Errorf("%d ciphers have passed their tests", n)
	}
}

func TestEightHarts(t *testing.T) {
	script := `nproc; for i in 1 2 3 4 5 6 7 8; do (n=0; while [ $n -lt 300 ]; do n=$((n+1)); done; echo done) & done; wait`
	vm(t, nil, "run", "-c", "8", "--", "sh", "-c", script).expect(t, 0, "8\n"+strings.Repeat("done\n", 8))
}

// The guest's kernel has the nodes that --numa gives it, with memory that is there from the start.
func TestNUMANodes(t *testing.T) {
	script := `cd /sys/devices/system/node; for n in 0 1; do cat node$n/cpulist node$n/distance; awk '{print int(($4 + 60000) / 131072)}' node$n/meminfo | head -1; done`
	vm(t, nil, "run", "-c", "3", "--prefault", "--numa", "cpus=0,cpus=2,mem=384M,host=0,policy=preferred", "--numa", "cpus=1,mem=256M,policy=local", "--", "sh", "-c", script).
		expect(t, 0, "0,2\n10 20\n3\n1\n20 10\n2\n")
}

// The device tree goes out by --dump-dtb and comes back by --dtb.
func TestDeviceTree(t *testing.T) {
	dtc := tool(t, "dtc", "device-tree-compiler")
	dtb := filepath.Join(t.TempDir(), "vm.dtb")
	vm(t, nil, "run", "--dump-dtb", dtb, "--", "true").expect(t, 0, "")
	source := host(t, dtc, "-q", "-I", "dtb", "-O", "dts", dtb)
	for _, want := range []string{"riscv,plic0", "ns16550a", "pci-host-ecam-generic", "google,goldfish-rtc", "sifive,test1", "virtio,mmio"} {
		if !strings.Contains(source, want) {
			t.Errorf("no %s in the device tree", want)
		}
	}
	vm(t, nil, "run", "--dtb", dtb, "-m", "256M", "--", "sh", "-c",
		"test $(awk '/MemTotal/{print $2}' /proc/meminfo) -lt 300000 && echo small").expect(t, 0, "small\n")
}

// The rest of the disk's commands, the clock, and the random number generator.
func TestDevices(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, []byte(strings.Repeat("x", 8<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `cat /sys/block/vda/serial; echo
blkdiscard -o 1048576 -l 1048576 /dev/vda && echo discarded
dd if=/dev/zero of=/dev/vda bs=4096 seek=1000 count=10 conv=fsync 2>/dev/null && echo zeroed
cat /sys/class/misc/hw_random/rng_current
dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c
cat /sys/class/rtc/rtc0/name; test $(cat /sys/class/rtc/rtc0/since_epoch) -gt 1700000000 && echo today
dmesg | grep -c 'ttyS0.*16550A'`
	vm(t, nil, "run", "-d", disk, "--", "sh", "-c", script).expect(t, 0,
		"disk0\ndiscarded\nzeroed\nvirtio_rng.0\n64\ngoldfish_rtc 101000.rtc\ntoday\n1\n")
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range b {
		zeroed := i >= 4096000 && i < 4096000+40960
		discarded := i >= 1<<20 && i < 2<<20
		if !discarded && (c == 0) != zeroed {
			t.Fatalf("byte %d of the disk is %q", i, c)
		}
	}
}

// Several disks keep their order, on either transport.
func TestManyDisks(t *testing.T) {
	dir := t.TempDir()
	var args []string
	for i := range 4 {
		p := filepath.Join(dir, fmt.Sprint("d", i))
		write(t, p, strings.Repeat(fmt.Sprint(i), 512), 0o644)
		args = append(args, "-d", p)
	}
	args = append(args, "--", "sh", "-c", "for d in a b c d; do head -c 1 /dev/vd$d; done")
	vm(t, nil, append([]string{"run"}, args...)...).expect(t, 0, "0123")
}
