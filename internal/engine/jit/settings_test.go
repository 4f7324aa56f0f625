package jit

import (
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	var o Options
	if err := o.Set("tier=baseline, code=128,block=20,region=100,straight=200,turns=3,every=3,threshold=7,mirror=off,warm=9"); err != nil {
		t.Fatal(err)
	}
	if o.Tier != TierBaseline || o.CodeSize != 128<<20 || o.MaxGuest != 20 || o.Region != (RegionOptions{Guest: 100, Straight: 200, Turns: 3, Every: 3, Threshold: 7}) || o.Mirror != MirrorOff || o.Warm != 9 {
		t.Errorf("options are %+v", o)
	}
	for list, want := range map[string]string{
		"":                 "write NAME=VALUE",
		"warp":             "write NAME=VALUE",
		"warp=9":           "there are tier, mirror, keep, code",
		"mirror=third":     "auto, off, always",
		"tier=third":       "auto, baseline, optimized",
		"code=0":           "from 4 to 1024",
		"block=many":       "from 1 to 200",
		"code=8,threshold": "write NAME=VALUE",
	} {
		if err := o.Set(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", list, err, want)
		}
	}
}
