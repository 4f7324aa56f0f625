package boot

// Formats of disks, and machines that are killed: what the guest has flushed is on the host, by the host's own tools.

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A guest writes a qcow2 disk in every cache mode, and qemu-img reads what it wrote.
func TestDiskFormats(t *testing.T) {
	qemu := tool(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	base := makeDisk(t, 4096)
	disk := filepath.Join(dir, "disk.qcow2")
	vm(t, nil, "disk", "create", "-b", base+",raw", "--sector", "4096", disk).expect(t, 0, "")
	before := digest(t, base)
	for _, cache := range []string{"writeback", "writethrough", "none", "unsafe"} {
		const command = "mount /dev/vda /mnt && cat /mnt/from-host && dd if=/dev/urandom of=/mnt/some bs=64k count=40 2>/dev/null && umount /mnt && sha256sum </dev/vda"
		r := vm(t, nil, "run", "-d", disk+",sector=4096,cache="+cache, "--", "sh", "-c", command)
		out := filepath.Join(dir, "out")
		host(t, qemu, "check", disk)
		host(t, qemu, "convert", "-O", "raw", disk, out)
		sum, _, _ := strings.Cut(host(t, "sha256sum", out), " ")
		r.expect(t, 0, "host data\n"+sum+"  -\n")
	}
	if digest(t, base) != before {
		t.Error("the backing file changed")
	}
}

// A machine that is killed while its guest writes leaves an image that is consistent, with everything that was flushed.
func TestDiskOfAKilledMachine(t *testing.T) {
	qemu := tool(t, "qemu-img", "qemu-utils")
	if *vmPath == "" {
		t.Skip("no -vm: run make boot")
	}
	disk := filepath.Join(t.TempDir(), "disk.qcow2")
	vm(t, nil, "disk", "create", disk, "256M").expect(t, 0, "")
	const command = "dd if=/dev/zero bs=1M count=9 2>/dev/null | tr '\\0' a | dd of=/dev/vda bs=1M conv=fsync 2>/dev/null; echo flushed; " +
		"while true; do dd if=/dev/urandom of=/dev/vda bs=1M seek=10 count=200 2>/dev/null; done"
	cmd := exec.CommandContext(t.Context(), *vmPath, withEngine([]string{"run", "-d", disk, "--", "sh", "-c", command})...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "flushed\n" {
		t.Errorf("%q (%v)", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if r := vm(t, nil, "disk", "check", "--repair", "leaks", disk); r.code != 0 {
		t.Errorf("status %d: %s%s", r.code, r.stdout, r.stderr)
	}
	host(t, qemu, "check", disk)
	raw := filepath.Join(t.TempDir(), "raw")
	host(t, qemu, "convert", "-O", "raw", disk, raw)
	if sum := host(t, "sh", "-c", "head -c 9M "+raw+" | tr -d a | wc -c"); strings.TrimSpace(sum) != "0" {
		t.Errorf("%s bytes that were flushed are lost", strings.TrimSpace(sum))
	}
}
