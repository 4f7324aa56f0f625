package guestimage

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kernel := put("Image", kernelFile(testVersion))
	busybox := put("busybox", elfFile(t, elf.ET_EXEC, elf.EM_RISCV, nil))
	modules := filepath.Dir(put("modules/virtio_blk.ko.zst", compress(t, ".zst", koFile(t, "name=virtio_blk", "depends="))))
	empty := t.TempDir()

	c := testCache(t)
	m, err := c.Import(t.Context(), ImportOptions{Name: "mine", Kernel: kernel, Busybox: busybox, Modules: modules})
	if err != nil {
		t.Fatal(err)
	}
	if m.KernelVersion != testVersion || m.Busybox == nil || len(m.Modules) != 1 {
		t.Errorf("%+v", m)
	}
	if m, err := c.Import(t.Context(), ImportOptions{Kernel: put("Image.gz", compress(t, ".gz", kernelFile("x"))), Modules: modules}); err != nil ||
		m.Name != DefaultName || m.KernelVersion != testVersion || m.Busybox != nil {
		t.Errorf("a compressed kernel takes its version from its modules: %+v, %v", m, err)
	}

	for _, test := range []struct {
		name string
		o    ImportOptions
		want string
	}{
		{"no kernel", ImportOptions{Kernel: filepath.Join(dir, "none")}, "no such file"},
		{"an empty kernel", ImportOptions{Kernel: put("empty", nil)}, "empty"},
		{"text for a kernel", ImportOptions{Kernel: put("text", []byte("hello"))}, "not a Linux kernel"},
		{"another machine's kernel", ImportOptions{Kernel: put("amd64", elfFile(t, elf.ET_EXEC, elf.EM_X86_64, nil))}, "EM_X86_64"},
		{"half an ELF kernel", ImportOptions{Kernel: put("half", []byte(elf.ELFMAG))}, "kernel"},
		{"another machine's busybox", ImportOptions{Kernel: kernel, Busybox: put("bb", elfFile(t, elf.ET_EXEC, elf.EM_X86_64, nil))}, "EM_X86_64"},
		{"no modules", ImportOptions{Kernel: kernel, Modules: empty}, "no .ko files"},
		{"another kernel's modules", ImportOptions{Kernel: put("other", kernelFile("5.0")), Modules: modules}, "import a pair"},
		{"a bad name", ImportOptions{Name: "../x", Kernel: kernel}, "image name"},
	} {
		o := test.o
		if o.Name == "" {
			o.Name = "bad"
		}
		if _, err := c.Import(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
	if images, err := c.List(); err != nil || len(images) != 2 {
		t.Errorf("%d images, %v; want 2", len(images), err)
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 31165952: "31.2 MB", 2e12: "2.0 TB", 9e18: "9000000.0 TB"} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
