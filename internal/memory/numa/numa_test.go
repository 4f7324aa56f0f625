package numa

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// twoAndMemory is a host of two nodes and one that is only memory, as /sys describes it.
func twoAndMemory() fstest.MapFS {
	return fstest.MapFS{
		"online":         file("0-1,4\n"),
		"node0/cpulist":  file("0-3,8-11\n"),
		"node0/meminfo":  file("Node 0 MemTotal:       16384 kB\nNode 0 MemFree:        100 kB\n"),
		"node0/distance": file("10 21 17\n"),
		"node1/cpulist":  file("4-7\n"),
		"node1/meminfo":  file("Node 1 MemTotal:       0 kB\n"),
		"node1/distance": file("21 10 28\n"),
		"node4/cpulist":  file("\n"),
		"node4/meminfo":  file("Node 4 MemTotal:       32768 kB\n"),
		"node4/distance": file("17 28 10\n"),
	}
}

func TestRead(t *testing.T) {
	got, err := Read(twoAndMemory())
	if err != nil {
		t.Fatal(err)
	}
	want := Topology{
		{0, []int{0, 1, 2, 3, 8, 9, 10, 11}, 16 << 20, []int{10, 21, 17}},
		{1, []int{4, 5, 6, 7}, 0, []int{21, 10, 28}},
		{4, nil, 32 << 20, []int{17, 28, 10}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if ids := got.IDs(); !slices.Equal(ids, []int{0, 4}) {
		t.Error("nodes with memory:", ids)
	}
	if cpus := got.CPUs([]int{4, 1, 9}); !slices.Equal(cpus, []int{4, 5, 6, 7}) {
		t.Error("processors:", cpus)
	}
	for _, c := range []struct {
		a, b []int
		want int
	}{{[]int{0}, []int{4}, 17}, {[]int{0, 1}, []int{1}, 10}, {[]int{1}, []int{0, 4}, 21}, {nil, []int{0}, 0}, {[]int{7}, []int{0}, 0}} {
		if d := got.Between(c.a, c.b); d != c.want {
			t.Errorf("%v to %v: %d, want %d", c.a, c.b, d, c.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string]func(fstest.MapFS){
		"a node without a folder":   func(m fstest.MapFS) { m["online"] = file("0-2") },
		"a list that is none":       func(m fstest.MapFS) { m["online"] = file("all") },
		"a list without end":        func(m fstest.MapFS) { m["online"] = file("0-99999999999") },
		"processors that are none":  func(m fstest.MapFS) { m["node1/cpulist"] = file("4-") },
		"too few distances":         func(m fstest.MapFS) { m["node0/distance"] = file("10") },
		"distances that are none":   func(m fstest.MapFS) { m["node0/distance"] = file("10 x 20") },
		"an absurd amount":          func(m fstest.MapFS) { m["node0/meminfo"] = file("Node 0 MemTotal: 99999999999999999999 kB") },
		"no distances":              func(m fstest.MapFS) { delete(m, "node4/distance") },
		"no word on its processors": func(m fstest.MapFS) { delete(m, "node4/cpulist") },
	} {
		m := twoAndMemory()
		change(m)
		if got, err := Read(m); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := Read(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a host without nodes:", err)
	}
}

func TestHost(t *testing.T) {
	host, err := Host()
	if err != nil || len(host) == 0 || len(host.IDs()) == 0 {
		t.Errorf("%+v, %v", host, err)
	}
}

func TestLists(t *testing.T) {
	for text, want := range map[string][]int{
		"0": {0}, "0-3,8": {0, 1, 2, 3, 8}, "5,1,2": {1, 2, 5}, "1,1-2": {1, 2}, "8191": {8191},
		"": nil, "-1": nil, "1-": nil, "2-1": nil, "a": nil, "1,,2": nil, "8192": nil, "1 ": nil, "0x1": nil,
	} {
		got, err := ParseList(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if again, err := ParseList(FormatList(want)); want != nil && (err != nil || !slices.Equal(again, want)) {
			t.Errorf("%v is written as %q", want, FormatList(want))
		}
	}
}

func TestNewPolicy(t *testing.T) {
	host, err := Read(twoAndMemory())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		nodes []int
		want  Policy
		wrong string // in the error
	}{
		{"", nil, Policy{}, ""},
		{"", []int{0}, Policy{Bind, []int{0}}, ""},
		{"local", nil, Policy{Local, nil}, ""},
		{"interleave", nil, Policy{Interleave, []int{0, 4}}, ""},
		{"interleave", []int{0, 4}, Policy{Interleave, []int{0, 4}}, ""},
		{"preferred", []int{4}, Policy{Preferred, []int{4}}, ""},
		{"bind", []int{0, 4}, Policy{Bind, []int{0, 4}}, ""},
		{"nearby", nil, Policy{}, "local, interleave, preferred, bind"},
		{"preferred", nil, Policy{}, "host=0"},
		{"preferred", []int{0, 4}, Policy{}, "one node"},
		{"bind", nil, Policy{}, "host=0"},
		{"bind", []int{2}, Policy{}, "no memory node 2: it has 0,4"},
		{"bind", []int{1}, Policy{}, "has no memory"},
	} {
		p, err := NewPolicy(c.name, c.nodes, host)
		if c.wrong == "" && (err != nil || !reflect.DeepEqual(p, c.want)) {
			t.Errorf("%q of %v: %+v, %v", c.name, c.nodes, p, err)
		}
		if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%q of %v: %v", c.name, c.nodes, err)
		}
	}
}
