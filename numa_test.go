package vm

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/memory/numa"
)

func TestNUMANodesAreChecked(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		cpus  int
		nodes []NUMANode
		want  string // in the error; empty: none
	}{
		{"one node has everything", 2, []NUMANode{{}}, ""},
		{"two nodes", 2, []NUMANode{{CPUs: []int{0}, Memory: 256 * mib}, {CPUs: []int{1}, Memory: 256 * mib}}, ""},
		{"a node of memory only", 2, []NUMANode{{CPUs: []int{1, 0}, Memory: 256 * mib}, {Memory: 256 * mib}}, ""},
		{"too little memory", 1, []NUMANode{{Memory: 256 * mib}}, "together"},
		{"too much memory", 2, []NUMANode{{CPUs: []int{0}, Memory: 512 * mib}, {CPUs: []int{1}, Memory: 512 * mib}}, "together"},
		{"a node larger than the machine", 1, []NUMANode{{Memory: 1 << 63}, {CPUs: []int{0}, Memory: 1 << 63}}, "NUMA node 0"},
		{"half a page", 1, []NUMANode{{CPUs: []int{0}, Memory: 512*mib - 100}, {Memory: 100}}, "multiples of 4096"},
		{"a node without memory", 1, []NUMANode{{CPUs: []int{0}, Memory: 512 * mib}, {}}, "NUMA node 1"},
		{"a hart too many", 1, []NUMANode{{CPUs: []int{0, 1}}}, "hart 1"},
		{"a hart below 0", 1, []NUMANode{{CPUs: []int{-1}}}, "hart -1"},
		{"a hart twice", 1, []NUMANode{{CPUs: []int{0}, Memory: 256 * mib}, {CPUs: []int{0}, Memory: 256 * mib}}, "nodes 0 and 1"},
		{"a hart nowhere", 2, []NUMANode{{CPUs: []int{0}}}, "hart 1 is in no"},
		{"more nodes than harts", 1, make([]NUMANode, 9), "8 at most"},
	} {
		cfg := Config{CPUs: c.cpus, NUMA: c.nodes}
		before := slices.Clone(c.nodes)
		err := cfg.complete()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(before) > 0 && before[0].Memory != c.nodes[0].Memory {
			t.Errorf("%s: the caller's nodes have changed", c.name)
		}
	}
}

// A guest of two nodes on a host of three: memory, harts and distances go where they belong.
func TestPlaceOnHost(t *testing.T) {
	host := numa.Topology{
		{ID: 0, CPUs: []int{0, 1}, Memory: 1 << 40, Distance: []int{10, 12, 30}},
		{ID: 1, CPUs: []int{2, 3}, Memory: 1 << 40, Distance: []int{12, 10, 30}},
		{ID: 5, CPUs: []int{4}, Memory: 1 << 40, Distance: []int{30, 30, 10}},
	}
	cfg := Config{Memory: 1 << 30, CPUs: 3, HugePages: 2 << 20, NUMA: []NUMANode{
		{CPUs: []int{0, 1}, Memory: 1 << 28, HostNodes: []int{1, 0, 1}, Policy: "interleave"},
		{CPUs: []int{2}, Memory: 3 << 28, HostNodes: []int{5}},
	}}
	var bc board.Config
	if err := cfg.place(&bc, host); err != nil {
		t.Fatal(err)
	}
	parts := bc.Place.Parts
	if len(parts) != 2 || parts[0].Size != 1<<28 || parts[0].Policy.Kind != numa.Interleave || !slices.Equal(parts[0].Policy.Nodes, []int{0, 1}) ||
		parts[1].Size != 3<<28 || parts[1].Policy.Kind != numa.Bind || !slices.Equal(parts[1].Policy.Nodes, []int{5}) || bc.Place.HugePage != 2<<20 {
		t.Errorf("memory: %+v", bc.Place)
	}
	if !slices.Equal(bc.Nodes[0].CPUs, []int{0, 1, 2, 3}) || !slices.Equal(bc.Nodes[1].CPUs, []int{4}) {
		t.Errorf("processors: %+v", bc.Nodes)
	}
	if bc.Distance == nil || bc.Distance(0, 1) != 30 {
		t.Error("the nodes are not as far apart as the host's")
	}
	if !cfg.Prefault {
		t.Error("huge pages that are bound to a node may not be there when the guest touches them")
	}
	// Where both are on one node of the host, it says nothing of how far they are apart.
	cfg.NUMA[1].HostNodes = []int{0}
	bc = board.Config{}
	if err := cfg.place(&bc, host); err != nil || bc.Distance != nil {
		t.Error("nodes on one of the host's have its distance:", err)
	}
	// One node of the host: nobody needs to be kept on its processors.
	bc = board.Config{}
	cfg.NUMA[0].HostNodes = []int{0}
	if err := cfg.place(&bc, host[:1]); err != nil || bc.Nodes[0].CPUs != nil {
		t.Errorf("%+v, %v", bc.Nodes, err)
	}
}
