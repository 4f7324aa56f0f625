package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	proof    = flag.Bool("proof", false, "prove that the gate works: an hour of measuring (make perf-gate-proof)")
	proofRun = flag.String("proof-run", usual, "benchmarks for comparing a program with itself")
)

func TestWrongInput(t *testing.T) {
	for want, o := range map[string]options{
		"-base is missing":   {},
		"revision no-such":   {base: "no-such"},
		"pattern nothing/at": {base: fakeVM(t, "bench"), head: fakeVM(t, "none"), run: "nothing/at"},
	} {
		if _, err := gate(t.Context(), o, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// fakeVM is a program that lists no benchmark, or one, and measures it, or gets a wrong answer.
func fakeVM(t *testing.T, kind string) string {
	t.Helper()
	text := "#!/bin/sh\necho 'vm: no such command' >&2; exit 125\n"
	if found, ok := map[string]string{"bench": `"passes":[[100,101,102]]`, "wrong": `"failed":"wrong answer"`}[kind]; ok {
		text = `#!/bin/sh
[ "$2" = list ] && { echo "a/b  ns/op    does"; exit 0; }
while [ $# -gt 0 ]; do [ "$1" = --json ] && file=$2; shift; done
echo '{"format":1,"complete":true,"rows":[{"name":"a/b","unit":"ns/op",` + found + `}]}' >"$file"
! grep -q failed "$file"
`
	}
	name := filepath.Join(t.TempDir(), "vm")
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestGateOfPrograms(t *testing.T) {
	var out bytes.Buffer
	dir := t.TempDir()
	o := options{base: fakeVM(t, "bench"), head: fakeVM(t, "bench"), run: "a", passes: 6, each: "1ms", markdown: filepath.Join(dir, "table.md"), history: filepath.Join(dir, "result.json")}
	if slower, err := gate(t.Context(), o, &out); err != nil || slower != 0 || !strings.Contains(out.String(), "0 slower, 1 the same") {
		t.Errorf("%d, %v:\n%s", slower, err, out.String())
	}
	for _, f := range []string{o.markdown, o.history} {
		if data, err := os.ReadFile(f); err != nil || !bytes.Contains(data, []byte("a/b")) {
			t.Errorf("%s: %v %.100s", f, err, data)
		}
	}
	out.Reset()
	if slower, err := gate(t.Context(), options{base: fakeVM(t, "none"), head: fakeVM(t, "bench"), run: "a", passes: 1}, &out); err != nil || slower != 0 || !strings.Contains(out.String(), "nothing to compare") {
		t.Errorf("a base without vm bench: %d, %v, %s", slower, err, out.String())
	}
}

// What fails in the base is none of the revision's doing.
func TestGateOfFailures(t *testing.T) {
	good, wrong := fakeVM(t, "bench"), fakeVM(t, "wrong")
	if slower, err := gate(t.Context(), options{base: good, head: wrong, run: "a", passes: 2}, io.Discard); err == nil || !strings.Contains(err.Error(), "a/b failed: wrong answer") {
		t.Errorf("a head that fails: %d, %v", slower, err)
	}
	if slower, err := gate(t.Context(), options{base: wrong, head: good, run: "a", passes: 2}, io.Discard); err != nil || slower != 0 {
		t.Errorf("a base that fails: %d, %v", slower, err)
	}
}

// A TLB that takes about 8 % longer to hit is found out nine times in ten at least, and the same program twice never is. It depends on what the host does
// meanwhile, as no test that make test runs may: make perf-gate-proof runs it.
func TestProof(t *testing.T) {
	if !*proof {
		t.Log("not asked for: -proof")
		return
	}
	dir := t.TempDir()
	build := func(name string, args ...string) string {
		vm := filepath.Join(dir, name)
		cmd := exec.Command("go", append(append([]string{"build"}, args...), "-o", vm, "../../cmd/vm")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return vm
	}
	base, again, slow := build("base"), build("again"), build("slow", "-tags", "slowtlb")
	o := options{base: base, passes: 16, each: "60ms", least: 0.05}
	found := 0
	o.head, o.run = slow, "tlb/hit/auto engine/memory/auto system/ecall/auto memory/load/64"
	for range 10 {
		var out bytes.Buffer
		slower, err := gate(t.Context(), o, &out)
		if err != nil {
			t.Fatal(err)
		}
		if slower > 0 && strings.Contains(out.String(), "slower") {
			found++
		}
		t.Logf("a slow TLB:\n%s", out.String())
	}
	if found < 9 {
		t.Errorf("a slow TLB was found out %d times in 10", found)
	}
	o.head, o.run = again, *proofRun
	for i := range 20 {
		var out bytes.Buffer
		slower, err := gate(t.Context(), o, &out)
		if err != nil {
			t.Fatal(err)
		}
		if slower > 0 {
			t.Errorf("alarm at the same program, run %d:\n%s", i, out.String())
		}
	}
	t.Logf("a slow TLB was found out %d times in 10", found)
}
