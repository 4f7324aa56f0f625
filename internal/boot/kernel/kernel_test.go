package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/vmproject/vm/internal/boot/unpack"
	"github.com/vmproject/vm/internal/memory"

	"github.com/vmproject/vm/internal/testtool"
)

const (
	ramBase = memory.GPA(0x8000_0000)
	ramSize = 8 << 20
)

func newRAM(t testing.TB) *memory.RAM {
	t.Helper()
	ram, err := memory.NewRAM(ramBase, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close() })
	return ram
}

// rawImage is an Image without EFI stub: a header and n bytes of text, with bss after them.
func rawImage(n, bss int) []byte {
	b := make([]byte, imageHeaderSize+n)
	le := binary.LittleEndian
	le.PutUint64(b[imageTextOffset:], Align)
	le.PutUint64(b[imageMemSize:], uint64(len(b)+bss))
	copy(b[0x30:], "RISCV\x00\x00\x00")
	copy(b[imageMagic2:], "RSC\x05")
	for i := range b[imageHeaderSize:] {
		b[imageHeaderSize+i] = byte(i*7 + i>>8)
	}
	return b
}

// efiImage is an Image with the PE header of an EFI stub.
func efiImage(n, bss int, machine uint16) []byte {
	b := rawImage(n, bss)
	copy(b, "MZ")
	const at = imageHeaderSize
	le := binary.LittleEndian
	le.PutUint32(b[imagePEOffset:], at)
	copy(b[at:], "PE\x00\x00")
	le.PutUint16(b[at+peMachine:], machine)
	le.PutUint16(b[at+peSections:], 1)
	le.PutUint16(b[at+peOptionalSize:], 0)
	section := b[at+peOptional:]
	le.PutUint32(section[peRawOffset:], 256)
	le.PutUint32(section[peRawSize:], uint32(len(b)-256))
	return b
}

