package initramfs

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/ulikunitz/xz"

	"github.com/vmproject/vm/internal/memory"

	"github.com/vmproject/vm/internal/testtool"
)

// unpacked reads an archive with another implementation of the format: what is in it, by name, in order.
func unpacked(t *testing.T, b []byte) (names []string, records map[string]cpio.Record) {
	t.Helper()
	r := cpio.Newc.Reader(bytes.NewReader(b))
	records = make(map[string]cpio.Record)
	for {
		rec, err := r.ReadRecord()
		if err == io.EOF {
			return names, records
		}
		if err != nil {
			t.Fatalf("after %v: %v", names, err)
		}
		names = append(names, rec.Name)
		records[rec.Name] = rec
	}
}

func contents(t *testing.T, rec cpio.Record) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(rec, 0, int64(rec.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func written(t *testing.T, a *Archive) []byte {
	t.Helper()
	var buf bytes.Buffer
	n, err := a.WriteTo(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(buf.Len()) || uint64(n) != a.Size() {
		t.Fatalf("WriteTo returns %d, Size %d, and there are %d bytes", n, a.Size(), buf.Len())
	}
	return buf.Bytes()
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchive(t *testing.T) {
	a := New()
	must(t,
		a.File("/init", 0o755, []byte("#!/bin/sh\n")),
		a.Device("dev/console", 0o600, 5, 1),
		a.Device("dev/null", 0o666, 1, 3),
		a.Symlink("/bin/sh", "busybox"),
		a.File("/bin/busybox", 0o4755, []byte("ELF")),
		a.File("/etc/deep/er/file", 0o644, nil),
		a.Dir("/tmp", 0o1777),
		a.Dir("/etc/deep", 0o700), // was made as a parent; gets its mode
		a.File("/init", 0o700, []byte("#!/bin/busybox sh\n")),
	)
	b := written(t, a)
	names, recs := unpacked(t, b)
	want := "bin bin/busybox bin/sh dev dev/console dev/null etc etc/deep etc/deep/er etc/deep/er/file init tmp"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("entries: %s\nwant:    %s", got, want)
	}
	for name, mode := range map[string]uint64{
		"bin": 0o40755, "bin/busybox": 0o104755, "bin/sh": 0o120777, "dev/console": 0o20600, "etc/deep": 0o40700, "init": 0o100700, "tmp": 0o41777,
	} {
		if rec := recs[name]; rec.Mode != mode || rec.UID != 0 || rec.GID != 0 || rec.MTime != 0 {
			t.Errorf("%s has mode %o, owner %d:%d, time %d", name, rec.Mode, rec.UID, rec.GID, rec.MTime)
		}
	}
	if c := recs["dev/console"]; c.Rmajor != 5 || c.Rminor != 1 {
		t.Errorf("console is %d:%d", c.Rmajor, c.Rminor)
	}
	if got := contents(t, recs["bin/sh"]); got != "busybox" {
		t.Errorf("link to %q", got)
	}
	if got := contents(t, recs["init"]); got != "#!/bin/busybox sh\n" {
		t.Errorf("init holds %q", got)
	}
	if !bytes.Equal(b, written(t, a)) {
		t.Error("a second writing differs")
	}
}

// TestCpioTool unpacks with the tool that everyone has, where there is one.
func TestCpioTool(t *testing.T) {
	testtool.Find(t, "cpio", "cpio")
	a := New()
	must(t, a.File("/a/b", 0o644, []byte("hello")), a.Symlink("c", "a/b"))
	cmd := exec.Command("cpio", "-tv", "--quiet")
	cmd.Stdin = bytes.NewReader(written(t, a))
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("c -> a/b")) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAddHost(t *testing.T) {
	dir := t.TempDir()
	must(t,
		os.MkdirAll(filepath.Join(dir, "d", "empty"), 0o755),
		os.WriteFile(filepath.Join(dir, "d", "run"), []byte("run"), 0o755),
		os.WriteFile(filepath.Join(dir, "d", "data"), []byte("data"), 0o640),
		os.Symlink("../nowhere", filepath.Join(dir, "d", "link")),
		os.Symlink("d", filepath.Join(dir, "alias")),
		os.Chmod(filepath.Join(dir, "d", "empty"), 0o1777|os.ModeSticky),
	)
	a := New()
	must(t, a.AddHost(filepath.Join(dir, "alias"), "/srv/x"), a.AddHost(filepath.Join(dir, "d", "run"), "/bin/run"),
		a.HostFile(filepath.Join(dir, "d", "data"), "/etc/data", 0o600))
	names, recs := unpacked(t, written(t, a))
	want := "bin bin/run etc etc/data srv srv/x srv/x/data srv/x/empty srv/x/link srv/x/run"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("entries: %s\nwant:    %s", got, want)
	}
	for name, mode := range map[string]uint64{"srv/x/run": 0o100755, "srv/x/data": 0o100640, "srv/x/empty": 0o41777, "etc/data": 0o100600} {
		if recs[name].Mode != mode {
			t.Errorf("%s has mode %o, want %o", name, recs[name].Mode, mode)
		}
	}
	if got := contents(t, recs["srv/x/link"]); got != "../nowhere" {
		t.Errorf("link to %q", got)
	}
	if got := contents(t, recs["bin/run"]); got != "run" {
		t.Errorf("file holds %q", got)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	must(t, syscall.Mkfifo(fifo, 0o600), os.WriteFile(file, []byte("12345"), 0o600))
	a := New()
	must(t, a.File("f", 0o644, nil), a.Dir("d", 0o755), a.Symlink("l", "d"))
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"missing", a.AddHost(filepath.Join(dir, "no"), "x"), "no such file"},
		{"pipe", a.AddHost(dir, "x"), "pipe is a named pipe: only files, folders and symbolic links"},
		{"below a file", a.File("f/x", 0, nil), "/f is not a folder"},
		{"below a link", a.File("l/x", 0, nil), "/l is not a folder"},
		{"file over folder", a.File("d", 0, nil), "once as a folder"},
		{"folder over file", a.Dir("f", 0), "once as a folder"},
		{"root", a.File("/..", 0, nil), "root of the file system"},
		{"end mark", a.File("/TRAILER!!!", 0, nil), "end of an archive"},
		{"NUL", a.File("a\x00b", 0, nil), "NUL"},
		{"folder as file", a.HostFile(dir, "x", 0), "not a regular file"},
		{"text as module", a.Module(file, "x.ko"), "not an ELF file"},
	}
	for _, tt := range tests {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, tt.err, tt.want)
		}
	}

	b := New()
	must(t, b.AddHost(file, "file"), os.Truncate(file, 2))
	if _, err := b.WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "/file") {
		t.Errorf("a file that shrank: %v", err)
	}
}

