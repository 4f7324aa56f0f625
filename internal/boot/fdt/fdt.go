// Package fdt builds, reads and edits flattened device trees (Devicetree Specification 0.4, chapter 5; version 17).
//
// The board builds one to describe itself; a user may bring one instead (--dtb), which is read here, given the command
// line, the initrd and the size of memory, and written back. A user's blob is not trusted: [Parse] bounds its size, its
// depth and every offset in it.
package fdt

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Tree is a device tree. The zero value has no root; use [New] or [Parse].
type Tree struct {
	Root     *Node
	Reserved []Reservation // the memory reservation block
	BootCPU  uint32        // physical id of the boot CPU
}

// Reservation is memory that a kernel must leave alone: Size bytes at Addr.
type Reservation struct {
	Addr, Size uint64
}

// Node is one node. Properties and children keep the order in which they were added, as a blob does.
type Node struct {
	Name     string // with its unit address: "memory@80000000"; empty for the root
	Props    []Property
	Children []*Node
}

// Property is a name and its bytes. Numbers in them are big-endian.
type Property struct {
	Name  string
	Value []byte
}

// New returns a tree with an empty root.
func New() *Tree { return &Tree{Root: &Node{}} }

// Add appends a new child and returns it.
func (n *Node) Add(name string) *Node {
	c := &Node{Name: name}
	n.Children = append(n.Children, c)
	return c
}

// Child returns the child of that name, or nil. A name without unit address also finds the first child that has one.
func (n *Node) Child(name string) *Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	for _, c := range n.Children {
		if base, _, ok := strings.Cut(c.Name, "@"); ok && base == name {
			return c
		}
	}
	return nil
}

// Ensure returns the child of that name, added if there is none.
func (n *Node) Ensure(name string) *Node {
	if c := n.Child(name); c != nil {
		return c
	}
	return n.Add(name)
}

// Find returns the node at a path such as "/soc/serial@10000000", or nil.
func (t *Tree) Find(path string) *Node {
	n := t.Root
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && n != nil {
			n = n.Child(name)
		}
	}
	return n
}

// Prop returns the value of a property and whether it is there.
func (n *Node) Prop(name string) ([]byte, bool) {
	for i := range n.Props {
		if n.Props[i].Name == name {
			return n.Props[i].Value, true
		}
	}
	return nil, false
}

// PropU32 returns a property of one cell; ok is false when there is none of that size.
func (n *Node) PropU32(name string) (v uint32, ok bool) {
	b, _ := n.Prop(name)
	if len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// SetBytes sets a property to a copy of value, replacing an earlier one in its place.
func (n *Node) SetBytes(name string, value []byte) {
	value = slices.Clone(value)
	for i := range n.Props {
		if n.Props[i].Name == name {
			n.Props[i].Value = value
			return
		}
	}
	n.Props = append(n.Props, Property{name, value})
}

// SetEmpty sets a property that says what it says by being there.
func (n *Node) SetEmpty(name string) { n.SetBytes(name, nil) }

// SetStrings sets a property to a list of strings, each ending in NUL.
func (n *Node) SetStrings(name string, values ...string) {
	var b []byte
	for _, v := range values {
		b = append(append(b, v...), 0)
	}
	n.SetBytes(name, b)
}

// SetU32 sets a property to 32-bit cells.
func (n *Node) SetU32(name string, values ...uint32) {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	n.SetBytes(name, b)
}

// SetU64 sets a property to pairs of cells, the high one first: addresses and sizes under #address-cells = 2.
func (n *Node) SetU64(name string, values ...uint64) {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	n.SetBytes(name, b)
}

// Remove deletes a property, if it is there.
func (n *Node) Remove(name string) {
	n.Props = slices.DeleteFunc(n.Props, func(p Property) bool { return p.Name == name })
}

// Phandle returns the number by which other nodes refer to n, which is given the next free one if it has none.
func (t *Tree) Phandle(n *Node) uint32 {
	if v, ok := n.PropU32("phandle"); ok {
		return v
	}
	var last uint32
	t.Root.walk(func(n *Node) {
		if v, ok := n.PropU32("phandle"); ok && v != ^uint32(0) { // all ones is not a valid phandle
			last = max(last, v)
		}
	})
	n.SetU32("phandle", last+1)
	return last + 1
}

// walk calls f for n and everything below it.
func (n *Node) walk(f func(*Node)) {
	f(n)
	for _, c := range n.Children {
		c.walk(f)
	}
}

// Chosen is what a boot loader tells a kernel, in the node /chosen. Zero fields leave what is there alone.
type Chosen struct {
	Bootargs     string
	KeepBootargs bool   // Bootargs go behind those already there instead of replacing them
	InitrdStart  uint64 // guest physical; the initrd is [InitrdStart, InitrdEnd)
	InitrdEnd    uint64
	RNGSeed      []byte // entropy for the kernel's random numbers
	StdoutPath   string // "/soc/serial@10000000" or an alias; may end in options, ":115200"
	KernelStart  uint64 // what U-Boot starts by itself (riscv,kernel-start)
	KernelEnd    uint64
}

// SetChosen writes c into /chosen.
func (t *Tree) SetChosen(c Chosen) {
	n := t.Root.Ensure("chosen")
	if c.Bootargs != "" {
		args := c.Bootargs
		if old, _ := n.Prop("bootargs"); c.KeepBootargs && len(old) > 1 {
			args = strings.TrimRight(string(old), "\x00") + " " + args
		}
		n.SetStrings("bootargs", args)
	}
	if c.InitrdEnd > c.InitrdStart {
		n.SetU64("linux,initrd-start", c.InitrdStart)
		n.SetU64("linux,initrd-end", c.InitrdEnd)
	}
	if len(c.RNGSeed) > 0 {
		n.SetBytes("rng-seed", c.RNGSeed)
	}
	if c.StdoutPath != "" {
		n.SetStrings("stdout-path", c.StdoutPath)
	}
	if c.KernelEnd > c.KernelStart {
		n.SetU64("riscv,kernel-start", c.KernelStart)
		n.SetU64("riscv,kernel-end", c.KernelEnd)
	}
}

// SetMemory makes the tree's memory one range: the nodes with device_type "memory" are replaced by one, which takes the
// place of the first. An address or a size that the root's cell counts cannot hold is an error.
func (t *Tree) SetMemory(base, size uint64) error {
	var reg []byte
	for _, f := range []struct {
		cells string
		def   uint32
		v     uint64
	}{{"#address-cells", 2, base}, {"#size-cells", 1, size}} {
		cells, ok := t.Root.PropU32(f.cells)
		if !ok {
			cells = f.def
		}
		switch {
		case cells == 1 && f.v <= 0xffff_ffff:
			reg = binary.BigEndian.AppendUint32(reg, uint32(f.v))
		case cells == 2:
			reg = binary.BigEndian.AppendUint64(reg, f.v)
		default:
			return fmt.Errorf("device tree: memory of %#x bytes at %#x cannot be written in a root with %s = %d", size, base, f.cells, cells)
		}
	}
	isMemory := func(n *Node) bool {
		v, _ := n.Prop("device_type")
		return string(v) == "memory\x00"
	}
	at := slices.IndexFunc(t.Root.Children, isMemory)
	t.Root.Children = slices.DeleteFunc(t.Root.Children, isMemory)
	if at < 0 {
		at = len(t.Root.Children)
	}
	n := &Node{Name: fmt.Sprintf("memory@%x", base)}
	n.SetStrings("device_type", "memory")
	n.SetBytes("reg", reg)
	t.Root.Children = slices.Insert(t.Root.Children, at, n)
	return nil
}