func packed(t testing.TB, f unpack.Format, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var err error
	switch f {
	case unpack.Gzip:
		w := gzip.NewWriter(&buf)
		w.Write(data)
		err = w.Close()
	case unpack.Zstd:
		w, _ := zstd.NewWriter(&buf)
		w.Write(data)
		err = w.Close()
	case unpack.XZ:
		w, _ := xz.NewWriter(&buf)
		w.Write(data)
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// zboot wraps a payload as the kernel's build does.
func zboot(payload []byte, name string, machine uint16) []byte {
	b := make([]byte, 0x200)
	le := binary.LittleEndian
	copy(b, "MZ\x00\x00zimg")
	le.PutUint32(b[zbootOffset:], 0x200)
	le.PutUint32(b[zbootSize:], uint32(len(payload)))
	copy(b[zbootType:], name)
	le.PutUint32(b[imagePEOffset:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], machine)
	b = append(b, payload...)
	return append(b, "size and the rest of the program"...)
}

func open(data []byte) (*File, error) {
	return parse("test", bytes.NewReader(data), int64(len(data)), ramSize, false)
}

func TestImageLoads(t *testing.T) {
	const bss = 100
	raw, efi := rawImage(5000, bss), efiImage(5000, bss, peRISCV64)
	tests := []struct {
		name string
		file []byte
		want []byte
	}{
		{"plain", raw, raw},
		{"EFI stub", efi, efi},
		{"gzip", packed(t, unpack.Gzip, raw), raw},
		{"zstd", packed(t, unpack.Zstd, efi), efi},
		{"xz", packed(t, unpack.XZ, efi), efi},
		{"gzip zboot", zboot(packed(t, unpack.Gzip, efi), "gzip", peRISCV64), efi},
		{"zstd zboot", zboot(packed(t, unpack.Zstd, efi), "zstd22", peRISCV64), efi},
		{"xz zboot", zboot(packed(t, unpack.XZ, efi), "xzkern", peRISCV64), efi},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kernel")
			if err := os.WriteFile(path, tt.file, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := Open(path, ramSize)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Kind != Image || f.Fixed() || f.TextOffset() != Align || f.Size() != uint64(len(tt.want)+bss) {
				t.Errorf("recognised as %v, fixed %v, offset %#x, size %d", f.Kind, f.Fixed(), f.TextOffset(), f.Size())
			}
			ram := newRAM(t)
			at := ramBase + Align
			// What was in memory before must not show through as bss.
			if err := ram.Store64(at+memory.GPA(len(tt.want)), ^uint64(0)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a reboot loads the same file again
				l, err := f.Load(ram, at)
				if err != nil {
					t.Fatal(err)
				}
				if l.Entry != at || l.Start != at || l.End != at+memory.GPA(f.Size()) {
					t.Errorf("loaded %+v", l)
				}
				mem, _ := ram.Slice(at, f.Size())
				if !bytes.Equal(mem[:len(tt.want)], tt.want) || !bytes.Equal(mem[len(tt.want):], make([]byte, bss)) {
					t.Error("memory differs from the Image and its bss")
				}
			}
		})
	}
}

func TestBadKernels(t *testing.T) {
	raw, efi := rawImage(5000, 100), efiImage(5000, 100, peRISCV64)
	edit := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	gz := packed(t, unpack.Gzip, raw)
	bzImage := make([]byte, 1024)
	copy(bzImage[0x202:], "HdrS")
	bzImage[510], bzImage[511] = 0x55, 0xaa
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"a few bytes", []byte{1, 2, 0xff}, "truncated"},
		{"EFI stub cut in half", efi[:2500], "truncated: it is 2500 bytes long and its sections end at 5064"},
		{"gzip cut inside the header", gz[:12], "truncated"},
		{"zboot cut", zboot(gz, "gzip", peRISCV64)[:0x240], "truncated"},
		{"zboot with unknown compression", zboot(gz, "brotli", peRISCV64), `unknown compression "brotli"`},
		{"zboot with lz4", zboot(gz, "lz4", peRISCV64), "lz4 compression is not supported"},
		{"zboot for ARM", zboot(gz, "gzip", 0xaa64), "a kernel for 64-bit ARM; this machine is 64-bit RISC-V"},
		{"zboot without payload", edit(zboot(gz, "gzip", peRISCV64), zbootSize, 0, 0, 0, 0), "makes no sense"},
		{"big-endian", edit(raw, imageFlags, 1), "big-endian"},
		{"no image size", edit(raw, imageMemSize, 0, 0, 0, 0), "no image size"},
		{"larger than memory", edit(raw, imageMemSize+3, 1), "it needs 17 MiB and the machine has 8 MiB of memory: give it more with --memory"},
		{"crooked text offset", edit(raw, imageTextOffset, 1), "text offset"},
		{"EFI stub for x86", efiImage(5000, 0, 0x8664), "a kernel for x86-64"},
		{"arm64 Image", edit(raw, imageMagic2, []byte("ARM\x64")...), "a Linux kernel for 64-bit ARM; this machine is 64-bit RISC-V"},
		{"gzip arm64 Image", packed(t, unpack.Gzip, edit(raw, imageMagic2, []byte("ARM\x64")...)), "a Linux kernel for 64-bit ARM"},
		{"bzImage", bzImage, "a Linux kernel for x86"},
		{"zImage", edit(make([]byte, 64), 0x24, 0x18, 0x28, 0x6f, 1), "a Linux kernel for 32-bit ARM"},
		{"U-Boot image", edit(make([]byte, 64), 0, 0x27, 0x05, 0x19, 0x56), "U-Boot image"},
		{"device tree", edit(make([]byte, 64), 0, 0xd0, 0x0d, 0xfe, 0xed), "device tree"},
		{"initrd", []byte("070701000000"), "--initrd"},
		{"boot sector", edit(make([]byte, 512), 510, 0x55, 0xaa), "--disk"},
		{"script", []byte("#!/bin/sh\necho hello, a script that is longer than any header of a kernel\n"), "text file"},
		{"noise", bytes.Repeat([]byte{0, 0xff, 0x80}, 100), "not a kernel this machine knows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := open(tt.file)
			if err == nil {
				// A cut stream may only show when it is read to its end.
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error is %q, want %q in one line", err, tt.want)
			}
		})
	}
}

