package boot

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/memory"

	"github.com/vmproject/vm/internal/testtool"
)

// payload is a kernel or firmware of a size, at a fixed address if that is not zero.
type payload struct {
	size, offset uint64
	fixed        memory.GPA
}

func (p payload) Span(at memory.GPA) (start, end memory.GPA) {
	if p.fixed != 0 {
		at = p.fixed
	}
	return at, at + memory.GPA(p.size)
}
func (p payload) TextOffset() uint64 { return p.offset }
func (p payload) Fixed() bool        { return p.fixed != 0 }

const (
	base = memory.GPA(0x8000_0000)
	mib  = 1 << 20
)

func ram(size uint64) Range { return Range{base, base + memory.GPA(size)} }

func TestPlace(t *testing.T) {
	linux := payload{size: 31 * mib, offset: 2 * mib}
	sbi := payload{size: 300 << 10}
	tests := []struct {
		name   string
		q      Request
		kernel memory.GPA
		jump   memory.GPA
		top    memory.GPA // nothing but the kernel is at or above it
	}{
		{"host's SBI", Request{RAM: ram(512 * mib), Kernel: linux, InitrdSize: 5*mib + 1, DTBSize: 9000}, base + 2*mib, 0, base + 512*mib},
		{"no initrd", Request{RAM: ram(128 * mib), Kernel: linux, DTBSize: 9000}, base + 2*mib, 0, base + 128*mib},
		{"much memory", Request{RAM: ram(8 << 30), Kernel: linux, InitrdSize: 300 * mib, DTBSize: 9000}, base + 2*mib, 0, 1 << 32},
		{"tight", Request{RAM: ram(40 * mib), Kernel: linux, InitrdSize: 6 * mib, DTBSize: 9000}, base + 2*mib, 0, base + 40*mib},
		{"kernel that wants to be higher", Request{RAM: ram(128 * mib), Kernel: payload{size: mib, offset: 16 * mib}, DTBSize: 1}, base + 16*mib, 0, base + 128*mib},
		{"linked kernel in the way of everything", Request{RAM: ram(128 * mib), Kernel: payload{size: 10 * mib, fixed: base + 117*mib}, InitrdSize: mib, DTBSize: 1}, base + 117*mib, 0, base + 128*mib},
		{"firmware", Request{RAM: ram(512 * mib), Firmware: sbi, Kernel: linux, InitrdSize: 5 * mib, DTBSize: 9000}, base + 2*mib, 0, base + 448*mib},
		{"firmware and a kernel too long for FW_JUMP", Request{RAM: ram(512 * mib), Firmware: sbi, Kernel: payload{size: 33 * mib, offset: 2 * mib}, InitrdSize: 5 * mib, DTBSize: 9000}, base + 36*mib, base + 2*mib, base + 448*mib},
		{"firmware and a linked kernel", Request{RAM: ram(128 * mib), Firmware: sbi, Kernel: payload{size: mib, fixed: base + 64*mib}, DTBSize: 9000}, base + 64*mib, base + 2*mib, base + 96*mib},
		{"long firmware", Request{RAM: ram(512 * mib), Firmware: payload{size: 3 * mib}, Kernel: linux, InitrdSize: 5 * mib, DTBSize: 9000}, base + 36*mib, 0, base + 448*mib},
		{"firmware alone", Request{RAM: ram(8 * mib), Firmware: sbi, DTBSize: 9000}, 0, 0, base + 6*mib},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Place(tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if l.Kernel.Start != tt.kernel || l.Jump != tt.jump {
				t.Errorf("kernel at %#x, jump at %#x, want %#x and %#x", uint64(l.Kernel.Start), uint64(l.Jump), uint64(tt.kernel), uint64(tt.jump))
			}
			ranges := map[string]Range{"firmware": l.Firmware, "kernel": l.Kernel, "initrd": l.Initrd, "dtb": l.DTB, "handoff": l.Handoff}
			if l.Jump != 0 {
				ranges["jump"] = Range{l.Jump, l.Jump + trampolineSize}
			}
			if tt.q.Firmware != nil && tt.q.Kernel != nil {
				ranges["copy of the device tree"] = Range{base + 34*mib, base + 34*mib + memory.GPA(tt.q.DTBSize)}
			}
			for name, r := range ranges {
				if r == (Range{}) {
					continue
				}
				if r.Start < base || r.End > tt.q.RAM.End || r.End <= r.Start {
					t.Errorf("%s at %#x-%#x is outside memory", name, uint64(r.Start), uint64(r.End))
				}
				if (name == "initrd" || name == "dtb") && (r.Start&memory.PageMask != 0 || r.End > tt.top) {
					t.Errorf("%s at %#x-%#x", name, uint64(r.Start), uint64(r.End))
				}
				for other, o := range ranges {
					if name < other && o != (Range{}) && r.overlaps(o) {
						t.Errorf("%s overlaps %s", name, other)
					}
				}
			}
			if l.Initrd.Size() != tt.q.InitrdSize || l.DTB.Size() < tt.q.DTBSize+dtbSlack {
				t.Errorf("initrd of %d bytes, dtb of %d", l.Initrd.Size(), l.DTB.Size())
			}
		})
	}
}

