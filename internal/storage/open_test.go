package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// imageFile makes a file with the contents i&0xff at byte i.
func imageFile(t testing.TB, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t testing.TB, o Options) Image {
	t.Helper()
	img, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// Every refusal is one line that names the disk and says what to do.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	qcow2 := filepath.Join(dir, "qcow2")
	for path, contents := range map[string]string{empty: "", qcow2: "QFI\xfb" + strings.Repeat("\x00", 508)} {
		if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		o    Options
		says string
	}{
		{"missing", Options{Path: filepath.Join(dir, "none")}, "no such file: check the path, or create"},
		{"directory", Options{Path: dir}, "is a directory"},
		{"FIFO", Options{Path: fifo}, "neither a file nor a block device"},
		{"character device", Options{Path: "/dev/null"}, "neither a file nor a block device"},
		{"empty", Options{Path: empty}, "is empty"},
		{"half a sector", Options{Path: imageFile(t, 768)}, "768 bytes is not a multiple of the 512-byte sector: round it up with truncate -s %512"},
		{"half a large sector", Options{Path: imageFile(t, 4096+512), Sector: 4096}, "not a multiple of the 4096-byte sector"},
		{"sector", Options{Path: imageFile(t, 4096), Sector: 1024}, "use sector=512 or sector=4096"},
		{"format", Options{Path: imageFile(t, 4096), Format: "vmdk"}, "use format=raw"},
		{"qcow2 by another name", Options{Path: qcow2}, "add format=qcow2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			img, err := Open(c.o)
			if err == nil {
				img.Close()
				t.Fatal("opened")
			}
			if msg := err.Error(); !strings.Contains(msg, c.says) || !strings.Contains(msg, c.o.Path) || strings.Contains(msg, "\n") {
				t.Errorf("error %q does not say %q of %s", msg, c.says, c.o.Path)
			}
		})
	}
	mustOpen(t, Options{Path: qcow2, Format: "raw"})
}

func TestLock(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second Options
		ok            bool
	}{
		{"two writers", Options{}, Options{}, false},
		{"writer and reader", Options{}, Options{ReadOnly: true}, false},
		{"reader and writer", Options{ReadOnly: true}, Options{}, false},
		{"writer and snapshot", Options{}, Options{Snapshot: true}, false},
		{"two readers", Options{ReadOnly: true}, Options{ReadOnly: true}, true},
		{"two snapshots", Options{Snapshot: true}, Options{Snapshot: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.first.Path = imageFile(t, 4096)
			c.second.Path = c.first.Path
			first := mustOpen(t, c.first)
			second, err := Open(c.second)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				second.Close()
				return
			}
			if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "stop that machine first") {
				t.Fatalf("error %v", err)
			}
			first.Close()
			mustOpen(t, c.second)
		})
	}
}
