package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vmproject/vm/internal/bench/peer"
)

func TestParseEvent(t *testing.T) {
	for line, want := range map[string]event{
		"@bench init 1.250000000":                 {kind: "init", seconds: 1.25},
		"@bench setup gcc\r":                      {kind: "setup", name: "gcc"},
		"@bench start gcc":                        {kind: "start", name: "gcc"},
		"[    1.0] random: @bench stop gcc 0.5\r": {kind: "stop", name: "gcc", seconds: 0.5},
		`@bench answer gcc "1 2"`:                 {kind: "answer", name: "gcc", text: "1 2"},
		`@bench answer gcc ""`:                    {kind: "answer", name: "gcc"},
		"@bench fail gcc command 139":             {kind: "fail", name: "gcc", text: "command 139"},
		"@bench end":                              {kind: "end"},
	} {
		got, ok := parseEvent(line)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" || !ok {
			t.Errorf("%q: %v, (-want +got)\n%s", line, ok, diff)
		}
	}
	for _, line := range []string{
		"", "@bench", "@bench ", "@bench stop", "@bench stop gcc", "@bench stop gcc x", "@bench stop gcc -1", "@bench start",
		`@bench answer gcc "cut o`, "@bench answer gcc", `@bench answer gcc "`, "@bench other gcc", "@bench init",
	} {
		if e, ok := parseEvent(line); ok {
			t.Errorf("%q is taken for %+v", line, e)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add("@bench stop gcc 0.5")
	f.Add(`@bench answer gcc "1 2"`)
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := parseEvent(line); ok && (e.seconds < 0 || math.IsNaN(e.seconds) || e.name == "" && e.kind != "init" && e.kind != "end") {
			t.Errorf("%q: %+v", line, e)
		}
	})
}

// Lines come in pieces; what is no event is kept for the error message, the last of it.
func TestConsole(t *testing.T) {
	var events []string
	c := &console{watch: func(e event) { events = append(events, e.kind) }}
	if got := c.last(); got != "it said nothing" {
		t.Error(got)
	}
	text := "1\n2\n@bench setup x\r\n3\n\n4\n@bench start x\n5\nKernel pan"
	for i := range text {
		if n, err := c.Write([]byte(text[i : i+1])); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := c.last(), "it said: 2 / 3 / 4 / 5 / Kernel pan"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"setup", "start"}, events); diff != "" {
		t.Error(diff)
	}
	c.Write([]byte(strings.Repeat("x", 3*longestLine)))
	if len(c.line) != longestLine {
		t.Errorf("a line of %d bytes is kept", len(c.line))
	}
}