func TestPlaceRefuses(t *testing.T) {
	linux := payload{size: 31 * mib, offset: 2 * mib}
	sbi := payload{size: 300 << 10}
	tests := []struct {
		name string
		q    Request
		want string
	}{
		{"initrd larger than memory", Request{RAM: ram(512 * mib), Kernel: linux, InitrdSize: 600 * mib, DTBSize: 9000},
			"initrd of 600 MiB does not fit into 512 MiB of memory: give the machine more with --memory"},
		{"initrd beside the kernel", Request{RAM: ram(64 * mib), Kernel: linux, InitrdSize: 40 * mib, DTBSize: 9000},
			"beside the kernel, the initrd of 40 MiB does not fit into 64 MiB of memory: give the machine more with --memory"},
		{"kernel", Request{RAM: ram(16 * mib), Kernel: linux, DTBSize: 9000}, "the kernel of 31 MiB does not fit into 16 MiB of memory: give"},
		{"kernel by its place", Request{RAM: ram(32 * mib), Kernel: linux, DTBSize: 9000}, "the kernel of 31 MiB does not fit into 32 MiB"},
		{"no room for the device tree", Request{RAM: ram(33 * mib), Kernel: payload{size: 33 * mib, fixed: base}, DTBSize: 9000}, "the device tree of 9 KiB does not fit"},
		{"kernel below memory", Request{RAM: ram(64 * mib), Kernel: payload{size: mib, fixed: 0x1000}}, "is 0x80000000-0x84000000: it is made for another machine"},
		{"kernel above memory", Request{RAM: ram(64 * mib), Kernel: payload{size: mib, fixed: base + 64*mib}}, "is 0x80000000-0x84000000: give the machine more"},
		{"kernel that wraps", Request{RAM: ram(64 * mib), Kernel: payload{size: ^uint64(0) - uint64(base), fixed: base + 2*mib}}, "does not fit"},
		{"kernel over firmware", Request{RAM: ram(64 * mib), Firmware: sbi, Kernel: payload{size: mib, fixed: base}}, "where the firmware is"},
		{"firmware", Request{RAM: ram(mib), Firmware: payload{size: 2 * mib}}, "the firmware of 2 MiB does not fit into 1 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := Place(tt.q); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v, want %q", l, err, tt.want)
			}
		})
	}
}

