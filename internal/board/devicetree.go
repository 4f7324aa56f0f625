package board

// The device tree that describes the board to its guest (Devicetree Specification 0.4, and the Linux bindings of each device).

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/boot/fdt"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// extensions is what the harts implement, as riscv,isa-extensions names it; the single letters come first.
var extensions = []string{
	"i", "m", "a", "f", "d", "c", "b",
	"zicbom", "zicbop", "zicboz", "zicntr", "zicond", "zicsr", "zifencei", "zihintntl", "zihintpause", "zihpm", "zimop",
	"zacas", "zawrs", "zfa", "zfhmin", "zca", "zcb", "zcd", "zcmop", "zba", "zbb", "zbc", "zbs",
	"sstc", "svadu", "svinval", "svnapot", "svpbmt",
}

// isaString is the same in the form that kernels before 6.6 read.
func isaString() string {
	var letters, names []string
	for _, e := range extensions {
		if len(e) == 1 {
			if e != "b" { // a name for Zba+Zbb+Zbs that old parsers trip over
				letters = append(letters, e)
			}
		} else {
			names = append(names, e)
		}
	}
	return "rv64" + strings.Join(letters, "") + "_" + strings.Join(names, "_")
}

const cacheBlock = 64 // bytes, of CBO instructions and reservations

// DeviceTree describes the board, without /chosen's boot parameters.
func (b *Board) DeviceTree() *fdt.Tree {
	t := fdt.New()
	root := t.Root
	root.SetU32("#address-cells", 2)
	root.SetU32("#size-cells", 2)
	root.SetStrings("compatible", "riscv-virtio")
	root.SetStrings("model", "riscv-virtio,vm")

	chosen := root.Add("chosen")
	chosen.SetStrings("stdout-path", fmt.Sprintf("/soc/serial@%x", uint64(uartBase)))

	b.describeMemory(t)
	local := b.describeHarts(t)
	b.describeSoC(t, local)
	return t
}

// describeHarts adds /cpus and returns the phandle of each hart's local interrupt controller.
func (b *Board) describeHarts(t *fdt.Tree) (local []uint32) {
	cpus := t.Root.Add("cpus")
	cpus.SetU32("#address-cells", 1)
	cpus.SetU32("#size-cells", 0)
	cpus.SetU32("timebase-frequency", timebase.Frequency)
	for i := range b.cpus {
		cpu := cpus.Add(fmt.Sprintf("cpu@%x", i))
		cpu.SetStrings("device_type", "cpu")
		cpu.SetU32("reg", uint32(i))
		cpu.SetStrings("status", "okay")
		cpu.SetStrings("compatible", "riscv")
		cpu.SetStrings("riscv,isa", isaString())
		cpu.SetStrings("riscv,isa-base", "rv64i")
		cpu.SetStrings("riscv,isa-extensions", extensions...)
		cpu.SetStrings("mmu-type", "riscv,sv57")
		if node, ok := b.nodeOf(i); ok {
			cpu.SetU32("numa-node-id", uint32(node))
		}
		cpu.SetU32("riscv,cbom-block-size", cacheBlock)
		cpu.SetU32("riscv,cboz-block-size", cacheBlock)
		cpu.SetU32("riscv,cbop-block-size", cacheBlock)
		intc := cpu.Add("interrupt-controller")
		intc.SetU32("#interrupt-cells", 1)
		intc.SetEmpty("interrupt-controller")
		intc.SetStrings("compatible", "riscv,cpu-intc")
		local = append(local, t.Phandle(intc))
	}
	return local
}

