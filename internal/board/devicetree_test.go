package board

// The device tree against the machine it describes.

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/boot/fdt"
	"github.com/vmproject/vm/internal/memory"

	"github.com/vmproject/vm/internal/testtool"
)

func cells(n *fdt.Node, name string) []uint32 {
	b, _ := n.Prop(name)
	var v []uint32
	for ; len(b) >= 4; b = b[4:] {
		v = append(v, binary.BigEndian.Uint32(b))
	}
	return v
}

func wide(c []uint32) uint64 { return uint64(c[0])<<32 | uint64(c[1]) }

// What the tree says is there is there, and nothing lies over RAM.
func TestDeviceTreeDescribesTheBus(t *testing.T) {
	for _, size := range []uint64{testMemory, 20 << 30} {
		b := newBoard(t, Config{Memory: size, Harts: 3})
		tree, err := fdt.Parse(b.DeviceTree().Marshal())
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, base, n uint64) {
			t.Helper()
			if !b.bus.Covers(memory.GPA(base), 1) || !b.bus.Covers(memory.GPA(base+n-1), 1) {
				t.Errorf("%s: no device at %#x+%#x", what, base, n)
			}
			if base < uint64(b.RAM.End()) && base+n > uint64(ramBase) {
				t.Errorf("%s at %#x+%#x lies over RAM", what, base, n)
			}
		}
		for _, n := range tree.Find("/soc").Children {
			r := cells(n, "reg")
			check(n.Name, wide(r), wide(r[2:]))
		}
		ranges := cells(tree.Find("/soc/pci"), "ranges")
		if len(ranges) != 3*7 {
			t.Fatalf("%d cells of PCI ranges", len(ranges))
		}
		for ; len(ranges) > 0; ranges = ranges[7:] {
			check("PCI window", wide(ranges[3:]), wide(ranges[5:]))
			if bus := wide(ranges[1:]); ranges[0] != 0x0100_0000 && bus != wide(ranges[3:]) {
				t.Errorf("PCI window at bus address %#x, not where the harts see it", bus)
			}
		}
		for name, perHart := range map[string]int{"/soc/clint": 4, "/soc/plic": 4} {
			if n := len(cells(tree.Find(name), "interrupts-extended")); n != 3*perHart {
				t.Errorf("%s: %d cells of interrupts for 3 harts", name, n)
			}
		}
	}
}

// The parts that firmware and kernels find by address or number are those of QEMU's board.
func TestDeviceTreeMatchesQEMU(t *testing.T) {
	qemu := testtool.Find(t, "qemu-system-riscv64", "qemu-system-misc")
	file := t.TempDir() + "/qemu.dtb"
	if out, err := exec.Command(qemu, "-M", "virt,dumpdtb="+file, "-smp", "2", "-m", "128M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	blob, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := fdt.Parse(blob)
	if err != nil {
		t.Fatal(err)
	}
	ours := newBoard(t, Config{Memory: 128 << 20, Harts: 2}).DeviceTree()
	for _, c := range []struct{ node, properties string }{
		{"/memory", "reg device_type"},
		{"/cpus", "timebase-frequency"},
		{"/soc/test", "reg compatible"},
		{"/soc/rtc", "reg compatible interrupts"},
		{"/soc/serial", "reg compatible interrupts clock-frequency"},
		{"/soc/clint", "reg compatible"},
		{"/soc/plic", "reg compatible #interrupt-cells"},
		{"/soc/virtio_mmio@10001000", "reg compatible interrupts"},
		{"/soc/virtio_mmio@10008000", "reg compatible interrupts"},
		{"/soc/pci", "reg compatible ranges interrupt-map-mask device_type linux,pci-domain"},
		{"/poweroff", "compatible value offset"},
		{"/reboot", "compatible value offset"},
		{"/chosen", "stdout-path"},
	} {
		a, b := ours.Find(c.node), theirs.Find(c.node)
		if a == nil || b == nil {
			t.Errorf("%s: here %v, QEMU %v", c.node, a != nil, b != nil)
			continue
		}
		for p := range strings.FieldsSeq(c.properties) {
			x, _ := a.Prop(p)
			if y, _ := b.Prop(p); string(x) != string(y) {
				t.Errorf("%s %s: %x, QEMU has %x", c.node, p, x, y)
			}
		}
	}
	// The routes of the four wires, but for the phandle of the interrupt controller.
	x, y := cells(ours.Find("/soc/pci"), "interrupt-map"), cells(theirs.Find("/soc/pci"), "interrupt-map")
	if len(x) != len(y) {
		t.Fatalf("interrupt-map of %d cells, QEMU has %d", len(x), len(y))
	}
	for i := range x {
		if i%6 != 4 && x[i] != y[i] {
			t.Errorf("interrupt-map cell %d: %#x, QEMU has %#x", i, x[i], y[i])
		}
	}
}

// Nodes of memory are in the tree as Linux's binding has them.
func TestDeviceTreeDescribesNodes(t *testing.T) {
	const part = 16 << 20
	b := newBoard(t, Config{Memory: 3 * part, Harts: 3, Nodes: []Node{{Memory: part, Harts: []int{0, 2}}, {Memory: 2 * part, Harts: []int{1}}},
		Distance: func(from, to int) int { return 15 + from + to }})
	tree, err := fdt.Parse(b.DeviceTree().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		path string
		node uint32
		base uint64
		size uint64
	}{{"/memory@80000000", 0, 0x8000_0000, part}, {"/memory@81000000", 1, 0x8000_0000 + part, 2 * part}} {
		n := tree.Find(c.path)
		if n == nil {
			t.Fatalf("no %s", c.path)
		}
		r := cells(n, "reg")
		if id, ok := n.PropU32("numa-node-id"); !ok || id != c.node || wide(r) != c.base || wide(r[2:]) != c.size {
			t.Errorf("memory %d: node %d, %#x", i, id, r)
		}
	}
	for hart, want := range []uint32{0, 1, 0} {
		n := tree.Find(fmt.Sprintf("/cpus/cpu@%d", hart))
		if id, ok := n.PropU32("numa-node-id"); !ok || id != want {
			t.Errorf("hart %d is in node %d, want %d", hart, id, want)
		}
	}
	m := tree.Find("/distance-map")
	if c, _ := m.Prop("compatible"); string(c) != "numa-distance-map-v1\x00" {
		t.Errorf("distance map: %q", c)
	}
	if got := cells(m, "distance-matrix"); !slices.Equal(got, []uint32{0, 0, 10, 0, 1, 16, 1, 0, 16, 1, 1, 10}) {
		t.Error("distances:", got)
	}
}

func TestNodesAreChecked(t *testing.T) {
	for name, nodes := range map[string][]Node{
		"too little memory":    {{Memory: testMemory / 2, Harts: []int{0, 1}}},
		"a hart that is not":   {{Memory: testMemory, Harts: []int{0, 1, 2}}},
		"a hart in two nodes":  {{Memory: testMemory / 2, Harts: []int{0, 1}}, {Memory: testMemory / 2, Harts: []int{1}}},
		"a hart in no node":    {{Memory: testMemory, Harts: []int{1}}},
		"parts that cut pages": {{Memory: 100, Harts: []int{0, 1}}, {Memory: testMemory - 100}},
	} {
		cfg := Config{Memory: testMemory, Harts: 2, Nodes: nodes}
		for _, n := range nodes {
			cfg.Place.Parts = append(cfg.Place.Parts, memory.Part{Size: n.Memory})
		}
		if b, err := New(cfg); err == nil {
			b.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
