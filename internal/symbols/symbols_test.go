package symbols

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t testing.TB, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

type sym struct {
	name        string
	value, size uint64
	info        uint8
	section     uint16
}

const (
	function, object = 0x12, 0x11
	text             = 1
)

// makeELF is an executable for a machine, with a segment at base and some symbols in section 1, or no symbol table at all.
func makeELF(machine uint16, base uint64, list []sym) string {
	le := binary.LittleEndian
	names := []byte("\x00")
	table := make([]byte, 24)
	for _, s := range list {
		e := make([]byte, 24)
		le.PutUint32(e, uint32(len(names)))
		e[4] = s.info
		le.PutUint16(e[6:], s.section)
		le.PutUint64(e[8:], s.value)
		le.PutUint64(e[16:], s.size)
		table = append(table, e...)
		names = append(append(names, s.name...), 0)
	}
	const headers = 64 + 56
	sections := uint16(4)
	if list == nil {
		sections = 2
	}
	var b bytes.Buffer
	put := func(v ...any) {
		for _, x := range v {
			_ = binary.Write(&b, le, x) // to memory
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	put(uint16(2), machine, uint32(1), base, uint64(64), uint64(headers+len(table)+len(names)), uint32(0))
	put(uint16(64), uint16(56), uint16(1), uint16(64), sections, uint16(0))
	put(uint32(1), uint32(5), uint64(0), base, base, uint64(headers), uint64(0x10000), uint64(1))
	b.Write(table)
	b.Write(names)
	section := func(typ uint32, addr, off, size uint64, link, info uint32, entry uint64) {
		put(uint32(0), typ, uint64(0), addr, off, size, link, info, uint64(1), entry)
	}
	section(0, 0, 0, 0, 0, 0, 0)
	section(1, base, 0, headers, 0, 0, 0)
	if list != nil {
		section(2, 0, headers, uint64(len(table)), 3, 1, 24)
		section(3, 0, headers+uint64(len(table)), uint64(len(names)), 0, 0, 0)
	}
	return b.String()
}

const riscv, x86 = 243, 62

var program = []sym{
	{"inner", 0x1010, 8, function, text},
	{"main", 0x1000, 0x40, function, text},
	{"alias", 0x1000, 0x40, function, text},
	{"asm", 0x1100, 0, 0x10, text}, // no type, no size
	{"after", 0x1180, 0x10, function, text},
	{"data", 0x1120, 8, object, text},
	{"$x", 0x1000, 0, 0, text},
	{"elsewhere", 0, 0, function, 0},
}

func TestLookup(t *testing.T) {
	var elf, moved, list Table
	for _, c := range []struct {
		t      *Table
		data   string
		loaded uint64
	}{
		{&elf, makeELF(riscv, 0x1000, program), 0},
		{&moved, makeELF(riscv, 0x1000, program), 0x555000},
		{&list, "ffffffff80000000 T _start\nffffffff80000100 t helper\nffffffff80000100 D data\nffffffff01000000 t in_module\t[ext4]\n", 0},
	} {
		if err := c.t.Add(write(t, c.data), c.loaded); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		t    *Table
		at   uint64
		want string // empty: unknown
	}{
		{&elf, 0x1000, "main"}, {&elf, 0x1004, "main+0x4"}, {&elf, 0x1010, "inner"}, {&elf, 0x1016, "inner+0x6"},
		{&elf, 0x1018, "main+0x18"}, {&elf, 0x103f, "main+0x3f"}, {&elf, 0x1040, ""}, {&elf, 0xfff, ""}, {&elf, 0, ""},
		{&elf, 0x1120, "asm+0x20"}, {&elf, 0x117e, "asm+0x7e"}, {&elf, 0x1180, "after"}, {&elf, 0x1190, ""}, {&elf, 1<<64 - 2, ""},
		{&moved, 0x555004, "main+0x4"}, {&moved, 0x1000, ""},
		{&list, 0xffffffff80000010, "_start+0x10"}, {&list, 0xffffffff80000100, "helper"}, {&list, 0xffffffff01000002, "in_module+0x2"},
		{&list, 0xffffffff80000100 + maxGuess, ""}, {&list, 0xffffffff01000000 + maxGuess, ""},
	} {
		if got, ok := c.t.Lookup(c.at); got != c.want || ok != (c.want != "") {
			t.Errorf("%#x: %q, %v; want %q", c.at, got, ok, c.want)
		}
	}
	if _, ok := new(Table).Lookup(0); ok {
		t.Error("an empty table knows a name")
	}
}

func TestAddRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		data   string
		loaded uint64
		want   string
	}{
		"empty":              {"", 0, "no symbols of code"},
		"text":               {"a text that is\nno list of symbols\n", 0, "line 1: neither an ELF file"},
		"text later on":      {"80000000 T a\n\nmain T x\n", 0, "line 3: neither an ELF file"},
		"a long line":        {strings.Repeat("x", 1<<17), 0, "neither an ELF file"},
		"no code":            {"80000000 D a\n", 0, "no symbols of code"},
		"hidden addresses":   {"0000000000000000 T a\n0000000000000000 T b\n", 0, "only root"},
		"a list moved":       {"80000000 T a\n", 4096, "an address is for ELF files"},
		"another machine":    {makeELF(x86, 0x1000, program), 0, "64-bit RISC-V is needed"},
		"stripped":           {makeELF(riscv, 0x1000, nil), 0, "stripped"},
		"an ELF of data":     {makeELF(riscv, 0x1000, program[5:6]), 0, "no symbols of code"},
		"an ELF cut in half": {makeELF(riscv, 0x1000, program)[:100], 0, "damaged"},
	} {
		var table Table
		err := table.Add(write(t, c.data), c.loaded)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, c.want)
		}
		if table.Len() != 0 {
			t.Errorf("%s: %d symbols were kept", name, table.Len())
		}
	}
	if err := new(Table).Add("/nonexistent", 0); err == nil || strings.Count(err.Error(), "/nonexistent") != 1 {
		t.Error(err)
	}
	if err := new(Table).Add(t.TempDir(), 0); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Error(err)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add(makeELF(riscv, 0x1000, program), uint64(0))
	f.Add("80000000 T a\n80000010 t b [m]\n", uint64(0))
	f.Fuzz(func(t *testing.T, data string, at uint64) {
		var table Table
		if err := table.Add(write(t, data), at); err != nil {
			return
		}
		table.Lookup(at)
		for _, s := range table.list {
			table.Lookup(s.at)
		}
	})
}
