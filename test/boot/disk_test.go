package boot

// Disks: written by the guest, read back by the host's own tools.

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// makeDisk makes a raw image with an ext4 file system that holds one file.
func makeDisk(t testing.TB, sector int) string {
	t.Helper()
	mke2fs := tool(t, "mke2fs", "e2fsprogs")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "from-host"), "host data\n", 0o644)
	disk := filepath.Join(dir, "disk.img")
	if err := os.Truncate(touch(t, disk), 32<<20); err != nil {
		t.Fatal(err)
	}
	host(t, mke2fs, "-q", "-t", "ext4", "-b", fmt.Sprint(max(sector, 1024)), "-d", root, disk)
	return disk
}

func digest(t testing.TB, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

const readWrite = "mount /dev/vda /mnt && cat /mnt/from-host && seq 1 20000 >/mnt/from-guest && sync && umount /mnt && " +
	"cat /sys/block/vda/queue/logical_block_size"

func TestDiskReadWrite(t *testing.T) {
	debugfs := tool(t, "debugfs", "e2fsprogs")
	for _, c := range []struct {
		name, options string
		sector        int
	}{
		{"512", "", 512},
		{"4096", ",sector=4096", 4096},
		{"mmio", ",bus=mmio", 512},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := makeDisk(t, c.sector)
			vm(t, nil, "run", "-d", disk+c.options, "--", "sh", "-c", readWrite).expect(t, 0, fmt.Sprintf("host data\n%d\n", c.sector))
			out := filepath.Join(t.TempDir(), "out")
			host(t, debugfs, "-R", "dump /from-guest "+out, disk)
			host(t, tool(t, "e2fsck", "e2fsprogs"), "-f", "-n", disk)
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			for i := 1; i <= 20000; i++ {
				want += fmt.Sprintln(i)
			}
			if string(got) != want {
				t.Fatalf("the guest's file holds %d bytes on the host, want %d", len(got), len(want))
			}
		})
	}
}

func TestDiskSnapshot(t *testing.T) {
	disk := makeDisk(t, 512)
	before := digest(t, disk)
	vm(t, nil, "run", "-d", disk+",snapshot", "--", "sh", "-c", readWrite).expect(t, 0, "host data\n512\n")
	if digest(t, disk) != before {
		t.Fatal("a snapshot disk was written")
	}
}

// A disk is as slow as its limit says, at least, and a machine ends while its requests wait.
func TestDiskLimits(t *testing.T) {
	disk := makeDisk(t, 512)
	began := time.Now()
	vm(t, nil, "run", "-d", disk+",readonly,read-bps=1M/256K", "--", "sh", "-c", "dd if=/dev/vda of=/dev/null bs=256k count=8 2>/dev/null && echo read").expect(t, 0, "read\n")
	if took := time.Since(began); took < 1700*time.Millisecond {
		t.Errorf("2 MiB at 1 MiB a second took %v", took)
	}
	// The first read would take a quarter of an hour.
	vm(t, nil, "run", "-d", disk+",readonly,bps=1K", "--", "sh", "-c", "dd if=/dev/vda of=/dev/null bs=1M count=1 & sleep 1; exit 3").expect(t, 3, "")
}

// Every hart has a queue of its own.
func TestDiskQueues(t *testing.T) {
	disk := makeDisk(t, 4096)
	for options, want := range map[string]string{"": "4\n", ",queues=2": "2\n", ",queues=1,bus=mmio": "1\n"} {
		vm(t, nil, "run", "-c", "4", "-d", disk+",sector=4096"+options, "--", "sh", "-c",
			"for i in 1 2 3 4; do dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null & done; wait; ls /sys/block/vda/mq | wc -l").expect(t, 0, want)
	}
}

func TestDiskReadOnly(t *testing.T) {
	disk := makeDisk(t, 512)
	before := digest(t, disk)
	vm(t, nil, "run", "-d", disk+",readonly", "--", "sh", "-c",
		"mount -o ro /dev/vda /mnt && cat /mnt/from-host; dd if=/dev/zero of=/dev/vda count=1 2>/dev/null || echo refused").
		expect(t, 0, "host data\nrefused\n")
	if digest(t, disk) != before {
		t.Fatal("a read-only disk was written")
	}
}
