package main

// The table.

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// median is the middle one, or the mean of the middle two; NaN of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// spread is how far values are from each other, as a fraction of their median.
func spread(values []float64) float64 {
	if len(values) < 2 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / median(values)
}

// geometric is the geometric mean; NaN of nothing.
func geometric(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// report prints medians, ratios and floors of all groups, and what went wrong below.
func report(w io.Writer, groups []group, vm, qemu *machine) {
	fmt.Fprintf(w, "%-18s%9s%8s%10s%8s%9s%8s\n", "", "vm s", "spread", "qemu s", "spread", "ratio", "floor")
	met, total := 0, 0
	for _, g := range groups {
		var ratios []float64
		for _, b := range g.benchmarks {
			if r := ratio(b, vm, qemu); !math.IsNaN(r) {
				ratios = append(ratios, r)
			}
		}
		fmt.Fprintf(w, "%-53s%9s%8.1f\n", g.title, number(geometric(ratios), 2), g.floor)
		for _, b := range g.benchmarks {
			total++
			r, mark := ratio(b, vm, qemu), "no figure"
			switch {
			case r >= g.floor:
				mark = "ok"
				met++
			case r < g.floor:
				mark = "below"
			}
			fmt.Fprintf(w, "  %-16s%9s%8s%10s%8s%9s%8s  %s\n", b.name, vm.seconds(b), percent(vm.times[b.name]),
				qemu.seconds(b), percent(qemu.times[b.name]), number(r, 2), "", mark)
		}
	}
	fmt.Fprintf(w, "\n%d of %d at their floor; largest process: vm %d MiB, qemu %d MiB\n", met, total, vm.resident>>20, qemu.resident>>20)
	for _, p := range []*machine{vm, qemu} {
		for _, b := range benchmarks(groups) {
			if err := p.failed[b.name]; err != nil {
				fmt.Fprintf(w, "%s, %s: %v\n", p.name, b.name, err)
			}
		}
	}
}

// ratio is how many times faster vm is; NaN when one of the two has no figure.
func ratio(b *benchmark, vm, qemu *machine) float64 {
	if vm.failed[b.name] != nil || qemu.failed[b.name] != nil {
		return math.NaN()
	}
	return median(qemu.times[b.name]) / median(vm.times[b.name])
}

// seconds is a cell of the table.
func (p *machine) seconds(b *benchmark) string {
	if p.failed[b.name] != nil {
		return "failed"
	}
	return number(median(p.times[b.name]), 3)
}

// number prints v, and nothing for NaN.
func number(v float64, digits int) string {
	if math.IsNaN(v) {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// percent prints how far values are apart.
func percent(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return number(100*spread(values), 0) + "%"
}
