package jit

// Settings by name, as people write them: "tier=baseline,code=128".

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmproject/vm/internal/engine/jit/code"
)

// setting is one of them: a number in a range, in a unit.
type setting struct {
	name, about string
	least, most int
	set         func(o *Options, n int)
}

var settings = []setting{
	{"code", "code memory in MiB", 4, code.MaxSize >> 20, func(o *Options, n int) { o.CodeSize = n << 20 }},
	{"block", "most guest instructions of a block of the first tier", 1, 200, func(o *Options, n int) { o.MaxGuest = n }},
	{"region", "most guest instructions of a region of the second tier", 8, 2000, func(o *Options, n int) { o.Region.Guest = n }},
	{"straight", "most guest instructions of a region that is a straight line", 1, 2000, func(o *Options, n int) { o.Region.Straight = n }},
	{"turns", "turns of a loop that become one in a region", 1, 16, func(o *Options, n int) { o.Region.Turns = n }},
	{"every", "looks at the world between two samples of where the guest is", 1, 1 << 20, func(o *Options, n int) { o.Region.Every = n }},
	{"warm", "samples of an address space that give it a mirror", 1, 1 << 20, func(o *Options, n int) { o.Warm = n }},
	{"threshold", "samples of a place that make it hot", 1, 1 << 15, func(o *Options, n int) { o.Region.Threshold = n }},
}

// choice is a setting that is one of some words, the first of them the default.
type choice struct {
	name   string
	values []string
	set    func(o *Options, n int) // n: which of them
}

var choices = []choice{
	{"tier", []string{TierAuto: "auto", TierBaseline: "baseline", TierOptimized: "optimized"}, func(o *Options, n int) { o.Tier = Tier(n) }},
	{"mirror", []string{MirrorAuto: "auto", MirrorOff: "off", MirrorAlways: "always"}, func(o *Options, n int) { o.Mirror = Mirroring(n) }},
	{"keep", []string{"on", "off"}, func(o *Options, n int) { o.KeepNothing = n == 1 }},
}

// Set changes the options that a list of NAME=VALUE names, with commas between. The error says what may be written.
func (o *Options) Set(list string) error {
	for _, item := range strings.Split(list, ",") {
		if err := o.setOne(strings.TrimSpace(item)); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) setOne(item string) error {
	name, value, ok := strings.Cut(item, "=")
	if !ok {
		return fmt.Errorf("%q is no setting of the translator: write NAME=VALUE, with %s", item, names())
	}
	for _, c := range choices {
		if c.name != name {
			continue
		}
		n := slices.Index(c.values, value)
		if n < 0 {
			return fmt.Errorf("%s %q is not known: use one of %s", name, value, strings.Join(c.values, ", "))
		}
		c.set(o, n)
		return nil
	}
	for _, s := range settings {
		if s.name != name {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < s.least || n > s.most {
			return fmt.Errorf("%s is %q: write a number from %d to %d (%s)", name, value, s.least, s.most, s.about)
		}
		s.set(o, n)
		return nil
	}
	return fmt.Errorf("%q is no setting of the translator: there are %s", name, names())
}

func names() string {
	var list []string
	for _, c := range choices {
		list = append(list, c.name)
	}
	for _, s := range settings {
		list = append(list, s.name)
	}
	return strings.Join(list, ", ")
}
