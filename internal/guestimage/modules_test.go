package guestimage

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadModInfo(t *testing.T) {
	info, err := readModInfo(bytes.NewReader(koFile(t, "license=GPL", "name=a-b", "depends=c-d,e", "softdep=pre: f-g h post: i pre: j")))
	if err != nil {
		t.Fatal(err)
	}
	if info.name != "a_b" || info.version != testVersion || !slices.Equal(info.depends, []string{"c_d", "e"}) || !slices.Equal(info.softPre, []string{"f_g", "h", "j"}) {
		t.Errorf("%+v", info)
	}
	for name, data := range map[string][]byte{
		"empty":          nil,
		"text":           []byte("#!/bin/sh"),
		"another host's": elfFile(t, elf.ET_REL, elf.EM_X86_64, nil),
		"a program":      elfFile(t, elf.ET_EXEC, elf.EM_RISCV, nil),
		"cut short":      koFile(t, "name=x")[:70],
	} {
		if _, err := readModInfo(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestModuleFile(t *testing.T) {
	for base, want := range map[string]string{
		"ext4.ko": "ext4", "virtio-rng.ko.xz": "virtio_rng", "a.ko.zst": "a", "b.ko.gz": "b",
		"modules.dep": "", "x.ko.bz2": "", ".ko": "", "a b.ko": "",
	} {
		if name, ok := moduleFile(base); name != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", base, name, ok, want)
		}
	}
}

func TestResolveOrdersAndRefusesCycles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, items ...string) {
		if err := os.WriteFile(filepath.Join(dir, name+".ko"), koFile(t, items...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("top", "depends=left,right")
	write("left", "depends=bottom")
	write("right", "depends=bottom", "softdep=pre: crypto-sum crypto-none other")
	write("bottom", "depends=")
	write("sum_generic", "depends=")
	write("snake", "depends=tail")
	write("tail", "depends=snake")
	tree, err := readModuleTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	store := func([]byte) (Blob, error) { stored++; return Blob{}, nil }
	modules, version, err := tree.resolve([]string{"missing", "top", "bottom", "top"}, store)
	if err != nil || version != testVersion || stored != 5 {
		t.Fatalf("%d stored, version %q, %v", stored, version, err)
	}
	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
	}
	if want := []string{"bottom", "left", "sum_generic", "right", "top"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	if _, _, err := tree.resolve([]string{"snake"}, store); err == nil || !strings.Contains(err.Error(), "depends on itself") {
		t.Errorf("cycle: %v", err)
	}
}

func FuzzModInfo(f *testing.F) {
	f.Add(koFile(f, "name=a", "depends=b,c", "softdep=pre: d"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = readModInfo(bytes.NewReader(data)) })
}
