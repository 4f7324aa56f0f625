package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/boot/unpack"
	"github.com/vmproject/vm/internal/memory"

	"github.com/vmproject/vm/internal/testtool"
)

// elfSegment describes one PT_LOAD of a test file. The entry point is the first byte of the first.
type elfSegment struct {
	addr uint64 // virtual
	phys uint64 // 0: the same
	data []byte
	mem  uint64 // 0: as long as data
}

func testELF(segs ...elfSegment) []byte {
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) }
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_RISCV), Version: 1, Phoff: 64, Ehsize: 64,
		Phentsize: 56, Phnum: uint16(len(segs)), Shentsize: 64}
	if len(segs) > 0 {
		h.Entry = segs[0].addr
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = 2, 1, 1
	put(h)
	off := uint64(64 + 56*len(segs))
	for _, s := range segs {
		if s.phys == 0 {
			s.phys = s.addr
		}
		if s.mem == 0 {
			s.mem = uint64(len(s.data))
		}
		put(elf.Prog64{Type: uint32(elf.PT_LOAD), Off: off, Vaddr: s.addr, Paddr: s.phys, Filesz: uint64(len(s.data)), Memsz: s.mem})
		off += uint64(len(s.data))
	}
	for _, s := range segs {
		b.Write(s.data)
	}
	return b.Bytes()
}

func TestELFLoads(t *testing.T) {
	const place = ramBase + Align
	text, data := []byte("text"), []byte("data")
	tests := []struct {
		name  string
		segs  []elfSegment
		fixed bool
		start memory.GPA
		text  memory.GPA // where the first segment and the entry point go
		data  memory.GPA
		size  uint64
	}{
		{"where it is linked", []elfSegment{{addr: 0x8000_1000, data: text}, {addr: 0x8000_0000, data: data, mem: 16}}, true,
			0x8000_0000, 0x8000_1000, 0x8000_0000, 0x1004},
		{"by physical address", []elfSegment{{addr: 0x40_0000, phys: 0x8010_0000, data: text}, {addr: 0x50_0000, phys: 0x8011_0000, data: data}}, true,
			0x8010_0000, 0x8010_0000, 0x8011_0000, 0x10004},
		{"linked at zero", []elfSegment{{addr: 0, data: text}, {addr: 0x100, data: data, mem: 0x100}}, false,
			place, place, place + 0x100, 0x200},
		{"kernel of the upper half", []elfSegment{{addr: 0xffff_ffff_8000_0000, phys: 0x1000, data: text},
			{addr: 0xffff_ffff_8000_2000, phys: 0xffff_ffff_8000_2000, data: data, mem: 8}}, false,
			place, place, place + 0x2000, 0x2008},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, format := range []unpack.Format{unpack.Raw, unpack.Gzip} {
				file := testELF(tt.segs...)
				if format != unpack.Raw {
					file = packed(t, format, file)
				}
				f, err := open(file)
				if err != nil {
					t.Fatal(err)
				}
				ram := newRAM(t)
				if err := ram.Store64(tt.data+4, ^uint64(0)); err != nil {
					t.Fatal(err)
				}
				l, err := f.Load(ram, place)
				if err != nil {
					t.Fatal(err)
				}
				if f.Kind != ELF || f.Fixed() != tt.fixed || l.Start != tt.start || l.Entry != tt.text || uint64(l.End-l.Start) != tt.size {
					t.Errorf("fixed %v, loaded %+v", f.Fixed(), l)
				}
				var got [4]byte
				for addr, want := range map[memory.GPA][]byte{tt.text: text, tt.data: data} {
					if err := ram.Read(addr, got[:]); err != nil || !bytes.Equal(got[:], want) {
						t.Errorf("%q at %#x, want %q", got, uint64(addr), want)
					}
				}
				if tt.segs[1].mem > 4 {
					if v, _ := ram.Load32(tt.data + 4); v != 0 {
						t.Errorf("bss holds %#x", v)
					}
				}
			}
		})
	}
}

func TestBadELF(t *testing.T) {
	good := testELF(elfSegment{addr: uint64(ramBase), data: []byte("text")})
	edit := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	interp := bytes.Clone(good)
	interp[64] = byte(elf.PT_INTERP)
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"x86-64", edit(18, 62), "an ELF file for x86-64; this machine is 64-bit RISC-V"},
		{"arm64", edit(18, 183), "an ELF file for 64-bit ARM"},
		{"unnamed machine", edit(18, 8, 9), "an ELF file for"},
		{"big-endian s390", edit(5, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 22), "an ELF file for s390"},
		{"32-bit", edit(4, 1), "32-bit RISC-V"},
		{"module", edit(16, byte(elf.ET_REL)), "kernel module"},
		{"core", edit(16, byte(elf.ET_CORE)), "core dump"},
		{"dynamic", interp, "dynamically linked"},
		{"header cut", good[:40], "truncated"},
		{"program headers cut", good[:100], "truncated"},
		{"segment cut", good[:len(good)-1], "truncated: it is 123 bytes long"},
		{"too many segments", edit(56, 0xff, 0x7f), "32767 program headers"},
		{"nothing to load", testELF(), "nothing to load"},
		{"entry nowhere", edit(24, 0, 0, 0, 0), "entry point 0x0"},
		{"wraps", testELF(elfSegment{addr: ^uint64(0) - 2, data: []byte("text")}), "wraps"},
		{"file part above memory part", testELF(elfSegment{addr: uint64(ramBase), data: []byte("text"), mem: 2}), "damaged"},
		{"larger than memory", testELF(elfSegment{addr: uint64(ramBase), data: []byte("text"), mem: ramSize + 1}), "--memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := open(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

func TestELFOutsideMemory(t *testing.T) {
	f, err := open(testELF(elfSegment{addr: 0x10000, data: []byte("text")}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(newRAM(t), ramBase); err == nil || !strings.Contains(err.Error(), "a program for Linux") {
		t.Errorf("error is %v", err)
	}
}

// TestLinkedELF loads what a real linker makes, with the symbols of a test program.
func TestLinkedELF(t *testing.T) {
	gcc := testtool.Find(t, "riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu")
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.S"), filepath.Join(dir, "a.elf")
	text := ".globl _start\n_start: j .\n.data\n.balign 64\n.globl tohost, fromhost\ntohost: .dword 0x1234\nfromhost: .dword 0\n"
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(gcc, "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-N", "-Wl,-Ttext=0x80000000", "-Wl,-Tdata=0x80002000", "-o", out, src)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	f, err := OpenFirmware(out, ramSize)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ram := newRAM(t)
	l, err := f.Load(ram, ramBase)
	if err != nil {
		t.Fatal(err)
	}
	if l.Entry != 0x8000_0000 || l.Symbols["tohost"] != 0x8000_2000 || l.Symbols["fromhost"] != 0x8000_2008 {
		t.Errorf("loaded %+v", l)
	}
	if v, _ := ram.Load64(l.Symbols["tohost"]); v != 0x1234 {
		t.Errorf("tohost holds %#x", v)
	}
}
