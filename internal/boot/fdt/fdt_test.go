package fdt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vmproject/vm/internal/testtool"
)

// board is a small tree with every kind of property.
func board() *Tree {
	t := New()
	t.Reserved = []Reservation{{0x8000_0000, 0x20000}}
	t.BootCPU = 1
	t.Root.SetU32("#address-cells", 2)
	t.Root.SetU32("#size-cells", 2)
	t.Root.SetStrings("compatible", "vm,test", "riscv-virtio")
	mem := t.Root.Add("memory@80000000")
	mem.SetStrings("device_type", "memory")
	mem.SetU64("reg", 0x8000_0000, 0x2000_0000)
	soc := t.Root.Add("soc")
	soc.SetU32("#address-cells", 2)
	soc.SetU32("#size-cells", 2)
	soc.SetEmpty("ranges")
	plic := soc.Add("plic@c000000")
	plic.SetU64("reg", 0xc00_0000, 0x60_0000)
	plic.SetEmpty("interrupt-controller")
	uart := soc.Add("serial@10000000")
	uart.SetU64("reg", 0x1000_0000, 0x100)
	uart.SetBytes("odd", []byte{1, 2, 3})
	uart.SetU32("interrupt-parent", t.Phandle(plic))
	return t
}

func TestRoundTrip(t *testing.T) {
	tree := board()
	blob := tree.Marshal()
	got, err := Parse(append(blob, "trailing bytes"...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(got.Marshal(), blob) {
		t.Error("the blob changes when it is parsed and written")
	}
}

func TestFindAndSet(t *testing.T) {
	tree := board()
	for path, want := range map[string]string{
		"/": "", "/soc": "soc", "/soc/serial@10000000": "serial@10000000", "/soc/serial": "serial@10000000", "/memory": "memory@80000000",
	} {
		if n := tree.Find(path); n == nil || n.Name != want {
			t.Errorf("Find(%q) = %v, want %q", path, n, want)
		}
	}
	for _, path := range []string{"/nothing", "/soc/serial@0", "/soc/serial/deeper"} {
		if n := tree.Find(path); n != nil {
			t.Errorf("Find(%q) = %q", path, n.Name)
		}
	}
	uart := tree.Find("/soc/serial")
	uart.SetU32("odd", 7)
	if v, ok := uart.PropU32("odd"); !ok || v != 7 || uart.Props[1].Name != "odd" {
		t.Errorf("replaced property: %v %v, %v", v, ok, uart.Props)
	}
	uart.Remove("odd")
	if _, ok := uart.Prop("odd"); ok {
		t.Error("the removed property is still there")
	}
}

func TestPhandlesAreDistinctAndStable(t *testing.T) {
	tree := board()
	plic, uart := tree.Find("/soc/plic"), tree.Find("/soc/serial")
	if a, b, c := tree.Phandle(plic), tree.Phandle(uart), tree.Phandle(plic); a != 1 || b != 2 || c != 1 {
		t.Errorf("phandles %d %d %d", a, b, c)
	}
}

func TestSetChosen(t *testing.T) {
	tree := board()
	tree.SetChosen(Chosen{Bootargs: "console=ttyS0", StdoutPath: "/soc/serial@10000000"})
	tree.SetChosen(Chosen{Bootargs: "quiet", KeepBootargs: true, InitrdStart: 0x1_0000_0000, InitrdEnd: 0x1_0000_1000,
		RNGSeed: []byte{1, 2}, KernelStart: 0x8020_0000, KernelEnd: 0x8030_0000})
	want := map[string]string{
		"bootargs":           "console=ttyS0 quiet\x00",
		"stdout-path":        "/soc/serial@10000000\x00",
		"linux,initrd-start": "\x00\x00\x00\x01\x00\x00\x00\x00",
		"linux,initrd-end":   "\x00\x00\x00\x01\x00\x00\x10\x00",
		"rng-seed":           "\x01\x02",
		"riscv,kernel-start": "\x00\x00\x00\x00\x80\x20\x00\x00",
		"riscv,kernel-end":   "\x00\x00\x00\x00\x80\x30\x00\x00",
	}
	n := tree.Find("/chosen")
	if len(n.Props) != len(want) {
		t.Errorf("%d properties, want %d", len(n.Props), len(want))
	}
	for name, v := range want {
		if got, _ := n.Prop(name); string(got) != v {
			t.Errorf("%s = %q, want %q", name, got, v)
		}
	}
}

func TestSetMemory(t *testing.T) {
	tests := []struct {
		name        string
		addr, size  uint32
		base, bytes uint64
		want        string // of reg; empty: an error
	}{
		{"two cells", 2, 2, 0x8000_0000, 1 << 33, "\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00"},
		{"one cell", 1, 1, 0x8000_0000, 1 << 20, "\x80\x00\x00\x00\x00\x10\x00\x00"},
		{"does not fit one cell", 2, 1, 0x8000_0000, 1 << 33, ""},
		{"three cells", 3, 2, 0, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := board()
			tree.Root.SetU32("#address-cells", tt.addr)
			tree.Root.SetU32("#size-cells", tt.size)
			second := tree.Root.Add("memory@100000000")
			second.SetStrings("device_type", "memory")
			err := tree.SetMemory(tt.base, tt.bytes)
			if (err != nil) != (tt.want == "") {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if n := tree.Root.Children[0]; n.Name != "memory@80000000" || len(tree.Root.Children) != 2 {
				t.Errorf("first of %d children is %s", len(tree.Root.Children), n.Name)
			}
			if got, _ := tree.Find("/memory").Prop("reg"); string(got) != tt.want {
				t.Errorf("reg = %q", got)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	good := board().Marshal()
	put := func(off int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[off:], v)
		return b
	}
	structAt := int(binary.BigEndian.Uint32(good[hdrStruct:]))
	deep := New()
	for n := deep.Root; len(deep.Reserved) <= maxDepth; deep.Reserved = append(deep.Reserved, Reservation{1, 1}) {
		n = n.Add("n")
	}
	tests := []struct {
		name string
		blob []byte
		want string
	}{
		{"empty", nil, "not a device tree blob"},
		{"source", []byte("/dts-v1/;\n/ { };"), "compile it first (dtc -O dtb)"},
		{"header cut", good[:20], "truncated"},
		{"cut", good[:len(good)-1], "truncated"},
		{"huge", put(hdrTotalSize, MaxSize+1), "more than the 2097152"},
		{"tiny", put(hdrTotalSize, 8), "claims a size of 8 bytes"},
		{"old", put(hdrVersion, 16), "version 16 is not supported"},
		{"future", put(hdrCompatVersion, 18), "not supported"},
		{"structure outside", put(hdrStruct, 0xffff_fff0), "structure block"},
		{"strings outside", put(hdrStringsSize, 0xffff_fff0), "strings block"},
		{"endless reservations", put(hdrReserve, uint32(len(good)-8)), "reservation block does not end"},
		{"no root", put(structAt, tokenEnd), "token 9 where the root should begin"},
		{"unknown token", put(structAt+8, 77), "unknown token 77"},
		{"property past the end", put(structAt+12, 0x7fff_ffff), "truncated"},
		{"property name outside", put(structAt+16, 0xffff_ffff), "outside its block"},
		{"structure ends early", put(hdrStructSize, 60), "truncated"},
		{"deep", deep.Marshal(), "nested more than 64 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.blob); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// dtc runs the device tree compiler, which CI has to have.
func dtc(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(testtool.Find(t, "dtc", "device-tree-compiler"), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("dtc: %s", exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAgainstDTC compares with the reference compiler: what it reads of our blob, and what we read of its.
func TestAgainstDTC(t *testing.T) {
	tree := board()
	source := dtc(t, tree.Marshal(), "-q", "-I", "dtb", "-O", "dts")
	for _, want := range []string{"/memreserve/\t0x0000000080000000 0x0000000000020000", `"vm,test`,
		"serial@10000000 {", "odd = [01 02 03]", "ranges;", "reg = <0x00 0x80000000 0x00 0x20000000>"} {
		if !bytes.Contains(source, []byte(want)) {
			t.Errorf("dtc does not print %q:\n%s", want, source)
		}
	}
	got, err := Parse(dtc(t, source, "-q", "-I", "dts", "-O", "dtb", "-b", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after a trip through dtc:\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(board().Marshal())
	f.Add(New().Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := Parse(b)
		if err != nil {
			return
		}
		tree.SetChosen(Chosen{Bootargs: "quiet", KeepBootargs: true, InitrdStart: 1, InitrdEnd: 2, RNGSeed: []byte{1}})
		if err := tree.SetMemory(0x8000_0000, 1<<20); err != nil {
			return
		}
		again, err := Parse(tree.Marshal())
		if err != nil {
			t.Fatalf("what was parsed and written is refused: %v", err)
		}
		if diff := cmp.Diff(tree, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}
