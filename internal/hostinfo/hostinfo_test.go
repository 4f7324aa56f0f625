package hostinfo

import (
	"slices"
	"strings"
	"testing"
)

const v3 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"

func TestX86Level(t *testing.T) {
	for flags, want := range map[string]string{
		"":                           "x86-64-v1",
		"avx2 bmi1 fma":              "x86-64-v1",
		strings.Fields(v3)[0]:        "x86-64-v1",
		v3[:strings.Index(v3, "av")]: "x86-64-v2",
		v3:                           "x86-64-v3",
		v3 + " avx512f avx512bw":     "x86-64-v3",
		v3 + " avx512f avx512bw avx512cd avx512dq avx512vl": "x86-64-v4",
	} {
		if got := x86Level(strings.Fields(flags)); got != want {
			t.Errorf("%q: %s, want %s", flags, got, want)
		}
	}
}

func TestX86FeaturesSplitsHaveAndMissing(t *testing.T) {
	have, missing := x86Features([]string{"abm", "fma"})
	if !slices.Equal(have, []string{"LZCNT", "FMA"}) || len(missing) != len(useful)-2 {
		t.Errorf("%v, %v", have, missing)
	}
}

func TestBracketed(t *testing.T) {
	for in, want := range map[string]string{
		"always [madvise] never": "madvise",
		"never":                  "never",
		"[":                      "[",
	} {
		if got := bracketed(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFieldsStopsAtTheFirstProcessor(t *testing.T) {
	got := fields("\nprocessor\t: 0\nmodel name\t: A: B\n\nprocessor\t: 1\nmodel name\t: C\n")
	if got["processor"] != "0" || got["model name"] != "A: B" {
		t.Errorf("%v", got)
	}
}

func TestGatherFindsSomethingOfEverything(t *testing.T) {
	for _, f := range Gather() {
		if f.Name == "" || f.Value == "" {
			t.Errorf("%+v", f)
		}
	}
}