func (b *Board) describeSoC(t *fdt.Tree, local []uint32) {
	soc := t.Root.Add("soc")
	soc.SetU32("#address-cells", 2)
	soc.SetU32("#size-cells", 2)
	soc.SetStrings("compatible", "simple-bus")
	soc.SetEmpty("ranges")
	at := func(name string, base memory.GPA, size uint64, compatible ...string) *fdt.Node {
		n := soc.Add(fmt.Sprintf("%s@%x", name, uint64(base)))
		n.SetStrings("compatible", compatible...)
		n.SetU64("reg", uint64(base), size)
		return n
	}

	finisher := at("test", sysconBase, sysconSize, "sifive,test1", "sifive,test0", "syscon")
	syscon := t.Phandle(finisher)
	for _, r := range []struct {
		name  string
		value uint32
	}{{"poweroff", 0x5555}, {"reboot", 0x7777}} {
		n := t.Root.Add(r.name)
		n.SetStrings("compatible", "syscon-"+r.name)
		n.SetU32("regmap", syscon)
		n.SetU32("offset", 0)
		n.SetU32("value", r.value)
	}

	var software, external []uint32
	for _, phandle := range local {
		software = append(software, phandle, 3, phandle, 7)
		external = append(external, phandle, 11, phandle, 9)
	}
	clint := at("clint", aclintBase, aclintSize, "sifive,clint0", "riscv,clint0")
	clint.SetU32("interrupts-extended", software...)

	plic := at("plic", plicBase, plicSize, "sifive,plic-1.0.0", "riscv,plic0")
	plic.SetU32("#interrupt-cells", 1)
	plic.SetU32("#address-cells", 0)
	plic.SetEmpty("interrupt-controller")
	plic.SetU32("interrupts-extended", external...)
	plic.SetU32("riscv,ndev", plicNDev)
	intc := t.Phandle(plic)
	interrupt := func(n *fdt.Node, irq uint32) {
		n.SetU32("interrupts", irq)
		n.SetU32("interrupt-parent", intc)
	}

	serial := at("serial", uartBase, uartSize, "ns16550a")
	serial.SetU32("clock-frequency", 3686400)
	interrupt(serial, irqUART)
	interrupt(at("rtc", rtcBase, rtcSize, "google,goldfish-rtc"), irqRTC)
	for i := range mmioSlots {
		n := at("virtio_mmio", mmioBase+memory.GPA(i*mmioStride), mmioStride, "virtio,mmio")
		interrupt(n, uint32(irqMMIO+i))
	}
	b.describePCI(at("pci", ecamBase, ecamSize, "pci-host-ecam-generic"), intc)
}

// describePCI fills the node of the host bridge (PCI Bus Binding to Open Firmware; Linux host-generic-pci binding).
func (b *Board) describePCI(n *fdt.Node, intc uint32) {
	n.SetStrings("device_type", "pci")
	n.SetU32("#address-cells", 3)
	n.SetU32("#size-cells", 2)
	n.SetU32("#interrupt-cells", 1)
	n.SetU32("linux,pci-domain", 0)
	if len(b.cfg.Nodes) > 0 {
		n.SetU32("numa-node-id", 0) // equally far from all, which the binding cannot say
	}
	n.SetU32("bus-range", 0, 0)
	n.SetEmpty("dma-coherent")
	window := func(space uint32, bus, base memory.GPA, size uint64) []uint32 {
		return []uint32{space, uint32(bus >> 32), uint32(bus), uint32(base >> 32), uint32(base), uint32(size >> 32), uint32(size)}
	}
	pci64 := pci64Base(b.RAM.End())
	const io, memory32, memory64 = 0x0100_0000, 0x0200_0000, 0x0300_0000
	n.SetU32("ranges", slices.Concat(
		window(io, 0, pciIOBase, pciIOSize),
		window(memory32, pci32Base, pci32Base, pci32Size),
		window(memory64, pci64, pci64, pci64Size))...)

	// INTx: four slots tell the whole pattern, which repeats.
	n.SetU32("interrupt-map-mask", 3<<11, 0, 0, 7)
	var routes []uint32
	for slot := range 4 {
		for pin := uint8(1); pin <= 4; pin++ {
			routes = append(routes, uint32(slot)<<11, 0, 0, uint32(pin), intc, uint32(irqPCI+pci.Wire(slot, pin)))
		}
	}
	n.SetU32("interrupt-map", routes...)
}
