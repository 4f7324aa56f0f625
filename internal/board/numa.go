package board

// Nodes of the guest's memory: which harts are near which part of RAM, as its kernel learns it (Linux numa binding), and on which of the host's
// processors those harts run.

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/vmproject/vm/internal/boot/fdt"
	"github.com/vmproject/vm/internal/memory/numa"
)

// Node is a node of the guest: a part of RAM, which follows that of the node before it, and the harts near it.
type Node struct {
	Memory uint64 // bytes, a multiple of 4096
	Harts  []int
	CPUs   []int // processors of the host that its harts are kept on; none: any
}

// Distances between nodes, as firmware counts.
const (
	nearby  = 10
	faraway = 20
)

// checkNodes says what is wrong with the nodes.
func (cfg *Config) checkNodes() error {
	if len(cfg.Nodes) == 0 {
		return nil
	}
	sum := uint64(0)
	seen := make([]bool, cfg.Harts)
	for i, n := range cfg.Nodes {
		sum += n.Memory
		for _, h := range n.Harts {
			if h < 0 || h >= cfg.Harts || seen[h] {
				return fmt.Errorf("memory node %d: hart %d is not there, or in two nodes", i, h)
			}
			seen[h] = true
		}
	}
	switch {
	case sum != cfg.Memory:
		return fmt.Errorf("the memory nodes have %d bytes together, and the machine has %d", sum, cfg.Memory)
	case slices.Contains(seen, false):
		return fmt.Errorf("hart %d is in no memory node", slices.Index(seen, false))
	}
	return nil
}

// nodeOf is the node of a hart; ok is false where there are none.
func (b *Board) nodeOf(hart int) (node int, ok bool) {
	node = slices.IndexFunc(b.cfg.Nodes, func(n Node) bool { return slices.Contains(n.Harts, hart) })
	return node, node >= 0
}

// describeMemory adds a node for each part of RAM.
func (b *Board) describeMemory(t *fdt.Tree) {
	at := uint64(ramBase)
	add := func(size uint64) *fdt.Node {
		n := t.Root.Add(fmt.Sprintf("memory@%x", at))
		n.SetStrings("device_type", "memory")
		n.SetU64("reg", at, size)
		at += size
		return n
	}
	if len(b.cfg.Nodes) == 0 {
		add(b.RAM.Size())
		return
	}
	for i, n := range b.cfg.Nodes {
		add(n.Memory).SetU32("numa-node-id", uint32(i))
	}
	var matrix []uint32
	for i := range b.cfg.Nodes {
		for k := range b.cfg.Nodes {
			d := faraway
			switch {
			case i == k:
				d = nearby
			case b.cfg.Distance != nil:
				d = b.cfg.Distance(i, k)
			}
			matrix = append(matrix, uint32(i), uint32(k), uint32(d))
		}
	}
	m := t.Root.Add("distance-map")
	m.SetStrings("compatible", "numa-distance-map-v1")
	m.SetU32("distance-matrix", matrix...)
}

// pin keeps a hart's goroutine, which calls it, on the processors of its node. The thread is never anybody else's again.
func (b *Board) pin(c *cpu) {
	node, ok := b.nodeOf(int(c.ID))
	if !ok || len(b.cfg.Nodes[node].CPUs) == 0 {
		return
	}
	runtime.LockOSThread()
	if err := numa.Pin(b.cfg.Nodes[node].CPUs); err != nil {
		b.log.Warn("a hart runs on whatever processor there is", "hart", c.ID, "error", err)
	}
}
