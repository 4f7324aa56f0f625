package vm

// Where on the host a machine's memory lies, and what of that its guest knows.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/numa"
)

// NUMANode is a node of the guest's memory, and where on the host it is.
type NUMANode struct {
	// CPUs are the harts near it, from 0. Every hart is in one node; nil is all of them where there is one node only.
	CPUs []int
	// Memory is its size in bytes, a multiple of 4096; those of all nodes add up to Config.Memory. 0 is all of it where there is one node only.
	Memory uint64
	// Policy puts it on nodes of the host: "local", near who touches a page first; "interleave", on each of HostNodes in turn; "preferred", on one
	// of them as long as there is room; "bind", on them and nowhere else. Default: "bind" if there are HostNodes, and as the process has it if not.
	Policy string
	// HostNodes are nodes of the host. The harts of the node run on their processors, if the host has others.
	HostNodes []int
}

// maxNodes is what a guest may have: more than it has harts is of no use.
const maxNodes = board.MaxHarts

// completeNUMA fills in what a single node need not say, and checks what needs no host.
func (cfg *Config) completeNUMA() error {
	nodes := slices.Clone(cfg.NUMA)
	cfg.NUMA = nodes
	if len(nodes) == 0 {
		return nil
	}
	if len(nodes) > maxNodes {
		return fmt.Errorf("%d NUMA nodes: a machine has %d at most", len(nodes), maxNodes)
	}
	if len(nodes) == 1 {
		nodes[0].Memory = cmp.Or(nodes[0].Memory, cfg.Memory)
		if nodes[0].CPUs == nil {
			for i := range cfg.CPUs {
				nodes[0].CPUs = append(nodes[0].CPUs, i)
			}
		}
	}
	var sum uint64
	of := map[int]int{}
	for i, n := range nodes {
		if n.Memory == 0 || n.Memory%memory.PageSize != 0 || n.Memory > cfg.Memory {
			return fmt.Errorf("NUMA node %d has %d bytes of memory: each has some, in multiples of %d, and all of them the machine's %d MiB", i, n.Memory, memory.PageSize, cfg.Memory>>20)
		}
		sum += n.Memory
		for _, h := range n.CPUs {
			if other, ok := of[h]; ok {
				return fmt.Errorf("hart %d is in NUMA nodes %d and %d: put it into one", h, other, i)
			}
			if h < 0 || h >= cfg.CPUs {
				return fmt.Errorf("NUMA node %d has hart %d: the machine has %d, from 0; give it more with --cpus", i, h, cfg.CPUs)
			}
			of[h] = i
		}
	}
	if sum != cfg.Memory {
		return fmt.Errorf("the NUMA nodes have %d MiB of memory together, and the machine has %d: make them the same", sum>>20, cfg.Memory>>20)
	}
	for h := range cfg.CPUs {
		if _, ok := of[h]; !ok {
			return fmt.Errorf("hart %d is in no NUMA node: put it into one with cpus=%d", h, h)
		}
	}
	return nil
}

// place says where memory and harts go on a host.
func (cfg *Config) place(bc *board.Config, host numa.Topology) error {
	bc.Place.HugePage = cfg.HugePages
	var on [][]int // of each node, the host's
	for i, n := range cfg.NUMA {
		on = append(on, slices.Compact(slices.Sorted(slices.Values(n.HostNodes))))
		policy, err := numa.NewPolicy(n.Policy, on[i], host)
		if err != nil {
			return fmt.Errorf("NUMA node %d: %w", i, err)
		}
		node := board.Node{Memory: n.Memory, Harts: n.CPUs}
		if len(host) > 1 {
			node.CPUs = host.CPUs(on[i])
		}
		bc.Nodes = append(bc.Nodes, node)
		bc.Place.Parts = append(bc.Place.Parts, memory.Part{Size: n.Memory, Policy: policy})
		// The host counts the pages of its pool, but not those of each node: the guest would find out by touching one.
		cfg.Prefault = cfg.Prefault || cfg.HugePages != 0 && policy.Kind == numa.Bind
	}
	// As far as the host's nodes are, if every node of the guest is on others.
	all := slices.Sorted(slices.Values(slices.Concat(on...)))
	apart := len(slices.Compact(slices.Clone(all))) == len(all)
	if apart && !slices.ContainsFunc(on, func(nodes []int) bool { return len(nodes) == 0 }) {
		bc.Distance = func(from, to int) int { return host.Between(on[from], on[to]) }
	}
	return nil
}

// prefault has the host commit the guest's memory, if that was asked for.
func (m *Machine) prefault(ctx context.Context) error {
	if !m.cfg.Prefault {
		return nil
	}
	err := m.board.RAM.Prefault(ctx, func(done uint64) {
		if m.cfg.Progress != nil {
			m.cfg.Progress(done, m.cfg.Memory)
		}
	})
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}
