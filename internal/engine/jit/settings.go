package jit

// Settings by name, as people write them: "tier=baseline,code=128".

import (
	"fmt"
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
	{"every", "looks at the world between two samples of where the guest is", 1, 1 << 20, func(o *Options, n int) { o.Region.Every = n }},
	{"warm", "samples of an address space that give it a mirror", 1, 1 << 20, func(o *Options, n int) { o.Warm = n }},
	{"threshold", "samples of a place that make it hot", 1, 1 << 15, func(o *Options, n int) { o.Region.Threshold = n }},
}

// tiers are the values of the setting "tier".
var tiers = map[string]Tier{"auto": TierAuto, "baseline": TierBaseline, "optimized": TierOptimized}

// mirrorings are the values of the setting "mirror".
var mirrorings = map[string]Mirroring{"auto": MirrorAuto, "off": MirrorOff, "always": MirrorAlways}

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
	if name == "tier" {
		t, ok := tiers[value]
		if !ok {
			return fmt.Errorf("tier %q is not known: use auto, baseline or optimized", value)
		}
		o.Tier = t
		return nil
	}
	if name == "mirror" {
		m, ok := mirrorings[value]
		if !ok {
			return fmt.Errorf("mirror %q is not known: use auto, off or always", value)
		}
		o.Mirror = m
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
	list := []string{"tier", "mirror"}
	for _, s := range settings {
		list = append(list, s.name)
	}
	return strings.Join(list, ", ")
}
