// Package numa is where on the host guest memory lies and harts run: the nodes the host has, and the policies by which pages are put on them.
//
//	numa.go      nodes, as Linux describes them
//	policy.go    policies, in words
//	place_*.go   what the host is asked for: a policy for memory, processors for a thread
//
// Nothing here knows of a guest.
package numa

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Node is a node of the host.
type Node struct {
	ID       int
	CPUs     []int  // processors near it; none for a node that is only memory
	Memory   uint64 // bytes; 0 for a node that has none
	Distance []int  // to each node of the topology, in its order: 10 is itself
}

// Topology is the nodes of a host, by ascending ID. There is one at least.
type Topology []Node

// maxID bounds what a list may name: Linux has at most 1024 nodes and 8192 processors.
const maxID = 8191

// Host is the topology of this host. Where it describes none, it is one node without processors that are known.
func Host() (Topology, error) {
	t, err := Read(os.DirFS("/sys/devices/system/node"))
	if errors.Is(err, fs.ErrNotExist) {
		return Topology{{Distance: []int{10}}}, nil
	}
	return t, err
}

// Read reads a topology as Linux has it in /sys/devices/system/node. The error is fs.ErrNotExist where there is none.
func Read(sys fs.FS) (Topology, error) {
	text, err := fs.ReadFile(sys, "online")
	if err != nil {
		return nil, fmt.Errorf("the host's memory nodes: %w", err)
	}
	ids, err := ParseList(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("the host's memory nodes: %w", err)
	}
	var t Topology
	for _, id := range ids {
		n, err := readNode(sys, id, len(ids))
		if err != nil {
			return nil, fmt.Errorf("memory node %d of the host: %w", id, err)
		}
		t = append(t, n)
	}
	return t, nil
}

func readNode(sys fs.FS, id, nodes int) (n Node, err error) {
	dir := "node" + strconv.Itoa(id)
	n.ID = id
	text, err := fs.ReadFile(sys, dir+"/cpulist")
	if err != nil {
		return n, err
	}
	if list := strings.TrimSpace(string(text)); list != "" {
		if n.CPUs, err = ParseList(list); err != nil {
			return n, err
		}
	}
	if text, err = fs.ReadFile(sys, dir+"/meminfo"); err != nil {
		return n, err
	}
	for line := range strings.Lines(string(text)) {
		// Node 0 MemTotal:       24683520 kB
		if f := strings.Fields(line); len(f) == 5 && f[2] == "MemTotal:" {
			kib, err := strconv.ParseUint(f[3], 10, 50)
			if err != nil {
				return n, fmt.Errorf("meminfo: %w", err)
			}
			n.Memory = kib << 10
		}
	}
	if text, err = fs.ReadFile(sys, dir+"/distance"); err != nil {
		return n, err
	}
	for _, word := range strings.Fields(string(text)) {
		d, err := strconv.ParseUint(word, 10, 8)
		if err != nil {
			return n, fmt.Errorf("distance: %w", err)
		}
		n.Distance = append(n.Distance, int(d))
	}
	if len(n.Distance) != nodes {
		return n, fmt.Errorf("%d distances to %d nodes", len(n.Distance), nodes)
	}
	return n, nil
}

// ParseList reads a list as Linux writes them: 0-3,8. It is ascending, and names nothing twice.
func ParseList(s string) (list []int, err error) {
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA != nil || errB != nil || a < 0 || b < a || b > maxID {
			return nil, fmt.Errorf("%q is no list of numbers: write it as in 0-3,8", s)
		}
		for i := a; i <= b; i++ {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// FormatList writes what ParseList reads.
func FormatList(list []int) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		k := i
		for k+1 < len(list) && list[k+1] == list[k]+1 {
			k++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(list[i]))
		if k > i {
			b.WriteString("-" + strconv.Itoa(list[k]))
		}
		i = k + 1
	}
	return b.String()
}

// node is the one with an ID, or nil.
func (t Topology) node(id int) *Node {
	for i := range t {
		if t[i].ID == id {
			return &t[i]
		}
	}
	return nil
}

// IDs are those of all nodes with memory.
func (t Topology) IDs() (ids []int) {
	for _, n := range t {
		if n.Memory > 0 || len(t) == 1 {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// CPUs are the processors near some nodes.
func (t Topology) CPUs(nodes []int) (cpus []int) {
	for _, id := range nodes {
		if n := t.node(id); n != nil {
			cpus = append(cpus, n.CPUs...)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus)
}

// Between is how far the nodes of a are from those of b at the nearest: 10 for the same one, as firmware counts. It is 0 if either is empty or not there.
func (t Topology) Between(a, b []int) (distance int) {
	for _, from := range a {
		n := t.node(from)
		for i := range t {
			if n != nil && slices.Contains(b, t[i].ID) && (distance == 0 || n.Distance[i] < distance) {
				distance = n.Distance[i]
			}
		}
	}
	return distance
}