func TestModule(t *testing.T) {
	module := append([]byte("\x7fELF"), bytes.Repeat([]byte("code"), 1000)...)
	pack := func(w io.WriteCloser, err error) {
		must(t, err)
		_, err = w.Write(module)
		must(t, err, w.Close())
	}
	var gz, zst, lz bytes.Buffer
	pack(gzip.NewWriter(&gz), nil)
	pack(zstd.NewWriter(&zst))
	pack(xz.NewWriter(&lz))
	dir := t.TempDir()
	for name, data := range map[string][]byte{"a.ko": module, "b.ko.gz": gz.Bytes(), "c.ko.zst": zst.Bytes(), "d.ko.xz": lz.Bytes()} {
		host := filepath.Join(dir, name)
		must(t, os.WriteFile(host, data, 0o600))
		a := New()
		must(t, a.Module(host, "/lib/modules/x.ko"))
		_, recs := unpacked(t, written(t, a))
		if got := contents(t, recs["lib/modules/x.ko"]); got != string(module) {
			t.Errorf("%s unpacks to %d bytes, want %d", name, len(got), len(module))
		}
	}
}

func TestInitrd(t *testing.T) {
	const base = 0x8000_0000
	ram, err := memory.NewRAM(base, 1<<20)
	must(t, err)
	defer ram.Close()
	all, _ := ram.Slice(base, ram.Size())
	for i := range all {
		all[i] = 0xff
	}
	user := filepath.Join(t.TempDir(), "initrd")
	must(t, os.WriteFile(user, []byte("user's"), 0o600)) // 6 bytes: 2 of padding follow
	ours := New()
	must(t, ours.File("init", 0o755, []byte("x")))

	var d Initrd
	must(t, d.AddFile(user))
	d.AddArchive(ours)
	if want := 8 + ours.Size(); d.Size() != want {
		t.Errorf("size %d, want %d", d.Size(), want)
	}
	must(t, d.Load(ram, base+0x1000))
	got, _ := ram.Slice(base+0x1000, d.Size()+1)
	if string(got[:8]) != "user's\x00\x00" || !bytes.Equal(got[8:d.Size()], written(t, ours)) || got[d.Size()] != 0xff {
		t.Errorf("memory holds %q", got)
	}
	if err := d.Load(ram, base+1<<20-8); err == nil {
		t.Error("loaded past the end of memory")
	}
	if err := d.AddFile(filepath.Dir(user)); err == nil {
		t.Error("a folder is an initrd")
	}
	if err := d.AddFile(user + "x"); err == nil {
		t.Error("a missing file is an initrd")
	}
}

// FuzzArchive adds entries under hostile names: what is written can be read, and nothing leaves the root.
func FuzzArchive(f *testing.F) {
	f.Add("/a/b", "a", []byte("x"))
	f.Add("../../x", "x\x00y", []byte{})
	f.Add("TRAILER!!!", "a//b/./c/..", binary.BigEndian.AppendUint64(nil, 1))
	f.Fuzz(func(t *testing.T, one, two string, data []byte) {
		a := New()
		_ = a.File(one, 0o644, data)
		_ = a.Symlink(two, one)
		names, _ := unpacked(t, written(t, a))
		for _, n := range names {
			if strings.HasPrefix(n, "/") || strings.Contains("/"+n+"/", "/../") {
				t.Fatalf("entry %q", n)
			}
		}
	})
}
