package numa

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is how pages are put on nodes.
type Kind uint8

// The policies.
const (
	None       Kind = iota // as the process has it
	Local                  // near the processor that touches a page first
	Interleave             // on each of some nodes in turn
	Preferred              // on one node, and elsewhere when that is full
	Bind                   // on some nodes, and nowhere else
)

var kinds = []string{None: "", Local: "local", Interleave: "interleave", Preferred: "preferred", Bind: "bind"}

func (k Kind) String() string { return kinds[k] }

// Policy is where pages go.
type Policy struct {
	Kind  Kind
	Nodes []int // of the host, ascending; what of them is meant is Kind's
}

// NewPolicy makes a policy of its name and of nodes, and checks it against a host. Without a name, nodes are bound to, and without nodes there is none. Each error is
// one line that says what to do.
func NewPolicy(name string, nodes []int, host Topology) (Policy, error) {
	kind := slices.Index(kinds, name)
	if kind < 0 {
		return Policy{}, fmt.Errorf("policy %q is not known: use %s", name, strings.Join(kinds[Local:], ", "))
	}
	p := Policy{Kind: Kind(kind), Nodes: nodes}
	if p.Kind == None && len(nodes) > 0 {
		p.Kind = Bind
	}
	for _, id := range nodes {
		n := host.node(id)
		switch {
		case n == nil:
			return Policy{}, fmt.Errorf("the host has no memory node %d: it has %s", id, FormatList(host.IDs()))
		case n.Memory == 0 && len(host) > 1:
			return Policy{}, fmt.Errorf("the host's node %d has no memory: those with some are %s", id, FormatList(host.IDs()))
		}
	}
	switch {
	case p.Kind == Interleave && len(nodes) == 0:
		p.Nodes = host.IDs()
	case p.Kind == Preferred && len(nodes) != 1:
		return Policy{}, fmt.Errorf("policy preferred is of one node of the host: name it, as in host=0")
	case p.Kind == Bind && len(nodes) == 0:
		return Policy{}, fmt.Errorf("policy bind needs nodes of the host: name them, as in host=0")
	}
	return p, nil
}
