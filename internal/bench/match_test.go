package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	var all []Benchmark
	for _, name := range []string{"engine/integer/auto", "engine/integer/interp", "engine/float/auto", "memory/load/8", "memory/load/8/unaligned"} {
		all = append(all, Benchmark{Name: name})
	}
	for _, c := range []struct {
		patterns string
		want     string
		err      string
	}{
		{"", "0 1 2 3 4", ""},
		{"engine/*", "0 1 2", ""},
		{"engine", "0 1 2", ""},
		{"memory/load/8", "3 4", ""},
		{"*/auto", "0 2", ""},
		{"memory engine/float", "2 3 4", ""},
		{"memroy/load/8", "", "near it: memory/load/8"},
		{"engin/float", "", "near it: engine/float"},
		{"nothing", "", "vm bench list"},
		{"[", "", "syntax error"},
	} {
		got, err := Select(all, strings.Fields(c.patterns))
		var indices []string
		for _, b := range got {
			indices = append(indices, string(rune('0'+slices.IndexFunc(all, func(o Benchmark) bool { return o.Name == b.Name }))))
		}
		if s := strings.Join(indices, " "); s != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %q, %v; want %q, %q", c.patterns, s, err, c.want, c.err)
		}
	}
}
