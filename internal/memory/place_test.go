package memory

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/memory/numa"
)

func TestPlacementIsChecked(t *testing.T) {
	const size = 8 << 20
	for name, c := range map[string]struct {
		p    Placement
		want string
	}{
		"pages of an odd size":      {Placement{HugePage: 3 << 20}, "2M and of 1G"},
		"half a huge page":          {Placement{HugePage: huge1G}, "multiple"},
		"parts that are too short":  {Placement{Parts: []Part{{Size: size / 2}}}, "together"},
		"parts that are too long":   {Placement{Parts: []Part{{Size: size}, {Size: PageSize}}}, "add up"},
		"an empty part":             {Placement{Parts: []Part{{Size: size}, {}}}, "add up"},
		"parts that wrap around":    {Placement{Parts: []Part{{Size: size / 2}, {Size: 1<<64 - size/2}}}, "add up"},
		"parts that cut a page":     {Placement{Parts: []Part{{Size: 100}, {Size: size - 100}}}, "multiples"},
		"parts that cut a big page": {Placement{HugePage: huge2M, Parts: []Part{{Size: huge1M}, {Size: size - huge1M}}}, "multiples"},
	} {
		r, err := NewPlacedRAM(testBase, size, c.p)
		if err == nil {
			r.Close()
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const huge1M = 1 << 20

// Every policy on the nodes that there are; the memory works.
func TestPolicies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("policies are Linux's")
	}
	host, err := numa.Host()
	if err != nil {
		t.Fatal(err)
	}
	ids := host.IDs()
	for name, nodes := range map[string][]int{"": nil, "local": nil, "interleave": ids, "preferred": ids[:1], "bind": ids} {
		p, err := numa.NewPolicy(name, nodes, host)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewPlacedRAM(testBase, 4<<20, Placement{Parts: []Part{{1 << 20, p}, {3 << 20, numa.Policy{}}}})
		if err != nil {
			if strings.Contains(err.Error(), "lets nobody say") {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		if err := r.Store64(testBase+1<<20-4, 5); err != nil {
			t.Error(err)
		}
		r.Close()
	}
	if _, err := NewPlacedRAM(testBase, 4<<20, Placement{Parts: []Part{{4 << 20, numa.Policy{Kind: numa.Bind, Nodes: []int{1000}}}}}); err == nil {
		t.Error("a node that no host has was bound to")
	}
}

func TestPrefault(t *testing.T) {
	const size = 40<<20 + PageSize
	r := newTestRAM(t, size)
	last := uint64(0)
	if err := r.Prefault(t.Context(), func(done uint64) {
		if done < last {
			t.Errorf("%d bytes after %d", done, last)
		}
		last = done
	}); err != nil {
		t.Fatal(err)
	}
	if last != size {
		t.Errorf("the last progress is %d bytes of %d", last, uint64(size))
	}
	if n := resident(t, r); n < size {
		t.Errorf("%d bytes of %d are there", n, uint64(size))
	}
	for a := r.Base(); a < r.End(); a += PageSize {
		if v, _ := r.Load64(a); v != 0 {
			t.Fatalf("%#x at %#x", v, uint64(a))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Prefault(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error("it went on after it was stopped:", err)
	}
}

// Huge pages of the pool, where there are some; else the error says what to do.
func TestHugePages(t *testing.T) {
	r, err := NewPlacedRAM(testBase, 4<<20, Placement{HugePage: huge2M})
	if err != nil {
		if !strings.Contains(err.Error(), "hugepages") && runtime.GOOS == "linux" {
			t.Error(err)
		}
		if text, _ := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"); len(text) > 0 && strings.TrimSpace(string(text)) > "1" {
			t.Errorf("there are %s pages: %v", text, err)
		}
		return
	}
	defer r.Close()
	if err := r.Prefault(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := r.Store64(r.End()-8, 1); err != nil {
		t.Error(err)
	}
	if _, ok := r.File(); ok {
		t.Error("pages of 4 KiB can be mapped of it")
	}
}