func TestCollectorAndVerdict(t *testing.T) {
	at := time.Unix(0, 0)
	for name, tt := range map[string]struct {
		lines string
		host  time.Duration
		want  string // of the error
	}{
		"right":             {"setup b;start b;stop b 2.0;answer b \"42\"", 2100 * time.Millisecond, ""},
		"wrong":             {"setup b;start b;stop b 2.0;answer b \"41\"", 2 * time.Second, `wrong answer "41", want "42"`},
		"failed":            {"setup b;start b;fail b command 139", 0, "command 139"},
		"failed check":      {"setup b;start b;stop b 2.0;fail b check 1", 2 * time.Second, "check 1"},
		"clock too slow":    {"setup b;start b;stop b 2.0;answer b \"42\"", 3 * time.Second, "the guest's clock says 2.000 s, the host's 3.000 s"},
		"clock too fast":    {"setup b;start b;stop b 2.0;answer b \"42\"", time.Second, "the guest's clock says 2.000 s, the host's 1.000 s"},
		"after another one": {"setup a;start a;fail a setup 1;setup b;start b;stop b 2.0;answer b \"42\"", 2 * time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := collector{timings: make(map[string]timing)}
			for line := range strings.SplitSeq(tt.lines, ";") {
				e, ok := parseEvent("@bench " + line)
				if !ok {
					t.Fatal(line)
				}
				now := at
				if e.kind == "stop" {
					now = at.Add(tt.host)
				}
				c.event(e, now)
			}
			if c.current != "" {
				t.Errorf("%q is still in progress", c.current)
			}
			got := ""
			if err := c.timings["b"].verdict(&benchmark{name: "b", answer: "42"}); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestStatistics(t *testing.T) {
	near := cmpopts.EquateApprox(1e-12, 0)
	for _, tt := range []struct {
		values                  []float64
		median, spread, geomean float64
	}{
		{[]float64{3}, 3, 0, 3},
		{[]float64{8, 1}, 4.5, 7 / 4.5, math.Sqrt(8)},
		{[]float64{9, 1, 3}, 3, 8.0 / 3, 3},
		{nil, math.NaN(), 0, math.NaN()},
	} {
		got := []float64{median(tt.values), spread(tt.values), geometric(tt.values)}
		if diff := cmp.Diff([]float64{tt.median, tt.spread, tt.geomean}, got, near, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%v: %s", tt.values, diff)
		}
	}
}

// A machine that ends over a benchmark fails that one; the next machine goes on; what failed is not tried again.
func TestMeasurePrograms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	g := &guest{Guest: &peer.Guest{Busybox: file}, scratch: t.TempDir(), init: file, work: file}
	a, b, c := &benchmark{name: "a", answer: "1"}, &benchmark{name: "b", answer: "2"}, &benchmark{name: "c", answer: "3"}
	one := func(name, answer string) string {
		return "echo @bench setup " + name + "; echo @bench start " + name + "; echo @bench stop " + name + ` 0.01; echo '@bench answer ` + name + ` "` + answer + `"';`
	}
	scripts := []string{
		one("a", "1") + "echo @bench setup b; echo oops; exit 3",
		one("c", "3"),
		one("a", "1") + one("c", "4"),
	}
	p := newMachine("fake", options{timeout: time.Minute})
	p.boot = func(peer.Boot) []string {
		script := scripts[0]
		scripts = scripts[1:]
		return []string{"sh", "-c", script}
	}
	for range 2 {
		p.measurePrograms(t.Context(), g, []*benchmark{a, b, c}, "")
	}
	if diff := cmp.Diff(map[string][]float64{"a": {0.01, 0.01}, "c": {0.01}}, p.times); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"b": "exit status 3; it said: oops", "c": `wrong answer "4", want "3"`} {
		if err := p.failed[name]; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}

	missing := newMachine("missing", options{timeout: time.Minute})
	missing.boot = func(peer.Boot) []string { return []string{"/no/such/qemu"} }
	missing.measurePrograms(t.Context(), g, []*benchmark{a, b}, "")
	if len(missing.failed) != 2 || !errors.Is(missing.failed["a"], os.ErrNotExist) {
		t.Errorf("a machine that is not there: %v", missing.failed)
	}
	garbled := newMachine("garbled", options{timeout: time.Minute})
	garbled.boot = func(peer.Boot) []string { return []string{"sh", "-c", "echo @bench setup unknown"} }
	garbled.measurePrograms(t.Context(), g, []*benchmark{a, b}, "")
	if len(garbled.failed) != 2 || !errors.Is(garbled.failed["b"], errEnded) {
		t.Errorf("a machine that runs something else: %v", garbled.failed)
	}
	slow := newMachine("slow", options{timeout: time.Millisecond})
	slow.boot = func(peer.Boot) []string { return []string{"sh", "-c", "echo @bench setup a; exec sleep 1000"} }
	slow.measurePrograms(t.Context(), g, []*benchmark{a}, "")
	if !errors.Is(slow.failed["a"], errSilent) {
		t.Errorf("a machine that hangs: %v", slow.failed)
	}
}

func TestReport(t *testing.T) {
	groups := []group{{"loops", 3.5, []*benchmark{{name: "fib"}, {name: "sort"}, {name: "gcc"}}}}
	vm, qemu := newMachine("vm", options{}), newMachine("qemu", options{})
	vm.times = map[string][]float64{"fib": {1, 2, 1}, "sort": {1}}
	qemu.times = map[string][]float64{"fib": {4, 4, 4}, "sort": {2}}
	vm.failed["gcc"] = errors.New("oops")
	var out strings.Builder
	report(&out, groups, vm, qemu)
	for _, want := range []string{
		`(?m)^loops +2\.83 +3\.5$`, `(?m)^  fib +1\.000 +100% +4\.000 +0% +4\.00 +ok$`, `(?m)^  sort +1\.000 +2\.000 +2\.00 +below$`,
		`(?m)^  gcc +failed +- +- +no figure$`, `1 of 3 at their floor`, `vm, gcc: oops`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestPlan(t *testing.T) {
	full, quick := benchmarks(plan(false)), benchmarks(plan(true))
	seen := make(map[string]bool)
	for i, b := range full {
		q := quick[i]
		measured := b.kind == ownProgram || b.kind == debian
		if seen[b.name] || strings.ContainsAny(b.name, " \t") || measured && (b.size <= q.size || b.answer == q.answer || b.answer == "") {
			t.Errorf("%+v, quick %+v", b, q)
		}
		seen[b.name] = true
		if n := strings.Count(b.line(), "\t"); n != 4 || strings.Contains(b.line(), "@N@") {
			t.Errorf("%q", b.line())
		}
	}
	if got := benchmarks(selected(plan(false), regexp.MustCompile("^(fib|gcc)$"))); len(got) != 2 || len(selected(plan(true), regexp.MustCompile("^none$"))) != 0 {
		t.Errorf("selected %d", len(got))
	}
	files, err := inputs(full)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if strings.Contains(text, "@N@") {
			t.Errorf("%s has a placeholder left", name)
		}
	}
	for _, b := range full {
		for word := range strings.FieldsSeq(b.command + " " + b.check) {
			if file, ok := strings.CutPrefix(word, "/bench/"); ok && file != "work" && files[file] == "" {
				t.Errorf("%s needs %s, which is not there", b.name, file)
			}
		}
	}
}

// The answers are those of another processor: the guest's C programs, compiled for this host. Where the guest's compiler fuses
// multiplication and addition and the host's does not, results differ.
func TestAnswersOnHost(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).Output()
		if err != nil {
			t.Fatalf("%s %s: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	units, err := filepath.Glob("guest/*.c")
	if err != nil {
		t.Fatal(err)
	}
	work, args := filepath.Join(dir, "work"), []string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", filepath.Join(dir, "work")}
	for _, u := range units {
		if filepath.Base(u) != "init.c" {
			args = append(args, u)
		}
	}
	run(cc, append(args, "-lm")...)
	run(cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", filepath.Join(dir, "init"), "guest/init.c")
	fused := map[string]bool{"nbody": true, "matmul": true}
	for _, b := range benchmarks(plan(true)) {
		if words := strings.Fields(b.fill(b.command)); b.kind == ownProgram && words[0] == "/bench/work" && !fused[b.name] {
			if got := run(work, words[1:]...); got != b.answer {
				t.Errorf("%s: %s, want %s", b.name, got, b.answer)
			}
		}
		if b.name == "gcc" {
			source := filepath.Join(dir, "gcc.c")
			files, err := b.program.Files(b.size)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(source, []byte(files["gcc.c"]), 0o644); err != nil {
				t.Fatal(err)
			}
			run(cc, "-O1", "-o", filepath.Join(dir, "generated"), source)
			if got := run(filepath.Join(dir, "generated")); got != b.answer {
				t.Errorf("gcc: %s, want %s", got, b.answer)
			}
		}
	}
}
