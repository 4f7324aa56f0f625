package guestimage

// What the tests make packages of: small ELF files, kernels, .deb files, and an apt-get that serves them.

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const testVersion = "6.12.0+test-riscv64"

// koFile is a module: an ELF file with nothing but a .modinfo.
func koFile(t testing.TB, items ...string) []byte {
	t.Helper()
	return elfFile(t, elf.ET_REL, elf.EM_RISCV, []byte(strings.Join(append(items, "vermagic="+testVersion+" SMP"), "\x00")+"\x00"))
}

func elfFile(t testing.TB, kind elf.Type, machine elf.Machine, modinfo []byte) []byte {
	t.Helper()
	const headerSize, sectionSize = 64, 64
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	head := elf.Header64{Type: uint16(kind), Machine: uint16(machine), Version: 1, Ehsize: headerSize, Shentsize: sectionSize, Shnum: 3, Shstrndx: 2}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	head.Shoff = uint64(headerSize + len(modinfo) + len(names))
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: headerSize, Size: uint64(len(modinfo))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(headerSize + len(modinfo)), Size: uint64(len(names))},
	}
	var b bytes.Buffer
	for _, part := range []any{head, modinfo, names, sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// kernelFile is an Image as far as Import looks at it.
func kernelFile(version string) []byte {
	b := make([]byte, 2<<20)
	binary.LittleEndian.PutUint32(b[imageMagicAt:], imageMagic)
	copy(b[1<<20-20:], "Linux version "+version+" (debian) #1") // across the edge of a block that kernelVersion reads
	return b
}

// file is one member of a tar.
type file struct {
	name string
	data []byte
}

func compress(t testing.TB, suffix string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch suffix {
	case "":
		return data
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	case ".gz":
		w = gzip.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarFile(t testing.TB, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// debFile is a package whose parts are compressed as suffix says.
func debFile(t testing.TB, suffix, control string, files ...file) []byte {
	t.Helper()
	b := bytes.NewBufferString(arMagic)
	for _, m := range []file{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar" + suffix, compress(t, suffix, tarFile(t, []file{{"./control", []byte(control)}}))},
		{"data.tar" + suffix, compress(t, suffix, tarFile(t, files))},
	} {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// debianFiles is a kernel's package in small.
func debianFiles(t testing.TB) []file {
	dir := "./usr/lib/modules/" + testVersion + "/kernel/"
	return []file{
		{"./boot/vmlinux-" + testVersion, kernelFile(testVersion)},
		{"./boot/config-" + testVersion, []byte("CONFIG_TEST=y\n")},
		{dir + "virtio_blk.ko.xz", compress(t, ".xz", koFile(t, "name=virtio_blk", "depends="))},
		{dir + "virtio-rng.ko.xz", compress(t, ".xz", koFile(t, "name=virtio_rng", "depends="))},
		{dir + "ext4.ko.xz", compress(t, ".xz", koFile(t, "name=ext4", "softdep=pre: crypto-crc32c", "depends=jbd2,crc16"))},
		{dir + "jbd2.ko.xz", compress(t, ".xz", koFile(t, "name=jbd2", "depends=crc16"))},
		{dir + "crc16.ko.xz", compress(t, ".xz", koFile(t, "name=crc16", "depends="))},
		{dir + "crc32c_generic.ko.xz", compress(t, ".xz", koFile(t, "name=crc32c_generic", "depends="))},
		{dir + "unwanted.ko.xz", []byte("not even a module")},
	}
}

// fakeApt is an apt-get that knows three packages. It checks that it is called as it should be.
type fakeApt struct {
	dir  string // where its packages are
	host aptHost
}

func newFakeApt(t *testing.T) *fakeApt {
	t.Helper()
	f := &fakeApt{dir: t.TempDir()}
	f.add(t, kernelPackage, debFile(t, ".xz", "Package: linux-image-riscv64\nVersion: 1\nDepends: foo (= 1), linux-image-test (= 1)\n"))
	f.add(t, "linux-image-test", debFile(t, ".xz", "Package: linux-image-test\nVersion: 1.2\n", debianFiles(t)...))
	f.add(t, busyboxPackage, debFile(t, ".zst", "Package: busybox-static\nVersion: 9\n", file{"./usr/bin/busybox", []byte("busybox")}))
	f.script(t, `#!/bin/sh
[ "$1" = -o ] && { echo dlstatus:1:50.5:half >&3; shift 2; }
[ "$1" = -c ] && grep -q 'APT::Architecture "riscv64"' "$2" || { echo "E: no private configuration" >&2; exit 1; }
sources=$(dirname "$2")/sources.list.d/vm.sources
grep -q '^URIs: http://mirror.test/debian$' $sources && grep -Eq '^Suites: (trixie|stable|oldstable)$' $sources || { echo "E: wrong sources" >&2; exit 1; }
shift 3
case "$1 $2" in
update*)
	suite=$(sed -n 's/^Suites: //p' $sources)
	[ ! -e `+f.dir+`/broken-$suite ] || { echo "E: Failed to fetch Packages.xz  File has unexpected size. Mirror sync in progress?" >&2; exit 100; }
	exit 0;;
indextargets*) cat `+f.dir+`/codename;;
"download --print-uris") shift 2; for p; do cat `+f.dir+`/$p.uri || exit 1; done;;
download*) shift; for p; do cp `+f.dir+`/$p.deb . || exit 1; done;;
esac
`)
	list := filepath.Join(f.dir, "sources.list")
	if err := os.WriteFile(list, []byte("deb http://mirror.test/debian bookworm main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.host.list = list
	return f
}

func (f *fakeApt) script(t *testing.T, text string) {
	t.Helper()
	f.host.aptGet = filepath.Join(f.dir, "apt-get")
	if err := os.WriteFile(f.host.aptGet, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (f *fakeApt) add(t *testing.T, name string, deb []byte) {
	t.Helper()
	uri := fmt.Sprintf("'http://mirror.test/%s.deb' %s.deb %d SHA256:%x\n", name, name, len(deb), sha256.Sum256(deb))
	for suffix, data := range map[string][]byte{".deb": deb, ".uri": []byte(uri)} {
		if err := os.WriteFile(filepath.Join(f.dir, name+suffix), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func testCache(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// blob reads a blob.
func blob(t *testing.T, c *Cache, b Blob) string {
	t.Helper()
	data, err := os.ReadFile(c.BlobPath(b))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// count is how many entries a folder of the cache has.
func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(entries)
}