// FuzzPlace looks for a layout in which two things overlap or one is outside.
func FuzzPlace(f *testing.F) {
	f.Add(uint64(512*mib), uint64(31*mib), uint64(5*mib), uint64(9000), true, uint64(0))
	f.Add(uint64(64*mib), uint64(31*mib), uint64(5*mib), uint64(9000), false, uint64(base)+40*mib)
	f.Fuzz(func(t *testing.T, size, kernel, initrd, dtb uint64, firmware bool, fixed uint64) {
		q := Request{RAM: ram(size % (1 << 40) &^ memory.PageMask), Kernel: payload{size: kernel, offset: 2 * mib, fixed: memory.GPA(fixed)},
			InitrdSize: initrd % (1 << 50), DTBSize: dtb % (2 * mib)}
		if firmware {
			q.Firmware = payload{size: 200 << 10}
		}
		l, err := Place(q)
		if err != nil {
			return
		}
		ranges := []Range{l.Firmware, l.Kernel, l.Initrd, l.DTB, l.Handoff}
		for i, r := range ranges {
			if r.Size() != 0 && (r.Start < q.RAM.Start || r.End > q.RAM.End || r.End < r.Start) {
				t.Fatalf("range %d is %#x-%#x", i, uint64(r.Start), uint64(r.End))
			}
			for j := range i {
				if r.Size() != 0 && ranges[j].Size() != 0 && r.overlaps(ranges[j]) {
					t.Fatalf("ranges %d and %d overlap: %+v", i, j, ranges)
				}
			}
		}
	})
}

func TestHandoff(t *testing.T) {
	mem, err := memory.NewRAM(base, 128*mib)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	l, err := Place(Request{RAM: ram(128 * mib), Firmware: payload{size: mib}, Kernel: payload{size: 40 * mib}, DTBSize: 9000})
	if err != nil {
		t.Fatal(err)
	}
	entry := l.Kernel.Start + 0x40
	if err := l.WriteHandoff(mem, entry, 0x10_2000); err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{0x4942534f, 2, uint64(entry), 1, 0, 0} {
		if v, _ := mem.Load64(l.DynamicInfo() + memory.GPA(8*i)); v != want {
			t.Errorf("word %d of fw_dynamic_info is %#x, want %#x", i, v, want)
		}
	}
	// The legacy image, as U-Boot checks it.
	r := l.UBootImage()
	img := make([]byte, r.Size())
	if err := mem.Read(r.Start, img); err != nil {
		t.Fatal(err)
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(img[4*i:]) }
	hcrc := word(1)
	binary.BigEndian.PutUint32(img[4:], 0)
	if word(0) != 0x27051956 || crc32.ChecksumIEEE(img[:64]) != hcrc || crc32.ChecksumIEEE(img[64:]) != word(6) ||
		int(word(3)) != len(img)-64 || word(4) != word(5) || memory.GPA(word(4)) < r.End || memory.GPA(word(4))+64 > l.Handoff.End {
		t.Errorf("legacy image at %#x: %x", uint64(r.Start), img[:64])
	}
	// Without a kernel there is nothing to find, whatever was there.
	if err := l.WriteHandoff(mem, 0, 0x10_2000); err != nil {
		t.Fatal(err)
	}
	if v, _ := mem.Load64(l.DynamicInfo()); v != 0 {
		t.Error("fw_dynamic_info without a kernel")
	}
	if err := (&Layout{}).WriteHandoff(mem, entry, 0); err == nil {
		t.Error("a layout without firmware has a handoff page")
	}
}

// TestCode has the disassembler say what the few instructions of this package are.
func TestCode(t *testing.T) {
	objdump := testtool.Find(t, "riscv64-linux-gnu-objdump", "binutils-riscv64-linux-gnu")
	tests := []struct {
		name string
		at   memory.GPA
		code []byte
		want []string
	}{
		{"trampoline", 0x8020_0000, trampoline(0x8020_0000, 0x8240_0000), []string{"auipc t0,2200", "jr t0 # 82400000"}},
		{"trampoline backwards and odd", 0x8240_0000, trampoline(0x8240_0000, 0x8020_0ffe), []string{"# 80200ffe"}},
		{"shim", 0, shim(0x10_2000), []string{"auipc t0,0", "ld t0,24(t0) # 18", "sd a1,0(t0)", "wfi", "j c"}},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "code")
		if err := os.WriteFile(path, tt.code, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "riscv:rv64", "--adjust-vma="+hex(tt.at), path).Output()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(strings.Join(strings.Fields(string(out)), " "), "0x", "") // versions differ in it
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in %s", tt.name, want, text)
			}
		}
	}
}

func hex(a memory.GPA) string {
	const digits = "0123456789abcdef"
	s := ""
	for ; a > 0; a >>= 4 {
		s = string(digits[a&15]) + s
	}
	return "0x0" + s
}
