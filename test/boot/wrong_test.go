package boot

// Wrong input: each case is one clear line on stderr and exit code 125 (124 for --timeout); nothing is written to a disk.

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/guestimage"
)

// elf wraps RISC-V code that runs at 0x80000000 into an ELF file, with a tohost symbol in the page at 0x80001000.
func elf(t testing.TB, machine uint16, code []byte) string {
	t.Helper()
	const (
		headers = 64 + 56
		base    = 0x8000_0000
	)
	le := binary.LittleEndian
	names := "\x00.symtab\x00.strtab\x00tohost\x00"
	symtab := make([]byte, 48)
	le.PutUint32(symtab[24:], uint32(strings.Index(names, "tohost")))
	symtab[28] = 1<<4 | 1                // global object
	le.PutUint16(symtab[30:], 0xfff1)    // absolute
	le.PutUint64(symtab[32:], base+4096) // value
	le.PutUint64(symtab[40:], 8)

	symOff := headers + len(code)
	strOff := symOff + len(symtab)
	shOff := strOff + len(names)
	b := make([]byte, 0, shOff+3*64)
	b = append(b, "\x7fELF\x02\x01\x01"...)
	b = append(b, make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // executable
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base)
	b = le.AppendUint64(b, 64)
	b = le.AppendUint64(b, uint64(shOff))
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 64, 3, 2} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 7)
	for _, v := range []uint64{headers, base, base, uint64(len(code)), 8192, 1} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, code...)
	b = append(b, symtab...)
	b = append(b, names...)
	section := func(name, typ uint32, off, size int, link, info uint32, entry uint64) {
		b = le.AppendUint32(b, name)
		b = le.AppendUint32(b, typ)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint64(b, uint64(off))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint32(b, link)
		b = le.AppendUint32(b, info)
		b = le.AppendUint64(b, 1)
		b = le.AppendUint64(b, entry)
	}
	section(0, 0, 0, 0, 0, 0, 0)
	section(1, 2, symOff, len(symtab), 2, 1, 24)
	section(9, 3, strOff, len(names), 0, 0, 0)
	path := filepath.Join(t.TempDir(), "test.elf")
	write(t, path, string(b), 0o755)
	return path
}

const emRISCV, emX8664 = 243, 62

// program assembles code.
func program(t testing.TB, f func(a *asm.Assembler)) []byte {
	t.Helper()
	a := asm.New(0x8000_0000)
	f(a)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// An ELF test program ends the machine by tohost, or by the test finisher, with its verdict.
func TestVerdicts(t *testing.T) {
	store := func(addr, value uint64, op riscv.Op) []byte {
		return program(t, func(a *asm.Assembler) {
			a.Li(asm.T0, int64(addr))
			a.Li(asm.T1, int64(value))
			a.Store(op, asm.T1, 0, asm.T0)
			a.Label("spin")
			a.J("spin")
		})
	}
	for _, c := range []struct {
		name string
		code []byte
		want int
	}{
		{"tohost pass", store(0x8000_1000, 1, riscv.SD), 0},
		{"tohost fail 5", store(0x8000_1000, 5<<1|1, riscv.SD), 5},
		{"finisher pass", store(0x10_0000, 0x5555, riscv.SW), 0},
		{"finisher fail 7", store(0x10_0000, 7<<16|0x3333, riscv.SW), 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm(t, nil, "run", "--bios", elf(t, emRISCV, c.code)).expect(t, c.want, "")
		})
	}
}

func TestWrongInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, size int64) string {
		p := filepath.Join(dir, name)
		write(t, p, text, 0o644)
		if size >= 0 {
			if err := os.Truncate(p, size); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	cut := file("cut", "", 0)
	if *vmPath != "" {
		cache, err := guestimage.Open("")
		if err != nil {
			t.Fatal(err)
		}
		image, err := cache.Get(guestimage.DefaultName)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(cache.BlobPath(image.Kernel))
		if err != nil {
			t.Fatal(err)
		}
		write(t, cut, string(b[:len(b)/2]), 0o644)
	}
	void := elf(t, emRISCV, program(t, func(a *asm.Assembler) { a.I(riscv.JALR, asm.Zero, asm.Zero, 0) }))
	loop := elf(t, emRISCV, program(t, func(a *asm.Assembler) {
		a.Li(asm.T0, 0x8000_0008) // a trap vector that traps
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRMtvec, asm.T0)
		a.Word(0)
		a.Word(0)
	}))
	spin := elf(t, emRISCV, program(t, func(a *asm.Assembler) { a.Label("x"); a.J("x") }))
	odd := file("odd.img", "", 1<<20+7)
	pool, _ := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
	pages, _ := strconv.Atoi(strings.TrimSpace(string(pool))) // 0 where there is no pool
	poolless := fmt.Sprintf("%dM", 2*(pages+256))
	for _, c := range []struct {
		name string
		args []string
		code int
		want string // in the line
	}{
		{"missing kernel", []string{"-k", "/no/such/Image"}, 125, "/no/such/Image"},
		{"empty kernel", []string{"-k", file("empty", "", 0)}, 125, "empty"},
		{"text as kernel", []string{"-k", file("text", "hello, world\n", -1)}, 125, ""},
		{"truncated kernel", []string{"-k", cut}, 125, "truncated"},
		{"x86 kernel", []string{"-k", elf(t, emX8664, nil)}, 125, "x86"},
		{"kernel is a folder", []string{"-k", dir}, 125, ""},
		{"missing disk", []string{"-d", "/no/such/disk"}, 125, "/no/such/disk"},
		{"disk of odd size", []string{"-d", odd}, 125, "512"},
		{"disk of odd size for 4096", []string{"-d", file("odd4k", "", 4096+512) + ",sector=4096"}, 125, "4096"},
		{"unknown disk option", []string{"-d", odd + ",fast"}, 125, "fast"},
		{"unknown disk format", []string{"-d", odd + ",format=floppy"}, 125, "floppy"},
		{"memory beyond the host", []string{"-m", "100T"}, 125, "memory"},
		{"memory size", []string{"-m", "lots"}, 125, "lots"},
		{"too little memory", []string{"-m", "1M"}, 125, "memory"},
		{"huge pages of an odd size", []string{"--hugepages", "3M"}, 125, "2M"},
		{"huge pages that do not divide the memory", []string{"--hugepages", "1G", "-m", "1500M"}, 125, "multiple"},
		{"more huge pages than a pool has", []string{"--hugepages", "2M", "-m", poolless}, 125, "hugepages"},
		{"NUMA nodes and memory", []string{"-m", "2G", "--numa", "mem=1G"}, 125, "1024 MiB"},
		{"a NUMA node the host has not", []string{"--numa", "host=999"}, 125, "999"},
		{"a NUMA policy of no name", []string{"--numa", "policy=fast"}, 125, "interleave"},
		{"a NUMA policy without its node", []string{"--numa", "policy=bind"}, 125, "host=0"},
		{"a hart in two NUMA nodes", []string{"--numa", "cpus=0,mem=1G", "--numa", "cpus=0,mem=1G"}, 125, "0 and 1"},
		{"a hart in no NUMA node", []string{"-c", "2", "--numa", "cpus=0,mem=1G", "--numa", "mem=1G"}, 125, "hart 1"},
		{"a hart there is not in a NUMA node", []string{"--numa", "cpus=0-3"}, 125, "--cpus"},
		{"a NUMA node in other words", []string{"--numa", "cores=1"}, 125, "cpus=0-1"},
		{"harts", []string{"-c", "9"}, 125, "8"},
		{"unknown flag", []string{"--frobnicate"}, 125, "frobnicate"},
		{"unknown engine", []string{"--engine", "steam"}, 125, "steam"},
		{"initrd that does not fit", []string{"-i", file("initrd", "", 600<<20)}, 125, "memory"},
		{"missing file", []string{"--file", "/no/such/file", "--", "true"}, 125, "/no/such/file"},
		{"jump into the void", []string{"--bios", void}, 125, "fault"},
		{"trap loop at reset", []string{"--bios", loop}, 125, "illegal"},
		{"never ends", []string{"--bios", spin, "--timeout", "2s"}, 124, "2s"},
		{"never reaches init", []string{"--timeout", "100ms", "--", "true"}, 124, "100ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := vm(t, nil, append([]string{"run"}, c.args...)...)
			r.expect(t, c.code, "")
			if strings.Count(r.stderr, "\n") != 1 || !strings.HasSuffix(r.stderr, "\n") || !strings.Contains(r.stderr, c.want) {
				t.Fatalf("stderr is not one line with %q:\n%s", c.want, r.stderr)
			}
			t.Log(strings.TrimSpace(r.stderr))
		})
	}
	if st, err := os.Stat(odd); err != nil || st.Size() != 1<<20+7 {
		t.Fatalf("the odd disk changed: %v %v", st, err)
	}
}
