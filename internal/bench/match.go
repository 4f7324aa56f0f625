package bench

// Which benchmarks, or baselines, a user means.

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Select returns the benchmarks that patterns name, in their order: a name, a group ("memory"), or a name with * and ?, of which * stands for
// slashes too. No pattern means all. A pattern that names none is an error, which says what is near.
func Select(all []Benchmark, patterns []string) ([]Benchmark, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.Name
	}
	wanted := map[string]bool{}
	for _, p := range patterns {
		found := false
		for _, name := range names {
			ok, err := matches(p, name)
			if err != nil {
				return nil, fmt.Errorf("pattern %q: %w", p, err)
			}
			if ok {
				wanted[name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no benchmark is named %q%s: vm bench list shows all", p, Near(p, withGroups(names)))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(b Benchmark) bool { return !wanted[b.Name] }), nil
}

// withGroups is names, and the groups that they are in.
func withGroups(names []string) []string {
	var all []string
	for _, name := range names {
		for i, c := range name {
			if c == '/' && !slices.Contains(all, name[:i]) {
				all = append(all, name[:i])
			}
		}
	}
	return append(all, names...)
}

func matches(pattern, name string) (bool, error) {
	if name == pattern || strings.HasPrefix(name, strings.TrimSuffix(pattern, "/")+"/") {
		return true, nil
	}
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") } // so that * goes over them
	return path.Match(flat(pattern), flat(name))
}

// Near is what to say of names like one that does not exist: " (near it: A, B)", or nothing.
func Near(name string, names []string) string {
	type distant struct {
		name     string
		distance int
	}
	var list []distant
	for _, n := range names {
		d := distance(name, n)
		if strings.Contains(n, strings.Trim(name, "*/")) {
			d = 0
		}
		if d <= max(2, len(name)/3) {
			list = append(list, distant{n, d})
		}
	}
	slices.SortStableFunc(list, func(a, b distant) int { return cmp.Compare(a.distance, b.distance) })
	if len(list) == 0 {
		return ""
	}
	near := make([]string, 0, 3)
	for _, d := range list[:min(3, len(list))] {
		near = append(near, d.name)
	}
	return " (near it: " + strings.Join(near, ", ") + ")"
}

// distance is how many characters have to be inserted, deleted, or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
