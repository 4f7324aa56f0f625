// Package hostinfo finds out what a host offers that makes machines faster: processor features, huge pages, NUMA nodes, KVM, and
// memory for generated code. It changes nothing, and what it cannot find out it says so of.
package hostinfo

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Fact is one line of what is known of a host.
type Fact struct {
	Name  string
	Value string
	Note  string // what it means for a machine, or what to do; may be empty
}

// Gather looks at the host that this process runs on.
func Gather() []Fact {
	facts := []Fact{
		{"host", runtime.GOOS + "/" + runtime.GOARCH + kernelRelease(), ""},
		cpuFact(),
		{"cores", fmt.Sprint(runtime.NumCPU()), ""},
	}
	facts = append(facts, featureFacts()...)
	return append(facts, memoryFact(), hugePages(), numaNodes(), kvm(), jitMemory())
}

// unknown is the value of what cannot be found out.
const unknown = "unknown"

// level is one x86-64 micro-architecture level of the psABI, by the names that Linux gives its features.
type level struct {
	name  string
	needs []string
}

var levels = []level{
	{"x86-64-v2", strings.Fields("cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3")},
	{"x86-64-v3", strings.Fields("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave")},
	{"x86-64-v4", strings.Fields("avx512f avx512bw avx512cd avx512dq avx512vl")},
}

// useful are the features that a translator for RISC-V asks for one by one, and what for. Linux calls LZCNT abm.
var useful = []struct{ flag, name, use string }{
	{"popcnt", "POPCNT", "cpop"},
	{"abm", "LZCNT", "clz"},
	{"bmi1", "BMI1", "ctz, andn"},
	{"bmi2", "BMI2", "shifts, rotates, mulhu"},
	{"fma", "FMA", "fmadd and its kin"},
	{"f16c", "F16C", "half precision"},
	{"pclmulqdq", "PCLMULQDQ", "clmul"},
	{"cx16", "CMPXCHG16B", "amocas.q"},
	{"constant_tsc", "constant TSC", "rdtime"},
}

// x86Level is the highest level whose features, and those of all levels below it, are there.
func x86Level(flags []string) string {
	best := "x86-64-v1"
	for _, l := range levels {
		for _, flag := range l.needs {
			if !slices.Contains(flags, flag) {
				return best
			}
		}
		best = l.name
	}
	return best
}

// x86Features tells which useful features there are, and which are missing.
func x86Features(flags []string) (have []string, missing []string) {
	for _, u := range useful {
		if slices.Contains(flags, u.flag) {
			have = append(have, u.name)
		} else {
			missing = append(missing, u.name+" ("+u.use+")")
		}
	}
	return have, missing
}

// bracketed takes the chosen word of a Linux setting such as "always [madvise] never".
func bracketed(setting string) string {
	_, rest, _ := strings.Cut(setting, "[")
	word, _, ok := strings.Cut(rest, "]")
	if !ok {
		return strings.TrimSpace(setting)
	}
	return word
}

// fields reads lines of "name : value" up to the first empty line after some.
func fields(text string) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			if len(m) > 0 && strings.TrimSpace(line) == "" {
				break
			}
			continue
		}
		m[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return m
}

// readFile is the file's text, or nothing.
func readFile(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// mib writes a number of bytes in MiB or GiB.
func mib(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