func TestErrorsFoundWhileLoading(t *testing.T) {
	raw := rawImage(200_000, 0)
	for i := range raw[imageHeaderSize:] { // incompressible, so that half the file is half the stream
		raw[imageHeaderSize+i] = byte(i * i >> 3 * 31)
	}
	gz := packed(t, unpack.Gzip, raw)
	lying := bytes.Clone(raw)
	binary.LittleEndian.PutUint64(lying[imageMemSize:], 1000)
	tests := []struct {
		name string
		file []byte
		at   memory.GPA
		want string
	}{
		{"truncated stream", gz[:len(gz)-20], ramBase, "truncated"},
		{"longer than its header says", lying, ramBase, "more than the 1000 bytes"},
		{"beyond memory", raw, ramBase + ramSize - 4096, "--memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := open(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Load(newRAM(t), tt.at); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBombDoesNotUnpackPastMemory(t *testing.T) {
	image := rawImage(16<<20, 0)
	binary.LittleEndian.PutUint64(image[imageMemSize:], 1<<20)
	f, err := open(packed(t, unpack.Zstd, image))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(newRAM(t), ramBase); err == nil {
		t.Error("16 MiB went into 1 MiB")
	}
	// An ELF file is unpacked before its headers are read.
	elf := append(testELF(elfSegment{addr: uint64(ramBase), data: []byte{1}}), make([]byte, 16<<20)...)
	var limit *unpack.LimitError
	if _, err := open(packed(t, unpack.Zstd, elf)); !errors.As(err, &limit) {
		t.Errorf("compressed ELF file of 16 MiB: %v", err)
	}
}

func TestFirmware(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f, err := OpenFirmware(write("fw.bin", []byte("\x13\x00\x00\x00")), ramSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := f.Load(newRAM(t), ramBase)
	if err != nil || f.Kind != Flat || l.Entry != ramBase || l.End != ramBase+4 {
		t.Errorf("flat firmware: %v %+v %v", f.Kind, l, err)
	}
	for name, want := range map[string]string{
		write("big", make([]byte, ramSize+1)): "--memory",
		write("empty", nil):                   "empty",
		write("x86", func() []byte {
			b := testELF(elfSegment{addr: 1})
			b[18] = 62
			return b
		}()): "an ELF file for x86-64",
		filepath.Join(dir, "absent"): "no such file",
		dir:                          "not a regular file",
	} {
		if _, err := OpenFirmware(name, ramSize); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestInstalledFirmware loads the binaries of Debian's packages opensbi and u-boot-qemu, where they are installed.
func TestInstalledFirmware(t *testing.T) {
	paths, _ := filepath.Glob("/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_*")
	uboot, _ := filepath.Glob("/usr/lib/u-boot/qemu-riscv64/u*boot.*")
	paths = append(paths, uboot...)
	if len(paths) == 0 {
		testtool.Missing(t, "firmware", "opensbi, and u-boot-qemu")
	}
	for _, path := range paths {
		f, err := OpenFirmware(path, ramSize)
		if err != nil {
			t.Error(err)
			continue
		}
		if l, err := f.Load(newRAM(t), ramBase); err != nil || l.Entry != ramBase {
			t.Errorf("%s: loaded %+v, %v", path, l, err)
		}
		f.Close()
	}
}

// FuzzOpen gives the loader damaged files of every format; the seeds are one of each.
func FuzzOpen(f *testing.F) {
	raw, efi := rawImage(300, 10), efiImage(300, 10, peRISCV64)
	f.Add(raw)
	f.Add(efi)
	for _, format := range []unpack.Format{unpack.Gzip, unpack.Zstd, unpack.XZ} {
		f.Add(packed(f, format, raw))
		f.Add(zboot(packed(f, format, efi), format.String(), peRISCV64))
	}
	f.Add(testELF(elfSegment{addr: uint64(ramBase), data: []byte{1, 2, 3, 4}}))
	f.Add(testELF(elfSegment{addr: 0xffff_ffff_8000_0000, data: []byte{1, 2, 3, 4}, mem: 1000}))
	ram := newRAM(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := open(data)
		if err != nil {
			return
		}
		l, err := k.Load(ram, ramBase+Align)
		if err == nil && (l.Start < ramBase || l.End > ram.End() || l.Entry < l.Start || l.Entry >= l.End) {
			t.Fatalf("loaded outside memory: %+v", l)
		}
	})
}
